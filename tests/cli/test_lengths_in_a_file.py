"""An ONNX node whose sequence_lens is a constant of the file, as it is run, converted, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import UserError, load, run
from lstmcli.api.explain import explain
from lstmcli.engines import export
from tests.cli.conftest import Lstm
from tests.engines.fake import fake, install
from tests.paths import TOP

FOLDER = TOP / "tests" / "golden" / "onnx_files"
MODEL = FOLDER / "constant_lengths.onnx"
LINE = "lengths 7,3,5,1 (sequence_lens of the file; --lengths)"


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """The inputs of the case, (7, 4, 5)."""
    path = tmp_path / "inputs.npy"
    np.save(path, np.load(MODEL.with_suffix(".npz"))["inputs"])
    return path


def test_lengths_that_python_gives_leave_those_of_the_file_out_of_what_was_assumed(
    inputs: Path,
) -> None:
    x = np.load(inputs)
    for model in (load(str(MODEL)), str(MODEL)):
        assert LINE in run(model, x).settings["assumed"]
        assert "assumed" not in run(model, x, lengths=[7] * 4).settings
    with pytest.raises(UserError, match=r"lengths=\.\.\. +one for each of 3"):
        run(load(str(MODEL)), x[:, :3])


def test_all_steps_are_run_where_they_are_ignored(inputs: Path) -> None:
    np.testing.assert_array_equal(
        run(load(str(MODEL), lengths="ignored"), np.load(inputs)).h,
        run(load(str(MODEL)), np.load(inputs), lengths=[7] * 4).h,
    )


def test_an_exported_model_has_them(lstm: Lstm, inputs: Path) -> None:
    assert lstm("convert", MODEL, "out.onnx").status == 0
    assert load("out.onnx").lengths == (7, 3, 5, 1)
    x = np.load(inputs)
    np.testing.assert_array_equal(run(load("out.onnx"), x).h, run(load(str(MODEL)), x).h)
    ort = pytest.importorskip("onnxruntime", reason="needs lstmcli[onnxruntime]")
    answers = ort.InferenceSession("out.onnx").run(None, {"X": x})
    expected = np.load(MODEL.with_suffix(".npz"))
    for answer, name in zip(answers, ("h", "final_h", "final_c"), strict=True):
        np.testing.assert_allclose(answer, expected[name], atol=1e-6)


def test_the_written_graph_has_them_as_the_default_of_an_input(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[Any] = []

    def kept(graph: Any, *_: str) -> bytes:
        graphs.append(graph)
        return b""

    monkeypatch.setattr(export, "serialised", kept)
    assert lstm("convert", MODEL, "out.onnx").status == 0
    (made,) = graphs
    (lengths,) = (one for one in made.initializer if one.name == "sequence_lens")
    assert np.frombuffer(lengths.raw_data, "<i4").tolist() == [7, 3, 5, 1]
    assert "sequence_lens" in [port.name for port in made.input]
    assert all("sequence_lens" in node.input for node in made.node if node.op_type == "LSTM")


def test_engines_are_given_them(lstm: Lstm, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake())
    for given in ((MODEL, inputs), (MODEL,)):
        status, out, err = lstm("check", *given)
        assert (status, err) == (0, "")
        assert LINE in " ".join(out.split())
        assert "agree " in out


def test_directions_that_differ_are_explained() -> None:
    path = FOLDER / "directions_differ.onnx"
    case = np.load(path.with_suffix(".npz"))
    assert explain(str(path), case["inputs"], case["h"]).verdict == "agrees"


def test_explain_runs_with_them(inputs: Path) -> None:
    expected = np.load(MODEL.with_suffix(".npz"))["h"]
    assert explain(str(MODEL), str(inputs), expected).verdict == "agrees"
    assert explain(str(MODEL), np.load(inputs), expected).verdict == "agrees"
