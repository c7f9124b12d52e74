"""What the arrays of a trace are by their names, and how two of them come to lie on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from lstmcli.core.diff.axes import arrange, joined
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance
from lstmcli.core.model.axis_numbers import UNNUMBERED, AxisNumbers, cut_to_common
from lstmcli.core.model.selection import EVERYTHING, Choice, Indices, Selection

SEQUENCE, FINAL, WEIGHTS = "sequence", "final", "weights"

# The order of a step: pre-activations, gates, c, h. With peepholes o comes after c, but as a
# place to look at, a gate comes before what is made of it.
STEP_ORDER = ("z", "i", "f", "g", "o", "c", "h")
GATES = ("i", "f", "g", "o")
FINALS = ("final_c", "final_h")

_BACKWARD = "_reverse"


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
        return self.prefix.endswith(_BACKWARD)

    @property
    def layer(self) -> tuple[int, str, str]:
        """Sorts layer 2 before layer 10, and within a layer forward before backward."""
        digits = "".join(letter for letter in self.prefix if letter.isdecimal())
        return len(digits), digits, self.prefix


@dataclass(frozen=True, eq=False)
class Pair:
    """An array of a and one of b, aligned, and the test they have to pass.

    Sequences are (T, B, H); final states (1, B, H); weights, and sequences with more axes than
    that, lie as in their files.
    """

    name: str
    a: Numbers
    b: Numbers
    tolerance: Tolerance
    placed: bool  # axes are step, batch, unit; else a place is an index
    backward: bool = False  # the last step was computed first
    numbers: tuple[Indices | None, ...] = (None, None, None)  # of the axes in the full run
    arrangement: str = ""  # how axes that differ were aligned; {a} and {b} stand for the sides
    unaligned: str = ""  # why they were not

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return ArrayName.of(self.name).kind

    @property
    def stepwise(self) -> bool:
        """Whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    def numbers_of(self, index: Sequence[int]) -> tuple[int, ...]:
        """The step, batch item and unit in the full run of an index of a placed pair."""
        axes = zip(index, self.numbers, strict=True)
        return tuple(n if numbers is None else numbers[n] for n, numbers in axes)

    @cached_property
    def agrees(self) -> Mask | None:
        """True where an element agrees; None if the shapes differ."""
        return self.tolerance.agree(self.a, self.b) if self.a.shape == self.b.shape else None

    @property
    def equal(self) -> bool:
        """Whether all of it agrees."""
        return self.agrees is not None and bool(self.agrees.all())


def align(
    name: str,
    a: Numbers,
    b: Numbers,
    tolerance: Tolerance,
    layouts: tuple[str | None, str | None] = (None, None),
    backward: bool = False,
    numbering: tuple[AxisNumbers, AxisNumbers] = (UNNUMBERED, UNNUMBERED),
    selection: Selection = EVERYTHING,
) -> Pair:
    """Bring an array of each side into the same axes, as far as their names and layouts allow.

    ``layouts`` say where time lies on either side: "steps" (T, H), "time" (T, B, H) or "batch"
    (B, T, H). A side that does not say (None) takes the other's, unless only batch first gives it
    as many steps; two silent sides are compared as they lie, the first axis as time. Axes of
    length 1 are added and dropped, except the last, which is the units'. Axes that differ by a
    known arrangement are aligned if exactly one fits (`lstmcli.core.diff.axes`). Where a side holds
    a part of a run whose ``numbering`` it says, both are cut to the steps, batch items and units
    that both hold, and to what is selected of them.
    """
    a, b = a.moved(np.atleast_1d), b.moved(np.atleast_1d)
    kind = ArrayName.of(name).kind
    three: tuple[Numbers | None, Numbers | None] = (None, None)
    raw, text = (a, b), ""
    if kind == SEQUENCE:
        a, b = _directions_joined(a, b, "batch" in layouts)
        layouts, text = _with_steps_alike(a, b, layouts)
        said = layouts[0] or layouts[1] or _as_they_lie(a, b)
        three = _sequence(a, layouts[0] or said), _sequence(b, layouts[1] or said)
    elif kind == FINAL:
        a, b, text = _finals_joined(a, b)
        three = _final(a), _final(b)
    part_of_run = not (numbering[0].from_the_start and numbering[1].from_the_start)
    pair = Pair(name, a, b, tolerance, placed=False, backward=backward)
    if three[0] is not None and three[1] is not None:
        both = three[0], three[1]
        if not part_of_run and not (None not in layouts and a.values.ndim == b.values.ndim == 3):
            a_leads = layouts[0] is not None and (
                layouts[1] is None or a.values.ndim >= b.values.ndim
            )
            both = _in_leading_shape(*both, a_leads)
        pair = replace(pair, a=both[0], b=both[1], placed=True, arrangement=text)
    choices: tuple[Choice | None, ...] = selection[:3]
    if kind == FINAL:
        pair, choices = replace(pair, arrangement=text), (None, *choices[1:])
    elif kind == SEQUENCE and pair.agrees is None and not part_of_run:
        found, why = arrange(*raw, tolerance, layouts, selection.batch)
        pair = replace(pair, unaligned=why)
        if found is not None:
            pair = replace(
                pair, a=found.a, b=found.b, placed=True, numbers=found.numbers,
                arrangement=found.text,
            )  # fmt: skip
            choices = tuple(
                choice if numbers is None else None
                for choice, numbers in zip(choices, found.numbers, strict=True)
            )
    return _selected(pair, numbering, choices)


def _with_steps_alike(
    a: Numbers, b: Numbers, layouts: tuple[str | None, str | None]
) -> tuple[tuple[str | None, str | None], str]:
    """The layouts, where one side says none but has the other's steps on its second axis only."""
    for silent, other, n in ((a, b, 0), (b, a, 1)):
        said = layouts[1 - n]
        if layouts[n] or said not in ("time", "steps") or silent.values.ndim != 3:
            continue
        known = _sequence(other, said)
        if known is None or 1 in silent.shape[:2] or known.shape[0] == 1:
            continue
        if silent.shape[0] != known.shape[0] == silent.shape[1]:
            found = ("batch", said) if n == 0 else (said, "batch")
            return found, f"{{{'ab'[n]}}} as (batch, steps, units), which gives it as many steps"
    return layouts, ""


def _selected(
    pair: Pair, numbering: tuple[AxisNumbers, AxisNumbers], choices: Sequence[Choice | None]
) -> Pair:
    """A pair cut to what both sides hold of a run, and to what is selected of it."""
    known = not (numbering[0].from_the_start and numbering[1].from_the_start)
    if not pair.placed or not (known or any(choices)):
        return pair
    shapes = pair.a.shape, pair.b.shape
    final = pair.kind == FINAL
    cut_a, cut_b, numbers = cut_to_common(shapes, numbering, pair.name, final, choices)
    numbers = tuple(
        before if now is None else now for before, now in zip(pair.numbers, numbers, strict=True)
    )
    return replace(pair, a=pair.a.moved(cut_a), b=pair.b.moved(cut_b), numbers=numbers)


def _directions_joined(a: Numbers, b: Numbers, batch: bool) -> tuple[Numbers, Numbers]:
    """Both with directions side by side where both have them on a separate axis."""
    axis = next((n for n in ((2, 1) if batch else (1, 2)) if a.shape[n:-1][:1] == (2,)), None)
    if a.values.ndim != 4 or a.shape != b.shape or a.shape[0] == 1 or axis is None:
        return a, b
    return joined(a, axis), joined(b, axis)


def _finals_joined(a: Numbers, b: Numbers) -> tuple[Numbers, Numbers, str]:
    """Final states of (2, B, H) and (B, 2 H) with directions side by side, and what was done."""
    for side, other, name in ((a, b, "{a}"), (b, a, "{b}")):
        if side.values.ndim > 1 and side.shape[0] == 2 and 2 * side.shape[-1] == other.shape[-1]:
            text = f"the directions of {name}, {side.shape}, side by side"
            both = (joined(side, 0), other)
            return (*(both if side is a else both[::-1]), text)
    return a, b, ""


def _as_they_lie(*sides: Numbers) -> str:
    """The layout of sides that name none: the first axis is time, unless it is 1 on all of them."""
    firsts = [side.shape[0] for side in sides if side.values.ndim == 3]
    return "batch" if firsts and all(n == 1 for n in firsts) else "time"


def sequence(array: Numbers, layout: str | None) -> Numbers | None:
    """One array of steps as (T, B, H), by its layout or as it lies; None if it has more axes."""
    array = array.moved(np.atleast_1d)
    return _sequence(array, layout or _as_they_lie(array))


def _sequence(array: Numbers, layout: str) -> Numbers | None:
    """(T, B, H), or None if there are more axes than that."""
    array = _at_most_three(array)
    if array.values.ndim > 3:
        return None
    if array.values.ndim < 3:  # (H,) is one step, (T, H) one row
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
    surplus = spare[: max(array.values.ndim - 3, 0)]
    return array.moved(lambda v: v.squeeze(tuple(surplus))) if surplus else array


def _in_leading_shape(a: Numbers, b: Numbers, a_leads: bool) -> tuple[Numbers, Numbers]:
    """Both in the shape of the side that says more, if only axes of length 1 are in the way."""
    if a.shape == b.shape or _without_ones(a.shape) != _without_ones(b.shape):
        return a, b
    shape = a.shape if a_leads else b.shape
    return a.moved(lambda v: v.reshape(shape)), b.moved(lambda v: v.reshape(shape))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(n for n in shape[:-1] if n != 1), shape[-1])
