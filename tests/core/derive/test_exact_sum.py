"""Sums worked out exactly, and rounded once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.core.derive.formulas import Sum, Term, exactly, rounded, ulps_between

FLOATS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
TYPES = ["float16", "float32", "float64", "longdouble"]


@given(FLOATS)
def test_a_number_survives_being_made_a_fraction(value: float) -> None:
    assert rounded(exactly(np.float64(value)), np.dtype(np.float64)) == value


@pytest.mark.parametrize("dtype", TYPES)
@given(st.fractions(-1000, 1000))
def test_no_number_of_the_type_is_nearer(dtype: str, exact: Fraction) -> None:
    kind = np.dtype(dtype)
    found = rounded(exact, kind)
    assert found.dtype == kind
    nearest = abs(Fraction(*found.as_integer_ratio()) - exact)
    for towards in (-np.inf, np.inf):
        beside = np.nextafter(found, kind.type(towards))
        assert abs(Fraction(*beside.as_integer_ratio()) - exact) >= nearest


def test_a_sum_that_cancels_loses_nothing() -> None:
    """In float64, adding these in any order but the last gives 0 or 2."""
    numbers = [np.float64(n) for n in (1.0, 1e100, 1.0, -1e100)]
    total = Sum.of([Term(f"x[{n}]", w) for n, w in enumerate(numbers)])
    assert total.total == 2
    assert [term.name for term in total.terms] == ["x[1]", "x[3]", "x[0]", "x[2]"]
    assert rounded(total.total, np.dtype(np.float64)) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", TYPES)
def test_what_is_no_number_comes_first_and_stays(bad: float, dtype: str) -> None:
    kind: Any = np.dtype(dtype).type
    total = Sum.of([Term("bias", kind(2)), Term("x[0]", kind(3), kind(bad), "kernel")])
    assert total.terms[0].name == "x[0]"
    np.testing.assert_equal(rounded(total.total, np.dtype(dtype)), kind(bad))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_sum_beyond_the_type_is_infinite(dtype: str) -> None:
    kind: Any = np.dtype(dtype).type
    large = np.finfo(kind).max
    total = Sum.of([Term("x[0]", large), Term("x[1]", -large), Term("bias", kind(1.5))])
    assert rounded(total.total, np.dtype(dtype)) == 1.5


@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_are_counted_between_two(dtype: str) -> None:
    kind: Any = np.dtype(dtype).type
    one = kind(1.25)
    up = np.nextafter(np.nextafter(one, kind(2)), kind(2))
    assert ulps_between(one, one) == 0
    assert ulps_between(one, up) == ulps_between(up, one) == 2
    assert ulps_between(kind(np.nan), kind(np.nan)) == 0
    assert ulps_between(kind(np.nan), one) is None
    assert ulps_between(kind(0), np.nextafter(kind(0), kind(1))) == 1
