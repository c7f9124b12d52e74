"""Numbers that count as equal."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstmcli import diff
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.tolerance import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    PRECISIONS,
    Numbers,
    Precision,
    tolerance,
    ulps,
)
from lstmcli.errors import UserError

EVERY = {"float16": FLOAT16, "float32": FLOAT32, "float64": FLOAT64}


def one(value: float, unit: float | None = None) -> Numbers:
    return Numbers(np.array([value]), None if unit is None else np.array([unit]))


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"),
    [("float64", 1e-7, 1e-7), ("float32", 1.3e-6, 1e-5), ("float16", 1e-3, 1e-5)],
)
def test_a_dtype_has_the_tolerance_of_assert_close(
    dtype: str, rtol: float, atol: float
) -> None:
    found = tolerance(PRECISIONS[np.dtype(dtype).name])
    assert (found.rtol, found.atol) == (rtol, atol)


@pytest.mark.parametrize("dtype", ["int64", "bool", "longdouble", "uint8"])
def test_other_numbers_count_as_float64(dtype: str) -> None:
    assert Side("a", {"h": np.zeros(1, dtype)}).precision("h") is FLOAT64


def test_the_coarser_of_two_decides() -> None:
    x = {name: np.zeros(3, name) for name in EVERY}
    for one, other in permutations(EVERY, 2):
        name = max(one, other, key=["float64", "float32", "float16"].index)
        found = diff(x[one], x[other])
        assert (found.rtol, found.atol) == (EVERY[name].rtol, EVERY[name].atol)


def test_one_of_rtol_and_atol_leaves_the_other_at_zero() -> None:
    assert tolerance(FLOAT32, rtol=1e-3).atol == 0
    assert tolerance(FLOAT32, atol=1e-3).rtol == 0
    assert tolerance(FLOAT32, ulp=3).rtol == tolerance(FLOAT32, ulp=3).atol == 0


def test_a_tolerance_may_be_any_number_of_python_or_numpy() -> None:
    value: Any
    for value in (
        np.array(0.25),
        np.float64(0.25),
        np.float32(0.25),
        np.array(0.25, "f4"),
    ):
        assert tolerance(FLOAT64, rtol=value, atol=value) == tolerance(
            FLOAT64, 0.25, 0.25
        )
    value = np.array(3)
    assert tolerance(FLOAT64, ulp=value).ulp == 3
    assert tolerance(FLOAT64, atol=10**5000).atol == float("inf")


@pytest.mark.parametrize(
    "asked",
    [
        {"rtol": -1.0}, {"atol": float("nan")}, {"ulp": -2}, {"ulp": 10**5000}, {"ulp": 0.5},
        {"rtol": -(10**5000)}, {"atol": np.array([0.1])}, {"atol": "0.1"},
    ],
    ids=lambda asked: next(iter(asked)),
)  # fmt: skip
def test_a_tolerance_that_is_none_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(asked))):
        tolerance(FLOAT32, **asked)


def test_the_relative_part_is_of_b() -> None:
    test = tolerance(FLOAT64, rtol=0.1)
    assert test.agree(one(9.0), one(10.0)).all()
    assert not test.agree(one(10.0), one(9.0)).all()


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.inf, 1e308, False),
        (1.0, np.inf, False),
        (np.nan, np.nan, False),
        (np.nan, 1.0, False),
    ],
)
def test_infinite_values_equal_only_themselves(a: float, b: float, same: bool) -> None:
    for test in (
        tolerance(FLOAT64, rtol=10.0),
        tolerance(FLOAT64, atol=1e300),
        tolerance(FLOAT32),
    ):
        assert test.agree(one(a), one(b)).all() == same


def test_nan_equals_nan_when_asked() -> None:
    test = tolerance(FLOAT64, equal_nan=True)
    assert test.agree(one(np.nan), one(np.nan)).all()
    assert not test.agree(one(np.nan), one(0.0)).all()


@given(st.integers(-(10**8), 10**8), st.integers(-3, 3), st.booleans())
@example(2227295, 1, True)  # whose difference, as read, is a little more than a unit
def test_each_printed_side_allows_half_a_unit(n: int, apart: int, both: bool) -> None:
    """In integers there is no doubt what half of one allows: 1 if both were printed, else 0."""
    unit = 1e-8
    a = one(float(f"{n}e-8"), unit)
    b = one(float(f"{n + apart}e-8"), unit if both else None)
    exact = tolerance(FLOAT32, rtol=0.0)
    assert exact.agree(a, b).all() == (abs(apart) <= both)


@pytest.mark.parametrize(("units", "same"), [(0.49, True), (0.51, False)])
def test_no_more_than_half_a_unit_is_allowed(units: float, same: bool) -> None:
    exact = tolerance(FLOAT32, rtol=0.0)
    assert exact.agree(one(0.25, 1e-4), one(0.25 + units * 1e-4)).all() == same
    assert exact.agree(one(0.25 + units * 1e-4), one(0.25, 1e-4)).all() == same


def test_a_distance_in_ulps_is_the_number_that_was_given() -> None:
    assert tolerance(FLOAT64, ulp=2**53 + 1).ulp == 2**53 + 1


@pytest.mark.parametrize("name", EVERY)
@given(st.floats(width=16, allow_nan=False, allow_infinity=False), st.integers(0, 5))
@settings(max_examples=60)
def test_an_ulp_is_a_step_to_the_next_number(
    name: str, value: float, steps: int
) -> None:
    here = there = np.array([value], name)
    for _ in range(steps):
        there = np.nextafter(there, np.array([np.inf], name))
    if np.isfinite(there).all():
        assert (
            ulps(here, there, EVERY[name])[0]
            == steps
            == ulps(there, here, EVERY[name])[0]
        )


def test_ulps_across_all_numbers_do_not_overflow() -> None:
    top = np.array([np.finfo(np.float64).max])
    assert int(ulps(top, -top, FLOAT64)[0]) == 2 * int(top.view(np.int64)[0])
    assert ulps(np.array([-0.0]), np.array([0.0]), FLOAT64)[0] == 0


@pytest.mark.parametrize(("precision", "apart"), [(BFLOAT16, 1), (FLOAT32, 2**16)])
def test_bfloat16_counts_the_upper_half_of_float32(
    precision: Precision, apart: int
) -> None:
    assert ulps(np.array([1.0]), np.array([1.0 + 2**-7]), precision)[0] == apart


def test_ulp_and_atol_are_alternatives() -> None:
    test = tolerance(FLOAT64, ulp=2, atol=1e-3)
    assert test.agree(one(1e9), one(np.nextafter(1e9, 2e9))).all()
    assert test.agree(one(1e-4), one(-1e-4)).all()
    assert not test.agree(one(1.0), one(1.1)).all()
