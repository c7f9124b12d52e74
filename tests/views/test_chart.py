"""Line charts: which dots stand for which numbers."""

from __future__ import annotations

from unicodedata import name

import numpy as np
import pytest

from lstmcli.views.chart import TALL, _characters, _dots, chart
from lstmcli.views.colors import SIGNED, Scale

PLACES = {(0, 0): "1", (0, 1): "2", (0, 2): "3", (0, 3): "7",
          (1, 0): "4", (1, 1): "5", (1, 2): "6", (1, 3): "8"}  # fmt: skip
"""The number of each dot of a braille pattern, by column and row."""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.123"), (-0.123456, "-0.12"), (-0.0123, "-0.01"), (-0.00123, "-0.001"),
     (2e-9, "2e-9"), (-3e-12, "-3e-12"), (-1e-300, "-1e-300"), (123456.0, "1.2e5")],
)  # fmt: skip
def test_ends_of_the_scale_are_neither_rounded_to_0_nor_cut(value: float, text: str) -> None:
    x = np.array([-abs(value), abs(value)])
    scale = Scale(-abs(value), abs(value), SIGNED)
    top, *_, bottom, steps = ("".join(t for t, _ in line) for line in chart(
        x, [0, 1], scale, 40, None, colors=False
    ))  # fmt: skip
    end = bottom if value < 0 else top
    assert end.partition("┤")[0].strip() == text
    assert end.index("┤") == steps.index("0") - 1


def test_the_label_of_0_is_on_the_line_of_0() -> None:
    lines = [
        "".join(text for text, _ in line)
        for line in chart(np.zeros(4), range(4), Scale(-1.0, 1.0, SIGNED), 40, None, colors=False)
    ]
    (drawn,) = (line for line in lines if any("\u2801" <= letter <= "\u28ff" for letter in line))
    assert drawn.partition("┤")[0].strip() == "0"
    assert lines.index(drawn) == (len(lines) - 1) // 2  # the last has the numbers of the steps


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
