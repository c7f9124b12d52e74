"""What the arrays of a trace are by their names, and how two of them come to lie on each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance
from lstmcli.core.model.axis_numbers import UNNUMBERED, AxisNumbers, cut_to_common
from lstmcli.core.model.selection import Indices

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
        """The parts of a name; weights keep theirs whole in ``base``."""
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
    numbers: tuple[Indices | None, ...] = (None, None, None)  # of the axes in the whole run

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return ArrayName.of(self.name).kind

    @property
    def stepwise(self) -> bool:
        """Whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

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
) -> Pair:
    """Bring an array of each side into the same axes, as far as their names and layouts allow.

    ``layouts`` say where time lies on either side: "steps" (T, H), "time" (T, B, H) or "batch"
    (B, T, H). A side that does not say (None) takes the other's; two silent sides are compared as
    they lie, the first axis as time. Axes of length 1 are added and dropped, except the last,
    which is the units'. Directions on an axis of their own are put side by side, (T, B, 2 H). Where
    a side holds a part of a run whose ``numbering`` it says, both are cut to the steps, batch items
    and units that both hold.

    Raises
    ------
    UserError
        where both hold none of an axis in common.
    """
    a, b = a.moved(np.atleast_1d), b.moved(np.atleast_1d)
    kind = ArrayName.of(name).kind
    three: tuple[Numbers | None, Numbers | None] = (None, None)
    if kind == SEQUENCE:
        a, b = _directions_joined(a, b, "batch" in layouts)
        said = layouts[0] or layouts[1] or _as_they_lie(a, b)
        three = _sequence(a, layouts[0] or said), _sequence(b, layouts[1] or said)
    elif kind == FINAL:
        three = _final(a), _final(b)
    if three[0] is None or three[1] is None:
        return Pair(name, a, b, tolerance, placed=False)
    both = three[0], three[1]
    if not (numbering[0].from_the_start and numbering[1].from_the_start):
        shapes = both[0].shape, both[1].shape
        cut_a, cut_b, numbers = cut_to_common(shapes, numbering, name, kind == FINAL)
        both = both[0].moved(cut_a), both[1].moved(cut_b)
        return Pair(name, *both, tolerance, True, backward, numbers)
    if not (None not in layouts and a.values.ndim == b.values.ndim == 3):
        a_leads = layouts[0] is not None and (layouts[1] is None or a.values.ndim >= b.values.ndim)
        both = _laid_on(*both, a_leads)
    return Pair(name, *both, tolerance, True, backward)


def _directions_joined(a: Numbers, b: Numbers, batch: bool) -> tuple[Numbers, Numbers]:
    """Both with stacked directions side by side: (T, 2, B, H) and its like become (T, B, 2 H).

    An axis is that of the directions if both sides have it, or the other side is as wide as both
    directions; of (1, T, 2, H) the first axis may be one too many.
    """

    def joined(side: Numbers, other: Numbers) -> Numbers:
        two = [axis for axis in ((2, 1) if batch else (1, 2)) if side.shape[axis:-1][:1] == (2,)]
        if side.values.ndim != 4 or not two:
            return side
        alike = side.shape == other.shape and side.shape[0] != 1
        if not alike and other.shape[-1] != 2 * side.shape[-1]:
            return side
        lead = [n for axis, n in enumerate(side.shape[:-1]) if axis != two[0]]
        return side.moved(lambda v: np.moveaxis(v, two[0], 2).reshape(*lead, -1))

    return joined(a, b), joined(b, a)


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


def _laid_on(a: Numbers, b: Numbers, a_leads: bool) -> tuple[Numbers, Numbers]:
    """Both in the shape of the side that says more, if only axes of length 1 are in the way."""
    if a.shape == b.shape or _without_ones(a.shape) != _without_ones(b.shape):
        return a, b
    shape = a.shape if a_leads else b.shape
    return a.moved(lambda v: v.reshape(shape)), b.moved(lambda v: v.reshape(shape))


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*(n for n in shape[:-1] if n != 1), shape[-1])
