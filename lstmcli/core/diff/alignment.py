"""Two arrays of one name, brought to the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from math import prod
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.axes import (
    Candidate,
    Layouts,
    arrange,
    directions_joined,
    joined,
    nearest,
    several_axes,
    without_ones,
)
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import (
    AXES,
    UNNUMBERED,
    AxisNumbers,
    counts_from_0,
)
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

SEQUENCE, FINAL, WEIGHTS = "sequence", "final", "weights"

# The order of a step: pre-activations, gates, c, h. With peepholes o comes after c, but as a
# place to look at, a gate comes before what is made of it.
STEP_ORDER = ("z", "i", "f", "g", "o", "c", "h")
FINALS = ("final_c", "final_h")


@dataclass(frozen=True)
class ArrayName:
    """``layer0_reverse.f`` in its parts."""

    prefix: str  # "layer0_reverse", or ""
    base: str  # "f"

    @classmethod
    def of(cls, name: str) -> ArrayName:
        """The parts of a name; weights keep all of it in ``base``."""
        prefix, _, base = name.rpartition(".")
        return cls(prefix, base) if base in STEP_ORDER + FINALS else cls("", name)

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        if self.base in STEP_ORDER:
            return SEQUENCE
        return FINAL if self.base in FINALS else WEIGHTS

    @property
    def backward(self) -> bool:
        """Whether the last step was computed first."""
        return self.prefix.endswith("_reverse")

    @property
    def layer(self) -> tuple[int, str, str]:
        """Sorts layer 2 before layer 10, and within a layer forward before backward."""
        digits = "".join(letter for letter in self.prefix if letter.isdecimal())
        return len(digits), digits, self.prefix


@dataclass(frozen=True, eq=False)
class Pair:
    """An array of a and one of b, aligned, and the test they have to pass.

    Sequences are (T, B, H), final states (1, B, H); weights, and sequences with more axes than
    that, have the axes of their files.
    """

    name: str
    a: Numbers
    b: Numbers
    tolerance: Tolerance
    placed: bool  # the axes are step, batch item and unit; else a position is an index
    backward: bool | None = False  # the last step was computed first; None: not known
    numbers: tuple[Indices | None, ...] = (None, None, None)  # of the axes in the full run
    arrangement: str = ""  # how axes that differ were aligned; {a} and {b} stand for the sides
    exchanged: bool = False  # `arrangement` says that steps and sequences of one were exchanged
    selected: str = ""  # what of the longer side the shorter one is taken as
    unaligned: str = ""  # why they were not
    parts: tuple[Indices | None, Indices | None] = (None, None)  # the steps of a side with some

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return ArrayName.of(self.name).kind

    @property
    def taken_as(self) -> str:
        """All that was done to bring the sides together."""
        return "; ".join(filter(None, [self.arrangement, self.selected]))

    @property
    def is_part(self) -> bool:
        """Whether a side contains some steps only of a run."""
        return self.parts != (None, None)

    @property
    def stepwise(self) -> bool:
        """Whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    def numbers_of_part(self, axis: int) -> Indices | None:
        """The numbers on an axis in the full run where a side contains a part; None for all."""
        numbers, part = self.numbers[axis], axis == 0 and self.is_part
        return range(self.a.shape[axis]) if numbers is None and part else numbers

    def numbers_of(self, index: Sequence[int]) -> tuple[int, ...]:
        """An index in the full run: of a placed pair the step, batch item and unit."""
        axes = zip_longest(index, self.numbers[: len(index)])
        return tuple(n if numbers is None else numbers[n] for n, numbers in axes)

    def in_order(self, by_step: Array) -> Array:
        """Steps as computed, not as stored."""
        return by_step[::-1] if self.backward else by_step

    @cached_property
    def agrees(self) -> Mask | None:
        """True where an element agrees; None if the shapes differ."""
        return self.tolerance.agree(self.a, self.b) if self.a.shape == self.b.shape else None

    @property
    def differs(self) -> Mask:
        """True where an element differs, of arrays of one shape."""
        assert self.agrees is not None
        return ~self.agrees

    @cached_property
    def is_dense(self) -> bool:
        """Whether most units differ in the rows that do: what acts in the cell reaches them all."""
        return bool(self.differs[self.differs.any(axis=-1)].mean() > 0.5)

    @cached_property
    def errors(self) -> Array:
        """|a - b| of arrays of one shape, in float64 or wider."""
        with np.errstate(all="ignore"):
            a, b = widened(self.a.values, self.b.values)
            errors: Array = np.abs(a - b)
        return errors

    @property
    def equal(self) -> bool:
        """Whether all of it agrees."""
        return self.agrees is not None and bool(self.agrees.all())


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
    """Bring an array of each side into the same axes, as far as their names and layouts allow.

    Axes of length 1 are added and dropped, except the last, which is the units'. Axes that differ
    by a known arrangement are aligned if exactly one fits, or is clearly nearest
    (`lstmcli.core.diff.axes`). Where a side has some steps of a run, both are cut to those that
    both contain; then to what is selected.
    """
    a, b = a.moved(np.atleast_1d), b.moved(np.atleast_1d)
    pair = Pair(known.name, a, b, known.tolerance, placed=False, backward=known.backward)
    if pair.kind == WEIGHTS:
        return pair
    choices: list[Choice | None] = [*known.selection[:3]]
    if pair.kind == FINAL:
        choices[0], raw, layouts = None, None, known.layouts
        pair = _finals(pair, known)
    else:
        pair, raw, layouts = _sequences(pair, known)
    if raw and pair.agrees is not None and a.ndim == 4 and not pair.equal:  # directions elsewhere
        found, _ = arrange(*raw, known.tolerance, layouts)
        if found is not None and (
            known.tolerance.agree(found.a, found.b).all()
            or 0 in nearest([(found.a, found.b), (pair.a, pair.b)])
        ):
            pair = _arranged(pair, found)
    elif pair.agrees is None:
        cut, left = _cut_to_selected(pair, choices, known)
        if raw and cut.agrees is None:
            found, why = arrange(*raw, known.tolerance, layouts, (choices[0], choices[1]))
            if found is not None:
                choices = [None if n in found.named else c for n, c in enumerate(choices)]
                return _selected(_arranged(pair, found), choices)
            cut = replace(cut, unaligned=why)
        pair, choices = cut, left
    return _selected(_numbered(pair, known), choices)


def _sequences(pair: Pair, known: Known) -> tuple[Pair, tuple[Numbers, Numbers], Layouts]:
    """Two sequences as (T, B, H) by their layouts; and both as they are, with these layouts."""
    raw = a, b = pair.a, pair.b
    axes = (2, 1) if "batch" in known.layouts else (1, 2)
    axis = next((n for n in axes if a.shape[n:-1][:1] == b.shape[n:-1][:1] == (2,)), None)
    if a.ndim == b.ndim == 4 and not a.shape[0] == b.shape[0] == 1 and axis is not None:
        a, b = joined(a, axis), joined(b, axis)
    layouts, text = _with_steps_of_run((a, b), known)
    said = layouts[0] or layouts[1] or _layout_by_shape(a, b)
    one, other = (sequence(x, of or said) for x, of in zip((a, b), layouts, strict=True))
    if one is None or other is None:
        return replace(pair, a=a, b=b), raw, layouts
    pair = _cut_to_common(
        replace(pair, a=one, b=other, placed=True, arrangement=text), known.numbering
    )
    if pair.is_part:
        return pair, (pair.a, pair.b), ("time", "time")
    if None in layouts or not a.ndim == b.ndim == 3:
        a_leads = layouts[0] is not None and (layouts[1] is None or a.ndim >= b.ndim)
        shape = (one if a_leads else other).shape
        if (*without_ones(one), one.shape[-1]) == (*without_ones(other), other.shape[-1]):
            one, other = (side.moved(lambda v: v.reshape(shape)) for side in (one, other))
            pair = replace(pair, a=one, b=other)
    return pair, raw, layouts


def _finals(pair: Pair, known: Known) -> Pair:
    """Last states (B, H) as (1, B, H); those of several cells as they lie.

    Of (2, B, H), (B, 2, H) and (B, 2 H) with directions side by side: where two axes may be that of
    the directions, the one whose numbers agree, or are clearly the nearest; else why none.
    """
    a, b = pair.a, pair.b
    ways = [(a, b, "")] * (a.shape == b.shape)
    ways += directions_joined(a, b)
    agreeing = [way for way in ways if pair.tolerance.agree(way[0], way[1]).all()]
    near = agreeing or [ways[n] for n in nearest([(x[None], y[None]) for x, y, _ in ways])]
    if near or a.shape == b.shape or len(ways) == 1:
        a, b, text = (near or ways)[0]
        pair = replace(pair, arrangement=text)
    elif ways:
        pair = replace(pair, unaligned=several_axes([text for *_, text in ways]))
    several = [side.ndim > 2 and cells > 1 for side, cells in zip((a, b), known.cells, strict=True)]
    if any(several) and not pair.arrangement and a.shape != b.shape:
        text = "the last states of several cells, on an axis that the other side lacks"
        pair = replace(pair, unaligned=pair.unaligned or text)
    elif max(len(without_ones(a)), len(without_ones(b))) < 2 and not any(several):
        one, other = (
            side.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1])) for side in (a, b)
        )
        return replace(pair, a=one, b=other, placed=True)
    if any(known.selection[1:3]):
        text = "in full, as no file tells which axes are those of cells and batch items"
        pair = replace(pair, unaligned=text)
    return replace(pair, a=a, b=b)


def _arranged(pair: Pair, found: Candidate) -> Pair:
    """A pair in the axes of a candidate, whose indices are those of the pair so far."""
    numbers = tuple(
        all_n if n is None else [m if all_n is None else all_n[m] for m in n]
        for all_n, n in zip(pair.numbers, found.numbers, strict=True)
    )
    return replace(
        pair, a=found.a, b=found.b, placed=True, numbers=numbers, arrangement=found.text,
        exchanged=found.exchanged,
    )  # fmt: skip


def _cut_to_selected(
    pair: Pair, choices: Sequence[Choice | None], known: Known
) -> tuple[Pair, list[Choice | None]]:
    """A pair whose longer side is cut to what is selected, and the other choices."""
    left, sides, numbers = [*choices], [pair.a, pair.b], [*pair.numbers]
    taken: tuple[list[str], list[str]] = ([], [])
    for axis, choice in enumerate(choices if pair.placed else ()):
        sizes = pair.a.shape[axis], pair.b.shape[axis]
        if choice is None or numbers[axis] is not None or sizes[0] == sizes[1]:
            continue
        picked, shorter = choice.among(max(sizes)), sizes.index(min(sizes))
        said = known.numbers(shorter, axis) if axis else None
        fits = [*said] == [*picked] if said is not None else not known.counted[shorter]
        if len(picked) == min(sizes) and fits:
            sides[1 - shorter] = _taken(sides[1 - shorter], picked, axis)
            numbers[axis], left[axis] = picked, None
            taken[shorter].append(f"{choice.option} {choice.text}")
    texts = [
        f"{{{side}}} is taken as {' '.join(options)} of {{{other}}}"
        for (side, other), options in zip((("a", "b"), ("b", "a")), taken, strict=True)
        if options
    ]
    a, b = sides
    return replace(pair, a=a, b=b, numbers=tuple(numbers), selected="; ".join(texts)), left


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
            raise UserError(f"{pair.name}: {text}; write both with the same selection.")
        elif len(part) == sizes[0] and not counts_from_0(part):
            numbers[axis] = part
    if texts:
        text = f"{' and '.join(texts)}: type {' '.join(options)}, or write both with it"
        pair = replace(pair, unaligned=text)
    return replace(pair, numbers=tuple(numbers))


def _with_steps_of_run(sides: tuple[Numbers, Numbers], known: Known) -> tuple[Layouts, str]:
    """The layouts, where one side says none and has all steps of the run of which one is a part."""
    for n, silent in enumerate(sides):
        steps, said = known.numbering[1 - n].of_steps, known.layouts[1 - n]
        if known.layouts[n] is None and said in ("batch", "time") and silent.ndim == 3:
            layout = "time" if said == "batch" else "batch"
            axes = "steps, batch" if said == "batch" else "batch, steps"
            as_said, other = silent.shape[1::-1] if said == "batch" else silent.shape[:2]
            if as_said != steps == other:
                text = f"{{{'ab'[n]}}} as ({axes}, units), which gives it the {steps} steps"
                return (layout, said) if n == 0 else (said, layout), f"{text} of the run"
    return known.layouts, ""


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


def _selected(pair: Pair, choices: Sequence[Choice | None]) -> Pair:
    """A placed pair cut to what is selected of each axis, by the numbers of the run."""
    numbers, sides = [*pair.numbers], [pair.a, pair.b]
    for axis, choice in enumerate(choices if pair.placed else ()):
        if choice is None or choice.is_all:
            continue
        for n, side in enumerate(sides):
            size, of_part = side.shape[axis], pair.numbers_of_part(axis)
            numbers[axis], places = numbers_on_axis(choice, size, of_part, pair.name)
            sides[n] = _taken(side, places, axis)
    return replace(pair, a=sides[0], b=sides[1], numbers=tuple(numbers))


def _taken(side: Numbers, indices: Indices, axis: int) -> Numbers:
    return side.moved(lambda array: take(array, indices, axis))


def _layout_by_shape(*sides: Numbers) -> str:
    """The layout of sides that name none: the first axis is time, unless it is 1 on all of them."""
    firsts = [side.shape[0] for side in sides if side.ndim == 3]
    return "batch" if firsts and all(n == 1 for n in firsts) else "time"


def sequence(array: Numbers, layout: str | None) -> Numbers | None:
    """One array of steps as (T, B, H), by its layout or as it lies; None if it has more axes."""
    array = array.moved(np.atleast_1d)
    layout = layout or _layout_by_shape(array)
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
