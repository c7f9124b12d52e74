"""The cells of a network under sets of changes, side by side: a cell is a network of one.

Hypotheses that have a cell in common, on the same inputs, share its run: each distinct cell is
stepped once, layer by layer. Where EXPECTED has the first steps of a cell, hypotheses are dropped
as they leave it; elsewhere they are run to the end. One sequence of the batch is run. Nothing is
accepted here: what is left is verified by a run of the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget, Work
from lstmcli.core.explain.cells import Cells
from lstmcli.core.explain.observation import Allowance, Expected
from lstmcli.core.explain.simulator import OFF, Simulator, work_of_step
from lstmcli.core.explain.single_changes import SingleChanges
from lstmcli.core.explain.targets import (
    KnownOfStep,
    Target,
    best_known,
    by_step,
    targets_of,
    thinned,
)
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.states import State
from lstmcli.core.model.steps import StepOrder

FAR = 1e6  # tolerances: how much further off a number is than this does not matter
LOOSE = 20.0  # tolerances by which a hypothesis may be off while it is still searched
CHUNK = 1000  # hypotheses run at once: more leave the cache
MEMORY = 2**26  # bytes of the outputs of hypotheses that are run at once
CALL = 1500  # units whose work equals that of the calls of NumPy in a step of a cell
SAMPLE = 12  # units of a first step that are compared: enough to distinguish any two hypotheses
TELLING = 12  # known steps after which what is left is verified: rounding grows
CLOSEST_STEPS = 16  # by which hypotheses are put in order where a first step is known

GRIDS = (
    np.concatenate([[-24, -12, -7.5], np.arange(-6, 6.25, 0.5), [7.5, 12, 24]]),
    np.geomspace(0.05, 200, 22),
    np.geomspace(0.05, 8, 14),
)
"""First values of a forget bias, a cell clip and a gate clip; then ever finer ones around the best.

From 16 on a sigmoid is 1 in float32; a gate clipped beyond 8 is within 4e-4 of 0 or 1.
"""
WIDER = 1.2  # times the distance of two first values: half of the first finer grid
POINTS, FINER = 9, 4  # values of a finer grid, and how much finer each is than the one before
ROUNDS = (4, 12)  # finer grids at the telling steps, then over all of EXPECTED
FIRST_ROUNDS = 8  # finer grids at a first step
Cost = Callable[[Array, Array], Array]
"""From positions (n,) of sets and values (n, P) of their open constants to the error of each."""
GAIN = 4.0  # by which the first rounds have to reduce the error of a hypothesis that is right

OUTPUTS = ("h", "final_h", "final_c")
"""Arrays of every run, so that many locations of EXPECTED are compared with the same runs."""
WITHOUT_FORGET_GATE = "fz"
"""Arrays that show a forget bias at a first step from a zero state; no other array does."""


@dataclass(frozen=True, eq=False)
class Network:
    """The cells under hypotheses, by name and layer by layer."""

    layers: Sequence[Sequence[str]]
    cells: Mapping[str, Simulator]
    convention: Convention  # how directions are merged


class Runs(NamedTuple):
    """The arrays of distinct cells by name, (U, T, K) or (U, K) for a last state."""

    arrays: dict[str, dict[str, Array]]
    which: dict[str, Array]  # (N,): which of the U distinct runs each hypothesis has
    stay: Array  # (N,): whether a hypothesis was not dropped

    @property
    def nbytes(self) -> int:
        """The memory that the arrays take."""
        return sum(one.nbytes for arrays in self.arrays.values() for one in arrays.values())


class NetworkSimulator:
    """A network over one sequence of the batch, compared with EXPECTED.

    Parameters
    ----------
    network, singles
        its cells and their single changes.
    x
        (T, B, I).
    valid
        (T, B) the steps that count, or None.
    states
        initial h (B, P) and c (B, H) by name of the cell.
    array
        what EXPECTED's h is compared with.
    item
        the sequence of the batch; None: the one that is known best.
    """

    def __init__(
        self,
        network: Network,
        singles: SingleChanges,
        x: Array,
        expected: Expected,
        allowance: Allowance,
        *,
        valid: Array | None,
        states: Mapping[str, State],
        array: str,
        work: Work,
        item: int | None = None,
    ) -> None:
        self.network, self.singles, self.work = network, singles, work
        self.item = best_known(expected, valid) if item is None else item
        keep = np.arange(len(x)) if valid is None else np.flatnonzero(valid[:, self.item])
        self.x = x[keep, self.item]
        self.states = {  # a state may be one for all sequences
            name: (h[self.item % len(h)], c[self.item % len(c)]) for name, (h, c) in states.items()
        }
        only = next(iter(network.cells)) if len(network.cells) == 1 else ""
        targets = [*targets_of(expected, allowance, self.item, keep, array, only)]
        self.known = {name: by_step(targets, name) for name in network.cells}
        self.targets = [thinned(target) for target in targets]
        self._seen = np.zeros((1, len(network.cells)), np.int64)
        self._seen = self._keys(np.full((1, 1), len(singles)))  # the network as loaded
        self.tried = 0

    @property
    def is_stepwise(self) -> bool:
        """Whether EXPECTED has the first step of a lowest cell, which distinguishes most."""
        return any(self._first(name) in self.known[name] for name in self.network.layers[0])

    @property
    def starts_from_zero(self) -> bool:
        """Whether the initial state is zero, which hides half of a cell at its first step."""
        return not any(h.any() or c.any() for h, c in self.states.values())

    @property
    def work_of_run(self) -> float:
        """The work of a full run of one of many hypotheses."""
        of_step = (work_of_step(one.cell) + CALL / CHUNK for one in self.network.cells.values())
        return len(self.x) * sum(of_step)

    def _first(self, name: str) -> int:
        """The step of EXPECTED that a cell as loaded computes first."""
        how = self.network.cells[name].how.behaviour
        order = StepOrder.of(how.reverse, how.go_backwards, how.flip_output)
        return len(self.x) - 1 if order.outputs_reversed else 0

    # ---- hypotheses

    def _cells(self, name: str, sets: Array, values: Array | None = None) -> tuple[Cells, Array]:
        """A cell under sets of changes, and its constants (N, 3) with open ones put in."""
        simulator = self.network.cells[name]
        cells = simulator.cells(self._codes(name, sets))
        constants = cells.constants
        if values is not None:
            constants = np.where(cells.is_open, values, constants)
        return cells, np.where(np.isnan(constants), OFF, constants)

    def _codes(self, name: str, sets: Array) -> Array:
        local = self.singles.local[sets, list(self.network.cells).index(name)]
        return self.network.cells[name].space.codes(local)

    def codes(self, sets: Array) -> Array:
        """(N, F): the codes of all cells, equal for sets that are one hypothesis."""
        return np.concatenate([self._codes(name, sets) for name in self.network.cells], axis=1)

    def _keys(self, sets: Array) -> Array:
        """(N, C): equal for sets that result in equal cells."""
        return np.stack([self._cells(name, sets)[0].keys() for name in self.network.cells], 1)

    def new(self, sets: Array) -> Array:
        """The sets that result in a network that was not tried yet, each once."""
        keys = self._keys(sets)
        every = np.concatenate([self._seen, keys])
        _, first = np.unique(every, axis=0, return_index=True)
        new = np.sort(first[first >= len(self._seen)]) - len(self._seen)
        self._seen = np.concatenate([self._seen, keys[new]])
        self.tried += len(new)
        return sets[new]

    def passing_first_step(self, sets: Array) -> Array:
        """The sets that agree with the first steps of the lowest cells, as far as these show."""
        if not self.starts_from_zero:
            return sets
        worst, depends = self._at_first_step(sets)
        return sets[depends | (worst <= LOOSE)]

    def _solved_at_first_step(self, sets: Array) -> Array:
        """The sets that agree with the first steps for some value of their open constant."""
        worst, depends = self._at_first_step(sets)
        rows = np.flatnonzero(depends & (worst > LOOSE))
        some = sets[rows]

        def cost(which: Array, points: Array) -> Array:
            each = np.repeat(some[which], points.shape[1], axis=0)
            values = self.singles.constants(each, points.ravel())
            return self._at_first_step(each, values)[0].reshape(points.shape)

        values, widths, least, _ = self._on_first_grid(some, cost)
        _refine(np.arange(len(rows)), values, widths, least, cost, FIRST_ROUNDS)
        worst[rows] = least
        return sets[worst <= LOOSE]

    def _at_first_step(self, sets: Array, values: Array | None = None) -> tuple[Array, Array]:
        """(N,) how far off sets are at the first steps, and whether an open constant shows there.

        ``values`` (N, 3) are those of open constants.
        """
        each = [self._first_step(name, sets, values) for name in self.network.layers[0]]
        worst, depends = (np.stack(both).max(axis=0) for both in zip(*each, strict=True))
        return worst, depends

    def _first_step(
        self, name: str, sets: Array, values: Array | None = None
    ) -> tuple[Array, Array]:
        """The same for a cell, in a sample of units; 0 where the step is not known."""
        simulator, last = self.network.cells[name], len(self.x) - 1
        cells, constants = self._cells(name, sets, values)
        units: Any = slice(None)
        if simulator.cell.units > SAMPLE and simulator.has_separate_units:
            units = np.linspace(0, simulator.cell.units - 1, SAMPLE).astype(int)
        keys = cells.keys(first_step=True) if values is None else np.arange(len(sets))
        _, first, same = np.unique(keys, return_index=True, return_inverse=True)
        off = np.zeros(len(first))
        for order in range(4):
            turned, flipped = order >> 1, order & 1
            those = cells.order[first] == order
            known = self.known[name].get(last * flipped, [])
            known = [one for one in known if one[0] not in WITHOUT_FORGET_GATE]
            for part in _parts(np.flatnonzero(those) if known else np.zeros(0, int), 4 * CHUNK):
                some = cells.subset(first[part])
                z = simulator.inputs(some, self.x[last * turned], units)
                c = np.zeros((len(part), z.shape[2]))
                given = simulator.step(z, c, some, constants[first[part]], units)
                self._count(simulator, len(part), z.shape[2] / simulator.cell.units)
                off[part] = _worst(known, given, units)
        depends = cells.is_open[:, 1:].any(axis=1) | (cells.is_open[:, 0] & (cells.coupled == 2))
        return off[same.ravel()], depends

    # ---- runs

    def staying(self, sets: Array) -> Array:
        """The sets, without open constants, that stay near EXPECTED."""
        drop, found = any(self.known.values()), [np.zeros(0, int)]
        for part in self._chunks(len(sets)):
            runs = self._run(sets[part], None, len(self.x), drop, np.float64)
            stay = runs.stay
            for target in self._targets_at_the_end(drop):
                if stay.any():
                    stay = stay & (np.abs(self._off(target, runs)) <= LOOSE).all(axis=1)
            found.append(part[stay])
        staying: Array = sets[np.concatenate(found)]
        return staying

    def _targets_at_the_end(self, drop: bool) -> list[Target]:
        """The numbers that are compared after the runs, not step by step."""
        if drop and len(self.network.cells) == 1:
            return []  # what is left is verified
        return [one for one in self.targets if not (drop and one.cell and len(one.at) == 2)]

    def off(
        self, sets: Array, values: Array | None = None, steps: int | None = None, dtype: Any = None
    ) -> Array:
        """(N, E): how far off runs are, in tolerances, over the first steps or all of them.

        ``values`` (N, 3) are those of open constants.
        """
        return self._off_by_chunk(sets, values, steps, dtype or np.float64, lambda _, run: run())

    def distances(self, cached: Callable[[Any, Callable[[], Runs]], Runs]) -> Array:
        """(S + 1,): the rms, in tolerances, of each single change, and of none.

        It is infinite for an open constant. ``cached`` returns what is cached under a key, or runs:
        placements that differ in EXPECTED alone are compared with the same runs.
        """
        sets = np.arange(len(self.singles) + 1)[:, None]
        stepwise = self.is_stepwise and len(self.network.cells) == 1
        steps = CLOSEST_STEPS if stepwise else None
        off = self._off_by_chunk(sets, None, steps, np.float32, cached)
        return np.where(self.singles.constant >= 0, np.inf, rms(off))

    def _off_by_chunk(
        self, sets: Array, values: Array | None, steps: int | None, dtype: Any, cached: Any
    ) -> Array:
        steps, found = min(steps or len(self.x), len(self.x)), []
        for part in self._chunks(len(sets)):
            some = None if values is None else values[part]
            arrays = sorted({(t.cell, t.array) for t in self.targets if t.array not in OUTPUTS})
            key = (self.item, steps, int(part[0]), *arrays)
            runs = cached(key, lambda p=part, v=some: self._run(sets[p], v, steps, False, dtype))
            off = [self._off(target, runs, steps) for target in self.targets]
            found.append(np.concatenate([np.zeros((len(part), 0)), *off], axis=1))
        return np.concatenate(found) if found else np.zeros((0, 1))

    def _chunks(self, count: int) -> Iterator[Array]:
        widest = max(one.cell.units for one in self.network.cells.values())
        room = MEMORY // (8 * len(self.x) * widest * len(self.network.cells))
        yield from _parts(np.arange(count), max(8, min(CHUNK, room)))

    def _run(self, sets: Array, values: Array | None, steps: int, drop: bool, dtype: Any) -> Runs:
        """Step each distinct cell once over each distinct output of the layer below.

        With ``drop``, hypotheses are dropped at the first known step that they leave.
        """
        runs = Runs({}, {}, np.ones(len(sets), bool))
        below: Sequence[str] = []
        for names in self.network.layers:
            for name in names:
                left = np.flatnonzero(runs.stay)
                if not left.size:
                    return runs
                cells, constants = self._cells(name, sets, values)
                rows = np.column_stack(
                    [cells.keys(), constants, *(runs.which[one] for one in below)]
                )
                _, first, same = np.unique(
                    rows[left], axis=0, return_index=True, return_inverse=True
                )
                first = left[first]
                runs.which[name] = np.zeros(len(sets), int)
                runs.which[name][left] = same.ravel()
                inputs = [(runs.arrays[one]["h"], runs.which[one][first]) for one in below]
                some = cells.subset(first), constants[first].astype(dtype)
                runs.arrays[name], stay = self._step(name, *some, inputs, steps, drop)
                runs.stay[left] = stay[same.ravel()]
            below = names
        return runs

    def _step(
        self,
        name: str,
        cells: Cells,
        constants: Array,
        inputs: Sequence[tuple[Array, Array]],
        steps: int,
        drop: bool,
    ) -> tuple[dict[str, Array], Array]:
        """The arrays of distinct cells, and which of them stay near EXPECTED (U,)."""
        simulator, convention = self.network.cells[name], self.network.convention
        last = len(self.x) - 1
        known, arrays = self.known[name] if drop else {}, _Arrays(len(cells), len(self.x))
        later = {target.cell for target in self._targets_at_the_end(drop)}
        may_end = drop and name in self.network.layers[-1] and not later & {name, ""}
        names, stay = self._names(name), np.zeros(len(cells), bool)
        for way in np.flatnonzero(np.bincount(cells.order)).tolist():
            left = np.flatnonzero(cells.order == way)
            some, values, seen = cells.subset(left), constants[left], 0
            h, c = simulator.start(len(left), self.states.get(name), constants.dtype)
            for t in range(len(self.x) if way else steps):
                taken, shown = (last - t if back else t for back in (way >> 1, way & 1))
                x = self.x[taken].astype(constants.dtype)
                if inputs:
                    below = [array[at[left], taken][:, None] for array, at in inputs]
                    x = merge_directions(below, convention, None)[:, 0]
                z = simulator.before(some, x, h, c, t)
                given = simulator.step(z, c, some, values, keep_z="z" in names)
                self._count(simulator, len(left))
                h, c = given["h"], given["c"]
                if not may_end:
                    arrays.keep(given, names, (left, shown))
                if shown in known:
                    near = np.flatnonzero(_worst(known[shown], given) <= LOOSE)
                    left, some, values = left[near], some.subset(near), values[near]
                    h, c, seen = h[near], c[near], seen + 1
                    if not near.size or (may_end and seen >= TELLING):
                        break
            stay[left] = True
            arrays.keep({"final_h": h, "final_c": c}, names, (left,))
        return arrays.by_name, stay

    def _names(self, name: str) -> set[str]:
        """The arrays of a cell that are compared, and its outputs."""
        return {*OUTPUTS, *(target.array for target in self.targets if target.cell in (name, ""))}

    def _off(self, target: Target, runs: Runs, steps: int | None = None) -> Array:
        """(N, E) how far off some numbers are, in tolerances."""
        *at, units = target.at
        merge = self.network.convention.behaviour.merge
        names = [target.cell] if target.cell else self.network.layers[-1]

        def taken(name: str, which: Any, units: Array) -> Array:
            index = (slice(None), *(axis[which] for axis in at), units)
            numbers: Array = runs.arrays[name][target.array][index][runs.which[name]]
            return numbers

        if target.cell or merge in ("sum", "mul", "ave"):
            given = [taken(name, slice(None), units) for name in names]
            merged = merge_directions(given, self.network.convention, None)
        else:  # side by side
            start, merged = 0, np.zeros((len(runs.stay), len(units)))
            for name in reversed(names) if merge == "concat_swapped" else names:
                width = runs.arrays[name][target.array].shape[-1]
                here = np.flatnonzero((start <= units) & (units < start + width))
                merged[:, here] = taken(name, here, units[here] - start)
                start += width
        off = np.nan_to_num((merged - target.values) / target.allowed, nan=FAR)
        if at and steps is not None:
            off = off[:, at[0] < steps]
        return np.clip(off, -FAR, FAR)

    def _count(self, simulator: Simulator, hypotheses: int, share: float = 1.0) -> None:
        """Add the work of a step."""
        self.work.done += CALL + hypotheses * work_of_step(simulator.cell) * share

    # ---- constants

    def solve(self, sets: Array) -> tuple[Array, Array]:
        """The nearest of sets with an open constant, and its value, by ever finer grids.

        The value is NaN where it makes no difference on this sequence. Nothing is differentiated:
        a step has no derivative where a clip or a hard sigmoid bends.
        """
        if self.is_stepwise and self.starts_from_zero and len(sets):
            sets = self._solved_at_first_step(sets)
        if not len(sets):
            return sets, np.zeros(0)
        known = [min(steps) for steps in self.known.values() if steps]
        first = min(known) + TELLING if known and len(self.network.cells) == 1 else len(self.x)

        def cost(
            which: Array, points: Array, steps: int | None = first, dtype: Any = np.float32
        ) -> Array:
            each = np.repeat(sets[which], points.shape[1], axis=0)
            off = self.off(each, self.singles.constants(each, points.ravel()), steps, dtype)
            return rms(off).reshape(points.shape)

        values, widths, coarse, shows = self._on_first_grid(sets, cost)
        least, order = coarse.copy(), np.flatnonzero(shows)
        for most, rounds, steps in zip(Budget.SOLVED, ROUNDS, (first, None), strict=True):
            order = order[np.argsort(least[order], kind="stable")[:most]]
            if steps is None:  # finer values hardly reduce the error of a wrong set
                order = order[(least[order] <= LOOSE) | (least[order] < coarse[order] / GAIN)]
            exact = partial(cost, steps=steps, dtype=np.float64)
            _refine(order, values, widths, least, exact, rounds)
        values[~shows] = np.nan
        near = [order[least[order] <= LOOSE], np.flatnonzero(~shows & (coarse <= LOOSE))]
        found = np.concatenate(near)
        return sets[found], values[found]

    def _on_first_grid(self, sets: Array, cost: Cost) -> tuple[Array, Array, Array, Array]:
        """The best first value of each set, the width around it, and the rms there.

        The last array is whether the constant makes a difference.
        """
        values, widths, least = (np.zeros(len(sets)) for _ in range(3))
        shows = np.zeros(len(sets), bool)
        kinds = self.singles.constant[sets].max(axis=1)
        for kind in np.unique(kinds):
            rows, grid = np.flatnonzero(kinds == kind), GRIDS[kind]
            costs = cost(rows, np.tile(grid, (len(rows), 1)))
            best = costs.argmin(axis=1)
            values[rows], widths[rows] = grid[best], np.gradient(grid)[best] * WIDER
            least[rows] = costs.min(axis=1)
            shows[rows] = costs.max(axis=1) > least[rows] * (1 + 1e-6)
        return values, widths, least, shows


def _refine(
    order: Array, values: Array, widths: Array, least: Array, cost: Cost, rounds: int
) -> None:
    """Bring the values of some sets nearer, and what they leave, by ever finer grids."""
    for _ in range(rounds if len(order) else 0):
        points = values[order, None] + widths[order, None] * np.linspace(-1, 1, POINTS)
        costs = cost(order, points)
        best = costs.argmin(axis=1)
        values[order], least[order] = points[np.arange(len(order)), best], costs.min(axis=1)
        widths[order] /= FINER


class _Arrays:
    """Arrays of distinct cells that are filled step by step."""

    def __init__(self, count: int, steps: int) -> None:
        self.count, self.steps = count, steps
        self.by_name: dict[str, Array] = {}

    def keep(self, given: Mapping[str, Array], names: set[str], at: tuple[Any, ...]) -> None:
        """Put arrays at some cells, and at a step; those of these names only."""
        for name in sorted(names & given.keys()):
            if name not in self.by_name:
                axes = (self.count, self.steps)[: len(at)]
                self.by_name[name] = np.zeros((*axes, given[name].shape[-1]), given[name].dtype)
            self.by_name[name][at] = given[name]


def rms(off: Array) -> Array:
    """(N,) the root of the mean square of each hypothesis; 0 where nothing is compared."""
    if not off.shape[1]:
        return np.zeros(len(off))
    mean: Array = np.sqrt(np.square(off, dtype=float).mean(axis=1))
    return mean


def _parts(places: Array, size: int) -> Iterator[Array]:
    for at in range(0, len(places), size):
        yield places[at : at + size]


def _worst(
    known: Sequence[KnownOfStep], given: Mapping[str, Array], units: Any = slice(None)
) -> Array:
    """(N,) how far off the known numbers of a step are at most, in a sample of units."""
    worst = []
    for array, at, values, allowed in known:
        here: Any = slice(None)
        places = at
        if not isinstance(units, slice):
            _, here, places = np.intersect1d(at, units, return_indices=True)
        off = np.abs(given[array][:, places] - values[here]) / allowed[here]
        worst.append(np.nan_to_num(off, nan=np.inf).max(axis=1, initial=0))
    found: Array = np.max(worst, axis=0)
    return found
