"""ONNX files that are damaged, or made to take all of a machine: one clear line each."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.load import load
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import raised_to
from tests.formats.onnx.helpers import (
    LSTM,
    REST,
    WEIGHTS,
    attribute,
    call,
    function,
    model,
    node,
    numbers,
    tensor,
)
from tests.formats.protobuf import message
from tests.fuzz.guard import withstand
from tests.standard_input import from_stdin


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        load(str(path))
    return str(caught.value)


BOMBS = {
    "a shape without bytes": ([LSTM], [tensor("W", [1, 4, 1 << 40]), *REST]),
    "a shape beyond 64 bits": ([LSTM], [tensor("W", [1 << 62, 4, 1 << 62]), *REST]),
    "a negative length": ([LSTM], [tensor("W", [1, -4, 2], 1, (9, bytes(32))), *REST]),
    "Expand": (
        [node("Expand", ["one", "shape"], ["W"]), LSTM],
        [tensor("one", [1], 1, (9, bytes(4))), numbers("shape", 1, 4, 1 << 40), *REST],
    ),
    "ConstantOfShape": (
        [node("ConstantOfShape", ["shape"], ["W"]), LSTM],
        [numbers("shape", 1, 1 << 20, 1 << 20), *REST],
    ),
    "doubled again and again": (
        [node("Concat", [f"w{n}"] * 2, [f"w{n + 1}"], attribute("axis", 2, 3, 0))
         for n in range(60)] + [node("LSTM", ["X", "w60", "R"], ["Y"])],
        [tensor("w0", [1, 4, 2], 1, (9, bytes(32))), *REST],
    ),
    "one tensor many times": (
        [node("Concat", ["w"] * 3000, ["W"], attribute("axis", 2, 3, 0)), LSTM],
        [tensor("w", [1 << 15], 1, (9, bytes(1 << 17))), *REST],
    ),
    "Gather": (
        [node("Gather", ["w", "i"], ["g"]), node("Gather", ["g", "i"], ["W"]), LSTM],
        [tensor("w", [1, 1 << 10], 1, (9, bytes(1 << 12))),
         tensor("i", [1 << 20], 7, (9, bytes(8 << 20))),
         *REST],
    ),
    "Gather by a small file": (
        [node("Gather", ["w", "i"], ["W"]), LSTM],
        [tensor("w", [1, 1 << 14], 1, (9, bytes(1 << 16))),
         tensor("i", [1 << 16], 7, (9, bytes(1 << 19))), *REST],
    ),
    "Where of long vectors": (
        [node("Where", ["c", "a", "b"], ["W"]), LSTM],
        [tensor("c", [1], 9, (9, b"\1")), tensor("a", [1 << 15, 1], 1, (9, bytes(1 << 17))),
         tensor("b", [1, 1 << 15], 1, (9, bytes(1 << 17))), *REST],
    ),
    "products of shorter vectors": (
        [node("Mul", ["a", "b"], ["W"]), LSTM],
        [tensor("a", [1 << 15, 1], 1, (9, bytes(1 << 17))),
         tensor("b", [1, 1 << 15], 1, (9, bytes(1 << 17))), *REST],
    ),
    "products of long vectors": (
        [node("Mul", ["a", "b"], ["W"]), LSTM],
        [tensor("a", [1 << 16, 1], 1, (9, bytes(1 << 18))),
         tensor("b", [1, 1 << 16], 1, (9, bytes(1 << 18))), *REST],
    ),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_file_makes_more_of_itself_than_is_allowed(
    tmp_path: Path, bomb: str
) -> None:
    """Nor does it take the memory before it is refused: files are 8 MB, results 256."""
    data = model(*BOMBS[bomb])
    tracemalloc.start()
    try:
        with raised_to(1 << 20):
            text = refusal(tmp_path / "m.onnx", data)
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "max_bytes=" in text or "corrupt" in text
    assert largest < 48 << 20


def test_a_small_file_computes_no_gigabyte(tmp_path: Path) -> None:
    data = model(*BOMBS["doubled again and again"])
    assert "bytes claim to unpack to" in refusal(tmp_path / "m.onnx", data)


def test_views_of_repeated_numbers_cost_nothing_until_they_are_copied(
    tmp_path: Path,
) -> None:
    """A thousand nodes expand one number to nearly the limit; none of them is ever filled."""
    nodes = [node("Expand", ["one", "shape"], [f"e{n}"]) for n in range(1000)]
    nodes.append(
        node(
            "Concat", [f"e{n}" for n in range(1000)], ["W"], attribute("axis", 2, 3, 0)
        )
    )
    initializers = [
        tensor("one", [1], 1, (9, bytes(4))),
        numbers("shape", 1, 4, 1 << 25),
        *REST,
    ]
    withstand(tmp_path / "m.onnx", model([*nodes, LSTM], initializers), act=load)


@pytest.mark.parametrize("length", [1, 2, 500])
def test_a_graph_that_feeds_itself(tmp_path: Path, length: int) -> None:
    nodes = [
        node("Identity", [f"v{n}"], [f"v{(n + 1) % length}"]) for n in range(length)
    ]
    text = refusal(
        tmp_path / "m.onnx",
        model([*nodes, node("LSTM", ["X", "v0", "R"], ["Y"])], REST),
    )
    assert "depends on itself" in text


def test_states_and_inputs_that_feed_themselves(tmp_path: Path) -> None:
    nodes = [
        node("Slice", ["c", "c"], ["c"]), node("Expand", ["h", "s"], ["h"]),
        node("Concat", ["s"], ["s"]), node("Transpose", ["X2"], ["X2"]),
        node("LSTM", ["X2", "W", "R", "", "", "h", "c"], ["Y"]),
    ]  # fmt: skip
    withstand(tmp_path / "m.onnx", model(nodes, WEIGHTS), act=load)


@pytest.mark.slow
def test_a_long_chain_of_operations_is_followed(tmp_path: Path) -> None:
    nodes = [node("Identity", [f"v{n}"], [f"v{n + 1}"]) for n in range(20_000)]
    nodes.append(node("LSTM", ["X", "v20000", "R"], ["Y"]))
    (tmp_path / "m.onnx").write_bytes(
        model(nodes, [tensor("v0", [1, 4, 2], 1, (9, bytes(32))), *REST])
    )
    assert load(str(tmp_path / "m.onnx")).cell.inputs == 2


def test_graphs_within_graphs(tmp_path: Path) -> None:
    graph = message((1, LSTM))
    for depth in range(1, 200):
        graph = message(
            (1, node("If", ["go"], ["Y"], attribute("then_branch", 5, 6, graph)))
        )
        if depth == 20:
            (tmp_path / "m.onnx").write_bytes(
                model([node("If", ["go"], ["Y"], attribute("a", 5, 6, graph))], WEIGHTS)
            )
            assert load(str(tmp_path / "m.onnx")).cell.units == 1
    data = model([node("If", ["go"], ["Y"], attribute("a", 5, 6, graph))], WEIGHTS)
    assert "the library onnx: Error parsing" in refusal(tmp_path / "m.onnx", data)


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    text = refusal(
        tmp_path / "m.onnx", model([call("f")], [], function("f", call("f")))
    )
    assert "nest deeper" in text


@pytest.mark.wide
def test_functions_that_call_each_other_twice(tmp_path: Path) -> None:
    doubled = [
        function(f"f{n}", call(f"f{n + 1}"), call(f"f{n + 1}")) for n in range(30)
    ]
    data = model([call("f0")], [], *doubled, function("f30", LSTM))
    withstand(tmp_path / "m.onnx", data, act=load)


@pytest.mark.wide
@pytest.mark.parametrize("field", [b"\x0a\x00", b"\x2a\x00", b"\x10\x01"])
def test_millions_of_empty_fields(tmp_path: Path, field: bytes) -> None:
    graph = field * 3_000_000
    data = message((1, 8), (2, "test"), (7, graph))
    withstand(tmp_path / "m.onnx", data, act=load)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (None, "it has no graph"),
        (b"", "has no LSTM node"),
        (b"\x0a\xff", "the library onnx: Error parsing"),
        (b"\x0a\x7f", "the library onnx: Error parsing"),
        (b"\x0b", "the library onnx: Error parsing"),
        (
            message((1, node("\xff", [], []).replace("\xff".encode(), b"\xff\xfe"))),
            "not text",
        ),
        (message((1, 5)), "has no LSTM node"),
    ],
)
def test_messages_that_are_none(
    tmp_path: Path, graph: bytes | None, reason: str
) -> None:
    fields = [] if graph is None else [(7, graph)]
    assert reason in refusal(tmp_path / "m.onnx", message((1, 8), (2, "test"), *fields))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"W": [1, 4, 3]}, "the tensor 'W' (1, 4, 3): cannot reshape"),
        ({"W": [4, 2]}, "its shapes do not fit each other: W (4, 2), R (1, 4, 1)"),
        ({"W": [1, 4, 1, 2]}, "do not fit"),
        ({"R": [1, 2, 2]}, "do not fit"),
        ({"R": [2, 2, 1]}, "do not fit"),
        ({"W": [1, 2, 4]}, "do not fit"),
    ],
)
def test_shapes_that_do_not_fit_an_lstm_are_refused(
    tmp_path: Path, change: dict[str, list[int]], reason: str
) -> None:
    initializers = [
        tensor(name, change.get(name, shape), 1, (9, bytes(size)))
        for name, shape, size in (("W", [1, 4, 2], 32), ("R", [1, 4, 1], 16))
    ]
    assert reason in refusal(tmp_path / "m.onnx", model([LSTM], initializers))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ([attribute("direction", 3, 4, b"sideways")], "direction is 'sideways'"),
        ([attribute("direction", 3, 4, b"bidirectional")], "W, R have 1 of 2"),
        ([attribute("layout", 2, 3, 2)], "layout is 2"),
        ([attribute("direction", 2, 3, 1)], "its direction has no value of the operator's type"),
        ([message((1, "layout"), (3, 1))], "its layout has no value of the operator's type"),
        ([message((1, "clip"), (20, 1)) + b"\x15\0\0\x80\xbf"], "clip is -1.0"),
        ([message((1, "clip"), (20, 1)) + b"\x15\0\0\xc0\x7f"], "clip is nan"),
        ([message((1, "activations"), (9, "Tanh"), (20, 8))], "each direction has three"),
        ([message((1, "activations"), (9, "Tanh"), (9, "Tanh"), (9, "Gelu"), (20, 8))],
         "activation 'Gelu' is none that ONNX lists"),
    ],
)  # fmt: skip
def test_attributes_that_a_run_cannot_follow(
    tmp_path: Path, attributes: list[bytes], reason: str
) -> None:
    one = node("LSTM", ["X", "W", "R"], ["Y"], *attributes)
    assert reason in refusal(tmp_path / "m.onnx", model([one], WEIGHTS))


# ---- other files of the folder


def external(location: str, **entries_: object) -> bytes:
    entries = [
        message((1, k), (2, str(v)))
        for k, v in {"location": location, **entries_}.items()
    ]
    return model([LSTM], [
        tensor("W", [1, 4, 2], 1, (14, 1), *((13, entry) for entry in entries)), *REST,
    ])  # fmt: skip


def test_a_slice_of_another_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(bytes(8) + b"\0\0\x80\x3f" * 8)
    (tmp_path / "m.onnx").write_bytes(external("w.data", offset=8, length=32))
    assert load(str(tmp_path / "m.onnx")).cell.kernel.sum() == 8
    (tmp_path / "m.onnx").write_bytes(external("./w.data", offset=8))
    assert load(str(tmp_path / "m.onnx")).cell.kernel.sum() == 8


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../secret", "not in its folder"),
        ("/etc/hostname", "not in its folder"),
        ("sub/w.data", "not in its folder"),
        ("..\\secret", "not in the folder of the model"),
        ("..", "not in its folder"),
        ("", "not in its folder"),
        ("missing", "not in the folder of the model"),
        ("w\0.data", "not in the folder of the model"),
        ("link", "is a link out of its folder"),
        ("sub", "not a regular file"),
        ("pipe", "not a regular file"),
    ],
)
def test_no_other_file_is_opened(tmp_path: Path, location: str, reason: str) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret", folder / "sub" / "w.data"):
        path.write_bytes(bytes(32))
    (folder / "link").symlink_to("../secret")
    os.mkfifo(folder / "pipe")
    assert reason in refusal(folder / "m.onnx", external(location))


@pytest.mark.parametrize(
    ("slice_", "reason"),
    [
        ({"offset": 1}, "w.data"),
        ({"offset": -4}, "is corrupt"),
        ({"offset": 10**30}, "reaches past the end of"),
        ({"length": 31}, "needs 32 bytes and declares 31"),
        ({"length": "0x20"}, "is corrupt"),
    ],
)
def test_a_slice_outside_its_file_is_refused(
    tmp_path: Path, slice_: dict[str, object], reason: str
) -> None:
    (tmp_path / "w.data").write_bytes(bytes(32))
    assert reason in refusal(tmp_path / "m.onnx", external("w.data", **slice_))


def test_standard_input_has_no_folder(tmp_path: Path) -> None:

    with pytest.raises(UserError, match="give the path of the model"):
        from_stdin(formats.read, external("w.data"))


def test_a_shape_of_more_numbers_than_any_has_is_refused(tmp_path: Path) -> None:
    nodes = [node("Reshape", ["w", "s"], ["W"]), LSTM]
    initializers = [
        tensor("w", [1, 4, 2], 1, (9, bytes(32))),
        numbers("s", *[1] * 1001),
        *REST,
    ]
    text = refusal(tmp_path / "m.onnx", model(nodes, initializers))
    assert "the Reshape in its graph fails" in text


def test_operators_are_of_the_version_that_the_model_asks_for(tmp_path: Path) -> None:
    """Slice takes its bounds as inputs in version 14, and as attributes in version 1."""
    nodes = [node("Slice", ["w", "start", "end", "axis"], ["W"]), LSTM]
    initializers = [
        tensor("w", [1, 4, 3], 1, (9, bytes(range(48)))), numbers("start", 1), numbers("end", 3),
        numbers("axis", 2), *REST,
    ]  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(model(nodes, initializers))
    expected = np.arange(48, dtype=np.uint8).view("<f4").reshape(4, 3)[:, 1:]
    arrays = formats.read(str(tmp_path / "m.onnx")).arrays
    np.testing.assert_array_equal(arrays["lstm_0/W"][0], expected)


def test_a_graph_where_a_number_should_be_is_not_run(tmp_path: Path) -> None:
    graph = message(
        (5, tensor("t", [1], 1, (14, 1), (13, message((1, "location"), (2, "w")))))
    )
    nodes = [node("Concat", ["w"], ["W"], attribute("axis", 5, 6, graph)), LSTM]
    initializers = [tensor("w", [1, 4, 2], 1, (9, bytes(32))), *REST]
    text = refusal(tmp_path / "m.onnx", model(nodes, initializers))
    assert "an attribute of a Concat in its graph is not an integer" in text


def test_more_nodes_than_any_model_has_are_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path / "m.onnx", model([b""] * ((1 << 17) + 1)))
    assert "more than 131,072 nodes" in text


def test_all_that_a_graph_computes_is_within_the_limit_of_one_tensor(
    tmp_path: Path,
) -> None:
    (tmp_path / "m.onnx").write_bytes(model([LSTM], WEIGHTS))  # W has 32 bytes, R 16
    with (
        raised_to(47),
        pytest.raises(UserError, match="what its graph computes would take"),
    ):
        load(str(tmp_path / "m.onnx"))
    with (
        raised_to(31),
        pytest.raises(UserError, match="the tensor 'W' would take 32 bytes"),
    ):
        load(str(tmp_path / "m.onnx"))


def test_a_file_larger_than_any_message_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.onnx"
    path.write_bytes(model([LSTM], WEIGHTS))
    os.truncate(path, (1 << 31) + 1)
    with pytest.raises(
        UserError, match="2,147,483,649 bytes are more than an ONNX model has"
    ):
        formats.read(str(path))
