"""The model's output y, and final_y, asked for alone, in parts, under edits and in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.errors import UserError
from tests.cli.conftest import SAMPLE, Lstm
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


# ---- what one who has only the README met

FORECASTER = [
    str(TOP / "samples/forecaster" / name) for name in ("model.pt", "series.npy")
]
WORDS = np.load(CLASSIFIER[1])
INPUTS = 6  # of the classifier's LSTM


def lines_of(steps: Any) -> bytes:
    return "".join(f"{json.dumps(step)}\n" for step in steps).encode()


def test_a_line_of_as_many_indices_as_inputs_is_a_batch(lstm: Lstm) -> None:
    """The table has as many columns as there are sequences here."""
    words = np.concatenate([WORDS, WORDS[:1]])
    assert len(words) == INPUTS
    run = ("run", CLASSIFIER[0], "-", "-f", "jsonl", "--only", "h,y")
    done = lstm(*run, stdin=lines_of(words.T.tolist()))
    y = json.loads(done.out.splitlines()[-1])["final_y"]
    np.testing.assert_allclose(y[:5], PROBABILITIES, rtol=0, atol=1e-6)
    assert "line 1: 6 integers" in done.err
    assert "--front none" in done.err


def test_lines_of_a_file_and_of_a_stream_are_steps(tmp_path: Path, lstm: Lstm) -> None:
    text = lines_of(WORDS.T.tolist())
    (tmp_path / "words.jsonl").write_bytes(text)
    for form, given in (("words.jsonl", {}), ("-", {"stdin": text})):
        lstm("run", CLASSIFIER[0], form, "--only", "y", "-o", "y.npy", **given)
        np.testing.assert_allclose(np.load("y.npy"), PROBABILITIES, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("later", "found"), [(0.5, "0.5 for sequence 1"), (30, "30 for sequence 1")]
)
def test_a_later_line_that_is_no_index_is_refused(
    later: float, found: str, lstm: Lstm
) -> None:
    text = lines_of([[1, 2], [1, later]])
    done = lstm("run", CLASSIFIER[0], "-", "-f", "jsonl", "--only", "h", stdin=text)
    assert done.status == 2
    assert f"line 2 has {found}; embedding (30, 6)" in done.err


def test_booleans_are_not_indices(lstm: Lstm) -> None:
    np.save("mask.npy", WORDS > 9)
    done = lstm("run", CLASSIFIER[0], "mask.npy")
    assert done.status == 2
    assert "mask.npy has booleans; embedding (30, 6) takes indices" in done.err


@pytest.mark.parametrize("suffix", ["csv", "tsv", "npy", "txt"])
def test_a_file_without_the_output_is_noted(suffix: str, lstm: Lstm) -> None:
    note = f"out.{suffix} has no final_y, the model's output; --only y -o y.npy"
    assert note in lstm("run", *CLASSIFIER, "-o", f"out.{suffix}").err
    assert (
        note not in lstm("run", *CLASSIFIER, "-o", f"out.{suffix}", "--only", "h").err
    )


@pytest.mark.parametrize("suffix", ["npz", "json", "jsonl"])
def test_a_file_with_the_output_has_no_note(suffix: str, lstm: Lstm) -> None:
    assert "model's output" not in lstm("run", *CLASSIFIER, "-o", f"out.{suffix}").err


def test_plot_tells_that_arrays_of_the_end_have_no_steps(lstm: Lstm) -> None:
    lstm("run", *CLASSIFIER, "-o", "out.npz")
    for words in (CLASSIFIER, ["out.npz"]):
        for asked, name in (("y", "final_y"), ("final_y", "final_y"), ("final_h",) * 2):
            done = lstm("plot", *words, "--only", asked)
            assert done.status == 2
            assert f"--only {asked}: {name} has no steps to draw" in done.err
    both = lstm("plot", "out.npz", TOP / "samples/text-classifier/port.txt")
    assert both.status == 2
    assert both.err.startswith("lstm plot: error: final_y has no steps to draw.")
    assert "lstm diff out.npz" in both.err


def test_a_file_that_is_called_y_is_drawn_as_y(lstm: Lstm) -> None:
    np.save("y.npy", np.zeros((3, 2, 1)))
    assert "y  output of the model" in lstm("plot", "y.npy").out


@pytest.mark.parametrize("keep", ["y", ["y"]])
def test_y_alone_is_kept_of_several_cells(keep: Any) -> None:
    trace = lstmcli.run(FORECASTER[0], FORECASTER[1], keep, layout="batch")
    assert [*trace.members()] == ["y", "final_h", "final_c"]
    of_last = np.load(TOP / "samples/forecaster/torch.npy")
    y = np.asarray(trace.y)[:, -1].ravel()
    np.testing.assert_allclose(y, of_last.ravel(), rtol=0, atol=1e-6)


def test_final_y_is_a_name_to_keep() -> None:
    trace = lstmcli.run(CLASSIFIER[0], CLASSIFIER[1], "final_y")
    assert trace.final_y is not None
    np.testing.assert_allclose(trace.final_y, PROBABILITIES, rtol=0, atol=1e-6)
    assert not trace.arrays


def test_a_message_names_what_an_option_takes(lstm: Lstm) -> None:
    done = lstm("run", SAMPLE / "weights.npz", SAMPLE / "inputs.npy", "--only", "y")
    assert done.err.splitlines()[-1] == "  Try --head NAME"


@pytest.mark.parametrize("family", ["head", "front"])
def test_help_shows_a_family_of_edits(family: str, lstm: Lstm) -> None:
    rows = lstm("help", "edits", family).out.splitlines()
    assert any(row.startswith(f"  {family}.") for row in rows)
    assert not any(row.startswith("  inputs.") for row in rows)


def test_a_wrong_layer_is_answered_with_those_of_the_graph(lstm: Lstm) -> None:
    for option, right in (("--front", "embedding"), ("--head", "classes:softmax")):
        done = lstm("run", *CLASSIFIER, option, "nothing")
        assert done.status == 2
        assert f"{option} {right}" in done.err
        assert f"{option} none" in done.err


@pytest.mark.parametrize("case", ["keras_directions_each", "torch_tagger_pt"])
def test_y_of_each_step_is_drawn_and_compared(
    case: str, tmp_path: Path, lstm: Lstm
) -> None:
    """In the terminal and on a page, of a model and of two files that differ in y alone."""
    words, arrays = inputs_of(case, tmp_path)
    lstm("run", *words, "-o", "out.npz")
    with np.load("out.npz") as members:
        other = {**members, "y": arrays["y"] + 0.1}
    np.savez("other.npz", **other)
    compared = lstm("diff", "out.npz", "other.npz")
    assert compared.status == 1
    assert "h agrees, y differs: the head." in compared.out
    for sides in (words, ["out.npz"], ["out.npz", "other.npz"]):
        drawn = lstm("plot", *sides, "--only", "y", "--page", "page.html")
        assert drawn.status == 0, drawn.err
        assert '"y"' in Path("page.html").read_text()
        assert "y" in lstm("plot", *sides, "--only", "y").out.split()
