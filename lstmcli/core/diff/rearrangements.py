"""Rearrangements of one array under which it equals the other: proofs.

It has to make several distinct elements agree that disagreed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from lstmcli.core.diff.difference import Pattern
from lstmcli.core.diff.operand import WEIGHTS, ArrayName
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, last_places, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.layouts import Part
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

# both sides as rearranged, the part that b is, and facts for the text
Moved = tuple[Numbers, Numbers, Any, dict[str, Any]]


def proves(test: Tolerance, a: Numbers, b: Numbers, agreed: Mask | None = None) -> bool:
    """Return whether a and b agree, and the tolerance distinguishes enough of them.

    Those do not count that ``agreed`` before, or that printed output left out.
    """
    rows = 1 + 4096 // max(1, int(np.prod(a.shape[1:])))  # most fail there
    if a.shape != b.shape or not test.agree(a[:rows], b[:rows]).all():
        return False
    telling = ~(a.left_out | b.left_out) & np.isfinite(b.values)
    telling &= True if agreed is None else ~agreed
    values = np.sort(b.values[telling].astype(np.float64))
    unit = 0.0 if b.unit is None else b.unit[telling].max(initial=0)
    with np.errstate(over="ignore"):
        gap = 2 * (test.atol + test.rtol * np.abs(values[1:]) + unit)
        distinct = 1 + np.count_nonzero(np.diff(values) > gap)
    return bool(test.agree(a, b).all() and distinct >= ENOUGH)


def rearranged(pair: Pair) -> Hint | None:
    """The first rearrangement that makes a pair equal; its text continues "h agrees"."""
    table: tuple[Pattern, ...] = OF_STEPS if pair.stepwise else OF_PLACED
    if not pair.placed:
        table = OF_WEIGHTS if pair.kind == WEIGHTS else ()
    names = dict(zip("ab", pair.names, strict=True))
    for row in table:
        for a, b, part, facts in row.facts(pair):
            agreed = None if pair.agrees is None else pair.agrees[part]
            if proves(pair.tolerance, a, b, agreed):
                return Hint(row.code, row.seen.format(**names | facts))
    return None


def _moved(pair: Pair, how: Callable[[Array], Array], **facts: Any) -> Moved:
    return pair.a.moved(how), pair.b, ..., facts


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
    a, b, agrees = (
        array.swapaxes(axis, 2).reshape(-1, units).astype(np.float64)
        for array in (pair.a.values, pair.b.values, pair.agrees)
    )
    distances = np.zeros((units, units))  # of b, then of a
    with np.errstate(all="ignore"):
        for row in np.linspace(0, len(a) - 1, _SAMPLED_ROWS).astype(int):
            distances += np.nan_to_num(np.abs(a[row] - b[row, :, None]))
    distances[np.diag(agrees.all(axis=0))] = -1.0
    nearest, second = np.partition(distances, 1, axis=1)[:, :2].T
    if np.mean(nearest[nearest >= 0] < second[nearest >= 0] / 4) > 0.5:
        order = np.zeros(units, int)
        for of_b in nearest.argsort():  # the surest choose first
            order[of_b] = distances[of_b].argmin()
            distances[:, order[of_b]] = np.inf
        count = np.count_nonzero(order != np.arange(units))
        shown = (
            ", ".join(map(str, order))
            if units <= _MOST_LISTED
            else f"{count} have moved"
        )
        yield _moved(pair, lambda v: v.take(order, axis), order=shown)


def _rescaled(pair: Pair) -> Iterator[Moved]:
    """b is a times one number, or a and one number more: of outputs only."""
    if pair.agrees is None or ArrayName.of(pair.name).base not in ("h", "final_h"):
        return
    a, b = widened(pair.a.values, pair.b.values)
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0)
    if not usable.any():
        return
    with np.errstate(all="ignore"):
        factor, offset = (
            np.median(b[usable] / a[usable]),
            np.median(b[usable] - a[usable]),
        )
        # as many digits as tell the factor from 1
        texts = (f"{factor:.{digits}g}" for digits in range(4, 17))
        text = next((text for text in texts if float(text) != 1), "1")
        yield _moved(
            pair, lambda v: v * factor, once=f"{pair.names[0]} is multiplied by {text}"
        )
        yield _moved(
            pair, lambda v: v + offset, once=f"{offset:.4g} is added to {pair.names[0]}"
        )


def _rounded(pair: Pair) -> Iterator[Moved]:
    """All numbers of one side have few digits, and the other's round so."""
    for side, rounded, full in zip(
        (pair.a, pair.b), pair.names, pair.names[::-1], strict=True
    ):
        values = side.values
        if (
            side.unit is not None
            or values.dtype.kind != "f"
            or not np.isfinite(values).all()
        ):
            continue
        digits, unit = last_places(values, _MOST_DIGITS)
        spacing = np.finfo(values.dtype).eps * np.abs(values.astype(np.float64))
        # integers have few digits by themselves, and some numbers by chance
        if digits and unit is not None and (unit >= 64 * spacing).all():
            a, b = (
                Numbers(x.values, unit) if x is side else x for x in (pair.a, pair.b)
            )
            places = f"{digits} digit{'s' * (digits != 1)} after the point"
            yield a, b, ..., {"full": full, "rounded": rounded, "places": places}


def _shifted(pair: Pair) -> Iterator[Moved]:
    a, b = pair.names
    if pair.agrees is not None and len(pair.a.values) > 1:
        yield pair.a[1:], pair.b[:-1], np.s_[:-1], {"behind": a, "ahead": b}
        yield pair.a[:-1], pair.b[1:], np.s_[1:], {"behind": b, "ahead": a}


def _windows(pair: Pair) -> Iterator[Moved]:
    """Both sides, the longer one cut to each window that may be the shorter one."""
    short, long = sorted((len(pair.a.values), len(pair.b.values)))
    if short == long or pair.a.shape[1:] != pair.b.shape[1:]:
        return
    part = 0 if len(pair.a.values) == short else 1
    for start in _starts(pair, part)[:_MOST_WINDOWS].tolist():
        sides = [pair.a, pair.b]
        sides[1 - part] = sides[1 - part][start : start + short]
        facts = {
            "part": pair.names[part],
            "where": Part(start, short, long).words("step"),
            "typed": "",
        }
        if not pair.numbers[0]:
            facts["typed"] = (
                f": lstm diff --steps {start}:{start + short} compares these"
            )
        yield sides[0], sides[1], ..., facts


def _starts(pair: Pair, part: int) -> Array:
    """The steps of one side that may be step 0 of the other, which is the ``part``.

    One number of the part after the other excludes steps, until few are left. Each is of another
    step and unit than the one before: zeros of padding and dead units exclude nothing.
    """
    rows = [side.moved(lambda v: v.reshape(len(v), -1)) for side in (pair.a, pair.b)]
    (steps, width), full = rows[part].shape, rows[1 - part]
    starts = np.arange(1 + len(full.values) - steps)
    room = _ROOM_FOR_WINDOWS * full.values.size
    for n in range(steps * width):
        room -= len(starts)
        if len(starts) <= _MOST_WINDOWS or room < 0:
            break
        step = n % steps
        unit = (step + n // steps) % width
        numbers = [side[step : step + 1, unit] for side in rows]  # (1,)
        left = []
        for some in np.array_split(starts, 1 + len(starts) // _BLOCK):
            numbers[1 - part] = full[some + step, unit]
            left.append(some[pair.tolerance.agree(*numbers)])
        starts = np.concatenate(left)
    return starts


def _blocks(pair: Pair) -> Iterator[Moved]:
    for axis, size in enumerate(pair.a.shape if pair.agrees is not None else ()):
        for order in list(permutations(range(4)))[1:] if size and size % 4 == 0 else ():
            index = np.arange(size).reshape(4, -1)[[*order]].ravel()
            how = partial(np.take, indices=index, axis=axis)
            yield _moved(pair, how, axis=axis, blocks=", ".join(map(str, order)))


_ROUNDED = Pattern(
    "rounded", _rounded, "once {full} is rounded to {places}, as all of {rounded} are."
)
OF_WEIGHTS = (
    _ROUNDED,
    Pattern("transposed", _of_a(np.transpose), "once one of them is transposed."),
    Pattern(
        "gates_permuted",
        _blocks,
        "once the blocks of {a} on axis {axis} are put in the order {blocks}: that of the gates.",
    ),
)
OF_PLACED = (
    _ROUNDED,
    Pattern(
        "halves_exchanged",
        _of_a(_halves_exchanged),
        "once the halves of the units change places: directions joined in the other order.",
    ),
    Pattern(
        "units_permuted",
        _permuted,
        "once the units of {a} are put in another order ({order}): rows or columns of weights "
        "were permuted.",
    ),
    Pattern(
        "rescaled",
        _rescaled,
        "once {once}. One side may be what comes after the LSTM: a scale, dropout, a "
        "normalisation, a bias.",
    ),
)
# Simple before general: exchanged halves before any order.
OF_STEPS = (
    Pattern(
        "time_flipped",
        _of_a(lambda v: v[::-1]),
        "once time is reversed: the first step of {a} is the last of {b}. One side ran "
        "backwards over the sequence, or did not turn its outputs back.",
    ),
    Pattern(
        "axes_swapped",
        _of_a(lambda v: v.swapaxes(0, 1)),
        "once the step and the batch axis of one side are swapped. Look for batch_first, "
        "time_major or --layout.",
    ),
    Pattern(
        "axes_permuted",
        _orders_of_axes,
        "once the axes of {a} are put in another order: they are ({axes}), as in MATLAB or Julia.",
    ),
    Pattern(
        "reshaped",
        _of_a(
            lambda v: v.swapaxes(0, 1).reshape(v.shape),
            lambda v: v.reshape(v.shape[1], v.shape[0], -1).swapaxes(0, 1),
            lambda v: v.reshape(v.shape[1], v.shape[0], -1),
        ),
        "number by number in the order of memory: one side was reshaped where its step and "
        "batch axes had to be transposed.",
    ),
    Pattern(
        "batch_permuted",
        partial(_permuted, axis=1),
        "once the sequences of {a} are put in another order ({order}).",
    ),
    Pattern(
        "shifted_by_one",
        _shifted,
        "once shifted by one step: step 1 of {behind} is step 0 of {ahead}, and so on. Step 0 of "
        "{behind}, which may be the state before the first one, is missing in {ahead}.",
    ),
    Pattern("part_of_steps", _windows, "once {part} is interpreted as {where}{typed}."),
    Pattern(
        "half_flipped",
        _half_reversed,
        "once the {which} half of the units is reversed in time: the backward direction, in "
        "time order on one side.",
    ),
    *OF_PLACED,
)
