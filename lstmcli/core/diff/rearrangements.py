"""Rearrangements of one array under which it equals the other: proofs.

It has to make several distinct elements agree that disagreed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import WEIGHTS, ArrayName
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, last_places, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.layouts import AxisRange
from lstmcli.core.model.model import Hint

ENOUGH = 3  # distinct numbers that a rearrangement has to make agree

_SAMPLED_ROWS = 48  # in a search; what is found is checked on all
_MOST_DIGITS = 7  # half a unit of more is far below the tolerance of float32
_WIDEST_SEARCH = 2048  # units; the search takes memory with their square
_MOST_LISTED = 16  # units whose order is listed; of more their count
# Windows of steps that are compared in full. Of unrelated numbers one or two start alike; of
# numbers that are all alike, where any would do, all.
_MOST_WINDOWS = 64
_BLOCK = (
    2**14
)  # steps whose numbers are compared at once: their arrays stay in the cache
_ROOM_FOR_WINDOWS = 2  # comparisons for each number of the longer side, to find them
# of the second nearest unit's distance; and the share of units whose nearest one is so near
_CLEARLY_NEARER, _MOST_CLEAR = 1 / 4, 0.5
_BY_CHANCE = (
    64  # ULPs: a last place below that may be one of numbers that are not rounded
)


class Moved(NamedTuple):
    """Both sides as rearranged."""

    a: Numbers
    b: Numbers
    facts: dict[str, Any]  # for the text
    index: Any = ...  # of this b in that of the pair


class Rearrangement(NamedTuple):
    """A row of a table: ways to rearrange a pair, and the text if one makes it equal."""

    code: str
    ways: Callable[[Pair], Iterator[Moved]]
    text: str


def proves(test: Tolerance, a: Numbers, b: Numbers, agreed: Mask | None = None) -> bool:
    """Return whether a and b agree, and the tolerance distinguishes enough of them.

    Those do not count that ``agreed`` before, or that printed output left out.
    """
    rows = 1 + 4096 // max(1, int(np.prod(a.shape[1:])))  # most fail there
    if a.shape != b.shape or not test.agree(a[:rows], b[:rows]).all():
        return False
    telling = ~(a.left_out | b.left_out) & np.isfinite(b.values)
    if agreed is not None:
        telling = telling & ~agreed
    values = np.sort(b.values[telling].astype(np.float64))
    unit = 0.0 if b.unit is None else b.unit[telling].max(initial=0)
    with np.errstate(over="ignore"):
        gap = 2 * (test.atol + test.rtol * np.abs(values[1:]) + unit)
        distinct = 1 + np.count_nonzero(np.diff(values) > gap)
    return bool(test.agree(a, b).all() and distinct >= ENOUGH)


def rearranged(pair: Pair) -> Hint | None:
    """The first rearrangement that makes a pair equal; its text continues "h agrees"."""
    a, b = pair.names
    for row in _possible(pair):
        for moved in row.ways(pair):
            agreed = None if pair.agrees is None else pair.agrees[moved.index]
            if proves(pair.tolerance, moved.a, moved.b, agreed):
                facts = {"a": a, "b": b, **moved.facts}
                return Hint(row.code, row.text.format(**facts))
    return None


def _possible(pair: Pair) -> tuple[Rearrangement, ...]:
    """The table of a pair by its axes."""
    if pair.stepwise:
        return OF_STEPS
    if pair.placed:
        return OF_PLACED
    return OF_WEIGHTS if pair.kind == WEIGHTS else ()


def _moved(pair: Pair, how: Callable[[Array], Array], **facts: Any) -> Moved:
    """The pair with a moved."""
    return Moved(pair.a.moved(how), pair.b, facts)


def _of_a(*ways: Callable[[Array], Array]) -> Callable[[Pair], Iterator[Moved]]:
    return lambda pair: (_moved(pair, way) for way in ways)


def _orders_of_axes(pair: Pair) -> Iterator[Moved]:
    axes = ("steps", "batch", "units")
    for order in ((2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)):
        names = [axes[order.index(n)] for n in range(3) if pair.a.shape[n] > 1]
        yield _moved(pair, partial(np.transpose, axes=order), axes=", ".join(names))


def _halves_exchanged(v: Array) -> Array:
    units = v.shape[-1]
    return np.roll(v, units // 2, axis=-1) if units >= 4 and units % 2 == 0 else v


def _half_reversed(pair: Pair) -> Iterator[Moved]:
    units = pair.a.shape[-1]
    is_second = np.arange(units) >= units // 2  # (H,)
    if units % 2 == 0:
        yield _moved(pair, lambda v: np.where(is_second, v[::-1], v), which="second")
        yield _moved(pair, lambda v: np.where(is_second, v, v[::-1]), which="first")


def _permuted(pair: Pair, axis: int = 2) -> Iterator[Moved]:
    """The units of a in the order of b's, or the items of another axis.

    Units that agree stay; each other unit of b is the nearest one of a, by a sample of rows.
    Where most are crowded, any order would do.
    """
    units = pair.a.shape[axis]
    if pair.agrees is None or not 1 < units <= _WIDEST_SEARCH:
        return
    distances = _distances(pair, pair.agrees, axis)
    nearest, second = np.partition(distances, 1, axis=1)[:, :2].T
    is_other = nearest >= 0
    is_clear = nearest[is_other] < second[is_other] * _CLEARLY_NEARER
    if not np.mean(is_clear) > _MOST_CLEAR:
        return
    order = np.zeros(units, int)
    for of_b in nearest.argsort():  # the surest choose first
        order[of_b] = distances[of_b].argmin()
        distances[:, order[of_b]] = np.inf
    if units <= _MOST_LISTED:
        shown = ", ".join(map(str, order))
    else:
        shown = f"{np.count_nonzero(order != np.arange(units))} have moved"
    yield _moved(pair, lambda v: v.take(order, axis), order=shown)


def _distances(pair: Pair, agrees: Mask, axis: int) -> Array:
    """How far each unit of b is from each of a, by a sample of rows; -1 where they agree."""
    units = pair.a.shape[axis]
    a, b, agreeing = (
        array.swapaxes(axis, 2).reshape(-1, units).astype(np.float64)
        for array in (pair.a.values, pair.b.values, agrees)
    )
    distances = np.zeros((units, units))  # of b, then of a
    with np.errstate(all="ignore"):
        for row in np.linspace(0, len(a) - 1, _SAMPLED_ROWS).astype(int):
            distances += np.nan_to_num(np.abs(a[row] - b[row, :, None]))
    distances[np.diag(agreeing.all(axis=0))] = -1.0
    return distances


def _rescaled(pair: Pair) -> Iterator[Moved]:
    """b is a times one number, or a and one number more: of outputs only."""
    if pair.agrees is None or ArrayName.of(pair.name).base not in ("h", "final_h"):
        return
    a, b = widened(pair.a.values, pair.b.values)
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0)
    if not usable.any():
        return
    name = pair.names[0]
    with np.errstate(all="ignore"):
        factor = np.median(b[usable] / a[usable])
        offset = np.median(b[usable] - a[usable])
        # as many digits as tell the factor from 1
        texts = (f"{factor:.{digits}g}" for digits in range(4, 17))
        text = next((text for text in texts if float(text) != 1), "1")
        yield _moved(pair, lambda v: v * factor, once=f"{name} is multiplied by {text}")
        once = f"{offset:.4g} is added to {name}"
        yield _moved(pair, lambda v: v + offset, once=once)


def _rounded(pair: Pair) -> Iterator[Moved]:
    """All numbers of one side have few digits, and the other's round so."""
    name_of_a, name_of_b = pair.names
    digits, unit = _digits_of_rounded(pair.a)
    if unit is not None:
        facts = {"full": name_of_b, "rounded": name_of_a, "places": digits}
        yield Moved(Numbers(pair.a.values, unit), pair.b, facts)
    digits, unit = _digits_of_rounded(pair.b)
    if unit is not None:
        facts = {"full": name_of_a, "rounded": name_of_b, "places": digits}
        yield Moved(pair.a, Numbers(pair.b.values, unit), facts)


def _digits_of_rounded(side: Numbers) -> tuple[str, Array | None]:
    """``2 digits after the point``, and the last place of each number; None if not rounded."""
    values = side.values
    is_exact = side.unit is None and values.dtype.kind == "f"
    if not is_exact or not np.isfinite(values).all():
        return "", None
    digits, unit = last_places(values, _MOST_DIGITS)
    spacing = np.finfo(values.dtype).eps * np.abs(values.astype(np.float64))
    # integers have few digits by themselves, and some numbers by chance
    if not digits or unit is None or not (unit >= _BY_CHANCE * spacing).all():
        return "", None
    noun = "digit" if digits == 1 else "digits"
    return f"{digits} {noun} after the point", unit


def _shifted(pair: Pair) -> Iterator[Moved]:
    a, b = pair.names
    if pair.agrees is not None and len(pair.a.values) > 1:
        is_behind, is_ahead = {"behind": a, "ahead": b}, {"behind": b, "ahead": a}
        yield Moved(pair.a[1:], pair.b[:-1], is_behind, np.s_[:-1])
        yield Moved(pair.a[:-1], pair.b[1:], is_ahead, np.s_[1:])


def _windows(pair: Pair) -> Iterator[Moved]:
    """Both sides, the longer one cut to each window that may be the shorter one."""
    steps_of_a, steps_of_b = len(pair.a.values), len(pair.b.values)
    if steps_of_a == steps_of_b or pair.a.shape[1:] != pair.b.shape[1:]:
        return
    is_a_short = steps_of_a < steps_of_b
    steps, of_steps = sorted((steps_of_a, steps_of_b))
    agree = pair.tolerance.agree
    if is_a_short:
        starts = _starts(pair.a, pair.b, agree)
    else:
        starts = _starts(pair.b, pair.a, lambda short, long: agree(long, short))
    for start in starts[:_MOST_WINDOWS].tolist():
        facts = {
            "short": pair.names[0] if is_a_short else pair.names[1],
            "where": AxisRange(start, steps, of_steps).words("step"),
            "typed": "",
        }
        if not pair.indices[0]:
            window = f"{start}:{start + steps}"
            facts["typed"] = f": lstm diff --steps {window} compares these"
        if is_a_short:
            yield Moved(pair.a, pair.b[start : start + steps], facts)
        else:
            yield Moved(pair.a[start : start + steps], pair.b, facts)


def _starts(
    short: Numbers, long: Numbers, agree: Callable[[Numbers, Numbers], Mask]
) -> Array:
    """The steps of the longer side that may be step 0 of the shorter one.

    One number of this after the other excludes steps, until few are left. Each is of another
    step and unit than the one before: zeros of padding and dead units exclude nothing.
    """
    short, long = (
        side.moved(lambda v: v.reshape(len(v), -1)) for side in (short, long)
    )
    steps, width = short.shape
    starts = np.arange(1 + len(long.values) - steps)
    room = _ROOM_FOR_WINDOWS * long.values.size
    for n in range(steps * width):
        room -= len(starts)
        if len(starts) <= _MOST_WINDOWS or room < 0:
            break
        step = n % steps
        unit = (step + n // steps) % width
        number = short[step : step + 1, unit]  # (1,)
        left = []
        for some in np.array_split(starts, 1 + len(starts) // _BLOCK):
            left.append(some[agree(number, long[some + step, unit])])
        starts = np.concatenate(left)
    return starts


def _blocks(pair: Pair) -> Iterator[Moved]:
    """a with four blocks on an axis in another order, as those of the gates."""
    if pair.agrees is None:
        return
    for axis, size in enumerate(pair.a.shape):
        if size == 0 or size % 4:
            continue
        _, *others = permutations(range(4))
        for order in others:
            index = np.arange(size).reshape(4, -1)[list(order)].ravel()
            how = partial(np.take, indices=index, axis=axis)
            yield _moved(pair, how, axis=axis, blocks=", ".join(map(str, order)))


_ROUNDED = Rearrangement(
    "rounded", _rounded, "once {full} is rounded to {places}, as all of {rounded} are."
)
OF_WEIGHTS = (
    _ROUNDED,
    Rearrangement("transposed", _of_a(np.transpose), "once one of them is transposed."),
    Rearrangement(
        "gates_permuted",
        _blocks,
        "once the blocks of {a} on axis {axis} are put in the order {blocks}: that of the gates.",
    ),
)
OF_PLACED = (
    _ROUNDED,
    Rearrangement(
        "halves_exchanged",
        _of_a(_halves_exchanged),
        "once the halves of the units change places: directions joined in the other order.",
    ),
    Rearrangement(
        "units_permuted",
        _permuted,
        "once the units of {a} are put in another order ({order}): rows or columns of weights "
        "were permuted.",
    ),
    Rearrangement(
        "rescaled",
        _rescaled,
        "once {once}. One side may be what comes after the LSTM: a scale, dropout, a "
        "normalisation, a bias.",
    ),
)
# Simple before general: exchanged halves before any order.
OF_STEPS = (
    Rearrangement(
        "time_flipped",
        _of_a(lambda v: v[::-1]),
        "once time is reversed: the first step of {a} is the last of {b}. One side ran "
        "backwards over the sequence, or did not turn its outputs back.",
    ),
    Rearrangement(
        "axes_swapped",
        _of_a(lambda v: v.swapaxes(0, 1)),
        "once the step and the batch axis of one side are swapped. Look for batch_first, "
        "time_major or --layout.",
    ),
    Rearrangement(
        "axes_permuted",
        _orders_of_axes,
        "once the axes of {a} are put in another order: they are ({axes}), as in MATLAB or Julia.",
    ),
    Rearrangement(
        "reshaped",
        _of_a(
            lambda v: v.swapaxes(0, 1).reshape(v.shape),
            lambda v: v.reshape(v.shape[1], v.shape[0], -1).swapaxes(0, 1),
            lambda v: v.reshape(v.shape[1], v.shape[0], -1),
        ),
        "number by number in the order of memory: one side was reshaped where its step and "
        "batch axes had to be transposed.",
    ),
    Rearrangement(
        "batch_permuted",
        partial(_permuted, axis=1),
        "once the sequences of {a} are put in another order ({order}).",
    ),
    Rearrangement(
        "shifted_by_one",
        _shifted,
        "once shifted by one step: step 1 of {behind} is step 0 of {ahead}, and so on. Step 0 of "
        "{behind}, which may be the state before the first one, is missing in {ahead}.",
    ),
    Rearrangement(
        "part_of_steps", _windows, "once {short} is interpreted as {where}{typed}."
    ),
    Rearrangement(
        "half_flipped",
        _half_reversed,
        "once the {which} half of the units is reversed in time: the backward direction, in "
        "time order on one side.",
    ),
    *OF_PLACED,
)
