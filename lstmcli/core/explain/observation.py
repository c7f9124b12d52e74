"""EXPECTED on the axes of a run: known values, and the tolerance of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import FINAL, OF_HEAD, ArrayName
from lstmcli.core.model.arrays import Array, spacing

Arrays = Mapping[str, Array]


class Allowance(NamedTuple):
    """The tolerance of an element e: half its printed unit + absolute + relative |e|."""

    absolute: float
    relative: float
    name: str = ""
    stored: str = ""  # the format of EXPECTED: half a unit of it more

    def of(self, known: KnownValues) -> Array:
        """For each element."""
        allowed = known.half + self.absolute + self.relative * np.abs(known.values)
        if self.stored:
            allowed = allowed + 0.5 * spacing(known.values, self.stored)
        return np.asarray(allowed)

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
        parts = [np.zeros(0)]
        for name, known in self.arrays.items():
            parts.append(of(name, known)[np.isfinite(known.values)])
        return np.concatenate(parts)

    @property
    def _known(self) -> Array:
        return self.at_known(lambda _, known: known.values)

    def is_in(self, given: Arrays) -> bool:
        """Tell whether a run has all these arrays, each of the same shape."""
        for name, known in self.arrays.items():
            if name not in given or given[name].shape != known.values.shape:
                return False
        return True

    @property
    def outputs(self) -> dict[str, KnownValues]:
        """The arrays of h."""
        arrays = self.arrays.items()
        return {name: one for name, one in arrays if ArrayName.of(name).base == "h"}

    @property
    def is_complete(self) -> bool:
        """Tell whether all of h is known."""
        outputs = self.outputs.values()
        return bool(outputs) and all(np.isfinite(one.values).all() for one in outputs)

    def at(self, valid: Array) -> Expected:
        """The numbers at the steps (T, B) that count; last states as they are."""
        arrays = dict(self.arrays)
        for name, one in self.arrays.items():
            if one.values.ndim == 3:
                values = np.where(valid[..., None], one.values, np.nan)
                arrays[name] = KnownValues(values, one.half)
        return Expected(arrays)

    @property
    def steps(self) -> int:
        """How many steps something is known of; of last states alone, none."""
        most = 0
        for one in self.arrays.values():
            if one.values.ndim == 3:
                is_known = np.isfinite(one.values).any(axis=(1, 2))
                most = max(most, int(is_known.sum()))
        return most

    @property
    def numbers(self) -> int:
        """How many numbers are known."""
        return self._known.size

    @property
    def is_of_head(self) -> bool:
        """Tell whether they are what a head makes."""
        return not {*self.arrays}.isdisjoint(OF_HEAD)

    def distinct(self, allowance: Allowance, among: Array | slice = slice(None)) -> int:
        """How many numbers a tolerance distinguishes.

        ``among`` is the truth of each that counts.
        """
        known = self._known[among]
        allowed = self.at_known(lambda _, known: allowance.of(known))[among]
        if not known.size:
            return 0
        order = np.argsort(known)
        is_apart = np.diff(known[order]) > 2 * allowed[order][1:]
        return 1 + int(is_apart.sum())

    def best_known(self, valid: Array | None) -> int:
        """The sequence of which most is known, at steps that count."""
        masked = self if valid is None else self.at(valid)
        counts: Any = 0
        for one in masked.arrays.values():
            axes = (0, 2) if one.values.ndim == 3 else 1
            counts = counts + np.isfinite(one.values).sum(axis=axes)
        if valid is not None:  # of a sequence without steps nothing is run
            counts = np.where(valid.any(axis=0), counts, -1)
        return int(np.argmax(counts))

    @property
    def padded(self) -> tuple[Array, str]:
        """Steps (T, B) at which h is zero or does not change, and which it is."""
        if not self.is_complete:
            return np.zeros((1, 1), bool), ""
        zero, same = [], []
        for known in self.outputs.values():
            changes = np.diff(known.values, axis=0, prepend=0)
            zero.append((known.values == 0).all(axis=2))
            same.append((changes == 0).all(axis=2))
        is_zero = np.array(zero)
        padded = (is_zero | np.array(same)).all(axis=0)
        return padded, "zero" if is_zero[:, padded].all() else "repeat"

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
            if not len(at[0]):
                continue
            base = part.base
            if base not in OF_HEAD:
                base = base.replace("h", array)
            allowed = allowance.of(one)[at]
            yield WantedNumbers(only or part.prefix, base, at, one.values[at], allowed)
