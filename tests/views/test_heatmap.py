"""Cells, colours and characters of heat maps."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.views.colors import GATE, around_zero, color
from lstmcli.views.heatmap import Pooling, Quantity, panel_lines, pooled, unit_lines


def text(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def test_a_cell_is_the_mean_of_its_numbers_the_last_one_of_those_left() -> None:
    values = np.arange(35.0).reshape(7, 5)
    cells = pooled(values, Pooling(3, 2, 1, False), "mean")
    assert cells.shape == (3, 3)
    assert cells[0, 0] == values[:3, :2].mean()
    assert cells[2, 2] == values[6:, 4:].mean()


def test_the_extreme_of_a_cell_keeps_its_sign() -> None:
    values = np.array([[0.1, -0.9], [0.5, 0.2], [0.3, 0.1], [-0.2, 0.0]])
    cells = pooled(values, Pooling(2, 2, 1, False), "extreme")
    assert cells.tolist() == [[-0.9], [0.3]]


@pytest.mark.parametrize("steps", [1, 7, 73, 74, 75, 1000, 12345])
@pytest.mark.parametrize("units", [1, 3, 8, 9, 64, 257])
@pytest.mark.parametrize("depth", ["none", "16", "256", "truecolor"])
@pytest.mark.sampled(5)
def test_a_map_of_any_size_fits(steps: int, units: int, depth: str) -> None:
    pooling = Pooling.to_fit((steps, units), 74, 8, depth)
    cells = pooled(np.zeros((steps, units)), pooling, "mean")
    quantity = Quantity("f", cells, range(steps), range(units), "gates")
    lines = panel_lines(quantity, cells, pooling, GATE, depth)
    assert all(len(line) <= 80 for line in text(lines))
    assert len(lines) <= 8 + 3
    assert len({sum(len(part) for part, _ in line) for line in lines}) == 1


def test_half_blocks_show_two_units_in_a_line() -> None:
    values = np.zeros((2, 9))
    values[1, 3] = 1.0
    pooling = Pooling.to_fit(values.shape, 8, 8, "truecolor")
    assert pooling.half_blocks
    assert pooling.units == 1
    quantity = Quantity("f", values, range(2), range(9), "gates")
    line = panel_lines(quantity, values, pooling, GATE, "truecolor")[2]  # units 2 and 3
    low, high = color(0.0, GATE, "truecolor"), color(1.0, GATE, "truecolor")
    assert (f"{'▀' * 4}", f"{low} on {low}") in line
    assert (f"{'▀' * 4}", f"{low} on {high}") in line


@pytest.mark.parametrize("greatest", [1e308, np.finfo(np.float64).max])
def test_the_largest_numbers_are_the_ends_of_a_scale(greatest: float) -> None:
    values = np.array([-greatest, 0, greatest])
    with np.errstate(all="raise"):
        assert around_zero([values]).levels(values).tolist() == [0, 0.5, 1]


def lightness(style: str) -> float:
    r, g, b = (int(style[n : n + 2], 16) for n in (1, 3, 5))
    return 0.299 * r + 0.587 * g + 0.114 * b


def test_gates_go_from_dark_to_light_so_that_grey_prints_keep_the_order() -> None:
    levels = [lightness(color(n / 20, GATE, "truecolor")) for n in range(21)]
    assert levels == sorted(levels)
    assert levels[0] > 20  # seen on black
    assert levels[-1] < 240  # seen on white


def test_a_signed_scale_is_lightest_in_the_middle() -> None:
    scale = around_zero([np.array([1.0])])
    levels = [lightness(color(n / 20, scale, "truecolor")) for n in range(21)]
    assert levels[:11] == sorted(levels[:11])
    assert levels[10:] == sorted(levels[10:], reverse=True)
    assert max(levels) < 240


# Cone responses without red, green or blue: Vienot, Brettel & Mollon 1999; Brettel et al. 1997.
TO_CONES = np.array(
    [[17.8824, 43.5161, 4.1194], [3.4557, 27.1554, 3.8671], [0.03, 0.1843, 1.467]]
)
BLIND = {
    "protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
    "deutan": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
    "tritan": [[1, 0, 0], [0, 1, 0], [-0.395913, 0.801109, 0]],
}


def seen(style: str, blindness: str) -> np.ndarray:
    rgb = np.array([int(style[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = rgb**2.2
    less = np.linalg.inv(TO_CONES) @ np.array(BLIND[blindness]) @ TO_CONES @ linear
    return np.asarray(np.clip(less, 0, 1) ** (1 / 2.2) * 255)


@pytest.mark.parametrize("blindness", BLIND)
def test_signs_are_distinguished_with_every_colour_blindness(blindness: str) -> None:
    scale = around_zero([np.array([1.0])])
    for size in (0.25, 0.5, 1.0):
        below, above = (
            seen(color(0.5 + sign * size / 2, scale, "truecolor"), blindness)
            for sign in (-1, 1)
        )
        assert np.abs(below - above).max() > 45, size


# ---- one unit


def test_one_unit_has_a_row_for_each_array_and_one_axis() -> None:
    h = Quantity("h", np.array([[0.0], [1.0], [0.5]]), range(3), [4], "h")
    f = Quantity(
        "layer0.f", np.array([[1.0], [0.0], [1.0]]), range(3), [4], "gates", (1, 0)
    )
    scales = {"h": around_zero([h.values]), "gates": GATE}
    pooling = Pooling(1, 1, 2, False)
    lines = unit_lines([h, f], [h.values, f.values], [pooling] * 2, scales, "none")
    assert text(lines) == [
        "          unit 4",
        "h           ██▒▒",
        "            ▼",
        "layer0.f▶ ██  ██",
        "          ╵ ╵ ╵",
        "          0 1 2",
    ]


def test_arrays_of_other_steps_have_their_own_axis() -> None:
    values = np.ones((2, 1))
    early = Quantity("h", values, [0, 1], [0], "h")
    late = Quantity("c", values, [7, 8], [0], "h")
    scales = {"h": around_zero([values])}
    pooling = Pooling(1, 1, 2, False)
    lines = unit_lines([early, late], [values] * 2, [pooling] * 2, scales, "none")
    axes = [line.split() for line in text(lines) if line.strip()[0].isdigit()]
    assert axes == [["0", "1"], ["7", "8"]]
