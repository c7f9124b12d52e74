"""--tidy: a row for each step, batch item and unit, the same columns whatever the rank."""

from __future__ import annotations

import csv
import json
from pathlib import Path

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
