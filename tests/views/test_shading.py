"""Shaded tables: which numbers stand on a colour, and on which."""

from __future__ import annotations

import numpy as np

from lstmcli.core.model.model import Trace
from lstmcli.views.colors import GATE, shaded
from lstmcli.views.run import trace_sheets
from lstmcli.views.shading import UNIT, shade
from lstmcli.views.sheet import Column
from lstmcli.views.window import Window

GATES = Column("f", ["0.000000", "", "1.000000"])


def test_every_number_has_the_style_of_its_size_and_blanks_have_none() -> None:
    (column,) = shade([GATES], "truecolor")
    assert column.styles == [
        shaded(0.0, GATE, "truecolor"), "", shaded(1.0, GATE, "truecolor")
    ]  # fmt: skip


def test_h_keeps_its_weight_and_c_goes_through_a_tanh() -> None:
    h, c, step = shade(
        [Column("h[2]", ["-1.0"], "bold"), Column("c min", ["1e3"]), Column("step", ["0"])], "256"
    )
    assert h.styles == [f"bold {shaded(0.0, UNIT, '256')}"]
    assert c.styles == [shaded(1.0, UNIT, "256")]
    assert not step.styles


def test_numbers_beyond_the_scale_and_none_at_all_are_shaded_too() -> None:
    h, g = shade([Column("h", ["7.5"]), Column("g", ["nan"])], "truecolor")
    assert h.styles == [shaded(1.0, UNIT, "truecolor")]
    assert g.styles == [shaded(float("nan"), UNIT, "truecolor")]


def test_the_gap_between_two_shaded_cells_has_no_colour() -> None:
    arrays = {name: np.full((2, 3), 0.5) for name in "hcifgo"}
    trace = Trace(arrays, np.zeros(3), np.zeros(3), "steps")
    plain, heated = (
        [line for sheet in trace_sheets(trace, Window(heat=heat), 80) for line in sheet.lines]
        for heat in ("", "truecolor")
    )
    table = [line for line in heated if any(" on #" in style for _, style in line)]
    assert len(table) >= 6
    for line in table[:6]:
        assert all(text == text.strip() or len(text) > 2 for text, style in line if " on " in style)
        assert any(text == "  " and not style for text, style in line)
    texts = ["".join(text for text, _ in line) for line in plain]
    assert ["".join(text for text, _ in line) for line in heated[: len(plain)]] == texts
