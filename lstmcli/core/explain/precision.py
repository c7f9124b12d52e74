"""How exact EXPECTED is: the tolerances that its number type or its print asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.tolerance import BFLOAT16, FLOAT16, FLOAT64, Numbers
from lstmcli.core.explain.bench import Allowance
from lstmcli.core.explain.judge import SINGLE
from lstmcli.core.model.half_precision import round_to_format, spacing

EXACT = Allowance(1e-9, 1e-9, "float64")
EPS: Mapping[str, float] = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
HALF, BRAIN = (Allowance(8 * eps, 8 * eps, name) for name, eps in EPS.items())
"""The most that half precision is searched at; what a format predicts is less for most nets."""
GRID_DIGITS = 8.0  # by which printed numbers have to be finer than a grid on which they lie


def grids_of(arrays: Mapping[str, Numbers]) -> Iterator[str]:
    """The coarser number type that holds every number of EXPECTED, as far as a print tells."""
    for name in (BRAIN.name, HALF.name):  # that of fewer digits first: it is more telling
        if all(_on_grid(numbers, name) for numbers in arrays.values()):
            yield name
            return


def _on_grid(numbers: Numbers, name: str) -> bool:
    """Whether a number type holds all these numbers, and their digits are too many for chance."""
    is_known = np.isfinite(numbers.values)
    values = numbers.values[is_known].astype(np.float64)
    off = np.abs(round_to_format(values, name) - values)
    if numbers.unit is None:
        return not off.any()
    unit = numbers.unit[is_known]
    # the shortest digits that tell a float32 from the next lie within half of its spacing
    slack = 0.5 * unit + 0.5 * np.spacing(np.abs(values).astype(np.float32))
    finer = np.log10(np.maximum(spacing(values, name) / np.where(unit > 0, unit, np.inf), 1))
    return bool((off <= slack).all() and finer.sum() >= GRID_DIGITS)


def allowances_of(side: Side, arrays: Mapping[str, Numbers]) -> tuple[tuple[Allowance, ...], str]:
    """The tolerances of EXPECTED, tight before loose, and its precision in words."""
    names = [n for n in side.arrays if (n or "h") in arrays] or list(side.arrays)
    printed = any(numbers.unit is not None for numbers in arrays.values())
    precisions = {side.precision(name).name for name in names}
    if BFLOAT16.name in precisions:
        return (BRAIN,), BRAIN.name
    if FLOAT16.name in precisions:
        return (HALF,), HALF.name
    if printed:
        return (SINGLE,), _printed(arrays)
    if precisions == {FLOAT64.name} and not _all_single(arrays):
        return (EXACT, SINGLE), "float64"
    return (SINGLE,), "float32"


def _all_single(arrays: Mapping[str, Numbers]) -> bool:
    """Whether float64 arrays hold nothing but float32 numbers."""
    return all(
        bool((n.values == n.values.astype(np.float32))[np.isfinite(n.values)].all())
        for n in arrays.values()
    )


def _printed(arrays: Mapping[str, Numbers]) -> str:
    """``printed to 8 digits``."""
    units = np.concatenate([n.unit.ravel() for n in arrays.values() if n.unit is not None])
    units = units[(units > 0) & np.isfinite(units)]
    if not units.size:
        return "printed"
    places = np.round(-np.log10(units)).astype(int)
    if (places == places[0]).all():
        return f"printed to {max(places[0], 0)} digits"
    return "printed"
