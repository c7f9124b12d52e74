"""``lstm diff``: exit status, JSON and screens of the command; the comparison has its own tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Lstm
from tests.paths import TOP

QUESTION, ANSWER = TOP / "samples" / "question", TOP / "samples" / "answer"


def test_the_question_s_outputs_first_differ_at_step_1(lstm: Lstm) -> None:
    done = lstm("diff", QUESTION / "tensorflow.txt", QUESTION / "numpy.txt", "-f", "json")
    assert done.status == 1
    found = json.loads(done.out)
    assert found["equal"] is False
    assert (found["arrays"]["h"]["mismatched"], found["arrays"]["h"]["total"]) == (18, 21)
    first = found["first_divergence"]
    assert (first["array"], first["step"], first["batch"], first["unit"]) == ("h", 1, 0, 0)
    assert (first["a"], first["b"]) == (-0.04818152, -0.01461723)
    assert any(hint["code"].startswith("suspect") for hint in found["hints"])
    table = lstm("diff", QUESTION / "tensorflow.txt", QUESTION / "numpy.txt").out
    assert "18 of 21" in table
    assert "step 1, unit 0" in table


@pytest.mark.parametrize("words", [(), ("--atol", 0, "--rtol", "2e-6")])
def test_the_answer_s_outputs_are_equal(lstm: Lstm, words: tuple[object, ...]) -> None:
    done = lstm("diff", ANSWER / "tensorflow.txt", ANSWER / "numpy.txt", *words)
    assert (done.status, done.err) == (0, "")
    assert "equal" in done.out


def test_quiet_says_it_by_its_status(lstm: Lstm) -> None:
    for folder, status in ((QUESTION, 1), (ANSWER, 0)):
        done = lstm("diff", "-q", folder / "tensorflow.txt", folder / "numpy.txt")
        assert (done.status, done.out, done.err) == (status, "", "")


def test_nan_is_equal_only_when_asked(lstm: Lstm) -> None:
    np.save("a.npy", [[1.0, np.nan]])
    assert lstm("diff", "a.npy", "a.npy").status == 1
    assert lstm("diff", "a.npy", "a.npy", "--equal-nan").status == 0
    report = json.loads(lstm("diff", "a.npy", "a.npy", "-f", "json").out)
    assert report["arrays"]["h"]["max_abs"] == "NaN"


def test_shapes_that_differ_are_a_difference_not_trouble(lstm: Lstm) -> None:
    np.save("a.npy", np.zeros((4, 3)))
    np.save("b.npy", np.zeros((5, 3)))
    done = lstm("diff", "a.npy", "b.npy", "-f", "json")
    assert done.status == 1
    assert json.loads(done.out)["arrays"]["h"]["shape"] == [[4, 3], [5, 3]]


def test_the_layout_is_that_of_a_side_without_a_layout(lstm: Lstm) -> None:
    h = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.save("a.npy", h)
    other = h.copy()
    other[1, 4] += 1
    np.save("b.npy", other)
    for words, place in (
        ((), (1, 4)),
        (("--layout", "batch"), (4, 1)),
        (("--layout", "time"), (1, 4)),
    ):
        done = lstm("diff", "a.npy", "b.npy", "-f", "json", *words)
        first = json.loads(done.out)["first_divergence"]
        assert (first["step"], first["batch"]) == place
    assert "first axis of h is time (not in the files; --layout batch)" in " ".join(
        lstm("diff", "a.npy", "b.npy").out.split()
    )
    assert "assumed" not in lstm("diff", "a.npy", "b.npy", "--layout", "time").out
    np.savez("told.npz", h=h, meta=json.dumps({"layout": "batch"}))
    first = json.loads(lstm("diff", "told.npz", "b.npy", "-f", "json", "--layout", "batch").out)
    assert first["first_divergence"]["step"] == 4


def test_an_abbreviated_print_takes_the_other_sides_shape(lstm: Lstm) -> None:
    Path("a.txt").write_text("[[0.1 0.2 ... 0.3]]")
    Path("b.txt").write_text("[[0.1 0.2 0.7 0.8 0.3]]")
    assert lstm("diff", "a.txt", "b.txt").out.startswith("equal: 3 values of 5, the others not")
    report = json.loads(lstm("diff", "b.txt", "a.txt", "-f", "json").out)
    assert report["arrays"]["h"]["total"] == 3
    assert report["arrays"]["h"]["left_out"] == 2
    Path("c.txt").write_text("[[0.1 0.5 0.7 0.8 0.3]]")
    done = lstm("diff", "a.txt", "c.txt")
    assert done.status == 1
    assert "printed, 1 digit, 3 of 5 numbers" in done.out
    assert "1 of 3" in done.out
    assert "suspicion" not in done.out


def test_an_abbreviated_print_without_a_shape_is_refused(lstm: Lstm) -> None:
    Path("a.txt").write_text("[[0.1 0.2 ... 0.3]]")
    Path("b.txt").write_text("[[0.1 0.2 0.3]]")
    done = lstm("diff", "a.txt", "b.txt")
    assert done.status == 2
    assert (
        "a.txt: h is abbreviated; its shape is (1, more than 3), which (1, 3) of b.txt is not"
        in (done.err)
    )
    done = lstm("diff", "a.txt", "a.txt")
    assert done.status == 2
    assert "nothing tells the rest" in done.err


def test_the_settings_that_differ_are_in_the_json(lstm: Lstm, net: Path) -> None:
    lstm("run", net, "-o", "a.npz")
    lstm("run", net, "--forget-bias", 0, "--cell-clip", 0.5, "-o", "b.json")
    report = json.loads(lstm("diff", "a.npz", "b.json", "-f", "json").out)
    assert report["settings"] == {"forget_bias": [1.0, 0.0], "cell_clip": [None, 0.5]}
    assert report["hints"][0]["code"] == "settings_differ"
    out = lstm("diff", "a.npz", "b.json").out
    assert out.startswith("settings     a    b\nforget_bias  1.0  0.0\ncell_clip    -    0.5\n\na ")
    assert out.endswith("lstm explain WEIGHTS INPUTS b.json\n")
    same = json.loads(lstm("diff", "a.npz", "a.npz", "-f", "json").out)
    assert same["settings"] == {}
    lstm("run", net, "-f", "csv", "-o", "c.csv")
    silent = json.loads(lstm("diff", "a.npz", "c.csv", "-f", "json").out)
    assert "settings" not in silent


def test_one_array_and_one_array_are_compared_and_aligned(lstm: Lstm) -> None:
    h = np.random.default_rng(0).normal(size=(2, 7, 3))
    np.savez("a.npz", out=h)
    np.savez("b.npz", predicted=h[:, -1])
    done = lstm("diff", "a.npz", "b.npz", "--layout", "batch")
    assert (done.status, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert "predicted of b.npz is taken as h" in said
    assert "h: b.npz, (2, 3), is taken as the last step of a.npz" in said
    report = json.loads(lstm("diff", "a.npz", "b.npz", "--layout", "batch", "-f", "json").out)
    assert report["arrays"]["h"]["aligned"] == "b, (2, 3), is taken as the last step of a"
    assert report["remarks"] == [
        {"code": "renamed", "text": "out of a.npz is taken as h"},
        {"code": "renamed", "text": "predicted of b.npz is taken as h"},
        {"code": "axes", "text": "h: b.npz, (2, 3), is taken as the last step of a.npz"},
    ]
    np.savez("b.npz", predicted=h + 1)
    report = json.loads(lstm("diff", "a.npz", "b.npz", "-f", "json").out)
    said = " ".join(lstm("diff", "a.npz", "b.npz").out.split())
    assert report["remarks"][-1]["code"] == "layout"
    assert f"{report['remarks'][-1]['text']} " in said


def test_what_is_compared_can_be_selected(lstm: Lstm, net: Path) -> None:
    lstm("run", net, "-o", "a.npz")
    lstm("run", net, "--forget-bias", 0, "-o", "b.npz")
    for words, status in (
        ((), 1),
        (("--only", "i,g", "--steps", "0"), 0),
        (("--steps", "0", "--only", "h,c"), 0),
        (("--steps", "1", "--only", "h,c"), 1),
    ):
        assert lstm("diff", "a.npz", "b.npz", *words).status == status
    report = json.loads(lstm("diff", "a.npz", "b.npz", "--steps", "-1", "-f", "json").out)
    assert report["arrays"]["h"]["first"]["step"] == 6
    done = lstm("diff", "a.npz", "b.npz", "--only", "q")
    assert (done.status, done.out) == (2, "")
    assert "--only q: both sides contain h, c, i" in done.err
    done = lstm("diff", "a.npz", "b.npz", "--units", "99")
    assert done.status == 2
    assert "--units 99: takes one unit of 0 to" in done.err


def test_text_of_few_digits_is_the_print_of_numpy_at_that_precision(lstm: Lstm, net: Path) -> None:
    """With an exponent too, where numbers that were rounded before have fewer digits than shown."""
    lstm("run", net, "-o", "full.npz")
    lstm("run", net, "--digits", 4, "-o", "few.txt")
    h = np.load("full.npz")["h"]
    assert "e-02" in Path("few.txt").read_text()
    assert Path("few.txt").read_text() == np.array2string(h, precision=4, threshold=1000) + "\n"


def test_a_csv_of_few_digits_differs_by_rounding_and_says_so(lstm: Lstm, net: Path) -> None:
    """CSV counts as exact, a print does not; full digits stay exact on both."""
    lstm("run", net, "--only", "h", "-o", "full.npz")
    for name, digits, status in (
        ("few.csv", ("--digits", 4), 1), ("few.txt", ("--digits", 4), 0), ("all.csv", (), 0)
    ):  # fmt: skip
        lstm("run", net, "--only", "h", *digits, "-o", name)
        done = lstm("diff", name, "full.npz:h")
        assert done.status == status
        said = "once full.npz:h is rounded to 4 digits after the point, as all of few.csv are."
        assert (said in " ".join(done.out.split())) == bool(status)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("order", [1, -1])
def test_a_part_with_as_many_steps_as_sequences_has_the_axes_of_its_run(
    lstm: Lstm, net: Path, turned: bool, order: int
) -> None:
    """Of an array that says no layout, the full run has 7 steps and 5 sequences."""
    lstm("run", net, "--layout", "batch", "-o", "full.npz")
    lstm("run", net, "--layout", "batch", "--steps", "1:6", "-o", "part.npz")
    h = np.load("full.npz")["h"]
    assert h.shape[:2] == (5, 7)
    np.save("other.npy", h.swapaxes(0, 1) if turned else h)
    assert lstm("diff", *["part.npz", "other.npy"][::order]).status == 0
    h[2, 4, 1] += 1
    np.save("other.npy", h.swapaxes(0, 1) if turned else h)
    done = lstm("diff", *["part.npz", "other.npy"][::order], "-f", "json")
    first = json.loads(done.out)["first_divergence"]
    assert (first["step"], first["batch"], first["unit"]) == (4, 2, 1)


@pytest.mark.parametrize("format", ["csv", "jsonl", "npz", "json"])
def test_a_last_step_against_each_format_of_a_trace(lstm: Lstm, net: Path, format: str) -> None:
    lstm("run", net, "-o", "a.npz")
    with np.load("a.npz") as arrays:
        np.save("last.npy", arrays["h"][:, -1])  # (B, H), as Keras returns it
        np.save("one.npy", arrays["h"][2])
    lstm("run", net, "-o", f"trace.{format}")
    for other, text in (("last.npy", "the last step of"), ("one.npy", "sequence 2 of 5 of")):
        done = lstm("diff", f"trace.{format}", other)
        assert done.status == 0
        assert f"{text} trace.{format}" in " ".join(done.out.split())


def test_a_relative_error_of_zero_is_no_number(lstm: Lstm) -> None:
    np.save("a.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.save("b.npy", np.array([[1.0, 2.0], [0.0, 4.0]]))
    np.save("c.npy", np.array([[1.0, 2.0], [np.inf, 4.0]]))
    row = next(
        line for line in lstm("diff", "a.npy", "b.npy").out.splitlines() if line.startswith("h ")
    )
    assert "b is 0" in row
    assert "inf" not in row
    row = next(
        line for line in lstm("diff", "c.npy", "b.npy").out.splitlines() if line.startswith("h ")
    )
    assert "b is 0" not in row
    np.save("d.npy", np.array([[1.0, 2.0], [1e-310, 4.0]]))
    assert "b is 0" not in lstm("diff", "a.npy", "d.npy").out


def test_of_several_cells_the_first_layer_is_looked_at_first(lstm: Lstm) -> None:
    """The output is made of what the cells have: that it differs says least."""
    rng = np.random.default_rng(0)
    tensors = {}
    for layer, inputs in (("l0", 2), ("l1", 3)):
        tensors[f"weight_ih_{layer}"] = rng.normal(size=(12, inputs))
        tensors[f"weight_hh_{layer}"] = rng.normal(size=(12, 3))
    np.savez("net.npz", **tensors)  # type: ignore[arg-type]
    np.save("x.npy", rng.normal(size=(6, 2)))
    for name, bias in (("a.npz", "0"), ("b.npz", "1")):
        lstm("run", "net.npz", "x.npy", "-q", "-o", name, "--forget-bias", bias)
    out = lstm("diff", "a.npz", "b.npz").out
    assert "first difference   step 0, gate layer0.f" in out
    assert "b.npz adds 1 more to the forget gate" in " ".join(out.split())


def test_one_vector_may_be_a_sequence_of_either_layout(lstm: Lstm) -> None:
    values = np.random.default_rng(0).normal(size=(7, 3, 8))
    np.save("full.npy", values)
    np.save("one.npy", values[0, 0] + 1)
    shown = lstm("diff", "full.npy", "one.npy").out
    assert "fits a sequence in either layout: --layout batch or time" in " ".join(shown.split())
    shown = lstm("diff", "full.npy", "one.npy", "--layout", "time").out
    assert "fits 3 sequences: --batch N picks one" in " ".join(shown.split())


def test_a_part_of_a_run_is_what_explain_is_given_next(lstm: Lstm, net: Path) -> None:
    lstm("run", net, "-o", "full.npz")
    lstm("run", net, "--steps", "1:3", "--gates", "ifgo", "-o", "part.npz")
    shown = lstm("diff", "full.npz", "part.npz").out
    assert shown.splitlines()[-1].endswith("lstm explain WEIGHTS INPUTS part.npz")


def test_a_single_number_is_said_to_be_one(lstm: Lstm, net: Path) -> None:
    np.save("s.npy", 3.0)
    np.savez("s.npz", h=3.0, k=2)
    for words in (("diff", "s.npy", "s.npy"), ("explain", net, "s.npy")):
        assert "s.npy is a single number; diff and explain compare arrays." in lstm(*words).err
    assert "s.npz has only single numbers; diff" in lstm("diff", "s.npz", "s.npy").err


def test_an_array_goes_by_its_name_in_a_file(lstm: Lstm) -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    np.savez("y.npz", y=values)
    np.savez("q.npz", q=values)
    np.savez("torch.npz", output=values, h_n=values[-1:])
    np.savez("ours.npz", h=values, final_h=values[-1:] + 1)
    for name in ("y", "q", "h"):
        assert "equal: 15 values" in lstm("diff", "y.npz", "q.npz", "--only", name).out
    assert lstm("diff", "torch.npz", "ours.npz", "--only", "output").status == 0
    assert lstm("diff", "torch.npz", "ours.npz", "--only", "h_n").status == 1
    wrong = lstm("diff", "torch.npz", "ours.npz", "--only", "outputs").err.splitlines()
    assert wrong == [
        'lstm diff: --only outputs: both sides contain h, final_h. Did you mean "output"?',
        "  output and h_n of torch.npz are taken as h and final_h.",
    ]


def test_steps_and_batch_that_look_exchanged_are_not_cut_to_what_comes_first(lstm: Lstm) -> None:
    h = np.random.default_rng(0).normal(size=(6, 2, 4))
    np.save("a.npy", h)
    np.save("b.npy", np.swapaxes(h, 0, 1) + 1e-3)
    shown = lstm("diff", "a.npy", "b.npy").out
    assert "save x.swapaxes(0,1) of one of them" in shown
    assert "--steps" not in shown


@pytest.mark.parametrize("files", ["ea", "ae"])
def test_an_empty_array_is_trouble_and_no_difference(lstm: Lstm, files: str) -> None:
    np.save("a.npy", np.ones((2, 6, 4)))
    np.save("e.npy", np.zeros((0, 4)))
    done = lstm("diff", *(f"{name}.npy" for name in files))
    assert (done.status, done.out) == (2, "")
    assert done.err == "lstm diff: e.npy is empty: h is (0, 4), without numbers.\n"


@pytest.mark.parametrize("words", [("--steps", 5), ("--steps", "4:"), ("--batch", 7)])
def test_a_selection_of_an_axis_that_is_only_taken_as_time_says_so(
    lstm: Lstm, words: tuple[object, ...]
) -> None:
    np.save("a.npy", np.ones((2, 6, 4)))
    axis = "  The first axis of h is taken as time (not in the files; --layout batch)."
    assert lstm("diff", "a.npy", "a.npy", *words).err.splitlines()[1:] == [axis]
    assert axis not in lstm("diff", "a.npy", "a.npy", *words, "--layout", "time").err
    assert axis not in lstm("diff", "a.npy", "a.npy", "--units", 5).err
    assert lstm("diff", "a.npy", "a.npy", "--steps", 5, "--layout", "batch").status == 0


@pytest.mark.parametrize("words", [("-q",), (), ("--only", "h", "--steps", 1), ("--units", ":")])
@pytest.mark.parametrize("sizes", [(3, 8, 40), (2, 3, 7)])
def test_the_table_of_a_run_is_refused_with_what_to_save(
    lstm: Lstm, words: tuple[object, ...], sizes: tuple[int, ...]
) -> None:
    inputs, units, steps = sizes
    lstm("init", "--inputs", inputs, "--units", units, "--steps", steps, "-o", "w.npz")
    printed = lstm("run", "w.npz", *words).out
    Path("s.txt").write_text(printed)
    np.save("a.npy", np.ones((2, 3)))
    for file, name in (("s.txt", "s.txt"), ("-", "standard input")):
        done = lstm("diff", file, "a.npy", stdin=printed.encode())
        assert done.status == 2
        assert f"{name} is the table that lstm run prints" in done.err
        assert "-f csv, or -o out.npz" in done.err
