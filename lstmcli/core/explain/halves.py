"""Half precision as a cause: what of a run was kept in float16 or bfloat16, and how sure that is.

A run with rounded weights, inputs or states that meets EXPECTED to its last digits proves it.
Where every operation was rounded, no other run gives the same digits. Then the error has to have
the size that the format predicts for this net and these inputs. Numbers that all lie on the
format's grid may hide another mistake of any size: the error has to go along with that of a run
with rounded weights and inputs, and the rest to be no greater than rounded operations leave it.
Off the grid it has to be there from the first step on and in every unit, and to go along with the
error of a run with rounded weights far better than with that of the same weights rounded up and
down by chance: whatever else is behind an error of that size knows nothing of how these round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.bench import Allowance, Bench
from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.forcing import rounded_run
from lstmcli.core.explain.judge import Case, Verdict, arrays_of, compared
from lstmcli.core.explain.operations import every_operation, rounder
from lstmcli.core.explain.patterns import correlation, digits, size
from lstmcli.core.explain.space import Changes, settings_of, spelled_out
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.half_precision import ROUNDED, round_to_format, spacing
from lstmcli.core.model.model import Cell, Model, as_time_major
from lstmcli.errors import UserError

RERUN, GRID, SIZE = "re-run", "grid", "size"
WEIGHTS, INPUTS, STATES, ALL = "weights", "weights and inputs", "states", "weights, inputs, states"
OPERATIONS = "operations"

TELLING = 6  # numbers that only the rounded run meets
TELLING_SHARE = 0.3  # of all
ENOUGH_DIGITS = 5.0  # of chance against the pattern of an error
SPREAD = 0.8  # of the numbers that have to be off, at the first step and in all
LEAST = 0.5  # times the error of rounded weights: less is not what the format predicts
PREDICTIONS = 20  # of both formats, of which the best is taken
LEAST_CORRELATION = 0.2  # with one of them, before it is asked what chance reaches
MOST_OF_ALL = 2.0  # times the greatest error that a format predicts, for any reading
MORE, MORE_AT_MOST = 1.25, 2.0  # times the rms and the greatest of a rest as predicted
OFF_ALONG, UNCERTAIN = 0.4, 3.0  # from 1, of the error of rounded weights in that of EXPECTED
LITTLE = 0.1  # times the rest: weights and inputs that were of the format already
ENOUGH_BESIDE_GRID = 2.0  # digits of chance against the pattern, for numbers on the grid
OTHER_CELLS = 3.0  # times the rounding of the output alone, where operations are not known
SEVERAL, FEW, MANY = 8, 2, 2000  # runs with every operation rounded, for up to so many numbers
MOST_DITHERS, FEWEST_DITHERS = 32, 6
DITHERED = 4e8  # products that the dithered runs of a pattern may take


Runs = Sequence[tuple[str, Mapping[str, Array] | None]]
"""What of a run was rounded, and the arrays it gave."""


class Basis(NamedTuple):
    """What it rests on that numbers were kept in a format."""

    kind: str  # RERUN, GRID or SIZE
    what: str  # of the run was rounded
    verdict: Verdict
    digits: float = np.inf  # of evidence
    correlation: float = 0.0
    by_chance: float = 0.0  # what another rounding of the weights reaches


@dataclass(frozen=True, eq=False)
class Halves:
    """A case compared with runs in half precision."""

    case: Case
    expected: Expected
    tight: Allowance  # the tolerance of EXPECTED itself
    grids: tuple[str, ...]  # the formats on whose grid it lies
    bench: Callable[[str | None], Bench]  # as read, or weights and inputs rounded

    def basis(self, changes: Changes, half: Allowance, sure: bool) -> Basis | None:
        """What it rests on, for a reading that fits at the tolerance of a format; None if nothing.

        ``sure``: only a run that gives the very numbers counts, or the grid.
        """
        name = half.name
        layout = dict(changes).get("layout", self.case.layout)
        if layout != self.case.layout:
            case = replace(self.case, layout=layout)
            rest = tuple(change for change in changes if change.setting != "layout")
            other = replace(self, case=case, expected=case.expected[layout])
            return other.basis(rest, half, sure)
        arrays = self._arrays(changes)
        plain = self._at_known(arrays)
        if arrays is None or plain is None:
            return None
        runs = list(self._runs(changes, name))
        found = self._rerun(runs, name, plain)
        if found is None and name in self.grids:
            found = self._on_grid(changes, half, plain, runs)
        elif found is None and not sure:
            found = self._pattern(changes, half, plain, runs)
        return found

    # ---- a run that gives the very numbers

    def _rerun(self, runs: Runs, name: str, plain: Array) -> Basis | None:
        tight = self.tight
        off = np.abs(plain - self._values) > self._tolerance(tight)
        if off.sum() < max(TELLING, TELLING_SHARE * off.size):
            return None
        for what, arrays in runs:
            verdict = self._verdict(arrays, tight)
            if verdict is not None and verdict.fits:
                return Basis(RERUN, what, verdict)
        return None

    def _runs(
        self, changes: Changes, name: str
    ) -> Iterator[tuple[str, Mapping[str, Array] | None]]:
        """Runs of which a part was rounded to a format."""
        x = round_to_format(np.asarray(self.case.x, np.float64), name)
        yield WEIGHTS, self._arrays(changes, name)
        yield INPUTS, self._arrays(changes, name, x)

        def rounded(state: Array) -> Array:
            return round_to_format(state, name).astype(state.dtype)

        for what, weights in ((STATES, None), (ALL, name)):
            bench = self.bench(weights)
            for dtype in (np.float64, np.float32):  # a state may lie between two of the format's
                yield what, rounded_run(bench, changes, self.expected, rounded, dtype)

    # ---- numbers on the format's grid

    def allowance(self, half: Allowance) -> Allowance:
        """The tolerance of a format for this net: twice what it predicts, at most what is given."""
        plain = self._at_known(self._arrays(()))
        rests = [] if plain is None else self._rests((), half.name, plain, None, 1)
        if not rests:
            return half
        greatest = MOST_OF_ALL * max(float(np.abs(rest).max()) for rest in rests)
        return half._replace(absolute=min(half.absolute, greatest), relative=0.0)

    def _on_grid(self, changes: Changes, half: Allowance, plain: Array, runs: Runs) -> Basis | None:
        """Whether the error is that of rounded weights and inputs and a rest of the right size.

        What the rest is depends on the order of operations, so only its size can be predicted. A
        mistake next to half precision adds to it, or does not go along with rounded weights.
        """
        error = self._values - plain
        shared = self._shared(runs, plain)
        if shared is None:
            return None
        rest = error - shared
        rests = self._rests(
            changes, half.name, plain, shared, FEW if error.size > MANY else SEVERAL
        )
        if not rests or size(rest) > MORE * max(map(size, rests)):
            return None
        if np.abs(rest).max() > MORE_AT_MOST * max(float(np.abs(r).max()) for r in rests):
            return None
        verdict = self._verdict(self._arrays(changes), half)
        if verdict is None:
            return None
        if not size(shared) < LITTLE * max(map(size, rests)):  # else tensors are of the format
            along = float(error @ shared / (shared @ shared))
            uncertain = size(rest) / (size(shared) * np.sqrt(error.size))
            if abs(along - 1) > max(OFF_ALONG, UNCERTAIN * uncertain):
                return None
        rho = max(correlation(error, shared), correlation(error, shared + rests[0]))
        proven = digits(rho, 1 / np.sqrt(error.size)) >= ENOUGH_BESIDE_GRID
        return Basis(GRID, ALL, verdict, np.inf if proven else 0.0, rho)

    def _shared(self, runs: Runs, plain: Array) -> Array | None:
        """What rounded weights and inputs add: all runs in a format have it in common."""
        values = self._at_known(dict(runs)[INPUTS])
        return None if values is None else values - plain

    def _rests(
        self, changes: Changes, name: str, plain: Array, shared: Array | None, count: int
    ) -> list[Array]:
        """What rounding adds beside ``shared`` if every operation is rounded, in several orders."""
        values = [self._at_known(self._operations(changes, name, seed)) for seed in range(count)]
        added = [one - plain for one in values if one is not None]
        if not added:  # h and c rounded is the most that is known of such a cell
            rounded = self._at_known(self._arrays(changes, name))
            added = [] if rounded is None else [round_to_format(rounded, name) - plain]
            return [OTHER_CELLS * (one - (0 if shared is None else shared)) for one in added]
        return [one - (0 if shared is None else shared) for one in added]

    # ---- an error of the format's size

    def _pattern(self, changes: Changes, half: Allowance, plain: Array, runs: Runs) -> Basis | None:
        """Whether the error goes along with that of rounded weights, beyond all chance."""
        name = half.name
        error = self._values - plain
        if not self._spread(np.abs(error) > self._tolerance(self.tight)):
            return None
        verdict = self._verdict(self._arrays(changes), half)
        if verdict is None:
            return None
        rho, what = 0.0, WEIGHTS
        for one, arrays in self._predictions(changes, name, runs):
            predicted = self._at_known(arrays)
            if predicted is not None and size(error) >= LEAST * size(predicted - plain):
                rho, what = max((rho, what), (correlation(error, predicted - plain), one))
        if rho < LEAST_CORRELATION or digits(rho, 1 / np.sqrt(error.size)) < ENOUGH_DIGITS:
            return None
        chances = [correlation(error, d) for d in self._by_chance(changes, name, plain)]
        by_chance = float(np.sqrt(np.mean(np.square(chances)))) if chances else 1.0
        found = digits(rho, by_chance) - np.log10(PREDICTIONS)
        return Basis(SIZE, what, verdict, found, rho, by_chance) if found >= ENOUGH_DIGITS else None

    def everywhere(self) -> bool:
        """Whether the run as read is off in most numbers, from the first step on."""
        plain = self._at_known(self._arrays(()))
        return plain is not None and self._spread(
            np.abs(self._values - plain) > self._tolerance(self.tight)
        )

    def _spread(self, off: Array) -> bool:
        if not self.expected.sequences or off.mean() < SPREAD:
            return False
        return bool(self._first(off).mean() >= SPREAD)

    def _predictions(
        self, changes: Changes, name: str, runs: Runs
    ) -> Iterator[tuple[str, Mapping[str, Array] | None]]:
        """Runs that round as some network in this format may."""
        for what, arrays in runs:
            yield what, arrays
            if arrays is not None:
                yield what, {k: round_to_format(a, name) for k, a in arrays.items()}
        if not changes:
            yield OPERATIONS, self._operations((), name)

    def _operations(self, changes: Changes, name: str, seed: int = 0) -> Mapping[str, Array] | None:
        """A run with each operation rounded, if the cell is the textbook's."""
        case, settings = self.case, settings_of(changes)
        if case.initial_state or case.lengths is not None or case.mask is not None:
            return None
        if {"array", "layout", "lengths", "masked_output"} & set(settings):
            return None
        try:
            model = case.read(
                {**spelled_out(settings, case.given), ROUNDED: name, "dtype": "float64"}
            )
        except UserError:
            return None
        x = as_time_major(np.asarray(case.x, np.float64), case.layout)  # (T, B, I)
        return every_operation(model.cell, x, rounder(name, seed))

    def _by_chance(self, changes: Changes, name: str, plain: Array) -> Iterator[Array]:
        """What rounding adds to a run if weights and inputs go up or down by chance."""
        for seed in range(self._dithers()):
            rng = np.random.default_rng(seed)

            def rounded(array: Array, rng: np.random.Generator = rng) -> Array:
                dither = rng.uniform(-0.5, 0.5, array.shape) * spacing(array, name)
                return round_to_format(array + dither, name)

            x = rounded(np.asarray(self.case.x, np.float64))
            values = self._at_known(self._arrays(changes, None, x, rounded))
            if values is not None:
                yield values - plain

    def _first(self, off: Array) -> Array:
        """Of the first step known, or of the last if fewer are off there: either may be first."""

        def steps_of(_: str, known: Known) -> Array:
            shape = known.values.shape
            steps = np.arange(shape[0])[:, None, None] if len(shape) == 3 else np.array(-1)
            return np.broadcast_to(steps, shape)

        steps = self.expected.at_known(steps_of)
        known = steps[steps >= 0]
        ends = [off[steps == known.min()], off[steps == known.max()]]
        return min(ends, key=lambda end: float(end.mean()))

    def _dithers(self) -> int:
        """How many roundings by chance are worth their time."""
        cell = self.case.read({"dtype": "float64"}).cell
        steps = np.asarray(self.case.x).size / cell.inputs
        products = steps * 4 * cell.units * (cell.inputs + cell.outputs)
        return int(np.clip(DITHERED / products, FEWEST_DITHERS, MOST_DITHERS))

    # ---- runs, compared with EXPECTED

    def _arrays(
        self,
        changes: Changes,
        weights: str | None = None,
        x: Array | None = None,
        each: Callable[[Array], Array] | None = None,
    ) -> Mapping[str, Array] | None:
        """The arrays of a run, its tensors rounded to a format or put through ``each``."""

        def read(settings: Mapping[str, Any]) -> Model:
            to = {} if weights is None else {ROUNDED: weights}
            model = self.case.read({**settings, **to, "dtype": "float64"})
            return model if each is None else _with_arrays(model, each)

        case = replace(self.case, read=read, x=self.case.x if x is None else x)
        settings = settings_of(changes)
        try:
            with np.errstate(all="ignore"):
                return arrays_of(*case.trace(settings), settings.get("array", "h"))
        except UserError:
            return None

    def _verdict(self, arrays: Mapping[str, Array] | None, allowance: Allowance) -> Verdict | None:
        return None if arrays is None else compared(arrays, self.expected, allowance)

    def _at_known(self, arrays: Mapping[str, Array] | None) -> Array | None:
        """The numbers of a run that EXPECTED knows, one after the other."""
        if arrays is None:
            return None
        for name, known in self.expected.all():
            if name not in arrays or arrays[name].shape != known.values.shape:
                return None
        return self.expected.at_known(lambda name, _: arrays[name]).astype(np.float64)

    @property
    def _values(self) -> Array:
        return self.expected.at_known(lambda _, known: known.values)

    def _tolerance(self, allowance: Allowance) -> Array:
        return self.expected.at_known(lambda _, known: allowance.of(known))


def _with_arrays(model: Model, each: Callable[[Array], Array]) -> Model:
    """A model with every array of its cells put through a function."""

    def cell_with(cell: Cell) -> Cell:
        tensors = {f.name: getattr(cell, f.name) for f in fields(cell)}
        arrays: dict[str, Any] = {
            k: each(v) for k, v in tensors.items() if isinstance(v, np.ndarray)
        }
        return replace(cell, **arrays)

    return replace(model, layers=tuple(tuple(map(cell_with, layer)) for layer in model.layers))
