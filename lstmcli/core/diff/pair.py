"""Two arrays of one name on the same axes: how much they differ, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import norm

from lstmcli.core.diff.operand import FINAL, SEQUENCE, ArrayName
from lstmcli.core.diff.tolerance import (
    Mask,
    Numbers,
    Tolerance,
    excess,
    largest,
    ulps,
    widened,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.part import Indices, NumberedPart, counts_from_0
from lstmcli.outputs import jsonable


class Taken(NamedTuple):
    """The interpretation of an array of one side."""

    side: str  # as messages call it
    words: str
    shape: tuple[int, ...] | None = None  # None: it is a part that was selected

    def text(self, verb: str = "is interpreted as") -> str:
        """``a.npy, (7, 5), is interpreted as sequence 2 of 4``."""
        return f"{self.side}{f', {self.shape},' * bool(self.shape)} {verb} {self.words}"


@dataclass(frozen=True, eq=False)
class Pair:
    """An array of a and one of b, and the test they have to pass.

    Sequences are (T, B, H), final states (1, B, H); others have the axes of their files.
    """

    name: str
    a: Numbers
    b: Numbers
    tolerance: Tolerance
    placed: bool = False  # on axes of step, batch item and unit
    cost: float = 0.0  # of these axes, if their layouts do not give them
    backward: bool = False  # the last step was computed first
    numbers: tuple[Indices | None, ...] = (
        None,
        None,
        None,
    )  # in the full run; None: all from 0
    names: tuple[str, str] = ("a", "b")  # what messages call the sides
    taken: tuple[Taken, ...] = ()  # what was done to bring the sides together
    axes_named: bool = False  # by `taken`, which tells steps and sequences
    is_half: bool = False  # one side has one direction of two
    unaligned: str = ""  # why the sides were not brought together
    parts: tuple[tuple[int, NumberedPart], ...] = ()  # of a run, of side 0 or 1
    at_ends: bool = False  # the one step is an end of each sequence
    padded: Mask | None = None  # (T, B): true at steps that are not compared

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return FINAL if self.at_ends else ArrayName.of(self.name).kind

    @property
    def taken_as(self) -> str:
        """How each side is interpreted, in words."""
        return "; ".join(one.text() for one in self.taken)

    @property
    def stepwise(self) -> bool:
        """Return whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    @property
    def from_the_start(self) -> bool:
        """Return whether what was computed first is compared."""
        steps = self.numbers[0]
        return steps is None or (counts_from_0(steps) and not self.backward)

    def numbers_of(self, index: Sequence[int]) -> tuple[int, ...]:
        """An index in the full run; if placed, step, batch item and unit."""
        axes = zip_longest(index, self.numbers[: len(index)])
        return tuple(n if numbers is None else numbers[n] for n, numbers in axes)

    def moved(self, how: Callable[[Array], Array]) -> Pair:
        """The pair after ``how`` has moved the numbers of both sides."""
        return replace(self, a=self.a.moved(how), b=self.b.moved(how))

    @property
    def as_computed(self) -> Pair:
        """The pair with the steps in the order in which they were computed."""
        if not (self.backward and self.stepwise):
            return self
        numbers = (
            (self.numbers[0] or range(len(self.a.values)))[::-1],
            *self.numbers[1:],
        )
        padded = None if self.padded is None else self.padded[::-1]
        return replace(self.moved(lambda v: v[::-1]), numbers=numbers, padded=padded)

    @property
    def start(self) -> Pair:
        """The step that was computed first; without steps all of the pair."""
        return self.as_computed.moved(lambda v: v[:1]) if self.stepwise else self

    @property
    def left_out(self) -> Mask:
        """True where printed output left the element out, or the step is padding."""
        padded = False if self.padded is None else self.padded[..., None]
        return self.a.left_out | self.b.left_out | padded

    @cached_property
    def agrees(self) -> Mask | None:
        """True where an element agrees; None if the shapes differ."""
        return (
            self.tolerance.agree(self.a, self.b)
            if self.a.shape == self.b.shape
            else None
        )

    @property
    def differs(self) -> Mask:
        """True where an element differs."""
        return ~np.asarray(self.agrees)

    @property
    def is_dense(self) -> bool:
        """Tell whether most units differ in rows that do, as by a cause in the cell."""
        return bool(self.differs[self.differs.any(axis=-1)].mean() > 0.5)

    @cached_property
    def errors(self) -> Array:
        """|a - b| of arrays of one shape, in float64 or wider."""
        with np.errstate(all="ignore"):
            a, b = widened(self.a.values, self.b.values)
            return np.asarray(np.abs(a - b))

    @property
    def numbers_agree(self) -> bool:
        """Return whether all that is compared agrees."""
        return self.agrees is not None and bool(self.agrees.all())


@dataclass(frozen=True)
class Position:
    """An element and its two values; of weights an index, of final states no step."""

    array: str
    a: float
    b: float
    step: int | None = None
    batch: int | None = None
    unit: int | None = None
    index: tuple[int, ...] | None = None

    def words(self, *, batch: bool = True, array: str = "") -> str:
        """``step 3, gate f, batch 1, unit 0`` with an ``array``, or an index: ``[2, 0]``."""
        if self.index is not None:
            return f"[{', '.join(map(str, self.index))}]"
        axes = {
            "step": self.step,
            "batch": self.batch if batch else None,
            "unit": self.unit,
        }
        parts = [f"{axis} {n}" for axis, n in axes.items() if n is not None]
        if array:
            parts.insert(self.step is not None, array)
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The place without the name of its array."""
        values = {"a": jsonable(self.a), "b": jsonable(self.b)}
        if self.index is not None:
            return {"index": list(self.index)} | values
        return {"step": self.step, "batch": self.batch, "unit": self.unit} | values


@dataclass(frozen=True, eq=False)
class ArrayDifference:
    """How an array differs in a and b; of different shapes all figures are None."""

    pair: Pair  # as they were compared
    shapes: tuple[tuple[int, ...], tuple[int, ...]]  # as in the files
    mismatched: int | None = None
    total: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    max_ulp: float | int | None = None  # None as well for printed text
    abs_at: Position | None = None
    ulp_at: Position | None = None
    first: Position | None = None  # in the order of computation
    smallest_atol: float | None = None  # with rtol 0; None if no atol lets it pass
    cosine: float | None = None  # of a and b; None where one is zero
    snr: float | None = None  # dB: the power of b over that of a - b
    step_errors: Array | None = None  # (T,) largest absolute error of each step
    steps_compared: Mask | None = None  # (T,) false where all is left out
    left_out: int = 0  # not in ``total``

    @property
    def name(self) -> str:
        """The name of both arrays."""
        return self.pair.name

    @property
    def equal(self) -> bool:
        """Return whether it agrees, and no side lacks a direction."""
        return self.pair.numbers_agree and not self.pair.is_half

    def to_json(self) -> dict[str, Any]:
        """The figures; ``shape`` is that of a, or both if not aligned."""
        one, other = map(list, self.shapes)
        figures = ("mismatched", "total", "max_abs", "max_rel", "max_ulp", "cosine")
        optional = {"left_out": self.left_out, "aligned": self.pair.taken_as}
        return {
            "equal": self.equal,
            "shape": [one, other] if self.mismatched is None else one,
            **{name: jsonable(getattr(self, name)) for name in figures},
            "snr_db": jsonable(self.snr),
            "first": self.first.to_json() if self.first else None,
        } | {key: value for key, value in optional.items() if value}


def measure(
    pair: Pair, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> ArrayDifference:
    """Count and measure what differs in one array, of these shapes in files."""
    if pair.agrees is None:
        return ArrayDifference(pair, shapes)
    unknown = pair.left_out
    with np.errstate(all="ignore"):
        x, y = widened(pair.a.values, pair.b.values)
        both_nan = np.isnan(x) & np.isnan(y) & pair.tolerance.equal_nan
        same = (x == y) | unknown | both_nan
        absolute = np.where(same, 0.0, pair.errors)
        relative = np.where(same, 0.0, absolute / np.abs(y))
        relative = np.where(np.isinf(absolute), np.inf, relative)
        smallest = largest(np.where(same, 0.0, excess(pair.a, pair.b)))
    max_ulp, ulp_at = None, None
    if pair.a.unit is None and pair.b.unit is None:
        off = ulps(pair.a.values, pair.b.values, pair.tolerance.precision)
        off[absolute == 0] = 0  # NaNs that count as equal
        nan = np.isnan(absolute)
        max_ulp = np.nan if nan.any() else int(off.max(initial=0))
        ulp_at = place_of(pair, (nan if nan.any() else off).argmax())
    cosine, snr = similarity(pair, ~unknown)
    by_step = (1, 2) if pair.stepwise else None
    return ArrayDifference(
        pair,
        shapes,
        mismatched=int(np.count_nonzero(pair.differs)),
        total=int(np.count_nonzero(~unknown)),
        max_abs=largest(absolute),
        max_rel=largest(relative),
        max_ulp=max_ulp,
        abs_at=place_of(pair, absolute.argmax()),
        ulp_at=ulp_at,
        first=None
        if pair.numbers_agree
        else place_of(pair.as_computed, pair.as_computed.differs.argmax()),
        cosine=cosine,
        snr=snr,
        smallest_atol=smallest if np.isfinite(smallest) else None,
        step_errors=absolute.max(axis=by_step, initial=0.0) if by_step else None,
        steps_compared=np.any(~unknown, axis=by_step) if by_step else None,
        left_out=int(np.count_nonzero(unknown)) if pair.padded is None else 0,
    )


def similarity(pair: Pair, of: Mask) -> tuple[float | None, float | None]:
    """The cosine of the angle between a and b, and the signal-to-noise ratio of a in dB.

    Of some numbers; NaN if one is not finite. The noise is a - b, the signal b.
    """
    with np.errstate(all="ignore"):
        a, b = (side.values[of].astype(np.float64) for side in (pair.a, pair.b))
        scale = largest(np.abs([a, b])) or 1.0
        if not np.isfinite(scale):
            return float("nan"), float("nan")
        a, b = a / scale, b / scale  # squares of numbers of size 1 do not overflow
        norms, signal = norm(a) * norm(b), norm(b)
        cosine = float(np.clip(a @ b / norms, -1.0, 1.0)) if norms else None
        return cosine, 20 * float(np.log10(signal / norm(a - b))) if signal else None


def place_of(pair: Pair, flat: int | np.intp) -> Position:
    """The element of this number in the order of memory."""
    index = tuple(int(n) for n in np.unravel_index(flat, pair.a.shape))
    values = float(pair.a.values[index]), float(pair.b.values[index])
    if not pair.placed:
        return Position(pair.name, *values, index=pair.numbers_of(index))
    step, batch, unit = pair.numbers_of(index)
    return Position(
        pair.name, *values, None if pair.kind == FINAL else step, batch, unit
    )
