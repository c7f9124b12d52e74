"""How exact EXPECTED is, by its file and its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.tolerance import FLOAT64, Numbers, last_places
from lstmcli.core.explain.observation import EXACT, SINGLE, Allowance
from lstmcli.core.model.arrays import Array, round_to_format, spacing

EPS: Mapping[str, float] = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
HALVES = {name: Allowance(8 * eps, 8 * eps, name) for name, eps in EPS.items()}
"""The most of half precision; most nets predict less."""
FEWEST_DIGITS_FIRST = ("bfloat16", "float16")  # such a grid is more telling
MOST_ROUNDED = 6  # digits after the point: with more, float32's tolerance does
# by which printed numbers are finer than a grid on which they lie
GRID_DIGITS = 8.0


class Exactness(NamedTuple):
    """How exact EXPECTED is."""

    allowances: tuple[Allowance, ...]  # the tolerances of EXPECTED, tight before loose
    name: str  # a dtype, or "printed"
    digits: int | None  # of printed output
    coarse: tuple[Allowance, ...]  # of half precision, if EXPECTED may come from it
    grid: str  # the format that has all of EXPECTED; "": none


def exactness_of(
    side: Side,
    arrays: Mapping[str, Numbers],
    rounded: int | None,
    dtype: str,
) -> Exactness:
    """How exact EXPECTED is; ``dtype``: of the weights."""
    name = _name_of(side, arrays)
    digits = None
    if name == "printed":
        digits = rounded or printed_digits(arrays)
    grid = name if name in EPS else grid_of(arrays)
    is_run_rounded = dtype in EPS  # every operation of it is
    coarse = [one for one in HALVES.values() if grid in ("", one.name)]
    if is_run_rounded and name in EPS:
        coarse.clear()
    allowances = _allowances(name, grid, is_run_rounded)
    return Exactness(allowances, name, digits, tuple(coarse), grid)


def _name_of(side: Side, arrays: Mapping[str, Numbers]) -> str:
    """The dtype of EXPECTED, or "printed"."""
    names = [n for n in side.arrays if (n or "h") in arrays] or side.arrays
    stored = {side.precision(name).name for name in names}
    for half in FEWEST_DIGITS_FIRST:
        if half in stored:
            return half
    if is_printed(numbers.unit for numbers in arrays.values()):
        return "printed"
    if stored != {FLOAT64.name}:
        return "float32"
    for numbers in arrays.values():
        known = numbers.values[np.isfinite(numbers.values)]
        if (known != known.astype(np.float32)).any():
            return "float64"
    return "float32"


def _allowances(name: str, grid: str, is_run_rounded: bool) -> tuple[Allowance, ...]:
    """The tolerances of a dtype, and of the grid on which its numbers lie."""
    on_grid = SINGLE._replace(name=grid, stored=grid)
    if name in HALVES:
        return (HALVES[name],) if is_run_rounded else (on_grid,)
    of_dtype = (EXACT, SINGLE) if name == "float64" else (SINGLE,)
    if grid and not is_run_rounded:
        return of_dtype[0], on_grid
    return of_dtype


def grid_of(arrays: Mapping[str, Numbers]) -> str:
    """The coarser dtype that has every number of EXPECTED, as far as is printed."""
    for name in FEWEST_DIGITS_FIRST:
        if all(_is_on_grid(numbers, name) for numbers in arrays.values()):
            return name
    return ""


def _is_on_grid(numbers: Numbers, name: str) -> bool:
    is_known = np.isfinite(numbers.values)
    values = numbers.values[is_known].astype(np.float64)
    off = np.abs(round_to_format(values, name) - values)
    if numbers.unit is None:
        return not off.any()
    unit = numbers.unit[is_known]
    # the shortest digits of a float32 lie within half of its spacing
    slack = 0.5 * unit + 0.5 * np.spacing(np.abs(values).astype(np.float32))
    finer = _finer_digits(spacing(values, name), np.where(unit > 0, unit, np.inf))
    return bool((off <= slack).all() and finer >= GRID_DIGITS)


def _finer_digits(wide: Array, narrow: Array) -> float:
    """By how many digits in all one spacing of each number is finer than another."""
    return float(np.log10(np.maximum(wide / narrow, 1)).sum())


def as_printed(
    arrays: Mapping[str, Numbers],
) -> tuple[Mapping[str, Numbers], int | None]:
    """Arrays with the units to which they were rounded, and the digits after the point.

    As they are if on the grid of a dtype, or of digits that chance may give.
    """
    parts = [one.values.ravel().astype(np.float32) for one in arrays.values()]
    values = np.concatenate([*parts, np.zeros(0, np.float32)])
    places, unit = last_places(values, MOST_ROUNDED)
    is_given = is_printed(one.unit for one in arrays.values())
    if is_given or not places or unit is None:
        return arrays, None
    counts = np.isfinite(values) & (values != 0)
    finer = _finer_digits(unit[counts], np.spacing(np.abs(values[counts])))
    if finer < GRID_DIGITS or grid_of(arrays):
        return arrays, None
    printed = {}
    begin = 0
    for name, numbers in arrays.items():
        end = begin + numbers.values.size
        units = unit[begin:end].reshape(numbers.shape)
        if numbers.unit is not None:  # what was left out keeps its infinite unit
            units = units + numbers.unit
        printed[name] = Numbers(numbers.values, units)
        begin = end
    return printed, places


def is_printed(units: Iterable[Array | None]) -> bool:
    """Tell whether a number was printed, not just left out."""
    given = [unit for unit in units if unit is not None]
    return any(((unit > 0) & (unit < np.inf)).any() for unit in given)


def printed_digits(arrays: Mapping[str, Numbers]) -> int | None:
    """The digits to which all arrays are printed, if they are."""
    units = [one.unit.ravel() for one in arrays.values() if one.unit is not None]
    sizes = np.concatenate([np.zeros(0), *units])
    places = np.round(-np.log10(sizes[(sizes > 0) & np.isfinite(sizes)])).astype(int)
    if not places.size or (places != places[0]).any():
        return None
    return max(int(places[0]), 0)
