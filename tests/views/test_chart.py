"""Line charts: which dots stand for which numbers."""

from __future__ import annotations

from unicodedata import name

import numpy as np
import pytest

from lstmcli.views.chart import TALL, _characters, _dots

PLACES = {(0, 0): "1", (0, 1): "2", (0, 2): "3", (0, 3): "7",
          (1, 0): "4", (1, 1): "5", (1, 2): "6", (1, 3): "8"}  # fmt: skip
"""The number of each dot of a braille pattern, by column and row."""


@pytest.mark.parametrize("place", PLACES)
def test_a_dot_is_where_unicode_has_it(place: tuple[int, int]) -> None:
    dots = np.zeros((2, 4), bool)
    dots[place] = True
    (line,) = _characters(dots)
    assert name(line) == f"BRAILLE PATTERN DOTS-{PLACES[place]}"


def test_the_least_number_is_the_lowest_dot_and_the_greatest_the_topmost() -> None:
    down = 4 * TALL
    for level, row in ((0.0, down - 1), (1.0, 0)):
        dots = _dots(np.full(5, level), 8, down)
        assert np.flatnonzero(dots.any(axis=0)).tolist() == [row]
        assert dots[:, row].all()
    falling = _dots(np.array([1.0, 0.0]), 6, down)
    assert falling[-1, -1]
    assert falling[0, 0]
