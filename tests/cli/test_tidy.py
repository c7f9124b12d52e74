"""--tidy: a row for each step, batch item and unit, the same columns whatever the rank."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
COLUMNS = ["step", "batch", "unit", "h", "c", "i", "f", "g", "o"]
FORMATS = ("csv", "tsv", "jsonl")


def rows_of(text: str, format: str) -> list[dict[str, float]]:
    """The rows of tidy data, as a reader that knows nothing of lstm has them."""
    if format == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    reader = csv.DictReader(text.splitlines(), delimiter="," if format == "csv" else "\t")
    return [{name: float(cell) for name, cell in row.items()} for row in reader]


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """Inputs of 2 sequences of 5 steps, of which 4 numbers each."""
    np.save(tmp_path / "batch.npy", np.random.default_rng(3).normal(size=(2, 5, 4)))
    return tmp_path / "batch.npy"


@pytest.mark.parametrize("format", FORMATS)
def test_every_number_has_its_step_its_sequence_and_its_unit(
    lstm: Lstm, batch: Path, format: str
) -> None:
    done = lstm("run", WEIGHTS, batch, "-f", format, "--tidy", "-q")
    rows = rows_of(done.out, format)
    assert lstm("run", WEIGHTS, batch, "-o", "out.npz", "-q").status == 0
    trace = np.load("out.npz")
    assert len(rows) == 2 * 5 * 3
    places = [(row["step"], row["batch"], row["unit"]) for row in rows]
    assert places == [(t, b, u) for t in range(5) for b in range(2) for u in range(3)]
    for row in rows:
        assert list(row) == COLUMNS
        for name in COLUMNS[3:]:
            at = int(row["batch"]), int(row["step"]), int(row["unit"])
            assert row[name] == trace[name][at]


def test_one_sequence_has_the_same_columns(lstm: Lstm, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.load(INPUTS)[0])
    one = lstm("run", WEIGHTS, "x.npy", "-f", "csv", "--tidy", "-q").out
    assert one.splitlines()[0].split(",") == COLUMNS
    assert one == lstm("run", WEIGHTS, INPUTS, "-f", "csv", "--tidy", "-q").out


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_back(lstm: Lstm, batch: Path, tmp_path: Path, format: str) -> None:
    for words in (("--units", "0,2", "--steps", "1:4", "--batch", "1"), ()):
        lstm("run", WEIGHTS, batch, "-o", f"t.{format}", "--tidy", "-q", *words)
        lstm("run", WEIGHTS, batch, "-o", "t.npz", "-q")
        found = json.loads(lstm("diff", f"t.{format}", "t.npz", "-f", "json").out)
        assert found["equal"]
        assert [*found["arrays"]] == ["h", "c", "i", "f", "g", "o"]
        total = 30 if not words else 6
        assert all(array["total"] == total for array in found["arrays"].values())
        piped = lstm("diff", "-", "t.npz", stdin=(tmp_path / f"t.{format}").read_bytes())
        assert piped.status == 0
    array = np.load("t.npz")["h"].swapaxes(0, 1)  # as tidy data have it: step, sequence, unit
    array[3, 1, 2] += 0.5
    np.save(tmp_path / "other.npy", array)
    found = json.loads(lstm("diff", f"t.{format}:h", "other.npy", "-f", "json").out)
    first = found["first_divergence"]
    assert (first["step"], first["batch"], first["unit"]) == (3, 1, 2)


def test_a_state_is_the_last_step_of_a_tidy_trace(lstm: Lstm, batch: Path) -> None:
    for name, words in (("t.csv", ("--tidy",)), ("s.npz", ())):
        assert lstm("run", WEIGHTS, batch, "-o", name, "-q", *words).status == 0
    given = [
        lstm("run", WEIGHTS, batch, "--initial-state", name, "-f", "csv", "-q").out
        for name in ("t.csv", "s.npz")
    ]
    assert given[0] == given[1]
    assert given[0] != lstm("run", WEIGHTS, batch, "-f", "csv", "-q").out


def test_a_stream_is_written_a_step_at_a_time(lstm: Lstm) -> None:
    x = np.load(INPUTS)[0]
    lines = "".join(f"{json.dumps(step.tolist())}\n" for step in x).encode()
    done = lstm("run", WEIGHTS, "-", "-f", "jsonl", "--tidy", "-q", stdin=lines)
    assert done.status == 0, done.err
    expected = rows_of(lstm("run", WEIGHTS, INPUTS, "-f", "jsonl", "--tidy", "-q").out, "jsonl")
    assert rows_of(done.out, "jsonl") == expected


def test_numbers_that_are_not_finite_keep_their_names(lstm: Lstm, tmp_path: Path) -> None:
    x = np.load(INPUTS)
    x[0, 5, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    for format in FORMATS:
        assert lstm("run", WEIGHTS, "x.npy", "-o", f"t.{format}", "--tidy", "-q").status == 0
        assert lstm("run", WEIGHTS, "x.npy", "-o", "t.npz", "-q").status == 0
        assert lstm("diff", f"t.{format}", "t.npz", "--equal-nan").status == 0
    assert '"h": "NaN"' in (tmp_path / "t.jsonl").read_text()


def test_arrays_of_several_sizes_are_refused(lstm: Lstm, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (12, 4), "weight_hh_l0": (12, 3)}
    shapes |= {"weight_ih_l1": (20, 3), "weight_hh_l1": (20, 5)}
    arrays: dict[str, Any] = {k: rng.normal(size=s) for k, s in shapes.items()}
    np.savez(tmp_path / "two.npz", **arrays)
    done = lstm("run", "two.npz", INPUTS, "-o", "t.csv", "--tidy", "-q")
    assert done.status == 2
    assert "units: 5 in h, layer1.h, layer1.c and 4 more; 3 in layer0.h, layer0.c" in done.err
    assert "  Choose those of one size: --only h,layer1.h or --only layer0.h,layer0.c;" in done.err
    assert not (tmp_path / "t.csv").exists()
    one = ("--only", "layer1.c,layer1.h")
    assert lstm("run", "two.npz", INPUTS, "-o", "t.csv", "--tidy", *one).status == 0
    assert (tmp_path / "t.csv").read_text().startswith("step,batch,unit,layer1.c,layer1.h\n")


@pytest.mark.parametrize(
    "words", [("--tidy",), ("--tidy", "-f", "json"), ("--tidy", "-o", "out.npz")]
)
def test_other_formats_are_not_tidy(lstm: Lstm, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = lstm("run", WEIGHTS, INPUTS, *words)
    assert (done.status, done.out) == (2, "")
    assert "--tidy is for csv, tsv and jsonl" in done.err
    assert list(tmp_path.iterdir()) == []
    done = lstm("run", WEIGHTS, INPUTS, "--only", "z", "-f", "csv", "--tidy")
    assert (done.status, done.out) == (2, "")
    assert "z has four numbers, one for each gate; leave out --tidy or z." in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step,batch,unit,h\n0,0,0,1\n0,0,1,2\n1,0,0,3\n", "step 1, batch 0, unit 1 is missing"),
        (
            "step,batch,unit,h\n0,0,0,1\n0,0,0,2\n",
            "line 3: step 0, batch 0, unit 0 occurs a second",
        ),
        ("step,unit,h\n0,0,1\n0,2,2\n1,0,3\n1,1,4\n", "step 0, unit 1 is missing"),
        ("step,unit,h[0]\n0,0,1\n", "has a column 'unit' and columns h[n]"),
        ('{"step": 0, "unit": 0, "h": 1}\n{"step": 0, "unit": 1}\n', "line 2: an object of step"),
        (
            '{"step": 0, "unit": 0, "h": 1}\n{"step": 0, "unit": 0, "h": 1}\n',
            "line 2: step 0, unit 0",
        ),
        ('{"step": 0, "unit": 0.5, "h": 1}\n', "unit is 0.5"),
    ],
)
def test_rows_that_are_missing_or_wrong_are_named(
    lstm: Lstm, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "t.txt").write_text(text)
    name = "t.jsonl" if text.startswith("{") else "t.csv"
    (tmp_path / "t.txt").rename(tmp_path / name)
    done = lstm("diff", name, name)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_rows_may_come_in_any_order(lstm: Lstm, tmp_path: Path) -> None:
    assert lstm("run", WEIGHTS, INPUTS, "-o", "t.csv", "--tidy", "-q").status == 0
    header, *rows = (tmp_path / "t.csv").read_text().splitlines()
    np.random.default_rng(0).shuffle(rows)
    (tmp_path / "shuffled.csv").write_text("\n".join([header, *rows]))
    assert lstm("diff", "shuffled.csv", "t.csv").status == 0


def test_of_arrays_that_differ_in_size_a_few_are_named(lstm: Lstm, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"ih_l0": (12, 2), "hh_l0": (12, 3), "ih_l1": (12, 6), "hh_l1": (12, 3)}
    both = {
        f"weight_{k}{d}": rng.normal(size=s) for k, s in shapes.items() for d in ("", "_reverse")
    }
    np.savez(tmp_path / "net.npz", **both, inputs=rng.normal(size=(4, 2)))  # type: ignore[arg-type]
    done = lstm("run", tmp_path / "net.npz", "--tidy", "-f", "csv")
    assert done.status == 2
    assert "of units: 6 in h; 3 in layer0.h, layer0_reverse.h, layer1.h and 21 more." in done.err
    assert "--only h or --only layer0.h,layer0_reverse.h; or one cell" in done.err
    assert lstm("run", tmp_path / "net.npz", "--tidy", "-f", "csv", "--only", "h").status == 0
    assert lstm("run", tmp_path / "net.npz", "--set", "layer1.forgett_bias=1").err.count("Did") == 1
