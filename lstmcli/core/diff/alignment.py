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
    Overlap,
    Overlaps,
    Part,
    counts_from_0,
    overlaps,
)
from lstmcli.core.model.selection import (
    EVERYTHING,
    Choice,
    Indices,
    Selection,
    numbers_on_axis,
    take,
)

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
    parts: tuple[tuple[Part, ...], tuple[Part, ...]] = ((), ())  # of a run that a side contains

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return ArrayName.of(self.name).kind

    @property
    def taken_as(self) -> str:
        """All that was done to bring the sides together."""
        return "; ".join(filter(None, [self.arrangement, self.selected]))

    @property
    def lacks_start(self) -> bool:
        """Whether it is a part of a run without the first steps, batch items or units."""
        return any(self.parts) and any(numbers is not None for numbers in self.numbers)

    @property
    def stepwise(self) -> bool:
        """Whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    def numbers_of_part(self, axis: int) -> Indices | None:
        """The numbers on an axis in the full run where a side contains a part; None for all."""
        numbers = self.numbers[axis]
        part = any(noun == AXES[axis] for noun, *_ in (*self.parts[0], *self.parts[1]))
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
    layouts: tuple[str | None, str | None] = (None, None)
    backward: bool | None = False
    numbering: tuple[AxisNumbers, AxisNumbers] = (UNNUMBERED, UNNUMBERED)
    selection: Selection = EVERYTHING
    counted: tuple[bool, bool] = (False, False)  # it is a whole trace, and counts from 0


def align(a: Numbers, b: Numbers, known: Known) -> Pair:
    """Bring an array of each side into the same axes, as far as their names and layouts allow.

    Axes of length 1 are added and dropped, except the last, which is the units'. Axes that differ
    by a known arrangement are aligned if exactly one fits, or is clearly nearest
    (`lstmcli.core.diff.axes`). Where the numbering of a side makes it a part of a run, both are
    cut to the steps, batch items and units that both contain; then to what is selected.
    """
    a, b = a.moved(np.atleast_1d), b.moved(np.atleast_1d)
    pair = Pair(known.name, a, b, known.tolerance, placed=False, backward=known.backward)
    if pair.kind == FINAL:
        pair, left = _finals(pair, known), [None, *known.selection[1:3]]
        if pair.agrees is None:
            pair, left = _cut_to_selected(pair, left, known.counted)
        return _selected(pair, left)
    if pair.kind == WEIGHTS:
        return pair
    pair, raw, layouts = _sequences(pair, known)
    found: Candidate | None = None
    if pair.agrees is not None and a.ndim == 4 and not pair.equal:  # directions elsewhere
        found, _ = arrange(*raw, known.tolerance, layouts)
        if found is not None and (
            known.tolerance.agree(found.a, found.b).all()
            or 0 in nearest([(found.a, found.b), (pair.a, pair.b)])
        ):
            pair = _arranged(pair, found)
    choices: list[Choice | None] = [*known.selection[:3]]
    if pair.agrees is None:
        cut, left = _cut_to_selected(pair, choices, known.counted)
        if cut.agrees is None:
            found, why = arrange(*raw, known.tolerance, layouts, (choices[0], choices[1]))
            if found is not None:
                choices = [None if n in found.named else c for n, c in enumerate(choices)]
                return _selected(_arranged(pair, found), choices)
            cut = replace(cut, unaligned=why)
        pair, choices = cut, left
    return _selected(pair, choices)


def _sequences(
    pair: Pair, known: Known
) -> tuple[Pair, tuple[Numbers, Numbers], tuple[str | None, str | None]]:
    """Two sequences as (T, B, H) by their layouts; and both as they are, with these layouts."""
    a, b, numbering = _directions_joined(pair, known)
    layouts, text = _with_steps_alike((a, b), known.layouts, numbering)
    said = layouts[0] or layouts[1] or _layout_by_shape(a, b)
    one, other = (_sequence(x, of or said) for x, of in zip((a, b), layouts, strict=True))
    raw = pair.a, pair.b
    if one is None or other is None:
        return replace(pair, a=a, b=b, arrangement=text), raw, layouts
    pair = replace(pair, a=one, b=other, placed=True, arrangement=text)
    common = overlaps((one.shape, other.shape), numbering, pair.name)
    if any(common.parts):
        pair = _cut_to_common(pair, common)
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
    one, other = (
        side.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), v.shape[-1]))
        if len(without_ones(side)) < 2
        else None
        for side in (a, b)
    )
    if one is not None and other is not None:
        pair = replace(pair, a=one, b=other, placed=True)
        common = overlaps((one.shape, other.shape), known.numbering, pair.name, final=True)
        return _cut_to_common(pair, common) if any(common.parts) else pair
    pair = _batch_items_cut(replace(pair, a=a, b=b), known.numbering)
    if any(known.selection[1:3]):
        text = "in full, as no file tells which axes are those of cells and batch items"
        pair = replace(pair, unaligned=text)
    return pair


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
    pair: Pair, choices: Sequence[Choice | None], counted: tuple[bool, bool]
) -> tuple[Pair, list[Choice | None]]:
    """A pair with the longer side cut to what is selected, where the other is as long as that.

    With it the choices of the other axes. A whole trace (``counted``) is no selected part.
    """
    left, sides, numbers = [*choices], [pair.a, pair.b], [*pair.numbers]
    taken: tuple[list[str], list[str]] = ([], [])
    for axis, choice in enumerate(choices if pair.placed else ()):
        sizes = pair.a.shape[axis], pair.b.shape[axis]
        if choice is None or numbers[axis] is not None or sizes[0] == sizes[1]:
            continue
        picked, shorter = choice.among(max(sizes)), sizes.index(min(sizes))
        if len(picked) == min(sizes) and not counted[shorter]:
            sides[1 - shorter] = _taken(sides[1 - shorter], picked, axis)
            numbers[axis], left[axis] = picked, None
            taken[shorter].append(f"{choice.option} {choice.text}")
    texts = [
        f"{{{side}}} is taken as {' '.join(options)} of {{{other}}}"
        for (side, other), options in zip(("ab", "ba"), taken, strict=True)
        if options
    ]
    a, b = sides
    return replace(pair, a=a, b=b, numbers=tuple(numbers), selected="; ".join(texts)), left


def _with_steps_alike(
    sides: tuple[Numbers, Numbers],
    layouts: tuple[str | None, str | None],
    numbering: tuple[AxisNumbers, AxisNumbers],
) -> tuple[tuple[str | None, str | None], str]:
    """The layouts, where one side says none and has the other's steps in the other layout only.

    Of a part of a run they are its steps or those of the full run, whichever gives it the other's
    batch items too.
    """
    for n, silent in enumerate(sides):
        said = layouts[1 - n]
        if layouts[n] or said is None or silent.ndim != 3 or 1 in silent.shape[:2]:
            continue
        known = _sequence(sides[1 - n], said)
        if known is None or known.shape[0] == 1:
            continue
        counts = known.shape[0], numbering[1 - n].of_steps
        batch, steps = silent.shape[:2] if said != "batch" else silent.shape[1::-1]
        fits = (batch in counts) + (steps == known.shape[1])
        if steps in counts and 1 + (batch == known.shape[1]) > fits:
            layout = "time" if said == "batch" else "batch"
            axes = "steps, batch" if layout == "time" else "batch, steps"
            count = "as many steps" if steps == counts[0] else f"the {steps} steps of the run"
            text = f"{{{'ab'[n]}}} as ({axes}, units), which gives it {count}"
            return (layout, said) if n == 0 else (said, layout), text
    return layouts, ""


def _cut_to_common(pair: Pair, common: Overlaps) -> Pair:
    """A pair cut to what both sides contain of a run."""
    a, b = pair.a, pair.b
    numbers: list[Indices | None] = []
    for axis, both in enumerate(common.axes):
        if both is None:
            numbers.append(None)
            continue
        last = max(a.shape[axis], b.shape[axis]) - 1
        ends = axis > 0 or not pair.backward or both.numbers[-1] == last
        numbers.append(None if ends and counts_from_0(both.numbers) else both.numbers)
        a, b = _taken(a, both.in_a, axis), _taken(b, both.in_b, axis)
    return replace(pair, a=a, b=b, numbers=tuple(numbers), parts=common.parts)


def _batch_items_cut(pair: Pair, numbering: tuple[AxisNumbers, AxisNumbers]) -> Pair:
    """Last states of several cells, (cells, B, H) or (B, cells, H), cut to the same batch items."""
    for axis in (1, 0) if pair.a.ndim == pair.b.ndim == 3 else ():
        sizes = pair.a.shape[axis], pair.b.shape[axis]
        common = overlaps(((1, sizes[0], 0), (1, sizes[1], 0)), numbering, pair.name, final=True)
        if any(common.parts):
            of_axis: list[Overlap | None] = [None, None, None]
            of_axis[axis] = common.axes[1]
            cut = _cut_to_common(pair, common._replace(axes=tuple(of_axis)))
            if cut.agrees is not None:
                return cut
    return pair


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


def _directions_joined(
    pair: Pair, known: Known
) -> tuple[Numbers, Numbers, tuple[AxisNumbers, AxisNumbers]]:
    """Both with directions side by side where both have them on a separate axis."""
    a, b, numbering = pair.a, pair.b, known.numbering
    axes = (2, 1) if "batch" in known.layouts else (1, 2)
    axis = next((n for n in axes if a.shape[n:-1][:1] == b.shape[n:-1][:1] == (2,)), None)
    if not a.ndim == b.ndim == 4 or a.shape[0] == b.shape[0] == 1 or axis is None:
        return a, b, numbering
    stored = [side.columns[known.name] for side in numbering if known.name in side.columns]
    units = max(a.shape[-1], b.shape[-1], *(numbers[-1] + 1 for numbers in stored))
    one, other = (side.of_both_directions(known.name, units) for side in numbering)
    return joined(a, axis), joined(b, axis), (one, other)


def _layout_by_shape(*sides: Numbers) -> str:
    """The layout of sides that name none: the first axis is time, unless it is 1 on all of them."""
    firsts = [side.shape[0] for side in sides if side.ndim == 3]
    return "batch" if firsts and all(n == 1 for n in firsts) else "time"


def sequence(array: Numbers, layout: str | None) -> Numbers | None:
    """One array of steps as (T, B, H), by its layout or as it lies; None if it has more axes."""
    array = array.moved(np.atleast_1d)
    return _sequence(array, layout or _layout_by_shape(array))


def _sequence(array: Numbers, layout: str) -> Numbers | None:
    """(T, B, H), or None if there are more axes than that."""
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
