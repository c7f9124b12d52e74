"""A network under sets of changes, compared with EXPECTED over one sequence of the batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import OF_HEAD
from lstmcli.core.explain.causes import Changes, settings_of
from lstmcli.core.explain.comparison import Comparison
from lstmcli.core.explain.hypotheses import NO_CONSTANT, SingleChanges
from lstmcli.core.explain.network_runs import (
    FINALS,
    CellRuns,
    Extent,
    NetworkRuns,
    sequence_run,
)
from lstmcli.core.explain.observation import Allowance, WantedNumbers
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.explain.verify import Cached, Case
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.steps import StepOrder

LOOSE = 20.0  # tolerances by which a searched hypothesis may be off
TELLING = 12  # known steps, after which the rest is verified: rounding grows
CLOSEST_STEPS = 8  # that sort single changes where a first step is known
FEWEST, TELLING_NUMBERS = 3, 96  # of steps, to solve for a constant first
OUTPUTS = ("h", *FINALS)
"""Arrays of every run, which many locations of EXPECTED share."""


class Horizons(NamedTuple):
    """Steps up to which runs are compared, one after another."""

    fewest: int
    telling: int  # enough of them to solve for a constant
    most: int  # the rest is verified
    every: int


class NetworkSimulator:
    """A network over one sequence, and how far off EXPECTED it is under sets of changes.

    ``cells`` are under hypotheses, ``run_changes`` are changes of the run of ``case``. With
    ``at_any_step``, last states are compared with the nearest step.
    """

    def __init__(
        self,
        cells: Mapping[str, Simulator],
        singles: SingleChanges,
        case: Case,
        allowance: Allowance,
        run_changes: Changes = (),
        item: int | None = None,
        at_any_step: bool = False,
    ) -> None:
        self.singles = singles
        self.work = case.work
        self.sequence = sequence_run(case, singles, run_changes, item)
        self.runs = NetworkRuns(cells, singles, self.sequence, case.work)
        self.comparison = Comparison(self.sequence, singles.layers, at_any_step)
        targets = case.expected.targets(
            allowance,
            self.sequence.item,
            self.sequence.steps,
            array=settings_of(run_changes).get("array", "h"),
            only="" if len(cells) > 1 else next(iter(cells)),
        )
        every = list(targets)
        self.of_steps = [one for one in every if one.has_steps]
        self.targets = [one.thinned() for one in every]
        if at_any_step:  # of h and c, which the last states are of the last step
            self.targets = [one._replace(array=one.array[-1]) for one in self.targets]
        self.head = None  # that is compared
        if any(one.array in OF_HEAD for one in self.targets):
            self.head = self.comparison.head
        self.kept = _kept(self.targets, self.comparison.edited.values())

    # ---- what EXPECTED shows

    @cached_property
    def is_stepwise(self) -> bool:
        """Tell whether EXPECTED has the first step of a lowest cell, which shows most."""
        if self.comparison.edited:
            return False
        for name in self.singles.layers[0]:
            order = StepOrder.of_cell(self.runs.cells[name].how.behaviour, False)
            first = len(self.sequence.x) - 1 if order.outputs_reversed else 0
            if any(one.cell == name and first in one.at[0] for one in self.of_steps):
                return True
        return False

    @property
    def starts_from_zero(self) -> bool:
        """Tell whether half of a cell does not show at a first step."""
        states = self.sequence.states.values()
        return not any(h.any() or c.any() for h, c in states)

    @cached_property
    def horizons(self) -> Horizons:
        """The steps up to which runs are compared, from the first known one on."""
        steps = len(self.sequence.x)
        first = min((int(one.at[0].min()) for one in self.of_steps), default=steps)
        cell = next(iter(self.runs.cells.values())).cell
        width = cell.units if self.head is None else self.head.width(cell.outputs)
        telling = int(np.clip(TELLING_NUMBERS / width, FEWEST, TELLING))
        counts = (FEWEST, telling, TELLING, steps)
        return Horizons(*(min(first + count, steps) for count in counts))

    def targets_until(
        self, steps: int, cells: int | None = None
    ) -> list[WantedNumbers]:
        """Some numbers of the lowest cells up to a step; of last states, in a whole run."""
        every = self.targets
        if steps < len(self.sequence.x) and not self.comparison.at_any_step:
            every = []  # last states are those of the last step
            for target in self.of_steps:
                # of the numbers of all steps, few would be left
                every.append(target.subset(target.at[0] < steps).thinned())
        names = [*self.runs.cells, ""][:cells]
        return [one for one in every if one.cell in names]

    # ---- how far off runs are

    def off(
        self,
        sets: Array,
        steps: int | None = None,
        values: Array | None = None,
        dtype: Any = np.float64,
        cells: int | None = None,
    ) -> Array:
        """(N, E): how far off the runs of sets are, in tolerances, over the first steps or all.

        ``values`` (N, K) are of open constants, ``cells`` is how many of the lowest are run.
        """
        until = min(steps or len(self.sequence.x), len(self.sequence.x))
        extent = Extent(until, self.kept, dtype, cells)
        targets = self.targets_until(until, cells)
        off = []
        for part in self.runs.chunks(len(sets)):
            of_part = None if values is None else values[part]
            runs = self.runs.run(sets[part], extent, of_part)
            off.append(self.comparison.off(runs, targets))
        return np.concatenate(off)

    def off_early(
        self,
        sets: Array,
        steps: int,
        values: Array | None = None,
        dtype: Any = np.float64,
        cells: int | None = None,
    ) -> Array:
        """(N, E): as `off`, but of the last steps where outputs are reversed.

        Runs of these give them first; all steps would have to be run for the first ones.
        """
        are_reversed = self._are_reversed(sets, steps)
        in_order = np.flatnonzero(~are_reversed)
        first = self.off(sets[in_order], steps, _rows(values, in_order), dtype, cells)
        if not are_reversed.any():
            return first
        from_last = np.flatnonzero(are_reversed)
        last = self._off_from_last(
            sets[from_last], steps, _rows(values, from_last), dtype
        )
        return _joined(first, last, are_reversed)

    def _are_reversed(self, sets: Array, steps: int) -> Array:
        """(N,): which sets give the last steps first, where these are compared."""
        if steps >= len(self.sequence.x) or not self._has_last_step:
            return np.zeros(len(sets), bool)
        ((name, cell),) = self.runs.cells.items()
        order = cell.orders(self.runs.cells_of(name, sets))
        return np.asarray(order.outputs_reversed)

    @cached_property
    def _has_last_step(self) -> bool:
        """Tell whether EXPECTED has the last step of the only cell, in units of its h."""
        if (
            len(self.runs.cells) > 1
            or self.comparison.at_any_step
            or self.comparison.edited
        ):
            return False
        last = len(self.sequence.x) - 1
        return any((one.at[0] == last).any() for one in self.of_steps)

    def _off_from_last(
        self, sets: Array, steps: int, values: Array | None, dtype: Any
    ) -> Array:
        """(N, E): how far off reversed outputs are in the last steps, in tolerances."""
        (name,) = self.runs.cells
        extent = Extent(steps, self.kept, dtype, has_first_steps=False)
        begin = len(self.sequence.x) - steps
        targets = []
        for target in self.of_steps:
            targets.append(target.subset(target.at[0] >= begin).thinned())
        off = []
        for part in self.runs.chunks(len(sets)):
            cells = self.runs.cells_of(name, sets[part], _rows(values, part), dtype)
            arrays = self.runs.step(name, cells, extent)
            of_cell = CellRuns(arrays, np.arange(len(part)))
            off.append(self.comparison.off({name: of_cell}, targets))
        return np.concatenate(off)

    def shared_off(
        self, sets: Array, extent: Extent, steps: int, cached: Cached
    ) -> Array:
        """(N, E): how far off runs are over the first steps; other placements share these runs."""
        targets = self.targets_until(steps)
        key = self.shared_key(sets, extent)
        off: list[Array] = []
        for part in self.runs.chunks(len(sets)):
            run = partial(self.runs.run, sets[part], extent)
            off.append(self.comparison.off(cached.get((*key, len(off)), run), targets))
        return np.concatenate(off)

    def shared_key(self, sets: Array, extent: Extent) -> tuple[Any, ...]:
        """The key that tells the runs of sets from others."""
        of_sets = sets.shape[1], sets.tobytes()
        return (*self.sequence.key, *of_sets, extent.steps, *sorted(extent.kept))

    def distances(self, cached: Cached) -> Array:
        """(S + 1,): the rms in tolerances of each single change, and of none.

        Infinite for constants, and if nothing is compared.
        """
        steps = len(self.sequence.x)
        others = "cifgo"  # that other placements compare
        if len(self.runs.cells) > 1:
            others = "c"
        elif self.is_stepwise:
            steps = min(CLOSEST_STEPS, steps)
        sets = np.arange(len(self.singles) + 1)[:, None]
        are_reversed = self._are_reversed(sets, steps)
        extent = Extent(steps, self.kept.union(others), np.float32)
        off = self.shared_off(sets[~are_reversed], extent, steps, cached)
        if are_reversed.any():
            last = self._off_from_last(sets[are_reversed], steps, None, np.float32)
            off = _joined(off, last, are_reversed)
        distances = rms(off)
        if not off.shape[1]:
            distances[:] = np.inf
        distances[self.singles.constant != NO_CONSTANT] = np.inf
        return distances


def _kept(targets: Sequence[WantedNumbers], edited: Collection[Cell]) -> set[str]:
    """The arrays of each cell that a comparison takes."""
    kept = {*OUTPUTS}
    kept.update(one.array for one in targets)
    for cell in edited:
        kept.update(edit.kind.takes for edit in cell.edits)
    return kept.difference(OF_HEAD)


def _rows(values: Array | None, which: Array) -> Array | None:
    """Some of the values of open constants, if there are any."""
    return None if values is None else values[which]


def _joined(first: Array, last: Array, is_last: Array) -> Array:
    """The numbers (N, E) of two kinds of sets; where one has fewer, these count more often."""
    width = max(first.shape[1], last.shape[1])
    joined = np.zeros((len(is_last), width))
    for which, off in ((~is_last, first), (is_last, last)):
        if off.shape[1]:
            often = np.linspace(0, off.shape[1] - 1, width).astype(int)
            joined[which] = off[:, often]
    return joined


def are_near(off: Array) -> Array:
    """(N,): which hypotheses are off by so little that a full run decides."""
    return np.asarray((np.abs(off) <= LOOSE).all(axis=1))


def rms(off: Array) -> Array:
    """(N,) the root mean square of each hypothesis; 0 of nothing."""
    squares = np.square(off, dtype=float).sum(axis=1)
    return np.asarray(np.sqrt(squares / max(1, off.shape[1])))
