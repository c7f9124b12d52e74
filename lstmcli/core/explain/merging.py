"""Two cells side by side: what readings of both give, merged and codes against EXPECTED.

What a cell gives under every single change is stepped once for each direction, over one row of the
batch, and kept for all pairs of the two and for all ways to merge them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.bench import Bench
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.evidence import FAR
from lstmcli.core.explain.network import Network, scoped
from lstmcli.core.explain.refining import bounded, cost_of
from lstmcli.core.explain.shared import STARTS, Cells
from lstmcli.core.explain.solver import Solver
from lstmcli.core.explain.space import SOLVE, Changes
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array

NUMBERS = 600  # of EXPECTED, on which readings are weighed
FEW = 24  # of those, which distinguish readings before they are run
WORK = 8_000_000  # gate values of a chunk of readings
SMALL = 1e-2  # a factor that is not divided by: it would blow rounding up
AT_ONCE = 64  # single changes with all starting values of a constant


class Given(NamedTuple):
    """What the single changes of two cells give, however they are merged."""

    benches: list[Bench]  # one of each direction, as all of these
    plain: list[list[int]]  # the single changes (places) without a constant to be solved for
    codes: list[Array]  # the cell as read and each of those changes, (n, F)
    outputs: list[Array]  # (n, E)


class Merged:
    """Both cells on their benches, and what their single changes give.

    The first reading of a direction is the cell as read, each further one has a single change.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.how = network, network.model.convention
        self.known = network.expected.sequences["h"]
        self.names = network.names[0]
        inputs = network.inputs_of(0, (), set())
        assert inputs is not None  # of the lowest layer they are given
        self.inputs = inputs
        self.solvers = [self.solver(d, network.expected) for d in (0, 1)]
        is_known = np.isfinite(self.known.values)  # (T, B, H)
        self.row = int(np.argmax(is_known.sum(axis=(0, 2))))
        self.times, self.units = (
            _spread(places, NUMBERS) for places in np.nonzero(is_known[:, self.row])
        )
        at = self.times, self.row, self.units
        self.values = self.known.values[at]  # (E,)
        self.allowed = network.allowance.of(self.known)[at]
        self.every = np.arange(len(self.values))
        self.few = _spread(self.every, FEW)
        key = (network.case.layout, self.row, self.times.tobytes(), self.units.tobytes())
        shared = network.prepared.given  # by the other ways to merge
        if key not in shared:
            shared[key] = self._run_singles()
        self.benches, self.plain, self.codes, self.given = shared[key]
        self.readings: list[list[Changes]] = [
            [(), *((bench.space.singles[n],) for n in plain)]
            for bench, plain in zip(self.benches, self.plain, strict=True)
        ]
        self.places = [{c: n for n, c in enumerate(readings)} for readings in self.readings]

    def solver(self, d: int, own: Expected) -> Solver:
        """A direction as a question of its own."""
        return self.network.solver_of((0, d), self.inputs, own, ())

    def _run_singles(self) -> Given:
        benches = [solver.bench for solver in self.solvers]
        plain = [_plain_singles(bench) for bench in benches]
        codes = [_codes(bench, own) for bench, own in zip(benches, plain, strict=True)]
        outputs = [
            self._outputs(bench, own, self.every, dtype=np.float32)
            for bench, own in zip(benches, codes, strict=True)
        ]
        return Given(benches, plain, codes, outputs)

    def left_by(self, d: int) -> Known:
        """What EXPECTED leaves to one direction if the other, d, is as read."""
        trace, _ = self.solvers[d].case.trace({"dtype": "float64"})
        other = trace.time_major("h")  # (T, B, H)
        values, half = self.known.values, self.network.allowance.of(self.known)
        if self.how.behaviour.merge == "mul":
            other = np.where(np.abs(other) < SMALL, np.nan, other)
            return Known(values / other, np.nan_to_num(half / np.abs(other)))
        times = 2 if self.how.behaviour.merge == "ave" else 1
        return Known(times * values - other, times * half)

    # ---- what readings give

    def _shares(self, forward: Array, backward: Array, which: Array) -> Array:
        """How far the merged outputs are from EXPECTED, in tolerances."""
        given = merge_directions([forward, backward], self.how, None)
        return bounded((given - self.values[which]) / self.allowed[which], FAR)

    def worst(self, forward: Array, backward: Array) -> Array:
        """The greatest difference of a few merged outputs from EXPECTED, in tolerances."""
        worst: Array = np.abs(self._shares(forward, backward, self.few)).max(axis=-1)
        return worst

    def few_outputs(self, d: int, codes: Array) -> Array:
        """A few numbers of h (n, FEW) as readings of a direction give them."""
        return self._outputs(self.benches[d], codes, self.few, dtype=np.float32)

    @cached_property
    def few_given(self) -> tuple[Array, Array]:
        """The same of the single changes of each direction."""
        forward, backward = self.given
        return forward[:, self.few], backward[:, self.few]

    def _outputs(
        self,
        bench: Bench,
        codes: Array,
        which: Array,
        constants: Constants | None = None,
        dtype: Any = np.float64,
    ) -> Array:
        """Some numbers of h (n, E) as readings of a cell give it, over one row of the batch."""
        steps, space = len(self.inputs), bench.space
        times, units = self.times[which], self.units[which]
        constants = constants or Constants.of(space, codes)
        turned = np.array(space.take(codes, "reverse"), bool) | bench.how.behaviour.go_backwards
        flipped = np.array(space.take(codes, "flip_output"), bool)
        flipped ^= turned & (not bench.how.behaviour.go_backwards)
        found = np.empty((len(codes), len(which)))
        for way in {*zip(turned, flipped, strict=True)}:
            of_way = np.flatnonzero((turned == way[0]) & (flipped == way[1]))
            x = self.inputs[:: -1 if way[0] else 1, self.row : self.row + 1]
            for start, n in bench.starts(codes[of_way], self.row):
                part = of_way[n]
                batch = bench.batch(codes[part], constants.chosen(part), start, None, dtype)
                for step in range(steps):
                    h = batch.advance(x[step])["h"][:, 0]  # (n, H)
                    at = np.flatnonzero(times == (steps - 1 - step if way[1] else step))
                    found[np.ix_(part, at)] = h[:, units[at]]
        return found

    def at_once(self, most: int) -> int:
        """How many readings are stepped at once: fewer if they are large."""
        cell = self.network.model.cell
        return int(np.clip(WORK // (4 * cell.units * len(self.inputs)), 1, most))

    # ---- single changes of both

    def _neighbours(self) -> Iterator[tuple[Changes, Array]]:
        """Every single change of both directions or of one, with the outputs that it gives."""
        (forward, backward), (ours, theirs) = self.given, self.readings
        place = self.places[1]
        for j, changes in enumerate(ours):
            if changes in place:  # the cells as read among them
                yield (
                    changes,
                    merge_directions([forward[j], backward[place[changes]]], self.how, None),
                )
            if changes:
                one = merge_directions([forward[j], backward[0]], self.how, None)
                yield scoped(changes, self.names[0]), one
        for k, changes in enumerate(theirs[1:], start=1):
            yield (
                scoped(changes, self.names[1]),
                merge_directions([forward[0], backward[k]], self.how, None),
            )

    def spread(self) -> Array:
        """What the neighbours give, in tolerances, for the evidence."""
        given = np.array([outputs for _, outputs in self._neighbours()])
        return bounded(given / self.allowed, FAR)

    @cached_property
    def rms(self) -> Mapping[Changes, float]:
        """How near each single change comes, the nearest first."""
        off = {c: np.sqrt(np.mean((o - self.values) ** 2)) for c, o in self._neighbours()}
        return {c: float(off[c]) for c in sorted(off, key=lambda c: np.nan_to_num(off[c], nan=FAR))}

    # ---- a constant of both

    def off(self, base: Changes, setting: str, cells: Cells, values: Array) -> Array:
        """How far off readings of both directions are for values of a constant, (n, E)."""
        return self._with_constants([base], setting, values, self.every)

    def costs(self, bases: Sequence[Changes], setting: str, cells: Cells) -> Array:
        """The sums of squares for all starting values, on some numbers, (m, s)."""
        costs = []
        for at in range(0, len(bases), AT_ONCE):
            part = bases[at : at + AT_ONCE]
            off = self._with_constants(part, setting, STARTS[setting], self.few, np.float32)
            costs.append(cost_of(off))
        return np.concatenate(costs).reshape(len(bases), -1)

    def _with_constants(
        self,
        bases: Sequence[Changes],
        setting: str,
        values: Array,
        which: Array,
        dtype: Any = np.float64,
    ) -> Array:
        given = []
        for bench, places, codes in zip(self.benches, self.places, self.codes, strict=True):
            codes = np.repeat(codes[[places[base] for base in bases]], len(values), axis=0)
            constants = Constants.of(bench.space, codes)
            changed = {setting: np.tile(values, len(bases))}
            given.append(self._outputs(bench, codes, which, constants._replace(**changed), dtype))
        return self._shares(given[0], given[1], which)


def _plain_singles(bench: Bench) -> list[int]:
    """The single changes (places) that have no constant to be solved for."""
    singles = enumerate(bench.space.singles)
    return [n for n, one in singles if one.value != SOLVE and one.setting != "array"]


def _spread(values: Array, most: int) -> Array:
    """So many of some values, spread evenly; all if there are fewer."""
    if len(values) <= most:
        return values
    spread: Array = values[np.linspace(0, len(values) - 1, most).astype(int)]
    return spread


def _codes(bench: Bench, singles: Sequence[int]) -> Array:
    """The cell as read, and each of these single changes, (n + 1, F)."""
    read = np.zeros((1, len(bench.space.columns)), np.int8)
    return np.concatenate([read, bench.space.codes(np.array(singles, int)[:, None])])
