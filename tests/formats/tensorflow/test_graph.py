"""Graphs: constants, the operations applied to a variable, and cycles."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.tensorflow.graph import TensorFlowGraph
from tests.formats.helpers import filed
from tests.formats.protobuf import message, varint
from tests.formats.tensorflow.forge import checkpoint, entry, shape


def node(name: str, op: str, *inputs: str, **attributes: bytes) -> tuple[int, bytes]:
    references = [(3, name.encode()) for name in inputs]
    attributes_ = [
        (5, message((1, key.encode()), (2, value))) for key, value in attributes.items()
    ]  # fmt: skip
    return 1, message((1, name.encode()), (2, op.encode()), *references, *attributes_)


def constant(
    name: str, *values: float, lengths: tuple[int, ...] = ()
) -> tuple[int, bytes]:
    packed = pack(f"<{len(values)}f", *values)
    tensor = message((1, 1), (2, shape(*lengths)), (5, packed))
    return node(name, "Const", value=message((8, tensor)))


def applied(*nodes: tuple[int, bytes], variable: str = "v") -> dict[str, Any]:
    return TensorFlowGraph(memoryview(message(*nodes))).applied_to(variable)


def test_operations_are_found_with_their_numbers() -> None:
    found = applied(
        node("v", "VariableV2"), node("v/read", "Identity", "v"), constant("one", 1.5),
        node("split", "Split", "one", "v/read"), node("add", "Add", "split:2", "one"),
        node("tanh", "Tanh", "split:1", "^add"),
    )  # fmt: skip
    assert found == {"Split": 1.5, "Split:2/Add": 1.5, "Split:1/Tanh": None}


def test_numbers_that_are_attributes() -> None:
    value = varint(4 << 3 | 5) + pack("<f", 0.7)
    assert applied(node("v", "VariableV2"), node("a", "Cell", "v", clip=value)) == {
        "Cell": {"clip": 0.7}
    }


def function(name: str, argument: str, *nodes: tuple[int, bytes]) -> bytes:
    signature = message((1, name.encode()), (2, message((1, argument.encode()))))
    return message((1, signature), *((3, data) for _, data in nodes))


def called(name: str) -> bytes:
    return message((10, message((1, name.encode()))))


def test_values_go_on_in_functions() -> None:
    body = function("body", "x", constant("c", 2), node("m", "Mul", "x", "c:output:0"))
    library = (2, message((1, body)))
    found = applied(
        node("v", "VarHandleOp"), node("w", "While", "v", body=called("body")), library
    )
    assert found == {"Mul": 2.0}


def test_a_graph_with_cycles_is_read() -> None:
    assert applied(node("v", "Variable"), node("a", "Mul", "v", "b"), node("b", "Mul", "a")) == {
        "Mul": None, "Mul/Mul": None,
    }  # fmt: skip
    recursive = function("f", "x", node("again", "PartitionedCall", "x", f=called("f")))
    library = (2, message((1, recursive)))
    assert (
        applied(
            node("v", "Variable"),
            node("w", "PartitionedCall", "v", f=called("f")),
            library,
        )
        == {}
    )
    assert applied(node("v", "Identity", "u"), node("u", "Identity", "v")) == {}
    found = applied(
        node("v", "Variable"), node("a", "Add", "v", "x"), node("x", "Identity", "x")
    )
    assert found == {"Add": None}


def test_the_last_element_fills_the_rest() -> None:
    graph = TensorFlowGraph(memoryview(message(constant("c", 1, 2, lengths=(2, 2)))))
    ((name, array),) = graph.constants("g.pb", 100)
    assert (name, array.tolist()) == ("c", [[1, 2], [2, 2]])


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([constant("c", 1, lengths=(1 << 40,))], "max_bytes="),
        ([constant("c", 1, lengths=(2, 1 << 62))], "max_bytes="),
        (
            [constant(f"c{n}", lengths=(1 << 26,)) for n in range(3)],
            "claim to unpack to",
        ),
        ([constant("c", 1, 2, 3, lengths=(2,))], "3 elements for the shape"),
        ([constant("c", 1, lengths=(-1,))], "has the shape"),
        ([constant("c", 1, lengths=(1,) * 33)], "has 33 axes"),
    ],
)
def test_constants_that_contradict_themselves_are_refused(
    nodes: list[tuple[int, bytes]], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=reason):
        filed(tmp_path, "g.pb", message(*nodes))


def test_a_graph_is_recognised_by_its_content(tmp_path: Path) -> None:
    graph = message(constant("c", 1, 2, lengths=(2,)))
    meta = message((1, message((2, message((1, message((1, b"Add"))))))), (2, graph))
    for data in (graph, meta, message((1, 1), (2, meta))):
        document = filed(tmp_path, "model", data)
        assert document.format == "tensorflow"
        np.testing.assert_array_equal(document.arrays["c"], [1, 2])


def test_a_text_that_begins_with_an_empty_line_is_not_a_graph(tmp_path: Path) -> None:
    assert filed(tmp_path, "a.txt", "\n[[1 2]\n [3 4]]").format == "text"


NO_OPERATION = message((1, message((1, b"v"), (2, b"no operation"))))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a\xff", ""),
        (message((1, b"")), "it has no graph"),
        (message((2, message((4, b"")))), "it has no graph"),
        (message((2, NO_OPERATION)), "it has no graph"),
    ],
)
def test_a_damaged_graph_of_a_checkpoint_is_reported(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    ones = np.ones(2, np.float32)
    path = checkpoint(tmp_path, {b"a": entry(ones, 0)}, ones.tobytes())
    (tmp_path / "c.meta").write_bytes(data)
    document = formats.read(str(path))
    assert list(document.arrays) == ["a"]
    assert f"c.meta was not used: {reason}" in document.remarks[0]


def test_constants_take_at_most_a_hundred_times_their_file() -> None:
    """Up to 256 MiB nothing is suspected, so the size of the file is given as 3 MiB."""
    constants = [
        constant(f"c{n}", lengths=(25 << 20,)) for n in range(4)
    ]  # of 100 MiB each
    found = TensorFlowGraph(memoryview(message(*constants))).constants("g.pb", 3 << 20)
    assert [next(found)[0] for _ in range(3)] == ["c0", "c1", "c2"]
    with pytest.raises(UserError, match="claim to unpack to"):
        next(found)
