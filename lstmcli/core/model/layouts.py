"""The ways in which an array may lie on the axes of a run, the likeliest first.

A run has steps (t), sequences (b), directions (d) and units (k). Each axis of an array is one of
these, all of it or a part, or the units of all directions side by side (w). An axis that it lacks
is one index on that axis. So (B, T, 2 H) of Keras is "btw" and (T, 2, B, H) of ONNX "tdbk", and
both are brought to (T, B, 2, H). What is unusual costs more: the numbers decide between
arrangements, and the cost between equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from itertools import permutations, product
from math import prod
from typing import Literal, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array

MOST_SEQUENCES = 1024  # of a batch that an array without that axis is tried as

# Costs of parts and of an unusual order of axes, which add up.
FIRST, LAST, STRIDE, WINDOW = 1.0, 3.0, 4.0, 6.0  # some successive steps, or every n-th
LAST_STEP, FIRST_STEP, OTHER_STEP = 2.0, 3.0, 5.0
ONE_SEQUENCE, FIRST_SEQUENCES, FIRST_UNITS = 1.5, 2.0, 3.0
ONE_DIRECTION = 3.0  # and one more for each before it
IN_A_ROW, BY_COLUMNS = 2.0, 4.0
EXCHANGED = 2.0  # steps and sequences
UNITS_FIRST = 4.0
OTHER_DIRECTIONS = 1.0  # stacked otherwise than in the run


class RunShape(NamedTuple):
    """The lengths of the axes of a run, and how its arrays lie on them."""

    steps: int
    sequences: int
    units: int  # of one direction
    directions: int = 1  # or cells, of their last states
    layout: str = "time"  # "batch": sequences are the first axis
    stacked: int | None = (
        None  # the axis of the directions; None: they are side by side
    )

    @property
    def axes(self) -> str:
        """The axes of the arrays of the run: "tbk", "btw", "tdbk"."""
        lead = "bt" if self.layout == "batch" else "tb"
        if self.directions == 1:
            return f"{lead}k"
        if self.stacked is None:
            return f"{lead}w"
        return f"{lead[: self.stacked]}d{lead[self.stacked :]}k"

    @property
    def lengths(self) -> dict[str, int]:
        """The length of each axis, by its letter."""
        T, B, K, D = self[:4]
        if D == 1:
            return {"t": T, "b": B, "k": K}
        return {
            "d": D,
            "t": T,
            "b": B,
            "k": K,
            "w": D * K,
        }  # of equal cost, "d" comes first


class AxisRange(NamedTuple):
    """Some indices on an axis of a run."""

    first: int
    size: int
    of: int  # the length of the axis
    stride: int = 1
    cost: float = 0.0

    @property
    def is_all(self) -> bool:
        """Return whether it is the full axis."""
        return self.size == self.of

    @property
    def is_last_step(self) -> bool:
        """Return whether it is the last index alone, of several."""
        return self.size == 1 < self.of == self.first + 1

    @property
    def indices(self) -> slice:
        """The indices, for an array of the run."""
        return slice(
            self.first, self.first + self.stride * (self.size - 1) + 1, self.stride
        )

    def words(self, noun: str) -> str:
        """``step 4 of 7``, ``the first 3 of 7 steps``, ``every second step from 0 to 6``."""
        first, count, of, stride, _ = self
        last = self.indices.stop - 1
        if self.is_all:
            return ""
        if noun == "step" and self.is_last_step:
            return "the last step"
        if count == 1:
            return f"{noun} {first} of {of}"
        if stride > 1:
            every = {2: "second step", 3: "third step"}.get(stride, f"{stride} steps")
            return f"every {every} from {first} to {last}"
        if first and last < of - 1:
            return f"{noun}s {first} to {last} of {of}"
        end = "last" if first else "first"
        return f"the {end} {count} of {of} {noun}s"


class Arrangement(NamedTuple):
    """How an array lies on a run: what each axis is, and which part of it."""

    cost: float
    axes: str  # of ``shape``: letters of t, b, d, k, w
    steps: AxisRange
    sequences: AxisRange
    directions: AxisRange
    units: AxisRange
    shape: tuple[int, ...]  # without axes of length 1
    order: Literal["C", "F"] = "C"  # of the numbers
    places: tuple[int, ...] | None = None  # of ``shape`` in the array; None: in a row
    run: RunShape = RunShape(1, 1, 1)

    @property
    def parts(self) -> tuple[AxisRange, AxisRange, AxisRange, AxisRange]:
        """Of steps, sequences, directions, units."""
        return self.steps, self.sequences, self.directions, self.units

    @property
    def place(self) -> tuple[slice, ...]:
        """Where the array is in the run's (T, B, D, K)."""
        return tuple(part.indices for part in self.parts)

    @property
    def is_all(self) -> bool:
        """Return whether the array contains all numbers of the run."""
        return all(part.is_all for part in self.parts)

    @property
    def in_a_row(self) -> bool:
        """Return whether the numbers, and not the axes, are the run's."""
        return self.places is None

    @property
    def exchanged(self) -> bool:
        """Return whether steps and sequences are in another order than the run's."""
        return {_in_order("tb", axes) for axes in (self.axes, self.run.axes)} == {
            "tb",
            "bt",
        }

    @property
    def cost_in_order(self) -> float:
        """The cost where either order of steps and sequences is usual."""
        return self.cost - EXCHANGED if self.exchanged else self.cost

    @property
    def is_of_steps(self) -> bool:
        """Return whether an array of two axes is the steps of one sequence."""
        return len(self.shape) == 2 and self.axes[:1] == "t"

    @property
    def units_first(self) -> bool:
        """Return whether the units are not the last axis."""
        return any(axis in self.axes[:-1] for axis in "kw")

    def read(self, array: Array) -> Array:
        """The numbers as (steps, sequences, directions, units)."""
        read = array.reshape(self.shape, order=self.order)
        order = [self.axes.index(axis) for axis in "tbdkw" if axis in self.axes]
        moved = np.transpose(read, order)
        return moved.reshape([part.size for part in self.parts])


def arrangements(
    shape: Sequence[int],
    run: RunShape,
    steps: Sequence[int] | None = None,
    sequences: Sequence[int] | None = None,
) -> Iterator[Arrangement]:
    """The arrangements of an array of a shape on a run, by cost.

    There are as many as windows of steps times sequences. With ``steps`` an array without steps is
    one of these, and another has all; with ``sequences`` one without sequences is one of these.
    """
    found: list[Iterator[Arrangement]] = []
    for reading in _readings(shape, run):
        named: Sequence[int] = ()
        if len(shape) == len(run.axes):
            named = reading.places or ()
        for axes in _axes(reading.shape, run):
            if 1 in reading.shape and not axes.endswith("k"):
                continue
            sizes = dict(zip(axes, reading.shape, strict=True))
            usual = reading.cost + _unusual(axes, named, run)
            for others in _other_parts(axes, sizes, run, sequences):
                cost = usual + sum(part.cost for part in others)
                one = Arrangement(
                    cost, axes, AxisRange(0, run.steps, run.steps), *others,
                    reading.shape, reading.order, reading.places, run,
                )  # fmt: skip
                of_steps = _steps(sizes.get("t"), run.steps, steps)
                found.append(_with_steps(one, of_steps))
    return merge(*found, key=lambda one: one.cost)


def _other_parts(
    axes: str, sizes: Mapping[str, int], run: RunShape, items: Sequence[int] | None
) -> Iterator[tuple[AxisRange, AxisRange, AxisRange]]:
    """The parts of sequences, directions and units that an array of these axes may have."""
    of_units = AxisRange(0, run.units, run.units)
    if sizes.get("k", run.units) < run.units:
        of_units = AxisRange(0, sizes["k"], run.units, cost=FIRST_UNITS)
    D = run.directions
    directions = [AxisRange(0, D, D)]
    if D > 1 and {*axes}.isdisjoint("dw"):
        directions = [AxisRange(n, 1, D, cost=ONE_DIRECTION + n) for n in range(D)]
    of_sequences = _sequences(sizes.get("b"), run.sequences, items)
    return product(of_sequences, directions, [of_units])


class _Reading(NamedTuple):
    """The shape that an array is taken to have."""

    shape: tuple[int, ...]  # without axes of length 1
    places: tuple[int, ...] | None = None  # of these axes in the array; None: in a row
    order: Literal["C", "F"] = "C"  # of the numbers
    cost: float = 0.0


def _readings(shape: Sequence[int], run: RunShape) -> Iterator[_Reading]:
    """The array as it is; or its numbers, in a row or in rows, in the run's axes.

    A last axis of 1 may be the first unit. Other axes of 1 are dropped.
    """
    places = tuple(n for n, size in enumerate(shape) if size != 1)
    slim = tuple(shape[n] for n in places)
    yield _Reading(slim, places)
    if run.units > 1 and tuple(shape[-1:]) == (1,):
        yield _Reading((*slim, 1), (*places, len(shape) - 1))
    width = run.lengths[run.axes[-1]]
    full_shapes = _full_shapes(run)
    for full in full_shapes:
        in_rows = (prod(full) // width, width)
        if slim == full or slim not in ((prod(full),), in_rows):
            continue
        yield _Reading(full, cost=IN_A_ROW)
        if len(slim) == 1:
            yield _Reading(full, order="F", cost=BY_COLUMNS)
    if len(slim) == 1 and 1 < width < slim[0] and slim[0] % width == 0:
        rows = (slim[0] // width, width)
        if rows not in full_shapes:
            yield _Reading(rows, cost=IN_A_ROW)


def _full_shapes(run: RunShape) -> list[tuple[int, ...]]:
    """The shape of the run, and that with steps and sequences exchanged; without axes of 1."""
    exchanged = run.axes.translate(str.maketrans("tb", "bt"))
    shapes = []
    for axes in (run.axes, exchanged):
        lengths = [run.lengths[axis] for axis in axes]
        shapes.append(tuple(length for length in lengths if length != 1))
    return list(dict.fromkeys(shapes))


def _axes(shape: Sequence[int], run: RunShape) -> Iterator[str]:
    """Every order of axes that an array of a shape may have."""
    for axes in map("".join, permutations(run.lengths, len(shape))):
        has_units = run.units == 1 or not {*axes}.isdisjoint("kw")
        has_both = "w" in axes and not {*axes}.isdisjoint("dk")
        if has_units and not has_both and _fits(axes, shape, run):
            yield axes


def _fits(axes: str, shape: Sequence[int], run: RunShape) -> bool:
    """Return whether each axis has the run's length, or of steps, sequences and units a part."""
    for axis, size in zip(axes, shape, strict=True):
        length = run.lengths[axis]
        if size > length or (axis in "dw" and size < length):
            return False
    return True


def _in_order(some: str, of: str) -> str:
    return "".join(axis for axis in of if axis in some)


def _unusual(axes: str, places: Sequence[int], run: RunShape) -> float:
    """The cost of an order of axes, at ``places`` of an array of the run's axes."""
    usual, cost = run.axes, 0.0
    lead = _in_order("tb", axes)
    in_place = all(
        usual[at] == axis
        for at, axis in zip(places, axes, strict=False)
        if axis in "tb"
    )
    if lead != _in_order(lead, usual) or not in_place:
        cost += EXCHANGED
    if any(axis in axes[:-1] for axis in "kw"):
        cost += UNITS_FIRST
    is_joined = "w" in axes and "w" not in usual
    is_stacked = "d" in axes and axes != _in_order(axes, usual)
    return cost + OTHER_DIRECTIONS if is_joined or is_stacked else cost


def _with_steps(
    one: Arrangement, of_steps: Iterator[AxisRange]
) -> Iterator[Arrangement]:
    for steps in of_steps:
        yield one._replace(steps=steps, cost=one.cost + steps.cost)


def _steps(
    n: int | None, T: int, of_steps: Sequence[int] | None
) -> Iterator[AxisRange]:
    """All steps, the first, the last, every s-th, or a window; or one step."""
    of_last = LAST_STEP if T > 1 else 0.0
    if n is None and of_steps is not None:
        yield from (AxisRange(step, 1, T, cost=of_last) for step in of_steps)
    elif n is None:
        yield AxisRange(T - 1, 1, T, cost=of_last)
        for t in range(T - 1):
            yield AxisRange(t, 1, T, cost=OTHER_STEP if t else FIRST_STEP)
    elif n == T:
        yield AxisRange(0, n, T)
    elif of_steps is None:
        yield AxisRange(0, n, T, cost=FIRST)
        yield AxisRange(T - n, n, T, cost=LAST)
        if n > 1:
            yield from _strides(n, T)
        yield from (AxisRange(first, n, T, cost=WINDOW) for first in range(1, T - n))


def _strides(n: int, T: int) -> Iterator[AxisRange]:
    """Every s-th of T steps, n of them: x[::s], x[s - 1::s], or up to the last step."""
    for stride in range(2, (T - 1) // (n - 1) + 1):
        span = stride * (n - 1)
        for first in sorted({0, stride - 1, T - 1 - span}):
            if first + span < T:
                yield AxisRange(first, n, T, stride, STRIDE)


def _sequences(
    n: int | None, B: int, items: Sequence[int] | None
) -> Iterator[AxisRange]:
    if n is not None:
        yield AxisRange(0, n, B, cost=FIRST_SEQUENCES if n < B else 0.0)
        return
    if items is None:
        items = range(B)
    for item in items[:MOST_SEQUENCES]:
        yield AxisRange(item, 1, B, cost=ONE_SEQUENCE if B > 1 else 0.0)


def words(one: Arrangement, ends: str = "") -> str:
    """``the first 3 of 7 steps, sequence 2 of 4``; empty for the run as it is.

    ``ends`` is what the last step is called.
    """
    steps, sequences = one.steps.words("step"), one.sequences.words("sequence")
    if one.steps.is_last_step:
        steps = ends or steps
        if sequences:
            which = sequences.removesuffix(f" of {one.sequences.of}")
            steps, sequences = "", f"{steps} of {which}"
    texts = [*_order_words(one), _directions_words(one), steps, sequences]
    texts.append(one.units.words("unit"))
    return ", ".join(filter(None, texts))


def _order_words(one: Arrangement) -> Iterator[str]:
    if one.in_a_row:
        yield "numbers in a row"
    if one.order == "F":
        yield "column by column"
    after_units = one.axes.replace("w", "k").partition("k")[2]
    if one.units_first and "t" in after_units:
        yield "units before steps"
    elif one.units_first:
        yield "units before sequences"
    elif one.exchanged and one.run.layout == "batch":
        yield "(steps, batch, units)"
    elif one.exchanged:
        yield "(batch, steps, units)"


def _directions_words(one: Arrangement) -> str:
    """``the backward direction``, or where the directions are, if not as in the run."""
    part, axes, run = one.directions, one.axes, one.run.axes
    if not part.is_all and part.of == 2:
        return f"the {('forward', 'backward')[part.first]} direction"
    if not part.is_all:
        return part.words("direction")
    if "w" in axes and "w" not in run:
        return "directions side by side"
    if one.places is None or "d" not in axes or axes == _in_order(axes, run):
        return ""
    return f"directions on axis {one.places[axes.index('d')]}"
