"""The ONNX graph: what is in it, and that the library takes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.convert import convert
from lstmcli.api.load import load
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.weights.compatibility import fit_or_refuse
from lstmcli.core.weights.encode import fold_forget_bias
from lstmcli.core.weights.metadata.onnx import activation_attributes
from lstmcli.engines.export import graph_of, serialised
from lstmcli.errors import UserError
from tests import networks
from tests.recorded import GOLDEN, held

onnx: Any = pytest.importorskip("onnx", reason="needs lstmcli[onnx]")


def graph(case: str, **settings: Any) -> Any:
    model = load(str(GOLDEN / f"{case}.weights.npz"), **settings)
    how = fit_or_refuse(model.layers, CONVENTIONS["onnx"], {})
    return graph_of(
        [tuple(fold_forget_bias(cell, how) for cell in layer) for layer in model.layers]
    )


def nodes(made: Any, op: str) -> list[Any]:
    return [node for node in made.node if node.op_type == op]


def attributes(node: Any) -> dict[str, Any]:
    found = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    return {k: [*v] if isinstance(v, list) else v for k, v in found.items()}


def constants(made: Any) -> dict[str, np.ndarray]:
    return {one.name: onnx.numpy_helper.to_array(one) for one in made.initializer}


def shapes(ports: Any) -> list[tuple[str | int, ...]]:
    kinds = (port.type.tensor_type.shape.dim for port in ports)
    return [tuple(dim.dim_param or dim.dim_value for dim in dims) for dims in kinds]


def test_an_onnx_file_s_tensors_and_attributes_come_back() -> None:
    made = graph("onnxruntime/everything", coupled="f=1-i", gate_clip=0.6, activation="softsign",
                 recurrent_activation="hard_sigmoid_0.2", output_activation="tanh")  # fmt: skip
    (node,) = nodes(made, "LSTM")
    assert attributes(node) == {
        "hidden_size": 3, "direction": b"bidirectional", "clip": pytest.approx(0.6),
        "input_forget": 1, "activations": [b"HardSigmoid", b"Softsign", b"Tanh"] * 2,
        "activation_alpha": pytest.approx([0.2, 0.2]), "activation_beta": [0.5, 0.5],
    }  # fmt: skip
    assert node.input == ["X", "W_0", "R_0", "B_0", "", "h_0", "c_0", "P_0"]
    own = held("onnxruntime/everything.weights")
    for name in "WRP":
        np.testing.assert_array_equal(constants(made)[f"{name}_0"], own[name])


def test_layers_are_chained() -> None:
    made = graph("torch/two_layers_bidirectional")
    first, second = nodes(made, "LSTM")
    assert attributes(first) == {"hidden_size": 3, "direction": b"bidirectional"}
    assert second.input[0] == "joined_0"
    assert constants(made)["W_1"].shape == (2, 12, 6)
    assert shapes(made.output) == [("T", 2, "B", 3), (4, "B", 3), (4, "B", 3)]


def test_a_model_names_its_producer_and_what_is_none_is_never_written() -> None:
    made = graph("torch/two_layers_bidirectional")
    model = onnx.load_from_string(serialised(made, "1.2"))
    assert (model.producer_name, model.producer_version) == ("lstmcli", "1.2")
    made.node[0].input[0] = "nothing"
    with pytest.raises(onnx.checker.ValidationError):
        serialised(made, "1.2")


def uneven(folder: Path, dtype: str) -> str:
    """Two LSTMs of PyTorch, 5 -> 6 and 12 -> 4 units, each in two directions."""
    sizes = {"enc": (5, 6), "dec": (12, 4)}
    tensors: dict[str, Any] = {
        f"{name}.{key}": array
        for name, size in sizes.items()
        for key, array in networks.pytorch(*size, directions=2, dtype=dtype).items()
    }
    np.savez(folder / "uneven.npz", **tensors)
    return str(folder / "uneven.npz")


STACK = {"layer": "enc,dec"}


def joined(h: Any) -> Any:
    """(T, D, B, H) of ONNX as (T, B, D H)."""
    if h.ndim == 3:
        return h
    steps, ways, rows, units = h.shape
    return h.transpose(0, 2, 1, 3).reshape(steps, rows, ways * units)


ONE, BOTH = 1, 2
STACKS = [
    ((ONE, 6), (BOTH, 4)),
    ((ONE, 6), (BOTH, 4), (ONE, 3)),
    ((BOTH, 4), (ONE, 3)),
    ((ONE, 4), (BOTH, 4)),  # of one width
]
"""Directions and units of each layer."""


def mixed(folder: Path, stack: Sequence[tuple[int, int]]) -> tuple[str, dict[str, str]]:
    """Layers of Keras of 5 inputs, and what runs them in turn."""
    tensors: dict[str, Any] = {}
    layers: list[str] = []
    inputs = 5
    for directions, units in stack:
        kind = "lstm" if directions == ONE else "bidirectional"
        count = sum(name.startswith(kind) for name in layers)
        layers.append(f"{kind}_{count}" if count else kind)
        for inner in (
            ("forward_lstm/", "backward_lstm/") if directions == BOTH else ("",)
        ):
            made = networks.keras(inputs, units, f"{layers[-1]}/{inner}", len(layers))
            tensors |= {name: array.astype("f4") for name, array in made.items()}
        inputs = directions * units
    np.savez(folder / "mixed.npz", **tensors)
    return str(folder / "mixed.npz"), {"layer": ",".join(layers)}


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_layers_of_one_direction_and_of_two_are_converted(
    tmp_path: Path, stack: Any
) -> None:
    source, in_turn = mixed(tmp_path, stack)
    x = np.random.default_rng(1).normal(size=(7, 2, 5))
    theirs = run(load(source, **in_turn), x, layout="time").h
    for to, name in (("keras", "n.npz"), ("keras", "n.safetensors"), ("onnx", "o.npz")):
        target = str(tmp_path / name)
        made = convert([source], target, to, in_turn)
        assert made.proof.difference == 0
        settings = made.settings if name.endswith("safetensors") else {}
        ours = run(load(target, **settings), x, layout="time").h
        np.testing.assert_array_equal(joined(ours), theirs)
        if to == "keras":
            with np.load(source) as own:
                assert list(made.arrays) == list(own)


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_a_graph_has_the_directions_of_each_layer(tmp_path: Path, stack: Any) -> None:
    source, in_turn = mixed(tmp_path, stack)
    layers = load(source, **in_turn).layers
    row = fit_or_refuse(layers, CONVENTIONS["onnx"], {})
    made = graph_of(
        [tuple(fold_forget_bias(cell, row) for cell in layer) for layer in layers]
    )
    lstms = nodes(made, "LSTM")
    assert [len(constants(made)[node.input[1]]) for node in lstms] == [
        ways for ways, _ in stack
    ]
    words = {ONE: b"forward", BOTH: b"bidirectional"}
    assert [attributes(node)["direction"] for node in lstms] == [
        words[ways] for ways, _ in stack
    ]
    y, y_h, _ = shapes(made.output)
    ways, units = stack[-1]
    assert y == ("T", ways, "B", units)
    one_width = len({units for _, units in stack}) == 1
    total = sum(ways * units for ways, units in stack)
    assert y_h == ((total // units, "B", units) if one_width else ("B", total))
    assert constants(made)["initial_h"].size == total


@pytest.mark.parametrize("to", ["pytorch", "mxnet", "tf1"])
def test_layers_of_one_and_of_two_directions_are_rejected_by_formats_without_them(
    tmp_path: Path, to: str
) -> None:
    source, in_turn = mixed(tmp_path, STACKS[0])
    with pytest.raises(UserError) as error:
        convert([source], str(tmp_path / "n.npz"), to, in_turn)
    first, _ = error.value.lines
    assert (
        first
        == f"{source}: {to} cannot store layers of one direction next to layers of two."
    )
    tried = [one.settings for one in error.value.try_]
    assert tried == [{"layer": "lstm"}, {"layer": "bidirectional_lstm"}]


def test_states_of_layers_of_different_widths_are_side_by_side(tmp_path: Path) -> None:
    source, target = uneven(tmp_path, "f4"), tmp_path / "net.onnx"
    convert([source], str(target), "onnx", STACK)
    ports = onnx.load(str(target)).graph
    shapes = {
        port.name: [d.dim_param or d.dim_value for d in port.type.tensor_type.shape.dim]
        for port in (*ports.input, *ports.output)
    }
    assert shapes["initial_h"] == ["B_or_1", 20]
    assert shapes["Y"] == ["T", 2, "B", 4]
    assert shapes["Y_c"] == ["B", 20]
    x = np.random.default_rng(1).normal(size=(7, 3, 5)).astype(np.float32)
    theirs, ours = (
        run(load(path, **more), x, layout="time")
        for path, more in ((source, STACK), (str(target), {}))
    )
    np.testing.assert_array_equal(joined(ours.h), theirs.h)


def test_a_state_of_each_sequence_goes_into_onnx_and_nowhere_else(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnx")
    rng = np.random.default_rng(0)
    source = tmp_path / "rows.npz"
    shapes = {"W": (1, 12, 4), "R": (1, 12, 3), "B": (1, 24),
              "initial_h": (1, 2, 3), "initial_c": (1, 2, 3)}  # fmt: skip
    arrays: dict[str, Any] = {
        n: rng.normal(size=shape).astype("f4") for n, shape in shapes.items()
    }
    np.savez(source, **arrays)
    x = rng.normal(size=(5, 2, 4)).astype(np.float32)
    theirs = run(load(str(source)), x, layout="time").h
    for name in ("net.onnx", "net.npz"):
        convert([str(source)], str(tmp_path / name), "onnx", {})
        np.testing.assert_array_equal(
            run(load(str(tmp_path / name)), x, layout="time").h, theirs
        )
    with pytest.raises(
        UserError, match="lasagne cannot store an initial state that differs"
    ):
        convert([str(source)], str(tmp_path / "other.npz"), "lasagne", {})
    convert(
        [str(source)], str(tmp_path / "zero.npz"), "lasagne", {"initial_state": "zero"}
    )


def test_a_backward_cell() -> None:
    (node,) = nodes(graph("onnxruntime/reverse", reverse=True), "LSTM")
    assert attributes(node)["direction"] == b"reverse"


def test_numbers_of_activations_are_in_the_order_of_the_activations() -> None:
    assert activation_attributes(["elu(0.8)", "tanh", "scaled_tanh(1.5,0.5)"]) == {
        "activations": ["Elu", "Tanh", "ScaledTanh"],
        "activation_alpha": [0.8, 1.5], "activation_beta": [0.5],
    }  # fmt: skip
    assert activation_attributes(["identity", "leaky_relu", "hard_sigmoid_1_6"]) == {
        "activations": ["Affine", "LeakyRelu", "HardSigmoid"],
        "activation_alpha": [1.0, 0.01, 1 / 6], "activation_beta": [0.0, 0.5],
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_library_takes_the_graph(tmp_path: Path, dtype: str) -> None:
    source = str(GOLDEN / "torch" / "two_layers_bidirectional.weights.npz")
    target = tmp_path / "net.onnx"
    conversion = convert([source], str(target), "onnx", {"dtype": dtype})
    model = onnx.load(str(target))
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "lstmcli"
    assert [port.name for port in model.graph.input] == ["X", "initial_h", "initial_c"]
    (said,) = conversion.remarks if dtype != "float32" else ("",)
    assert bool(said) == (dtype != "float32")


@pytest.mark.parametrize(
    "case", ["learned_state", "stacked", "clip_input_forget", "hard_sigmoid_1_6"]
)
def test_a_written_onnx_model_is_read_again(tmp_path: Path, case: str) -> None:
    """A model of another's making, written as ours by the onnx package, read without it."""
    pytest.importorskip("onnx", reason="needs lstmcli[onnx]")
    source, target = GOLDEN / "onnx_files" / f"{case}.onnx", tmp_path / "out.onnx"
    convert([str(source)], str(target), "onnx", {})
    x = held(f"onnx_files/{case}")["inputs"]
    theirs, ours = (run(load(str(path)), x, layout="time") for path in (source, target))
    for name in ("h", "final_h", "final_c"):
        np.testing.assert_array_equal(ours.members()[name], theirs.members()[name])
