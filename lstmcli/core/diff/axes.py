"""Every way to bring two arrays to the same axes, and which of them is taken.

One side is interpreted as a full run of steps, sequences, directions and units, and
`lstmcli.core.model.layouts` lists how the other one lies on it. So (B, T, 2 H) of Keras
is "btw", and (T, 2, B, H) of ONNX lies on that run as "tdbk": both are then
(T, B, 2 H). Of several ways the numbers decide first, then the cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from math import inf, isclose
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import FINAL, SEQUENCE
from lstmcli.core.diff.operand import Side, padded_steps
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.layouts import (
    EXCHANGED,
    IN_A_ROW,
    LAST_STEP,
    OTHER_DIRECTIONS,
    Arrangement,
    Part,
    RunShape,
    arrangements,
    words,
)
from lstmcli.core.model.selection import Choice, Indices
from lstmcli.errors import UserError

# Of the distance of every other candidate. In 1,050 pairs of runs of two directions, one with wrong
# gates, no bias or other weights, the nearest was never the wrong one at 0.7.
_CLEARLY_NEARER = 0.5
_MOST_LISTED = 2**14  # places on a run that are tried, each by a comparison of 75 us
_ALIKE = 1.0  # costs that differ by no more do not decide

LAST = "the last step"  # as `words` has it
LAST_VALID = "the last valid step of each sequence"

Shape = tuple[int, ...]
Layouts = tuple[str | None, ...]


Choices = tuple[Choice | None, ...]
"""The selected steps, batch items and units; None: all."""


class Interpretation(NamedTuple):
    """Two sides whose axes differ, of which one is interpreted as a full run."""

    pair: Pair
    n: int  # the other one, which lies on that run
    narrow: Numbers
    wide: Numbers
    said: Layouts  # of the narrow side and of the full run; None: not known
    choices: Choices
    cells: bool  # an axis may be that of cells
    run: Side  # the one that is the full run

    def lying(self, is_full: bool, run: RunShape) -> Iterator[Arrangement]:
        """How a side may lie on a run by its layout: all of it, a step, a sequence, a direction.

        Its last axis is that of the units, of both directions if these are side by side; of one
        direction it may have all numbers in a row.
        """
        usual = "batch" if (self.said[is_full] or self.said[not is_full]) == "batch" else "time"
        shape = (self.wide if is_full else self.narrow).shape
        steps, items = map(among, self.choices[:2], run[:2])
        steps = [run.steps - 1] if steps is None else steps
        if is_full:
            steps, items = [0], [0]
        listed = arrangements(shape, run._replace(layout=usual), steps, items)
        for one in islice(listed, _MOST_LISTED):
            row = one.in_a_row or shape[-1] == 1 or len(shape) == 1
            row &= one.steps.is_all and run.directions == 1
            width = run.units * (run.directions if "w" in one.axes else 1)
            allowed = (
                one.order == "C" and not one.units_first and one.units.is_all,
                one.sequences.is_all or "b" not in one.axes,
                (row and not is_full) or (shape[-1] == width and not one.in_a_row),
                one.is_all or not is_full,
                _fits_layout(one, shape, self.said[is_full]) or self.is_state(one),
            )
            if all(allowed):
                yield one

    def is_state(self, one: Arrangement) -> bool:
        """Return whether it is the (1, B, H) of torch, which has that shape in any layout."""
        is_last = one.steps.is_last_step and one.sequences.is_all
        shape = self.narrow.shape
        return is_last and self.said[0] == "batch" and len(shape) == 3 and shape[0] == 1

    def parts_of_run(
        self, one: Arrangement, full: Arrangement
    ) -> Iterator[tuple[Numbers, str, bool]]:
        """Tell what the narrow side is of the full run (T, B, D, K), and the words for a last step.

        The last step of a run of which some are padding is the last valid one; of two directions
        it may be the last of each.
        """
        T, B, D, K = (part.of for part in one.parts)
        run = self.wide.moved(full.read)
        is_last = one.steps.is_last_step and one.sequences.is_all and self.pair.kind == SEQUENCE
        if not is_last or self.choices[0] is not None:
            yield run[one.place], LAST, False
            return
        valid = ~padded_steps([self.run], self.indices(0, T), self.indices(1, B))  # (T, B)
        items = np.arange(B)
        first = valid.argmax(axis=0)
        last = T - 1 - valid[::-1].argmax(axis=0)
        is_padded = not valid.all()
        yield run[last, items][None], LAST_VALID if is_padded else LAST, is_padded
        if D * K % 2 == 0:
            second = (np.arange(D * K) >= D * K // 2).reshape(D, K)
            ends = run.moved(lambda v: np.where(second, v[first, items], v[last, items])[None])
            steps = f"step {T - 1} forward, 0 backward"
            if is_padded:
                steps = "the last valid one forward, the first backward"
            yield ends, f"the last step of each direction ({steps})", is_padded

    def indices(self, axis: int, size: int) -> Indices:
        """Which of its steps or sequences the full run has in its file."""
        return self.run.indices(self.pair.name, axis, size) or range(size)


class Candidate(NamedTuple):
    """Two sides in the same axes (T, B, K) as one lies on the other."""

    cost: float
    pair: Pair
    by_numbers: bool = False  # taken only if its numbers agree or are clearly nearest
    batch_first: bool = False  # the full run is read so
    directions: tuple[int | None, ...] = (None, None)  # their axis on either side, if stacked

    @property
    def is_sequence(self) -> bool:
        """Return whether one side is a sequence of the other."""
        return self.pair.numbers[1] is not None

    @property
    def key(self) -> tuple[object, ...]:
        """The same for what is listed once for either side as the full run."""
        pair = self.pair
        batch_first = self.batch_first and self.is_sequence
        return pair.taken_as, pair.a.shape, str(pair.numbers), batch_first


def arrange(
    pair: Pair, arrays: tuple[Numbers, Numbers], sides: Sequence[Side], choices: Choices
) -> tuple[Pair | None, str]:
    """The candidate whose numbers agree, or the only likely one; or why none is taken.

    If none agrees, it is the only one whose first step does, else the clearly nearest,
    else the only one of about the least cost. A pair of one shape is a candidate too.
    """
    # no layout gives the axes of last states
    layouts = tuple(None if pair.kind == FINAL else side.layout for side in sides)
    silent = layouts == (None, None)
    cells = pair.kind == FINAL and several_cells(arrays, sides)
    listed = [Candidate(0.0, pair)] * (pair.agrees is not None)
    for n, m in ((0, 1), (1, 0)):
        said = layouts[n], layouts[m]
        of = Interpretation(pair, n, arrays[n], arrays[m], said, choices, cells, run=sides[m])
        listed += _candidates(of)
    listed.sort(key=lambda one: -one.cost)
    found = [*{one.key: one for one in listed}.values()]
    agreeing = [one for one in found if one.pair.numbers_agree]
    likely = [one for one in found if not one.by_numbers]
    starting = [
        one
        for one in likely
        if (agrees := one.pair.agrees) is not None and len(agrees) > 1 and agrees[0].all()
    ]
    if not agreeing and len(starting) == 1:
        return starting[0].pair, ""
    if near := agreeing or _nearest(found):
        # what is the last step of one layout is the last sequence of the other
        best = min(near, key=lambda one: (one.by_numbers, one.is_sequence, one.cost))
        if not (best.is_sequence and best.batch_first and silent):
            return best.pair, ""
        step = (best.pair.numbers[1] or [0])[0]  # a wrong step must not pass for a sequence
        is_sequence = next(x for x in best.pair.taken_as.split("; ") if "sequence" in x)
        text = f"{is_sequence} if the first axis is the batch (--layout batch)"
        return None, f"{text}, and with step {step} if it is time (lstm diff --steps {step})"
    if likely:
        least = min(one.cost for one in likely)
        likeliest = [one for one in likely if one.cost <= least + _ALIKE]
        likeliest = [one for one in likeliest if not one.pair.taken_as] or likeliest
        if len(likeliest) == 1:
            return likeliest[0].pair, ""
        return None, _several(likeliest, silent)
    return None, "the last states of several cells, on an axis that the other side lacks" * cells


def several_cells(arrays: Sequence[Numbers], sides: Sequence[Side]) -> bool:
    """Return whether an axis of last states may be that of cells."""
    both = zip(arrays, sides, strict=True)
    return any(array.ndim > 2 and len(side.cells - {""}) > 1 for array, side in both)


def _nearest(found: Sequence[Candidate]) -> list[Candidate]:
    """The candidates whose numbers are clearly the nearest, all alike; none if there are none."""
    distances = [_distance(one.pair.a, one.pair.b) for one in found if len(found) > 1]
    least = min(distances, default=inf)
    others = [distance for distance in distances if not isclose(distance, least)]
    clear = least < _CLEARLY_NEARER * min(others, default=0)
    alike = zip(found, distances, strict=False)
    return [one for one, distance in alike if clear and isclose(distance, least)]


def _distance(*sides: Numbers) -> float:
    """How far two arrays of one shape are apart, relative to their size, by all known numbers.

    Directions are taken in the order, and in the direction of time, that is nearest:
    a mistake in these is not a reason to take other axes.
    """
    known = [np.isfinite(s.values) & (True if s.left_out is None else ~s.left_out) for s in sides]
    x, y = (
        np.where(of_side, side.values, 0).astype(np.float64)
        for of_side, side in zip(known, sides, strict=True)
    )
    halves = [np.split(side, 2 - x.shape[-1] % 2, axis=-1) for side in (x, y)]

    def error(one: Array, other: Array) -> float:
        return min(float(np.sum((turned - other) ** 2)) for turned in (one, one[::-1]))

    with np.errstate(all="ignore"):
        size = float(np.sum(x**2) + np.sum(y**2))
        least = min(sum(map(error, of_a, halves[1])) for of_a in (halves[0], halves[0][::-1]))
    return (least / size) ** 0.5 if 0 < size < inf else inf


def _several(found: Sequence[Candidate], silent: bool) -> str:
    """Why none of several candidates is taken, and what to type."""
    fits = f"{found[0].pair.taken_as.partition(' is ')[0]} fits"
    if all(one.is_sequence for one in found):
        if len({str(one.pair.numbers[1]) for one in found}) < len(found):
            return f"{fits} a sequence in either layout: --layout batch or time decides"
        return f"{fits} {len(found)} sequences: lstm diff --batch N picks one"
    if len({str(one.pair.numbers[0]) for one in found}) == len(found):
        return f"{fits} {len(found)} steps: lstm diff --steps N picks one"
    texts = [*dict.fromkeys(one.pair.taken_as for one in found)]
    directions = {one.directions for one in found} - {(None, None)}
    if len(directions) > 1 or (directions and silent):
        more = ", or others" * (len(texts) > 2)
        return (
            f"either {', or '.join(texts[:2])}{more}; the numbers do not show which. Save one side "
            "with the axes of the other: numpy.concatenate(numpy.moveaxis(x,AXIS,0),-1) puts "
            "directions side by side, x.swapaxes(0,1) exchanges the first two axes"
        )
    return f"{' or '.join(texts)}: --layout batch or time decides" if len(texts) <= 3 else ""


# ---- every candidate


def _candidates(at: Interpretation) -> Iterator[Candidate]:
    is_state = at.pair.kind == FINAL
    for run in _runs(at) if at.narrow.values.size and at.wide.values.size else ():
        for full, one in product(at.lying(True, run), [*at.lying(False, run)]):
            part = not (one.steps.is_all and one.sequences.is_all)
            exchanged = [n for n, side in enumerate((one, full)) if side.exchanged]
            # last states are complete, and have no other order of axes
            rearranged = part or one.in_a_row or exchanged or at.narrow.shape[-1] == 1 < run.units
            half = not one.directions.is_all and (part or at.cells)
            other = [_with_other_layout(one, part, at.said)]
            if (
                half
                or (is_state and rearranged)
                or (exchanged and (exchanged != other or one.in_a_row))
            ):
                continue
            for wide, words_of_last, at_ends in at.parts_of_run(one, full):
                yield _taken_so(at, one, full, wide, words_of_last, at_ends)


def among(choice: Choice | None, size: int) -> Indices | None:
    """Return what is chosen of an axis; empty if that is not there, None without a choice."""
    try:
        return None if choice is None else choice.among(size)
    except UserError:
        return ()


def _runs(at: Interpretation) -> Iterator[RunShape]:
    """Return what run the wide side may be next to the narrow one.

    A single axis is that of the steps, unless the side's layout has that of the sequences there.
    """
    shape, width, is_state = at.wide.shape, at.narrow.shape[-1], at.pair.kind == FINAL
    K, lead = shape[-1], [n for n in shape[:-1] if n != 1]
    runs = [(lead, 1, K)] + [(lead, 2, width)] * (2 * width == K)
    if 2 in lead and (width == 2 * K or len(shape) == (3 if is_state else 4)):
        axis = lead.index(2)
        runs.append(([*lead[:axis], *lead[axis + 1 :]], 2, K))
    for sizes, D, units in runs:
        x, y, *more = *sizes, 1, 1
        orders = [(x, y)] + [(y, x)] * (y > 1 or (at.said[1] is not None and len(shape) == 3))
        if is_state:
            orders = [(1, x) if y == 1 else (x, y)]
        for T, B in dict.fromkeys(orders) if len(more) < 3 else ():
            yield RunShape(T, B, units, D)


def _fits_layout(one: Arrangement, shape: Shape, layout: str | None) -> bool:
    """Return whether steps and sequences are the axes that the layout of a side names."""
    named = {"batch": "bt", "time": "tb", "steps": "t"}.get(layout or "", "")
    if not named or len(shape) - ("d" in one.axes) != len(named) + 1:
        return True
    if "t" not in one.axes and not one.steps.is_all:
        return False
    places = zip(one.places or (), one.axes, strict=False)
    in_place = all(named[n : n + 1] == axis for n, axis in places if axis in "tb")
    return in_place or "d" in one.axes or not one.sequences.is_all


def _with_other_layout(one: Arrangement, part: bool, said: Layouts) -> int | None:
    """Which of two sides may have another layout than the usual one, if any: the silent one.

    Of two silent sides, the one with stacked directions has time first, as in ONNX;
    so it does where --layout batch is given for both.
    """
    with_stacked = int("d" not in one.axes)
    if said == (None, None):
        return 1 if part else 1 - with_stacked if one.run.directions > 1 else None
    if said == ("batch", "batch") and one.run.directions > 1 and not part:
        return with_stacked
    return said.index(None) if None in said else None


def _taken_so(
    at: Interpretation, one: Arrangement, full: Arrangement, wide: Numbers, last: str, at_ends: bool
) -> Candidate:
    """The candidate of the narrow side as it lies on the full run, next to what it is of that."""
    pair, n, both = at.pair, at.n, (one, full)
    lead = one.steps.size, one.sequences.size
    K, first = one.units.of, one.directions.first
    exchanged = [of for of, side in zip(at.said, both, strict=True) if side.exchanged]
    cost = sum(side.cost - EXCHANGED * side.exchanged for side in both)
    if pair.kind == FINAL:  # no axis is out of place
        cost = OTHER_DIRECTIONS * sum("d" in side.axes for side in both)
    cost += LAST_STEP * (not one.steps.is_all) + EXCHANGED * any(exchanged)
    cost += IN_A_ROW * (at.narrow.shape[-1] == 1 < K)  # column vectors
    sides = [x.moved(lambda v: v.reshape(*lead, -1)) for x in (at.narrow.moved(one.read), wide)]
    numbers: list[Indices | None] = [
        None if part.is_all else at.indices(axis, part.of)[part.indices]
        for axis, part in enumerate(one.parts[:2])
    ]
    is_half = not one.directions.is_all
    numbers.append(range(first * K, first * K + K) if is_half else None)
    found = replace(
        pair,
        a=sides[n],
        b=sides[1 - n],
        placed=pair.kind == SEQUENCE or one.steps.of == 1,
        numbers=(None, *numbers[1:]) if at_ends else tuple(numbers),
        is_half=is_half and at.choices[2] is None,
        axes_known=bool(exchanged) or lead != (one.steps.of, one.sequences.of),
        at_ends=at_ends,
    )
    texts = [_words("ab"[n], one, at.narrow.shape).replace(LAST, last, 1)]
    texts += [_words("ba"[n], full, at.wide.shape)]
    if is_half:
        which = ("first half (forward)", "second half (backward)")[first]
        agrees = "agrees" if found.numbers_agree else "is nearest"
        texts = [
            f"{{{'ab'[n]}}} has {K} units of {{{'ba'[n]}}}'s {2 * K}: the {which} {agrees}",
            *texts[:: -1 if n else 1],
        ]
    else:
        texts = texts[:: -1 if n else 1]
    return Candidate(
        cost,
        replace(found, taken_as="; ".join(filter(None, texts))),
        by_numbers=is_half or at.is_state(one) or last not in (LAST, LAST_VALID),
        batch_first=full.axes.find("b") < full.axes.find("t"),
        directions=tuple(side.direction_axis for side in both[:: -1 if n else 1]),
    )


def _words(side: str, one: Arrangement, shape: Shape) -> str:
    """``a.npy, (4, 5), is interpreted as the last step``; empty for a run as it is."""
    of_run = words(one._replace(directions=Part(0, one.run.directions, one.run.directions)))
    of_run = of_run or "column vectors" * (shape[-1] == 1 < one.units.size)
    return f"{{{side}}}, {shape}, is interpreted as {of_run}" * bool(of_run)
