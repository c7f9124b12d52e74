"""A run in pieces: for inputs that arrive step by step, or results that exceed memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.core.forward.batch import Meter, Runner, batch_chunks, blocks_within, shares_memory
from lstmcli.core.forward.blas import one_thread
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.plan import Plan, cell_names
from lstmcli.core.forward.run import SequenceResults, Work, metered, run_plan, task_of_chunk
from lstmcli.core.forward.sequence import has_direction_axis, merge_directions
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model, Trace, from_time_major
from lstmcli.core.model.selection import (
    SelectedIndices,
    contiguous_ranges,
    cut_final_state,
    positions_between,
    take,
)
from lstmcli.core.model.states import State, join_states
from lstmcli.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

Sink = Callable[[slice, slice, Mapping[str, Array]], None]
"""Takes sequences, steps and the arrays (s, R, K) of these; called from several threads."""

Put = Callable[[str, tuple[slice, ...], Array], None]
"""Takes a part of an array by name, and where it belongs in the axes of the inputs."""

PIECE = 4 << 20  # bytes of results that are computed before they are passed on
AHEAD = 8  # chunks of sequences that an executor gets before the first of them is waited for
MAX_GAPS = 64  # between selected steps; the quick path over steps in between stops at each of them


class LayerStack:
    """The cells of a model that runs forward only, stepped together, over a chunk of sequences."""

    def __init__(
        self, plan: Plan, packed: Sequence[Packed], chunk: slice, meter: Meter | None
    ) -> None:
        self.model, self.steps = plan.model, 0
        self._runners = [
            Runner(of_cell, blocks_within(chunk, plan.batch, of_cell.cell), state, meter)
            for of_cell, state in zip(packed, plan.states_of(chunk), strict=True)
        ]

    @classmethod
    def of_plan(cls, plan: Plan, meter: Meter | None) -> LayerStack:
        """All sequences of a run.

        Raises
        ------
        UserError
            for a model that needs all steps at once.
        """
        model = plan.model
        behaviour = model.convention.behaviour
        if model.backward or behaviour.flip_output:
            raise UserError("a backward run starts from the last step; give the inputs as a file.")
        if behaviour.state == "reset":
            raise UserError("state=reset is for inputs in a file.")
        if behaviour.arithmetic != "float":
            raise UserError(
                "8-bit arithmetic runs all steps at once; give the inputs as a file, or "
                "--arithmetic float."
            )
        return cls(plan, [Packed(cell) for _, cell in model.cells], slice(0, plan.batch), meter)

    def advance(self, x: Array, keep: tuple[str, ...]) -> dict[str, Array]:
        """Run the steps of x (s, R, I); gives the arrays of a trace, each (s, R, K)."""
        arrays: dict[str, Array] = {}
        with one_thread():
            for n, runner in enumerate(self._runners):
                of_cell = runner.advance(x, tuple(dict.fromkeys((*keep, "h"))))
                x = of_cell["h"]
                arrays |= cell_names(self.model, n, 0, {k: of_cell[k] for k in keep})
        self.steps += len(x)
        return arrays if len(self._runners) == 1 else {"h": x} | arrays

    @property
    def states(self) -> list[State]:
        """The state of each cell."""
        return [runner.state for runner in self._runners]

    def state(self, layout: str) -> State:
        """The state as a trace has it: ``final_h``, ``final_c``."""
        return join_states(self.states, self.model.convention.behaviour.states, layout)


def runs_forward(model: Model) -> bool:
    """Whether a step needs only those before it."""
    behaviour = model.convention.behaviour
    all_at_once = behaviour.state == "reset" or behaviour.arithmetic != "float"
    return not (model.backward or behaviour.flip_output or all_at_once)


def sweep(
    plan: Plan,
    sink: Sink,
    *,
    shown: Sequence[range] | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
) -> State:
    """Run as `forward.run.run_plan` does, bit for bit, and pass the results on in pieces.

    Gives ``final_h`` and ``final_c``. Where only some steps are ``shown``, in ascending ranges, a
    model that runs forward takes the quick path over the others, and passes on only these. Memory
    is that of some pieces of inputs and results; where a model needs all steps at once (backward,
    masked), that of a chunk of sequences.

    Raises
    ------
    UserError
        for directions on an axis, which cannot be cut into pieces.
    """
    model = plan.model
    if has_direction_axis(model):
        raise UserError("directions on a separate axis cannot be written in pieces.")
    work = Work(model, plan.batch, plan.keep, plan.masked, meter=meter)
    chunks = batch_chunks(plan.batch, model)
    size = _steps_of_piece(plan, max(c.stop - c.start for c in chunks))

    def pass_on(chunk: slice, part: SequenceResults) -> list[State]:
        sink(chunk, slice(0, plan.steps), _arrays(model, part))
        return part.finals

    def run_here(chunk: slice) -> list[State]:
        if plan.valid is not None or not runs_forward(model):
            return pass_on(chunk, work(*task_of_chunk(plan, chunk)))
        stack = LayerStack(plan, work.packed, chunk, meter)
        for steps, shown_here in _cuts(plan.steps, size, shown):
            arrays = stack.advance(plan.block(steps, chunk), plan.keep if shown_here else ())
            if shown_here:
                sink(chunk, steps, arrays)
        return stack.states

    finals = [(h.copy(), c.copy()) for h, c in plan.states]
    if executor is None or shares_memory(executor):
        ends: Iterator[list[State]] = _ahead(executor, run_here, ((chunk,) for chunk in chunks))
    else:
        tasks = (task_of_chunk(plan, chunk) for chunk in chunks)
        parts = metered(_ahead(executor, work, tasks), chunks, plan, meter)
        ends = map(pass_on, chunks, parts)
    with one_thread():
        for chunk, states in zip(chunks, ends, strict=True):
            for (h, c), (chunk_h, chunk_c) in zip(finals, states, strict=True):
                h[chunk], c[chunk] = chunk_h, chunk_c
    return join_states(finals, model.convention.behaviour.states, plan.layout)


def step_pieces(
    plan: Plan, stack: LayerStack, steps: int, observe: Callable[[Mapping[str, Array]], None]
) -> Iterator[tuple[range, dict[str, Array]]]:
    """Consecutive steps of a forward run and their arrays (s, B, K), as they are computed.

    ``stack`` is that of all sequences; a piece has at most so many ``steps``, and inputs of at
    most `PIECE` bytes. ``observe`` is called with each piece.
    """
    x = plan.inputs.x
    size = max(1, min(steps, PIECE // (plan.batch * x.shape[-1] * x.dtype.itemsize)))
    for first in range(0, plan.steps, size):
        piece = range(first, min(first + size, plan.steps))
        arrays = stack.advance(plan.block(slice(piece.start, piece.stop)), plan.keep)
        observe(arrays)
        yield piece, arrays


def sweep_selected(
    plan: Plan,
    selected: SelectedIndices,
    put: Put,
    *,
    observe: Callable[[Mapping[str, Array]], None] | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
) -> State:
    """Run as `sweep` does, and ``put`` what is selected where it belongs; gives the final state.

    ``observe`` is called with every piece (s, R, K) of the full run.
    """
    shown = contiguous_ranges(selected.steps)
    if len(shown) > MAX_GAPS:
        shown = [range(shown[0].start, shown[-1].stop)]

    def sink(batch: slice, steps: slice, arrays: Mapping[str, Array]) -> None:
        if observe is not None:
            observe(arrays)
        at = positions_between(selected.steps, steps.start, steps.stop)
        items = positions_between(selected.batch, batch.start, batch.stop)
        if at.start == at.stop or items.start == items.stop:
            return
        steps_of_piece = [n - steps.start for n in selected.steps[at]]
        items_of_piece = [n - batch.start for n in selected.batch[items]]
        index = {"steps": (at,), "time": (at, items), "batch": (items, at)}[plan.layout]
        for name, columns in selected.columns.items():
            array = take(take(arrays[name], steps_of_piece, 0), items_of_piece, 1)  # (s, R, K)
            put(name, index, from_time_major(take(array, columns, 2), plan.layout))

    return sweep(plan, sink, shown=None if observe else shown, executor=executor, meter=meter)


def run_selected(
    plan: Plan,
    selected: SelectedIndices,
    *,
    observe: Callable[[Mapping[str, Array]], None] | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
) -> tuple[Trace, State]:
    """A trace of what is selected, for which memory is taken, and the full final state.

    ``observe``, ``executor`` and ``meter`` are as in `sweep_selected`.
    """
    shapes = selected.shapes(plan.layout)
    arrays = {name: np.empty(shape, plan.dtype) for name, shape in shapes.items()}

    def put(name: str, index: tuple[slice, ...], array: Array) -> None:
        arrays[name][index] = array

    final = sweep_selected(plan, selected, put, observe=observe, executor=executor, meter=meter)
    states = plan.model.convention.behaviour.states
    h, c = (cut_final_state(array, selected, plan.layout, states) for array in final)
    return Trace(arrays, h, c, plan.layout, plan.settings() | selected.settings()), final


def run_in_blocks(
    plan: Plan, executor: Executor | None = None, meter: Meter | None = None
) -> Trace:
    """As `forward.run.run_plan`, bit for bit; inputs in a file are read block by block.

    Where directions are on a separate axis, they are read at once.
    """
    if has_direction_axis(plan.model) or isinstance(plan.inputs.x, np.ndarray):
        return run_plan(plan, executor, meter)
    return run_selected(plan, plan.select(), executor=executor, meter=meter)[0]


def _cuts(steps: int, size: int, shown: Sequence[range] | None) -> Iterator[tuple[slice, bool]]:
    """All steps in order, in slices of at most this size, and whether they are shown."""
    marks = [(r.start, r.stop) for r in shown] if shown is not None else [(0, steps)]
    at = 0
    for start, stop in [*marks, (steps, steps)]:
        for last, shown_here in ((start, False), (stop, True)):
            while at < last:
                yield slice(at, min(at + size, last)), shown_here
                at = min(at + size, last)


def _steps_of_piece(plan: Plan, batch: int) -> int:
    """The steps whose results, or inputs if these are more, fill a piece."""
    model, keep = plan.model, plan.keep
    numbers = sum(cell.units for _, cell in model.cells) * (len(keep) + 3 * ("z" in keep))
    numbers = max(numbers, model.cell.inputs)
    return max(16, PIECE // max(1, numbers * batch * plan.dtype.itemsize))


def _ahead(
    executor: Executor | None, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """The results in order; only `AHEAD` calls are submitted before the first is waited for."""
    if executor is None:
        yield from starmap(function, arguments)
        return
    pending: deque[Any] = deque()
    for one in arguments:
        pending.append(executor.submit(function, *one))
        if len(pending) >= AHEAD:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _arrays(model: Model, part: SequenceResults) -> dict[str, Array]:
    if not part.outputs:
        return part.arrays
    return {"h": merge_directions(part.outputs, model.layers[-1][0].convention, None)} | part.arrays
