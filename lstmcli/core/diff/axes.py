"""Every way to bring two arrays to the same axes, and which of them is taken.

Frameworks return directions on a separate axis or side by side, only the last step, or one sequence
without its batch; a port in C prints numbers in a row. One side is read as a full run of steps,
sequences, directions and units, and `lstmcli.core.model.layouts` lists how the other lies on it:
(B, T, 2 H) of Keras is read as "btw", and (T, 2, B, H) of ONNX lies on that run as "tdbk". Both are
then (T, B, 2 H). Which of several ways it is, the numbers tell first, then the cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf, isclose, prod
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.tolerance import Numbers, Tolerance
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.layouts import (
    EXCHANGED,
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

Layouts = tuple[str | None, str | None]
"""Where time lies on either side: "steps" (T, H), "time" (T, B, H), "batch" (B, T, H) or unknown"""


class Constraints(NamedTuple):
    """What is known of two arrays besides their numbers."""

    tolerance: Tolerance
    layouts: Layouts
    is_state: bool = False  # they are last states, (B, H) or of both directions
    choices: Sequence[Choice | None] = (None, None)  # the steps and sequences that are selected

    @property
    def silent(self) -> bool:
        """Whether no side names its layout."""
        return self.layouts == (None, None)

    @property
    def usual(self) -> list[str]:
        """The layout of each side: its own, or that of the other, or the first axis is time."""
        a, b = self.layouts
        return ["batch" if (of or a or b) == "batch" else "time" for of in (a, b)]


class Candidate(NamedTuple):
    """Two sides in the same axes (T, B, K), and how one lies on the other."""

    cost: float
    a: Numbers
    b: Numbers
    taken_as: str = ""  # with {a} and {b} for the sides
    numbers: tuple[Indices | None, ...] = (None, None, None)  # of the axes in the full run
    by_numbers: bool = False  # taken only if its numbers agree or are clearly nearest
    is_half: bool = False  # one direction of two
    axes_known: bool = False  # `taken_as` says which axes are steps and sequences
    batch_first: bool = False  # the full run is read so
    directions: tuple[int | None, ...] = (None, None)  # their axis on either side, if stacked

    @property
    def is_sequence(self) -> bool:
        """Whether one side is a sequence of the other."""
        return self.numbers[1] is not None

    @property
    def key(self) -> tuple[object, ...]:
        """The same for what is listed once for either side as the full run."""
        batch_first = self.batch_first and self.is_sequence
        return self.taken_as, self.a.shape, str(self.numbers), batch_first

    def turned(self) -> Candidate:
        """The same of the sides in the other order."""
        text = self.taken_as.replace("{a}", "{0}").replace("{b}", "{a}").replace("{0}", "{b}")
        texts = "; ".join(sorted(text.split("; ")))  # of a first, as in the other order
        found = self._replace(a=self.b, b=self.a, taken_as=texts)
        return found._replace(directions=self.directions[::-1])


def arrange(
    a: Numbers, b: Numbers, asked: Constraints, plain: Sequence[Candidate] = ()
) -> tuple[Candidate | None, str]:
    """The candidate of which the numbers agree, or the only likely one; or why none is taken.

    If no numbers agree, it is the only one whose first step does, else the one that is clearly
    nearest, else the only one of about the least cost. ``plain`` are candidates besides.
    """
    of_b = _candidates(b, a, asked._replace(layouts=asked.layouts[::-1]))
    listed = chain(plain, _candidates(a, b, asked), (one.turned() for one in of_b))
    found = [*{one.key: one for one in sorted(listed, key=lambda one: -one.cost)}.values()]
    agree = asked.tolerance.agree
    agreeing = [one for one in found if agree(one.a, one.b).all()]
    likely = [one for one in found if not one.by_numbers]
    starting = [
        one for one in likely if len(one.a.values) > 1 and agree(one.a[:1], one.b[:1]).all()
    ]
    if not agreeing and len(starting) == 1:
        return starting[0], ""
    if near := agreeing or _nearest(found):
        # what is the last step of one layout is the last sequence of the other
        best = min(near, key=lambda one: (one.by_numbers, one.is_sequence, one.cost))
        if not (best.is_sequence and best.batch_first and asked.silent):
            return best, ""
        step = (best.numbers[1] or [0])[0]  # a wrong step must not pass for a sequence
        text = f"{best.taken_as.partition('; ')[0]} if the first axis is the batch"
        return None, f"{text} (--layout batch), and with step {step} if it is time (--steps {step})"
    least = min((one.cost for one in likely), default=0.0)
    likeliest = [one for one in likely if one.cost <= least + _ALIKE]
    if len(likeliest) == 1:
        return likeliest[0], ""
    return None, _several(likeliest, asked.silent) if likeliest else ""


def _nearest(found: Sequence[Candidate]) -> list[Candidate]:
    """The candidate whose numbers are clearly the nearest; none if no candidate's are."""
    distances = [_distance(one.a, one.b) for one in found if len(found) > 1]
    least = min(distances, default=inf)
    others = [distance for distance in distances if not isclose(distance, least)]
    clear = least < _CLEARLY_NEARER * min(others, default=0)
    return [found[distances.index(least)]] if clear else []


def _distance(*sides: Numbers) -> float:
    """How far two arrays of one shape are apart, relative to their size, by all known numbers.

    With directions in the order, and each in the direction of time, in which they are nearest: a
    mistake in these is no reason to take other axes.
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
    if all(one.is_sequence for one in found):
        fits = f"{found[0].taken_as.partition(' is ')[0]} fits"
        if len({str(one.numbers[1]) for one in found}) < len(found):
            return f"{fits} a sequence in either layout: --layout batch or time decides"
        return f"{fits} {len(found)} sequences: --batch N picks one"
    texts = [*dict.fromkeys(one.taken_as for one in found)]
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


def _candidates(narrow: Numbers, wide: Numbers, asked: Constraints) -> Iterator[Candidate]:
    """Every candidate in which the first side (a) is all of the second (b), or a part of it."""
    if not narrow.values.size or not wide.values.size or wide.shape[-1] == 1 < narrow.shape[-1]:
        return
    for full in _full_runs(wide.shape, narrow.shape[-1], asked):
        T, B, D, K = (part.size for part in full.parts)
        run = RunShape(T, B, K, D, asked.usual[0])
        steps, items = map(among, asked.choices, (T, B))
        for one in arrangements(narrow.shape, run, [T - 1] if steps is None else steps, items):
            if _is_possible(one, narrow.shape, full, asked):
                yield from _of_arrangements(narrow, wide, one, full, asked)


def among(choice: Choice | None, size: int) -> Indices | None:
    """What is chosen of an axis; empty if that is not there, None without a choice."""
    try:
        return None if choice is None else choice.among(size)
    except UserError:
        return ()


def _full_runs(shape: tuple[int, ...], width: int, asked: Constraints) -> Iterator[Arrangement]:
    """How a side may be a full run beside one whose last axis is ``width``.

    A single axis is that of the steps, unless the side's layout has that of the sequences there.
    """
    K, lead, said = shape[-1], [n for n in shape[:-1] if n != 1], asked.layouts[1]
    runs = [(lead, 1, K)] + [(lead, 2, width)] * (2 * width == K)
    if 2 in lead and (width == 2 * K or len(shape) == (3 if asked.is_state else 4)):
        at = lead.index(2)
        runs.append(([*lead[:at], *lead[at + 1 :]], 2, K))
    for sizes, D, units in runs:
        x, y, *more = *sizes, 1, 1
        orders = {(x, y): 1, (y, x): 1} if y > 1 or said == "batch" else {(x, 1): 1}
        if len(more) > (1 if asked.is_state else 2):
            continue
        for T, B in {(1, x): 1} if asked.is_state else orders:
            run = RunShape(T, B, units, D, asked.usual[1])
            for one in arrangements(shape, run, [0], [0]):
                is_plain = one.is_all and one.order == "C" and not one.in_a_row
                if is_plain and not one.units_first and _fits_layout(one, shape, said):
                    yield one


def _fits_layout(one: Arrangement, shape: tuple[int, ...], layout: str | None) -> bool:
    """Whether steps and sequences are the axes that the layout of a side names."""
    own = {"batch": "bt", "time": "tb", "steps": "t"}.get(layout or "", "")
    if not own or len(shape) != len(own) + 1:  # none is named, or with directions
        return True
    places = zip(one.places or (), one.axes, strict=False)
    has_steps = "t" in one.axes or one.steps.is_all
    return has_steps and all(own[n : n + 1] == axis for n, axis in places if axis in "tb")


def _is_possible(
    one: Arrangement, shape: tuple[int, ...], full: Arrangement, asked: Constraints
) -> bool:
    """Whether a side may lie so on a full run, in what both say of their layouts.

    It has all units of a direction, as its last axis; of one direction it may have them in a row.
    A side that names no layout may have the other one; so has the side with stacked directions
    where --layout says "batch" of both, as ONNX has steps first in any case.
    """
    D, said = one.run.directions, asked.layouts
    part = not (one.steps.is_all and one.sequences.is_all)
    if one.order == "F" or one.units_first or not one.units.is_all:
        return False
    if ("b" in one.axes and not one.sequences.is_all) or (one.in_a_row and (part or D > 1)):
        return False
    if shape[-1] != one.units.size * (D if "w" in one.axes else 1) and (D > 1 or part):
        return False
    if part and (asked.is_state or not one.directions.is_all):
        return False
    if not (_fits_layout(one, shape, said[0]) or _is_state(one, shape, said[0])):
        return False
    stacked = int("d" not in one.axes)
    other = said.index(None) if said.count(None) == 1 else None
    if asked.silent:
        other = 1 if part else 1 - stacked if D > 1 else None
    elif said == ("batch", "batch") and D > 1 and not part:
        other = stacked
    exchanged = [n for n, side in enumerate((one, full)) if side.exchanged]
    return not exchanged or (exchanged == [other] and not one.in_a_row)


def _is_state(one: Arrangement, shape: tuple[int, ...], layout: str | None) -> bool:
    """Whether it is the (1, B, H) of torch, which has that shape in any layout."""
    is_last = one.steps.is_last_step and one.sequences.is_all
    return is_last and layout == "batch" and len(shape) == 3 and shape[0] == 1


def _of_arrangements(
    narrow: Numbers, wide: Numbers, one: Arrangement, full: Arrangement, asked: Constraints
) -> Iterator[Candidate]:
    """The candidate of a side as it lies on a full run, maybe as the end of each direction too."""
    T, B, D, K = (part.of for part in one.parts)
    lead = one.steps.size, one.sequences.size
    exchanged = [n for n, side in enumerate((one, full)) if side.exchanged]
    cost = sum(side.cost - EXCHANGED * side.exchanged for side in (one, full))
    if asked.is_state:  # no axis is out of place
        cost = OTHER_DIRECTIONS * sum("d" in side.axes for side in (one, full))
    cost += LAST_STEP * (not one.steps.is_all)
    cost += EXCHANGED * any(asked.layouts[n] is not None for n in exchanged)
    first, text = one.directions.first, ""
    if not one.directions.is_all:
        which = ("first half (forward)", "second half (backward)")[first]
        text = f"{{a}} has {K} units of {{b}}'s {2 * K}: the {which} {{agrees}}"
    texts = [text, _words("a", one, narrow.shape), _words("b", full, wide.shape)]
    steps = None if one.steps.is_all else [one.steps.first]
    items = None if one.sequences.is_all else [one.sequences.first]
    found = Candidate(
        cost,
        narrow.moved(lambda v: one.read(v).reshape(*lead, -1)),
        wide.moved(lambda v: full.read(v)[one.place].reshape(*lead, -1)),
        "; ".join(filter(None, texts)),
        (steps, items, range(first * K, first * K + K) if text else None),
        by_numbers=bool(text) or _is_state(one, narrow.shape, asked.layouts[0]),
        is_half=bool(text),
        axes_known=bool(exchanged) or lead != (T, B),
        batch_first=full.axes.find("b") < full.axes.find("t"),
        directions=(one.direction_axis, full.direction_axis),
    )
    yield found
    half = K * D // 2
    ends_both = one.steps.is_last_step and one.sequences.is_all and 2 * half == K * D
    if ends_both and not asked.choices[0]:

        def ends(array: Array) -> Array:
            run = full.read(array).reshape(T, B, -1)
            return np.concatenate([run[-1:, :, :half], run[:1, :, half:]], axis=-1)

        of_each = f"the last step of each direction (step {T - 1} forward, 0 backward)"
        text = found.taken_as.replace("the last step", of_each, 1)
        yield found._replace(b=wide.moved(ends), taken_as=text, by_numbers=True)


def _words(side: str, one: Arrangement, shape: tuple[int, ...]) -> str:
    """``a.npy, (4, 5), is taken as the last step``; empty for a run as it is."""
    of_run = words(one._replace(directions=Part(0, one.run.directions, one.run.directions)))
    of_run = of_run or "column vectors" * (shape[-1] == 1 < one.units.size)
    return f"{{{side}}}, {shape}, is taken as {of_run}" * bool(of_run)


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
