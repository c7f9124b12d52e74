"""Pictures of a cell's weights."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Cell
from lstmcli.views.colors import around_zero, character
from lstmcli.views.inspect import weights_sheet
from lstmcli.views.sheet import Width


def cell(units: int, inputs: int, convention: str = "pytorch", **settings: str) -> Cell:
    rng = np.random.default_rng(units)
    return Cell(
        rng.normal(size=(4, units, inputs)),
        rng.normal(size=(4, units, units)),
        np.zeros((4, units)),
        CONVENTIONS[convention].changed(settings),
    )


def test_every_weight_of_a_small_cell_is_drawn_where_it_is() -> None:
    own = cell(3, 2)
    lines = weights_sheet("", own, Width.of(80), "none").plain().splitlines()
    assert lines[0].split() == ["i", "f", "g", "o"]
    scale = around_zero([own.kernel, own.recurrent_kernel])
    for unit in range(3):
        line = lines[1 + unit][10:].ljust(70)
        for gate in range(4):
            drawn = line[gate * 17 : gate * 17 + 8 : 4]
            levels = scale.levels(own.kernel[gate, unit])
            assert drawn == "".join(character(float(n), scale) for n in levels)


@pytest.mark.parametrize("depth", ["none", "16", "256", "truecolor"])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_pictures_of_large_cells_fit_and_say_how(depth: str, width: int) -> None:
    lines = weights_sheet("layer0", cell(100, 30), Width.of(width), depth).plain().splitlines()
    assert all(len(line) <= width for line in lines)
    assert len(lines) < 20
    assert re.search(
        r"farthest from 0 of \d+ x \d+ weights \(kernel\)", " ".join(" ".join(lines).split())
    )


def test_a_coupled_gate_has_no_weights_to_draw() -> None:
    lines = (
        weights_sheet("", cell(3, 2, coupled="i=1-f"), Width.of(80), "none").plain().splitlines()
    )
    assert lines[0].split() == ["f", "g", "o"]
