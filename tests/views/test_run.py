"""Tables of traces: what is said around them fits the window too."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lstmcli.api.load import load
from lstmcli.core.forward.excerpt import Excerpt, padded_steps
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.model import Inputs, Trace
from lstmcli.core.model.selection import Selection
from lstmcli.views.run import excerpt_sheets
from lstmcli.views.sheet import Sheet, Width
from lstmcli.views.text import NumberFormat


def rows_of(trace: Trace, selection: Selection, width: Width) -> list[str]:
    sheets = excerpt_sheets(Excerpt.of_trace(trace), "hcg", selection, width)
    return [row for sheet in sheets for row in sheet.rows()]


def test_an_option_and_its_value_stay_on_one_line() -> None:
    text = "layout batch ((1, 7, 4) is one sequence; --layout time)"
    rows = [*Sheet(Width.of(60)).label("assumed", text).rows()]
    assert rows == [
        "assumed    layout batch ((1, 7, 4) is one sequence;",
        "           --layout time)",
    ]


# ---- one format for all numbers of a column


def columns_of(
    trace: Trace, selection: Selection, width: int | None = 200
) -> dict[str, list[str]]:
    """The cells of each column of a table, by heading."""
    rows = rows_of(trace, selection, Width.of(width))
    start = next(n for n, row in enumerate(rows) if row.startswith("step"))
    headings = [*re.finditer(r"\S+(?: (?:min|mean|max))?", rows[start])]
    lines = [row for row in rows[start + 1 :] if re.match(r" *\d+ +-?\d", row)]
    found: dict[str, list[str]] = {}
    for n, heading in enumerate(headings):
        left = headings[n - 1].end() if n else 0
        cells = (line[left : heading.end()].strip() for line in lines)
        found[heading.group()] = [cell for cell in cells if re.match(r"-?\d", cell)]
    return found


def kinds(cells: list[str]) -> set[str]:
    """Numbers with every digit replaced: ``-#.###``."""
    return {re.sub(r"\d", "#", cell).lstrip("-") for cell in cells}


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("units", [3, 90])
def test_a_column_has_one_format(scale: float, units: int) -> None:
    rng = np.random.default_rng(3)
    sizes = scale ** rng.uniform(size=(60, units))
    arrays = {name: rng.normal(size=(60, units)) * sizes for name in "hcg"}
    trace = Trace(arrays, np.zeros(units), np.zeros(units), "steps")
    for steps in (None, ":"):
        columns = columns_of(trace, Selection.parse(steps, None, None))
        assert len(columns) == (5 if units == 3 else 8)
        for heading, cells in columns.items():
            if heading not in ("step", "unit"):
                assert len(kinds(cells)) == 1, (heading, kinds(cells))


@pytest.mark.parametrize("digits", [0, 3, 8])
def test_no_number_is_minus_zero(digits: int) -> None:
    values = [-0.0, -3.7e-4, 0.25, -1e-12, -0.4]
    format = NumberFormat.of(values, digits)
    texts = [format.text(value) for value in values]
    assert not [text for text in texts if text.startswith("-") and not float(text)]
    assert texts[0].lstrip("0.e+") == ""
    assert [float(text) for text in texts[1:]] == pytest.approx(
        values[1:], rel=0.5 if digits == 0 else 0.05, abs=5e-4 if digits <= 3 else 0
    )
    fixed = NumberFormat.of([-0.0, 0.25, 0.5], digits)
    assert not fixed.text(-0.0).startswith("-")


# ---- padded steps


def padded(units: list[int] | None = None) -> tuple[Trace, list[str]]:
    """A run of three sequences of 4, 2 and 3 steps of five, and the rows of its table."""
    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(12, 32)), "bias": rng.normal(size=32)}
    x = rng.normal(size=(3, 5, 4))
    model = load(weights, layout="batch")
    inputs = Inputs(x, "batch", lengths=[4, 2, 3])
    plan = prepare(model, inputs, ("h", "c", "i", "f", "g", "o"))
    trace = run_plan(plan)
    excerpt = Excerpt.of_trace(trace)._replace(padded=padded_steps(plan), units=units)
    shown = ("h", "c", "i", "f", "g", "o")
    selection = Selection.parse(None, None, None if units is None else "0")
    sheets = excerpt_sheets(excerpt, shown, selection, Width.of(200))
    return trace, [row for sheet in sheets for row in sheet.rows()]


def test_padded_steps_are_left_out_of_means_and_of_saturated_and_marked() -> None:
    trace, rows = padded()
    heading, _, *steps = (row.split() for row in rows)
    assert "padded" in heading
    valid = trace.i[[0, 2], 2]  # step 2 of the sequences of 4 and 3 steps
    gates = [trace.arrays[gate][[0, 2], 2] for gate in "ifo"]
    near = np.mean([(one < 0.01) | (one > 0.99) for one in gates])
    assert steps[2][:4] == ["2", "1", "of", "3"]
    assert steps[2][-5] == f"{valid.mean():.3f}"
    assert steps[2][-1] == f"{100 * near:.0f}%"
    assert steps[4] == ["4", "3", "of", "3"]


def test_padded_steps_of_units_are_marked() -> None:
    _, rows = padded([0])
    assert [("padded" in row) for row in rows if row.strip()][2:] == [
        step >= length for step in range(5) for length in (4, 2, 3)
    ]
