"""The cells of a network under sets of changes, side by side.

Each distinct cell is stepped once, layer by layer, over one sequence. Where EXPECTED has the first
steps of a cell, hypotheses are dropped as they leave it; the loop verifies the others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CONSTANTS, SOLVE, Changes, settings_of
from lstmcli.core.explain.hypotheses import SingleChanges
from lstmcli.core.explain.observation import Allowance, WantedNumbers
from lstmcli.core.explain.simulator import Cells, Simulator, work_of_step
from lstmcli.core.explain.verify import FINE, Cached, Case, nbytes
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import as_time_major, split_state
from lstmcli.core.model.steps import StepOrder

FAR = 1e6  # tolerances, the most that a number may be off
LOOSE = 20.0  # tolerances by which a searched hypothesis may be off
CHUNK = 1000  # hypotheses run at once: more leave the cache
MEMORY = 2**26  # bytes of outputs of hypotheses run at once
CALL = 2000  # units whose work equals NumPy's calls in a step of a cell
SET = 5  # units whose work equals making a cell
TELLING = 12  # known steps, after which the rest is verified: rounding grows
CLOSEST_STEPS = 8  # that sort single changes where a first step is known
FEWEST, TELLING_NUMBERS = 3, 96  # of steps, to solve for a constant first

GRIDS = (
    np.concatenate([[-24, -12, -7.5], np.arange(-6, 6.25, 0.5), [7.5, 12, 24]]),
    np.geomspace(0.05, 200, 22),
    np.geomspace(0.05, 8, 14),
    np.geomspace(0.01, 20, 22),
)
"""First values of each of `CONSTANTS`; finer ones follow.

From 16 on a sigmoid is 1 in float32; a gate clipped beyond 8 is within 4e-4 of 0 or 1.
"""
WIDER = 1.2  # times the distance of first values: half of a finer grid
# finer grids of many sets, of the nearest; and values of each
ROUNDS = (4, 9), (6, 33)
GAIN = 4.0  # by which the first rounds reduce the error of a right one

Cost = Callable[[Array, Array], Array]
"""From positions (n,) of sets and values (n, P) of their constants to errors."""

FINALS = ("final_h", "final_c")
OUTPUTS = ("h", *FINALS)
"""Arrays of every run, which many locations of EXPECTED share."""
SHOW_F = "fz"
"""Arrays that show the forget gate at a first step from zero."""


class Runs(NamedTuple):
    """The arrays of distinct cells by name, (U, T, K) or (U, K) for a last state."""

    arrays: dict[str, dict[str, Array]]
    which: dict[str, Array]  # (N,): the distinct run of each hypothesis
    stay: Array  # (N,): whether a hypothesis was not dropped


class NetworkSimulator:
    """A network over one sequence of the batch, compared with EXPECTED.

    ``cells`` are under hypotheses, ``of_run`` are changes of the run of ``case``. Without an
    ``item``, the sequence that is known best is run. With ``at_any_step``, last states are compared
    with the nearest step.
    """

    def __init__(
        self,
        cells: Mapping[str, Simulator],
        singles: SingleChanges,
        case: Case,
        allowance: Allowance,
        of_run: Changes = (),
        item: int | None = None,
        at_any_step: bool = False,
    ) -> None:
        self.cells = cells
        self.singles = singles
        self.layers = singles.layers
        self.work, self.at_any_step = case.work, at_any_step
        settings, expected = settings_of(of_run), case.expected
        x = as_time_major(np.asarray(case.data.x, np.float64), case.layout)  # (T, B, I)
        valid = case.valid(settings)
        if item is None or (valid is not None and not valid[:, item].any()):
            item = expected.best_known(valid)
        self.item = n = item
        keep = np.arange(len(x)) if valid is None else np.flatnonzero(valid[:, n])
        of_x = tuple(change for change in of_run if change.setting != "array")
        self.x = x[keep, n]
        self._same_runs = id(singles), case.layout, of_x, n
        start = {name: value for name, value in of_run if name == "initial_state"}
        model = case.read({**start, **FINE})
        self.convention = model.convention  # how directions are merged
        states = split_state(case.data.initial_state, model, x.shape[1])
        each = zip(cells, states, strict=True)  # a state may be one for all sequences
        self.states = {name: (h[n % len(h)], c[n % len(c)]) for name, (h, c) in each}
        only = "" if len(cells) > 1 else next(iter(cells))
        array = settings.get("array", "h")
        targets = [*expected.targets(allowance, n, keep, array, only)]
        self.known: dict[str, dict[int, list[WantedNumbers]]] = {name: {} for name in cells}
        for target in targets:
            for step, one in target.by_step():
                self.known.get(target.cell, {}).setdefault(step, []).append(one)
        self.targets = [target.thinned() for target in targets]
        if at_any_step:  # of h and c, which the last states are of the last step
            self.targets = [one._replace(array=one.array[-1]) for one in self.targets]
        self._compared = {*OUTPUTS, *(one.array for one in self.targets)}
        # half of a cell does not show at a first step from zero
        self.starts_from_zero = not any(h.any() or c.any() for h, c in self.states.values())
        # the first step of a lowest cell shows most
        self.is_stepwise = any(self._first(name) in self.known[name] for name in self.layers[0])
        of_step = (work_of_step(one.cell) + CALL / CHUNK for one in cells.values())
        self.work_of_run = len(self.x) * sum(of_step) + SET * len(cells)
        _, self._seen = self.with_keys(np.full((1, 1), len(singles)))  # the network as loaded

    def _first(self, name: str) -> int:
        order = StepOrder.of_cell(self.cells[name].how.behaviour, False)
        return len(self.x) - 1 if order.outputs_reversed else 0

    def _cells(self, name: str, sets: Array, *constants: Any) -> Cells:
        return self.cells[name].cells(self.singles.codes(name, sets), *constants)

    def with_keys(self, sets: Array) -> tuple[Array, Array]:
        """The sets, and keys (N, C): equal for those that result in equal cells."""
        self.work.add(SET * len(sets) * len(self.cells))
        keys = [one.keys(self._cells(name, sets)) for name, one in self.cells.items()]
        return sets, np.stack(keys, axis=1)

    def new(self, sets: Array, keys: Array) -> Array:
        """The sets that result in a network not tried before, each once."""
        before, every = len(self._seen), np.concatenate([self._seen, keys])
        first = np.sort(distinct(*every.T)[0])
        self._seen = every[first]
        return np.asarray(sets[first[first >= before] - before])

    def passing_first_step(self, sets: Array) -> Array:
        """The sets that agree with the first steps of the lowest cells."""
        if not (self.is_stepwise and self.starts_from_zero):
            return sets
        passing = np.ones(len(sets), bool)
        for name in self.layers[0]:
            simulator = self.cells[name]
            cells = self._cells(name, sets, None, np.float32)
            known = {t: self.known[name].get(t, []) for t in (0, len(self.x) - 1)}
            shows_f = any(one.array in SHOW_F for one in chain(*known.values()))
            forget_bias, *clips = (simulator.has(cells, one, SOLVE) for one in CONSTANTS)
            is_open = np.any(clips, axis=0)
            is_open |= forget_bias & (shows_f | simulator.has(cells, "coupled", "i=1-f"))
            rows, same = distinct(simulator.keys(cells, True, shows_f))
            parts = (cells.subset(rows[part]) for part in self._chunks(len(rows)))
            off = [self._step(name, part, known, steps=1)[1] for part in parts]
            passing &= is_open | (np.concatenate([[], *off]) <= LOOSE)[same]
        return sets[passing]

    def staying(self, sets: Array) -> Array:
        """The sets, without open constants, that stay near EXPECTED."""
        found = [sets[:0]]
        steps, kept = len(self.x), self._compared
        targets = [one for one in self.targets if not self.known.get(one.cell)]
        for part in self._chunks(len(sets)):
            runs = self._run(sets[part], None, steps, np.float64, kept=kept, drop=True)
            stay = runs.stay
            if targets and stay.any():
                stay = stay & (np.abs(self._off(targets, runs)) <= LOOSE).all(axis=1)
            found.append(sets[part[stay]])
        return np.concatenate(found)

    def off(
        self,
        sets: Array,
        values: Array | None = None,
        steps: int | None = None,
        dtype: Any = np.float64,
        cached: Cached | None = None,
    ) -> Array:
        """(N, E): how far off runs are, in tolerances, over the first steps or all.

        ``values`` (N, K) are of open constants. Placements that differ in EXPECTED alone share
        ``cached`` runs.
        """
        steps, found = min(steps or len(self.x), len(self.x)), []
        others = "" if cached is None else "c" if len(self.cells) > 1 else "cifgo"
        kept = self._compared | {*others}
        for part in self._chunks(len(sets)):
            some = None if values is None else values[part]
            run = partial(self._run, sets[part], some, steps, dtype, kept=kept)
            key = (*self._same_runs, steps, int(part[0]), *sorted(kept))
            runs = run() if cached is None else cached.get(key, run, lambda one: nbytes(one.arrays))
            found.append(self._off(self.targets, runs, steps))
        return np.concatenate(found)

    def distances(self, cached: Cached) -> Array:
        """(S + 1,): the rms in tolerances of each single change, and of none.

        Infinite for constants, and if nothing is compared.
        """
        steps = CLOSEST_STEPS if self.is_stepwise and len(self.cells) == 1 else None
        sets = np.arange(len(self.singles) + 1)[:, None]
        off = self.off(sets, None, steps, np.float32, cached)
        return np.where((self.singles.constant >= 0) | (not off.shape[1]), np.inf, rms(off))

    def _chunks(self, count: int) -> Iterator[Array]:
        widest = max(one.cell.units for one in self.cells.values())
        room = MEMORY // (8 * len(self.x) * widest * len(self.cells))
        size = max(8, min(CHUNK, room))
        yield from (np.arange(count)[at : at + size] for at in range(0, count, size))

    def _run(
        self,
        sets: Array,
        values: Array | None,
        steps: int,
        dtype: Any,
        *,
        kept: Collection[str],
        drop: bool = False,
    ) -> Runs:
        """Step each distinct cell once over each distinct output of the layer below.

        With ``drop``, hypotheses are dropped at the first known step that they leave, and only
        arrays that are needed are kept.
        """
        runs = Runs({}, {}, np.ones(len(sets), bool))
        below = list[str]()
        is_merged = any(not target.cell for target in self.targets)
        for names in self.layers:
            for name in names:
                left = np.flatnonzero(runs.stay)
                if not left.size:
                    return runs
                self.work.add(CALL + SET * len(sets))
                cells = self._cells(name, sets, values, dtype).subset(left)
                inputs = [(runs.arrays[one]["h"], runs.which[one][left]) for one in below]
                columns = (*cells.constants.T, *(which for _, which in inputs))
                first, same = distinct(self.cells[name].keys(cells), *columns)
                runs.which[name] = np.zeros(len(sets), int)
                runs.which[name][left] = same
                known = self.known[name] if drop else {}
                is_taken = not known or is_merged or names != self.layers[-1]
                runs.arrays[name], worst = self._step(
                    name,
                    cells.subset(first),
                    known,
                    kept=kept if is_taken else set(),
                    inputs=[(h, which[first]) for h, which in inputs],
                    steps=steps,
                )
                runs.stay[left] = (worst <= LOOSE)[same]
            below = [*names]
        return runs

    def _step(
        self,
        name: str,
        cells: Cells,
        known: Mapping[int, Sequence[WantedNumbers]],
        *,
        kept: Collection[str] = (),
        inputs: Sequence[tuple[Array, Array]] = (),
        steps: int,
    ) -> tuple[dict[str, Array], Array]:
        """The arrays of distinct cells that are kept, and how far off known numbers are (U,).

        Cells far off are dropped; without ``kept`` a few known steps are enough. ``inputs`` are
        the outputs below, and which of them each cell takes.
        """
        last, worst = len(self.x) - 1, np.zeros(len(cells))
        simulator, dtype = self.cells[name], cells.constants.dtype
        cell, orders = simulator.cell, simulator.orders(cells)
        widths = {"h": cell.outputs, "final_h": cell.outputs, "z": 4 * cell.units}
        axes = {one: (len(cells), *[len(self.x)] * (one not in FINALS)) for one in kept}
        arrays = {one: np.zeros((*axes[one], widths.get(one, cell.units)), dtype) for one in kept}
        for order in np.unique(orders).tolist():
            left = np.flatnonzero(orders == order)
            some, seen = cells.subset(left), 0
            h, c = simulator.start(len(left), self.states[name], dtype)
            for t in range(len(self.x) if order and kept else steps):
                taken, shown = (last - t if back else t for back in (order >> 1, order & 1))
                x = self.x[None, taken].astype(dtype)
                if inputs:
                    below = [array[at[left], taken][:, None] for array, at in inputs]
                    x = merge_directions(below, self.convention)[:, 0]
                given = simulator.step(t, x, (h, c), some, "z" in self._compared)
                self.work.add(CALL + len(left) * work_of_step(cell))
                h, c = given["h"], given["c"]
                given |= {"final_h": h, "final_c": c}
                for one, array in arrays.items():
                    array[(left,) if one in FINALS else (left, shown)] = given[one]
                if shown in known:
                    off = _worst(known[shown], given)
                    worst[left] = np.maximum(worst[left], off)
                    near, seen = np.flatnonzero(off <= LOOSE), seen + 1
                    if not near.size or (seen >= TELLING and not kept):
                        break
                    if len(near) < len(left):
                        left, some, h, c = left[near], some.subset(near), h[near], c[near]
        return arrays, worst

    def _off(self, targets: Sequence[WantedNumbers], runs: Runs, steps: int | None = None) -> Array:
        """(N, E), in tolerances."""
        steps_too = [len(self.x)] * self.at_any_step
        found = [np.zeros((len(runs.stay), *steps_too, 0))]
        for target in targets:
            at: tuple[Any, ...] = (..., *target.at)
            if cell := target.cell:
                merged = runs.arrays[cell][target.array][at][runs.which[cell]]
            else:
                both = [runs.arrays[one]["h"][runs.which[one]] for one in self.layers[-1]]
                merged = merge_directions(both, self.convention)[at]
            off = np.nan_to_num((merged - target.values) / target.allowed, nan=FAR)
            if len(target.at) == 2 and steps is not None:
                off = off[:, target.at[0] < steps]
            found.append(np.clip(off, -FAR, FAR))
        every: Array = np.concatenate(found, axis=-1)
        if self.at_any_step:
            nearest = np.square(every).sum(axis=-1).argmin(axis=1)
            every = every[np.arange(len(every)), nearest]
        return every

    def neighbours(self, answer: Changes, steps: int | None = None) -> tuple[Array, list[Changes]]:
        """The results of an answer's neighbours, and those that EXPECTED leaves open.

        Results (N, E) are in tolerances, of numbers that the answer moves.
        """
        sets, value = self.singles.neighbours(answer)
        in_order = np.sort(sets, axis=1)
        codes = np.concatenate([self.singles.codes(name, in_order) for name in self.cells], axis=1)
        differs = (codes != codes[0]).any(axis=1)  # or it is the same answer
        differs[[0, -1]] = True
        sets, in_order = sets[differs], in_order[differs]
        constants = self.singles.constants(in_order, np.full(len(sets), value))
        off = self.off(in_order, constants, steps)
        moved = np.abs(off[-1] - off[0]) > 1 if answer else np.ones(off.shape[1], bool)
        fits = np.abs(off[1:-1]).max(axis=1, initial=0) <= 1
        return off[:, moved], [self.singles.of(one, value) for one in sets[1:-1][fits]]

    def solve(self, sets: Array) -> tuple[Array, Array]:
        """The nearest of sets with an open constant, and its value, by ever finer grids.

        It is NaN if it makes no difference on this sequence. Most sets are dropped over the first
        steps that show it.
        """
        found, values = [], []
        for steps in self._horizons:
            grids, nearest = self._solved_over(sets, steps)
            found.append(sets[nearest])
            values.append(grids.values[nearest])
            sets = sets[~grids.shows & (grids.least <= LOOSE)]
        values.append(np.full(len(sets), np.nan))
        return np.concatenate([*found, sets]), np.concatenate(values)

    @property
    def _horizons(self) -> list[int]:
        last, known = len(self.x), [min(steps) for steps in self.known.values() if steps]
        if not known or len(self.cells) > 1:
            return [last]
        (cell,) = self.cells.values()
        fewest = int(np.clip(TELLING_NUMBERS / cell.cell.units, FEWEST, TELLING))
        return sorted({min(known[0] + count, last) for count in (fewest, TELLING, last)})

    def _solved_over(self, sets: Array, steps: int) -> tuple[_Grids, Array]:
        """The values of open constants over some steps, and which sets come near.

        A step has no derivative where a clip or a hard sigmoid bends, so none is used.
        """

        def cost(which: Array, points: Array, steps: int = steps, dtype: Any = np.float32) -> Array:
            each = np.repeat(sets[which], points.shape[1], axis=0)
            off = self.off(each, self.singles.constants(each, points.ravel()), steps, dtype)
            return rms(off).reshape(points.shape)

        grids = _Grids(self.singles.constant[sets].max(axis=1), cost)
        sampled = self.work.most(Budget.SOLVED)
        coarse = grids.least.copy()
        exact = partial(cost, dtype=np.float64)
        order = grids.nearest(np.flatnonzero(grids.shows), sampled)
        grids.refine(order, exact, *ROUNDS[0])
        order = grids.nearest(order, sampled // 5)
        least, widths = grids.least[order], grids.widths.copy()
        # finer values hardly reduce the error of a wrong set
        order = order[(least <= LOOSE) | (least < coarse[order] / GAIN)]
        most = max([steps, *self._horizons[-2:-1]])
        grids.refine(order, partial(exact, steps=most), *ROUNDS[1])
        if most < len(self.x) and order.size:  # these steps alone may leave a value open
            values = self.singles.constants(sets[order], grids.values[order])
            left = order[np.abs(self.off(sets[order], values)).max(axis=1) > 1]
            grids.widths = widths
            grids.refine(left, partial(exact, steps=len(self.x)), *ROUNDS[1])
        return grids, order[grids.least[order] <= LOOSE]


class _Grids:
    """The nearest values so far of the constant of each set."""

    def __init__(self, kinds: Array, cost: Cost) -> None:
        self.values, self.least, self.widths = (np.zeros(len(kinds)) for _ in range(3))
        self.shows = np.zeros(len(kinds), bool)  # whether the constant makes a difference
        for kind in np.unique(kinds):
            rows, grid = np.flatnonzero(kinds == kind), GRIDS[kind]
            costs = cost(rows, np.tile(grid, (len(rows), 1)))
            best, least = costs.argmin(axis=1), costs.min(axis=1)
            self.values[rows], self.least[rows] = grid[best], least
            self.widths[rows] = np.gradient(grid)[best] * WIDER
            self.shows[rows] = costs.max(axis=1) > least * (1 + 1e-6)

    def nearest(self, order: Array, most: int) -> Array:
        return np.asarray(order[np.argsort(self.least[order], kind="stable")[:most]])

    def refine(self, order: Array, cost: Cost, rounds: int, count: int) -> None:
        """Bring values of some sets nearer, by ever finer grids."""
        for _ in range(rounds if len(order) else 0):
            offsets = self.widths[order, None] * np.linspace(-1, 1, count)
            points = self.values[order, None] + offsets
            costs = cost(order, points)
            self.values[order] = points[np.arange(len(order)), costs.argmin(axis=1)]
            self.least[order] = costs.min(axis=1)
            self.widths[order] /= (count - 1) / 2


def distinct(*columns: Array) -> tuple[Array, Array]:
    """The first place of each distinct row of columns (N,), and which each is."""
    same = np.zeros(len(columns[0]), int)
    for column in columns:
        if np.all(column == column[:1]):
            continue
        values = np.unique(column, return_inverse=True)[1]
        if same.any():
            values = np.unique(same * len(column) + values, return_inverse=True)[1]
        same = values
    first, same = np.unique(same, return_index=True, return_inverse=True)[1:]
    return first, same


def rms(off: Array) -> Array:
    """(N,) the root mean square of each hypothesis; 0 of nothing."""
    squares = np.square(off, dtype=float).sum(axis=1)
    return np.asarray(np.sqrt(squares / max(1, off.shape[1])))


def _worst(known: Sequence[WantedNumbers], given: Mapping[str, Array]) -> Array:
    each = [np.abs(given[one.array][:, one.at[0]] - one.values) / one.allowed for one in known]
    off = np.concatenate([np.zeros((len(given["h"]), 1)), *each], axis=1)
    return np.asarray(np.nan_to_num(off, nan=np.inf).max(axis=1))
