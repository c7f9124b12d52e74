"""Run a model over inputs: from (B, T, I) to a trace, or to parts of it as they are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from lstmcli.core.forward.head import Pooled, head_output, last_states
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.matmul import is_same_in_one_block, saves_packing
from lstmcli.core.forward.plan import Chunk, Plan, Y, cell_names
from lstmcli.core.forward.sequence import (
    counted,
    direction_axis,
    has_direction_axis,
    merge_directions,
    padding_rule,
    run_in_order,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model, State, Trace, from_time_major, join_states
from lstmcli.core.model.part import Part
from lstmcli.core.model.selection import Choice
from lstmcli.core.model.surroundings import STATES, Head
from lstmcli.errors import UserError
from lstmcli.threads import one_thread

if TYPE_CHECKING:
    from concurrent.futures import Executor


class Piece(NamedTuple):
    """The arrays (s, R, K) of some steps of some sequences."""

    steps: slice
    batch: slice
    arrays: dict[str, Array]


Put = Callable[[slice, slice, dict[str, Array]], None]
"""Takes what is selected of a piece (s, R, K), behind its places among what is selected.

Called from several threads. Where directions are stacked, h has them before
its last axis.
"""

Observe = Callable[[Piece], None]
"""Takes each piece of a run; called from several threads."""

AHEAD = 8  # chunks that an executor gets before the first is waited for
PIECE = 4 << 20  # bytes of results that are computed before they are passed on
LEAST = 16  # steps of a piece: fewer take longer each
READ = 8 << 20  # bytes of inputs in a file that are read at a time


def run_plan(plan: Plan, selected: Part | None = None, **how: Any) -> Trace:
    """The trace of a run; of the arrays only what is selected, for which memory is taken.

    ``how``: ``observe``, ``executor`` and ``meter``, as in `run_to`. Inputs in
    a file are read block by block, with the same bits.
    """
    executor = how.get("executor")
    is_one_block = executor is None or (
        shares_memory(executor) and not worth_threads(plan.batch, plan.model)
    )
    if selected is None and is_one_block and isinstance(plan.inputs.x, np.ndarray):
        return trace_of(plan, *_at_once(plan, how.get("meter")))
    selected = selected or plan.select()
    steps, items, _ = selected.sizes
    arrays: dict[str, Array] = {}
    for name, columns in selected.columns.items():
        axes = [len(columns)]
        if name == "h" and has_direction_axis(plan.model):
            axes = [2, *axes]
        in_memory = np.empty((steps, *axes, items), plan.dtype)  # as the loop writes it
        arrays[name] = np.moveaxis(in_memory, -1, 1)

    def put(steps: slice, items: slice, piece: dict[str, Array]) -> None:
        for name, array in piece.items():
            arrays[name][steps, items] = array

    states = run_to(plan, selected, put, ahead=plan.batch, **how)
    return trace_of(plan, arrays, states)


def run_in_memory(plan: Plan) -> dict[str, Array]:
    """The arrays (T, B, K) of a run, each cell's last states and final_y (B, K)."""
    run = ChunkRun(plan.chunk())
    arrays = run.advance(plan.block(), plan.keep, plan.valid)
    for (name, _), (h, c) in zip(plan.model.cells, run.states, strict=True):
        prefix = f"{name}." if len(run.states) > 1 else ""
        arrays |= {f"{prefix}final_h": h, f"{prefix}final_c": c}
    if plan.head is not None and run.before_head is not None:
        arrays["final_y"] = head_output(plan.head, run.before_head)
    return arrays


def _at_once(
    plan: Plan, meter: Meter | None = None
) -> tuple[dict[str, Array], list[State]]:
    run = ChunkRun(plan.chunk(), meter=meter)
    return run.advance(plan.block(), plan.keep, plan.valid), run.states


def trace_of(plan: Plan, arrays: Mapping[str, Array], states: Sequence[State]) -> Trace:
    """The trace of arrays (s, B, K) and the last state of each cell, in the axes of the inputs."""
    model, layout = plan.model, plan.layout
    of_trace = {k: from_time_major(a, layout) for k, a in arrays.items()}
    if "h" in of_trace and has_direction_axis(model):
        axis = direction_axis(model.convention, layout)
        of_trace["h"] = np.moveaxis(of_trace["h"], -2, axis)
    h, c = join_states(states, model.behaviour.states, layout)
    return Trace(of_trace, h, c, layout, plan.settings())


def run_to(
    plan: Plan,
    selected: Part,
    put: Put,
    *,
    observe: Observe | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    ahead: int = AHEAD,
) -> list[State]:
    """Run, ``put`` what is selected piece by piece, and return the last state of each cell.

    Bit for bit as in a run at once. ``observe`` is called with every piece;
    without it, pieces without selected steps are computed for their last state
    alone. Memory is that of some pieces; where a model needs all steps at once
    (backward, masked), that of a chunk of sequences, of which ``ahead`` are
    computed at a time.
    """
    chunks = batch_chunks(plan.batch, plan.model)
    size = steps_of_piece(plan, max(chunk.stop - chunk.start for chunk in chunks))
    packed = [Packed(cell) for _, cell in plan.model.cells]
    kept = selected if observe is None else plan.select()

    def pass_on(piece: Piece) -> None:
        if observe is not None:
            observe(piece)
        steps, items, arrays = selected.cut_piece(*piece)
        if arrays:
            put(steps, items, arrays)

    def run_here(chunk: slice) -> list[State]:
        run = ChunkRun(plan.chunk(chunk), packed, meter)
        for piece in pieces(plan, run, size, kept):
            pass_on(piece)
        return run.states

    def pass_on_all(
        chunk: slice, ended: tuple[dict[str, Array], list[State]]
    ) -> list[State]:
        arrays, states = ended
        pass_on(Piece(slice(0, plan.steps), chunk, arrays))
        if meter:
            meter((chunk.stop - chunk.start) * plan.steps * len(states))
        return states

    if executor is None or shares_memory(executor):
        ends = _in_order(executor, run_here, ((chunk,) for chunk in chunks), ahead)
    else:
        tasks = (_task(plan, chunk) for chunk in chunks)
        ends = map(pass_on_all, chunks, _in_order(executor, _run_chunk, tasks, ahead))
    finals = [(h.copy(), c.copy()) for h, c in plan.states]
    with one_thread():
        for chunk, states in zip(chunks, ends, strict=True):
            for (h, c), (chunk_h, chunk_c) in zip(finals, states, strict=True):
                h[chunk], c[chunk] = chunk_h, chunk_c
    return finals


def _task(plan: Plan, items: slice) -> tuple[Any, ...]:
    """Return what `_run_chunk` takes, without the inputs of other sequences."""
    valid = None if plan.valid is None else plan.valid[:, items]
    return plan.chunk(items), plan.block(batch=items), plan.keep, valid


def _run_chunk(chunk: Chunk, *steps: Any) -> tuple[dict[str, Array], list[State]]:
    """The arrays and last states of some sequences, in another process."""
    run = ChunkRun(chunk)
    return run.advance(*steps), run.states


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


# ---- piece by piece


def pieces(plan: Plan, run: ChunkRun, size: int, kept: Part) -> Iterator[Piece]:
    """The run of some sequences, ``size`` steps at a time if the model runs forward.

    Pieces without a step that is ``kept`` have no arrays of cells.
    """
    items = run.chunk.items
    if plan.valid is not None or not runs_forward(plan.model):
        size = plan.steps
    x = plan.inputs.x
    of_step = (items.stop - items.start) * x.shape[-1] * x.dtype.itemsize  # bytes
    ahead = max(1, READ // of_step // size) * size
    valid = None if plan.valid is None else plan.valid[:, items]
    for start in range(0, plan.steps, ahead):
        block = plan.block(slice(start, start + ahead), items)
        for first in range(0, len(block), size):
            x = block[first : first + size]
            steps = slice(start + first, start + first + len(x))
            keep = plan.keep if kept.has_steps(steps) else ()
            yield Piece(steps, items, run.advance(x, keep, valid))


def steps_of_piece(plan: Plan, batch: int) -> int:
    """The steps of ``batch`` sequences whose results take `PIECE` bytes."""
    model, arrays = plan.model, len(plan.keep) + 3 * ("z" in plan.keep)
    numbers = max(
        1, arrays * sum(cell.units for _, cell in model.cells), model.cell.inputs
    )
    return max(LEAST, PIECE // (numbers * batch * plan.dtype.itemsize))


class ChunkRun:
    """Some sequences of a run, whose cells step over the inputs as they come."""

    def __init__(
        self,
        chunk: Chunk,
        packed: Sequence[Packed] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.chunk, self.states = chunk, list(chunk.states)  # after the steps so far
        self._packed = packed or [Packed(cell) for _, cell in chunk.model.cells]
        self._meter = meter
        self._runners: dict[int, Runner] = {}  # by cell
        self._pooled: Pooled | None = None

    def advance(
        self, x: Array, keep: tuple[str, ...], valid: Array | None = None
    ) -> dict[str, Array]:
        """The arrays of a trace (s, R, K) of the next steps x (s, R, I).

        Of a model that needs all steps at once, these are all; those that are
        ``valid`` (s, R) count.
        """
        arrays: dict[str, Array] = {}
        n, model = 0, self.chunk.model
        of_cells = tuple(name for name in keep if name != Y)
        with (
            one_thread(),
            np.errstate(all="ignore"),
        ):  # the results show what is not finite
            for depth, layer in enumerate(model.layers):
                outputs = []
                for direction, cell in enumerate(layer):
                    is_rounded = is_eight_bit(cell)
                    operand = (
                        rounded(cell, x.astype(cell.dtype), 2) if is_rounded else x
                    )
                    of_cell, self.states[n] = run_in_order(
                        partial(self._advance_cell, n),
                        cell,
                        operand,
                        self.states[n],
                        counted(cell, valid, model),
                        of_cells,
                        backward=direction == 1,
                        padding=padding_rule(cell, self.chunk.masked, len(layer) == 2),
                    )
                    outputs.append(of_cell["h"])
                    kept = {name: of_cell[name] for name in of_cells}
                    arrays |= cell_names(model, depth, direction, kept)
                    n += 1
                if depth + 1 < len(model.layers):
                    x = merge_directions(outputs, layer[0].convention)
            if n > 1 and has_direction_axis(model):
                arrays = {"h": np.stack(outputs, axis=2)} | arrays
            elif n > 1:
                arrays = {"h": merge_directions(outputs, layer[0].convention)} | arrays
            if model.head is not None:
                merged = merge_directions(outputs, layer[0].convention)
                arrays |= self._of_head(model.head, merged, keep, valid)
        return arrays

    def _of_head(
        self, head: Head, h: Array, keep: tuple[str, ...], valid: Array | None
    ) -> dict[str, Array]:
        """y (s, R, K) of the output h (s, R, P), if it is kept and of each step."""
        last = self.chunk.model.layers[-1][0]
        if head.output == Y:
            if Y not in keep:
                return {}
            y = np.empty((*h.shape[:2], head.width(h.shape[2])), h.dtype)
            for block in blocks_within(self.chunk.items, self.chunk.batch, last):
                y[:, block] = head_output(head, h[:, block])
            return {Y: y}
        if head.steps != STATES:
            if self._pooled is None:
                _, batch, width = h.shape
                self._pooled = Pooled(head.steps, batch, width, h.dtype)
            self._pooled.take(h, counted(last, valid, self.chunk.model))
        return {}

    @property
    def before_head(self) -> Array | None:
        """The h (R, P) that a head of one output for each sequence takes."""
        head, layer = self.chunk.model.head, self.chunk.model.layers[-1]
        if head is None or head.output == Y:
            return None
        if self._pooled is not None:
            return self._pooled.result()
        last = [h for h, _ in self.states[-len(layer) :]]
        return last_states(last, layer[0].convention)

    def _advance_cell(
        self, n: int, x: Array, state: State, names: tuple[str, ...]
    ) -> tuple[dict[str, Array], State]:
        """Step over x (s, R, I); of a reset state, steps are sequences of one."""
        packed = self._packed[n]
        if packed.cell.behaviour.state == "reset":
            return self._advance_apart(packed, x, state, names)
        if n not in self._runners:
            blocks = self._blocks(packed, len(x), names)
            self._runners[n] = Runner(packed, blocks, state, self._meter)
        runner = self._runners[n]
        return runner.advance(x, names), runner.state

    def _advance_apart(
        self, packed: Packed, x: Array, state: State, names: tuple[str, ...]
    ) -> tuple[dict[str, Array], State]:
        steps, batch = x.shape[:2]
        later = (steps - 1) * batch
        h, c = (
            np.concatenate([a, np.zeros((later, a.shape[1]), a.dtype)]) for a in state
        )
        blocks = batch_blocks(steps * batch, packed.cell)
        runner = Runner(packed, blocks, (h, c), self._meter)
        arrays = runner.advance(x.reshape(1, steps * batch, -1), names)
        h, c = runner.state
        apart = {k: a.reshape(steps, batch, -1) for k, a in arrays.items()}
        return apart, (h[-batch:], c[-batch:])

    def _blocks(
        self, packed: Packed, steps: int, names: tuple[str, ...]
    ) -> list[slice]:
        """The blocks of a chunk; one block where that is quicker and gives the same bits.

        Blocks write all arrays but h to columns of wide arrays, which takes
        longer.
        """
        items, batch = self.chunk.items, self.chunk.batch
        blocks = blocks_within(items, batch, packed.cell)
        is_part = items.stop - items.start < batch
        if is_part or len(blocks) == 1 or steps < PAYS_FROM:
            return blocks
        K = packed.matrix()
        quicker = set(names) > {"h"} or saves_packing(K, batch, blocks)
        if quicker and is_same_in_one_block(K, batch, blocks):
            return [items]
        return blocks


def runs_forward(model: Model) -> bool:
    """Return whether a step needs only those before it."""
    return not _needs_all_steps(model)


def needed_steps(plan: Plan, chosen: Choice | None) -> Plan:
    """The run up to the last step chosen, if later ones change none of them."""
    if chosen is None or not runs_forward(plan.model):
        return plan
    return plan.until(chosen.among(plan.steps)[-1] + 1)


def refuse_stream(model: Model) -> None:
    """Refuse a model that needs all steps at once for inputs as they come."""
    if reason := _needs_all_steps(model):
        raise reason


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
