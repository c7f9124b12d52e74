"""Rearrangements of one array under which it equals the other: each is a proof, not a guess.

The text of a hint from here goes on after "h agrees" or "h and c agree"; {a} and {b} stand for the
sides.

A rearrangement proves nothing about numbers that are all alike, so each has to make several
elements agree that disagreed before and that the tolerance distinguishes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from lstmcli.core.diff.alignment import WEIGHTS, ArrayName, Pair
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, last_places, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.hint import Hint

ENOUGH = 3
"""Distinct numbers that a rearrangement has to make agree."""

_SAMPLED_ROWS = 48  # of a search for a permutation; what is found is then checked on every row
_MOST_DIGITS = 7  # half a unit of more is far below the tolerance of float32
_WIDEST_SEARCH = 2048  # units; the search takes memory with their square


def proves(pair: Pair, a: Numbers, b: Numbers, agreed: Mask | None) -> bool:
    """Whether a and b, as rearranged, agree, and tell enough.

    ``agreed`` marks the elements of b that did before; None: none, as their shapes were different.
    """
    if a.shape != b.shape or not _head_agrees(a, b, pair.tolerance):
        return False
    if not pair.tolerance.agree(a, b).all():
        return False
    was_wrong = np.ones(b.shape, bool) if agreed is None else ~agreed
    for unknown in (a.left_out, b.left_out):  # that agrees with anything, and tells nothing
        was_wrong = was_wrong if unknown is None else was_wrong & ~unknown
    return distinct(b, was_wrong, pair.tolerance) >= ENOUGH


def distinct(numbers: Numbers, chosen: Mask, tolerance: Tolerance) -> int:
    """How many of the chosen finite numbers the tolerance distinguishes."""
    chosen = chosen & np.isfinite(numbers.values)
    values = np.sort(numbers.values[chosen].astype(np.float64))
    if not values.size:
        return 0
    unit = 0.0 if numbers.unit is None else float(numbers.unit[chosen].max())
    with np.errstate(over="ignore"):
        gap = 2 * (tolerance.atol + tolerance.rtol * np.abs(values[1:]) + unit)
        return 1 + int(np.count_nonzero(np.diff(values) > gap))


def _head_agrees(a: Numbers, b: Numbers, tolerance: Tolerance) -> bool:
    """Whether the first thousands of numbers agree: most rearrangements fail there."""
    rows = 1 + 4096 // max(1, int(np.prod(a.shape[1:])))
    return bool(tolerance.agree(a[:rows], b[:rows]).all())


def time_flipped(pair: Pair) -> Hint | None:
    """a's steps in reverse order are b's."""
    if not proves(pair, pair.a[::-1], pair.b, pair.agrees):
        return None
    return Hint(
        "time_flipped",
        "once time is turned round: the first step of {a} is the last of {b}. One side ran "
        "backwards over the sequence, or did not turn its outputs back.",
    )


def axes_swapped(pair: Pair) -> Hint | None:
    """a's step and batch axes, exchanged, are b's."""
    if not proves(pair, pair.a.moved(lambda v: v.swapaxes(0, 1)), pair.b, pair.agrees):
        return None
    return Hint(
        "axes_swapped",
        "once the step and the batch axis of one side are swapped: one side is (steps, batch, "
        "units), the other (batch, steps, units). Look for batch_first, time_major or --layout.",
    )


def axes_permuted(pair: Pair) -> Hint | None:
    """a's axes in an order in which the units are not the last are b's."""
    for order in ((2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1)):
        if proves(pair, pair.a.moved(partial(np.transpose, axes=order)), pair.b, pair.agrees):
            axes = ("steps", "batch", "units")
            names = [axes[order.index(n)] for n in range(3) if pair.a.shape[n] > 1]
            return Hint(
                "axes_permuted",
                f"once the axes of {{a}} are put in another order: they are ({', '.join(names)}), "
                "as where the units come first in MATLAB or Julia. The last axis has to be that of "
                "the units.",
            )
    return None


def reshaped(pair: Pair) -> Hint | None:
    """One side was reshaped where its axes had to be transposed."""
    steps, batch, units = pair.a.shape
    swapped = pair.a.moved(lambda v: v.swapaxes(0, 1))  # (B, T, H)
    candidates = [
        swapped.moved(lambda v: v.reshape(steps, batch, units)),
        pair.a.moved(lambda v: v.reshape(batch, steps, units).swapaxes(0, 1)),
        pair.a.moved(lambda v: v.reshape(batch, steps, units)),
    ]
    if not any(proves(pair, a, pair.b, pair.agrees) for a in candidates):
        return None
    return Hint(
        "reshaped",
        "number by number in the order of memory, not of the axes: one side was reshaped "
        "where the step and batch axes had to be transposed.",
    )


def directions_reshaped(pair: Pair) -> Hint | None:
    """(T, 2, B, H) was reshaped to (T, B, 2 H), where the axes had to be exchanged before."""
    steps, batch, units = pair.a.shape
    if units % 2 or batch < 2:
        return None
    stacked, beside = (steps, 2, batch, units // 2), (steps, batch, 2, units // 2)

    def moved(shape: tuple[int, ...], array: Array) -> Array:
        return array.reshape(shape).swapaxes(1, 2).reshape(steps, batch, units)

    for shape in (stacked, beside):
        if proves(pair, pair.a.moved(partial(moved, shape)), pair.b, pair.agrees):
            which = "{a}" if shape == stacked else "{b}"
            return Hint(
                "reshaped",
                f"once the directions of {which} are moved: (steps, 2, batch, units), as of ONNX, "
                "was reshaped to (steps, batch, 2 * units) where the axis of the directions had to "
                "be moved before the units first.",
            )
    return None


def halves_exchanged(pair: Pair) -> Hint | None:
    """The halves of the units have changed places, as of a forward and a backward direction."""
    units = pair.a.shape[-1]
    if units < 4 or units % 2:
        return None
    exchanged = pair.a.moved(lambda v: np.roll(v, units // 2, axis=-1))
    if not proves(pair, exchanged, pair.b, pair.agrees):
        return None
    return Hint(
        "halves_exchanged",
        "once the first and the second half of the units change places: the forward and the "
        "backward direction were joined in the other order.",
    )


def half_flipped(pair: Pair) -> Hint | None:
    """One half of the units runs the other way in time, as a backward direction may."""
    units = pair.a.shape[-1]
    if units % 2:
        return None

    def turned(columns: Mask) -> Numbers:
        return pair.a.moved(lambda v: np.where(columns, v[::-1], v))

    first = np.arange(units) < units // 2  # (H,)
    for which, columns in (("second", ~first), ("first", first)):
        if proves(pair, turned(columns), pair.b, pair.agrees):
            return Hint(
                "half_flipped",
                f"once the {which} half of the units is turned round in time: it contains the "
                "backward direction, whose outputs only one side has turned back.",
            )
    return None


def units_permuted(pair: Pair) -> Hint | None:
    """The units of a, in another order, are those of b."""
    order = _order_of_units(pair)
    return order and Hint(
        "units_permuted",
        f"once the units of {{a}} are put in another order ({order}): the rows or columns of "
        "the weights were permuted on one side.",
    )


def batch_permuted(pair: Pair) -> Hint | None:
    """The sequences of a, in another order, are those of b."""
    a, b = (side.moved(lambda v: v.swapaxes(1, 2)) for side in (pair.a, pair.b))
    order = _order_of_units(replace(pair, a=a, b=b))
    return order and Hint(
        "batch_permuted", f"once the sequences of {{a}} are put in another order ({order})."
    )


def _order_of_units(pair: Pair) -> Any:
    """The order in which the units of a are those of b, as a text; None if there is none."""
    order = _unit_order(pair)
    if order is None or not proves(pair, pair.a[..., order], pair.b, pair.agrees):
        return None
    moved = np.count_nonzero(order != np.arange(order.size))
    return ", ".join(map(str, order)) if order.size <= 16 else f"{moved} have moved"


def _unit_order(pair: Pair) -> Array | None:
    """The unit of a that each unit of b is, (H,), judged by some rows; None if there is none.

    Units that agree as they lie stay. Of the others most must have one candidate only: among
    numbers so crowded that any order would do, an order found means nothing.
    """
    if pair.agrees is None or not 1 < pair.a.shape[-1] <= _WIDEST_SEARCH:
        return None
    units = pair.a.shape[-1]
    order = np.where(pair.agrees.all(axis=(0, 1)), np.arange(units), -1)  # (H,)
    moved = np.flatnonzero(order < 0)
    candidates = _candidates(pair, moved)  # (M, M)
    if np.mean(candidates.sum(axis=1) == 1) <= 0.5:
        return None
    free = set(range(moved.size))
    for of_b in np.argsort(candidates.sum(axis=1), kind="stable"):  # the surest choose first
        choice = next((n for n in np.flatnonzero(candidates[of_b]).tolist() if n in free), None)
        if choice is None:
            return None
        free.remove(choice)
        order[moved[of_b]] = moved[choice]
    return order


def _candidates(pair: Pair, moved: Array) -> Mask:
    """(M, M): which of the moved units of a, across, may be which of b, down."""
    a, b = (
        side.moved(lambda v: v.reshape(-1, v.shape[-1])[:, moved])  # (T B, M)
        for side in (pair.a, pair.b)
    )
    possible = np.ones((moved.size, moved.size), bool)
    for row in sorted(set(np.linspace(0, len(a.values) - 1, _SAMPLED_ROWS).astype(int).tolist())):
        possible &= pair.tolerance.agree(a[row : row + 1], b[row, :, None])
    return possible


def units_negated(pair: Pair) -> Hint | None:
    """Some units of a have the other sign in b."""
    if pair.agrees is None:
        return None
    as_is = pair.agrees.all(axis=(0, 1))  # (H,)
    negative = Numbers(-pair.a.values, pair.a.unit)
    negated = ~as_is & pair.tolerance.agree(negative, pair.b).all(axis=(0, 1))
    sign = np.where(negated, -1, 1)
    turned = Numbers(pair.a.values * sign, pair.a.unit)
    if not proves(pair, turned, pair.b, pair.agrees):
        return None
    which = np.flatnonzero(negated)
    listed = ", ".join(str(n) for n in which) if which.size <= 16 else str(which.size) + " of them"
    units = "every unit" if negated.all() else f"unit{'s' * (which.size > 1)} {listed}"
    return Hint("units_negated", f"once the sign of {units} is changed.")


def rescaled(pair: Pair) -> Hint | None:
    """b is a times one number, or a and one number more: of outputs only."""
    if pair.agrees is None or ArrayName.of(pair.name).base not in ("h", "final_h"):
        return None
    a, b = widened(pair.a.values, pair.b.values)
    usable = np.isfinite(a) & np.isfinite(b) & (a != 0)
    if not usable.any():
        return None
    with np.errstate(all="ignore"):
        factor, offset = np.median(b[usable] / a[usable]), np.median(b[usable] - a[usable])
        for constant, moved, once in (
            (factor, pair.a.moved(lambda v: v * factor), f"{{a}} is multiplied by {factor:.4g}"),
            (offset, pair.a.moved(lambda v: v + offset), f"{offset:.4g} is added to {{a}}"),
        ):
            if np.isfinite(constant) and proves(pair, moved, pair.b, pair.agrees):
                return Hint(
                    "rescaled",
                    f"once {once}. One side may be what comes after the LSTM: a scale, dropout, a "
                    "normalisation, a bias.",
                )
    return None


def rounded(pair: Pair) -> Hint | None:
    """All numbers of one side have few digits, as ``--digits`` writes, and the other's round so."""
    for side, other, few, full in ((pair.a, pair.b, "{a}", "{b}"), (pair.b, pair.a, "{b}", "{a}")):
        digits, unit = _rounded_to(side)
        if unit is None or pair.agrees is None:
            continue
        known = Numbers(side.values, unit)
        a, b = (known, other) if side is pair.a else (other, known)
        if proves(pair, a, b, pair.agrees):
            places = f"{digits} digit{'s' * (digits != 1)} after the point"
            return Hint("rounded", f"once {full} is rounded to {places}, as all of {few} are.")
    return None


def _rounded_to(side: Numbers) -> tuple[int, Array | None]:
    """The digits after the point to which an exact side was rounded, and the unit of each number.

    Whole numbers are what they are, and no rounding.
    """
    values = side.values
    if side.unit is not None or values.dtype.kind != "f" or not np.isfinite(values).all():
        return 0, None
    digits, unit = last_places(values, _MOST_DIGITS)
    spacing = np.finfo(values.dtype).eps * np.abs(values.astype(np.float64))
    if not digits or unit is None or (unit < 64 * spacing).any():
        return 0, None  # too many numbers of the type have so many by chance
    return digits, unit


def shifted_by_one(pair: Pair) -> Hint | None:
    """The steps of one side come one step later in the other."""
    if pair.agrees is None or len(pair.a.values) < 2:
        return None
    late = proves(pair, pair.a[1:], pair.b[:-1], pair.agrees[:-1])
    early = not late and proves(pair, pair.a[:-1], pair.b[1:], pair.agrees[1:])
    if not (late or early):
        return None
    behind, ahead = ("{a}", "{b}") if late else ("{b}", "{a}")
    first = (pair.a if late else pair.b)[:1]
    text = f"Step 0 of {behind} is missing in {ahead}."
    if pair.tolerance.agree(first.moved(np.zeros_like), first).all():
        text = (
            f"Step 0 of {behind} is zero: the state before the first step, inputs that come one "
            f"step later, or a step that {ahead} lacks."
        )
    return Hint(
        "shifted_by_one",
        f"once shifted by one step: step 1 of {behind} is step 0 of {ahead}, and so on. {text}",
    )


def part_of_steps(pair: Pair) -> Hint | None:
    """One side contains some successive steps of the other."""
    steps, more = len(pair.a.values), len(pair.b.values)
    if steps == more or pair.a.shape[1:] != pair.b.shape[1:]:
        return None
    short, long = min(steps, more), max(steps, more)
    for start in range(long - short + 1):
        window = slice(start, start + short)
        a, b = (s[window] if len(s.values) == long else s for s in (pair.a, pair.b))
        if proves(pair, a, b, None):
            typed = f": --steps {start}:{start + short} compares these" * (not pair.numbers[0])
            return _part(start, short, long, a_is_part=steps < more, typed=typed)
    return None


def _part(start: int, short: int, long: int, a_is_part: bool, typed: str) -> Hint:
    part, full = ("{a}", "{b}") if a_is_part else ("{b}", "{a}")
    if start == 1 and long == short + 1 and short > 1:
        return Hint(
            "shifted_by_one",
            f"once the first step of {full} is left out: it is the initial state, or {part} "
            "lacks it.",
        )
    steps = f"the {short} steps in {part}, which are {start} to {start + short - 1} of {full}"
    if short == 1:
        which = "the last one" if start == long - 1 else f"step {start}"
        steps = f"the only step in {part}, which is {which} of {full}"
    return Hint("part_of_steps", f"in {steps}; {full} has {long} steps{typed}.")


def transposed(pair: Pair) -> Hint | None:
    """A matrix of weights is stored the other way round."""
    if pair.a.ndim != 2 or not proves(pair, pair.a.moved(np.transpose), pair.b, pair.agrees):
        return None
    return Hint("transposed", "once one of them is transposed.")


def gates_permuted(pair: Pair) -> Hint | None:
    """The four blocks of gates in the weights stand in another order."""
    for axis in range(pair.a.values.ndim):
        if pair.agrees is None or pair.a.shape[axis] % 4 or not pair.a.shape[axis]:
            continue
        for order, moved in _block_orders(pair.a, axis):
            if proves(pair, moved, pair.b, pair.agrees):
                blocks = ", ".join(str(n) for n in order)
                return Hint(
                    "gates_permuted",
                    f"once the four blocks of {{a}} along axis {axis} are put in the order "
                    f"{blocks}: the sides store the gates in different orders.",
                )
    return None


def _block_orders(numbers: Numbers, axis: int) -> Iterator[tuple[tuple[int, ...], Numbers]]:
    """The quarters of an axis in every order but the one they have."""
    quarter = numbers.shape[axis] // 4
    for order in list(permutations(range(4)))[1:]:
        index = np.concatenate([np.arange(n * quarter, (n + 1) * quarter) for n in order])
        yield order, numbers.moved(partial(np.take, indices=index, axis=axis))


# Tried from top to bottom; the first that holds is reported. Simple before general: a full turn
# before half of one, exchanged halves before any order of the units.
OF_PLACED: tuple[Callable[[Pair], Hint | None], ...] = (
    rounded,
    units_negated,
    halves_exchanged,
    units_permuted,
    rescaled,
)
OF_STEPS: tuple[Callable[[Pair], Hint | None], ...] = (
    time_flipped,
    axes_swapped,
    axes_permuted,
    reshaped,
    directions_reshaped,
    batch_permuted,
    shifted_by_one,
    part_of_steps,
    half_flipped,
    *OF_PLACED,
)
OF_WEIGHTS: tuple[Callable[[Pair], Hint | None], ...] = (rounded, transposed, gates_permuted)


def rearranged(pair: Pair) -> Hint | None:
    """The first rearrangement under which a pair that differs is equal."""
    if pair.equal or not pair.a.values.size or not pair.b.values.size:
        return None
    if not pair.placed:
        table = OF_WEIGHTS if pair.kind == WEIGHTS else ()
    else:
        table = OF_STEPS if pair.stepwise else OF_PLACED
    return next((finding for test in table if (finding := test(pair))), None)
