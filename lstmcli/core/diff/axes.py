"""Two arrays of a run whose axes differ by a known arrangement, in the same axes.

Frameworks return directions on a separate axis or side by side, only the last step, or one
sequence without its batch; a port in C prints numbers in a row. An array is taken for one of these
only where exactly one fits, or one is clearly nearer by its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf, isclose, prod
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.tolerance import Numbers, Tolerance
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import Choice, Indices
from lstmcli.errors import UserError

MOST_ITEMS = 1024  # sequences of a batch that are tried, each over the full run

# Of the distance of every other arrangement. In 1,050 pairs of runs of two directions and two
# sequences, of 2 to 20 steps, one with wrong gates, no bias or other weights, the nearest was never
# the wrong one at 0.7 (in one at 0.8), and the right one was so near in nine tenths of those with
# another forget bias.
_CLEARLY_NEARER = 0.5

Layouts = tuple[str | None, str | None]
Choices = tuple[Choice | None, Choice | None]


# How likely an arrangement is; the last is taken only if its numbers agree or are nearest.
LIKELY, LESS_LIKELY, RARE = 0, 1, 2


class Arrangement(NamedTuple):
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
    def turned(self) -> Arrangement:
        """The same with the sides exchanged."""
        text = self.text.replace("{a}", "{0}").replace("{b}", "{a}").replace("{0}", "{b}")
        return self._replace(a=self.b, b=self.a, text=text)


def arrange(
    a: Numbers,
    b: Numbers,
    test: Tolerance,
    layouts: Layouts,
    choices: Choices = (None, None),
) -> tuple[Arrangement | None, str]:
    """The arrangement that fits two sequences of different shapes, or why there is none.

    Of several that fit by their shapes, the one whose numbers agree is taken, else the one whose
    first step agrees, else the one that is clearly nearest, else the likeliest. ``choices``, of
    steps and batch items, may name the step and the sequence.
    """
    ways = [*_ways(a, b, layouts, choices)]
    ways += [way.turned for way in _ways(b, a, layouts[::-1], choices, parts_only=True)]
    agreeing = [way for way in ways if test.agree(way.a, way.b).all()]
    likely = [way for way in ways if way.rank < RARE]
    starting = [
        way for way in likely if way.a.shape[0] > 1 and test.agree(way.a[:1], way.b[:1]).all()
    ]
    if not agreeing and len(starting) == 1:
        return starting[0], ""
    near = agreeing or [ways[n] for n in nearest([(way.a, way.b) for way in ways])]
    if near:  # what is the last step of one layout is the last sequence of the other
        best = min(near, key=lambda way: (way.rank, way.numbers[1] is not None))
        if best.numbers[1] is None or not best.batch_first or layouts != (None, None):
            return best, ""
        step = best.numbers[1][0]  # a wrong step must not pass for a sequence
        return None, (
            f"{best.text} if the first axis is the batch (--layout batch), and with step {step} if "
            f"it is time (--steps {step})"
        )
    likeliest = [way for way in likely if way.rank == min(way.rank for way in likely)]
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


def _several(ways: Sequence[Arrangement], layouts: Layouts) -> str:
    items = [way.numbers[1] for way in ways]
    if all(items):
        fits = f"{ways[0].text.partition(' is ')[0]} fits"
        if len({tuple(numbers or ()) for numbers in items}) < len(items):
            return f"{fits} a sequence in either layout: --layout batch or time decides"
        return f"{fits} {len(ways)} sequences: --batch N picks one"
    texts = [*dict.fromkeys(way.text for way in ways)]
    silent = layouts == (None, None)
    if any("(axis" in way.text or (way.exchanged and silent) for way in ways):
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


def _ways(
    narrow: Numbers,
    wide: Numbers,
    layouts: Layouts,
    choices: Choices,
    parts_only: bool = False,
) -> Iterator[Arrangement]:
    """Every arrangement in which the first side (a) is all of the second (b), or a part of it."""
    yield from _half(narrow, wide, layouts)
    yield from _in_a_row(narrow, wide, layouts)
    for n, w, joined in with_directions_joined(narrow, wide, 4):
        axes_n, axes_w = len(without_ones(n)), len(without_ones(w))
        if axes_n == axes_w and joined and not parts_only:
            yield from _same_axes(n, w, layouts, joined, stacked=int(n is narrow))
        elif axes_n < axes_w <= 2:
            for way in _parts(n, w, layouts, choices):
                yield way._replace(text=f"{joined}; {way.text}") if joined else way


def with_directions_joined(
    a: Numbers, b: Numbers, stacked: int
) -> Iterator[tuple[Numbers, Numbers, str]]:
    """Both as wide as each other, with what was done for it: directions side by side, or nothing.

    Where both have so many axes that one is that of the directions (``stacked``), in every pair of
    axes that may be theirs.
    """
    widths = [max(a.shape[-1], b.shape[-1])]
    if a.ndim == b.ndim == stacked and a.shape[-1] == b.shape[-1]:
        widths.append(2 * widths[0])
    for width in widths:
        for one, of_a in side_by_side(a, width, "{a}"):
            for other, of_b in side_by_side(b, width, "{b}"):
                yield one, other, "; ".join(filter(None, [of_a, of_b]))


def _half(narrow: Numbers, wide: Numbers, layouts: Layouts) -> Iterator[Arrangement]:
    """The first side as one half of the units of the second: one direction of two."""
    units = narrow.shape[-1]
    if 0 < 2 * units == wide.shape[-1] and without_ones(narrow):
        for start in (0, units):
            half = range(start, start + units)
            part = wide[..., start : start + units]
            text = f"{{a}} is compared with units {start} to {start + units - 1} of {{b}}"
            for way in _same_axes(narrow, part, layouts, text, stacked=0):
                yield way._replace(numbers=(None, None, half), rank=RARE)


def _in_a_row(narrow: Numbers, wide: Numbers, layouts: Layouts) -> Iterator[Arrangement]:
    """The first side as the numbers of the second in a row, or its units in rows or columns."""
    lead = without_ones(wide)
    dims = [*without_ones(narrow), narrow.shape[-1]]
    row, rows = [wide.values.size], [prod(lead), wide.shape[-1]]
    columns = [*lead, wide.shape[-1], 1]  # a column vector of the units at each step
    if (dims == row and lead) or (dims == rows and len(lead) == 2) or (dims == columns and lead):
        reshaped = narrow.moved(lambda v: v.reshape(wide.shape))
        what, how = ("column vectors", "") if dims == columns else ("numbers", "in a row ")
        text = f"the {what} of {{a}}, {narrow.shape}, {how}as {wide.shape}"
        yield from _same_axes(reshaped, wide, (layouts[1], layouts[1]), text)


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


def _same_axes(
    a: Numbers, b: Numbers, layouts: Layouts, text: str, stacked: int | None = None
) -> Iterator[Arrangement]:
    """Both have all steps and sequences, as they lie or exchanged.

    A side that says no layout has the other's, or the other one. A side that had its directions on
    an axis of their own (``stacked``, 0 or 1) may be (steps, batch), as in ONNX, where the other is
    (batch, steps), also if --layout says that of both.
    """
    lead_a, lead_b = without_ones(a), without_ones(b)
    if len(lead_a) > 2:
        return
    said = layouts[0] or layouts[1] or "time"
    firsts = [(layout or said) == "batch" for layout in layouts]
    if lead_a == (lead_b if firsts[0] == firsts[1] else lead_b[::-1]):
        yield Arrangement(_three(a, firsts[0]), _three(b, firsts[1]), (None, None, None), text)
    if layouts.count(None) == 1:
        turned = layouts.index(None)
    elif stacked is not None and layouts[0] == layouts[1] != "time":
        turned = stacked if said == "batch" else 1 - stacked
    else:
        return
    firsts[turned] = not firsts[turned]
    if len(lead_a) == 2 and lead_a == (lead_b if firsts[0] == firsts[1] else lead_b[::-1]):
        axes = "batch, steps" if firsts[turned] else "steps, batch"
        text += f"; {{{'ab'[turned]}}} as ({axes}, units), which gives it as many steps"
        three = _three(a, firsts[0]), _three(b, firsts[1])
        rank = LIKELY if None in layouts else LESS_LIKELY
        yield Arrangement(*three, (None, None, None), text, rank, exchanged=True)


def _three(side: Numbers, batch_first: bool) -> Numbers:
    """(T, B, K) of an array with at most two longer axes before K."""
    lead = without_ones(side)
    if len(lead) < 2:
        return side.moved(lambda v: v.reshape(prod(lead), 1, v.shape[-1]))
    three = side.moved(lambda v: v.reshape(*lead, v.shape[-1]))
    return three.moved(lambda v: v.swapaxes(0, 1)) if batch_first else three


def _parts(
    narrow: Numbers, wide: Numbers, layouts: Layouts, choices: Choices
) -> Iterator[Arrangement]:
    """The first side as one step of the second (the last), as one of its sequences, or as both."""
    lead = without_ones(narrow)
    said = layouts[0] not in (None, "steps") and narrow.values.ndim > 2  # how many steps it has
    state = said and layouts[0] == "batch" and narrow.shape[:-1] == (1, *lead)  # (1, B, H) of torch
    orders = [layouts[1] == "batch"] if layouts[1] in ("batch", "time") else [False, True]
    start = f"{{a}}, {narrow.shape}, is"
    for batch_first in orders[: len(without_ones(wide))]:
        full = _three(wide, batch_first)
        T, B = full.shape[:2]
        one = [n for n in (B,) if n != 1]
        is_sequence = lead == [T] and B > 1
        try:
            picked = range(0) if choices[0] is None else choices[0].among(T)
        except UserError:  # there are no such steps if that axis is time
            continue
        step = picked[0] if len(picked) == 1 else None
        ways: list[Iterator[Arrangement]] = []
        if lead == one and not said and not (is_sequence and layouts[0] == "steps"):
            ways.append(_single_step(narrow, full, start, step))
        elif lead == one and state:
            last = _single_step(narrow, full, start, step)
            ways.append(way._replace(rank=RARE) for way in last)
        if is_sequence or (not lead and B > 1 and not said):
            ways.append(_sequences(narrow, full, start, step, choices[1]))
        yield from (way._replace(batch_first=batch_first) for way in chain(*ways))


def _single_step(
    narrow: Numbers, full: Numbers, start: str, step: int | None
) -> Iterator[Arrangement]:
    T, B, K = full.shape
    one = narrow.moved(lambda v: v.reshape(1, B, K))
    if step is not None:
        text = f"{start} taken as step {step} of {{b}}"
        yield Arrangement(one, full[step : step + 1], ([step], None, None), text, named=(0,))
        return
    text = f"{start} taken as the last step of {{b}}"
    yield Arrangement(one, full[-1:], ([T - 1], None, None), text)
    if K % 2 == 0 and T > 1:

        def ends(v: Array) -> Array:
            return np.concatenate([v[-1:, :, : K // 2], v[:1, :, K // 2 :]], axis=-1)

        text = f"{start} the last step of each direction of {{b}}: step {T - 1} forward, 0 backward"
        yield Arrangement(one, full.moved(ends), ([T - 1], None, None), text, RARE)


def _sequences(
    narrow: Numbers, full: Numbers, start: str, step: int | None, batch: Choice | None
) -> Iterator[Arrangement]:
    T, B, K = full.shape
    is_full = bool(without_ones(narrow))
    first, last = (0, T - 1) if is_full else (T - 1, T - 1) if step is None else (step, step)
    named = (1,) if is_full or step is None else (0, 1)
    items: Indices = range(B) if batch is None else batch.among(B)
    one = narrow.moved(lambda v: v.reshape(last + 1 - first, 1, K))
    for item in items[:MOST_ITEMS]:
        part = full[first : last + 1, item : item + 1]
        text = f"{start} compared with sequence {item} of {B} of {{b}}"
        text += "" if is_full else ", its last step" if step is None else f", its step {step}"
        numbers = None if is_full else [last]
        yield Arrangement(one, part, (numbers, [item], None), text, named=named)
