"""Heads and fronts that graphs tell: their numbers with NumPy, beside what the model gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lstmcli
from lstmcli import formats
from lstmcli.core.model.surroundings import FrontOfFile, HeadLayer, HeadOfFile
from lstmcli.formats import Document
from lstmcli.formats.keras.surroundings import surroundings_of
from tests.recorded import GOLDEN, cases

Array = np.ndarray[Any, Any]

MODELS = [case.removeprefix("models/") for case in cases("models/*")]
OF_GRAPHS = [
    case for case in MODELS if not case.startswith(("torch_", "tflite_directions"))
]
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "softmax": lambda v: np.exp(v) / np.exp(v).sum(-1, keepdims=True),
}


def through(head: HeadOfFile, document: Document, h: Array) -> Array:
    """The head in float64."""
    for layer in head.layers:
        if layer.kernel:
            kernel = document.arrays[layer.kernel].astype("f8")
            h = h @ (kernel.T if layer.is_transposed else kernel)
        if layer.bias:
            h = h + document.arrays[layer.bias].ravel()
        h = FUNCTIONS[layer.activation](h)
    return h


@pytest.mark.parametrize("case", OF_GRAPHS)
def test_front_and_head_are_those_of_the_recorded_model(case: str) -> None:
    record = np.load(GOLDEN / "models" / f"{case}.npz")
    path = str(GOLDEN / "models" / json.loads(str(record["case"]))["file"])
    x, settings = record["inputs"], {}
    document = formats.read(path)
    (head,) = document.heads
    assert document.has_graph
    assert bool(document.fronts) == (x.ndim == 2)
    for front in document.fronts:
        if front.masks_zero:
            settings["lengths"] = (x != 0).sum(1).tolist()
        x = document.arrays[front.table][x]
    if len(document.groups) > 1 and case.startswith("tflite"):
        settings["layer"] = "0,1"
    trace = lstmcli.run(path, x, layout="batch", **settings)
    each = trace.h.reshape(*x.shape[:2], -1).astype("f8")
    states = trace.final_h.reshape(-1, len(x), trace.final_h.shape[-1])
    h = {
        "each": each,
        "last": states[-1],
        "states": np.concatenate([*states], -1),
        "mean": each.mean(1),
        "max": each.max(1),
    }[head.steps]
    y = through(head, document, h)
    expected = record["y" if head.steps == "each" else "final_y"]
    if "lengths" in settings:
        valid = record["inputs"] != 0
        y, expected = y[valid], expected[valid]
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-6)


# ---- Keras

LSTM = {"return_sequences": True}
DENSE = {"units": 3, "use_bias": True, "activation": "softmax"}


def layer(kind: str, name: str, *sources: str, **config: Any) -> dict[str, Any]:
    """A layer of a Functional model of Keras 2."""
    node = [[source, 0, 0, {}] for source in sources]
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": [node] if node else [],
    }


def functional(*layers: dict[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
    named = [[name, 0, 0] for name in outputs]
    config = {"name": "m", "layers": [*layers], "output_layers": named}
    return {"class_name": "Functional", "config": config}


ARRAYS = {
    "emb/table:0": np.zeros((7, 2)),
    **{f"{name}/kernel:0": np.zeros((4, 3)) for name in "def"},
    **{f"{name}/bias:0": np.zeros(3) for name in "def"},
}
X = layer("InputLayer", "x")
A, B = layer("LSTM", "a", "x", **LSTM), layer("LSTM", "b", "x", **LSTM)


def dense(name: str, source: str, **config: Any) -> dict[str, Any]:
    return layer("Dense", name, source, **{**DENSE, **config})


def read_keras(
    *layers: dict[str, Any], outputs: str
) -> tuple[list[HeadOfFile], list[FrontOfFile]]:
    model = functional(X, *layers, outputs=tuple(outputs.split()))
    heads, fronts = surroundings_of(model, ARRAYS, {"": {"keras_version": "3.1"}})
    return list(heads), list(fronts)


def softmax_of(name: str) -> HeadLayer:
    return HeadLayer(name, f"{name}/kernel:0", f"{name}/bias:0", "softmax")


@pytest.mark.parametrize(
    ("layers", "outputs", "obstacles"),
    [
        ([A, layer("MultiHeadAttention", "attn", "a", "a"), dense("d", "attn")],
         "d", {"a": "MultiHeadAttention (attn)"}),
        ([A, layer("LayerNormalization", "norm", "a"), dense("d", "norm")],
         "d", {"a": "LayerNormalization (norm)"}),
        ([A, B, layer("Add", "sum", "a", "b"), dense("d", "sum")],
         "d", {"a": "Add (sum)", "b": "Add (sum)"}),
        ([A, dense("d", "a"), dense("e", "a")], "d e", {"a": "several outputs"}),
        ([A, dense("d", "a"), dense("e", "d")], "d e", {"a": "several outputs"}),
        ([A, dense("d", "a"), layer("GlobalMaxPooling1D", "p", "d")],
         "p", {"a": "GlobalMaxPooling1D (p)"}),
        ([A, dense("d", "a", activation="gelu")], "d", {"a": "Dense (d)"}),
        ([A, layer("Softmax", "s", "a", axis=1)], "s", {"a": "Softmax (s)"}),
        ([A, layer("ReLU", "r", "a", max_value=6.0)], "r", {"a": "ReLU (r)"}),
        ([A, layer("Dense", "unstored", "a", **DENSE)], "unstored", {"a": "Dense (unstored)"}),
        ([layer("Functional", "m", "x", layers=[A]), dense("d", "m")],
         "d", {"m/a": "Functional (m)"}),
    ],
)  # fmt: skip
def test_what_stands_behind_an_lstm_of_keras_is_named(
    layers: list[dict[str, Any]], outputs: str, obstacles: dict[str, str]
) -> None:
    heads, _ = read_keras(*layers, outputs=outputs)
    assert {head.behind: head.obstacle for head in heads} == obstacles
    assert not any(head.layers for head in heads)


@pytest.mark.parametrize(
    ("layers", "outputs", "expected"),
    [
        ([A], "a", []),
        ([A, layer("Dropout", "p", "a")], "p", []),
        ([A, layer("GlobalMaxPooling1D", "p", "a")], "p", []),
        ([A, B, dense("d", "b")], "d", [HeadOfFile("b", (softmax_of("d"),))]),
        ([A, dense("d", "a")], "a d", [HeadOfFile("a", (softmax_of("d"),))]),
        ([A, layer("Softmax", "s", "a")], "s",
         [HeadOfFile("a", (HeadLayer("s", activation="softmax"),))]),
        ([A, layer("LeakyReLU", "s", "a", alpha=0.3)], "s",
         [HeadOfFile("a", (HeadLayer("s", activation="leaky_relu(0.3)"),))]),
        ([A, layer("Activation", "s", "a", activation="hard_sigmoid")], "s",
         [HeadOfFile("a", (HeadLayer("s", activation="hard_sigmoid_1_6"),))]),
        ([A, dense("d", "a"), B, dense("e", "b")], "d e",
         [HeadOfFile("a", (softmax_of("d"),)), HeadOfFile("b", (softmax_of("e"),))]),
    ],
)  # fmt: skip
def test_heads_of_keras(
    layers: list[dict[str, Any]], outputs: str, expected: list[HeadOfFile]
) -> None:
    assert read_keras(*layers, outputs=outputs)[0] == expected


EMBEDDING = layer("Embedding", "emb", "x", mask_zero=True)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([A], []),
        ([layer("Masking", "m", "x"), layer("LSTM", "a", "m")], []),
        ([EMBEDDING, layer("Dropout", "p", "emb"), layer("LSTM", "a", "p")],
         [FrontOfFile("a", "emb", "emb/table:0", True)]),
        ([EMBEDDING, layer("LSTM", "a", "emb"), layer("LSTM", "b", "emb")],
         [FrontOfFile("a", "emb", "emb/table:0", True),
          FrontOfFile("b", "emb", "emb/table:0", True)]),
        ([A, layer("LSTM", "b", "a")], []),
        ([A, dense("d", "a"), layer("LSTM", "b", "d")], [FrontOfFile("b", obstacle="Dense (d)")]),
        ([layer("Conv1D", "c", "x"), layer("LSTM", "a", "c")],
         [FrontOfFile("a", obstacle="Conv1D (c)")]),
        ([layer("Lambda", "l", "x"), layer("Embedding", "emb", "l"), layer("LSTM", "a", "emb")],
         [FrontOfFile("a", obstacle="Embedding (emb)")]),
        ([EMBEDDING, layer("LSTM", "a", "emb", "x")],
         [FrontOfFile("a", obstacle="several inputs")]),
    ],
)  # fmt: skip
def test_fronts_of_keras(
    layers: list[dict[str, Any]], expected: list[FrontOfFile]
) -> None:
    assert read_keras(*layers, outputs="b")[1] == expected


def test_the_axis_of_a_single_output_may_be_squeezed(tmp_path: Path) -> None:
    """Of a forecaster of PyTorch that ends in ``squeeze(-1)``; y keeps the axis."""
    record = np.load(GOLDEN / "models" / "onnx_forecaster.npz")
    model = onnx.load(GOLDEN / "models" / "onnx_forecaster.onnx")
    (output,) = model.graph.output
    axes = onnx.numpy_helper.from_array(np.array([-1]), "axes")
    squeeze = onnx.helper.make_node("Squeeze", [output.name, "axes"], ["squeezed"])
    model.graph.initializer.append(axes)
    model.graph.node.append(squeeze)
    kind = onnx.TensorProto.FLOAT
    model.graph.output.remove(output)
    squeezed = onnx.helper.make_tensor_value_info("squeezed", kind, ["batch"])
    model.graph.output.append(squeezed)
    path = str(tmp_path / "squeezed.onnx")
    onnx.save(model, path)
    trace = lstmcli.run(path, record["inputs"], layout="batch")
    y = np.asarray(trace.final_y)
    np.testing.assert_allclose(y, record["final_y"], rtol=0, atol=1e-6)


# ---- the same models in files that no script recorded


def as_tfjs(source: str, folder: Path) -> Path:
    """A model of Keras 2 as TensorFlow.js stores layers models: its config and all its weights."""
    h5py = pytest.importorskip("h5py")
    listed, data = [], b""
    with h5py.File(source) as file:
        config = json.loads(file.attrs["model_config"])
        groups = file["model_weights"]
        for layer in groups.attrs["layer_names"]:
            for name in groups[layer].attrs["weight_names"]:
                array = groups[layer][name][()]
                name = name.decode() if isinstance(name, bytes) else name
                listed.append(
                    {
                        "name": name.removesuffix(":0"),
                        "shape": array.shape,
                        "dtype": "float32",
                    }
                )
                data += array.astype("<f4").tobytes()
    (folder / "group1-shard1of1.bin").write_bytes(data)
    manifest = [{"paths": ["group1-shard1of1.bin"], "weights": listed}]
    topology = {
        "keras_version": "2.21.0",
        "backend": "tensorflow",
        "model_config": config,
    }
    model = {
        "format": "layers-model",
        "modelTopology": topology,
        "weightsManifest": manifest,
    }
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json"


@pytest.mark.parametrize(
    "case", [case for case in MODELS if case.startswith("tf_keras_")]
)
def test_a_model_of_tensorflow_js_has_its_front_and_head(
    case: str, tmp_path: Path
) -> None:
    record = np.load(GOLDEN / "models" / f"{case}.npz")
    file = as_tfjs(
        str(GOLDEN / "models" / json.loads(str(record["case"]))["file"]), tmp_path
    )
    found = lstmcli.run(file, record["inputs"], layout="batch").members()
    name = "y" if "y" in record else "final_y"
    np.testing.assert_allclose(found[name], record[name], rtol=0, atol=1e-6)


def test_a_gguf_file_has_the_front_and_head_of_its_names(tmp_path: Path) -> None:
    """With the names of a state dict; the head is of each step, as of any such file."""
    gguf = pytest.importorskip("gguf")
    record = np.load(GOLDEN / "models" / "torch_classifier_npz.npz")
    path = tmp_path / "classifier.gguf"
    writer = gguf.GGUFWriter(str(path), "lstm")
    with np.load(GOLDEN / "models" / "torch_classifier_npz.model.npz") as tensors:
        for name, array in tensors.items():
            writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = lstmcli.run(path, record["inputs"], layout="batch", head="fc:softmax")
    assert (found.settings["front"], found.settings["head"]) == ("emb", "fc:softmax")
    np.testing.assert_allclose(found.y[:, -1], record["final_y"], rtol=0, atol=1e-6)
