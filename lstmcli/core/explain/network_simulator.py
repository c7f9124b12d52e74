"""The cells of a network under sets of changes, side by side.

Each distinct cell is stepped once, layer by layer, over one sequence. Hypotheses that leave
EXPECTED at its first steps are dropped; the loop verifies others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import FINAL, OF_HEAD, ArrayName
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import Changes, settings_of
from lstmcli.core.explain.hypotheses import SingleChanges
from lstmcli.core.explain.observation import Allowance, WantedNumbers
from lstmcli.core.explain.simulator import Cells, Simulator, work_of_step
from lstmcli.core.explain.verify import FINE, Cached, Case
from lstmcli.core.forward.head import head_output, taken_at_each_end
from lstmcli.core.forward.prepare import edited_model
from lstmcli.core.forward.sequence import edited_outputs, merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.model import Cell, Model, as_time_major
from lstmcli.core.model.states import split_state
from lstmcli.core.model.steps import StepOrder
from lstmcli.core.model.surroundings import FINAL_Y, STATES, Head, Y

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
BOUNDS = (
    np.r_[-100, GRIDS[0][::4], 100],
    *(np.r_[0, grid, np.inf] for grid in GRIDS[1:]),
    [0],
)
"""Values of each constant, and of none: others give a first step between theirs.

Or beyond by what two of them differ; in 4 nets it was by 0.53 of that.
"""
MOST_UNITS = 64  # of a first step at most that are compared
WIDER = 1.2  # times the distance of first values: half of a finer grid
FINER_POINTS = np.linspace(-1, 1, 9)  # in widths
GAIN = 2.0  # of right values over others: it was 9, and of most wrong ones 1.0
LEAST_SPREAD = 0.02  # tolerances between values of a grid, to make a finer one

OF_READING = ("initial_state", "head")  # changes of a run that the model has
FINALS = ("final_h", "final_c")
OUTPUTS = ("h", *FINALS)
"""Arrays of every run, which many locations of EXPECTED share."""
SHOW_F = {"f", "z"}
"""Arrays that show the forget gate at a first step from zero."""


Runs = dict[str, tuple[dict[str, Array], Array]]
"""By cell, the arrays (U, T, K) or (U, K) of distinct runs, and (N,) which a hypothesis has."""


def _with_edited_outputs(model: Model) -> dict[str, Cell]:
    """The cells whose outputs given edits change, with those edits that are of any batch."""
    found = dict[str, Cell]()
    for name, cell in edited_model(model).cells:
        edits = [
            one for one in edits_in("outputs", cell.edits) if not one.kind.of_sequence
        ]
        if edits:
            found[name] = replace(cell, edits=tuple(edits))
    return found


def _head_compared(model: Model, targets: Sequence[WantedNumbers]) -> Head | None:
    """The head, if numbers of what it makes are compared."""
    if any(one.array in OF_HEAD for one in targets):
        return edited_model(model).head
    return None


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
        self.x = x[keep, n]
        start = {name: value for name, value in of_run if name in OF_READING}
        model = case.read({**start, **FINE})
        merge = model.behaviour.merge if len(self.layers) > 1 else ""
        self._same_runs = (
            id(singles),
            case.layout,
            *start.values(),
            keep.tobytes(),
            n,
            merge,
        )
        self.convention = model.convention  # how directions are merged
        states = split_state(case.data.initial_state, model, x.shape[1])
        each = zip(cells, states, strict=True)  # a state may be one for all sequences
        self.states = {name: (h[n % len(h)], c[n % len(c)]) for name, (h, c) in each}
        only = "" if len(cells) > 1 else next(iter(cells))
        array = settings.get("array", "h")
        targets = [*expected.targets(allowance, n, keep, array, only)]
        self._steps = [one for one in targets if len(one.at) == 2]
        if at_any_step:  # of h and c, which the last states are of the last step
            targets = [one._replace(array=one.array[-1]) for one in targets]
        self.targets = [one.thinned() for one in targets]
        self._compared = {*OUTPUTS, *(one.array for one in self.targets)} - {*OF_HEAD}
        self._head = _head_compared(model, self.targets)
        self._edited = _with_edited_outputs(model)
        for cell in self._edited.values():
            self._compared.update(edit.kind.takes for edit in cell.edits)
        self._every = {
            name: -(-one.cell.units // MOST_UNITS) for name, one in cells.items()
        }
        self._has_z = "z" in self._compared
        # half of a cell does not show at a first step from zero
        self.starts_from_zero = not any(
            h.any() or c.any() for h, c in self.states.values()
        )
        # the first step of a lowest cell shows most
        orders = {
            n: StepOrder.of_cell(cells[n].how.behaviour, False) for n in self.layers[0]
        }
        first = {
            n: (len(self.x) - 1) * one.outputs_reversed for n, one in orders.items()
        }
        self.is_stepwise = not self._edited and any(
            first.get(one.cell, -1) in one.at[0] for one in self._steps
        )
        of_step = (work_of_step(one.cell) + CALL / CHUNK for one in cells.values())
        self.work_of_run = len(self.x) * sum(of_step) + SET * len(cells)
        _, self._seen = self.with_keys(
            np.full((1, 1), len(singles))
        )  # the network as loaded

    @cached_property
    def _width(self) -> int:
        """The numbers of a step of what is compared."""
        cell = next(iter(self.cells.values())).cell
        return cell.units if self._head is None else self._head.width(cell.outputs)

    def _known(self, name: str, step: int) -> list[WantedNumbers]:
        """The numbers of a cell at a step of EXPECTED, in some units."""
        every, steps = (
            self._every[name],
            (one for one in self._steps if one.cell == name),
        )
        return [
            one.subset((one.at[0] == step) & (one.at[1] % every == 0)) for one in steps
        ]

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

    def passing_first_step(self, sets: Array, cached: Cached) -> Array:
        """The sets that may give the first steps of the lowest cells.

        A number lies between those that values of an open constant give.
        """
        passing = np.ones(len(sets), bool)
        is_shown = self.is_stepwise and self.starts_from_zero
        for name in self.layers[0] if is_shown else ():
            key = (
                *self._same_runs,
                name,
                sets.tobytes(),
                *sorted(self._compared & SHOW_F),
                self._head is None,
            )
            run = partial(self._first_steps, name, sets)
            same, groups = cached.get(key, run)
            near = np.ones_like(passing)
            for order, rows, bounds in groups:
                for one in self._known(name, (len(self.x) - 1) * (order & 1)):
                    least, most = bounds[one.array][..., one.at[1] // self._every[name]]
                    off = (
                        np.maximum(least - one.values, one.values - most) / one.allowed
                    )
                    near[rows] &= off.max(axis=1, initial=0) <= LOOSE
            passing &= near[same]
        return sets[passing]

    def _first_steps(self, name: str, sets: Array) -> tuple[Array, list[Any]]:
        """The distinct first step of each set, and the bounds of groups of them.

        (2, U, K): the least and the most that values of a constant give.
        """
        simulator, dtype, groups = self.cells[name], np.float32, []
        cells = self._cells(name, sets)
        shows_f = bool(self._compared & SHOW_F)
        rows, same = distinct(simulator.keys(cells, True, shows_f))
        cells = cells.subset(rows)
        kinds = self.singles.constant[sets[rows]].max(axis=1)
        orders = simulator.orders(cells)
        kinds[(kinds == 0) & ~(simulator.has(cells, "coupled", "i=1-f") | shows_f)] = -1
        for kind, order in sorted({*zip(kinds.tolist(), orders.tolist(), strict=True)}):
            values = BOUNDS[kind]
            which = np.flatnonzero((kinds == kind) & (orders == order))
            for part in self._chunks(len(which), len(values)):
                each = sets[np.repeat(rows[which[part]], len(values))]
                constants = self.singles.constants(each, np.tile(values, len(part)))
                cells = self._cells(name, each, constants, dtype)
                state = simulator.start(len(each), self.states[name], dtype)
                x = self.x[None, -(order >> 1)].astype(dtype)
                self.work.add(CALL + len(each) * work_of_step(simulator.cell))
                given = simulator.step(0, x, state, cells, self._has_z)
                if self._head is not None:
                    given[Y] = head_output(self._head, given["h"])
                for array, one in given.items():
                    some = one[:, :: self._every[name]].reshape(
                        len(part), len(values), -1
                    )
                    further = np.abs(np.diff(some, axis=1)).max(axis=1, initial=0)
                    ends = some.min(axis=1) - further, some.max(axis=1) + further
                    given[array] = np.stack(ends)
                groups.append((order, which[part], given))
        return same, groups

    def staying(self, sets: Array, cached: Cached | None = None) -> Array:
        """The sets, without open constants, that stay near EXPECTED.

        The lowest cells are compared first, and the first steps: later, rounding grows.
        """
        if cached and sets.shape[1] == 2 and not self.is_stepwise:
            return self._staying_pairs(sets, cached)
        cells = [*self.cells, ""]
        counts = sorted({1 + cells.index(one.cell) for one in self.targets})
        for count, steps in product(counts, dict.fromkeys(self._horizons[:3])):
            off = self.off_early(sets, None, steps, count=count)
            sets = sets[(np.abs(off) <= LOOSE).all(axis=1)]
        return sets

    def off_early(
        self, sets: Array, values: Array | None, steps: int, **how: Any
    ) -> Array:
        """(N, E): as `off`, of the last steps where outputs are reversed.

        Those runs give these first; all steps would have to be run for the first ones.
        """
        are_reversed = np.zeros(len(sets), bool)
        if self._has_last_step and steps < len(self.x):
            ((name, simulator),) = self.cells.items()
            are_reversed = simulator.orders(self._cells(name, sets)) & 1 == 1
        if not are_reversed.any():
            return self.off(sets, values, steps, **how)
        each = []
        for which in (~are_reversed, are_reversed):
            each.append(None if values is None else values[which])
        dtype = how.get("dtype", np.float64)
        first = self.off(sets[~are_reversed], each[0], steps, **how)
        last = self._off_from_last(sets[are_reversed], each[1], steps, dtype)
        width = max(first.shape[1], last.shape[1])
        off = np.zeros((len(sets), width))
        off[~are_reversed] = _stretched(first, width)
        off[are_reversed] = _stretched(last, width)
        return off

    @cached_property
    def _has_last_step(self) -> bool:
        """Tell whether EXPECTED has the last step of the only cell, and of its h as it is."""
        if len(self.cells) > 1 or self.at_any_step or self._edited:
            return False
        last = len(self.x) - 1
        return any((one.at[0] == last).any() for one in self._steps)

    def _off_from_last(
        self, sets: Array, values: Array | None, steps: int, dtype: Any
    ) -> Array:
        """(N, E): how far off sets with reversed outputs are in the last steps, in tolerances."""
        (name,) = self.cells
        first = len(self.x) - steps
        last = [one.subset(one.at[0] >= first).thinned() for one in self._steps]
        each = []
        for part in self._chunks(len(sets)):
            some = None if values is None else values[part]
            cells = self._cells(name, sets[part], some, dtype)
            kept = self._compared
            arrays = self._step(name, cells, kept, (), steps, shows_all=False)
            found = []
            for target in last:
                at: tuple[Any, ...] = (..., *target.at)
                if target.array in OF_HEAD:
                    given = self._numbers_of_head(arrays["h"], target)
                else:
                    given = arrays[target.array][at]
                off = np.nan_to_num((given - target.values) / target.allowed, nan=FAR)
                found.append(np.clip(off, -FAR, FAR))
            each.append(np.concatenate(found, axis=1))
        return np.concatenate(each)

    def _staying_pairs(self, sets: Array, cached: Cached) -> Array:
        """The same: where most pairs are tried, all are run to the end, once."""
        pairs, kept = self.singles.closed_pairs, self._compared
        key = *self._same_runs, *sorted(kept)
        size = int(8 * len(pairs) * self.work_of_run)  # bytes
        if 2 * len(sets) < len(pairs) or not cached.has_room((*key, 0), size):
            return self.staying(sets)
        steps, found = self._horizons[2], list[Array]()
        for part in self._chunks(len(pairs)):
            given = pairs[part], None, len(self.x), np.float64, kept, None
            runs = cached.get((*key, len(found)), partial(self._run, *given))
            found.append(self._off(self._known_until(steps), runs))
        off = np.concatenate(found)
        near = pairs[(np.abs(off) <= LOOSE).all(axis=1)]
        numbers = 1, len(self.singles)  # of a pair one
        return np.asarray(sets[np.isin(sets @ numbers, near @ numbers)])

    def off(
        self,
        sets: Array,
        values: Array | None = None,
        steps: int | None = None,
        dtype: Any = np.float64,
        cached: Cached | None = None,
        count: int | None = None,
    ) -> Array:
        """(N, E): how far off runs are, in tolerances, over the first steps or all.

        ``values`` (N, K) are of open constants, ``count`` is that of cells.
        """
        steps, found = min(steps or len(self.x), len(self.x)), list[Array]()
        shown = [*self.cells, ""][:count]
        targets = [one for one in self._known_until(steps) if one.cell in shown]
        others = "" if cached is None else "c" if len(self.cells) > 1 else "cifgo"
        kept = self._compared | {*others}
        for part in self._chunks(len(sets)):
            some = None if values is None else values[part]
            run = partial(self._run, sets[part], some, steps, dtype, kept, count)
            key = (*self._same_runs, steps, sets[part].tobytes(), *sorted(kept))
            runs = run() if cached is None else cached.get(key, run)
            found.append(self._off(targets, runs))
        return np.concatenate(found)

    def distances(self, cached: Cached) -> Array:
        """(S + 1,): the rms in tolerances of each single change, and of none.

        Infinite for constants, and if nothing is compared.
        """
        sets = np.arange(len(self.singles) + 1)[:, None]
        if self.is_stepwise and len(self.cells) == 1:
            steps = min(CLOSEST_STEPS, len(self.x))
            off = self.off_early(sets, None, steps, dtype=np.float32, cached=cached)
        else:
            off = self.off(sets, None, None, np.float32, cached)
        if not self.targets:
            return np.full(len(sets), np.inf)
        return np.where(self.singles.constant >= 0, np.inf, rms(off))

    def _chunks(self, count: int, values: int = 1) -> Iterator[Array]:
        widest = max(one.cell.units for one in self.cells.values())
        room = MEMORY // (8 * len(self.x) * widest * len(self.cells))
        size = max(8, min(CHUNK, room) // values)
        yield from (
            np.arange(count)[at : at + size] for at in range(0, max(1, count), size)
        )

    def _run(
        self,
        sets: Array,
        values: Array | None,
        steps: int,
        dtype: Any,
        kept: Collection[str],
        count: int | None,
    ) -> Runs:
        """Step each distinct cell once over each distinct output of the layer below."""
        runs, below = Runs(), list[Any]()
        for names in self.layers:
            end = (
                steps if names == self.layers[-1] else len(self.x)
            )  # that above may run back
            for name in names:
                if len(runs) == count:
                    return runs
                self.work.add(CALL * bool(len(sets)) + SET * len(sets))
                cells = self._cells(name, sets, values, dtype)
                columns = *cells.constants.T, *(which for _, which in below)
                first, same = distinct(self.cells[name].keys(cells), *columns)
                inputs = [(arrays["h"], which[first]) for arrays, which in below]
                some = cells.subset(first)
                runs[name] = self._step(name, some, kept, inputs, end), same
            below = [runs[name] for name in names]
        return runs

    def _step(
        self,
        name: str,
        cells: Cells,
        kept: Collection[str],
        inputs: Sequence[tuple[Array, Array]],
        steps: int,
        shows_all: bool = True,
    ) -> dict[str, Array]:
        """The arrays of distinct cells that are kept.

        ``inputs`` are the outputs below, and which of them each cell takes. Reversed outputs
        have the first steps only if all steps are run, as with ``shows_all``.
        """
        last, dtype, arrays = len(self.x) - 1, cells.constants.dtype, {}
        simulator = self.cells[name]
        cell, orders = simulator.cell, simulator.orders(cells)
        widths = {"h": cell.outputs, "final_h": cell.outputs, "z": 4 * cell.units}
        for one in kept:  # steps that are not run take no memory
            axes = (
                *[len(self.x)] * (one not in FINALS),
                len(cells),
                widths.get(one, cell.units),
            )
            arrays[one] = np.moveaxis(np.zeros(axes, dtype), -2, 0)
        groups = orders
        if simulator.is_large:
            tensors = (one.place for one in cells.tensors.values())
            groups = distinct(orders, *tensors)[1]
        for group in np.unique(groups).tolist():
            left = np.flatnonzero(groups == group)
            order = int(orders[left[0]])
            some = cells.subset(left)
            h, c = simulator.start(len(left), self.states[name], dtype)
            count = len(self.x) if order & 1 and shows_all else steps
            for t in range(count):
                taken, shown = (
                    last - t if back else t for back in (order >> 1, order & 1)
                )
                x = self.x[None, taken].astype(dtype)
                if inputs:
                    below = [array[at[left], taken][:, None] for array, at in inputs]
                    x = merge_directions(below, self.convention)[:, 0]
                given = simulator.step(t, x, (h, c), some, self._has_z)
                self.work.add(CALL + len(left) * work_of_step(cell))
                h, c = given["h"], given["c"]
                given |= {"final_h": h, "final_c": c}
                for one, array in arrays.items():
                    array[(left,) if one in FINALS else (left, shown)] = given[one]
        return arrays

    def _known_until(self, steps: int) -> list[WantedNumbers]:
        """Some of the numbers of the first steps, or of all and of last states."""
        if steps == len(self.x) or self.at_any_step:
            return self.targets
        known = []
        for one in self._steps:
            known.append(one.subset(one.at[0] < steps).thinned())
        return known

    def _off(self, targets: Sequence[WantedNumbers], runs: Runs) -> Array:
        """(N, E), in tolerances."""
        ((_, which), *_) = runs.values()
        found = [np.zeros((len(which), *[len(self.x)] * self.at_any_step, 0))]
        for target in targets:
            at: tuple[Any, ...] = (..., *target.at)
            if target.array in OF_HEAD:
                merged = self._of_head(runs, target)
            elif cell := target.cell:
                _, which = runs[cell]
                merged = self._shown(cell, target.array, runs)[at][which]
            else:
                last_layer = self.layers[-1]
                both = [self._shown(one, "h", runs)[runs[one][1]] for one in last_layer]
                merged = merge_directions(both, self.convention)[at]
            off = np.nan_to_num((merged - target.values) / target.allowed, nan=FAR)
            found.append(np.clip(off, -FAR, FAR))
        every: Array = np.concatenate(found, axis=-1)
        if self.at_any_step:
            nearest = np.square(every).sum(axis=-1).argmin(axis=1)
            every = every[np.arange(len(every)), nearest]
        return every

    def _of_head(self, runs: Runs, target: WantedNumbers) -> Array:
        """(N, E): what the head makes of the outputs of the last layer; of any step (N, T, E)."""
        assert self._head is not None
        names = self.layers[-1]
        first, same = distinct(*(runs[name][1] for name in names))
        taken = "h"
        is_of_end = target.array == FINAL_Y and self._head.steps == STATES
        if is_of_end and not self.at_any_step:
            taken = "final_h"
        outputs = []
        for name in names:
            shown = self._shown(name, taken, runs)[runs[name][1][first]]
            outputs.append(shown if shown.ndim == 3 else shown[:, None])
        h = merge_directions(outputs, self.convention)
        return self._numbers_of_head(h, target)[same]

    def _numbers_of_head(self, h: Array, target: WantedNumbers) -> Array:
        """(U, E): numbers of y over the outputs h (U, T, P); of any step (U, T, E)."""
        assert self._head is not None
        if ArrayName.of(target.array).kind != FINAL and not self.at_any_step:
            steps, places = np.unique(target.at[0], return_inverse=True)
            y = head_output(self._head, np.ascontiguousarray(h[:, steps]))
            return y[:, places, target.at[1]]
        ends = taken_at_each_end(self._head.steps, h.swapaxes(0, 1)).swapaxes(0, 1)
        if not self.at_any_step:
            ends = ends[:, -1]
        y = head_output(self._head, np.ascontiguousarray(ends))
        return y[..., target.at[0]]

    def _shown(self, name: str, array: str, runs: Runs) -> Array:
        """An array of distinct runs of a cell, h as given edits of the outputs leave it."""
        arrays, _ = runs[name]
        if array != "h" or name not in self._edited:
            return arrays[array]
        cell = self._edited[name]
        of_steps = {k: a.swapaxes(0, 1) for k, a in arrays.items() if a.ndim == 3}
        steps, count, _ = of_steps["h"].shape
        x = np.zeros((steps, count, cell.inputs))  # those of upper layers are not kept
        if name in self.layers[0]:
            x[:] = self.x[:, None]
        return edited_outputs(cell, x, of_steps)["h"].swapaxes(0, 1)

    def neighbours(
        self, answer: Changes, steps: int | None = None
    ) -> tuple[Array, list[Changes]]:
        """The results of an answer's neighbours, and those that EXPECTED leaves open.

        Results (N, E) are in tolerances, of numbers that the answer moves.
        """
        sets, value = self.singles.neighbours(answer)
        in_order = np.sort(sets, axis=1)
        codes = np.hstack([self.singles.codes(name, in_order) for name in self.cells])
        differs = (codes != codes[0]).any(axis=1)  # or it is the same answer
        differs[[0, -1]] = True
        sets, in_order = sets[differs], in_order[differs]
        constants = self.singles.constants(in_order, np.full(len(sets), value))
        off = self.off(in_order, constants, steps)
        moved = np.abs(off[-1] - off[0]) > 1 if answer else np.ones(off.shape[1], bool)
        fits = np.abs(off[1:-1]).max(axis=1, initial=0) <= 1
        return off[:, moved], [self.singles.of(one, value) for one in sets[1:-1][fits]]

    def solve(self, sets: Array) -> tuple[Array, Array]:
        """The nearest sets with an open constant, and its value, by ever finer grids.

        It is NaN if it makes no difference on this sequence. Most sets are dropped over the first
        steps that show it.
        """
        found, values = [], []
        for steps in dict.fromkeys(self._horizons[1:]):
            grids, nearest = self._solved_over(sets, steps)
            found.append(sets[nearest])
            values.append(grids.values[nearest])
            sets = sets[~grids.shows & (grids.least <= LOOSE)]
        values.append(np.full(len(sets), np.nan))
        return np.concatenate([*found, sets]), np.concatenate(values)

    @property
    def _horizons(self) -> list[int]:
        last = len(self.x)
        first = min((int(one.at[0].min()) for one in self._steps), default=last)
        fewest = int(np.clip(TELLING_NUMBERS / self._width, FEWEST, TELLING))
        return [min(first + count, last) for count in (FEWEST, fewest, TELLING, last)]

    def _solved_over(self, sets: Array, steps: int) -> tuple[_Grids, Array]:
        """The values of open constants over some steps, and which sets come near.

        A step has no derivative where a clip or a hard sigmoid bends, so none is used.
        """

        def cost(
            which: Array, points: Array, steps: int = steps, dtype: Any = np.float32
        ) -> Array:
            each = np.repeat(sets[which], points.shape[1], axis=0)
            constants = self.singles.constants(each, points.ravel())
            off = self.off_early(each, constants, steps, dtype=dtype)
            return rms(off).reshape(points.shape)

        most = self.work.most(Budget.SOLVED)
        grids = _Grids(self.singles.constant[sets].max(axis=1), cost)
        shows = np.flatnonzero(grids.shows)
        order = left = shows[np.argsort(grids.least[shows], kind="stable")[:most]]
        for further in (one for one in dict.fromkeys(self._horizons) if one >= steps):
            grids.refine(left, partial(cost, steps=further, dtype=np.float64))
            order = order[grids.least[order] <= LOOSE]
            values = self.singles.constants(sets[order], grids.values[order])
            # these steps alone may leave a value open
            left = order[
                np.abs(self.off(sets[order], values)).max(axis=1, initial=0) > 1
            ]
            grids.widths[left] /= FINER_POINTS[1] - FINER_POINTS[0]
        return grids, order


class _Grids:
    """The nearest values so far of the constant of each set.

    ``cost`` is from positions (n,) of sets and values (n, P) of their constants to errors.
    """

    def __init__(self, kinds: Array, cost: Callable[..., Array]) -> None:
        self.values, self.least, self.widths = (np.zeros(len(kinds)) for _ in range(3))
        self.shows = np.zeros(len(kinds), bool)  # the constant makes a difference
        for kind in np.unique(kinds):
            rows, grid = np.flatnonzero(kinds == kind), GRIDS[kind]
            costs = cost(rows, np.tile(grid, (len(rows), 1)))
            best, least = costs.argmin(axis=1), costs.min(axis=1)
            self.values[rows], self.least[rows] = grid[best], least
            self.widths[rows] = np.gradient(grid)[best] * WIDER
            self.shows[rows] = costs.max(axis=1) > least * (1 + 1e-6)

    def refine(self, order: Array, cost: Callable[..., Array]) -> None:
        """Bring values of sets nearer, by finer grids as long as these gain."""
        while order.size:
            points = self.values[order, None] + self.widths[order, None] * FINER_POINTS
            costs = cost(order, points)
            self.values[order] = points[np.arange(len(order)), costs.argmin(axis=1)]
            self.least[order] = costs.min(axis=1)
            order = order[
                costs.max(axis=1) > np.maximum(GAIN * self.least[order], LEAST_SPREAD)
            ]
            self.widths[order] *= FINER_POINTS[1] - FINER_POINTS[0]


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


def _stretched(off: Array, width: int) -> Array:
    """Numbers (N, E) as (N, width): each as often as another, or zeros of none."""
    count = off.shape[1]
    if not count:
        return np.zeros((len(off), width))
    return np.asarray(off[:, np.linspace(0, count - 1, width).astype(int)])


def rms(off: Array) -> Array:
    """(N,) the root mean square of each hypothesis; 0 of nothing."""
    squares = np.square(off, dtype=float).sum(axis=1)
    return np.asarray(np.sqrt(squares / max(1, off.shape[1])))
