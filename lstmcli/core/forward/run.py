"""Run a model over inputs: from (B, T, I) to a trace, or to parts of it as they are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli.core.forward.batch import (
    PAYS_FROM,
    Meter,
    Runner,
    batch_blocks,
    batch_chunks,
    blocks_within,
    shares_memory,
    worth_threads,
)
from lstmcli.core.forward.equations import is_eight_bit, rounded
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.matmul import is_same_in_one_block, saves_packing
from lstmcli.core.forward.plan import Plan, cell_names
from lstmcli.core.forward.sequence import (
    counted,
    direction_axis,
    edited_outputs,
    has_direction_axis,
    merge_directions,
    padding_rule,
    run_in_order,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import (
    Model,
    State,
    Trace,
    from_time_major,
    in_layout,
    join_states,
)
from lstmcli.core.model.part import Part, positions_between, take
from lstmcli.core.model.selection import Choice, cut_final_state
from lstmcli.errors import UserError
from lstmcli.threads import one_thread

if TYPE_CHECKING:
    from concurrent.futures import Executor

Put = Callable[[str, tuple[slice, ...], Array], None]
"""Takes a part of an array by name, and where it belongs in the axes of the inputs.

Called from several threads. Where directions are stacked, h has them before
its last axis.
"""

Observe = Callable[[Mapping[str, Array]], None]
"""Takes the arrays (s, R, K) of some steps of some sequences; called from several threads."""

AHEAD = 8  # chunks that an executor gets before the first is waited for


def run_plan(
    plan: Plan, executor: Executor | None = None, meter: Meter | None = None
) -> Trace:
    """The trace of a run; ``executor`` and ``meter`` are those of `lstmcli.run`.

    Inputs in a file are read block by block, with the same bits.
    """
    model = plan.model
    at_once = executor is None or (
        shares_memory(executor) and not worth_threads(plan.batch, model)
    )
    if at_once and isinstance(plan.inputs.x, np.ndarray):
        work = ChunkRun(model, plan.batch, plan.keep, plan.masked, meter)
        part = work(*task_of_chunk(plan, slice(0, plan.batch)))
        return trace_of(plan, part)
    return run_selected(plan, plan.select(), executor=executor, meter=meter)[0]


def run_selected(plan: Plan, selected: Part, **how: Any) -> tuple[Trace, State]:
    """A trace of what is selected, for which memory is taken, and the full final state.

    ``how``: ``observe``, ``executor`` and ``meter``, as in `sweep_selected`.
    """
    convention, stacked = plan.model.convention, has_direction_axis(plan.model)
    arrays: dict[str, Array] = {}
    for name, columns in selected.columns.items():
        axes = (2, len(columns)) if stacked and name == "h" else (len(columns),)
        shape = (
            len(selected.steps),
            *axes,
            len(selected.batch),
        )  # in memory as the loop writes it
        time_major = np.moveaxis(np.empty(shape, plan.dtype), -1, 1)
        arrays[name] = from_time_major(time_major, plan.layout)

    def put(name: str, index: tuple[slice, ...], array: Array) -> None:
        arrays[name][index] = array

    final = sweep_selected(plan, selected, put, ahead=plan.batch, **how)
    if stacked and "h" in arrays:
        arrays["h"] = np.moveaxis(
            arrays["h"], -2, direction_axis(convention, plan.layout)
        )
    states = convention.behaviour.states
    h, c = (cut_final_state(array, selected, plan.layout, states) for array in final)
    return Trace(arrays, h, c, plan.layout, plan.settings() | selected.meta()), final


def sweep_selected(
    plan: Plan,
    selected: Part,
    put: Put,
    *,
    observe: Observe | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    ahead: int = AHEAD,
) -> State:
    """Run, ``put`` what is selected piece by piece, and return the full ``final_h, final_c``.

    Bit for bit as in a run at once. ``observe`` is called with every piece;
    without it, pieces without selected steps are computed for their last state
    alone. Memory is that of some pieces; where a model needs all steps at once
    (backward, masked), that of a chunk of sequences, of which ``ahead`` are
    computed at a time.
    """
    model = plan.model
    work = ChunkRun(model, plan.batch, plan.keep, plan.masked, meter=meter)
    chunks = batch_chunks(plan.batch, model)
    size = _steps_of_piece(plan, max(chunk.stop - chunk.start for chunk in chunks))

    def pass_on(batch: slice, steps: slice, arrays: Mapping[str, Array]) -> None:
        if observe is not None:
            observe(arrays)
        at = positions_between(selected.steps, steps.start, steps.stop)
        items = positions_between(selected.batch, batch.start, batch.stop)
        if at.start == at.stop or items.start == items.stop:
            return
        steps_of_piece = [n - steps.start for n in selected.steps[at]]
        items_of_piece = [n - batch.start for n in selected.batch[items]]
        index = in_layout(at, items, plan.layout)
        for name, columns in selected.columns.items():
            array = take(
                take(arrays[name], steps_of_piece, 0), items_of_piece, 1
            )  # (s, R, K)
            put(
                name,
                index,
                from_time_major(take(array, columns, array.ndim - 1), plan.layout),
            )

    def pass_on_all(chunk: slice, part: SequenceResults) -> list[State]:
        pass_on(chunk, slice(0, plan.steps), _arrays(model, part))
        return part.finals

    def run_here(chunk: slice) -> list[State]:
        if plan.valid is not None or not runs_forward(model):
            return pass_on_all(chunk, work(*task_of_chunk(plan, chunk)))
        stack = LayerStack(plan, work.packed, chunk, meter)
        for first in range(0, plan.steps, size):
            steps = slice(first, min(first + size, plan.steps))
            at = positions_between(selected.steps, steps.start, steps.stop)
            keep = plan.keep if observe is not None or at.start < at.stop else ()
            pass_on(chunk, steps, stack.advance(plan.block(steps, chunk), keep))
        return stack.states

    finals = [(h.copy(), c.copy()) for h, c in plan.states]
    is_here = executor is None or shares_memory(executor)
    if is_here:
        ends = _in_order(executor, run_here, ((chunk,) for chunk in chunks), ahead)
    else:
        tasks = (task_of_chunk(plan, chunk) for chunk in chunks)
        parts = _in_order(executor, work, tasks, ahead)
        ends = map(pass_on_all, chunks, parts)
    with one_thread():
        for chunk, states in zip(chunks, ends, strict=True):
            if meter and not is_here:
                meter((chunk.stop - chunk.start) * plan.steps * len(states))
            for (h, c), (chunk_h, chunk_c) in zip(finals, states, strict=True):
                h[chunk], c[chunk] = chunk_h, chunk_c
    return join_states(finals, model.behaviour.states, plan.layout)


def _steps_of_piece(plan: Plan, batch: int) -> int:
    model, arrays = plan.model, len(plan.keep) + 3 * ("z" in plan.keep)
    numbers = max(
        1, arrays * sum(cell.units for _, cell in model.cells), model.cell.inputs
    )
    return max(16, PIECE // (numbers * batch * plan.dtype.itemsize))


class SequenceResults(NamedTuple):
    """The results of some sequences."""

    outputs: list[Array]  # h of the last layer, (T, R, P) of each direction
    arrays: dict[str, Array]  # what is kept of each cell, (T, R, K)
    finals: list[State]  # of each cell


def task_of_chunk(
    plan: Plan, chunk: slice
) -> tuple[slice, Array, list[State], Array | None]:
    """Return what `ChunkRun` takes for a chunk of sequences."""
    valid = None if plan.valid is None else plan.valid[:, chunk]
    return chunk, plan.block(batch=chunk), plan.states_of(chunk), valid


@dataclass(frozen=True, eq=False)
class ChunkRun:
    """The computation of some sequences, here or in another process."""

    model: Model
    batch: int  # B of the run: the blocks follow from it
    keep: tuple[str, ...]
    masked: bool
    meter: Meter | None = None
    packed: tuple[Packed, ...] = ()  # of each cell

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "packed", tuple(Packed(cell) for _, cell in self.model.cells)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkRun, (self.model, self.batch, self.keep, self.masked)

    def __call__(
        self, chunk: slice, x: Array, states: Sequence[State], valid: Array | None
    ) -> SequenceResults:
        """The results of x (T, R, I), a state of each cell, valid steps (T, R)."""
        arrays: dict[str, Array] = {}
        finals: list[State] = []
        with (
            one_thread(),
            np.errstate(all="ignore"),
        ):  # the results show what is not finite
            for n, layer in enumerate(self.model.layers):
                outputs = []
                for d, cell in enumerate(layer):
                    packed = self.packed[len(finals)]
                    operand = (
                        rounded(cell, x.astype(cell.dtype), 2)
                        if is_eight_bit(cell)
                        else x
                    )
                    blocks = self._blocks(packed, chunk, len(x))
                    of_cell, final = run_in_order(
                        partial(_advance, packed, blocks, self.meter),
                        cell,
                        operand,
                        states[len(finals)],
                        counted(cell, valid, self.model),
                        self.keep,
                        backward=d == 1,
                        padding=padding_rule(cell, self.masked, len(layer) == 2),
                    )
                    finals.append(final)
                    outputs.append(of_cell["h"])
                    arrays |= cell_names(
                        self.model, n, d, {k: of_cell[k] for k in self.keep}
                    )
                if n + 1 < len(self.model.layers):
                    x = merge_directions(outputs, layer[0].convention)
        return SequenceResults(outputs if len(finals) > 1 else [], arrays, finals)

    def _blocks(self, packed: Packed, chunk: slice, steps: int) -> list[slice]:
        """The blocks of a chunk; one block where that is quicker and gives the same bits.

        Blocks write all arrays but h to columns of wide arrays, which takes
        longer.
        """
        blocks = blocks_within(chunk, self.batch, packed.cell)
        if (
            chunk.stop - chunk.start < self.batch
            or len(blocks) == 1
            or steps < PAYS_FROM
        ):
            return blocks
        K = packed.matrix()
        quicker = set(self.keep) > {"h"} or saves_packing(K, self.batch, blocks)
        return (
            [chunk]
            if quicker and is_same_in_one_block(K, self.batch, blocks)
            else blocks
        )


def run_in_memory(plan: Plan) -> dict[str, Array]:
    """The arrays (T, B, K) of a run and each cell's last states (B, K)."""
    model = plan.model
    part = ChunkRun(model, plan.batch, plan.keep, plan.masked)(
        *task_of_chunk(plan, slice(0, plan.batch))
    )
    arrays, several = dict(_arrays(model, part)), len(part.finals) > 1
    for (name, _), (h, c) in zip(model.cells, part.finals, strict=True):
        prefix = f"{name}." if several else ""
        arrays |= {f"{prefix}final_h": h, f"{prefix}final_c": c}
    return arrays


def trace_of(plan: Plan, part: SequenceResults) -> Trace:
    """The trace of all results, in the axes of inputs and convention."""
    model, layout = plan.model, plan.layout
    arrays = {k: from_time_major(a, layout) for k, a in _arrays(model, part).items()}
    if has_direction_axis(model):
        arrays["h"] = np.moveaxis(
            arrays["h"], -2, direction_axis(model.convention, layout)
        )
    h, c = join_states(part.finals, model.behaviour.states, layout)
    return Trace(arrays, h, c, layout, plan.settings())


def _advance(
    packed: Packed,
    blocks: Sequence[slice],
    meter: Meter | None,
    x: Array,
    state: State,
    names: tuple[str, ...],
) -> tuple[dict[str, Array], State]:
    """Step over x (T, R, I); of a reset state, steps are sequences of one."""
    steps, batch = x.shape[:2]
    reset = packed.cell.behaviour.state == "reset"
    if reset:
        more = (steps - 1) * batch
        h, c = (
            np.concatenate([a, np.zeros((more, a.shape[1]), a.dtype)]) for a in state
        )
        x, state = x.reshape(1, steps * batch, -1), (h, c)
        blocks = batch_blocks(steps * batch, packed.cell)
    runner = Runner(packed, blocks, state, meter=meter)
    arrays, (h, c) = runner.advance(x, names), runner.state
    if reset:
        arrays = {k: a.reshape(steps, batch, -1) for k, a in arrays.items()}
        h, c = h[-batch:], c[-batch:]
    return arrays, (h, c)


def _in_order(
    executor: Executor | None,
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    ahead: int,
) -> Iterator[Any]:
    if executor is None:
        yield from starmap(function, arguments)
        return
    pending: deque[Any] = deque()
    for one in arguments:
        pending.append(executor.submit(function, *one))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _arrays(model: Model, part: SequenceResults) -> dict[str, Array]:
    """A part's arrays (T, R, K) and the model's h; stacked, (T, R, D, H)."""
    if not part.outputs:
        return part.arrays
    if has_direction_axis(model):
        return {"h": np.stack(part.outputs, axis=2)} | part.arrays
    return {
        "h": merge_directions(part.outputs, model.layers[-1][0].convention)
    } | part.arrays


# ---- a run step by step, for inputs as they arrive


PIECE = 4 << 20  # bytes of results that are computed before they are passed on


class LayerStack:
    """The cells of a forward model, stepped together over a chunk."""

    def __init__(
        self, plan: Plan, packed: Sequence[Packed], chunk: slice, meter: Meter | None
    ) -> None:
        self.model, self.steps = plan.model, 0
        self._runners = [
            Runner(
                of_cell, blocks_within(chunk, plan.batch, of_cell.cell), state, meter
            )
            for of_cell, state in zip(packed, plan.states_of(chunk), strict=True)
        ]

    @classmethod
    def of_plan(cls, plan: Plan, meter: Meter | None) -> LayerStack:
        """All sequences of a run; UserError for a model that needs all steps at once."""
        if reason := _needs_all_steps(plan.model):
            raise reason
        packed = [Packed(cell) for _, cell in plan.model.cells]
        return cls(plan, packed, slice(0, plan.batch), meter)

    def advance(self, x: Array, keep: tuple[str, ...]) -> dict[str, Array]:
        """Run the steps of x (s, R, I); gives the arrays of a trace, each (s, R, K)."""
        arrays: dict[str, Array] = {}
        with one_thread():
            for n, runner in enumerate(self._runners):
                more = (edit.kind.takes for edit in runner.cell.edits)
                of_cell = runner.advance(x, tuple(dict.fromkeys((*keep, "h", *more))))
                of_cell = edited_outputs(runner.cell, x, of_cell)
                x = of_cell["h"]
                arrays |= cell_names(self.model, n, 0, {k: of_cell[k] for k in keep})
        self.steps += len(x)
        return arrays if len(self._runners) == 1 else {"h": x} | arrays

    @property
    def states(self) -> list[State]:
        """The state of each cell."""
        return [runner.state for runner in self._runners]

    def state(self, layout: str) -> State:
        """The state as in a trace: ``final_h``, ``final_c``."""
        return join_states(self.states, self.model.behaviour.states, layout)


def runs_forward(model: Model) -> bool:
    """Return whether a step needs only those before it."""
    return not _needs_all_steps(model)


def needed_steps(plan: Plan, chosen: Choice | None) -> Plan:
    """The run up to the last step chosen, if later ones change none of them."""
    if chosen is None or not runs_forward(plan.model):
        return plan
    return plan.until(chosen.among(plan.steps)[-1] + 1)


def _needs_all_steps(model: Model) -> UserError | None:
    behaviours = [cell.behaviour for _, cell in model.cells]
    for edit in (edit for edit in model.edits if edit.kind.of_sequence):
        text = "the edit takes other steps of the sequence; give the inputs as a file."
        return UserError(text, about={"edit": edit.text})
    if model.backward or any(one.flip_output for one in behaviours):
        return UserError(
            "a backward run starts from the last step; give the inputs as a file."
        )
    if any(one.state == "reset" for one in behaviours):
        return UserError("state=reset is for inputs in a file.")
    if any(one.arithmetic != "float" for one in behaviours):
        text = "8-bit arithmetic runs all steps at once, and the inputs are not a file."
        return UserError(text, try_={"arithmetic": "float"})
    return None
