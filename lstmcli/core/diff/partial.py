"""Some steps of a run, or one sequence of its batch, at their positions in the full run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import SEQUENCE, ArrayName
from lstmcli.core.diff.axes import sequence
from lstmcli.core.diff.operand import Side, put_at
from lstmcli.core.diff.tolerance import Numbers, coarser, precision_of, tolerance
from lstmcli.core.model import layouts
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import AXES, UNNUMBERED, describe_parts
from lstmcli.core.model.layouts import Arrangement, RunShape, arrangements
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.core.model.selection import Indices
from lstmcli.errors import UserError

MOST_PARTS = 4096  # places in a run that are tried for a part, each by a comparison of 20 us
_MOST_LISTED = 20 * MOST_PARTS  # arrangements that are looked at for them, each in 1 us


class Placed(NamedTuple):
    """A side at its position in a run."""

    side: Side
    taken: tuple[str, ...] = ()  # as what its arrays are taken: ``the first 3 of 7 steps``
    assumed: bool = False  # their numbers leave open whether they are other steps or sequences


def at_its_place(side: Side, run: Mapping[str, Array], layout: str, step: int, item: int) -> Placed:
    """A side whose sequences have the shapes of a run's.

    Fewer steps, or one sequence where the run has several, are put where their numbers agree with
    the run's, or those of their first step; else they are the first steps. The numbers that a side
    does not contain count as left out, as those of abbreviated output do.

    ``run`` has the run's arrays, (T, K), (B, T, K) or (T, B, K) by ``layout``; ``step`` and
    ``item`` are what an array of one step, or of one sequence, is where its numbers do not tell.
    """
    axes = side.layout if side.layout in ("batch", "time") else layout
    full = {
        name: as_time_major(computed, layout)  # (T, B, K)
        for name in side.arrays
        if (computed := run.get(name or "h")) is not None and name not in side.gaps
        if ArrayName.of(name or "h").kind == SEQUENCE
    }
    found: dict[str, Numbers] = {}
    taken: dict[str, None] = {}
    unplaced: dict[tuple[Arrangement, ...], list[str]] = {}  # arrays of one shape go together
    for name, of_run in full.items():
        if numbered := _at_its_indices(side, name, of_run.shape, axes, item):
            found[name], text = numbered
            taken[text] = None
        elif parts := _parts(side.arrays[name].shape, of_run.shape, axes, step, item):
            unplaced.setdefault(parts, []).append(name)

    def agree(one: Arrangement, names: Sequence[str], steps: int | None = None) -> bool:
        """Whether the first steps of any of these arrays agree with the run's."""
        return any(
            tolerance(coarser(side.precision(name), precision_of(full[name].dtype)))
            .agree(Numbers(full[name][one.place[:2]][:steps]), _read(side, name, one)[:steps])
            .all()
            for name in names
        )

    assumed = False
    for parts, names in unplaced.items():
        starting = [one for one in parts if agree(one, names, 1)]
        complete = [one for one in starting if agree(one, names)]
        one, is_known = parts[0], len(parts) == 1
        for agreeing in (starting, complete):  # the first, unless the numbers agree in one other
            if agreeing and (agreeing[0] == parts[0] or len(agreeing) == 1):
                one, is_known = agreeing[0], True
        assumed |= not is_known
        taken[layouts.part_words(one.steps, one.sequences)] = None
        found |= {n: put_at(_read(side, n, one), one.place[:2], full[n].shape) for n in names}
    if not found:
        return Placed(side)
    found = {name: n.moved(lambda a: from_time_major(a, axes)) for name, n in found.items()}
    dtypes = {name: side.arrays[name].dtype for name in found if name not in side.units}
    placed = replace(
        side.with_numbers(found), gaps=side.gaps, layout=axes, numbering=UNNUMBERED,
        dtypes={**dtypes, **side.dtypes},
    )  # fmt: skip
    return Placed(placed, tuple(taken), assumed)


def _read(side: Side, name: str, one: Arrangement) -> Numbers:
    """An array as (steps, sequences, K)."""
    return side.numbers(name).moved(lambda v: one.read(v)[:, :, 0])


def _at_its_indices(
    side: Side, name: str, shape: tuple[int, ...], axes: str, item: int
) -> tuple[Numbers, str] | None:
    """The numbers of a part within (T, B, K), and which it is; None if not in its file."""
    part = sequence(side.numbers(name), axes)
    index: list[Indices] = []
    said, fits = [], part is not None
    for axis, (size, n) in enumerate(
        zip((0, 0, 0) if part is None else part.shape, shape, strict=True)
    ):
        of_axis = side.indices(name, axis, size)
        if of_axis is None:
            of_axis = [item] if axis == 1 and size == 1 else range(size)
            fits &= size in (n, 1 if axis == 1 else n)
        elif [*of_axis] != [*range(n)]:
            said.append((AXES[axis], of_axis, name))
        index.append(of_axis)
        fits &= bool(size) and of_axis[-1] < n
    if not said and side.numbering.from_the_start:
        return None
    if part is None or not said or not fits:
        text = side.numbering.description or describe_parts(said)
        raise UserError(
            f"{side.name}: {name or 'the array'} contains {text}; "
            f"this run is {shape} as (steps, batch, units)."
        )
    return put_at(part, np.ix_(*index), shape), describe_parts(said)


def _parts(
    shape: tuple[int, ...], full_shape: tuple[int, ...], axes: str, step: int, item: int
) -> tuple[Arrangement, ...]:
    """The parts of a run (T, B, K) that an array may be, the likeliest first; none if it is all."""
    T, B, K = full_shape
    run = RunShape(T, B, K, layout="batch" if axes == "batch" else "time")
    listed = [] if 0 in shape else [*islice(arrangements(shape, run), _MOST_LISTED)]
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
