"""The model's output y, and final_y, asked for alone, in parts, under edits and in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.errors import UserError
from tests.cli.conftest import Lstm
from tests.golden_models import FOLDER, recorded
from tests.paths import TOP

CLASSIFIER = [
    str(TOP / "samples/text-classifier" / name) for name in ("model.keras", "words.npy")
]
PROBABILITIES = np.load(TOP / "samples/text-classifier/keras.npy")


def inputs_of(case: str, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """The words of a run of a recorded model, and its arrays."""
    weights, arrays, settings = recorded(case)
    path = folder / "inputs.npy"
    np.save(path, arrays["inputs"])
    words = [weights, str(path), "--layout", "batch"]
    for name, value in settings.items():
        words += ["--set", f"{name}={value}"]
    return words, arrays


def test_y_alone_is_a_row_for_each_sequence(lstm: Lstm) -> None:
    for name in ("y", "final_y"):
        rows = lstm("run", *CLASSIFIER, "--only", name).out.splitlines()[-5:]
        shown = [[float(text) for text in row.split()[1:]] for row in rows]
        np.testing.assert_allclose(shown, PROBABILITIES, rtol=0, atol=1e-6)


def test_units_select_outputs_where_y_is_alone(tmp_path: Path, lstm: Lstm) -> None:
    words, arrays = inputs_of("onnx_tagger", tmp_path)
    part = ("--batch", 0, "--steps", 2, "-f", "table")
    last = lstm("run", *words, "--only", "y", "--units", 7, *part).out.splitlines()[-1]
    assert float(last.split()[-1]) == pytest.approx(arrays["y"][0, 2, 7], abs=1e-6)
    both = lstm("run", *words, "--only", "h,y", "--units", "0:2", *part).out
    of_h, of_y = both.split("the model's output")
    assert len(of_h.split("step  batch")[1].split("\n\n")[0].splitlines()) == 3
    assert len(of_y.strip().splitlines()) == 2 + arrays["y"].shape[-1]


@pytest.mark.parametrize("form", ["-o", "--only"])
def test_an_edit_of_the_head_changes_what_is_stored(
    form: str, tmp_path: Path, lstm: Lstm
) -> None:
    """The mean over the steps is one output a sequence, where a state dict has one a step."""
    words, arrays = inputs_of("torch_pooled_pt", tmp_path)
    path = tmp_path / "out.npz"
    more = ["--only", "y"] if form == "--only" else []
    edit = ("--edit", "outputs.pooled=mean")
    assert lstm("run", *words, *edit, *more, "-o", path).status == 0
    with np.load(path) as stored:
        assert "y" not in stored
        np.testing.assert_allclose(
            stored["final_y"], arrays["final_y"], rtol=0, atol=1e-6
        )


def test_derive_shows_an_output_of_a_sequence_at_its_end_alone(lstm: Lstm) -> None:
    words = ("derive", *CLASSIFIER, "--array", "y", "--units", 0, "--steps")
    assert "0.117203" in lstm(*words, -1).out
    refused = lstm(*words, 3)
    assert refused.status == 2
    assert "one output of each sequence, of the last step" in refused.err


def test_a_trace_of_y_alone_is_saved_as_the_command_does(tmp_path: Path) -> None:
    trace = lstmcli.run(CLASSIFIER[0], CLASSIFIER[1], keep="y")
    lstmcli.save(trace, tmp_path / "y.npy")
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), PROBABILITIES, rtol=0, atol=1e-6
    )
    with pytest.raises(AttributeError, match="it is final_y"):
        _ = trace.y


def test_indices_without_a_table_are_explained() -> None:
    weights = str(FOLDER / "keras_dense.keras")
    for indices in (np.arange(5), np.arange(10).reshape(2, 5) % 3):
        with pytest.raises(UserError, match="If these are indices"):
            lstmcli.run(weights, np.resize(indices, (*indices.shape[:-1], 9)))
