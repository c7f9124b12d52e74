"""Rearrangements of one array under which it equals the other: proofs.

It has to make several distinct elements agree that disagreed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from lstmcli.core.diff.array_name import WEIGHTS, ArrayName
from lstmcli.core.diff.compared import Pattern
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, last_places, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.layouts import Part
from lstmcli.core.model.model import Hint

ENOUGH = 3
"""Distinct numbers that a rearrangement has to make agree."""

_SAMPLED_ROWS = 48  # in a search; what is found is checked on all
_MOST_DIGITS = 7  # half a unit of more is far below the tolerance of float32
_WIDEST_SEARCH = 2048  # units; the search takes memory with their square
_MOST_LISTED = 16  # units whose order is listed; of more their count

Moved = tuple[Numbers, Numbers, Any, dict[str, Any]]
"""Both sides as rearranged, the part that b is, and facts for the text."""


def proves(test: Tolerance, a: Numbers, b: Numbers, agreed: Mask | None = None) -> bool:
    """Return whether a and b agree, and tell enough beyond what ``agreed``."""
    rows = 1 + 4096 // max(1, int(np.prod(a.shape[1:])))  # most fail there
    if a.shape != b.shape or not test.agree(a[:rows], b[:rows]).all():
        return False
    agrees_with_all = a.left_out | b.left_out
    telling = ~agrees_with_all & (True if agreed is None else ~agreed)
    return bool(test.agree(a, b).all()) and distinct(b, telling, test) >= ENOUGH


def distinct(numbers: Numbers, chosen: Mask, tolerance: Tolerance) -> int:
    """How many of the chosen finite numbers the tolerance distinguishes, at least 1."""
    chosen = chosen & np.isfinite(numbers.values)
    values = np.sort(numbers.values[chosen].astype(np.float64))
    unit = 0.0 if numbers.unit is None else numbers.unit[chosen].max(initial=0)
    with np.errstate(over="ignore"):
        gap = 2 * (tolerance.atol + tolerance.rtol * np.abs(values[1:]) + unit)
        return 1 + int(np.count_nonzero(np.diff(values) > gap))


def rearranged(pair: Pair) -> Hint | None:
    """The first rearrangement that makes a pair equal, after "h agrees"."""
    if pair.numbers_agree or not pair.a.values.size or not pair.b.values.size:
        return None
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


def _halves(pair: Pair) -> Iterator[Moved]:
    units = pair.a.shape[-1]
    if units >= 4 and units % 2 == 0:
        yield _moved(pair, lambda v: np.roll(v, units // 2, axis=-1))


def _one_half(pair: Pair) -> Iterator[Moved]:
    units = pair.a.shape[-1]
    is_second = np.arange(units) >= units // 2  # (H,)
    if units % 2 == 0:
        yield _moved(pair, lambda v: np.where(is_second, v[::-1], v), which="second")
        yield _moved(pair, lambda v: np.where(is_second, v, v[::-1]), which="first")


def _permuted(pair: Pair, axis: int = 2) -> Iterator[Moved]:
    order = _order(pair.a, pair.b, axis, pair.tolerance)
    if order is not None:
        shown = f"{np.count_nonzero(order != np.arange(order.size))} have moved"
        if order.size <= _MOST_LISTED:
            shown = ", ".join(map(str, order))
        yield _moved(pair, lambda v: v.take(order, axis), order=shown)


def _order(a: Numbers, b: Numbers, axis: int, test: Tolerance) -> Array | None:
    """The unit of a that each unit of b is, (H,), by a sample of rows.

    Units that agree stay. Of the others most must have one candidate: among crowded numbers
    any order would do. It may be another axis.
    """
    units = a.shape[axis]
    if a.shape != b.shape or not 1 < units <= _WIDEST_SEARCH:
        return None
    one, other = (s.moved(lambda v: v.swapaxes(axis, 2).reshape(-1, units)) for s in (a, b))
    stays: Mask = np.all(test.agree(one, other), axis=0)  # (H,)
    possible = np.where(stays, np.eye(units, dtype=bool), ~stays[:, None])  # of b, then of a
    for row in {*np.linspace(0, len(one.values) - 1, _SAMPLED_ROWS).astype(int).tolist()}:
        possible &= test.agree(one[row : row + 1], other[row, :, None])
    counts, order = possible.sum(axis=1), np.zeros(units, int)
    if stays.all() or np.mean(counts[~stays] == 1) <= 0.5:
        return None
    for of_b in np.argsort(counts, kind="stable"):  # the surest choose first
        if not possible[of_b].any():
            return None
        order[of_b] = possible[of_b].argmax()
        possible[:, order[of_b]] = False
    return order


def _rescaled(pair: Pair) -> Iterator[Moved]:
    """b is a times one number, or a and one number more: of outputs only."""
    if pair.agrees is None or ArrayName.of(pair.name).base not in ("h", "final_h"):
        return
    a, b = widened(pair.a.values, pair.b.values)
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0)
    if not usable.any():
        return
    with np.errstate(all="ignore"):
        factor, offset = np.median(b[usable] / a[usable]), np.median(b[usable] - a[usable])
        near = min(abs(factor - 1), 1.0)
        digits = 4 if not near > 1e-9 else 3 - int(np.floor(np.log10(near)))  # they tell it from 1
        times = f"{pair.names[0]} is multiplied by {factor:.{digits}g}"
        yield _moved(pair, lambda v: v * factor, once=times)
        yield _moved(pair, lambda v: v + offset, once=f"{offset:.4g} is added to {pair.names[0]}")


def _rounded(pair: Pair) -> Iterator[Moved]:
    """All numbers of one side have few digits, and the other's round so."""
    for side, rounded, full in zip((pair.a, pair.b), pair.names, pair.names[::-1], strict=True):
        values = side.values
        if side.unit is not None or values.dtype.kind != "f" or not np.isfinite(values).all():
            continue
        digits, unit = last_places(values, _MOST_DIGITS)
        spacing = np.finfo(values.dtype).eps * np.abs(values.astype(np.float64))
        if pair.agrees is None or not digits or unit is None or (unit < 64 * spacing).any():
            continue  # integers, or as many by chance
        known = Numbers(values, unit)
        a, b = (known, pair.b) if side is pair.a else (pair.a, known)
        places = f"{digits} digit{'s' * (digits != 1)} after the point"
        yield a, b, ..., {"full": full, "rounded": rounded, "places": places}


def _shifted(pair: Pair) -> Iterator[Moved]:
    a, b = pair.names
    if pair.agrees is not None and len(pair.a.values) > 1:
        yield pair.a[1:], pair.b[:-1], np.s_[:-1], {"behind": a, "ahead": b}
        yield pair.a[:-1], pair.b[1:], np.s_[1:], {"behind": b, "ahead": a}


def _windows(pair: Pair) -> Iterator[Moved]:
    sizes = len(pair.a.values), len(pair.b.values)
    short, long = min(sizes), max(sizes)
    for start in range(long - short + 1) if short < long else ():
        a, b = (
            side[start : start + short] if size == long else side
            for side, size in zip((pair.a, pair.b), sizes, strict=True)
        )
        typed = f": lstm diff --steps {start}:{start + short} compares these"
        facts = {"part": pair.names[sizes.index(short)], "typed": typed * (not pair.numbers[0])}
        yield a, b, ..., facts | {"where": Part(start, short, long).words("step")}


def _blocks(pair: Pair) -> Iterator[Moved]:
    for axis, size in enumerate(pair.a.shape if pair.agrees is not None else ()):
        for order in list(permutations(range(4)))[1:] if size and size % 4 == 0 else ():
            index = np.arange(size).reshape(4, -1)[[*order]].ravel()
            how = partial(np.take, indices=index, axis=axis)
            yield _moved(pair, how, axis=axis, blocks=", ".join(map(str, order)))


# ---- in words

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
        _halves,
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
        _one_half,
        "once the {which} half of the units is reversed in time: the backward direction, in "
        "time order on one side.",
    ),
    *OF_PLACED,
)
