"""--steps, --batch, --units and --digits select in every output, as NumPy indexes the full run."""

from __future__ import annotations

import json
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api import save
from lstmcli.api.diff import diff
from lstmcli.api.load import load
from lstmcli.core.forward.batch import Runner
from lstmcli.core.model.model import Trace, as_time_major
from lstmcli.core.model.selection import Selection, cut_trace
from lstmcli.errors import UserError
from lstmcli.formats import read
from tests import networks
from tests.cli.conftest import Lstm

T, B, INPUTS, UNITS = 9, 4, 3, 5
FORMATS = ("npz", "json", "jsonl", "csv", "tsv", "npy", "text")
MEMBERS = ("h", "c", "i", "f", "g", "o")
Axis = str | None


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Weights, inputs of a batch and of one sequence, in the folder of the test."""
    rng = np.random.default_rng(7)
    kernel = rng.normal(size=(INPUTS + UNITS, 4 * UNITS)).astype(np.float32)
    np.savez(
        tmp_path / "w.npz", kernel=kernel, bias=rng.normal(size=4 * UNITS).astype("f4")
    )
    np.save(tmp_path / "x.npy", rng.normal(size=(B, T, INPUTS)).astype(np.float32))
    np.save(tmp_path / "one.npy", rng.normal(size=(T, INPUTS)).astype(np.float32))
    return tmp_path


def picked(size: int, text: Axis) -> np.ndarray[Any, Any]:
    """NumPy's selection of the numbers from 0 to size for the value of an option."""
    whole = np.arange(size)
    if text is None:
        return whole
    if ":" in text:
        return whole[slice(*(int(part) if part else None for part in text.split(":")))]
    return whole[[int(part) for part in text.split(",")]]


def options(steps: Axis, batch: Axis, units: Axis) -> list[str]:
    chosen = {"--steps": steps, "--batch": batch, "--units": units}
    return [f"{name}={value}" for name, value in chosen.items() if value is not None]


def of_full_run(trace: Trace, name: str, steps: Axis, batch: Axis, units: Axis) -> Any:
    """(T', B', K') of one array of a full run, by NumPy's own indexing."""
    array = as_time_major(trace.arrays[name], trace.layout)
    width = array.shape[2] // 4 if name == "z" else array.shape[2]
    columns = picked(width, units)
    if name == "z":
        columns = np.concatenate([gate * width + columns for gate in range(4)])
    index = picked(array.shape[0], steps), picked(array.shape[1], batch), columns
    return array[np.ix_(*index)]


def check_file(path: str, trace: Trace, *axes: Axis) -> None:
    """Every member of what was written equals the part of the full run."""
    found = read(path)
    single = trace.layout == "steps"
    expected_names = {"h"} if found.format in ("npy", "text") else set(trace.arrays)
    arrays = {name or "h": array for name, array in found.arrays.items()}
    assert expected_names <= set(arrays)
    for name in expected_names:
        wanted = of_full_run(trace, name, *axes)
        array = arrays[name]
        if found.format != "text" and found.layout in ("steps", "time"):
            array = array if array.ndim == 3 else array[:, None]
        else:
            array = as_time_major(array, trace.layout)
        np.testing.assert_array_equal(array.astype(wanted.dtype), wanted)
    for name in ("final_h", "final_c"):
        if name in arrays:
            final = getattr(trace, name)
            final = final if single else final[picked(B, axes[1])]
            np.testing.assert_array_equal(arrays[name].astype(np.float32), final)


SELECTIONS: list[tuple[Axis, Axis, Axis]] = [
    ("2:5", None, None),
    (None, "1", None),
    (None, None, "0,3"),
    ("-1", "-2:", "4"),
    ("0,3,8", "0,2", "1:4"),
    ("::2", "1::2", "-1"),
    (":", ":", ":"),
]


@pytest.mark.parametrize(
    ("format", "axes"),
    [
        (f, a)
        for f in FORMATS
        for a in (SELECTIONS if f in ("npz", "csv") else SELECTIONS[4:6])
    ],
)
@pytest.mark.parametrize("layout", ["batch", "time", "steps"])
@pytest.mark.sampled(3)
def test_a_written_selection_equals_that_part_of_the_full_run(
    lstm: Lstm, files: Path, format: str, axes: tuple[Axis, Axis, Axis], layout: str
) -> None:
    inputs = "one.npy" if layout == "steps" else "x.npy"
    if layout == "steps" and axes[1] not in (None, ":"):
        axes = (axes[0], "0", axes[2])
    x = np.load(files / inputs)
    x = x.swapaxes(0, 1) if layout == "time" else x
    np.save(files / "in.npy", x)
    words = ["run", "w.npz", "in.npy", *options(*axes)]
    words += [] if layout == "steps" else ["--layout", layout]
    trace = run(load("w.npz"), x, layout=None if layout == "steps" else layout)
    suffix = "txt" if format == "text" else format
    done = lstm(*words, "-o", f"out.{suffix}")
    assert (done.status, done.out) == (0, ""), done.err
    check_file(f"out.{suffix}", trace, *axes)
    if format not in save.BINARY:
        assert lstm(*words, "-f", format).out == Path(f"out.{suffix}").read_text()


def test_a_run_in_pieces_writes_the_same_bytes(
    lstm: Lstm, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "run",
        "w.npz",
        "x.npy",
        "--layout",
        "batch",
        *options("1::3", "0,3", "1:4"),
    ]
    assert lstm(*words, "-o", "memory.npz").status == 0
    monkeypatch.setattr(save, "PIECES_FROM", 0)
    monkeypatch.setattr("lstmcli.core.forward.run.PIECE", 1)
    monkeypatch.setattr("lstmcli.api.run.run_plan", None)
    assert lstm(*words, "-o", "pieces.npz").status == 0
    assert Path("memory.npz").read_bytes() == Path("pieces.npz").read_bytes()


@pytest.mark.parametrize("format", ["npz", "csv", "json", "jsonl"])
@pytest.mark.parametrize("only", [None, "h,c"])
def test_the_part_that_is_named_is_that_of_the_arrays_that_were_cut(
    lstm: Lstm, files: Path, format: str, only: str | None
) -> None:
    """As many units of h are selected as final_h has, which is complete."""
    np.savez(files / "net.npz", **networks.pytorch(INPUTS, UNITS, directions=2))
    words = ["run", "net.npz", "one.npy", *(["--only", only] if only else []), "-q"]
    assert lstm(*words, "-o", f"whole.{format}").status == 0
    assert lstm(*words, "--units", "2:7", "-o", f"part.{format}").status == 0
    sides = f"part.{format}", f"whole.{format}"
    done = lstm("diff", *sides, "--units", "2:7")
    assert done.status == 0, done.out
    done = lstm("diff", *sides)
    assert done.status == 0
    assert "contains units 2:7 of h" in done.out
    assert "final" not in done.out.partition("assumed")[2]
    told = lstm("explain", "net.npz", "one.npy", f"part.{format}")
    assert (told.status, told.out) == (2, "")
    assert "--units 2:7" in told.err
    done = lstm("plot", f"part.{format}")
    assert "contains units 2:7 of h, units 2:5 of layer0.h" in done.err
    assert "final" not in done.err
    if format in ("npz", "json") and only is None:
        part, whole = read(f"part.{format}").arrays, read(f"whole.{format}").arrays
        np.testing.assert_array_equal(part["final_h"], whole["final_h"])


def check_stacked(part: np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> None:
    for size, numbers in ((T, [2, 3, 4]), (B, [1, 3]), (UNITS, [0, 4])):
        whole = np.take(whole, numbers, axis=whole.shape.index(size))
    np.testing.assert_array_equal(part, whole)


def trace_of_two_directions(files: Path, layout: str, states: str) -> Trace:
    """h with the directions on a separate axis; ``states`` has the axes of the final states."""
    np.savez(files / "net.npz", **networks.pytorch(INPUTS, UNITS, directions=2))
    model = load(str(files / "net.npz"), merge="stack")
    cells = tuple(
        replace(cell, convention=cell.convention.with_behaviour(states=states))
        for cell in model.layers[0]
    )
    x = np.load(files / "x.npy")
    x = x if layout == "batch" else x.swapaxes(0, 1)
    return run(replace(model, layers=(cells,)), x, "h", layout=layout)


@pytest.mark.parametrize("layout", ["batch", "time"])
@pytest.mark.parametrize("states", ["batch", "cells", "features"])
def test_states_decide_where_directions_and_batch_items_are(
    files: Path, layout: str, states: str
) -> None:
    trace = trace_of_two_directions(files, layout, states)
    selected = Selection.parse("2:5", "1,3", "0,4").within(T, B, {"h": UNITS})
    part = cut_trace(trace, selected, states)
    check_stacked(part.h, trace.h)
    batch = trace.final_c.shape.index(B)
    np.testing.assert_array_equal(
        part.final_c, np.take(trace.final_c, [1, 3], axis=batch)
    )


# ---- numbers, final states, meta


def test_meta_says_what_was_selected_and_final_states_are_complete(
    lstm: Lstm, files: Path
) -> None:
    words = [
        "run",
        "w.npz",
        "x.npy",
        "--layout",
        "batch",
        *options("2:5", "1,3", "0,4"),
    ]
    assert lstm(*words, "-o", "o.json", "--digits", "3").status == 0
    assert lstm(*words, "-o", "o.npz", "--save-state", "s.npz").status == 0
    meta = json.loads(Path("o.json").read_text())["meta"]
    assert meta["digits"] == 3
    said = {k: v for k, v in meta["selected"].items() if k != "columns"}
    assert said == {
        "steps": "2:5", "of_steps": T, "batch": "1,3", "of_batch": B, "units": "0,4",
        "of_units": UNITS,
    }  # fmt: skip
    trace = run(load("w.npz"), np.load("x.npy"), layout="batch")
    np.testing.assert_array_equal(np.load("o.npz")["final_h"], trace.final_h[[1, 3]])
    np.testing.assert_array_equal(np.load("s.npz")["c"], trace.final_c)
    assert (
        "selected"
        not in json.loads(lstm("run", "w.npz", "x.npy", "-f", "json").out)["meta"]
    )


def test_digits_round_in_every_text_as_in_the_table(lstm: Lstm, files: Path) -> None:
    words = ["run", "w.npz", "one.npy", "--digits", "2", "--steps", "1"]
    table = lstm(*words, "--only", "h", "--units", ":").out
    shown = [
        float(line.split()[-1])
        for line in re.findall(r"^.*\d \s+-?0\.\d\d$", table, re.M)
    ]
    assert len(shown) == UNITS
    for format in ("json", "jsonl", "csv", "tsv", "text"):
        text = lstm(
            *words, "-f", format, *(["--only", "h"] if format != "text" else [])
        ).out
        Path("o.x").write_text(text)
        found = next(iter(read("o.x").arrays.values()))
        np.testing.assert_array_equal(found.ravel(), shown)
    final = json.loads(lstm(*words, "-f", "json").out)["final_h"]
    assert final == [round(value, 2) for value in final]


# ---- what is refused
OUTPUTS: tuple[list[str], ...] = (
    [], ["-f", "json"], ["-f", "csv"], ["-f", "text"], ["-o", "out.npz"], ["-o", "out.jsonl"],
    ["-o", "out.npy"], ["-o", "out.npz", "-f", "table"],
)  # fmt: skip


@pytest.mark.parametrize("output", OUTPUTS, ids=" ".join)
@pytest.mark.parametrize("words", [["--steps", "9"], ["--digits", "99"]])
def test_a_wrong_value_is_refused_whatever_the_output_before_anything_runs(
    lstm: Lstm,
    files: Path,
    words: list[str],
    output: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lstmcli.core.forward.loop.Loop.__init__", None)
    done = lstm("run", "w.npz", "x.npy", "--layout", "batch", *words, *output)
    assert (done.status, done.out) == (2, ""), done.err
    assert " ".join(words) in done.err
    assert not list(files.glob("out.*"))


# ---- streams


def lines_of(x: np.ndarray[Any, Any]) -> bytes:
    return b"".join(json.dumps({"x": step.tolist()}).encode() + b"\n" for step in x)


@pytest.mark.parametrize("format", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "axes", [("2:5", "1,3", "0,4"), ("0,8", None, "1:"), ("::4", "0", None)]
)
def test_a_stream_selects_as_a_file_does(
    lstm: Lstm, files: Path, format: str, axes: tuple[Axis, Axis, Axis]
) -> None:
    x = np.load("x.npy").swapaxes(0, 1)
    np.save("t.npy", x)
    words = [*options(*axes), "-f", format]
    streamed = lstm(
        "run", "w.npz", "-", *words, "--save-state", "s.npz", stdin=lines_of(x)
    )
    assert streamed.status == 0, streamed.err
    assert streamed.out == lstm("run", "w.npz", "t.npy", "--layout", "time", *words).out
    final = run(load("w.npz"), x, "h", layout="time").final_c
    np.testing.assert_array_equal(np.load("s.npz")["c"], final)


# ---- what was written is read with its numbers


PARTS: list[tuple[Axis, Axis, Axis]] = [
    ("2:5", "1,3", "0,4"),
    (":3", ":2", ":2"),  # from the start, as a run of fewer steps, sequences or units
    ("-1", None, None),
    ("::3", "0", "1:"),
    (":3", None, None),
    (None, ":2", None),
    (None, None, ":2"),
    ("0", "0", "0"),
]


@pytest.mark.parametrize(
    ("format", "axes"),
    [
        (format, axes)
        for format in ("npz", "json", "jsonl", "csv", "tsv")
        for axes in (PARTS if format in ("npz", "csv") else PARTS[:2])
    ],
)
@pytest.mark.sampled(4)
def test_diff_compares_what_both_sides_contain_of_each_axis(
    lstm: Lstm, files: Path, format: str, axes: tuple[Axis, Axis, Axis]
) -> None:
    words = ["run", "w.npz", "x.npy", "--layout", "batch"]
    lstm(*words, "-o", "whole.npz")
    done = lstm(*words, *options(*axes), "--only", "h,c,z", "-o", f"part.{format}")
    lstm(*words, "--only", "h,c,z", "-o", "whole.npz")
    counts_from_0 = any(
        text in (":2", "0") for text in axes[1:]
    )  # as a table of all of it does
    for sides in ((f"part.{format}", "whole.npz"), ("whole.npz", f"part.{format}")):
        done = lstm("diff", *sides, *options(None, *axes[1:]), "-f", "json")
        assert done.status == 0, done.out + done.err
        arrays = json.loads(done.out)["arrays"]
        sizes = [
            len(picked(n, text)) for n, text in zip((T, B, UNITS), axes, strict=True)
        ]
        assert arrays["h"]["total"] == np.prod(sizes)
        assert arrays["z"]["total"] == 4 * np.prod(sizes)
        if not (counts_from_0 and format in ("csv", "tsv")):
            assert lstm("diff", *sides, "-f", "json").out == done.out


def test_a_part_beside_an_array_of_the_other_layout_is_where_its_file_says(
    lstm: Lstm, files: Path
) -> None:
    words = ["run", "w.npz", "x.npy", "--layout", "batch", "--only", "h"]
    lstm(*words, "--steps", "5", "--batch", "1", "-o", "item.csv")
    lstm(*words, "--steps", "5", "-o", "step.csv")
    h = np.asarray(run("w.npz", "x.npy", layout="batch").h)
    assert diff(h, "item.csv").equal
    assert not diff(
        h[[1, 0, 2, 3]], "item.csv"
    ).equal  # its numbers are those of sequence 0
    for part, steps in (("item.csv", "0"), ("step.csv", "0"), ("step.csv", "-1")):
        with pytest.raises(UserError, match="there are only steps 5:6 of h"):
            diff(h, part, steps=steps)


def test_a_table_whose_units_count_from_0_is_a_part_only_if_selected(
    lstm: Lstm, files: Path
) -> None:
    words = ["run", "w.npz", "x.npy", "--layout", "batch"]
    lstm(*words, "-o", "whole.npz")
    lstm(*words, "--units", "0:2", "--only", "h", "-o", "part.csv")
    sides, units = ("part.csv", "whole.npz"), ("--units", "0:2")
    assert [lstm("diff", *sides, *given).status for given in ((), units)] == [1, 0]
    assert lstm("diff", sides[1], sides[1], "--only", "final_h", *units).status == 0


@pytest.mark.parametrize("layout", ["batch", "time"])
@pytest.mark.parametrize("states", ["batch", "cells", "features"])
@pytest.mark.parametrize(
    "axes", [("2:5", None, None), (":3", None, None), ("0", None, None)]
)
def test_a_part_with_directions_on_a_separate_axis_is_aligned(
    files: Path, layout: str, states: str, axes: tuple[Axis, Axis, Axis]
) -> None:
    trace = trace_of_two_directions(files, layout, states)
    part = cut_trace(trace, Selection.parse(*axes).within(T, B, {"h": UNITS}), states)
    found = diff(part, trace)
    assert found.equal, found
    assert found.arrays["h"].total == part.h.size
    assert diff(trace, part).equal
    part.h[..., -1, -1] += 1
    first = diff(part, trace).arrays["h"].first
    assert first is not None
    assert first.step in picked(T, axes[0])
    assert first.unit in (UNITS - 1, 2 * UNITS - 1)


def test_parts_of_different_units_or_batch_items_have_some_in_common(
    files: Path,
) -> None:
    trace = run(load(files / "w.npz"), np.load(files / "x.npy"), "h", layout="batch")

    def part(batch: Axis, units: Axis) -> Trace:
        selected = Selection.parse(None, batch, units).within(T, B, {"h": UNITS})
        return cut_trace(trace, selected, "cells")

    def compared(one: Trace, other: Trace) -> int | None:
        found = diff(one, other)
        assert found.equal
        return found.arrays["h"].total

    one, other, none = part("1,3", "0,4"), part("0,1", "1,4"), part("1,3", "1,2")
    assert (compared(one, one), compared(one, trace)) == (T * 2 * 2, T * 2 * 2)
    assert compared(one, other) == T
    other.h[1, 3, -1] += 1
    first = diff(one, other).first_divergence
    assert first is not None
    assert (first.step, first.batch, first.unit) == (3, 1, 4)
    with pytest.raises(
        UserError, match="contains units 0,4, the other 1:3; they have none in com"
    ):
        diff(one, none)


@pytest.mark.parametrize(
    ("name", "steps"), [("a.npz", "-1"), ("a.json", "8"), ("a.csv", "7:")]
)
def test_a_part_of_a_run_with_the_last_step_is_a_state(
    lstm: Lstm, files: Path, name: str, steps: str
) -> None:
    words = ["run", "w.npz", "one.npy", "--only", "h,c"]
    assert lstm(*words, "--steps", steps, "-o", name).status == 0
    done = lstm("run", "w.npz", "one.npy", "--initial-state", name, "-f", "json")
    assert done.status == 0
    trace = run(load("w.npz"), np.load("one.npy"))
    state = {"h": trace.final_h, "c": trace.final_c}
    wanted = run(load("w.npz"), np.load("one.npy"), initial_state=state)
    np.testing.assert_array_equal(
        np.array(json.loads(done.out)["h"], np.float32), wanted.h
    )


def test_only_what_is_selected_is_kept_in_memory(
    lstm: Lstm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstmcli.core.forward.run.PIECE", 1 << 18)
    np.savez(tmp_path / "net.npz", **networks.pytorch(INPUTS, UNITS))
    steps, batch = 2000, 32
    np.save(tmp_path / "x.npy", np.zeros((steps, batch, INPUTS), np.float32))
    words = ["run", "net.npz", "x.npy", "--layout", "time", "-q", "-o", "out.npz"]
    peaks = []
    for selected in ([], ["--steps", "-10:"], ["--units", "0", "--batch", "1"]):
        tracemalloc.start()
        assert lstm(*words, *selected).status == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    whole = steps * batch * UNITS * len(MEMBERS) * 8
    assert peaks[0] > whole
    assert max(peaks[1:]) < whole / 2


# ---- what is behind the last step, or behind the end


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps each call of the loop computes, of every cell."""
    counts: list[int] = []
    advance = Runner.advance

    def counted(self: Runner, x: Any, names: tuple[str, ...]) -> Any:
        counts.append(len(x))
        return advance(self, x, names)

    monkeypatch.setattr(Runner, "advance", counted)
    return counts


LINES = "".join(f"[{n}, 0.5, 0.25]\n" for n in range(T)).encode()


@pytest.mark.parametrize(
    ("inputs", "steps"),
    [
        ("x.npy", "0:3"),
        ("x.npy", "-9:-6"),
        ("one.npy", "0,2"),
        ("-", "2"),
        ("-", "1:4"),
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        "", "--batch 0", "-f csv", "-o out.npy --only h", "-f json --only h,c", "-f jsonl",
        "-o out.csv -f table", "-o out.npz --only f",
    ],
)  # fmt: skip
def test_no_step_behind_the_last_selected_is_computed(
    lstm: Lstm, files: Path, computed: list[int], steps: str, inputs: str, words: str
) -> None:
    given = (
        "run",
        "w.npz",
        inputs,
        f"--steps={steps}",
        *words.split(),
        "--layout",
        "batch",
    )
    assert lstm(*given, stdin=LINES).status == 0
    last = 1 + int(picked(T, steps)[-1])
    assert sum(computed) == last


@pytest.mark.parametrize(
    "words",
    ["-f json", "-o out.npz", "-o out.npy --save-state s.npz", "--only h,final_c -o out.json",
     "-f csv --reverse", "-f csv --save-state s.npz"],
)  # fmt: skip
def test_all_steps_are_computed_where_the_last_state_is_needed(
    lstm: Lstm, files: Path, computed: list[int], words: str
) -> None:
    assert lstm("run", "w.npz", "one.npy", "--steps", "0:3", *words.split()).status == 0
    assert sum(computed) == T
    if "save" in words:
        final = run("w.npz", "one.npy").final_h
        np.testing.assert_array_equal(np.load("s.npz")["h"].ravel(), final)


@pytest.mark.parametrize(
    ("words", "cuts"),
    [
        ("run w.npz x.npy --steps 0:100 --layout batch", {"steps 0:100": "0:9"}),
        ("run w.npz x.npy --steps 5:10 -f csv --layout batch", {"steps 5:10": "5:9"}),
        ("run w.npz x.npy --steps -20:2 -o o.npz --layout batch", {"steps -20:2": "0:2"}),
        ("run w.npz - --steps 7:20 -f jsonl", {"steps 7:20": "7:9"}),
        ("run w.npz x.npy --units 3:9 --batch 0:5 -o o.npy --layout batch",
         {"batch items 0:5": "0:4", "units 3:9": "3:5"}),
        ("diff full.npz full.npz --steps 4:12 --units 0:6",
         {"steps 4:12": "4:9", "units 0:6": "0:5"}),
        ("diff part.npz full.npz --steps 4:12", {"steps 4:12": "4:6"}),
        ("plot full.npz --steps 4:12 --units 0:6",
         {"steps 4:12": "4:9", "units 0:6": "0:5"}),
        ("plot part.npz --steps 4:12", {"steps 4:12": "4:6"}),
        ("run w.npz x.npy --steps 0:9 --batch :4 --units 2: --layout batch", {}),
        ("diff full.npz full.npz --steps -9:9", {}),
    ],
)  # fmt: skip
def test_a_range_beyond_the_end_is_cut_and_reported(
    lstm: Lstm, files: Path, words: str, cuts: dict[str, str]
) -> None:
    lstm("run", "w.npz", "one.npy", "-o", "full.npz")
    lstm("run", "w.npz", "one.npy", "-o", "part.npz", "--steps", "3:6")
    done = lstm(*words.split(), stdin=LINES)
    assert done.status == 0
    said = [line for line in done.err.splitlines() if " are cut to " in line]
    assert [
        line.partition("note:")[2].split(" are cut to ")[0].strip() for line in said
    ] == [*cuts]
    assert [line.split(" are cut to ")[1].partition(": ")[0] for line in said] == [
        *cuts.values()
    ]
