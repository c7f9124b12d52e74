"""Some steps of a run, or one sequence of its batch, at their positions in the full run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.abbreviated import put_at
from lstmcli.core.diff.alignment import SEQUENCE, ArrayName, sequence
from lstmcli.core.diff.operand import UNNAMED, Side
from lstmcli.core.diff.tolerance import Numbers, Tolerance, coarser, precision_of, tolerance
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import UNNUMBERED, describe_parts, overlaps
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.errors import UserError

MOST_PARTS = 4096  # places in a run that are tried for a part, each by a comparison of 20 us


class PartOfRun(NamedTuple):
    """Successive steps of a run (T, B, K), of one sequence or of all."""

    step: int  # the first
    steps: int
    item: int  # the first
    items: int
    batch_first: bool = False  # of the two axes of its array; else the first is time

    @property
    def place(self) -> tuple[slice, slice]:
        """Where it is in the run."""
        return slice(self.step, self.step + self.steps), slice(self.item, self.item + self.items)

    def on_axes(self, array: Array) -> Array:
        """Its array as (steps, items, K)."""
        if self.batch_first:
            return array.reshape(self.items, self.steps, -1).swapaxes(0, 1)
        return array.reshape(self.steps, self.items, -1)


class Candidate(NamedTuple):
    """An array that is a part of a run, the full array (T, B, K), and when their numbers agree."""

    numbers: Numbers
    full: Array
    test: Tolerance

    def agrees(self, part: PartOfRun, steps: int) -> bool:
        """Whether the first steps agree with those of a part."""
        placed = self.numbers.moved(lambda v: part.on_axes(v)[:steps])
        return bool(self.test.agree(Numbers(self.full[part.place][:steps]), placed).all())


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
    axes = side.layout if layout != "steps" and side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    taken: dict[str, None] = {}
    unplaced: dict[tuple[PartOfRun, ...], dict[str, Candidate]] = {}
    for name in side.arrays:
        computed = run.get("h" if name == UNNAMED else name)
        if computed is None or name in side.gaps or ArrayName.of(name or "h").kind != SEQUENCE:
            continue
        full = as_time_major(computed, layout)  # (T, B, K)
        numbers = side.numbers(name)
        if name not in side.numbering.columns:
            numbers = _in_rows(numbers, full.shape)
        if (numbered := _at_its_numbers(side, name, numbers, full.shape, axes, item)) is not None:
            found[name], text = numbered
            taken[text] = None
        elif parts := _parts(numbers.shape, full.shape, axes == "batch", step, item):
            test = tolerance(coarser(side.precision(name), precision_of(computed.dtype)))
            unplaced.setdefault(tuple(parts), {})[name] = Candidate(numbers, full, test)
    assumed = False
    for possible, arrays in unplaced.items():
        part, is_known = _agreeing(possible, [*arrays.values()])
        assumed |= not is_known
        for name, (numbers, full, _) in arrays.items():
            found[name] = put_at(numbers.moved(part.on_axes), part.place, full.shape)
            T, B = full.shape[0], full.shape[1]
            taken[part_words(part.steps, part.items, T, B, part.step, part.item)] = None
    if not found:
        return Placed(side)
    found = {name: n.moved(lambda a: from_time_major(a, axes)) for name, n in found.items()}
    dtypes = {name: side.arrays[name].dtype for name in found if name not in side.units}
    full_side = replace(side.with_numbers(found), gaps=side.gaps, layout=axes, numbering=UNNUMBERED)
    full_side = replace(full_side, dtypes={**dtypes, **side.dtypes})
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


def _in_rows(numbers: Numbers, full_shape: tuple[int, ...]) -> Numbers:
    """Numbers in a row, as a port in C prints them, as the steps (n, K) of one sequence."""
    T, _, K = full_shape
    count = numbers.values.size
    in_a_row = count == max(numbers.shape, default=0) or numbers.shape[-2:] == (K, 1)
    if not in_a_row or not count or numbers.shape[-1] == K or count % K or count > T * K:
        return numbers
    return numbers.moved(lambda v: v.reshape(-1, K))


def _parts(
    shape: tuple[int, ...], full_shape: tuple[int, ...], batch_first: bool, step: int, item: int
) -> tuple[PartOfRun, ...]:
    """What of a run (T, B, K) an array of a shape may be, the likeliest first.

    Empty if it is all of it, or has another shape.
    """
    T, B, K = full_shape
    lead = [n for n in shape[:-1] if n != 1]
    if (
        0 in shape
        or shape[-1:] != (K,)
        or len(lead) > 2
        or sorted(lead) == sorted(n for n in (T, B) if n != 1)
    ):
        return ()
    if len(lead) == 2:
        n, items = lead[::-1] if batch_first else lead
        starts = _starts(T, n) if items == B else ()
        return tuple(PartOfRun(start, n, 0, B, batch_first) for start in starts)
    n = lead[0] if lead else 1
    sequences = chain([item], (b for b in range(B) if b != item))
    of_one = (PartOfRun(t, n, b, 1) for b in sequences for t in _starts(T, n, 0 if lead else step))
    of_all = [PartOfRun(t, 1, 0, B) for t in _starts(T, 1) if lead == [B]]
    last = of_all[1:2] if step == T - 1 else []  # asked for: likelier than steps that lack it
    return tuple(islice(dict.fromkeys(chain(last, of_one, of_all)), MOST_PARTS))


def _starts(steps: int, count: int, likeliest: int = 0) -> Iterator[int]:
    """Where so many successive steps may start: the likeliest first, then the last, then all."""
    last = steps - count
    if last >= 0:
        yield from dict.fromkeys([likeliest, last, *range(last)])


def _agreeing(parts: Sequence[PartOfRun], arrays: Sequence[Candidate]) -> tuple[PartOfRun, bool]:
    """The part where the numbers of an array agree, and whether they do in that one only.

    The first if they agree there, or nowhere; else one where the first step agrees.
    """
    starting = [part for part in parts if any(a.agrees(part, 1) for a in arrays)]
    complete = [part for part in starting if any(a.agrees(part, part.steps) for a in arrays)]
    for found in (complete, starting):
        if found and (found[0] == parts[0] or len(found) == 1):
            return found[0], True
    return parts[0], len(parts) == 1


def part_words(steps: int, items: int, T: int, B: int, step: int = 0, item: int = 0) -> str:
    """``the last 3 of 7 steps, sequence 2 of 4``; empty for all of them."""
    last, parts = step + steps - 1, []
    if steps == 1 < T:
        parts.append(f"step {step} of {T}")
    elif steps < T and step and last < T - 1:
        parts.append(f"steps {step} to {last} of {T}")
    elif steps < T:
        parts.append(f"the {'last' if step else 'first'} {steps} of {T} steps")
    if items < B:
        first = f"the first {items} of {B} sequences"
        parts.append(f"sequence {item} of {B}" if items == 1 else first)
    return ", ".join(parts)
