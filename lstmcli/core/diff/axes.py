"""Two arrays of a run whose axes differ by a known arrangement, in the same axes.

Frameworks return directions on a separate axis or side by side, only the last step, or one
sequence without its batch; a port in C prints numbers in a row. One side is taken for the full run,
and `lstmcli.core.model.layouts` lists how the other may lie on it: (B, T, 2 H) of Keras beside
(T, 2, B, H) of ONNX, as "btw" and "tdbk". It is taken so only where exactly one arrangement fits,
or one is clearly nearer by its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, isclose, prod
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.tolerance import Numbers, Tolerance
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.layouts import Arrangement, RunShape, arrangements
from lstmcli.core.model.selection import Choice, Indices
from lstmcli.errors import UserError

# Of the distance of every other candidate. In 1,050 pairs of runs of two directions and two
# sequences, of 2 to 20 steps, one with wrong gates, no bias or other weights, the nearest was never
# the wrong one at 0.7 (in one at 0.8), and the right one was so near in nine tenths of those with
# another forget bias.
_CLEARLY_NEARER = 0.5

Layouts = tuple[str | None, str | None]
Choices = tuple[Choice | None, Choice | None]


# How likely a candidate is; the last is taken only if its numbers agree or are nearest.
LIKELY, LESS_LIKELY, RARE = 0, 1, 2


class Candidate(NamedTuple):
    """Both sides in the same axes (T, B, K), and what was done to them."""

    a: Numbers
    b: Numbers
    numbers: tuple[Indices | None, Indices | None, Indices | None]  # of the axes in the full run
    text: str  # with {a} and {b} for the sides
    rank: int = LIKELY
    exchanged: bool = False  # steps and sequences of one side, which the text says
    batch_first: bool = False  # the side that the other one is a part of
    named: tuple[int, ...] = ()  # the axes whose choice named the step or the sequence

    @property
    def turned(self) -> Candidate:
        """The same with the sides exchanged."""
        text = self.text.replace("{a}", "{0}").replace("{b}", "{a}").replace("{0}", "{b}")
        return self._replace(a=self.b, b=self.a, text=text)


def arrange(
    a: Numbers,
    b: Numbers,
    test: Tolerance,
    layouts: Layouts,
    choices: Choices = (None, None),
) -> tuple[Candidate | None, str]:
    """The candidate that fits two sequences of different shapes, or why there is none.

    Of several that fit by their shapes, the one whose numbers agree is taken, else the one whose
    first step agrees, else the one that is clearly nearest, else the likeliest. ``choices``, of
    steps and batch items, may name the step and the sequence.
    """
    found = [*_candidates(a, b, layouts, choices)]
    found += [one.turned for one in _candidates(b, a, layouts[::-1], choices, parts_only=True)]
    agreeing = [one for one in found if test.agree(one.a, one.b).all()]
    likely = [one for one in found if one.rank < RARE]
    starting = [
        one for one in likely if one.a.shape[0] > 1 and test.agree(one.a[:1], one.b[:1]).all()
    ]
    if not agreeing and len(starting) == 1:
        return starting[0], ""
    near = agreeing or [found[n] for n in nearest([(one.a, one.b) for one in found])]
    if near:  # what is the last step of one layout is the last sequence of the other
        best = min(near, key=lambda one: (one.rank, one.numbers[1] is not None))
        if best.numbers[1] is None or not best.batch_first or layouts != (None, None):
            return best, ""
        step = best.numbers[1][0]  # a wrong step must not pass for a sequence
        return None, (
            f"{best.text} if the first axis is the batch (--layout batch), and with step {step} if "
            f"it is time (--steps {step})"
        )
    likeliest = [one for one in likely if one.rank == min(one.rank for one in likely)]
    if len(likeliest) == 1:
        return likeliest[0], ""
    return None, _several(likeliest, layouts) if likeliest else ""


def nearest(pairs: Sequence[tuple[Numbers, Numbers]]) -> list[int]:
    """The position of the pair whose numbers are clearly the nearest; empty if no pair's are.

    Several that compare the same numbers count as one, which is the first of them.
    """
    distances = [_distance(a, b) for a, b in pairs if len(pairs) > 1]
    least = min(distances, default=inf)
    others = [distance for distance in distances if not isclose(distance, least)]
    clear = least < _CLEARLY_NEARER * min(others, default=0)
    return [distances.index(least)] if clear else []


def _distance(a: Numbers, b: Numbers) -> float:
    """How far two arrays of one shape are apart, relative to their size.

    With directions in the order, and each in the direction of time, in which they are nearest: a
    mistake in these is no reason to take other axes.
    """
    x, y = (_finite(side) for side in (a, b))
    halves = 2 - x.shape[-1] % 2
    of_a, of_b = (np.split(side, halves, axis=-1) for side in (x, y))

    def error(one: Array, other: Array) -> float:
        return min(float(np.sum((turned - other) ** 2)) for turned in (one, one[::-1]))

    with np.errstate(all="ignore"):
        size = float(np.sum(x**2) + np.sum(y**2))
        least = min(sum(map(error, halves, of_b)) for halves in (of_a, of_a[::-1]))
    return (least / size) ** 0.5 if 0 < size < inf else inf


def _finite(side: Numbers) -> Array:
    """The numbers in float64; 0 for one that is not finite, or that a print left out."""
    known = np.isfinite(side.values) & (True if side.left_out is None else ~side.left_out)
    return np.where(known, side.values, 0).astype(np.float64)


def _several(found: Sequence[Candidate], layouts: Layouts) -> str:
    """Why none of several candidates is taken, and what to type."""
    items = [one.numbers[1] for one in found]
    if all(items):
        fits = f"{found[0].text.partition(' is ')[0]} fits"
        if len({tuple(numbers or ()) for numbers in items}) < len(items):
            return f"{fits} a sequence in either layout: --layout batch or time decides"
        return f"{fits} {len(found)} sequences: --batch N picks one"
    texts = [*dict.fromkeys(one.text for one in found)]
    silent = layouts == (None, None)
    if any("(axis" in one.text or (one.exchanged and silent) for one in found):
        return several_axes(texts)
    return f"{' or '.join(texts)}: --layout batch or time decides" if len(texts) <= 3 else ""


def several_axes(texts: Sequence[str]) -> str:
    """What is said where the axis of the directions is not known, and what to type."""
    more = ", or others" * (len(texts) > 2)
    return (
        f"either {', or '.join(texts[:2])}{more}; the numbers do not show which. Save one side "
        "with the axes of the other: numpy.concatenate(numpy.moveaxis(x,AXIS,0),-1) puts "
        "directions side by side, x.swapaxes(0,1) exchanges the first two axes"
    )


# ---- every candidate


class _OnRun(NamedTuple):
    """A side (a), and the other one (b) as the full run on which it may lie."""

    narrow: Numbers
    wide: Numbers  # (T, B, D K)
    shape: tuple[int, ...]  # of the other side as it is
    layouts: Layouts  # of both; None: not known
    batch_first: bool  # of the run, as it is read here
    step: int | None  # that was chosen
    text: str = ""  # what was done to the directions of the run
    stacked: bool = False  # these had an axis of their own


def _candidates(
    narrow: Numbers, wide: Numbers, layouts: Layouts, choices: Choices, parts_only: bool = False
) -> Iterator[Candidate]:
    """Every candidate in which the first side (a) is all of the second (b), or a part of it."""
    assumed = (layouts[1] or layouts[0] or "time") == "batch"
    is_known = layouts[1] in ("batch", "time")
    for full, directions, text in _as_runs(narrow, wide):
        axes = len(without_ones(full))
        for batch_first in [assumed, not assumed][: 2 if axes == 2 and not is_known else 1]:
            three = _three(full, batch_first)
            T, B, width = three.shape
            steps, items = _among(choices[0], T), _among(choices[1], B)
            step = steps[0] if steps is not None and len(steps) == 1 else None
            side = _OnRun(
                narrow, three, wide.shape, layouts, batch_first, step, text, full is not wide
            )
            layout = "batch" if batch_first else "time"
            run = RunShape(T, B, width // directions, directions, layout)
            single = [T - 1 if step is None else step]
            for one in arrangements(narrow.shape, run, single, items or None):
                partial = not one.units.is_all or ("b" in one.axes and not one.sequences.is_all)
                if one.order == "F" or partial or not _ends_with_units(side, one):
                    continue
                if {*"tb"} <= {*one.axes} or len(_lead(one)) == axes:
                    if batch_first == assumed:
                        yield from _all(side, one, parts_only)
                elif one.directions.is_all and not one.in_a_row and steps != ():
                    yield from _parts(side, one, choices[1])


def _among(choice: Choice | None, size: int) -> Indices | None:
    """What is chosen of an axis; empty if that is not there, None without a choice."""
    try:
        return None if choice is None else choice.among(size)
    except UserError:
        return ()


def directions_joined(a: Numbers, b: Numbers) -> Iterator[tuple[Numbers, Numbers, str]]:
    """Last states (B, 2 H) of sides of which one or both have directions on a separate axis."""
    for full, directions, text in _as_runs(a, b, stacked=3):
        three = _three(full, False)
        T, B, width = three.shape
        side = _OnRun(a, three, b.shape, ("time", "time"), False, None, text)
        for one in (
            arrangements(a.shape, RunShape(T, B, width // 2, 2), [T - 1]) if directions == 2 else ()
        ):
            elsewhere = one.in_a_row or one.exchanged or not _ends_with_units(side, one)
            if one.is_all and not elsewhere:
                as_b = a.moved(lambda v, one=one, full=full: one.read(v).reshape(full.shape))
                yield as_b, full, _directions_text(side, one)


def _as_runs(
    narrow: Numbers, wide: Numbers, stacked: int = 4
) -> Iterator[tuple[Numbers, int, str]]:
    """The second side as a full run, with how many directions the units contain, and a text.

    Where both have so many axes that one is that of the directions (``stacked``), they are joined.
    """
    if not narrow.values.size or not wide.values.size:
        return
    n, width = narrow.shape[-1], wide.shape[-1]
    if len(without_ones(wide)) <= 2:
        yield wide, 1, ""
        if width == 2 * n:
            yield wide, 2, ""
    if n == 2 * width or (n == width and narrow.ndim == wide.ndim == stacked):
        for full, text in side_by_side(wide, 2 * width, "{b}"):
            if len(without_ones(full)) <= 2:
                yield full, 2, text


def _ends_with_units(side: _OnRun, one: Arrangement) -> bool:
    """Whether the last axis is that of the units; numbers in a row, or column vectors, pass."""
    width = side.wide.shape[-1]
    if one.run.directions == 1 and one.is_all:
        return not one.units_first
    units = width if one.run.directions == 1 or "w" in one.axes else one.units.size
    return not one.units_first and side.narrow.shape[-1] == units


def _lead(one: Arrangement) -> str:
    """Those axes of an array that are steps or sequences."""
    return "".join(axis for axis in one.axes if axis in "tb")


def _all(side: _OnRun, one: Arrangement, parts_only: bool) -> Iterator[Candidate]:
    """The first side with all steps and sequences of the run, as they lie or exchanged.

    A side that says no layout has the other's, or the other one. A side that had its directions on
    an axis of their own may be (steps, batch), as in ONNX, where the other is (batch, steps), also
    if --layout says that of both.
    """
    narrow, wide, layouts = side.narrow, side.wide, side.layouts
    rank, stacked, units = LIKELY, None, None
    if not one.directions.is_all:  # one direction of two
        if not _lead(one):
            return
        start = one.directions.first * one.units.size
        units = range(start, start + one.units.size)
        wide, rank, stacked = wide[..., units[0] : units[-1] + 1], RARE, 0
        text = f"{{a}} is compared with units {units[0]} to {units[-1]} of {{b}}"
        text = "; ".join(filter(None, [side.text, text]))
    elif one.run.directions == 1:
        columns = narrow.shape[-1] == 1 < one.units.size
        in_a_row = one.in_a_row or narrow.shape[-1] == narrow.values.size != one.units.size
        if not (in_a_row or columns) or not _lead(one) or one.exchanged:
            return
        what, how = ("numbers", "in a row ") if in_a_row else ("column vectors", "")
        text = f"the {what} of {{a}}, {narrow.shape}, {how}as {side.shape}"
        layouts = (layouts[1], layouts[1])
    elif parts_only or one.in_a_row:
        return
    else:
        text, stacked = _directions_text(side, one), int("d" not in one.axes)
    a = narrow.moved(lambda v: one.read(v).reshape(*wide.shape))
    said = layouts[0] or layouts[1] or "time"
    firsts = [(layout or said) == "batch" for layout in layouts]
    found = Candidate(a, wide, (None, None, units), text, rank)
    if len(_lead(one)) < 2 or one.exchanged == (firsts[0] != firsts[1]):
        yield found
        return
    if layouts.count(None) == 1:
        turned = layouts.index(None)
    elif stacked is not None and layouts[0] == layouts[1] != "time":
        turned = stacked if said == "batch" else 1 - stacked
        rank = rank if None in layouts else max(rank, LESS_LIKELY)
    else:
        return
    axes = "steps, batch" if firsts[turned] else "batch, steps"
    text += f"; {{{'ab'[turned]}}} as ({axes}, units), which gives it as many steps"
    if turned == 1:  # the steps of the run are its sequences
        a, wide = (one.moved(lambda v: v.swapaxes(0, 1)) for one in (a, wide))
    yield found._replace(a=a, b=wide, text=text, rank=rank, exchanged=True)


def _directions_text(side: _OnRun, one: Arrangement) -> str:
    """How the directions of either side were put side by side."""
    return "; ".join(filter(None, [_joined_text(side.narrow, one), side.text]))


def _joined_text(narrow: Numbers, one: Arrangement) -> str:
    if "d" not in one.axes or one.places is None:
        return ""
    axis = one.places[one.axes.index("d")]
    which = f" (axis {axis})" * (narrow.shape[:-1].count(2) > 1)
    return f"the directions of {{a}}, {narrow.shape}{which}, side by side"


def _parts(side: _OnRun, one: Arrangement, batch: Choice | None) -> Iterator[Candidate]:
    """The first side as one step of the run (the last), as one of its sequences, or as both."""
    T, B, width = side.wide.shape
    shape = list(side.narrow.shape)
    if "d" in one.axes and one.places is not None:
        del shape[one.places[one.axes.index("d")]]
        shape[-1] = width
    layout, lead = side.layouts[0], [n for n in shape[:-1] if n != 1]
    said = layout not in (None, "steps") and len(shape) > 2  # how many steps it has
    is_state = said and layout == "batch" and shape[:-1] == [1, *lead]  # (1, B, H) of torch
    start = f"{{a}}, {tuple(shape)}, is"
    part = side.wide[one.place[:2]]
    a = side.narrow.moved(lambda v: one.read(v).reshape(part.shape))
    step = "the last step" if side.step is None else f"step {side.step}"
    numbers = None if "t" in one.axes else [one.steps.first]
    named = () if side.step is None or numbers is None else (0,)
    found = Candidate(a, part, (numbers, None, None), "", batch_first=side.batch_first)
    text = _directions_text(side, one)
    text += "; " * bool(text)
    if not one.sequences.is_all:
        if (said and "t" not in one.axes) or (batch and one.sequences.first not in batch.among(B)):
            return
        text += f"{start} compared with sequence {one.sequences.first} of {B} of {{b}}"
        text += f", its {step.removeprefix('the ')}" * (numbers is not None)
        yield found._replace(
            numbers=(numbers, [one.sequences.first], None), text=text, named=(*named, 1)
        )
    elif is_state or not (said or (lead == [T] and B > 1 and layout == "steps")):
        rank = RARE if is_state else LIKELY
        yield found._replace(text=f"{text}{start} taken as {step} of {{b}}", rank=rank, named=named)
        if width % 2 == 0 and T > 1 and side.step is None:
            text += f"{start} the last step of each direction of {{b}}: step {T - 1} forward, "
            ends = side.wide.moved(
                lambda v: np.concatenate([v[-1:, :, : width // 2], v[:1, :, width // 2 :]], axis=-1)
            )
            yield found._replace(b=ends, text=f"{text}0 backward", rank=RARE)


def side_by_side(side: Numbers, width: int, name: str) -> Iterator[tuple[Numbers, str]]:
    """A side as wide as that, its directions side by side if they are on a separate axis."""
    if side.shape[-1] == width:
        yield side, ""
    elif 2 * side.shape[-1] == width:
        axes = [axis for axis, size in enumerate(side.shape[:-1]) if size == 2]
        for axis in axes:
            which = f" (axis {axis})" * (len(axes) > 1)
            yield joined(side, axis), f"the directions of {name}, {side.shape}{which}, side by side"


def joined(side: Numbers, axis: int) -> Numbers:
    """Directions on a separate axis, side by side: (T, 2, B, H) becomes (T, B, 2 H)."""
    lead = [n for at, n in enumerate(side.shape[:-1]) if at != axis]
    width = side.shape[axis] * side.shape[-1]
    return side.moved(lambda v: np.moveaxis(v, axis, -2).reshape(*lead, width))


def without_ones(side: Numbers) -> list[int]:
    """The lengths of all axes but the last, without those of 1."""
    return [n for n in side.shape[:-1] if n != 1]


def _three(side: Numbers, batch_first: bool) -> Numbers:
    """(T, B, K) of an array with at most two longer axes before K."""
    lead = without_ones(side)
    if len(lead) < 2:
        return side.moved(lambda v: v.reshape(prod(lead), 1, v.shape[-1]))
    three = side.moved(lambda v: v.reshape(*lead, v.shape[-1]))
    return three.moved(lambda v: v.swapaxes(0, 1)) if batch_first else three
