"""Two directions of which only the sum, the product or the average is known.

What a cell gives under every single change is stepped once for each direction, over one row of the
batch; all pairs of the two are then merged and held against some numbers of EXPECTED. Constants and
pairs of one direction: what the other gives is taken out of EXPECTED, and what is left is a
question of one cell. Nothing here accepts a reading: a run of the whole network does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core.explain.bench import Bench, View
from lstmcli.core.explain.cells import found_for
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.data import Course, Expected, Known
from lstmcli.core.explain.evidence import ENOUGH, FAR, digits
from lstmcli.core.explain.network import Network, plain, scoped
from lstmcli.core.explain.ranking import prior
from lstmcli.core.explain.refining import cost_of
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import MOST_RUN, NEAREST, Progress
from lstmcli.core.explain.shared import STARTS, Cells, with_constants
from lstmcli.core.explain.solver import Solver
from lstmcli.core.explain.space import SOLVE, Changes
from lstmcli.core.explain.walk import CHUNK, LOOSE
from lstmcli.core.run import merged

Array = npt.NDArray[Any]

MOST_CHANGES = 2  # at once, beside the merge itself
NUMBERS = 600  # of EXPECTED, on which readings are weighed
FEW = 24  # of those, which tell readings apart before they are run
BESIDE = 40  # runs that a constant is worth beside a single change, of the nearest ones
WORK = 8_000_000  # gate values of a chunk of readings
PATIENCE = 2.0  # seconds that pairs of changes of both directions may take
SMALL = 1e-2  # a factor that is not divided by: it would blow rounding up
AT_ONCE = 64  # single changes with all starting values of a constant


def directions_of(network: Network) -> Directions | None:
    """Two directions that are merged, and nothing else; None where there is more or less."""
    model, case, expected = network.model, network.case, network.expected
    if len(model.layers) > 1 or not model.bidirectional:
        return None
    if case.lengths is not None or case.mask is not None:
        return None
    if set(expected.sequences) != {"h"} or expected.finals:
        return None
    return Directions(network)


class Given(NamedTuple):
    """What the single changes of two cells give, however they are merged."""

    benches: list[Bench]  # one of each direction, as all of these
    plain: list[list[int]]  # the single changes (places) without a constant to be solved for
    codes: list[Array]  # the cell as read and each of those changes, (n, F)
    outputs: list[Array]  # (n, E)


class Directions:
    """Both cells on their benches, and what their single changes give.

    The first reading of a direction is the cell as read, each further one has a single change.
    """

    def __init__(self, network: Network) -> None:
        self.network, self.how = network, network.model.convention
        self.known = network.expected.sequences["h"]
        self.names = [name for name, _ in network.model.cells]
        inputs = network.inputs_of(0, (), set())
        assert inputs is not None  # of the lowest layer they are given
        self.inputs = inputs
        self.solvers = [self._solver(d, network.expected) for d in (0, 1)]
        told = np.isfinite(self.known.values)  # (T, B, H)
        self.row = int(np.argmax(told.sum(axis=(0, 2))))
        self.times, self.units = (
            _spread(places, NUMBERS) for places in np.nonzero(told[:, self.row])
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
        self.untried: tuple[str, ...] = ()
        self.searched = 0  # so many changes at once

    def _solver(self, d: int, own: Expected) -> Solver:
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

    def search(self, progress: Progress, levels: int) -> Explanation:
        """The fewest changes that give EXPECTED, or what comes near."""
        for level in range(self.searched + 1, min(levels, MOST_CHANGES) + 1):
            self.searched = level
            progress((level - 1) / levels, f"{level} change{'s' * (level > 1)} at once")
            answer = (
                self._answer(self._near(level))
                or self._of_one_direction(level, progress)
                or self._of_constants(level)
            )
            if answer:
                return answer
        nearest = [(c, self.network.judge(c)) for c in list(self._rms)[:NEAREST]]
        nearest.sort(key=lambda each: each[1].rms)
        return self.network.none(nearest, self.untried)

    def _answer(self, near: Iterable[Changes], solved: int = 0) -> Explanation | None:
        """Those that a run of the network confirms, the likeliest first."""
        ranked = sorted(near, key=lambda c: (len(c), sum(map(prior, c))))[:MOST_RUN]
        judged = [(changes, self.network.judge(changes)) for changes in ranked]
        fitting = [(changes, verdict) for changes, verdict in judged if verdict.fits]
        if not fitting:
            return None
        (changes, verdict), *others = fitting
        network = self.network
        proof = digits(self._spread(), solved, network.tried)
        enough = network.expected.distinct(network.allowance.of) > len(changes) + solved
        return replace(
            network.explanation(
                "found" if enough and proof >= ENOUGH else "unproven", changes, verdict
            ),
            equivalent=tuple(self.network.told(c) for c, _ in others if len(c) == len(changes)),
            evidence=proof,
            untried=self.untried,
        )

    # ---- readings that come near

    def _near(self, level: int) -> Iterator[Changes]:
        """Readings of so many changes that come near EXPECTED on some of its numbers."""
        forward, backward = (given[:, self.few] for given in self.given)
        worst = self._worst(forward[:, None], backward[None])  # (n, m)
        self.network.tried += worst.size if level > 1 else sum(worst.shape)
        for j, k in np.argwhere(worst <= LOOSE):
            one, other = self.readings[0][j], self.readings[1][k]
            if one == other and level == 1:
                yield one
            elif (bool(j) + bool(k) == level) and one != other:
                yield (*scoped(one, self.names[0]), *scoped(other, self.names[1]))
        if level > 1:
            yield from self._near_unlike()
            yield from self._near_pairs()

    def _near_pairs(self) -> Iterator[Changes]:
        """The same two changes in both directions, the likeliest first, while patience lasts."""
        ours, theirs = (bench.space for bench in self.benches)
        place = {theirs.singles[n]: n for n in self.plain[1]}
        among = np.array([n for n in self.plain[0] if ours.singles[n] in place], int)
        sets = ours.sets(2, among)
        weights = np.array([prior(single) for single in ours.singles])
        sets = sets[np.argsort(weights[sets].sum(axis=1), kind="stable")]
        to_other = np.array([place.get(single, 0) for single in ours.singles])
        begun, size = monotonic(), self._at_once(CHUNK)
        for at in range(0, len(sets), size):
            if monotonic() - begun > PATIENCE:
                self.untried = (f"pairs of changes beyond the first {at:,} of {len(sets):,}",)
                return
            part = sets[at : at + size]
            self.network.tried += len(part)
            forward = self._outputs(self.benches[0], ours.codes(part), self.few, dtype=np.float32)
            backward = self._outputs(
                self.benches[1], theirs.codes(to_other[part]), self.few, dtype=np.float32
            )
            for n in np.flatnonzero(self._worst(forward, backward) <= LOOSE):
                yield ours.changes(part[n])
            yield from self._one_more(0, part, forward)
            yield from self._one_more(1, to_other[part], backward)

    def _near_unlike(self) -> Iterator[Changes]:
        """A change of both directions beside one that only a single direction can have."""
        for d, bench in enumerate(self.benches):
            singles, other = bench.space.singles, self.places[1 - d]
            own = [n for n in self.plain[d] if (singles[n],) not in other]
            both = [n for n in self.plain[d] if (singles[n],) in other]
            pairs = [(n, m) for n in own for m in both if singles[n].setting != singles[m].setting]
            if pairs:
                sets = np.sort(np.array(pairs, int), axis=1)
                outputs = self._outputs(bench, bench.space.codes(sets), self.few, dtype=np.float32)
                yield from self._one_more(d, sets, outputs)

    def _one_more(self, d: int, sets: Array, outputs: Array) -> Iterator[Changes]:
        """Pairs of one direction that come near if the other has one of the two changes."""
        singles, other = self.benches[d].space.singles, self.given[1 - d][:, self.few]
        for m in (0, 1):
            places = np.array([self.places[1 - d].get((singles[n],), -1) for n in sets[:, m]])
            known = np.flatnonzero(places >= 0)
            worst = self._worst(outputs[known], other[places[known]])
            for n in known[worst <= LOOSE]:
                alone = scoped((singles[sets[n, 1 - m]],), self.names[d])
                yield (singles[sets[n, m]], *alone)

    def _at_once(self, most: int) -> int:
        """How many readings are stepped at once: fewer if they are large."""
        cell = self.network.model.cell
        return int(np.clip(WORK // (4 * cell.units * len(self.inputs)), 1, most))

    def _shares(self, forward: Array, backward: Array, which: Array) -> Array:
        """How far the merged outputs are from EXPECTED, in tolerances."""
        given = merged([forward, backward], self.how, None)
        off = (given - self.values[which]) / self.allowed[which]
        bounded: Array = np.clip(np.nan_to_num(off, nan=FAR), -FAR, FAR)
        return bounded

    def _worst(self, forward: Array, backward: Array) -> Array:
        worst: Array = np.abs(self._shares(forward, backward, self.few)).max(axis=-1)
        return worst

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
        turned = np.array(space.take(codes, "reverse"), bool) | bench.how.go_backwards
        flipped = np.array(space.take(codes, "flip_output"), bool)
        flipped ^= turned & (not bench.how.go_backwards)
        found = np.empty((len(codes), len(which)))
        for way in {*zip(turned, flipped, strict=True)}:
            of_way = np.flatnonzero((turned == way[0]) & (flipped == way[1]))
            x = self.inputs[:: -1 if way[0] else 1, self.row : self.row + 1]
            view = View(Course(x), {}, 0, self.row)
            for start, n in bench.starts(codes[of_way], self.row):
                part = of_way[n]
                batch = bench.batch(codes[part], constants.chosen(part), start, None, dtype)
                for step in range(steps):
                    h = bench.advance(batch, view, step)["h"][:, 0]  # (n, H)
                    at = np.flatnonzero(times == (steps - 1 - step if way[1] else step))
                    found[np.ix_(part, at)] = h[:, units[at]]
        return found

    def _neighbours(self) -> Iterator[tuple[Changes, Array]]:
        """Every single change of both directions or of one, with the outputs that it gives."""
        (forward, backward), (ours, theirs) = self.given, self.readings
        place = self.places[1]
        for j, changes in enumerate(ours):
            if changes in place:  # the cells as read among them
                yield changes, merged([forward[j], backward[place[changes]]], self.how, None)
            if changes:
                one = merged([forward[j], backward[0]], self.how, None)
                yield scoped(changes, self.names[0]), one
        for k, changes in enumerate(theirs[1:], start=1):
            yield scoped(changes, self.names[1]), merged([forward[0], backward[k]], self.how, None)

    def _spread(self) -> Array:
        """What the neighbours give, in tolerances, for the evidence."""
        given = np.array([outputs for _, outputs in self._neighbours()])
        spread: Array = np.clip(np.nan_to_num(given / self.allowed, nan=FAR), -FAR, FAR)
        return spread

    @cached_property
    def _rms(self) -> Mapping[Changes, float]:
        """How near each single change comes, the nearest first."""
        off = {c: np.sqrt(np.mean((o - self.values) ** 2)) for c, o in self._neighbours()}
        return {c: float(off[c]) for c in sorted(off, key=lambda c: np.nan_to_num(off[c], nan=FAR))}

    @property
    def closest(self) -> float:
        """How near any single change comes to EXPECTED."""
        return next(iter(self._rms.values()))

    # ---- one direction, and constants of both

    def _of_one_direction(self, level: int, progress: Progress) -> Explanation | None:
        """Changes of one direction, the other as read; constants and pairs are found so."""
        for d, name in enumerate(self.names):
            solver = self._solver(d, Expected({"h": self._left_by(1 - d)}, {}))
            found = solver.solve(progress, level)
            self.network.tried += solver.tried
            if found is None:
                continue
            changes = scoped(plain(found), name)
            if (verdict := self.network.judge(changes)).fits:
                return found_for(self.network, changes, verdict, name, found)
        return None

    def _left_by(self, d: int) -> Known:
        """What EXPECTED leaves to one direction if the other, d, is as read."""
        trace, _ = self.solvers[d].case.trace({"dtype": "float64"})
        other = trace.time_major("h")  # (T, B, H)
        values, half = self.known.values, self.network.allowance.of(self.known)
        if self.how.merge == "mul":
            other = np.where(np.abs(other) < SMALL, np.nan, other)
            return Known(values / other, np.nan_to_num(half / np.abs(other)))
        times = 2 if self.how.merge == "ave" else 1
        return Known(times * values - other, times * half)

    def _of_constants(self, level: int) -> Explanation | None:
        """A constant that both directions share, alone or beside a single change."""
        whole = [c for c in self._rms if c in self.places[0] and c in self.places[1]]
        besides = [()] if level == 1 else [c for c in whole if c][: self._at_once(CHUNK) // BESIDE]
        found = with_constants(self.network, self, besides)
        return self._answer([found], solved=1) if found else None

    def off(self, beside: Changes, setting: str, cells: Cells, values: Array) -> Array:
        """How far off readings of both directions are for values of a constant, (n, E)."""
        return self._with_constants([beside], setting, values, self.every)

    def costs(self, besides: Sequence[Changes], setting: str, cells: Cells) -> Array:
        """The sums of squares for all starting values, on some numbers, (m, s)."""
        costs = []
        for at in range(0, len(besides), AT_ONCE):
            part = besides[at : at + AT_ONCE]
            off = self._with_constants(part, setting, STARTS[setting], self.few, np.float32)
            costs.append(cost_of(off))
        return np.concatenate(costs).reshape(len(besides), -1)

    def _with_constants(
        self,
        besides: Sequence[Changes],
        setting: str,
        values: Array,
        which: Array,
        dtype: Any = np.float64,
    ) -> Array:
        given = []
        for bench, places, held in zip(self.benches, self.places, self.codes, strict=True):
            codes = np.repeat(held[[places[beside] for beside in besides]], len(values), axis=0)
            constants = Constants.of(bench.space, codes)
            changed = {setting: np.tile(values, len(besides))}
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
