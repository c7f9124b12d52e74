"""Some steps of a run, or one row of its batch, put where they lie in the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.alignment import SEQUENCE, ArrayName, sequence
from lstmcli.core.diff.operand import LONE, Side
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import UNNUMBERED
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.errors import UserError


class PartOfRun(NamedTuple):
    """Which steps and rows of a run an array holds: the first ones or one, and all rows or one."""

    steps: slice
    rows: slice
    batch_first: bool  # of two axes; else the first is time
    words: str  # "row 2 of 3"


def at_its_place(
    side: Side, own: Mapping[str, Array], layout: str, step: int, row: int
) -> tuple[Side, tuple[str, ...]]:
    """A side whose sequences have the shapes of a run's, and as what they were taken.

    A sequence of fewer steps, or of one row where the run has several, is put at its place; the
    numbers that it does not hold count as left out, as those of an abbreviated print do.

    Parameters
    ----------
    side
        the other side.
    own
        the run's arrays, (T, K), (B, T, K) or (T, B, K) by ``layout``.
    step, row
        what an array of one step, or of one row of the batch, is taken for.
    """
    axes = side.layout if layout != "steps" and side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    taken: dict[str, None] = {}
    for name in side.arrays:
        whole = own.get("h" if name == LONE else name)
        if whole is None or name in side.gaps or ArrayName.of(name or "h").kind != SEQUENCE:
            continue
        shape = as_time_major(whole, layout).shape  # (T, B, K)
        numbers = side.numbers(name)
        if not side.numbering.from_the_start:
            placed = _at_its_numbers(side, name, numbers, shape, axes)
            found[name] = placed.moved(lambda a: from_time_major(a, axes))
            taken[side.numbering.description] = None
            continue
        if (part := _part(numbers.shape, shape, axes == "batch", step, row)) is not None:
            found[name] = _spread(numbers, part, shape).moved(lambda a: from_time_major(a, axes))
            taken[part.words] = None
    if not found:
        return side, ()
    own_types = {name: side.arrays[name].dtype for name in found if name not in side.units}
    whole_side = replace(
        side.with_numbers(found), gaps=side.gaps, layout=axes, numbering=UNNUMBERED
    )
    return replace(whole_side, dtypes={**own_types, **side.dtypes}), tuple(taken)


def _at_its_numbers(
    side: Side, name: str, numbers: Numbers, whole: tuple[int, ...], axes: str
) -> Numbers:
    """The numbers of a part that says where it lies, within (T, B, K)."""
    part = sequence(numbers, axes)
    said = side.numbering.steps, side.numbering.batch, side.numbering.columns.get(name)
    index = [
        range(size) if own is None else own
        for size, own in zip((0, 0, 0) if part is None else part.shape, said, strict=True)
    ]
    lengths = tuple(map(len, index))
    beyond = any(own and own[-1] >= n for own, n in zip(index, whole, strict=True))
    if part is None or part.shape != lengths or beyond:
        raise UserError(
            f"{side.name}: {name or 'the array'} holds {side.numbering.description}; "
            f"this run is {whole} as (steps, batch, units)."
        )
    values, unit = np.full(whole, np.nan), np.full(whole, np.inf)
    values[np.ix_(*index)] = part.values
    unit[np.ix_(*index)] = 0.0 if part.unit is None else part.unit
    return Numbers(values, unit)


def _part(
    shape: tuple[int, ...], whole: tuple[int, ...], batch_first: bool, step: int, row: int
) -> PartOfRun | None:
    """What of a run (T, B, K) an array of a shape is; None if it is all of it, or none."""
    T, B, K = whole
    lead = [n for n in shape[:-1] if n != 1]
    if shape[-1:] != (K,) or len(lead) > 2 or sorted(lead) == sorted(n for n in (T, B) if n != 1):
        return None
    if len(lead) < 2:
        steps = slice(0, lead[0]) if lead else slice(step, step + 1)
        rows = slice(row, row + 1)
    else:
        steps, rows = (slice(0, n) for n in (lead[::-1] if batch_first else lead))
        if rows.stop != B:
            return None
    if steps.stop > T:
        return None
    sizes = steps.stop - steps.start, rows.stop - rows.start
    words = part_words(*sizes, T, B, steps.start, rows.start)
    return PartOfRun(steps, rows, batch_first and len(lead) == 2, words)


def part_words(steps: int, rows: int, T: int, B: int, step: int = 0, row: int = 0) -> str:
    """``the first 3 of 7 steps, row 2 of 4``; empty for all of them."""
    parts = []
    if steps < T:
        parts.append(f"the first {steps} of {T} steps" if steps > 1 else f"step {step} of {T}")
    if rows < B:
        parts.append(f"row {row} of {B}" if rows == 1 else f"the first {rows} of {B} rows")
    return ", ".join(parts)


def _spread(numbers: Numbers, part: PartOfRun, whole: tuple[int, ...]) -> Numbers:
    """The numbers of a part within (T, B, K); the others are NaN, their unit infinite."""
    steps, rows = (each.stop - each.start for each in (part.steps, part.rows))

    def at_its_axes(array: Array) -> Array:
        if part.batch_first:
            return array.reshape(rows, steps, -1).swapaxes(0, 1)
        return array.reshape(steps, rows, -1)

    values, unit = np.full(whole, np.nan), np.full(whole, np.inf)
    values[part.steps, part.rows] = at_its_axes(numbers.values)
    unit[part.steps, part.rows] = 0.0 if numbers.unit is None else at_its_axes(numbers.unit)
    return Numbers(values, unit)
