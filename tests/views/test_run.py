"""Tables of traces: what is said around them fits the window too."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.model.model import Trace
from lstmcli.views.run import Window, trace_sheets
from lstmcli.views.sheet import Span, Width


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_is_reported_of_many_units_fits_the_window(width: int) -> None:
    random = np.random.default_rng(5)
    arrays = {name: random.uniform(-1, 1, size=(7, 90)) for name in "hcg"}
    arrays |= {name: random.integers(0, 2, size=(7, 90)).astype(float) for name in "ifo"}
    trace = Trace(arrays, np.zeros(90), np.zeros(90), "steps")
    rows = [row for sheet in trace_sheets(trace, Window(), Width.of(width)) for row in sheet.rows()]
    assert all(len(row) <= width for row in rows)
    assert any(row.startswith("saturated") for row in rows)
    text = " ".join(" ".join(rows).split())
    assert "next to see units: --units 0:4, one sequence: --batch 0; -o out.npz saves" in text
    assert "(terminal too narrow; use --show or --digits)" in text


def table_lines(trace: Trace, window: Window, width: int | None) -> list[list[Span]]:
    """The lines of the tables that contain a shaded number."""
    sheets = trace_sheets(trace, window, Width.of(width))
    lines = [line for sheet in sheets for line in sheet.lines]
    return [line for line in lines if any(" on #" in style for _, style in line)]


def random_trace(batch: int, units: int) -> Trace:
    rng = np.random.default_rng(units)
    arrays = {name: rng.uniform(size=(5, batch, units)) for name in "hcifgo"}
    return Trace(arrays, np.zeros((batch, units)), np.zeros((batch, units)), "time")


@pytest.mark.parametrize("width", [None, 300])
@pytest.mark.parametrize(("batch", "units"), [(1, 3), (2, 2), (4, 300)])
def test_a_number_has_the_same_colour_whatever_its_digits(
    width: int | None, batch: int, units: int
) -> None:
    trace = random_trace(batch, units)
    colours = [
        [
            [style for _, style in line if " on #" in style]
            for line in table_lines(trace, Window(digits=digits, heat="truecolor"), width)
        ]
        for digits in (0, 2, 8)
    ]
    assert len(colours[0]) >= 5
    assert colours[0] == colours[1] == colours[2]


def test_the_gap_between_two_shaded_cells_has_no_colour() -> None:
    arrays = {name: np.full((2, 3), 0.5) for name in "hcifgo"}
    trace = Trace(arrays, np.zeros(3), np.zeros(3), "steps")
    table = table_lines(trace, Window(heat="truecolor"), 80)
    assert len(table) >= 6
    for line in table[:6]:
        assert all(text == text.strip() or len(text) > 2 for text, style in line if " on " in style)
        assert any(text == "  " and not style for text, style in line)


def test_shading_changes_no_text() -> None:
    trace = random_trace(1, 3)
    plain, shaded = (
        [row for sheet in trace_sheets(trace, Window(heat=heat), Width()) for row in sheet.rows()]
        for heat in ("", "truecolor")
    )
    assert shaded[: len(plain)] == plain
