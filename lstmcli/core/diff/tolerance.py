"""When two numbers count as the same: tolerances, printed digits, ULPs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.model.arrays import Array
from lstmcli.errors import UserError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Precision:
    """The tolerance of a dtype in a comparison, and how its ULPs are counted."""

    name: str
    rtol: float
    atol: float
    floats: str  # the type whose bits are counted
    spare_bits: int = 0  # low bits of ``floats`` that the type does not have


FLOAT64 = Precision("float64", 1e-7, 1e-7, "f8")
FLOAT32 = Precision("float32", 1.3e-6, 1e-5, "f4")
FLOAT16 = Precision("float16", 1e-3, 1e-5, "f2")
BFLOAT16 = Precision("bfloat16", 1.6e-2, 1e-5, "f4", spare_bits=16)

# by dtype; the tolerances are those of torch.testing.assert_close
PRECISIONS = {one.name: one for one in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)}


@dataclass(frozen=True, eq=False)
class Numbers:
    """An array, and the last printed place of each element."""

    values: Array
    unit: Array | None = None  # None: exact; infinite: left out

    def moved(self, how: Callable[[Array], Array]) -> Numbers:
        """The same numbers after ``how`` has moved them."""
        return Numbers(how(self.values), None if self.unit is None else how(self.unit))

    def __getitem__(self, key: Any) -> Numbers:
        """A part of them, as of an array."""
        return self.moved(lambda array: array[key])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.values.shape

    @property
    def left_out(self) -> Mask:
        """True where printed output left the element out."""
        return np.zeros(self.shape, bool) if self.unit is None else np.isinf(self.unit)


def last_places(values: Array, most: int) -> tuple[int, Array | None]:
    """The fewest digits after the point that all have; each one's unit.

    Below 1e-4 they are counted before the exponent, as ``--digits`` writes.
    No units if a number has more digits. NaN and infinities are left out.
    """
    size = np.abs(np.where(np.isfinite(values), values, 0).astype(np.float64))
    spacing = np.finfo(values.dtype).eps * size
    is_small = (size < 1e-4) & (size > 0)
    exponent = np.where(is_small, np.floor(np.log10(np.maximum(size, 1e-300))), 0)

    def is_met(unit: Array | float) -> bool:
        with np.errstate(over="ignore"):
            return bool((np.abs(np.rint(size / unit) * unit - size) <= spacing).all())

    for digits in range(most + 1):
        unit = 10.0 ** (exponent - digits)
        if is_met(unit):
            fixed = 10.0**-digits
            return digits, np.full(size.shape, fixed) if is_met(fixed) else unit
    return 0, None


@dataclass(frozen=True)
class Tolerance:
    """The test that one element of a has to pass against its element of b.

    ``|a - b| <= atol + rtol |b|``, and half a unit more for each side that was printed; or, with
    ``ulp``, a distance of at most that many numbers of the coarser type. An infinity equals only
    itself, a NaN nothing, unless ``equal_nan``. What printed output left out agrees with anything.
    """

    precision: Precision
    rtol: float
    atol: float
    ulp: int | None = None
    equal_nan: bool = False

    def agree(self, a: Numbers, b: Numbers) -> Mask:
        """True where two arrays agree, of one shape or broadcast to one."""
        with np.errstate(all="ignore"):
            x, y = widened(a.values, b.values)
            near = excess(a, b) <= self.atol + self.rtol * np.abs(y)
            if self.ulp is not None and a.unit is None and b.unit is None:
                near |= ulps(a.values, b.values, self.precision) <= self.ulp
        near &= np.isfinite(x) & np.isfinite(y)
        near |= np.isnan(x) & np.isnan(y) & self.equal_nan
        same: Mask = (x == y) | near | a.left_out | b.left_out
        return same


def tolerance(
    precision: Precision,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    equal_nan: bool = False,
) -> Tolerance:
    """The tolerance asked for, or that of the precision when nothing was.

    One alone leaves the others at 0. With ``ulp`` and another, passing either test is enough;
    ULPs are not a measure near zero.
    """
    rtol, atol, distance = (
        _number("rtol", rtol),
        _number("atol", atol),
        _number("ulp", ulp),
    )
    if distance is not None and distance % 1 != 0:  # of inf it is NaN
        raise UserError(f"ulp is {distance:g}; a distance in ULPs is an integer.")
    ulp = None if ulp is None else int(ulp)  # exact, beyond 2**53 too
    if rtol is None and atol is None and ulp is None:
        return Tolerance(precision, precision.rtol, precision.atol, None, equal_nan)
    return Tolerance(precision, rtol or 0.0, atol or 0.0, ulp, equal_nan)


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, str) or np.ndim(value) else float(value)
    except OverflowError:  # of an integer
        number = math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        number = math.nan
    if not number >= 0:
        shown = number if math.isinf(number) else value
        raise UserError(f"{name} is {shown}; a tolerance is a number of 0 or more.")
    return number


def widened(a: Array, b: Array) -> tuple[Array, Array]:
    """Both in float64 or wider, so that their difference adds no error."""
    wide = np.longdouble if np.longdouble in (a.dtype, b.dtype) else np.float64
    return a.astype(wide, copy=False), b.astype(wide, copy=False)


def excess(a: Numbers, b: Numbers) -> Array:
    """|a - b|, less what printing may have hidden; never below 0."""
    x, y = widened(a.values, b.values)
    distance: Array = np.abs(x - y)
    if units := [side.unit for side in (a, b) if side.unit is not None]:
        # decimals are rounded as they are read
        hidden = sum(units) * 0.5 + np.finfo(np.float64).eps * (np.abs(x) + np.abs(y))
        distance = np.where(
            np.isfinite(distance), np.maximum(distance - hidden, 0), distance
        )
    return distance


def ulps(a: Array, b: Array, precision: Precision) -> npt.NDArray[np.uint64]:
    """How many numbers of the type lie between, with one end; -0 is 0."""

    def ordered(values: Array) -> npt.NDArray[np.int64]:  # neighbours differ by one
        with np.errstate(all="ignore"):
            floats = values.astype(precision.floats)
        bits = floats.view(f"i{floats.itemsize}")
        magnitude = np.where(bits < 0, bits - np.iinfo(bits.dtype).min, bits).astype(
            np.int64
        )
        magnitude = (
            magnitude + ((1 << precision.spare_bits) >> 1)
        ) >> precision.spare_bits
        return np.where(bits < 0, -magnitude, magnitude)

    x, y = ordered(a), ordered(b)
    distance: npt.NDArray[np.uint64] = np.maximum(x, y).astype(np.uint64)
    return distance - np.minimum(x, y).astype(np.uint64)  # right beyond int64, too


def largest(values: Array) -> float:
    """The largest of some errors: NaN if one is, 0 of none."""
    return float(values.max(initial=0))
