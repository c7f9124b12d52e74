"""Two arrays of one name, brought to the same axes and cut to what is to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from lstmcli.core.diff.array_name import FINAL, WEIGHTS
from lstmcli.core.diff.axes import Choices, among, arrange, several_cells
from lstmcli.core.diff.operand import Side, joined, layout_by_shape, padded_steps, sequence
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import AXES, counts_from_0
from lstmcli.core.model.selection import Indices, format_indices, numbers_on_axis, take
from lstmcli.errors import Try, UserError


def align(pair: Pair, sides: Sequence[Side], choices: Choices) -> Pair:
    """Bring the sides of a pair into the same axes, as far as layouts and numbers allow.

    Axes of length 1 are added and dropped, except the last, which is the units'. Both sides
    are cut to what both contain of each axis, and to what is selected; the shorter one may be
    all of that.
    """
    a, b = pair.a.moved(np.atleast_1d), pair.b.moved(np.atleast_1d)
    pair = replace(pair, a=a, b=b)
    if pair.kind == WEIGHTS:
        return pair
    pair = _as_they_lie(pair, sides)
    common, left = _common(pair, sides, choices)
    stacked = a.ndim == (3 if pair.kind == FINAL else 4)
    if common.agrees is None or (stacked and not (common.parts or common.numbers_agree)):
        best, why = arrange(pair, (a, b), sides, choices)
        if best is not None:  # the steps and sequences that are selected are those it names
            named = [best.numbers[axis] is not None for axis in (0, 1)] + [False]
            left = tuple(None if n else one for n, one in zip(named, choices, strict=True))
            common = best
        elif common.agrees is None:
            common = replace(common, unaligned=why)
    return _selected(common, left, sides)


def without_padding(pair: Pair, sides: Sequence[Side]) -> Pair:
    """A pair whose padded steps are zero on both sides, and marked as not compared."""
    if not pair.stepwise or pair.agrees is None:
        return pair
    padded = padded_steps(sides, *(pair.numbers[n] or range(pair.a.shape[n]) for n in (0, 1)))
    if not padded.any():
        return pair

    def zeroed(array: Array) -> Array:
        return np.where(padded[..., None], array.dtype.type(0), array)

    a, b = pair.a.moved(zeroed), pair.b.moved(zeroed)
    return replace(pair, a=a, b=b, padded=padded)


_EXCHANGED = {"batch": ("time", "steps, batch"), "time": ("batch", "batch, steps")}


def _as_they_lie(pair: Pair, sides: Sequence[Side]) -> Pair:
    """Both sides as (T, B, H) by their layouts; last states of several cells by their axes."""
    a, b = pair.a, pair.b
    if pair.kind == FINAL:
        several = any(np.count_nonzero(np.not_equal(x.shape[:-1], 1)) > 1 for x in (a, b))
        if several or several_cells((a, b), sides):
            return pair
        a, b = (x.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1])) for x in (a, b))
        return replace(pair, a=a, b=b, placed=True)
    layouts = [side.layout for side in sides]
    for n, silent in enumerate((a, b)):  # that has all steps of the run the other is a part of
        steps, said = sides[1 - n].numbering.of_steps, layouts[1 - n]
        if layouts[n] is None and said in _EXCHANGED and silent.ndim == 3:
            as_said, if_not = silent.shape[1::-1] if said == "batch" else silent.shape[:2]
            if as_said != steps == if_not:
                layouts[n], lead = _EXCHANGED[said]
                text = f"{{{'ab'[n]}}} is interpreted as ({lead}, units), with the {steps} steps"
                pair = replace(pair, taken_as=f"{text} as the run has", axes_known=True)
    axes = (2, 1) if "batch" in layouts else (1, 2)
    axis = next((n for n in axes if a.shape[n:-1][:1] == b.shape[n:-1][:1] == (2,)), None)
    if a.ndim == b.ndim == 4 and not a.shape[0] == b.shape[0] == 1 and axis is not None:
        a, b = joined(a, axis), joined(b, axis)
    said = layouts[0] or layouts[1] or layout_by_shape(a, b)
    one, other = (sequence(x, of or said) for x, of in zip((a, b), layouts, strict=True))
    if one is None or other is None:
        return replace(pair, a=a, b=b)
    return replace(pair, a=one, b=other, placed=True)


# ---- what of a run is compared


def _common(pair: Pair, sides: Sequence[Side], choices: Choices) -> tuple[Pair, Choices]:
    """A placed pair cut to what both sides contain of each axis, and what is left to select.

    An axis stays as it is where its lengths differ and neither the files nor a choice tell why.
    """
    left = [*choices]
    for axis, choice in enumerate(choices if pair.placed else ()):
        sizes = [array.shape[axis] for array in (pair.a, pair.b)]
        of_files = [
            side.indices(pair.name, axis, size) if pair.kind != FINAL or axis == 1 else None
            for side, size in zip(sides, sizes, strict=True)
        ]
        short = sizes.index(min(sizes))
        may_be_all = sizes[0] != sizes[1] and sides[short].settings is None
        both = _indices(of_files, sizes, among(choice, max(sizes)) if may_be_all else None)
        if both is None:
            continue
        parts = [
            (n, AXES[axis], ours)
            for n, ours in enumerate(both)
            if of_files[n] is not None
            if not (counts_from_0(ours) and ours[-1] >= both[1 - n][-1])
        ]
        if choice is not None and of_files == [None, None]:
            one, other = ("{a}", "{b}") if short == 0 else ("{b}", "{a}")
            text = f"{one} is interpreted as {choice.option} {choice.text} of {other}"
            pair = replace(pair, taken_as="; ".join(filter(None, [pair.taken_as, text])))
            left[axis], parts = None, []
        elif not parts:
            continue
        common = np.intersect1d(both[0], both[1]).tolist()
        if not common:
            one, other = map(format_indices, both)
            text = f"one side contains {AXES[axis]} {one}, the other {other}; they have none in"
            raise UserError(f"{pair.name}: {text} common.")
        a, b = (
            _taken(side, np.searchsorted(indices, common).tolist(), axis)
            for side, indices in zip((pair.a, pair.b), both, strict=True)
        )
        numbers = (*pair.numbers[:axis], common, *pair.numbers[axis + 1 :])
        pair = replace(pair, a=a, b=b, numbers=numbers, parts=(*pair.parts, *parts))
    return pair, tuple(left)


def _indices(
    of_files: Sequence[Indices | None], sizes: Sequence[int], selected: Indices | None
) -> list[Indices] | None:
    """Tell what each side contains of an axis; None if neither its file nor the selection tells it.

    A side that does not tell counts from 0, if it is then long enough to contain all of the
    other's; if it has just as many, it has the other's, or what is selected of the longer one.
    """
    found: list[Indices] = []
    for ours, theirs, size in zip(of_files, of_files[::-1], sizes, strict=True):
        if ours is None and theirs is not None:
            ours = range(size) if theirs[-1] < size else theirs if size == len(theirs) else None
        elif ours is None and selected:
            all_of_it = range(size) if size == max(sizes) else None
            ours = selected if len(selected) == size < max(sizes) else all_of_it
        if ours is None:
            return None
        found.append(ours)
    return found


def _selected(pair: Pair, choices: Choices, sides: Sequence[Side]) -> Pair:
    if not pair.placed and pair.kind == FINAL and any(choices):
        text = "in full, as no file tells which axes are those of cells and batch items"
        return replace(pair, unaligned=text)
    arrays, numbers = [pair.a, pair.b], [*pair.numbers]
    for axis, choice in enumerate(choices if pair.placed else ()):
        for n, side in enumerate(arrays if choice is not None and not choice.is_all else ()):
            size, of_part = side.shape[axis], pair.numbers[axis]
            try:
                numbers[axis], places = numbers_on_axis(choice, size, of_part, pair.name)
            except UserError as error:
                silent = all(side.layout is None for side in sides) and not pair.axes_known
                several = any(min(side.shape[:2]) > 1 for side in (pair.a, pair.b))
                if axis == 2 or not (silent and several):
                    raise
                axes = f"  The first axis of {pair.name} is assumed to be time."
                raise error.adding(axes, try_=[Try({"layout": "batch"})]) from None
            arrays[n] = _taken(side, places, axis)
    return replace(pair, a=arrays[0], b=arrays[1], numbers=tuple(numbers))


def _taken(side: Numbers, indices: Indices, axis: int) -> Numbers:
    return side.moved(lambda array: take(array, indices, axis))
