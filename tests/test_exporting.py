"""The ONNX graph as data: what is in it, and that the library takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.converting import convert
from lstmcli.core.conventions import CONVENTIONS
from lstmcli.core.encode import folded
from lstmcli.core.fitting import fitted
from lstmcli.core.onnx_words import activation_attributes
from lstmcli.core.run import run
from lstmcli.exporting import graph_of
from lstmcli.formats.onnx_graph import Graph
from lstmcli.loading import load
from tests.test_golden import GOLDEN


def graph(case: str, **settings: Any) -> Graph:
    model = load(str(GOLDEN / f"{case}.weights.npz"), **settings)
    how = fitted(model.layers, CONVENTIONS["onnx"], {})
    return graph_of([tuple(folded(cell, how) for cell in layer) for layer in model.layers])


def nodes(made: Graph, op: str) -> list[Any]:
    return [node for node in made.nodes if node.op == op]


def test_an_onnx_file_s_tensors_and_attributes_come_back() -> None:
    made = graph("onnxruntime/everything", coupled="f=1-i", gate_clip=0.6, activation="softsign",
                 recurrent_activation="hard_sigmoid_0.2", output_activation="tanh")  # fmt: skip
    (node,) = nodes(made, "LSTM")
    assert node.attributes == {
        "hidden_size": 3, "direction": "bidirectional", "clip": 0.6, "input_forget": 1,
        "activations": ["HardSigmoid", "Softsign", "Tanh"] * 2,
        "activation_alpha": [0.2, 0.2], "activation_beta": [0.5, 0.5],
    }  # fmt: skip
    assert node.inputs == ["X", "W_0", "R_0", "B_0", "", "h_0", "c_0", "P_0"]
    with np.load(GOLDEN / "onnxruntime" / "everything.weights.npz") as own:
        for name in "WRP":
            np.testing.assert_array_equal(made.constants[f"{name}_0"], own[name])


def test_layers_are_chained() -> None:
    made = graph("torch/two_layers_bidirectional")
    first, second = nodes(made, "LSTM")
    assert first.attributes == {"hidden_size": 3, "direction": "bidirectional"}
    assert second.inputs[0] == "joined_0"
    assert made.constants["W_1"].shape == (2, 12, 6)
    assert [port.shape for port in made.outputs] == [
        ("T", 2, "B", 3), (4, "B", 3), (4, "B", 3),
    ]  # fmt: skip


def test_a_backward_cell() -> None:
    (node,) = nodes(graph("onnxruntime/reverse", reverse=True), "LSTM")
    assert node.attributes["direction"] == "reverse"


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
    onnx: Any = pytest.importorskip("onnx")
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
def test_what_is_written_is_read_again(tmp_path: Path, case: str) -> None:
    """A model of another's making, written as ours by the onnx package, read without it."""
    pytest.importorskip("onnx", reason="needs lstmcli[onnx]")
    source, target = GOLDEN / "onnx_files" / f"{case}.onnx", tmp_path / "out.onnx"
    convert([str(source)], str(target), "onnx", {})
    with np.load(source.with_suffix(".npz")) as recorded:
        x = recorded["inputs"]
    theirs, ours = (run(load(str(path)), x, layout="time") for path in (source, target))
    for name in ("h", "final_h", "final_c"):
        np.testing.assert_array_equal(ours.members()[name], theirs.members()[name])
