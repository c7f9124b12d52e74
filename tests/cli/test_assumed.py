"""Assumptions are shown, and (1, T, I) is one sequence wherever its layout is assumed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli import UserError, load, run
from tests import networks
from tests.cli.conftest import SAMPLE, Lstm
from tests.engines.fake import fake, install
from tests.recorded import GOLDEN, held

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
T, I, H = 7, 4, 3


@pytest.fixture
def pytorch(tmp_path: Path) -> Path:
    """Weights that say no layout, under PyTorch's names, whose default is time first."""
    np.savez(tmp_path / "pytorch.npz", **networks.pytorch(I, H))
    return tmp_path / "pytorch.npz"


def h_of(done: Any) -> np.ndarray[Any, Any]:
    assert done.status == 0, done.err
    return np.array(json.loads(done.out)["h"])


# ---- meta


def test_meta_says_what_was_assumed(lstm: Lstm, tmp_path: Path) -> None:
    meta = json.loads(lstm("run", WEIGHTS, INPUTS, "-f", "json").out)["meta"]
    convention, forget_bias, layout = meta["assumed"]
    assert convention.startswith("convention tf1")
    assert forget_bias.startswith("forget bias +1 (")
    assert layout == "layout batch ((1, 7, 4) is one sequence; --layout time)"
    lstm("run", WEIGHTS, INPUTS, "--units", "0", "-o", "part.npz")
    part = json.loads(str(np.load("part.npz")["meta"]))
    assert part["assumed"] == meta["assumed"]
    trace = lstmcli.run(lstmcli.load(str(WEIGHTS)), np.load(INPUTS))
    assert trace.settings["assumed"] == meta["assumed"]
    single = lstmcli.run(
        lstmcli.load(str(WEIGHTS), convention="tf1", forget_bias=1.0),
        np.load(INPUTS)[0],
    )
    assert "assumed" not in single.settings


# ---- (1, T, I)


def test_every_command_takes_it_for_one_sequence(lstm: Lstm, pytorch: Path) -> None:
    lstm("run", pytorch, INPUTS, "--only", "h", "-o", "h.npz")
    h = np.load("h.npz")["h"]
    np.save("h.npy", h)
    derived = json.loads(
        lstm("derive", pytorch, INPUTS, "--steps", 5, "--units", 1, "-f", "json").out
    )
    assert derived["lines"][-1]["value"] == h[0, 5, 1]
    explained = lstm("explain", pytorch, INPUTS, "h.npy", "-f", "json")
    assert explained.status == 0
    assert json.loads(explained.out)["changes"] == []
    drawn = lstm("plot", pytorch, INPUTS, "--only", "h").out
    assert (
        drawn.splitlines()[-3:]
        == lstm("plot", "h.npz", "--only", "h").out.splitlines()[-3:]
    )
    found = lstmcli.derive(lstmcli.load(str(pytorch)), np.load(INPUTS), 5, 1)
    assert found.line("h").value == h[0, 5, 1]
    reading = lstmcli.explain(str(pytorch), np.load(INPUTS), h)
    assert reading.found
    assert reading.changes == ()


def test_a_layout_that_a_file_gives_is_used(lstm: Lstm, pytorch: Path) -> None:
    x = np.load(INPUTS)
    member: dict[str, Any] = {**np.load(pytorch), "layout": "time"}
    np.savez("member.npz", **member)
    wanted = lstmcli.run(lstmcli.load(str(pytorch)), x, layout="time").h
    np.testing.assert_array_equal(
        h_of(lstm("run", "member.npz", INPUTS, "-f", "json")), wanted
    )
    np.testing.assert_array_equal(lstmcli.run(lstmcli.load("member.npz"), x).h, wanted)
    two = np.concatenate([x, x])
    lines = "".join(json.dumps({"x": step.tolist()}) + "\n" for step in two)
    Path("x.jsonl").write_text(lines)  # a line a step
    wanted = lstmcli.run(lstmcli.load(str(pytorch)), two, layout="time").h
    np.testing.assert_array_equal(
        h_of(lstm("run", pytorch, "x.jsonl", "-f", "json")), wanted
    )
    for weights in (pytorch, WEIGHTS):
        file = lstm("run", weights, "x.jsonl", "-f", "json").out
        assert lstm("run", weights, "-", "-f", "json", stdin=lines.encode()).out == file


@pytest.mark.parametrize("given", ["state", "lengths"])
@pytest.mark.parametrize("source", ["pytorch", "tf1"])
def test_states_and_lengths_of_the_second_axis_imply_time_first(
    lstm: Lstm, pytorch: Path, given: str, source: str
) -> None:
    weights = pytorch if source == "pytorch" else WEIGHTS
    rng = np.random.default_rng(0)
    state = {name: rng.normal(size=(T, H)) for name in "hc"}
    np.savez("state.npz", **state)  # type: ignore[arg-type]
    x = np.load(INPUTS)
    model = lstmcli.load(str(weights))
    told: dict[str, Any] = (
        {"initial_state": state}
        if given == "state"
        else {"lengths": [1, 0] + [1] * (T - 2)}
    )
    words = (
        ["--initial-state", "state.npz"]
        if given == "state"
        else ["--lengths", "1,0,1,1,1,1,1"]
    )
    wanted = lstmcli.run(model, x, layout="time", **told).h
    np.testing.assert_array_equal(lstmcli.run(model, x, **told).h, wanted)
    done = lstm("run", weights, INPUTS, *words, "-f", "json")
    np.testing.assert_array_equal(h_of(done), wanted)
    assert "layout time (--layout)" in done.err
    assert lstm("run", weights, INPUTS, *words).status == 0
    single = lstm("run", weights, INPUTS, "--lengths", "3", "-f", "json")
    assert "layout batch (--layout)" in single.err


# ---- what convert prints next


TARGETS = [
    ("out.npz", "pytorch"), ("out.npz", "keras"), ("out.json", "pytorch"),
    ("out.safetensors", "keras"), ("out.onnx", "onnx"),
]  # fmt: skip


@pytest.mark.parametrize("layout", [None, "batch", "time"])
@pytest.mark.parametrize(("target", "to"), TARGETS)
@pytest.mark.parametrize("source", ["pytorch", "tf1"])
@pytest.mark.sampled(5)
def test_the_command_that_convert_prints_gives_the_same_numbers(
    lstm: Lstm, pytorch: Path, source: str, target: str, to: str, layout: str | None
) -> None:
    pytest.importorskip("safetensors" if target.endswith("safetensors") else "numpy")
    weights = pytorch if source == "pytorch" else WEIGHTS
    words = ["--layout", layout] if layout else []
    done = lstm("convert", weights, target, "--to", to, *words)
    assert done.status == 0, done.err
    text = " ".join(done.out.split())
    assert "the source, bit for bit" in text
    *_, last = done.out.splitlines()
    assert last.startswith("next")
    for batch in (1, 2):
        np.save("inputs.npy", np.concatenate([np.load(INPUTS)] * batch))
        command = shlex.split(last.removeprefix("next").replace("INPUTS", "inputs.npy"))
        if batch == 1 and "leave out --layout time" in text:
            command = command[: command.index("--layout")]
        if batch == 1 and "add --layout batch" in text:
            command += ["--layout", "batch"]
        wanted = h_of(lstm("run", weights, "inputs.npy", *words, "-f", "json"))
        h = h_of(lstm(*command[1:], "-f", "json"))
        np.testing.assert_array_equal(h.reshape(wanted.shape), wanted)


# ---- an ONNX node whose sequence_lens is a constant of the file, as it is run, converted, checked


MODEL = GOLDEN / "onnx_files" / "constant_lengths.onnx"
LINE = "lengths 7,3,5,1 (sequence_lens of the file; --lengths)"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """The inputs of the case, (7, 4, 5)."""
    path = tmp_path / "inputs.npy"
    np.save(path, held("onnx_files/constant_lengths")["inputs"])
    return path


def test_lengths_that_python_gives_leave_those_of_the_file_out_of_what_was_assumed(
    inputs: Path,
) -> None:
    x = np.load(inputs)
    for model in (load(str(MODEL)), str(MODEL)):
        assert LINE in run(model, x).settings["assumed"]
        assert "assumed" not in run(model, x, lengths=[7] * 4).settings
    with pytest.raises(UserError, match=r"lengths=\.\.\. +one for each sequence"):
        run(load(str(MODEL)), x[:, :3])


def test_an_exported_model_has_them(lstm: Lstm, inputs: Path) -> None:
    assert lstm("convert", MODEL, "out.onnx").status == 0
    assert load("out.onnx").lengths == (7, 3, 5, 1)
    x = np.load(inputs)
    np.testing.assert_array_equal(
        run(load("out.onnx"), x).h, run(load(str(MODEL)), x).h
    )
    ort = pytest.importorskip("onnxruntime", reason="needs lstmcli[onnxruntime]")
    answers = ort.InferenceSession("out.onnx").run(None, {"X": x})
    expected = held("onnx_files/constant_lengths")
    for answer, name in zip(answers, ("h", "final_h", "final_c"), strict=True):
        np.testing.assert_allclose(answer, expected[name], atol=1e-6)


def test_engines_are_given_them(
    lstm: Lstm, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, fake())
    for given in ((MODEL, inputs), (MODEL,)):
        status, out, err = lstm("check", *given)
        assert (status, err) == (0, "")
        assert "lengths 7,3,5,1 (--lengths)" in out
        assert out.startswith("✔ ")
