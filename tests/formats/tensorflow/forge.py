"""Writing what TensorFlow writes, and what it never would: messages, tables, checkpoints.

Tables get right checksums, so that a reader finds what else is wrong in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from lstmcli.formats.detect import TABLE_END
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.tensorflow.bundle import FOOTER, table_entries
from tests.formats.protobuf import message, varint


def fixed32(number: int, value: int) -> bytes:
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


def masked(data: bytes) -> int:
    value = import_module("google_crc32c").value(data)
    return int((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def block(data: bytes, kind: int = 0) -> bytes:
    sealed = data + bytes([kind])
    return sealed + masked(sealed).to_bytes(4, "little")


def content(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The entries of a block, none sharing the start of the one before, and one restart."""
    data = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in entries
    )
    return data + bytes(4) + (1).to_bytes(4, "little")


def handle(start: int, length: int) -> bytes:
    return varint(start) + varint(length)


def footer(index: bytes) -> bytes:
    """A footer that leads to an index."""
    return (handle(0, 0) + index).ljust(FOOTER - len(TABLE_END), b"\0") + TABLE_END


def table(entries: Mapping[bytes, bytes], kind: int = 0) -> bytes:
    """A table of one block."""
    data = content(list(entries.items()))
    first = block(data, kind)
    index = content([(b"\xff", handle(0, len(data)))])
    return first + block(index) + footer(handle(len(first), len(index)))


def entries_of(data: bytes) -> dict[bytes, bytes]:

    return {key: bytes(value) for key, value in table_entries(in_memory("t", data))}


def shape(*lengths: int) -> bytes:
    return message(*((2, message((1, length))) for length in lengths))


def entry(
    array: np.ndarray,
    offset: int,
    *,
    kind: int = 1,
    shard: int = 0,
    slices: Sequence[bytes] = (),
) -> bytes:
    """A BundleEntryProto for an array of float32 at an offset."""
    data = array.astype("<f4").tobytes()
    return (
        message(
            (1, kind), (2, shape(*array.shape)), (3, shard), (4, offset), (5, len(data))
        )
        + fixed32(6, masked(data))
        + message(*((7, one) for one in slices))
    )


HEADER = message((1, 1), (3, message((1, 1))))


def checkpoint(folder: Path, entries: Mapping[bytes, bytes], data: bytes) -> Path:
    """A checkpoint of one shard; the path of its index."""
    (folder / "c.index").write_bytes(table({b"": HEADER, **entries}))
    (folder / "c.data-00000-of-00001").write_bytes(data)
    return folder / "c.index"


def string(data: bytes) -> bytes:
    """A scalar string as stored in a shard: its length, a checksum of that, its bytes."""
    length = varint(len(data))
    return length + masked(length).to_bytes(4, "little") + data
