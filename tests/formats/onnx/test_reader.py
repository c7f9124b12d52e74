"""How LSTM nodes are named, merged, chained and reported; and files that are no ONNX model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.inspect import inspect_files
from lstmcli.api.load import load
from lstmcli.core.weights.metadata import read_metadata
from lstmcli.errors import MissingExtra, UserError
from tests.formats.onnx.helpers import REST, attribute, model, node, numbers, tensor
from tests.formats.protobuf import message
from tests.recorded import GOLDEN

FILES = GOLDEN / "onnx_files"


def weights(name: str, inputs: int, units: int, fill: int) -> bytes:
    """W (1, 4H, I) of one number."""
    number = np.full(4 * units * inputs, fill, "<f4").tobytes()
    return tensor(name, [1, 4 * units, inputs], 1, (9, number))


def lstm(x: str, w: str, y: str, name: str = "") -> bytes:
    return node("LSTM", [x, w, "R"], [y]) + (message((3, name)) if name else b"")


def read(
    path: Path, *nodes: bytes, tensors: tuple[bytes, ...] = ()
) -> formats.Document:
    initializers = [weights("a", 1, 1, 1), weights("b", 1, 1, 2), *REST, *tensors]
    path.write_bytes(model(nodes, initializers))
    return formats.read(str(path))


def test_names_that_differ_only_in_their_separators_are_numbered(
    tmp_path: Path,
) -> None:
    document = read(
        tmp_path / "m.onnx",
        lstm("X", "a", "y", "/rnn/LSTM"),
        lstm("X", "b", "z", "rnn_LSTM"),
    )
    assert list(document.groups) == ["/rnn/LSTM", "rnn_LSTM_2"]
    assert [one.layer for one in inspect_files([document.source], {}).lstms] == [
        "rnn_LSTM", "rnn_LSTM_2",
    ]  # fmt: skip


def test_equal_nodes_are_one(tmp_path: Path) -> None:
    document = read(
        tmp_path / "m.onnx", lstm("X", "a", "y", "one"), lstm("X", "a", "z", "two")
    )
    assert list(document.groups) == ["one"]
    assert document.remarks == (
        f"{document.source} has 2 LSTM nodes, 1 of them distinct.",
    )


def test_nodes_that_differ_only_in_an_attribute_are_two(tmp_path: Path) -> None:
    reverse = node(
        "LSTM", ["X", "a", "R"], ["z"], attribute("direction", 3, 4, b"reverse")
    )
    document = read(tmp_path / "m.onnx", lstm("X", "a", "y"), reverse)
    assert len(document.groups) == 2


def transposed(source: str, target: str, *perm: int) -> bytes:
    axes = message((1, "perm"), (20, 7), *((8, axis) for axis in perm))
    return node("Transpose", [source], [target], axes)


BETWEEN = {
    "nothing is no chain: four axes": ([], "y", False),
    "Squeeze": ([node("Squeeze", ["y", "one"], ["x2"])], "x2", True),
    "Squeeze of another axis": ([node("Squeeze", ["y", "zero"], ["x2"])], "x2", False),
    "Identity and Cast": (
        [node("Squeeze", ["y", "one"], ["s"]), node("Identity", ["s"], ["i"]),
         node("Cast", ["i"], ["x2"], attribute("to", 2, 3, 1))], "x2", True,
    ),
    "Transpose and Reshape": (
        [transposed("y", "t", 0, 2, 1, 3),
         node("Reshape", ["t", "shape"], ["x2"])], "x2", True,
    ),
    "only a Reshape": ([node("Reshape", ["y", "shape"], ["x2"])], "x2", False),
    "batch and time exchanged": (
        [node("Squeeze", ["y", "one"], ["s"]),
         transposed("s", "x2", 1, 0, 2)],
        "x2", False,
    ),
    "exchanged twice": (
        [node("Squeeze", ["y", "one"], ["s"]), transposed("s", "t", 1, 0, 2),
         transposed("t", "x2", 1, 0, 2)], "x2", True,
    ),
    "another operation": (
        [node("Squeeze", ["y", "one"], ["s"]), node("Relu", ["s"], ["x2"])], "x2", False,
    ),
    "the last state": ([], "y_h", False),
}  # fmt: skip


@pytest.mark.parametrize("between", BETWEEN)
def test_a_chain_is_plain_or_none(tmp_path: Path, between: str) -> None:
    nodes, x, chain = BETWEEN[between]
    constants = (numbers("one", 1), numbers("zero", 0), numbers("shape", 0, 0, -1))
    first = node("LSTM", ["X", "a", "R"], ["y", "y_h"])
    document = read(
        tmp_path / "m.onnx", first, *nodes, lstm(x, "b", "z"), tensors=constants
    )
    assert document.in_turn == (("lstm_0", "lstm_1") if chain else ("lstm_0",))


def test_a_chain_in_a_model_with_another_lstm_must_be_asked_for(tmp_path: Path) -> None:
    squeeze = node("Squeeze", ["y", "one"], ["x2"])
    document = read(
        tmp_path / "m.onnx", lstm("X", "a", "y"), squeeze, lstm("x2", "b", "z"),
        lstm("X", "c", "w"), tensors=(numbers("one", 1), weights("c", 1, 1, 3)),
    )  # fmt: skip
    assert document.in_turn == ("lstm_0", "lstm_1")
    with pytest.raises(UserError) as caught:
        load(document.source)
    assert [one.settings["layer"] for one in caught.value.try_] == [0, 1, 2, "0,1"]


def test_inspect_shows_the_chain_and_the_command_that_runs_it() -> None:
    inspection = inspect_files([str(FILES / "stacked.onnx")], {})
    assert inspection.layer == "0,1,2"


def test_a_part_of_the_nodes_may_be_left_out(tmp_path: Path) -> None:
    document = read(
        tmp_path / "m.onnx", lstm("X", "gone", "y", "first"), lstm("X", "a", "z")
    )
    assert list(document.groups) == ["lstm_1"]
    assert (
        "first is left out: its W comes from 'gone', which is not there"
        in document.remarks[0]
    )


def test_an_initial_state_of_some_sequences_needs_as_many() -> None:
    model = load(str(FILES / "state_by_row.onnx"))
    assert run(model, np.ones((7, 4, 5))).h.shape == (7, 2, 4, 3)
    with pytest.raises(
        UserError, match=r"the initial h is \(4, 3\); batch size 2 and 3 units"
    ):
        run(model, np.ones((7, 2, 5)))


def test_numbers_of_activations_keep_their_digits() -> None:
    attributes = {"directions": 1, "units": 3, "activations": ["HardSigmoid", "ScaledTanh", "Tanh"],
             "activation_alpha": [float(np.float32(0.123456789)), 2.0],
             "activation_beta": [0.5, float(np.float32(0.3))]}  # fmt: skip
    settings = read_metadata("onnx", {"n": attributes}, ["n/W"]).settings
    assert settings["recurrent_activation"] == "hard_sigmoid(0.12345679,0.5)"
    assert settings["activation"] == "scaled_tanh(2,0.3)"


def test_directions_that_differ_are_settings_of_the_backward_cell() -> None:
    path = str(FILES / "directions_differ.onnx")
    model = load(path)
    assert model.settings()["layer0_reverse.activation"] == "relu"
    assert (
        model.layers[0][1].convention.behaviour.output_activation
        == "scaled_tanh(1.7,0.6)"
    )
    assert model.convention.behaviour.activation == "leaky_relu(0.2)"
    asked = load(path, activation="tanh")
    assert [cell.convention.behaviour.activation for _, cell in asked.cells] == [
        "tanh",
        "tanh",
    ]


def test_lstms_in_turn_with_different_lengths_are_refused(tmp_path: Path) -> None:
    squeeze = node("Squeeze", ["y", "one"], ["x2"])
    counts = tensor("counts", [2], 6, (5, 3), (5, 2))
    first = node("LSTM", ["X", "a", "R", "", "counts"], ["y"])
    path = tmp_path / "m.onnx"
    read(
        path, first, squeeze, lstm("x2", "b", "z"), tensors=(numbers("one", 1), counts)
    )
    with pytest.raises(
        UserError, match=r"different lengths \(sequence_lens\): 3,2; none.*"
    ) as refused:
        load(str(path))
    assert "runs one of them" in str(refused.value)
    assert load(str(path), layer="0").lengths == (3, 2)
    assert (
        load(str(path), layer="1").lengths
        == load(str(path), lengths="ignored").lengths
        == ()
    )


def test_core_ml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.mlmodel"
    path.write_bytes(message((1, 5), (2, "a model"), (500, b"")))
    with pytest.raises(UserError, match="If it is a Core ML model, give the model"):
        formats.read(str(path))


def test_without_the_library_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        MissingExtra, match="is an ONNX model; reading it needs onnx:"
    ) as caught:
        formats.read(str(FILES / "cell.onnx"))
    command = f"  {sys.executable} -m pip install 'onnx>=1.19'"
    assert caught.value.lines[1] == command
