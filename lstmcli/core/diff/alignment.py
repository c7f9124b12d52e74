"""The arrays of a trace by their names, and how two of them are brought to the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from math import prod

import numpy as np

from lstmcli.core.diff.axes import (
    Arrangement,
    arrange,
    joined,
    nearest,
    several_axes,
    with_directions_joined,
    without_ones,
)
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import (
    AXES,
    AxisNumbers,
    Overlap,
    Overlaps,
    Part,
    counts_from_0,
    overlaps,
)
from lstmcli.core.model.selection import (
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
    exchanged: bool = False  # it says which axes of one side are those of steps and of sequences
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

    @cached_property
    def agrees(self) -> Mask | None:
        """True where an element agrees; None if the shapes differ."""
        return self.tolerance.agree(self.a, self.b) if self.a.shape == self.b.shape else None

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


def align(
    name: str,
    a: Numbers,
    b: Numbers,
    tolerance: Tolerance,
    layouts: tuple[str | None, str | None],
    backward: bool | None,
    numbering: tuple[AxisNumbers, AxisNumbers],
    selection: Selection,
    counted: tuple[bool, bool] = (False, False),
) -> Pair:
    """Bring an array of each side into the same axes, as far as their names and layouts allow.

    ``layouts`` say where time lies on either side: "steps" (T, H), "time" (T, B, H) or "batch"
    (B, T, H). A side that does not say (None) takes the other's, unless only the other layout gives
    it as many steps; two silent sides are compared as they lie, the first axis as time. Axes of
    length 1 are added and dropped, except the last, which is the units'. Axes that differ by a
    known arrangement are aligned if exactly one fits, or is clearly nearest
    (`lstmcli.core.diff.axes`). Where the ``numbering`` of a side makes it a part of a run, both are
    cut to the steps, batch items and units that both contain; then to what is selected. A side that
    has just as many of an axis as are selected of the longer other one is what is selected, unless
    it is ``counted``: a whole trace has numbers of its own, from 0.
    """
    a, b = a.moved(np.atleast_1d), b.moved(np.atleast_1d)
    kind = ArrayName.of(name).kind
    three: tuple[Numbers | None, Numbers | None] = (None, None)
    raw, text, why = (a, b), "", ""
    if kind == SEQUENCE:
        a, b, numbering = _directions_joined(a, b, "batch" in layouts, name, numbering)
        layouts, text = _with_steps_alike(a, b, layouts, numbering)
        said = layouts[0] or layouts[1] or _layout_by_shape(a, b)
        three = _sequence(a, layouts[0] or said), _sequence(b, layouts[1] or said)
    elif kind == FINAL:
        a, b, text, why = _finals_joined(a, b, tolerance)
        three = _final(a), _final(b)
    pair = Pair(
        name, a, b, tolerance, placed=False, backward=backward, arrangement=text, unaligned=why
    )
    choices = [None if kind == FINAL else selection.steps, selection.batch, selection.units]
    if three[0] is not None and three[1] is not None:
        pair = replace(pair, a=three[0], b=three[1], placed=True)
        common = overlaps((pair.a.shape, pair.b.shape), numbering, name, kind == FINAL)
        if any(common.parts):
            pair = _cut_to_common(pair, common)
            raw, layouts = (pair.a, pair.b), ("time", "time")
        elif not (None not in layouts and a.ndim == b.ndim == 3):
            a_leads = layouts[0] is not None and (layouts[1] is None or a.ndim >= b.ndim)
            one, other = _in_leading_shape(pair.a, pair.b, a_leads)
            pair = replace(pair, a=one, b=other)
    elif kind == FINAL:
        pair = _batch_items_cut(pair, numbering)
        if any(selection[1:3]):
            text = "in full, as no file tells which axes are those of cells and batch items"
            pair = replace(pair, unaligned=text)
    if kind == SEQUENCE and pair.a.shape == pair.b.shape and raw[0].ndim == 4 and not pair.equal:
        found, _ = arrange(*raw, tolerance, layouts)
        if found is not None and (
            tolerance.agree(found.a, found.b).all()
            or 0 in nearest([(found.a, found.b), (pair.a, pair.b)])
        ):
            pair = _arranged(pair, found)
    if pair.agrees is None:
        cut, left = _cut_to_selected(pair, choices, counted)
        found, why = None, ""
        if kind == SEQUENCE and cut.agrees is None:
            found, why = arrange(*raw, tolerance, layouts, (choices[0], choices[1]))
        if found is None:
            pair, choices = replace(cut, unaligned=cut.unaligned or why), left
        else:
            pair = _arranged(pair, found)
            choices = [None if n in found.named else c for n, c in enumerate(choices)]
    return _selected(pair, choices)


def _arranged(pair: Pair, found: Arrangement) -> Pair:
    numbers = tuple(map(_numbers_within, pair.numbers, found.numbers))
    return replace(
        pair, a=found.a, b=found.b, placed=True, numbers=numbers, arrangement=found.text,
        exchanged=found.exchanged,
    )  # fmt: skip


def _cut_to_selected(
    pair: Pair, choices: Sequence[Choice | None], counted: tuple[bool, bool]
) -> tuple[Pair, list[Choice | None]]:
    """A pair with the longer side cut to what is selected, where the other is as long as that.

    With it the choices of the other axes.
    """
    left = [*choices]
    taken: dict[int, list[str]] = {}
    for axis, choice in enumerate(choices if pair.placed else ()):
        sizes = pair.a.shape[axis], pair.b.shape[axis]
        if choice is None or pair.numbers[axis] is not None or sizes[0] == sizes[1]:
            continue
        picked, shorter = choice.among(max(sizes)), sizes.index(min(sizes))
        if len(picked) == min(sizes) and not counted[shorter]:
            a, b = pair.a, pair.b
            a, b = (a, _taken(b, picked, axis)) if shorter == 0 else (_taken(a, picked, axis), b)
            numbers = [*pair.numbers]
            numbers[axis] = picked
            pair = replace(pair, a=a, b=b, numbers=tuple(numbers))
            taken.setdefault(shorter, []).append(f"{choice.option} {choice.text}")
            left[axis] = None
    texts = [
        f"{{{'ab'[n]}}} is taken as {' '.join(options)} of {{{'ba'[n]}}}"
        for n, options in taken.items()
    ]
    return replace(pair, selected="; ".join(texts)), left


def _with_steps_alike(
    a: Numbers,
    b: Numbers,
    layouts: tuple[str | None, str | None],
    numbering: tuple[AxisNumbers, AxisNumbers],
) -> tuple[tuple[str | None, str | None], str]:
    """The layouts, where one side says none and has the other's steps in the other layout only.

    Of a part of a run they are its steps or those of the full run, whichever gives it the other's
    batch items too.
    """
    for silent, other, n in ((a, b, 0), (b, a, 1)):
        said = layouts[1 - n]
        if layouts[n] or said is None or silent.ndim != 3:
            continue
        known = _sequence(other, said)
        if known is None or 1 in silent.shape[:2] or known.shape[0] == 1:
            continue
        as_other = silent.shape[1::-1] if said == "batch" else silent.shape[:2]  # (T, B)
        counts = known.shape[0], numbering[1 - n].of_steps
        fits, turned_fits = (
            (steps in counts) + (batch == known.shape[1])
            for steps, batch in (as_other, as_other[::-1])
        )
        steps = as_other[1]
        if steps in counts and turned_fits > fits:
            layout = "time" if said == "batch" else "batch"
            found = (layout, said) if n == 0 else (said, layout)
            axes = "steps, batch" if layout == "time" else "batch, steps"
            count = "as many steps" if steps == counts[0] else f"the {steps} steps of the run"
            return found, f"{{{'ab'[n]}}} as ({axes}, units), which gives it {count}"
    return layouts, ""


def _cut_to_common(pair: Pair, common: Overlaps) -> Pair:
    """A pair cut to what both sides contain of a run."""
    a, b = pair.a, pair.b
    numbers: list[Indices | None] = []
    for axis, both in enumerate(common.axes):
        if both is not None:
            a, b = _taken(a, both.in_a, axis), _taken(b, both.in_b, axis)
        numbers.append(None if both is None or _has_start(pair, axis, both) else both.numbers)
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


def _has_start(pair: Pair, axis: int, common: Overlap) -> bool:
    """Whether what is common on an axis counts from 0, and starts where the run was started."""
    last = max(pair.a.shape[axis], pair.b.shape[axis]) - 1
    ends = axis > 0 or not pair.backward or common.numbers[-1] == last
    return ends and counts_from_0(common.numbers)


def _selected(pair: Pair, choices: Sequence[Choice | None]) -> Pair:
    """A placed pair cut to what is selected of each axis, by the numbers of the run."""
    numbers = [*pair.numbers]
    sides = [pair.a, pair.b]
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


def _numbers_within(numbers: Indices | None, indices: Indices | None) -> Indices | None:
    """The numbers in the run at some indices of an axis that has these numbers."""
    return numbers if indices is None else [n if numbers is None else numbers[n] for n in indices]


def _directions_joined(
    a: Numbers,
    b: Numbers,
    batch: bool,
    name: str,
    numbering: tuple[AxisNumbers, AxisNumbers],
) -> tuple[Numbers, Numbers, tuple[AxisNumbers, AxisNumbers]]:
    """Both with directions side by side where both have them on a separate axis."""
    axes = (2, 1) if batch else (1, 2)
    axis = next((n for n in axes if a.shape[n:-1][:1] == b.shape[n:-1][:1] == (2,)), None)
    lead = a.shape[0], b.shape[0]
    if not a.ndim == b.ndim == 4 or lead == (1, 1) or axis is None:
        return a, b, numbering
    known = [side.columns[name] for side in numbering if name in side.columns]
    units = max(a.shape[-1], b.shape[-1], *(numbers[-1] + 1 for numbers in known))
    one, other = (side.of_both_directions(name, units) for side in numbering)
    return joined(a, axis), joined(b, axis), (one, other)


def _finals_joined(
    a: Numbers, b: Numbers, tolerance: Tolerance
) -> tuple[Numbers, Numbers, str, str]:
    """Final states of (2, B, H), (B, 2, H) and (B, 2 H) with directions side by side, and a text.

    Where two axes may be that of the directions, the one whose numbers agree, or are clearly the
    nearest; else the sides as they are, and why.
    """
    as_they_lie = [(a, b, "")] if a.shape == b.shape else []
    ways = as_they_lie + [
        (one, other, text)
        for one, other, text in with_directions_joined(a, b, 3)
        if text and one.shape == other.shape
    ]
    agreeing = [way for way in ways if tolerance.agree(way[0], way[1]).all()]
    pairs = [(one[None], other[None]) for one, other, _ in ways]
    taken = agreeing or [ways[n] for n in nearest(pairs)]
    if taken or as_they_lie or len(ways) == 1:
        return *(taken or ways)[0], ""
    return a, b, "", several_axes([text for *_, text in ways]) if ways else ""


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
    array = _at_most_three(array)
    if array.ndim > 3:
        return None
    if array.ndim < 3:  # (H,) is one step, (T, H) one sequence
        steps = prod(array.shape[:-1])
        return array.moved(lambda v: v.reshape(steps, 1, v.shape[-1]))
    if layout == "batch" or (layout == "steps" and array.shape[0] == 1):
        return array.moved(lambda v: v.swapaxes(0, 1))
    return array


def _final(array: Numbers) -> Numbers | None:
    """(1, B, H), or None if there are more axes than (B, H)."""
    units = array.shape[-1]
    if sum(n != 1 for n in array.shape[:-1]) > 1:
        return None
    return array.moved(lambda v: v.reshape(1, prod(v.shape[:-1]), units))


def _at_most_three(array: Numbers) -> Numbers:
    """Without leading axes of length 1, as many as are too many."""
    spare = [axis for axis, n in enumerate(array.shape[:-1]) if n == 1]
    surplus = spare[: max(array.ndim - 3, 0)]
    return array.moved(lambda v: v.squeeze(tuple(surplus))) if surplus else array


def _in_leading_shape(a: Numbers, b: Numbers, a_leads: bool) -> tuple[Numbers, Numbers]:
    """Both in the shape of the side that says more, if only axes of length 1 are in the way."""
    dims = [(*without_ones(side), side.shape[-1]) for side in (a, b)]
    if a.shape == b.shape or dims[0] != dims[1]:
        return a, b
    shape = a.shape if a_leads else b.shape
    return a.moved(lambda v: v.reshape(shape)), b.moved(lambda v: v.reshape(shape))
