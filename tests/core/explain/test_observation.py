"""EXPECTED located on a run, its tolerances, and numbers that were rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import load
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.locations import Location, locations
from lstmcli.core.explain.observation import Expected, KnownValues, as_printed
from lstmcli.core.explain.wording import location_text
from lstmcli.core.model.model import Model
from tests.core.explain.asking import write as write_cell
from tests.core.explain.networks import write as write_cells
from tests.core.explain.reference import random_net

Array = np.ndarray[Any, Any]

T, B, H = 7, 3, 2
WHOLE = np.arange(T * B * H, dtype=float).reshape(T, B, H) + 1
BOTH = np.arange(T * B * 2 * H, dtype=float).reshape(T, B, 2, H) + 1


@pytest.fixture
def cell(tmp_path: Path) -> Model:
    return load(write_cell(random_net(np.random.default_rng(0), 3, H), tmp_path / "cell.npz", 3))


@pytest.fixture
def cells(tmp_path: Path) -> Model:
    rng = np.random.default_rng(0)
    nets = {name: random_net(rng, 3, H) for name in ("l0", "l0_reverse")}
    return load(write_cells(nets, tmp_path / "cells.npz"))


def located(
    array: Array,
    model: Model,
    layout: str = "time",
    name: str = "h",
    size: tuple[int, int] = (T, B),
) -> list[tuple[Location, Expected]]:
    numbers = {name: Numbers(array)}
    found, _ = locations(numbers, model, layout, size)
    return [(one, one.expected(numbers)) for one in found]


def test_a_line_for_each_row_is_the_last_state_rather_than_steps_of_one(cell: Model) -> None:
    (first, expected), *others = located(WHOLE[-1], cell)
    assert location_text(first) == "EXPECTED is taken as the last h"
    np.testing.assert_array_equal(expected.arrays["final_h"].values, WHOLE[-1])
    assert any("the first 3 of 7 steps" in location_text(one) for one, _ in others)
    assert "steps" in location_text(located(WHOLE[: B - 1, 0], cell)[0][0])


def test_different_numbers_are_counted_as_the_tolerance_sees_them() -> None:
    values = np.array([[1.0, 1.0 + 1e-9], [2.0, 0.5]])
    one = Expected({"final_h": KnownValues(values, np.zeros((2, 2)))})
    assert one.distinct(lambda known: np.full(known.values.shape, 1e-6)) == 3


def test_numbers_that_were_rounded_have_the_digits_as_their_units() -> None:
    rng = np.random.default_rng(3)
    exact = rng.normal(0, 0.4, (7, 3))
    for places in (1, 2, 4, 6):
        for dtype in (np.float32, np.float64):
            rounded = np.round(exact.astype(dtype), places)
            rounded[0, 0] = np.nan
            for unit in (None, np.where(np.isnan(rounded), np.inf, 0.0)):  # NaN, or left out
                printed, digits = as_printed({"h": Numbers(rounded, unit)})
                assert digits == places
                wanted = 10.0**-places + (0.0 if unit is None else unit)
                np.testing.assert_allclose(
                    np.asarray(printed["h"].unit), np.broadcast_to(wanted, (7, 3))
                )


def test_small_numbers_have_as_many_digits_before_an_exponent() -> None:
    """As `lstm run --digits` writes them; where all are multiples of one unit, that is it."""
    rng = np.random.default_rng(3)
    h = np.round(rng.normal(0, 0.4, (7, 3)), 3)
    h[0] = -2.299e-05, 0.0, 8.863e-06
    printed, digits = as_printed({"h": Numbers(h), "c": Numbers(h[1:])})
    assert digits == 3
    wanted = np.full((7, 3), 1e-3)
    wanted[0, [0, 2]] = 1e-8, 1e-9
    np.testing.assert_allclose(np.asarray(printed["h"].unit), wanted)
    np.testing.assert_allclose(np.asarray(printed["c"].unit), wanted[1:])
    five = np.round(rng.normal(0, 0.4, (7, 3)), 5)
    five[0, 0] = 2e-5
    np.testing.assert_allclose(
        np.asarray(as_printed({"h": Numbers(five)})[0]["h"].unit), np.full((7, 3), 1e-5)
    )


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(4).normal(0, 0.4, (7, 3)).astype(np.float32),
        np.round(np.random.default_rng(4).normal(0, 40, (7, 3))),  # whole numbers
        np.array([[0.5, 0.25], [0.125, -0.75]]),  # of any format
        np.array([[0.1234, 0.0]]),  # one number: by chance
        np.zeros((3, 2)),
    ],
)
def test_numbers_that_were_not_rounded_are_exact(values: Array) -> None:
    assert as_printed({"h": Numbers(values)})[0]["h"].unit is None
