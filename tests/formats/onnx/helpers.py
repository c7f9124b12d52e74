"""ONNX models put together byte by byte, so that they may be wrong in any way."""

from __future__ import annotations

from collections.abc import Sequence

from tests.formats.protobuf import message


def node(
    op: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes
) -> bytes:
    return message(
        *((1, name) for name in inputs), *((2, name) for name in outputs), (4, op),
        *((5, attribute) for attribute in attributes),
    )  # fmt: skip


def tensor(
    name: str, shape: Sequence[int], kind: int = 1, *fields: tuple[int, int | bytes]
) -> bytes:
    return message(*((1, n) for n in shape), (2, kind), (8, name), *fields)


def numbers(name: str, *values: int) -> bytes:
    """An int64 initializer."""
    raw = b"".join((v & (1 << 64) - 1).to_bytes(8, "little") for v in values)
    return tensor(name, [len(values)], 7, (9, raw))


def attribute(name: str, kind: int, field: int, value: int | bytes) -> bytes:
    return message((1, name), (20, kind), (field, value))


def model(
    nodes: Sequence[bytes], tensors: Sequence[bytes] = (), *more: tuple[int, bytes]
) -> bytes:
    graph = message(
        *((1, n) for n in nodes), *((5, t) for t in tensors), (11, message((1, "X")))
    )  # fmt: skip
    return message((1, 8), (2, "test"), (7, graph), (8, message((2, 14))), *more)


LSTM = node("LSTM", ["X", "W", "R"], ["Y"])
REST = [tensor("R", [1, 4, 1], 1, (9, bytes(16)))]
WEIGHTS = [tensor("W", [1, 4, 2], 1, (9, bytes(32))), *REST]


def function(name: str, *nodes: bytes) -> tuple[int, bytes]:
    return 25, message((1, name), *((7, n) for n in nodes), (10, "custom"))


def call(name: str) -> bytes:
    return node(name, [], []) + message((7, "custom"))
