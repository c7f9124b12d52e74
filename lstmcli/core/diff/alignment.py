"""Two arrays of one name, brought to the same axes and cut to what is to be compared."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import FINAL, SEQUENCE, WEIGHTS, ArrayName
from lstmcli.core.diff.axes import (
    Candidate,
    Constraints,
    Layouts,
    among,
    arrange,
    joined,
    layout_by_shape,
    sequence,
    without_ones,
)
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Numbers, Tolerance
from lstmcli.core.model.axis_numbers import AXES, UNNUMBERED, AxisNumbers, counts_from_0
from lstmcli.core.model.selection import (
    EVERYTHING,
    Choice,
    Indices,
    Selection,
    format_indices,
    numbers_on_axis,
    take,
)
from lstmcli.errors import UserError

Sides = tuple[Numbers, Numbers]
Choices = list[Choice | None]
"""Of steps, batch items and units."""


class Known(NamedTuple):
    """What two sides say of an array, and what of it is to be compared.

    ``layouts`` say where time lies on either side: "steps" (T, H), "time" (T, B, H) or "batch"
    (B, T, H). A side that does not say (None) takes the other's, unless only the other layout gives
    it as many steps; two silent sides are compared as they lie, the first axis as time.
    """

    name: str
    tolerance: Tolerance
    layouts: Layouts = (None, None)
    backward: bool | None = False
    numbering: tuple[AxisNumbers, AxisNumbers] = (UNNUMBERED, UNNUMBERED)
    selection: Selection = EVERYTHING
    counted: tuple[bool, bool] = (False, False)  # it is a whole trace, and counts from 0
    cells: tuple[int, int] = (1, 1)  # that have arrays in the file of either side

    def numbers(self, side: int, axis: int) -> Indices | None:
        """The numbers of the batch items or units that a side says it contains of the full run."""
        of_side = self.numbering[side]
        if axis == 1 or ArrayName.of(self.name).kind != SEQUENCE:
            return of_side.batch if axis == 1 else None
        return of_side.columns.get(self.name)


def align(a: Numbers, b: Numbers, known: Known) -> Pair:
    """Bring an array of each side into the same axes, as far as names, layouts and numbers allow.

    Axes of length 1 are added and dropped, except the last, which is the units'. Where a side has
    some steps of a run, both are cut to those that both contain; then to what is selected, of which
    a shorter side may be all.
    """
    sides = a, b = a.moved(np.atleast_1d), b.moved(np.atleast_1d)
    pair = Pair(known.name, a, b, known.tolerance, backward=known.backward)
    if pair.kind == WEIGHTS:
        return pair
    choices: Choices = [*known.selection[:3]]
    if pair.kind == FINAL:
        choices[0] = None
    known, text = _with_layout_of_run(known, sides)
    pair = _as_they_lie(replace(pair, taken_as=text, axes_known=bool(text)), known)
    cut, left = _as_selected(pair, choices, known)
    if cut.agrees is not None:
        pair, choices = cut, left
    if pair.agrees is None or (a.ndim == 4 and not pair.numbers_agree):
        sides = (pair.a, pair.b) if pair.is_part else sides
        layouts: Layouts = ("time", "time") if pair.is_part else known.layouts
        asked = Constraints(known.tolerance, layouts, pair.kind == FINAL, choices[:2])
        pair, choices = _arranged(pair, sides, asked, choices, known)
    return _selected(_numbered(pair, known), choices, known)


def _as_they_lie(pair: Pair, known: Known) -> Pair:
    """Both sides as (T, B, H) by their layouts; last states of several cells by their own axes."""
    a, b = pair.a, pair.b
    if pair.kind == FINAL:
        several = [x.ndim > 2 and n > 1 for x, n in zip((a, b), known.cells, strict=True)]
        if max(len(without_ones(a)), len(without_ones(b))) > 1 or any(several):
            return pair
        a, b = (x.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1])) for x in (a, b))
        return replace(pair, a=a, b=b, placed=True)
    axes = (2, 1) if "batch" in known.layouts else (1, 2)
    axis = next((n for n in axes if a.shape[n:-1][:1] == b.shape[n:-1][:1] == (2,)), None)
    if a.ndim == b.ndim == 4 and not a.shape[0] == b.shape[0] == 1 and axis is not None:
        a, b = joined(a, axis), joined(b, axis)
    said = known.layouts[0] or known.layouts[1] or layout_by_shape(a, b)
    one, other = (sequence(x, of or said) for x, of in zip((a, b), known.layouts, strict=True))
    if one is None or other is None:
        return replace(pair, a=a, b=b)
    return _cut_to_common(replace(pair, a=one, b=other, placed=True), known.numbering)


def _with_layout_of_run(known: Known, sides: Sides) -> tuple[Known, str]:
    """The layout of a side that names none and has all steps of the run the other is a part of."""
    for n, silent in enumerate(sides):
        steps, said = known.numbering[1 - n].of_steps, known.layouts[1 - n]
        if known.layouts[n] is None and said in ("batch", "time") and silent.ndim == 3:
            as_said, other = silent.shape[1::-1] if said == "batch" else silent.shape[:2]
            if as_said != steps == other:
                layout = "time" if said == "batch" else "batch"
                text = f"{_as_axes(n, layout)}, which gives it the {steps} steps of the run"
                return known._replace(layouts=(layout, said) if n == 0 else (said, layout)), text
    return known, ""


def _as_axes(side: int, layout: str | None) -> str:
    lead = "batch, steps" if layout == "batch" else "steps, batch"
    return f"{{{'ab'[side]}}} as ({lead}, units)"


# ---- what of a run is compared


def _cut_to_common(pair: Pair, numbering: tuple[AxisNumbers, AxisNumbers]) -> Pair:
    """A pair cut to the steps that both contain, where a side says that it has some only.

    A side that does not say counts from 0, if it is then long enough to contain all of the other's;
    if it has just as many, it has the other's.
    """
    sizes = len(pair.a.values), len(pair.b.values)
    known = [
        side.steps if side.steps is not None and 0 < len(side.steps) == size else None
        for side, size in zip(numbering, sizes, strict=True)
    ]
    steps: list[Indices] = []
    for ours, theirs, size in zip(known, known[::-1], sizes, strict=True):
        if ours is None and theirs is not None:
            ours = range(size) if theirs[-1] < size else theirs if size == len(theirs) else None
        if ours is None:
            return pair
        steps.append(ours)
    common = np.intersect1d(steps[0], steps[1]).tolist()
    if not common:
        one, other = map(format_indices, steps)
        text = f"one side contains steps {one}, the other {other}; they have none in common."
        raise UserError(f"{pair.name}: {text}")
    parts = [
        None if ours is None or (counts_from_0(ours) and ours[-1] >= theirs[-1]) else ours
        for ours, theirs in zip(known, steps[::-1], strict=True)
    ]
    if parts == [None, None]:
        return pair
    a, b = (
        _taken(side, np.searchsorted(own, common).tolist(), 0)
        for side, own in zip((pair.a, pair.b), steps, strict=True)
    )
    numbers = (None if counts_from_0(common) and not pair.backward else common, None, None)
    return replace(pair, a=a, b=b, numbers=numbers, parts=(parts[0], parts[1]))


def _as_selected(pair: Pair, choices: Choices, known: Known) -> tuple[Pair, Choices]:
    """A pair whose longer side is cut to what is selected, and the other choices.

    That is so on an axis of which the shorter side has as many as are selected.
    """
    left, sides, numbers = [*choices], [pair.a, pair.b], [*pair.numbers]
    taken: tuple[list[str], list[str]] = ([], [])
    for axis, choice in enumerate(choices if pair.placed else ()):
        sizes = pair.a.shape[axis], pair.b.shape[axis]
        if choice is None or numbers[axis] is not None or sizes[0] == sizes[1]:
            continue
        picked, shorter = among(choice, max(sizes)) or (), sizes.index(min(sizes))
        said = known.numbers(shorter, axis) if axis else None
        fits = [*said] == [*picked] if said is not None else not known.counted[shorter]
        if len(picked) == min(sizes) and fits:
            sides[1 - shorter] = _taken(sides[1 - shorter], picked, axis)
            numbers[axis], left[axis] = picked, None
            taken[shorter].append(f"{choice.option} {choice.text}")
    texts = [pair.taken_as]
    for (side, run), options in zip((("a", "b"), ("b", "a")), taken, strict=True):
        texts.append(f"{{{side}}} is taken as {' '.join(options)} of {{{run}}}" * bool(options))
    taken_as, (a, b) = "; ".join(filter(None, texts)), sides
    return replace(pair, a=a, b=b, numbers=tuple(numbers), taken_as=taken_as), left


def _arranged(
    pair: Pair, sides: Sides, asked: Constraints, choices: Choices, known: Known
) -> tuple[Pair, Choices]:
    """A pair in the axes in which one side lies on the other, or with why none are known.

    What is selected of the steps and sequences is then named by these.
    """
    plain = [] if pair.agrees is None else [Candidate(0.0, pair.a, pair.b)]
    best, why = arrange(*sides, asked, plain)
    sizes = zip(sides, known.cells, strict=True)
    several = asked.is_state and any(side.ndim > 2 and n > 1 for side, n in sizes)
    if best is None or best in plain or (several and best.is_half):
        cells = "the last states of several cells, on an axis that the other side lacks"
        return replace(pair, unaligned="" if plain else why or cells * several), choices
    numbers = tuple(
        had if n is None else n if had is None else [had[m] for m in n]
        for had, n in zip(pair.numbers, best.numbers, strict=True)
    )
    is_half = best.is_half and choices[2] is None  # or it is named
    pair = replace(pair, a=best.a, b=best.b, placed=True, numbers=numbers, is_half=is_half)
    text = best.taken_as.replace("{agrees}", "agrees" if pair.numbers_agree else "is nearest")
    taken_as = "; ".join(filter(None, [pair.taken_as, text]))
    pair = replace(pair, taken_as=taken_as, axes_known=pair.axes_known or best.axes_known)
    steps, items, units = choices
    left = [c if n is None else None for c, n in zip((steps, items), best.numbers, strict=False)]
    return pair, [*left, units]


def _numbered(pair: Pair, known: Known) -> Pair:
    """A pair with the numbers of its batch items and units, or what to select where they differ."""
    numbers, texts, options = [*pair.numbers], [], []
    for axis, option in ((1, "--batch"), (2, "--units")) if pair.placed else ():
        said = [known.numbers(0, axis), known.numbers(1, axis)]
        sizes = [side.shape[axis] for side in (pair.a, pair.b)]
        shorter = sizes.index(min(sizes))
        shown = [format_indices(n) for n in said if n is not None]
        part = said[shorter] if said[shorter] is not None else said[1 - shorter]
        if part is None or numbers[axis] is not None:
            continue
        if sizes[0] != sizes[1]:
            quarter = axis == 2 and ArrayName.of(pair.name).base == "z"  # of z: those of a gate
            options += [option, format_indices(part[: len(part) // 4] if quarter else part)]
            texts.append(f"{{{'ab'[shorter]}}} contains {AXES[axis]} of a run")
        elif len({*shown}) > 1:
            text = f"one side contains {AXES[axis]} {shown[0]}, the other {shown[1]}"
            raise UserError(f"{pair.name}: {text}; write both with the same {option}.")
        elif len(part) == sizes[0] and not counts_from_0(part):
            numbers[axis] = part
    if texts:
        text = f"{' and '.join(texts)}: type {' '.join(options)}, or write both with it"
        pair = replace(pair, unaligned=text)
    return replace(pair, numbers=tuple(numbers))


def _selected(pair: Pair, choices: Choices, known: Known) -> Pair:
    """A placed pair cut to what is selected of each axis, by the numbers of the run."""
    if not pair.placed and pair.kind == FINAL and any(choices):
        text = "in full, as no file tells which axes are those of cells and batch items"
        return replace(pair, unaligned=text)
    numbers, sides = [*pair.numbers], [pair.a, pair.b]
    for axis, choice in enumerate(choices if pair.placed else ()):
        if choice is None or choice.is_all:
            continue
        for n, side in enumerate(sides):
            size, of_part = side.shape[axis], pair.numbers_of_part(axis)
            try:
                numbers[axis], places = numbers_on_axis(choice, size, of_part, pair.name)
            except UserError as error:
                is_assumed = axis < 2 and known.layouts == (None, None) and not pair.axes_known
                raise UserError(*error.lines, *_as_assumed(pair) * is_assumed) from None
            sides[n] = _taken(side, places, axis)
    return replace(pair, a=sides[0], b=sides[1], numbers=tuple(numbers))


def _as_assumed(pair: Pair) -> list[str]:
    """What is said where neither side tells which axis is which."""
    if min(pair.a.shape[:2]) < 2 and min(pair.b.shape[:2]) < 2:
        return []
    text = f"  The first axis of {pair.name} is taken as time (not in the files; --layout batch)."
    return [text]


def _taken(side: Numbers, indices: Indices, axis: int) -> Numbers:
    return side.moved(lambda array: take(array, indices, axis))
