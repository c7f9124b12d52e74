"""Some steps of a run, or one sequence of its batch, at their positions in the full run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.alignment import SEQUENCE, ArrayName, sequence
from lstmcli.core.diff.operand import UNNAMED, Side
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import UNNUMBERED
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.errors import UserError


class PartOfRun(NamedTuple):
    """The steps and sequences of a run that an array contains: the first ones, or a single one."""

    steps: slice
    batch: slice
    batch_first: bool  # of two axes; else the first is time
    words: str  # "row 2 of 3"


def at_its_place(
    side: Side, run: Mapping[str, Array], layout: str, step: int, item: int
) -> tuple[Side, tuple[str, ...]]:
    """A side whose sequences have the shapes of a run's, and as what they were taken.

    A sequence of fewer steps, or one sequence where the run has several, is put at its position;
    the numbers that it does not contain count as left out, as those of an abbreviated print do.

    Parameters
    ----------
    side
        the other side.
    run
        the run's arrays, (T, K), (B, T, K) or (T, B, K) by ``layout``.
    step, item
        what an array of one step, or of one sequence of the batch, is taken for.
    """
    axes = side.layout if layout != "steps" and side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    taken: dict[str, None] = {}
    for name in side.arrays:
        computed = run.get("h" if name == UNNAMED else name)
        if computed is None or name in side.gaps or ArrayName.of(name or "h").kind != SEQUENCE:
            continue
        shape = as_time_major(computed, layout).shape  # (T, B, K)
        numbers = side.numbers(name)
        if not side.numbering.from_the_start:
            placed = _at_its_numbers(side, name, numbers, shape, axes)
            found[name] = placed.moved(lambda a: from_time_major(a, axes))
            taken[side.numbering.description] = None
            continue
        if (part := _part(numbers.shape, shape, axes == "batch", step, item)) is not None:
            found[name] = _spread(numbers, part, shape).moved(lambda a: from_time_major(a, axes))
            taken[part.words] = None
    if not found:
        return side, ()
    dtypes = {name: side.arrays[name].dtype for name in found if name not in side.units}
    full_side = replace(side.with_numbers(found), gaps=side.gaps, layout=axes, numbering=UNNUMBERED)
    return replace(full_side, dtypes={**dtypes, **side.dtypes}), tuple(taken)


def _at_its_numbers(
    side: Side, name: str, numbers: Numbers, shape: tuple[int, ...], axes: str
) -> Numbers:
    """The numbers of a part that has step and batch numbers, within (T, B, K)."""
    part = sequence(numbers, axes)
    numbering = side.numbering.steps, side.numbering.batch, side.numbering.columns.get(name)
    index = [
        range(size) if axis is None else axis
        for size, axis in zip((0, 0, 0) if part is None else part.shape, numbering, strict=True)
    ]
    lengths = tuple(map(len, index))
    beyond = any(axis and axis[-1] >= n for axis, n in zip(index, shape, strict=True))
    if part is None or part.shape != lengths or beyond:
        raise UserError(
            f"{side.name}: {name or 'the array'} holds {side.numbering.description}; "
            f"this run is {shape} as (steps, batch, units)."
        )
    values, unit = np.full(shape, np.nan), np.full(shape, np.inf)
    values[np.ix_(*index)] = part.values
    unit[np.ix_(*index)] = 0.0 if part.unit is None else part.unit
    return Numbers(values, unit)


def _part(
    shape: tuple[int, ...], full_shape: tuple[int, ...], batch_first: bool, step: int, item: int
) -> PartOfRun | None:
    """What of a run (T, B, K) an array of a shape is; None if it is all of it, or none."""
    T, B, K = full_shape
    lead = [n for n in shape[:-1] if n != 1]
    if shape[-1:] != (K,) or len(lead) > 2 or sorted(lead) == sorted(n for n in (T, B) if n != 1):
        return None
    if len(lead) < 2:
        steps = slice(0, lead[0]) if lead else slice(step, step + 1)
        batch = slice(item, item + 1)
    else:
        steps, batch = (slice(0, n) for n in (lead[::-1] if batch_first else lead))
        if batch.stop != B:
            return None
    if steps.stop > T:
        return None
    sizes = steps.stop - steps.start, batch.stop - batch.start
    words = part_words(*sizes, T, B, steps.start, batch.start)
    return PartOfRun(steps, batch, batch_first and len(lead) == 2, words)


def part_words(steps: int, rows: int, T: int, B: int, step: int = 0, row: int = 0) -> str:
    """``the first 3 of 7 steps, row 2 of 4``; empty for all of them."""
    parts = []
    if steps < T:
        parts.append(f"the first {steps} of {T} steps" if steps > 1 else f"step {step} of {T}")
    if rows < B:
        parts.append(f"row {row} of {B}" if rows == 1 else f"the first {rows} of {B} rows")
    return ", ".join(parts)


def _spread(numbers: Numbers, part: PartOfRun, shape: tuple[int, ...]) -> Numbers:
    """The numbers of a part within (T, B, K); the others are NaN, their unit infinite."""
    steps, batch = (each.stop - each.start for each in (part.steps, part.batch))

    def at_its_axes(array: Array) -> Array:
        if part.batch_first:
            return array.reshape(batch, steps, -1).swapaxes(0, 1)
        return array.reshape(steps, batch, -1)

    values, unit = np.full(shape, np.nan), np.full(shape, np.inf)
    values[part.steps, part.batch] = at_its_axes(numbers.values)
    unit[part.steps, part.batch] = 0.0 if numbers.unit is None else at_its_axes(numbers.unit)
    return Numbers(values, unit)
