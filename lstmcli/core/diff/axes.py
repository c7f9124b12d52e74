"""Two arrays of one name, brought to the same axes and cut to what is to be compared.

1. By their layouts both are (T, B, H); last states are (1, B, H).
2. Both are cut to the steps, batch items and units that both contain, by their files.
3. If their shapes still differ, `placing` looks for a run on which both lie.
4. Both are cut to what is selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np

from lstmcli.core.diff.by_layout import layout_by_shape, sequence
from lstmcli.core.diff.operand import FINAL, WEIGHTS, Side
from lstmcli.core.diff.pair import ENDS, ON_RUN, Pair, Taken
from lstmcli.core.diff.placing import Choices, Search, has_axis_of_cells, indices_chosen
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.directions import possible_axes, side_by_side
from lstmcli.core.model.part import AXES, Indices, counts_from_0, format_indices, take
from lstmcli.core.model.selection import Choice, numbers_on_axis
from lstmcli.errors import SettingsToTry, UserError

NO_AXES_SELECTED = (
    "in full, as no file tells which axes are those of cells and batch items"
)


def align(pair: Pair, sides: Sequence[Side], choices: Choices) -> Pair:
    """Bring both sides to the same axes, as far as layouts, files and numbers tell.

    Axes of length 1 are added and dropped. Then both sides are cut to what they share, and to
    the selection, unless the shorter one is the selection.
    """
    if pair.kind == WEIGHTS:
        return pair
    common = _placed_by_layout(pair, sides)
    if common.placed:
        for axis, choice in enumerate(choices):
            common = _cut_to_common(common, sides, axis, choice)
    if common.agrees is None or (_may_be_stacked(pair) and not common.numbers_agree):
        common = Search(pair, sides, choices).best(common)
    return _cut_to_selection(common, choices, sides)


# ---- by layout


def _may_be_stacked(pair: Pair) -> bool:
    """Return whether an array may have an axis of directions, or of cells."""
    axes = 3 if pair.kind == FINAL else 4
    return max(len(pair.a.shape), len(pair.b.shape)) == axes


def _placed_by_layout(pair: Pair, sides: Sequence[Side]) -> Pair:
    """Both sides as (T, B, H), or as they lie where they have more axes."""
    if pair.kind == FINAL:
        return _placed_state(pair, sides)
    of_a, of_b = (side.layout for side in sides)
    a, b = pair.a, pair.b
    axis = _axis_of_directions(a, b, "batch" if "batch" in (of_a, of_b) else None)
    if axis is not None:
        a, b = (x.moved(partial(side_by_side, axis=axis)) for x in (a, b))
    usual = of_a or of_b or layout_by_shape(a, b)
    if usual == "batch" and len(a.shape) == len(b.shape) == 2:
        # of sequences (B, H) without steps: an end of each
        last = pair.moved(lambda v: v[None])
        return replace(last, placement=ENDS)
    one, other = sequence(a, of_a or usual), sequence(b, of_b or usual)
    if one is None or other is None:
        return replace(pair, a=a, b=b)
    return replace(pair, a=one, b=other, placement=ON_RUN)


def _placed_state(pair: Pair, sides: Sequence[Side]) -> Pair:
    """Last states as (1, B, H), if only one axis besides the units is longer than 1."""
    for array, side in zip((pair.a, pair.b), sides, strict=True):
        lead = [size for size in array.shape[:-1] if size != 1]
        if len(lead) > 1 or has_axis_of_cells(array, side):
            return pair
    flat = pair.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1]))
    return replace(flat, placement=ON_RUN)


def _axis_of_directions(a: Numbers, b: Numbers, layout: str | None) -> int | None:
    """The axis on which both sides have stacked directions, if there is one."""
    if a.shape[0] == 1 or b.shape[0] == 1:
        return None
    of_b = possible_axes(b.shape, layout)
    common = [axis for axis in possible_axes(a.shape, layout) if axis in of_b]
    return common[0] if common else None


# ---- what both sides contain


def _cut_to_common(
    pair: Pair, sides: Sequence[Side], axis: int, choice: Choice | None
) -> Pair:
    """The pair cut to what both sides contain of an axis, by their files or the selection.

    It stays as it is where these do not tell: the lengths may then differ.
    """
    known = _indices_in_files(pair, sides, axis)
    if known == [None, None]:
        return _cut_to_selected_side(pair, sides, axis, choice)
    both = _indices_of_both(pair, known, axis)
    parts = []
    for side, indices in enumerate(both):
        if known[side] is not None and _is_part(indices, both[1 - side]):
            parts.append((side, (AXES[axis], indices, pair.name)))
    if not parts:
        return pair
    return replace(_cut_to_both(pair, axis, both), parts=(*pair.parts, *parts))


def _indices_in_files(
    pair: Pair, sides: Sequence[Side], axis: int
) -> list[Indices | None]:
    """The indices in the full run that each file gives of an axis; of states, of the batch."""
    if pair.kind == FINAL and axis != 1:
        return [None, None]
    arrays = (pair.a, pair.b)
    return [
        side.indices(pair.name, axis, array.shape[axis])
        for side, array in zip(sides, arrays, strict=True)
    ]


def _cut_to_selected_side(
    pair: Pair, sides: Sequence[Side], axis: int, choice: Choice | None
) -> Pair:
    """The pair with its longer side cut, if the shorter one has what is selected of it."""
    sizes = [pair.a.shape[axis], pair.b.shape[axis]]
    if choice is None or sizes[0] == sizes[1]:
        return pair
    short = 0 if sizes[0] < sizes[1] else 1
    chosen = indices_chosen(choice, sizes[1 - short])
    if sides[short].settings is not None or len(chosen) != sizes[short]:
        return pair
    part, full = pair.names[short], pair.names[1 - short]
    taken = Taken(part, f"{choice.option} {choice.text} of {full}")
    placement = pair.placement._replace(taken=(*pair.placement.taken, taken))
    pair = replace(pair, placement=placement)
    known: list[Indices | None] = [None, None]
    known[short] = chosen
    both = _indices_of_both(pair, known, axis)
    if not _is_part(both[short], both[1 - short]):
        return pair
    return _cut_to_both(pair, axis, both)


def _indices_of_both(
    pair: Pair, known: Sequence[Indices | None], axis: int
) -> list[Indices]:
    """The indices that each side contains of an axis; () where nothing tells.

    A side without indices counts from 0 if it then has those of the other one. Of equal length,
    it has the same ones.
    """
    both: list[Indices] = []
    for array, ours, theirs in zip((pair.a, pair.b), known, known[::-1], strict=True):
        size = array.shape[axis]
        if ours is not None:
            both.append(ours)
        elif theirs and theirs[-1] < size:
            both.append(range(size))
        elif theirs and len(theirs) == size:
            both.append(theirs)
        else:
            both.append(())
    return both


def _is_part(ours: Indices, theirs: Indices) -> bool:
    """Return whether the other side may have what these indices leave out."""
    return len(theirs) > 0 and not (counts_from_0(ours) and ours[-1] >= theirs[-1])


def _cut_to_both(pair: Pair, axis: int, both: Sequence[Indices]) -> Pair:
    """The pair cut to the indices of an axis that both sides contain."""
    common = np.intersect1d(both[0], both[1]).tolist()
    if not common:
        one, other = map(format_indices, both)
        text = f"one side contains {AXES[axis]} {one}, the other {other}"
        raise UserError(f"{pair.name}: {text}; they have none in common.")
    places = [np.searchsorted(indices, common).tolist() for indices in both]
    return _cut(pair, axis, common, places)


def _cut(pair: Pair, axis: int, in_run: Indices, places: Sequence[Indices]) -> Pair:
    """The pair cut to ``places`` of an axis of a and of b, which are ``in_run`` in the run."""
    a = pair.a.moved(partial(take, numbers=places[0], axis=axis))
    b = pair.b.moved(partial(take, numbers=places[1], axis=axis))
    of_axes = list(pair.indices)
    of_axes[axis] = in_run
    return replace(pair, a=a, b=b, indices=tuple(of_axes))


# ---- what is selected


def _cut_to_selection(pair: Pair, choices: Choices, sides: Sequence[Side]) -> Pair:
    """The pair cut to what is selected, unless its smaller side is that."""
    if not pair.placed:
        if pair.kind != FINAL or not any(choices):
            return pair
        placement = pair.placement._replace(why_not=NO_AXES_SELECTED)
        return replace(pair, placement=placement)
    for axis, choice in enumerate(choices):
        if choice is None or choice.is_all:
            continue
        is_by_files = any(side.part[axis] for side in sides)
        is_cut = axis < 2 and pair.indices[axis] is not None and not is_by_files
        if not is_cut:
            pair = _cut_to_choice(pair, axis, choice, sides)
    return pair


def _cut_to_choice(
    pair: Pair, axis: int, choice: Choice, sides: Sequence[Side]
) -> Pair:
    known = pair.indices[axis]
    try:
        _, of_a = numbers_on_axis(choice, pair.a.shape[axis], known, pair.name)
        in_run, of_b = numbers_on_axis(choice, pair.b.shape[axis], known, pair.name)
    except UserError as error:
        if axis == 2 or _are_axes_known(pair, sides):
            raise
        assumed = f"  The first axis of {pair.name} is assumed to be time."
        raise error.adding(assumed, try_=[SettingsToTry({"layout": "batch"})]) from None
    return _cut(pair, axis, in_run, (of_a, of_b))


def _are_axes_known(pair: Pair, sides: Sequence[Side]) -> bool:
    """Return whether steps and sequences are known, or there is only one of either."""
    has_one = min(pair.a.shape[:2]) == 1 and min(pair.b.shape[:2]) == 1
    has_layout = any(side.layout for side in sides)
    return pair.placement.names_axes or has_one or has_layout
