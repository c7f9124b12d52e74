"""``lstm plot``: what is drawn of traces, runs and differences."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.job import InputFiles
from lstmcli.api.load import load
from lstmcli.api.plot import read_drawable
from tests.cli.conftest import SAMPLE, Lstm
from tests.cli.test_scale import network
from tests.paths import TOP

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
QUESTION = TOP / "samples" / "question"


def test_the_question_s_difference_with_its_first_divergence_marked(lstm: Lstm) -> None:
    done = lstm("plot", QUESTION / "tensorflow.txt", QUESTION / "numpy.txt")
    assert done.status == 0
    assert done.err == ""
    lines = done.out.splitlines()
    top = lines.index("  h  output")
    assert lines[top + 1 : top + 7] == [
        "      ▼",
        "0▶    ····    ≡≡≡≡····----====",
        "1     ····    ····    ········",
        "2     ----    ····    ····----",
        "  ╵   ╵   ╵   ╵   ╵   ╵   ╵",
        "  0   1   2   3   4   5   6",
    ]
    assert "h differs at step 1, unit 0:   -0.04818152 / -0.01461723" in done.out
    assert "-0.13" in done.out  # the end of the scale


def test_a_command_and_two_values_are_not_wrapped(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    files = (QUESTION / "tensorflow.txt", QUESTION / "numpy.txt")
    lines = lstm("plot", *files, "--color", "always").out.splitlines()
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert f"next      lstm diff {files[0]} {files[1]}" in lines
    assert "          -0.04818152 / -0.01461723" in lines


def test_a_run_is_drawn_from_weights_and_inputs_as_from_its_trace(lstm: Lstm) -> None:
    lstm("run", WEIGHTS, INPUTS, "-o", "trace.npz")
    of_run = lstm("plot", WEIGHTS, INPUTS).out
    of_trace = lstm("plot", "trace.npz").out
    picture = of_run[of_run.index("  h  output") :]
    assert picture in of_trace
    for words in ("cell state", "input gate", "forget gate", "candidate", "output gate"):
        assert words in picture


@pytest.mark.parametrize("suffix", ["npz", "json", "jsonl", "csv", "npy", "txt"])
def test_whatever_run_writes_can_be_drawn(lstm: Lstm, suffix: str) -> None:
    lstm("run", WEIGHTS, INPUTS, "-o", f"trace.{suffix}")
    of_run = lstm("plot", WEIGHTS, INPUTS, "--only", "h").out
    done = lstm("plot", f"trace.{suffix}", "--only", "h")
    assert done.status == 0
    assert _cells(done.out) == _cells(of_run)


def test_a_trace_comes_through_a_pipe_and_so_do_weights(lstm: Lstm) -> None:
    h = lstm("run", WEIGHTS, INPUTS, "-f", "text").out
    assert _cells(lstm("plot", "-", stdin=h.encode()).out)
    piped = lstm("plot", "-", INPUTS, "--only", "h", stdin=WEIGHTS.read_bytes())
    assert _cells(piped.out) == _cells(lstm("plot", WEIGHTS, INPUTS, "--only", "h").out)


def test_long_runs_are_pooled_and_it_says_how(lstm: Lstm, long: Path) -> None:
    done = lstm("plot", long, "--only", "f")
    assert "a cell is the mean of 5 steps x 3 units" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "0         50        100" in done.out
    other = lstm("plot", long, "--only", "f", "--pool", "extreme").out
    assert "the farthest from 0 of 5 steps x 3 units" in other
    assert (
        "pooled" not in lstm("plot", long, "--only", "f", "--steps", "0:40", "--units", "3:9").out
    )


def test_a_part_keeps_the_numbers_of_its_steps_and_units(lstm: Lstm, long: Path) -> None:
    out = lstm("plot", long, "--only", "f", "--steps", "100:103", "--units", "5,7").out
    assert "  100 101 102" in out
    lines = [line for line in out.splitlines() if line.startswith(("5 ", "7 "))]
    f = run(load(str(long)), np.load(long)["inputs"]).f[0, 100:103]
    assert len(lines) == 2
    for line, unit in zip(lines, (5, 7), strict=True):
        cells = line[2:].ljust(12)[::4]
        assert cells == "".join(" ░▒▓█"[min(int(v * 5), 4)] for v in f[:, unit])


@pytest.fixture
def long(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    path = tmp_path / "long.npz"
    np.savez(
        path,
        kernel=rng.normal(size=(3 + 40, 160)),
        bias=rng.normal(size=160),
        inputs=rng.normal(size=(2, 330, 3)),
    )
    return path


@pytest.mark.parametrize("item", [0, 130, -1])
def test_a_run_contains_the_sequence_that_is_drawn_with_the_bits_of_the_full_run(
    tmp_path: Path, item: int
) -> None:
    network(tmp_path / "w.npz", 9, 66, layers=2)
    x = np.random.default_rng(0).normal(size=(131, 7, 9)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    paths = (str(tmp_path / "w.npz"), str(tmp_path / "x.npy"))
    lengths = "2," + "7," * 129 + "5"
    found = read_drawable(
        paths, {"layout": "batch"}, None, item=item, files=InputFiles(lengths=lengths)
    )
    whole = run(load(paths[0]), x, layout="batch", lengths=np.array(lengths.split(","), int))
    assert found.batch == 131
    assert found.arrays.keys() == whole.arrays.keys()
    for name, array in found.arrays.items():
        np.testing.assert_array_equal(array[:, item], whole.time_major(name)[:, item])
        assert array.strides[1] == 0


def test_sequences_of_a_batch_one_at_a_time(lstm: Lstm, long: Path) -> None:
    first, second = (lstm("plot", long, "--only", "h", "--batch", n).out for n in (0, 1))
    assert "batch     item 0 of 2; --batch draws another" in first
    assert "item 1 of 2; --batch" in second
    assert _cells(first) != _cells(second)
    beyond = lstm("plot", long, "--batch", 2)
    assert beyond == (2, "", "lstm plot: --batch 2: takes one batch item of 0 to 1.\n")
    assert lstm("plot", long, "--only", "h", "--batch", -1).out == second


def test_one_unit_as_lines(lstm: Lstm) -> None:
    out = lstm("plot", WEIGHTS, INPUTS, "--units", 1).out
    titles = [line.split()[0] for line in out.splitlines() if "[1]" in line]
    assert titles == ["i[1]", "f[1]", "g[1]", "o[1]", "c[1]", "h[1]"]
    assert any("⠤" in line for line in out.splitlines())
    assert "--units 9: takes one unit of 0 to 2" in lstm("plot", WEIGHTS, INPUTS, "--units", 9).err


def test_a_line_is_as_high_as_its_number(lstm: Lstm) -> None:
    np.save("h.npy", np.array([[1.0], [1.0], [-1.0], [-1.0]]))
    out = lstm("plot", "h.npy", "--units", 0).out
    rows = [line.partition("┤")[2] for line in out.splitlines() if "┤" in line]
    assert len(rows) == 4
    assert rows[0][0] == "⠉"  # the topmost dots
    assert rows[3][-1] == "⣀"  # the lowest
    assert rows[0][-1] == rows[3][0] == "⠀"


def test_cells_of_a_deep_model_by_name(lstm: Lstm) -> None:
    case = TOP / "tests" / "golden" / "torch" / "two_layers.weights.npz"
    inputs = np.load(str(case).replace(".weights", ""))["inputs"]
    np.save("x.npy", inputs)
    whole = lstm("plot", case, "x.npy")
    assert "layer0, layer1: --cell layer0 shows its gates" in whole.out
    assert "forget gate" not in whole.out
    one = lstm("plot", case, "x.npy", "--only", "layer1").out
    assert "layer1.f" in one
    assert "layer0" not in one
    both = lstm("plot", case, "x.npy", "--only", "f").out
    assert "layer0.f" in both
    assert "layer1.f" in both


def test_a_cell_is_not_its_direction_s_other(lstm: Lstm) -> None:
    case = TOP / "tests" / "golden" / "torch" / "two_layers_bidirectional.weights.npz"
    np.save("x.npy", np.load(str(case).replace(".weights", ""))["inputs"])
    one = lstm("plot", case, "x.npy", "--cell", "layer1").out
    assert "layer1.f" in one
    assert "reverse" not in one


def test_settings_make_an_array_of_any_name_weights(lstm: Lstm) -> None:
    saved = np.load(WEIGHTS)
    np.savez("fused.npz", foo=np.concatenate([saved["kernel"], saved["bias"][None]]))
    words = ("fused.npz", INPUTS, "--convention", "tf1", "--set", "bias_row=last")
    done = lstm("plot", *words)
    assert done.status == 0, done.err
    assert _cells(done.out) == _cells(lstm("plot", WEIGHTS, INPUTS).out)


def test_pre_activations_are_drawn_gate_by_gate(lstm: Lstm) -> None:
    out = lstm("plot", WEIGHTS, INPUTS, "--only", "z").out
    assert [g for g in "ifgo" if f"z_{g}  pre-activation of {g}" in out] == list("ifgo")


def test_a_z_that_cannot_be_of_four_gates_is_drawn_as_it_is(lstm: Lstm, tmp_path: Path) -> None:
    np.savez(tmp_path / "z.npz", z=np.ones((5, 1, 3)))
    assert [line[0] for line in lstm("plot", tmp_path / "z.npz").out.splitlines()[4:7]] == [*"012"]


def test_mistakes_are_reported(lstm: Lstm) -> None:
    done = lstm("plot", WEIGHTS, INPUTS, "--only", "hh")
    assert done.status == 2
    assert 'Did you mean "h"?' in done.err
    done = lstm("plot", QUESTION / "numpy.txt", "--forget-bias", 0)
    assert "nothing left to run or set" in done.err
    done = lstm("plot", WEIGHTS, INPUTS, "-o", "plot.gif")
    assert done.err == 'lstm plot: plot.gif: unsupported extension ".gif"; use .png, .svg, .pdf.\n'
    assert lstm("plot", "-", "-", stdin=b"[[1. 2.]]").status == 2
    done = lstm("plot", QUESTION / "numpy.txt", TOP / "samples" / "answer" / "numpy.txt", INPUTS)
    assert "one such file, or two" in done.err


def test_the_layout_of_results_without_a_layout(lstm: Lstm) -> None:
    h = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.save("a.npy", h)
    other = h.copy()
    other[1, 4] += 1
    np.save("b.npy", other)
    assert "step 1" in lstm("plot", "a.npy", "b.npy").out
    done = lstm("plot", "a.npy", "b.npy", "--layout", "batch")
    assert "step 4" in done.out
    assert "lstm diff a.npy b.npy --layout batch" in done.out


@pytest.mark.parametrize("words", [("a.npy",), ("a.npy", "a.npy"), ("other.npz",)])
def test_an_assumed_layout_of_results_is_said(lstm: Lstm, words: tuple[str, ...]) -> None:
    h = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.save("a.npy", h)
    np.savez("other.npz", predictions=h)
    assumed = "the first axis of h is time (not in the file"
    assert assumed in lstm("plot", *words).out
    assert "assumed" not in lstm("plot", *words, "-q").out
    assert assumed not in lstm("plot", *words, "--layout", "time").out
    np.save("a.npy", h[:1])
    np.savez("other.npz", h=h[:1])
    assert "assumed" not in lstm("plot", *words).out


@pytest.mark.parametrize("chosen", [("--steps", "3:6"), ("--batch", "1,2"), ("--steps", "4")])
def test_a_part_of_a_run_is_drawn_by_its_numbers(
    lstm: Lstm, net: Path, chosen: tuple[str, str]
) -> None:
    lstm("run", net, "-o", "full.npz")
    lstm("run", net, "-o", "part.npz", *chosen)
    item = ("--batch", 2 if chosen[0] == "--batch" else 0)
    steps = chosen if chosen[0] == "--steps" else ()
    for only in ("h", "z"):
        lstm("run", net, "-o", "full.npz", "--only", f"h,{only}")
        lstm("run", net, "-o", "part.npz", "--only", f"h,{only}", *chosen)
        full = lstm("plot", "full.npz", "--only", only, *steps, *item)
        part = lstm("plot", "part.npz", "--only", only, *item)
        assert part.out.split("\n\n")[1:-1] == full.out.split("\n\n")[1:-1] != []
    both = lstm("plot", "part.npz", "full.npz")
    assert "no difference" in both.out
    refused = lstm("plot", "part.npz", chosen[0], 0)
    there = {"3:6": "only steps 3:6 of h", "4": "only steps 4:5 of h"}
    assert there.get(chosen[1], "only batch items 1:3 of h") in refused.err


def test_a_part_of_the_units_is_refused(lstm: Lstm, net: Path) -> None:
    lstm("run", net, "-o", "part.npz", "--units", "1:")
    done = lstm("plot", "part.npz")
    assert done.status == 2
    assert "part.npz contains units 1:3 of h" in done.err


def test_the_first_difference_of_parts_is_marked_at_its_number(lstm: Lstm, net: Path) -> None:
    lstm("run", net, "-o", "a.npz", "--steps", "3:6", "--batch", 2, "--only", "h")
    lstm("run", net, "-o", "b.npz", "--forget-bias", 0, "--only", "h")
    out = lstm("plot", "a.npz", "b.npz").out
    assert "h differs at step 3" in out
    assert "▼" in out


def test_directions_on_an_axis_of_their_own_are_drawn_side_by_side(lstm: Lstm) -> None:
    h = np.random.default_rng(0).normal(size=(7, 2, 3, 4))
    np.save("onnx.npy", h)
    np.save("beside.npy", np.concatenate([h[:, 0], h[:, 1]], axis=-1))
    done = lstm("plot", "onnx.npy", "--batch", 1)
    assert "h: the directions of onnx.npy, (7, 2, 3, 4), side by side" in done.out
    assert _cells(done.out) == _cells(lstm("plot", "beside.npy", "--batch", 1).out)
    np.save("onnx.npy", h[:, :, :2])
    done = lstm("plot", "onnx.npy")
    assert (done.status, "onnx.npy contains h (7, 2, 2, 4); " in done.err) == (2, True)


def test_a_file_of_outputs_is_drawn_whatever_it_calls_them(lstm: Lstm) -> None:
    h = np.random.default_rng(0).normal(size=(5, 3))
    np.savez("one.npz", y_pred=h)
    np.savez("two.npz", y_pred=h, y_true=h)
    done = lstm("plot", "one.npz")
    assert "y_pred of one.npz is taken as h" in done.out
    assert "no difference" in lstm("plot", "one.npz", "two.npz:y_true").out
    done = lstm("plot", "two.npz")
    assert done.status == 2
    assert "two.npz contains y_pred, y_true: none is called as results of a run are" in done.err
    (typed,) = [line for line in done.err.splitlines() if line.startswith("  lstm plot")]
    assert lstm(*typed.replace(" draws one.", "").split()[1:]).status == 0


def test_flat_weights_of_any_name_are_run(lstm: Lstm) -> None:
    rng = np.random.default_rng(0)
    np.savez("flat.npz", everything=rng.normal(size=4 * 3 * (4 + 3 + 2)))
    settings = ("--convention", "cudnn-flat", "--set", "flat_units=3")
    assert lstm("run", "flat.npz", INPUTS, *settings).status == 0
    done = lstm("plot", "flat.npz", INPUTS, *settings)
    assert (done.status, done.out.startswith("weights  weight_ih_l0 (12, 4)")) == (0, True)


def test_a_number_that_is_none_is_marked(lstm: Lstm) -> None:
    h = np.linspace(-1, 1, 12).reshape(4, 3)
    h[2, 1] = np.nan
    np.save("h.npy", h)
    done = lstm("plot", "h.npy")
    assert done.status == 0
    assert "!!!!" in done.out
    assert lstm("plot", "h.npy", "--units", 1).status == 0


def test_the_first_divergence_of_two_traces_is_marked_in_its_gate(lstm: Lstm) -> None:
    lstm("run", WEIGHTS, INPUTS, "-o", "a.npz")
    lstm("run", WEIGHTS, INPUTS, "--forget-bias", 0, "-o", "b.npz")
    out = lstm("plot", "a.npz", "b.npz").out
    assert "f differs at step 0, unit 0:   0.75036565 / 0.52511968" in out
    assert out.count("▼") == out.count("▶") == 1
    lines = out.splitlines()
    top = next(n for n, line in enumerate(lines) if "f  forget gate" in line)
    assert "▼" in lines[top + 1]
    assert "▶" in lines[top + 2]
    only = lstm("plot", "a.npz", "b.npz", "--only", "h", "--steps", "3:").out
    assert "▼" not in only  # it is not in this part
    chart = lstm("plot", "a.npz", "b.npz", "--only", "f", "--units", 0).out
    assert "▲" in chart
    assert "f[0]  forget gate   a - b\n" in chart
    same = lstm("plot", "a.npz", "a.npz")
    assert same.status == 0
    assert "no difference" in same.out


def test_units_that_h_of_a_projection_lacks(lstm: Lstm) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        "net.npz",
        weight_ih_l0=rng.normal(size=(20, 4)),
        weight_hh_l0=rng.normal(size=(20, 2)),
        weight_hr_l0=rng.normal(size=(2, 5)),
    )
    np.save("x.npy", rng.normal(size=(6, 4)))
    whole = lstm("plot", "net.npz", "x.npy").out
    assert "  h  output" in whole
    part = lstm("plot", "net.npz", "x.npy", "--units", "1,4").out
    assert [line[:2] for line in _cells(part)[1:3]] == ["1 ", "  "]
    last = lstm("plot", "net.npz", "x.npy", "--units", 4).out
    assert "c[4]" in last
    assert "h[4]" not in last


def test_weights_with_a_state_are_weights(lstm: Lstm) -> None:
    with np.load(WEIGHTS) as held:
        tensors = dict(held)
    state = {f"initial_state.{name}": np.full(3, 0.5) for name in "hc"}
    np.savez("net.npz", **tensors, **state, inputs=np.load(INPUTS))  # type: ignore[arg-type]
    done = lstm("plot", "net.npz")
    assert done.status == 0
    assert "forget gate" in done.out
    assert "zero initial state" not in done.out


@pytest.mark.parametrize("values", [[[0.5]], [[np.inf, -np.inf, 1.0]], [[np.nan], [np.nan]]])
def test_odd_traces_are_drawn_all_the_same(lstm: Lstm, values: list[list[float]]) -> None:
    np.save("h.npy", np.array(values))
    for words in ((), ("--units", 0), ("--pool", "extreme")):
        done = lstm("plot", "h.npy", *words)
        assert (done.status, done.err) == (0, "")


def test_only_weights_ask_for_inputs_and_files_without_steps_are_reported(lstm: Lstm) -> None:
    done = lstm("plot", WEIGHTS)
    assert done.status == 2
    assert done.err.endswith(f"\n  lstm plot {WEIGHTS} inputs.npy\n")
    lstm("run", WEIGHTS, INPUTS, "-o", "end.npz", "--only", "final_h")
    for name, shape in (("many", (2, 2, 2, 3)), ("none", (0, 3))):
        np.save(f"{name}.npy", np.zeros(shape))
    takes = "plot draws h, c and gates of (T, H), (T, B, H) or (B, T, H), also with a further axis"
    for file, contents in (
        ("end.npz", "final_h (1, 3)"),
        ("many.npy", "h (2, 2, 2, 3)"),
        ("none.npy", "h (0, 3)"),
    ):
        done = lstm("plot", file)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"lstm plot: {file} contains {contents}; {takes}")
        assert done.err.count("\n") == 1
    done = lstm("plot", "many.npy", "none.npy")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("; many.npy contains h (2, 2, 2, 3), none.npy contains h (0, 3).\n")


@pytest.mark.wide
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_figure_is_the_same_each_time(lstm: Lstm, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one", "other"):
        assert lstm("plot", WEIGHTS, INPUTS, "-o", f"{name}.{suffix}") == (0, "", "")
    one = Path(f"one.{suffix}").read_bytes()
    assert one[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    assert one == Path(f"other.{suffix}").read_bytes()


@pytest.mark.slow
def test_a_figure_shows_the_numbers(lstm: Lstm) -> None:
    pytest.importorskip("matplotlib")
    assert lstm("plot", WEIGHTS, INPUTS, "-o", "plot.svg", "--only", "h,f").status == 0
    svg = Path("plot.svg").read_text()
    assert [word in svg for word in (">step<", ">unit<", ">f<", ">h<")] == [True] * 4
    assert lstm("plot", WEIGHTS, INPUTS, "-o", "lines.svg", "--units", 2).status == 0
    assert ">f[2]<" in Path("lines.svg").read_text()
    a, b = (QUESTION / name for name in ("tensorflow.txt", "numpy.txt"))
    assert lstm("plot", a, b, "-o", "lines.svg", "--units", 2).status == 0
    assert ">a - b<" in Path("lines.svg").read_text()


@pytest.mark.slow
def test_a_figure_obeys_no_settings_of_the_current_folder(tmp_path: Path) -> None:
    """matplotlib reads them as it is imported: with text.usetex it would start latex."""
    pytest.importorskip("matplotlib")
    files = []
    for folder in (tmp_path / "with", tmp_path / "without"):
        folder.mkdir()
        if folder.name == "with":
            (folder / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nnonsense\n")
        done = subprocess.run(
            [sys.executable, "-m", "lstmcli", "plot", WEIGHTS, INPUTS, "-o", "plot.svg"],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(TOP)}, capture_output=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        files.append((folder / "plot.svg").read_bytes())
    assert files[0] == files[1]


def test_without_matplotlib_one_line_says_what_to_install(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = lstm("plot", WEIGHTS, INPUTS, "-o", "plot.png")
    assert done.status == 2
    assert done.err.endswith("pip install 'matplotlib>=3.6'\n")
    assert not Path("plot.png").exists()


def _cells(out: str) -> list[str]:
    """The lines of a picture."""
    lines = out.splitlines()
    top = next(n for n, line in enumerate(lines) if line.strip().startswith("h  output"))
    return lines[top : lines.index("", top)]
