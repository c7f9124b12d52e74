"""How much the two arrays of a pair differ, and at which elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.linalg import norm

from lstmcli.core.diff.operand import FINAL, ArrayName
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask, excess, largest, ulps, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.vocabulary import GATES
from lstmcli.outputs import jsonable

# ---- elements


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

    def words(self, *, batch: bool = True, named: bool = False) -> str:
        """``step 3, gate f, batch 1, unit 0`` if ``named``, or an index: ``[2, 0]``."""
        if self.index is not None:
            return f"[{', '.join(map(str, self.index))}]"
        parts = []
        if self.step is not None:
            parts.append(f"step {self.step}")
        if named:
            is_gate = ArrayName.of(self.array).base in GATES
            parts.append(f"gate {self.array}" if is_gate else self.array)
        if batch and self.batch is not None:
            parts.append(f"batch {self.batch}")
        if self.unit is not None:
            parts.append(f"unit {self.unit}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The place without the name of its array."""
        values = {"a": jsonable(self.a), "b": jsonable(self.b)}
        if self.index is not None:
            return {"index": list(self.index)} | values
        return {"step": self.step, "batch": self.batch, "unit": self.unit} | values


def place_of(pair: Pair, flat: int | np.intp) -> Position:
    """The element of this number in the order of memory."""
    index = tuple(int(n) for n in np.unravel_index(flat, pair.a.shape))
    values = float(pair.a.values[index]), float(pair.b.values[index])
    in_run = pair.index_in_run(index)
    if not pair.placed:
        return Position(pair.name, *values, index=in_run)
    step, batch, unit = in_run
    if pair.kind == FINAL:
        return Position(pair.name, *values, None, batch, unit)
    return Position(pair.name, *values, step, batch, unit)


def words_of_place(place: Position, pair: Pair, *, named: bool = False) -> str:
    """An element of a pair in words: the batch item only if there are several."""
    is_one = pair.placed and pair.a.shape[1] == 1
    return place.words(batch=not is_one, named=named)


# ---- figures


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
        return self.pair.numbers_agree and not self.pair.placement.is_half

    def to_json(self) -> dict[str, Any]:
        """The figures; ``shape`` is that of a, or both if not aligned."""
        one, other = map(list, self.shapes)
        figures = ("mismatched", "total", "max_abs", "max_rel", "max_ulp", "cosine")
        json: dict[str, Any] = {
            "equal": self.equal,
            "shape": [one, other] if self.mismatched is None else one,
        }
        json |= {name: jsonable(getattr(self, name)) for name in figures}
        json["snr_db"] = jsonable(self.snr)
        json["first"] = self.first.to_json() if self.first else None
        optional = {"left_out": self.left_out, "aligned": self.pair.placement.words}
        return json | {key: value for key, value in optional.items() if value}


def measure(
    pair: Pair, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> ArrayDifference:
    """Count and measure what differs in one array, of these shapes in files."""
    if pair.agrees is None:
        return ArrayDifference(pair, shapes)
    left_out = pair.left_out
    same = _same(pair)
    absolute, relative = _errors(pair, same)
    max_ulp, ulp_at = _largest_in_ulps(pair, absolute)
    cosine, snr = similarity(pair, ~left_out)
    step_errors, steps_compared = None, None
    if pair.stepwise:
        step_errors = absolute.max(axis=(1, 2), initial=0.0)
        steps_compared = np.any(~left_out, axis=(1, 2))
    return ArrayDifference(
        pair,
        shapes,
        mismatched=int(np.count_nonzero(pair.differs)),
        total=int(np.count_nonzero(~left_out)),
        max_abs=largest(absolute),
        max_rel=largest(relative),
        max_ulp=max_ulp,
        abs_at=place_of(pair, absolute.argmax()),
        ulp_at=ulp_at,
        first=_first(pair),
        smallest_atol=_smallest_atol(pair, same),
        cosine=cosine,
        snr=snr,
        step_errors=step_errors,
        steps_compared=steps_compared,
        left_out=int(np.count_nonzero(left_out)) if pair.padded is None else 0,
    )


def _same(pair: Pair) -> Mask:
    """True where there is no error at all: equal, both NaN if that counts, or left out."""
    a, b = widened(pair.a.values, pair.b.values)
    same: Mask = (a == b) | pair.left_out
    if pair.tolerance.equal_nan:
        same = same | (np.isnan(a) & np.isnan(b))
    return same


def _errors(pair: Pair, same: Mask) -> tuple[Array, Array]:
    """The absolute and the relative error of each element; 0 where they are the same."""
    with np.errstate(all="ignore"):
        absolute = np.where(same, 0.0, pair.errors)
        _, b = widened(pair.a.values, pair.b.values)
        relative = np.where(same, 0.0, absolute / np.abs(b))
        return absolute, np.where(np.isinf(absolute), np.inf, relative)


def _smallest_atol(pair: Pair, same: Mask) -> float | None:
    """The absolute tolerance that lets all pass; None if there is none."""
    with np.errstate(all="ignore"):
        smallest = largest(np.where(same, 0.0, excess(pair.a, pair.b)))
    return smallest if np.isfinite(smallest) else None


def _largest_in_ulps(
    pair: Pair, absolute: Array
) -> tuple[float | int | None, Position | None]:
    """The largest error in ULPs and its element; NaN of a NaN, None of printed text."""
    if pair.a.unit is not None or pair.b.unit is not None:
        return None, None
    is_nan = np.isnan(absolute)
    if is_nan.any():
        return np.nan, place_of(pair, is_nan.argmax())
    off = ulps(pair.a.values, pair.b.values, pair.tolerance.precision)
    off[absolute == 0] = 0  # NaNs that count as equal
    return int(off.max(initial=0)), place_of(pair, off.argmax())


def _first(pair: Pair) -> Position | None:
    """The element that differs first, in the order of computation."""
    if pair.numbers_agree:
        return None
    ordered = pair.as_computed
    return place_of(ordered, ordered.differs.argmax())


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
        if not signal:
            return cosine, None
        return cosine, 20 * float(np.log10(signal / norm(a - b)))
