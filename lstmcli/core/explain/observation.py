"""EXPECTED on the axes of a run: known values, and how exact they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import FINAL, OF_HEAD, ArrayName, Side
from lstmcli.core.diff.tolerance import FLOAT64, Numbers, last_places
from lstmcli.core.model.arrays import Array, round_to_format, spacing

Arrays = Mapping[str, Array]


class Allowance(NamedTuple):
    """The tolerance of an element e: half its printed unit + absolute + relative |e|."""

    absolute: float
    relative: float
    name: str = ""
    stored: str = ""  # the format of EXPECTED: half a unit of it more

    def of(self, known: KnownValues) -> Array:
        """For each element."""
        allowed: Array = (
            known.half + self.absolute + self.relative * np.abs(known.values)
        )
        return (
            allowed + 0.5 * spacing(known.values, self.stored)
            if self.stored
            else allowed
        )

    def times(self, factor: float) -> Allowance:
        """The same for a multiple of the rounding, and as printed."""
        absolute, relative = factor * self.absolute, factor * self.relative
        return self._replace(absolute=absolute, relative=relative)


EPS32 = float(np.finfo(np.float32).eps)
# 8 eps: a run in another order of operations
SINGLE = Allowance(1e-6, 1.3e-6, "float32")
EXACT = Allowance(1e-9, 1e-9, "float64")
NEAR = 1e-2  # a difference of rounding without chaos
NUMBERS = 600  # of EXPECTED, evenly chosen, for full runs


@dataclass(frozen=True, eq=False)
class KnownValues:
    """An array of EXPECTED, (T, B, K) or (B, K) for a last state; NaN is not known."""

    values: Array
    half: Array  # of a printed unit, or 0; same shape

    def __getitem__(self, key: Any) -> KnownValues:
        """A part of them, as of an array."""
        return KnownValues(self.values[key], self.half[key])


class WantedNumbers(NamedTuple):
    """Known numbers of an array of EXPECTED in one sequence."""

    cell: str  # whose array it is; "": the output of the model
    array: str
    at: tuple[Array, ...]  # steps and units (E,); units only, of a last state
    values: Array  # (E,)
    allowed: Array  # (E,) tolerances

    @property
    def has_steps(self) -> bool:
        """Tell whether they are not of a last state."""
        return len(self.at) == 2

    def subset(self, which: Any) -> WantedNumbers:
        """Some of the numbers."""
        at = tuple(axis[which] for axis in self.at)
        return self._replace(
            at=at, values=self.values[which], allowed=self.allowed[which]
        )

    def thinned(self) -> WantedNumbers:
        """The numbers that full runs are compared with."""
        count = len(self.values)
        return self.subset(np.linspace(0, count - 1, min(NUMBERS, count)).astype(int))


@dataclass(frozen=True, eq=False)
class Expected:
    """EXPECTED on the axes of a run, by names: ``h``, ``layer0.final_c``."""

    arrays: Mapping[str, KnownValues]

    @property
    def has_steps(self) -> bool:
        """Tell whether it has more than last states."""
        return any(ArrayName.of(name).kind != FINAL for name in self.arrays)

    def at_known(self, of: Callable[[str, KnownValues], Array]) -> Array:
        """The values of arrays of the same shapes at each known number."""
        parts = [
            of(name, known)[np.isfinite(known.values)]
            for name, known in self.arrays.items()
        ]
        return np.concatenate([np.zeros(0), *parts])

    def is_in(self, given: Arrays) -> bool:
        """Tell whether a run has all these arrays, each of the same shape."""
        return all(
            n in given and given[n].shape == k.values.shape
            for n, k in self.arrays.items()
        )

    @property
    def outputs(self) -> dict[str, KnownValues]:
        """The arrays of h."""
        return {
            name: k for name, k in self.arrays.items() if ArrayName.of(name).base == "h"
        }

    @property
    def is_complete(self) -> bool:
        """Tell whether all of h is known."""
        known = (np.isfinite(one.values).all() for one in self.outputs.values())
        return bool(self.outputs) and all(known)

    def at(self, valid: Array) -> Expected:
        """The numbers at the steps (T, B) that count; last states as they are."""
        of_steps = {
            name: KnownValues(np.where(valid[..., None], one.values, np.nan), one.half)
            for name, one in self.arrays.items()
            if one.values.ndim == 3
        }
        return Expected({**self.arrays, **of_steps})

    @property
    def steps(self) -> int:
        """How many steps something is known of; of last states alone, none."""
        known = (
            np.isfinite(k.values) for k in self.arrays.values() if k.values.ndim == 3
        )
        return max((int(one.any(axis=(1, 2)).sum()) for one in known), default=0)

    @property
    def numbers(self) -> int:
        """How many numbers are known."""
        return sum(
            int(np.isfinite(known.values).sum()) for known in self.arrays.values()
        )

    @property
    def is_of_head(self) -> bool:
        """Tell whether they are what a head makes."""
        return not {*self.arrays}.isdisjoint(OF_HEAD)

    def distinct(self, allowance: Allowance, among: Array | slice = slice(None)) -> int:
        """How many numbers a tolerance distinguishes.

        ``among`` is the truth of each that counts.
        """
        known = self.at_known(lambda _, known: known.values)[among]
        allowed = self.at_known(lambda _, known: allowance.of(known))[among]
        values, slack = np.stack([known, allowed])[:, np.argsort(known)]
        return 1 + int((np.diff(values) > 2 * slack[1:]).sum()) if values.size else 0

    def best_known(self, valid: Array | None) -> int:
        """The sequence of which most is known, at steps that count."""
        masked = self if valid is None else self.at(valid)
        known = (np.isfinite(one.values) for one in masked.arrays.values())
        counts: Any = sum(one.sum(axis=(0, 2) if one.ndim == 3 else 1) for one in known)
        if valid is not None:  # of a sequence without steps nothing is run
            counts = np.where(valid.any(axis=0), counts, -1)
        return int(np.argmax(counts))

    @property
    def padded(self) -> tuple[Array, str]:
        """Steps (T, B) at which h is zero or does not change, and which it is."""
        if not self.is_complete:
            return np.zeros((1, 1), bool), ""
        h = [known.values for known in self.outputs.values()]
        changes = (np.diff(one, axis=0, prepend=0) for one in h)
        zero, same = (
            np.array([(a == 0).all(axis=2) for a in each]) for each in (h, changes)
        )
        padded = (zero | same).all(axis=0)
        return padded, "zero" if zero[:, padded].all() else "repeat"

    def targets(
        self,
        allowance: Allowance,
        item: int,
        keep: Array,
        array: str,
        only: str,
    ) -> Iterator[WantedNumbers]:
        """The known numbers of one sequence, those of an ``only`` cell by its name."""
        for name, known in self.arrays.items():
            part = ArrayName.of(name)
            one = known[..., item, :] if part.kind == FINAL else known[keep, item]
            at = np.nonzero(np.isfinite(one.values))
            if len(at[0]):
                cell = only or part.prefix
                base = part.base
                if base not in OF_HEAD:
                    base = base.replace("h", array)
                yield WantedNumbers(
                    cell, base, at, one.values[at], allowance.of(one)[at]
                )


EPS: Mapping[str, float] = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
HALF, BRAIN = (Allowance(8 * eps, 8 * eps, name) for name, eps in EPS.items())
"""The most of half precision; most nets predict less."""
MOST_ROUNDED = 6  # digits after the point: with more, float32's tolerance does
# by which printed numbers are finer than a grid on which they lie
GRID_DIGITS = 8.0


def grid_of(arrays: Mapping[str, Numbers]) -> str:
    """The coarser dtype that has every number of EXPECTED, as far as is printed."""
    names = BRAIN.name, HALF.name  # that of fewer digits first: it is more telling
    grids = (
        name for name in names if all(_on_grid(one, name) for one in arrays.values())
    )
    return next(grids, "")


def _on_grid(numbers: Numbers, name: str) -> bool:
    is_known = np.isfinite(numbers.values)
    values = numbers.values[is_known].astype(np.float64)
    off = np.abs(round_to_format(values, name) - values)
    if numbers.unit is None:
        return not off.any()
    unit = numbers.unit[is_known]
    # the shortest digits of a float32 lie within half of its spacing
    slack = 0.5 * unit + 0.5 * np.spacing(np.abs(values).astype(np.float32))
    ratios = spacing(values, name) / np.where(unit > 0, unit, np.inf)
    finer = np.log10(np.maximum(ratios, 1)).sum()
    return bool((off <= slack).all() and finer >= GRID_DIGITS)


def as_printed(
    arrays: Mapping[str, Numbers],
) -> tuple[Mapping[str, Numbers], int | None]:
    """Arrays with the units to which they were rounded, and the digits after the point.

    As they are if on the grid of a dtype, or of digits that chance may give.
    """
    parts = [n.values.ravel().astype(np.float32) for n in arrays.values()]
    values = np.concatenate([*parts, np.zeros(0, np.float32)])
    places, unit = last_places(values, MOST_ROUNDED)
    if is_printed(n.unit for n in arrays.values()) or not places or unit is None:
        return arrays, None
    counts = np.isfinite(values) & (values != 0)
    ratios = unit[counts] / np.spacing(np.abs(values[counts]))
    if np.log10(np.maximum(ratios, 1)).sum() < GRID_DIGITS or grid_of(arrays):
        return arrays, None
    units = np.split(unit, np.cumsum([part.size for part in parts]))
    printed = {
        name: Numbers(n.values, u.reshape(n.shape) + (0 if n.unit is None else n.unit))
        for (name, n), u in zip(arrays.items(), units, strict=False)
    }
    return printed, places  # what was left out keeps its infinite unit


def is_printed(units: Iterable[Array | None]) -> bool:
    """Tell whether a number was printed, not just left out."""
    return any(
        unit is not None and ((unit > 0) & (unit < np.inf)).any() for unit in units
    )


class Exactness(NamedTuple):
    """How exact EXPECTED is."""

    allowances: tuple[Allowance, ...]  # the tolerances of EXPECTED, tight before loose
    name: str  # a dtype, or "printed"
    digits: int | None  # of printed output
    coarse: tuple[Allowance, ...]  # of half precision, if EXPECTED may come from it
    grid: str  # the format that has all of EXPECTED; "": none


def exactness_of(
    side: Side,
    arrays: Mapping[str, Numbers],
    rounded: int | None,
    dtype: str,
) -> Exactness:
    """How exact EXPECTED is, by its file and its numbers; ``dtype``: of the weights."""
    names = [n for n in side.arrays if (n or "h") in arrays] or side.arrays
    stored = {side.precision(name).name for name in names}
    known = [n.values[np.isfinite(n.values)] for n in arrays.values()]
    is_single = all((values == values.astype(np.float32)).all() for values in known)
    allowances: tuple[Allowance, ...] = (SINGLE,)
    name = "float32"
    if half := [one for one in (BRAIN, HALF) if one.name in stored]:
        allowances, name = (half[0],), half[0].name
    elif is_printed(numbers.unit for numbers in arrays.values()):
        name = "printed"
    elif stored == {FLOAT64.name} and not is_single:
        allowances, name = (EXACT, SINGLE), "float64"
    digits = rounded or printed_digits(arrays) if name == "printed" else None
    grid = name if name in EPS else grid_of(arrays)
    coarse = tuple(a for a in (HALF, BRAIN) if grid in ("", a.name))
    if dtype in EPS:  # every operation of the run is rounded
        coarse = () if name in EPS else coarse
    elif grid:
        on_grid = SINGLE._replace(name=grid, stored=grid)
        allowances = (on_grid,) if name in EPS else (allowances[0], on_grid)
    return Exactness(allowances, name, digits, coarse, grid)


def printed_digits(arrays: Mapping[str, Numbers]) -> int | None:
    """The digits to which all arrays are printed, if they are."""
    units = [n.unit.ravel() for n in arrays.values() if n.unit is not None]
    sizes = np.concatenate([np.zeros(0), *units])
    places = np.round(-np.log10(sizes[(sizes > 0) & np.isfinite(sizes)])).astype(int)
    return (
        max(int(places[0]), 0) if places.size and (places == places[0]).all() else None
    )
