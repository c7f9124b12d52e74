"""A network under sets of changes, run over one sequence of the batch.

Each distinct cell is stepped once over each distinct output of the layer below.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.causes import Changes, settings_of
from lstmcli.core.explain.hypotheses import SingleChanges
from lstmcli.core.explain.simulator import Cells, Simulator, work_of_step
from lstmcli.core.explain.verify import FINE, Case
from lstmcli.core.forward.sequence import merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model, as_time_major
from lstmcli.core.model.states import State, split_state

CHUNK = 1000  # hypotheses run at once: more leave the cache
LEAST_CHUNK = 8  # of them, however large their outputs are
MEMORY = 2**26  # bytes of outputs of hypotheses run at once
CALL = 2000  # units whose work equals NumPy's calls in a step of a cell
SET = 5  # units whose work equals making a cell
OF_READING = ("initial_state", "head")  # changes of a run that the model has
FINALS = ("final_h", "final_c")


@dataclass(frozen=True, eq=False)
class SequenceRun:
    """One sequence of the batch, and the network as it is run over it."""

    item: int  # of the batch
    steps: Array  # (T,): those of EXPECTED that count
    x: Array  # (T, I)
    model: Model
    states: Mapping[str, State]  # before the first step, of each cell
    key: tuple[Any, ...]  # equal for the same runs


def sequence_run(
    case: Case, singles: SingleChanges, run_changes: Changes, item: int | None
) -> SequenceRun:
    """The run over a sequence; over the one known best without an ``item``, or if it is empty."""
    valid = case.valid(settings_of(run_changes))
    if item is None or (valid is not None and not valid[:, item].any()):
        item = case.expected.best_known(valid)
    x = as_time_major(np.asarray(case.data.x, np.float64), case.layout)  # (T, B, I)
    steps = np.arange(len(x))
    if valid is not None:
        steps = np.flatnonzero(valid[:, item])
    of_model = {name: value for name, value in run_changes if name in OF_READING}
    model = case.read({**of_model, **FINE})
    states = {}
    each = split_state(case.data.initial_state, model, x.shape[1])
    for (name, _), (h, c) in zip(model.cells, each, strict=True):
        # a state may be one for all sequences
        states[name] = (h[item % len(h)], c[item % len(c)])
    merge = model.behaviour.merge if len(singles.layers) > 1 else ""
    key = id(singles), item, merge, steps.tobytes(), case.layout, *of_model.values()
    return SequenceRun(item, steps, x[steps, item], model, states, key)


class CellRuns(NamedTuple):
    """The distinct runs of a cell, and which of them each of N hypotheses has."""

    arrays: dict[str, Array]  # (U, T, K), or (U, K) of a last state
    which: Array  # (N,)


Runs = Mapping[str, CellRuns]
"""By cell."""


class Extent(NamedTuple):
    """How much of a run is computed and kept."""

    steps: int  # the first ones of the outputs
    kept: Collection[str]  # arrays of each cell
    dtype: Any = np.float64
    cells: int | None = None  # how many, the lowest first; None: all
    # otherwise as many are computed of reversed outputs: the last ones
    has_first_steps: bool = True


class NetworkRuns:
    """A network, run over a sequence; ``cells`` are under hypotheses."""

    def __init__(
        self,
        cells: Mapping[str, Simulator],
        singles: SingleChanges,
        sequence: SequenceRun,
        work: WorkDone,
    ) -> None:
        self.cells = cells
        self.singles = singles
        self.sequence = sequence
        self.work = work

    @property
    def work_of_run(self) -> float:
        """The work of a run of one hypothesis."""
        of_step = [work_of_step(one.cell) + CALL / CHUNK for one in self.cells.values()]
        return len(self.sequence.x) * sum(of_step) + SET * len(self.cells)

    def cells_of(self, name: str, sets: Array, *constants: Any) -> Cells:
        """A cell under sets of changes, with ``constants`` as of `Simulator.cells`."""
        return self.cells[name].cells(self.singles.codes(name, sets), *constants)

    def keys(self, sets: Array) -> Array:
        """(N, C): equal for sets that result in equal cells."""
        self.work.add(SET * len(sets) * len(self.cells))
        keys = [one.keys(self.cells_of(name, sets)) for name, one in self.cells.items()]
        return np.stack(keys, axis=1)

    def chunks(self, count: int, values: int = 1) -> Iterator[Array]:
        """The positions of hypotheses run at once, each with some values of a constant."""
        widest = max(one.cell.units for one in self.cells.values())
        room = MEMORY // (8 * len(self.sequence.x) * widest * len(self.cells))
        size = max(LEAST_CHUNK, min(CHUNK, room) // values)
        for at in range(0, max(1, count), size):
            yield np.arange(at, min(at + size, count))

    def run(self, sets: Array, extent: Extent, values: Array | None = None) -> Runs:
        """The runs of sets, with values (N, K) of their open constants."""
        runs: dict[str, CellRuns] = {}
        below: list[CellRuns] = []
        for layer in self.singles.layers:
            of_layer = extent
            if layer != self.singles.layers[-1]:  # the one above may run back
                of_layer = extent._replace(steps=len(self.sequence.x))
            for name in layer:
                if len(runs) == extent.cells:
                    return runs
                runs[name] = self._runs_of_cell(name, sets, of_layer, values, below)
            below = [runs[name] for name in layer]
        return runs

    def _runs_of_cell(
        self,
        name: str,
        sets: Array,
        extent: Extent,
        values: Array | None,
        below: Sequence[CellRuns],
    ) -> CellRuns:
        """The runs of a cell over those below, each distinct one once."""
        if len(sets):
            self.work.add(CALL + SET * len(sets))
        cells = self.cells_of(name, sets, values, extent.dtype)
        columns = [self.cells[name].keys(cells), *cells.constants.T]
        columns.extend(one.which for one in below)
        first, which = distinct(*columns)
        inputs = [CellRuns(one.arrays, one.which[first]) for one in below]
        return CellRuns(self.step(name, cells.subset(first), extent, inputs), which)

    def step(
        self, name: str, cells: Cells, extent: Extent, below: Sequence[CellRuns] = ()
    ) -> dict[str, Array]:
        """The arrays of distinct cells, each over its outputs ``below``."""
        arrays = self._zeros(name, len(cells), extent)
        for group in _stepped_together(self.cells[name], cells):
            inputs = [CellRuns(one.arrays, one.which[group]) for one in below]
            self._step_group(name, cells.subset(group), extent, inputs, group, arrays)
        return arrays

    def _zeros(self, name: str, count: int, extent: Extent) -> dict[str, Array]:
        """Zeros for the runs of a cell; steps that are not run take no memory."""
        cell = self.cells[name].cell
        widths = {"h": cell.outputs, "final_h": cell.outputs, "z": 4 * cell.units}
        steps = len(self.sequence.x)
        arrays = {}
        for array in extent.kept:
            width = widths.get(array, cell.units)
            if array in FINALS:
                arrays[array] = np.zeros((count, width), extent.dtype)
            else:
                of_steps = np.zeros((steps, count, width), extent.dtype)
                arrays[array] = of_steps.swapaxes(0, 1)
        return arrays

    def _step_group(
        self,
        name: str,
        cells: Cells,
        extent: Extent,
        below: Sequence[CellRuns],
        rows: Array,
        arrays: Mapping[str, Array],
    ) -> None:
        """Step cells of one order, and put what they give into rows of the arrays."""
        simulator, last = self.cells[name], len(self.sequence.x) - 1
        order = simulator.orders(cells)
        runs_back, outputs_reversed = order.runs_back[0], order.outputs_reversed[0]
        steps = extent.steps
        if outputs_reversed and extent.has_first_steps:
            steps = last + 1
        state = simulator.start(len(cells), self.sequence.states[name], extent.dtype)
        for t in range(steps):
            taken = last - t if runs_back else t
            shown = last - t if outputs_reversed else t
            x = self._inputs(taken, below, extent.dtype)
            given = simulator.step(t, x, state, cells, keep_z="z" in extent.kept)
            self.work.add(CALL + len(cells) * work_of_step(simulator.cell))
            state = given["h"], given["c"]
            for array, values in arrays.items():
                if array in FINALS:  # that of the last step stays
                    values[rows] = given[array.removeprefix("final_")]
                else:
                    values[rows, shown] = given[array]

    def _inputs(self, step: int, below: Sequence[CellRuns], dtype: Any) -> Array:
        """The inputs (N, I) of cells at a step; (1, I) of the lowest ones."""
        if not below:
            return self.sequence.x[None, step].astype(dtype)
        outputs = [one.arrays["h"][one.which, step][:, None] for one in below]
        return merge_directions(outputs, self.sequence.model.convention)[:, 0]


def _stepped_together(simulator: Simulator, cells: Cells) -> Iterator[Array]:
    """Which cells are stepped at once: those of one order; large ones with the same tensors."""
    columns = [*simulator.orders(cells)]
    if simulator.is_large:
        columns.extend(one.place for one in cells.tensors.values())
    first, group = distinct(*columns)
    for n in range(len(first)):
        yield np.flatnonzero(group == n)


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
