"""Tables of traces: what is said around them fits the window too."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.model.model import Trace
from lstmcli.views.run import trace_sheets
from lstmcli.views.window import Window


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_is_said_of_many_units_fits_the_window(width: int) -> None:
    random = np.random.default_rng(5)
    arrays = {name: random.uniform(-1, 1, size=(7, 90)) for name in "hcg"}
    arrays |= {name: random.integers(0, 2, size=(7, 90)).astype(float) for name in "ifo"}
    trace = Trace(arrays, np.zeros(90), np.zeros(90), "steps")
    rows = [row for sheet in trace_sheets(trace, Window(), width) for row in sheet.rows()]
    assert all(len(row) <= width for row in rows)
    assert any(row.startswith("stuck") for row in rows)
    text = " ".join(" ".join(rows).split())
    assert "next --units 0:4 opens units, --batch 0 a row; -o out.npz keeps everything" in text
    assert "a wider window, --digits or --show" in text
