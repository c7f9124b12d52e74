"""Blocks of the documents that need a framework; `tests.docs.test_blocks` has the others."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from tests.docs.documents import blocks
from tests.paths import TOP
from tests.transcripts.shell import Shell

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("default")]
SAMPLES = TOP / "samples"
I, H = 3, 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_ports_from_pytorch(folder: Path) -> None:
    torch, onnx = pytest.importorskip("torch"), pytest.importorskip("onnx")
    shutil.copy(SAMPLES / "forget-bias/weights.npz", folder)
    known: dict[str, Any] = {"np": np, "torch": torch, "I": 4, "H": 3}
    exec(blocks("docs/porting/pytorch.md")["python"][0], known)
    port, sample = torch.load("port.pt"), torch.load(SAMPLES / "pytorch-port/port.pt")
    assert all(torch.equal(port[name], sample[name]) for name in sample)

    sample = SAMPLES / "onnx-port"
    lstm, x = (
        torch.nn.LSTM(I, H, bidirectional=True),
        torch.tensor(np.load(sample / "inputs.npy")),
    )
    lstm.load_state_dict(torch.load(sample / "model.pt"))
    known |= {"lstm": lstm, "x": x, "helper": onnx.helper, "H": H}
    exec("".join(blocks("docs/porting/onnx.md")["python"]), known)
    graph = onnx.load(sample / "port.onnx").graph
    assert known["node"] == graph.node[0]
    for tensor in graph.initializer:
        assert np.array_equal(known[tensor.name], onnx.numpy_helper.to_array(tensor))
    np.testing.assert_allclose(
        np.load("torch.npy"), np.load(sample / "torch.npy"), atol=1e-6
    )

    exec(blocks("docs/weights.md")["python"][3], known | {"model": lstm})
    assert lstmcli.diff(lstmcli.run("model.pt", "inputs.npy"), "torch.npy").equal


def test_keras_layers_saved_as_documented_give_the_recorded_outputs(
    folder: Path,
) -> None:
    keras, sample = pytest.importorskip("keras"), SAMPLES / "c-port"
    layer, x = (
        keras.layers.LSTM(H, return_sequences=True),
        np.load(sample / "inputs.npy"),
    )
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    with np.load(sample / "keras.npz") as weights:
        layer.set_weights(
            [weights[name] for name in ("kernel", "recurrent_kernel", "bias")]
        )
    known = {"np": np, "keras": keras, "layer": layer, "x": x, "model": model}
    exec(
        blocks("docs/porting/c.md")["python"][0]
        + blocks("docs/weights.md")["python"][2],
        known,
    )
    assert lstmcli.diff("keras.npy", sample / "keras.npy").equal
    for saved in ("keras.npz", "model.keras"):
        assert lstmcli.diff(lstmcli.run(saved, "inputs.npy"), "keras.npy").equal


def test_tensorflow_1_variables_saved_as_documented_are_recognised(
    folder: Path,
) -> None:
    tf = pytest.importorskip("tensorflow").compat.v1
    with tf.Graph().as_default(), tf.Session() as session:
        for name, shape in {"kernel": (I + H, 4 * H), "bias": (4 * H,)}.items():
            tf.get_variable(f"rnn/lstm_cell/{name}", shape)
        session.run(tf.global_variables_initializer())
        exec(blocks("docs/weights.md")["python"][1], {"tf": tf, "session": session})
    assert lstmcli.load("model.ckpt").convention.name == "tf1"


def test_the_screen_of_check(tmp_path: Path) -> None:
    pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    shown = blocks("docs/commands/check.md")["text"][0]
    command, _, screen = shown.removeprefix("$ ").partition("\n")
    done = Shell(tmp_path).run(command)
    figures = re.compile(r"\d[\d.]*(e-?\d+)?|nearest.*", re.S)
    assert figures.sub("#", done.out).split() == figures.sub("#", screen).split()
