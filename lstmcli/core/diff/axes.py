"""Every way to bring two arrays to the same axes, and which of them is taken.

One side is interpreted as a full run of steps, sequences, directions and units, and
`lstmcli.core.model.layouts` lists how the other one lies on it. So (B, T, 2 H) of Keras
is "btw", and (T, 2, B, H) of ONNX lies on that run as "tdbk": both are then
(T, B, 2 H). Of several ways the numbers decide first, then the cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, isclose, prod
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import FINAL, SEQUENCE
from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.padding import padded_steps
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
_ALIKE = 1.0  # costs that differ by no more do not decide

Shape = tuple[int, ...]
Layouts = tuple[str | None, ...]


Choices = tuple[Choice | None, ...]
"""What is selected of steps, batch items and units; None: all."""


class Beside(NamedTuple):
    """Two sides whose axes differ, of which one is interpreted as a full run."""

    pair: Pair
    narrow: int  # the other one, which lies on that run
    arrays: tuple[Numbers, Numbers]
    layouts: Layouts  # None: not known
    choices: Choices
    cells: bool  # an axis may be that of cells
    run: Side  # the one that is the full run

    @property
    def said(self) -> Layouts:
        """The layouts of the narrow side and of the full run."""
        return self.layouts[self.narrow], self.layouts[1 - self.narrow]

    def usual(self, n: int) -> str:
        """The layout of the narrow side (0) or of the full run, or that of the other."""
        return "batch" if (self.said[n] or self.said[1 - n]) == "batch" else "time"

    def indices(self, axis: int, size: int) -> Indices:
        """Which of its steps or sequences the full run has in its file."""
        return self.run.indices(self.pair.name, axis, size) or range(size)

    def pair_of(self, narrow: Numbers, wide: Numbers) -> Pair:
        """The pair with these numbers of either side."""
        a, b = (wide, narrow) if self.narrow else (narrow, wide)
        return replace(self.pair, a=a, b=b)


class Candidate(NamedTuple):
    """Two sides in the same axes (T, B, K) as one lies on the other."""

    cost: float
    pair: Pair
    by_numbers: bool = False  # taken only if its numbers agree or are clearly nearest
    batch_first: bool = False  # the full run is read so
    directions: tuple[int | None, ...] = (None, None)  # their axis on either side, if stacked

    @property
    def is_sequence(self) -> bool:
        """Whether one side is a sequence of the other."""
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
    silent, cells = layouts == (None, None), pair.kind == FINAL and several_cells(arrays, sides)
    listed = [Candidate(0.0, pair)] * (pair.agrees is not None)
    for n in (0, 1):
        listed += _candidates(Beside(pair, n, arrays, layouts, choices, cells, sides[1 - n]))
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
    """Whether an axis of last states may be that of cells."""
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


def _candidates(at: Beside) -> Iterator[Candidate]:
    """Every candidate in which the narrow side is all of the other one, or a part of it."""
    narrow, wide = at.arrays[at.narrow], at.arrays[1 - at.narrow]
    if not narrow.values.size or not wide.values.size:
        return
    is_state = at.pair.kind == FINAL
    for full in _full_runs(at, wide.shape, narrow.shape[-1]):
        T, B, D, K = (part.size for part in full.parts)
        steps, items = map(among, at.choices[:2], (T, B))
        run = RunShape(T, B, K, D, at.usual(0))
        for one in arrangements(narrow.shape, run, [T - 1] if steps is None else steps, items):
            part = not (one.steps.is_all and one.sequences.is_all)
            half = not one.directions.is_all
            # last states are complete, and have no other order of axes
            rearranged = part or one.in_a_row or one.exchanged or full.exchanged
            rearranged |= narrow.shape[-1] == 1 < K
            if (half and (part or at.cells)) or (is_state and rearranged):
                continue
            if _is_possible(one, narrow.shape, full, at.said):
                found = _taken_so(at, one, full)
                one_step = one.steps.is_last_step and one.sequences.is_all and not is_state
                yield from _ends(at, found, one, full) if one_step and steps is None else [found]


def among(choice: Choice | None, size: int) -> Indices | None:
    """What is chosen of an axis; empty if that is not there, None without a choice."""
    try:
        return None if choice is None else choice.among(size)
    except UserError:
        return ()


def _full_runs(at: Beside, shape: Shape, width: int) -> Iterator[Arrangement]:
    """How a side may be a full run next to one whose last axis is ``width``.

    A single axis is that of the steps, unless the side's layout has that of the sequences there.
    """
    K, lead, layout = shape[-1], [n for n in shape[:-1] if n != 1], at.said[1]
    usual, is_state = at.usual(1), at.pair.kind == FINAL
    runs = [(lead, 1, K)] + [(lead, 2, width)] * (2 * width == K)
    if 2 in lead and (width == 2 * K or len(shape) == (3 if is_state else 4)):
        axis = lead.index(2)
        runs.append(([*lead[:axis], *lead[axis + 1 :]], 2, K))
    for sizes, D, units in runs:
        x, y, *more = *sizes, 1, 1
        orders = [(x, y)] + [(y, x)] * (y > 1 or (layout is not None and len(shape) == 3))
        if is_state:
            orders = [(1, x) if y == 1 else (x, y)]
        for T, B in dict.fromkeys(orders) if len(more) < 3 else ():
            run = RunShape(T, B, units, D, usual)
            for one in arrangements(shape, run, [0], [0]):
                is_plain = one.is_all and one.order == "C" and not one.in_a_row
                if is_plain and _ends_with_units(one, shape) and _fits_layout(one, shape, layout):
                    yield one


def _ends_with_units(one: Arrangement, shape: Shape) -> bool:
    """Whether the last axis is that of the units, of both directions if these are side by side."""
    directions = one.run.directions if "w" in one.axes else 1
    return not one.units_first and shape[-1] == one.units.size * directions


def _fits_layout(one: Arrangement, shape: Shape, layout: str | None) -> bool:
    """Whether steps and sequences are the axes that the layout of a side names."""
    named = {"batch": "bt", "time": "tb", "steps": "t"}.get(layout or "", "")
    if not named or len(shape) - ("d" in one.axes) != len(named) + 1:
        return True
    if "t" not in one.axes and not one.steps.is_all:
        return False
    places = zip(one.places or (), one.axes, strict=False)
    in_place = all(named[n : n + 1] == axis for n, axis in places if axis in "tb")
    return in_place or "d" in one.axes or not one.sequences.is_all


def _is_possible(one: Arrangement, shape: Shape, full: Arrangement, said: Layouts) -> bool:
    """Whether a side may lie so on a full run, given the layouts of both.

    It has all units of a direction, as its last axis; of one direction it may have them in a row.
    """
    D = one.run.directions
    part = not (one.steps.is_all and one.sequences.is_all)
    if one.order == "F" or one.units_first or not one.units.is_all:
        return False
    if ("b" in one.axes and not one.sequences.is_all) or (one.in_a_row and (part or D > 1)):
        return False
    column_or_row = one.in_a_row or shape[-1] == 1 or len(shape) == 1
    if not _ends_with_units(one, shape) and (D > 1 or part or not column_or_row):
        return False
    if not (_fits_layout(one, shape, said[0]) or _is_state(one, shape, said[0])):
        return False
    exchanged = [n for n, side in enumerate((one, full)) if side.exchanged]
    other = [_with_other_layout(one, part, said)]
    return not exchanged or (exchanged == other and not one.in_a_row)


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


def _is_state(one: Arrangement, shape: Shape, layout: str | None) -> bool:
    """Whether it is the (1, B, H) of torch, which has that shape in any layout."""
    is_last = one.steps.is_last_step and one.sequences.is_all
    return is_last and layout == "batch" and len(shape) == 3 and shape[0] == 1


def _taken_so(at: Beside, one: Arrangement, full: Arrangement) -> Candidate:
    """The candidate of the narrow side as it lies on the full run."""
    pair, n, both = at.pair, at.narrow, (one, full)
    lead, K, first = (one.steps.size, one.sequences.size), one.units.of, one.directions.first
    exchanged = [of for of, side in zip(at.said, both, strict=True) if side.exchanged]
    cost = sum(side.cost - EXCHANGED * side.exchanged for side in both)
    if pair.kind == FINAL:  # no axis is out of place
        cost = OTHER_DIRECTIONS * sum("d" in side.axes for side in both)
    cost += LAST_STEP * (not one.steps.is_all) + EXCHANGED * any(exchanged)
    cost += IN_A_ROW * (at.arrays[n].shape[-1] == 1 < K)  # column vectors
    narrow = at.arrays[n].moved(lambda v: one.read(v).reshape(*lead, -1))
    wide = at.arrays[1 - n].moved(lambda v: full.read(v)[one.place].reshape(*lead, -1))
    numbers: list[Indices | None] = [
        None if part.is_all else at.indices(axis, part.of)[part.indices]
        for axis, part in enumerate(one.parts[:2])
    ]
    is_half = not one.directions.is_all
    numbers.append(range(first * K, first * K + K) if is_half else None)
    found = replace(
        at.pair_of(narrow, wide),
        placed=pair.kind == SEQUENCE or one.steps.of == 1,
        numbers=tuple(numbers),
        is_half=is_half and at.choices[2] is None,
        axes_known=bool(exchanged) or lead != (one.steps.of, one.sequences.of),
    )
    texts = []
    if is_half:
        which = ("first half (forward)", "second half (backward)")[first]
        agrees = "agrees" if found.numbers_agree else "is nearest"
        texts = [f"{{{'ab'[n]}}} has {K} units of {{{'ba'[n]}}}'s {2 * K}: the {which} {agrees}"]
    of_sides = [_words("ab"[n], one, at.arrays[n].shape)]
    of_sides += [_words("ba"[n], full, at.arrays[1 - n].shape)]
    texts += of_sides[:: -1 if n else 1]
    return Candidate(
        cost,
        replace(found, taken_as="; ".join(filter(None, texts))),
        by_numbers=is_half or _is_state(one, at.arrays[n].shape, at.said[0]),
        batch_first=full.axes.find("b") < full.axes.find("t"),
        directions=tuple(side.direction_axis for side in both[:: -1 if n else 1]),
    )


def _ends(at: Beside, found: Candidate, one: Arrangement, full: Arrangement) -> Iterator[Candidate]:
    """What one step of each sequence may be: the last, or the last of each direction.

    In a run of which some steps are padding, it is the last valid one.
    """
    T, B, D, K = (part.of for part in one.parts)
    half = D * K // 2
    valid = ~padded_steps([at.run], at.indices(0, T), at.indices(1, B))  # (T, B)
    items, first, last = np.arange(B), valid.argmax(axis=0), T - 1 - valid[::-1].argmax(axis=0)
    run = at.arrays[1 - at.narrow].moved(lambda v: full.read(v).reshape(T, B, -1))
    narrow = (found.pair.a, found.pair.b)[at.narrow]

    def taken(words: str, end: Numbers, **more: Any) -> Candidate:
        text = found.pair.taken_as.replace("the last step", words, 1)
        a_and_b = at.pair_of(narrow, end)
        pair = replace(found.pair, a=a_and_b.a, b=a_and_b.b, taken_as=text)
        if is_padded:
            pair = replace(pair, at_ends=True, numbers=(None, *pair.numbers[1:]))
        return found._replace(pair=pair, **more)

    is_padded = not valid.all()
    yield (
        taken("the last valid step of each sequence", run[last, items][None])
        if is_padded
        else found
    )
    if 2 * half == D * K:
        both = run.moved(
            lambda v: np.concatenate([v[last, items, :half], v[first, items, half:]], axis=-1)[None]
        )
        steps = (
            "the last valid one forward, the first backward"
            if is_padded
            else f"step {T - 1} forward, 0 backward"
        )
        yield taken(f"the last step of each direction ({steps})", both, by_numbers=True)


def _words(side: str, one: Arrangement, shape: Shape) -> str:
    """``a.npy, (4, 5), is interpreted as the last step``; empty for a run as it is."""
    of_run = words(one._replace(directions=Part(0, one.run.directions, one.run.directions)))
    of_run = of_run or "column vectors" * (shape[-1] == 1 < one.units.size)
    return f"{{{side}}}, {shape}, is interpreted as {of_run}" * bool(of_run)


# ---- one array


def stacked(side: Numbers) -> list[int]:
    """The axes of length 2 that may be that of the directions."""
    return [axis for axis, size in enumerate(side.shape[:-1]) if size == 2]


def joined(side: Numbers, axis: int) -> Numbers:
    """Directions on a separate axis, side by side: (T, 2, B, H) becomes (T, B, 2 H)."""
    lead = [n for at, n in enumerate(side.shape[:-1]) if at != axis]
    width = side.shape[axis] * side.shape[-1]
    return side.moved(lambda v: np.moveaxis(v, axis, -2).reshape(*lead, width))


def without_ones(side: Numbers) -> list[int]:
    """The lengths of all axes but the last, without those of 1."""
    return [n for n in side.shape[:-1] if n != 1]


def layout_by_shape(*sides: Numbers) -> str:
    """The layout of sides that name none: the first axis is time, unless it is 1 on all of them."""
    firsts = [side.shape[0] for side in sides if side.ndim == 3]
    return "batch" if firsts and all(n == 1 for n in firsts) else "time"


def sequence(array: Numbers, layout: str | None) -> Numbers | None:
    """One array of steps as (T, B, H), by its layout or as it lies; None if it has more axes."""
    array = array.moved(np.atleast_1d)
    layout = layout or layout_by_shape(array)
    spare = [axis for axis, n in enumerate(array.shape[:-1]) if n == 1]
    array = array.moved(lambda v: v.squeeze(tuple(spare[: max(v.ndim - 3, 0)])))
    if array.ndim > 3:
        return None
    if array.ndim < 3:  # (H,) is one step, (T, H) one sequence
        steps = prod(array.shape[:-1])
        return array.moved(lambda v: v.reshape(steps, 1, v.shape[-1]))
    if layout == "batch" or (layout == "steps" and array.shape[0] == 1):
        return array.moved(lambda v: v.swapaxes(0, 1))
    return array
