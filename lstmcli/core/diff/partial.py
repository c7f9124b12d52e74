"""Some steps of a run, or one sequence of its batch, at their positions in the full run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.abbreviated import put_at
from lstmcli.core.diff.alignment import SEQUENCE, ArrayName, sequence
from lstmcli.core.diff.operand import UNNAMED, Side
from lstmcli.core.diff.tolerance import Numbers, Tolerance, coarser, precision_of, tolerance
from lstmcli.core.model import layouts
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import UNNUMBERED, describe_parts, overlaps
from lstmcli.core.model.layouts import Arrangement, RunShape, arrangements
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.errors import UserError

MOST_PARTS = 4096  # places in a run that are tried for a part, each by a comparison of 20 us
_MOST_LISTED = 20 * MOST_PARTS  # arrangements that are looked at for them, each in 1 us


class Part(NamedTuple):
    """An array that is a part of a run, the full array (T, B, K), and when their numbers agree."""

    numbers: Numbers
    full: Array
    test: Tolerance

    def on_axes(self, one: Arrangement) -> Numbers:
        """The array as (steps, sequences, K)."""
        return self.numbers.moved(lambda v: one.read(v)[:, :, 0])

    def agrees(self, one: Arrangement, steps: int) -> bool:
        """Whether its first steps agree with the run's."""
        full = Numbers(self.full[one.place[:2]][:steps])
        return bool(self.test.agree(full, self.on_axes(one)[:steps]).all())


class Placed(NamedTuple):
    """A side at its position in a run."""

    side: Side
    taken: tuple[str, ...] = ()  # as what its arrays are taken: ``the first 3 of 7 steps``
    assumed: bool = False  # their numbers leave open whether they are other steps or sequences


def at_its_place(side: Side, run: Mapping[str, Array], layout: str, step: int, item: int) -> Placed:
    """A side whose sequences have the shapes of a run's.

    Fewer steps, or one sequence where the run has several, are put where their numbers agree with
    the run's, or those of their first step; else they are the first steps, or those of ``step``
    and ``item``. The numbers that a side does not contain count as left out, as those of an
    abbreviated print do.

    Parameters
    ----------
    side
        the other side.
    run
        the run's arrays, (T, K), (B, T, K) or (T, B, K) by ``layout``.
    step, item
        what an array of one step, or of one sequence of the batch, is taken for where its numbers
        do not tell.
    """
    axes = side.layout if side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    taken: dict[str, None] = {}
    unplaced: dict[tuple[Arrangement, ...], dict[str, Part]] = {}
    for name in side.arrays:
        computed = run.get("h" if name == UNNAMED else name)
        if computed is None or name in side.gaps or ArrayName.of(name or "h").kind != SEQUENCE:
            continue
        full, numbers = as_time_major(computed, layout), side.numbers(name)  # (T, B, K)
        if (numbered := _at_its_numbers(side, name, numbers, full.shape, axes, item)) is not None:
            found[name], text = numbered
            taken[text] = None
        elif parts := _parts(numbers.shape, full.shape, axes, step, item):
            test = tolerance(coarser(side.precision(name), precision_of(computed.dtype)))
            unplaced.setdefault(parts, {})[name] = Part(numbers, full, test)
    assumed = False
    for possible, arrays in unplaced.items():
        one, is_known = _agreeing(possible, [*arrays.values()])
        assumed |= not is_known
        taken[layouts.part_words(one.steps, one.sequences)] = None
        for name, part in arrays.items():
            found[name] = put_at(part.on_axes(one), one.place[:2], part.full.shape)
    if not found:
        return Placed(side)
    found = {name: n.moved(lambda a: from_time_major(a, axes)) for name, n in found.items()}
    dtypes = {name: side.arrays[name].dtype for name in found if name not in side.units}
    full_side = replace(
        side.with_numbers(found), gaps=side.gaps, layout=axes, numbering=UNNUMBERED,
        dtypes={**dtypes, **side.dtypes},
    )  # fmt: skip
    return Placed(full_side, tuple(taken), assumed)


def _at_its_numbers(
    side: Side, name: str, numbers: Numbers, shape: tuple[int, ...], axes: str, item: int
) -> tuple[Numbers, str] | None:
    """The numbers of a part within (T, B, K), and which it is; None if its file does not say it."""
    part = sequence(numbers, axes)
    lengths = (0, 0, 0) if part is None else part.shape
    common = overlaps((shape, lengths), (UNNUMBERED, side.numbering), name)
    if not any(common.parts) and side.numbering.from_the_start:
        return None
    index = [
        both.in_a if both is not None else [item] if axis == 1 and size == 1 else range(size)
        for axis, (both, size) in enumerate(zip(common.axes, lengths, strict=True))
    ]
    complete = all(
        both is not None or size == n or (axis == 1 and size == 1)
        for axis, (both, size, n) in enumerate(zip(common.axes, lengths, shape, strict=True))
    )
    if part is None or not any(common.parts) or not complete:
        text = side.numbering.description or describe_parts(common.parts[1])
        raise UserError(
            f"{side.name}: {name or 'the array'} contains {text}; "
            f"this run is {shape} as (steps, batch, units)."
        )
    return put_at(part, np.ix_(*index), shape), describe_parts(common.parts[1])


def _parts(
    shape: tuple[int, ...], full_shape: tuple[int, ...], axes: str, step: int, item: int
) -> tuple[Arrangement, ...]:
    """The parts of a run (T, B, K) that an array may be, the likeliest first.

    Empty if it is all of it, or has another shape.
    """
    if 0 in shape:
        return ()
    T, B, K = full_shape
    run = RunShape(T, B, K, layout="batch" if axes == "batch" else "time")
    listed = [*islice(arrangements(shape, run), _MOST_LISTED)]
    if any(one.is_all and not one.units_first for one in listed):
        return ()

    def unlikely(one: Arrangement) -> tuple[bool, bool]:
        of_all, last = "t" not in one.axes and B > 1 and one.sequences.is_all, step == T - 1
        likely = 0 if "t" in one.axes or (of_all and not last) else step
        first = one.steps.first == likely and (one.sequences.first == item or "b" in one.axes)
        return not first, of_all != last

    parts = [
        one
        for one in listed
        if one.units.is_all and not (one.units_first or one.exchanged) and one.steps.stride == 1
        if one.order == "C" and (one.in_a_row or shape[-1] == K or shape[-2:] == (K, 1))
        if one.sequences.size in (1, B) and ("t" not in one.axes or one.steps.size > 1)
    ]
    return tuple(sorted(parts[:MOST_PARTS], key=unlikely))


def _agreeing(parts: Sequence[Arrangement], arrays: Sequence[Part]) -> tuple[Arrangement, bool]:
    """The part where the numbers of an array agree, and whether they do in that one only.

    The first if they agree there, or nowhere; else one where the first step agrees.
    """
    starting = [part for part in parts if any(a.agrees(part, 1) for a in arrays)]
    complete = [part for part in starting if any(a.agrees(part, part.steps.size) for a in arrays)]
    for found in (complete, starting):
        if found and (found[0] == parts[0] or len(found) == 1):
            return found[0], True
    return parts[0], len(parts) == 1


def part_words(steps: int, items: int, T: int, B: int, step: int = 0, item: int = 0) -> str:
    """``the last 3 of 7 steps, sequence 2 of 4``; empty for all of them."""
    return layouts.part_words(layouts.Part(step, steps, T), layouts.Part(item, items, B))
