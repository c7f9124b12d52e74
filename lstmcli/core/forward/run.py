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
from lstmcli.core.forward.head import Pooled, head_output, last_states, merged_for_head
from lstmcli.core.forward.matmul import is_same_in_one_block, saves_packing
from lstmcli.core.forward.packing import Packed
from lstmcli.core.forward.plan import Chunk, Plan, cell_names
from lstmcli.core.forward.sequence import (
    counted,
    edited_outputs,
    merge_directions,
    padding_rule,
    run_in_order,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import direction_axis, has_direction_axis
from lstmcli.core.model.edit import edited, edits_in, refuse_edits
from lstmcli.core.model.model import Cell, Model, Trace, from_time_major
from lstmcli.core.model.part import Part
from lstmcli.core.model.selection import Choice
from lstmcli.core.model.states import State, join_states
from lstmcli.core.model.surroundings import STATES, Head, Y
from lstmcli.errors import UserError
from lstmcli.threads import one_thread

if TYPE_CHECKING:
    from concurrent.futures import Executor


AHEAD = 8  # chunks that an executor gets before the first is waited for
PIECE = 4 << 20  # bytes of results that are computed before they are passed on
LEAST = 16  # steps of a piece: fewer take longer each
READ = 8 << 20  # bytes of inputs in a file that are read at a time


class Piece(NamedTuple):
    """The arrays (s, R, K) of some steps of some sequences.

    Where directions are stacked, h has them before its last axis.
    """

    steps: slice
    batch: slice
    arrays: dict[str, Array]


class Ending(NamedTuple):
    """The end of a run: each cell's last state, and the h (R, P) that a head takes there."""

    states: list[State]
    before_head: Array | None = None  # of a head of one output for each sequence


class Sink:
    """Takes the pieces of a run as they are computed.

    Without a ``size`` they are of some sequences each, and come from several
    threads; with one they are that many steps of all sequences, in order.
    """

    def __init__(self, part: Part, size: int | None = None, ahead: int = AHEAD) -> None:
        self.part = part  # of the run: pieces without its steps need no arrays
        self.size = size
        self.ahead = ahead  # chunks of sequences that are computed at a time

    @property
    def is_stopped(self) -> bool:
        """Return whether the run is to end behind the last piece."""
        return False

    def take(self, piece: Piece) -> None:
        """Take a piece, which may have no arrays."""
        raise NotImplementedError


class InMemory(Sink):
    """Keeps a part of the arrays (s, B, K) of a run; ``at_once``, all as a single piece."""

    def __init__(self, plan: Plan, part: Part, *, at_once: bool = False) -> None:
        self.arrays: dict[str, Array] = {}
        if at_once:
            super().__init__(part, plan.steps)
            return
        super().__init__(part, ahead=plan.batch)
        steps, items, _ = part.sizes
        for name, columns in part.columns.items():
            axes = [len(columns)]
            if name == "h" and has_direction_axis(plan.model):
                axes = [2, *axes]
            in_memory = np.empty((steps, *axes, items), plan.dtype)  # as the loop does
            self.arrays[name] = np.moveaxis(in_memory, -1, 1)

    def take(self, piece: Piece) -> None:
        """Copy what is there of the part; a single piece is kept as it is."""
        if self.size is not None:
            self.arrays = piece.arrays
            return
        steps, items, arrays = self.part.cut_piece(*piece)
        for name, array in arrays.items():
            self.arrays[name][steps, items] = array


def run_plan(
    plan: Plan,
    part: Part | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
) -> Trace:
    """The trace of a run; of the arrays only the part, for which memory is taken.

    Inputs in a file are read block by block, with the same bits.
    """
    shares = executor is not None and shares_memory(executor)
    if shares and not worth_threads(plan.batch, plan.model):
        executor = None
    is_whole = part is None or part.is_whole
    if is_whole and executor is None and isinstance(plan.inputs.x, np.ndarray):
        sink = InMemory(plan, Part(range(plan.steps)), at_once=True)
    else:
        sink = InMemory(plan, part or plan.select())
    end = run_to(plan, sink, executor, meter)
    return trace_of(plan, sink.arrays, end)


def run_in_memory(plan: Plan) -> dict[str, Array]:
    """The arrays (T, B, K) of a run, each cell's last states and final_y (B, K)."""
    run = ChunkRun(plan.chunk())
    arrays = run.next_piece(plan.block(), plan.keep, plan.valid).arrays
    for (name, _), (h, c) in zip(plan.model.cells, run.states, strict=True):
        prefix = f"{name}." if len(run.states) > 1 else ""
        arrays |= {f"{prefix}final_h": h, f"{prefix}final_c": c}
    if (y := final_output(plan, run.end)) is not None:
        arrays["final_y"] = y
    return arrays


def run_before_head(plan: Plan) -> Array:
    """The h that the head takes: (T, B, P) of each step, or (B, P)."""
    run = ChunkRun(plan.chunk())
    piece = run.next_piece(plan.block(), plan.keep, plan.valid)
    before = run.end.before_head
    if before is None:
        h = piece.arrays["h"]
        before = h.reshape(*h.shape[:2], -1)  # directions on an axis: side by side
    return before


def final_output(plan: Plan, end: Ending) -> Array | None:
    """y (B, K) of a head of one output for each sequence, if it is kept."""
    if plan.head is None or end.before_head is None:
        return None
    return head_output(plan.head, end.before_head)


def trace_of(plan: Plan, arrays: Mapping[str, Array], end: Ending) -> Trace:
    """The trace of arrays (s, B, K) and the end of a run, in the axes of the inputs."""
    model, layout = plan.model, plan.layout
    of_trace = {k: from_time_major(a, layout) for k, a in arrays.items()}
    if "h" in of_trace and has_direction_axis(model):
        axis = direction_axis(model.convention, layout)
        of_trace["h"] = np.moveaxis(of_trace["h"], -2, axis)
    h, c = join_states(end.states, model.behaviour.states, layout)
    y = final_output(plan, end)
    if y is not None and layout == "steps":
        y = y[0]
    return Trace(of_trace, h, c, layout, plan.settings(), y)


def run_to(
    plan: Plan,
    sink: Sink,
    executor: Executor | None = None,
    meter: Meter | None = None,
) -> Ending:
    """Run, hand each piece to the sink, and return the end of the run.

    Bit for bit as in a run at once. Memory is that of some pieces; where a
    model needs all steps at once (backward, masked), that of the chunks of
    sequences that are computed at a time.
    """
    if sink.size is None:
        chunks = batch_chunks(plan.batch, plan.model)
    else:
        chunks = [slice(0, plan.batch)]
    if executor is None or shares_memory(executor):
        ends = _run_here(plan, sink, chunks, executor, meter)
    else:
        ends = _run_elsewhere(plan, sink, chunks, executor, meter)
    finals = [(h.copy(), c.copy()) for h, c in plan.states]
    before_head: list[Array] = []  # of each chunk
    with one_thread():
        for chunk, end in zip(chunks, ends, strict=True):
            for (h, c), (chunk_h, chunk_c) in zip(finals, end.states, strict=True):
                h[chunk], c[chunk] = chunk_h, chunk_c
            if end.before_head is not None:
                before_head.append(end.before_head)
    if before_head:
        return Ending(finals, np.concatenate(before_head))
    return Ending(finals)


def _run_here(
    plan: Plan,
    sink: Sink,
    chunks: Sequence[slice],
    executor: Executor | None,
    meter: Meter | None,
) -> Iterator[Ending]:
    """Hand over the pieces of each chunk of sequences, and give its end."""
    widest = max(chunk.stop - chunk.start for chunk in chunks)
    size = sink.size or steps_of_piece(plan, widest)
    packed = [Packed(cell) for _, cell in plan.model.cells]

    def run_chunk(items: slice) -> Ending:
        run = ChunkRun(plan.chunk(items), packed, meter)
        for piece in pieces(plan, run, size, sink.part):
            sink.take(piece)
            if sink.is_stopped:
                break
        return run.end

    tasks = ((chunk,) for chunk in chunks)
    return _in_order(executor, run_chunk, tasks, sink.ahead)


def _run_elsewhere(
    plan: Plan,
    sink: Sink,
    chunks: Sequence[slice],
    executor: Executor,
    meter: Meter | None,
) -> Iterator[Ending]:
    """As `_run_here`, in other processes, which give a chunk as one piece."""
    tasks = (_task(plan, chunk) for chunk in chunks)
    for piece, end in _in_order(executor, _run_chunk, tasks, sink.ahead):
        sink.take(piece)
        if meter:
            items = piece.batch
            meter((items.stop - items.start) * plan.steps * len(end.states))
        yield end


def _task(plan: Plan, items: slice) -> tuple[Any, ...]:
    """Return what `_run_chunk` takes, without the inputs of other sequences."""
    valid = None if plan.valid is None else plan.valid[:, items]
    return plan.chunk(items), plan.block(batch=items), plan.keep, valid


def _run_chunk(chunk: Chunk, *steps: Any) -> tuple[Piece, Ending]:
    """The piece of all steps of some sequences and their end, in another process."""
    run = ChunkRun(chunk)
    return run.next_piece(*steps), run.end


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


def pieces(plan: Plan, run: ChunkRun, size: int, part: Part) -> Iterator[Piece]:
    """The run of some sequences, ``size`` steps at a time if the model runs forward.

    Pieces without a step of the ``part`` are computed for their last state
    alone, and have no arrays of cells.
    """
    items, x = run.chunk.items, plan.inputs.x
    valid = None if plan.valid is None else plan.valid[:, items]
    if valid is not None or not runs_forward(plan.model):
        size = plan.steps
    of_step = (items.stop - items.start) * x.shape[-1] * x.dtype.itemsize  # bytes
    ahead = max(1, READ // of_step // size) * size
    for start in range(0, plan.steps, ahead):
        block = plan.block(slice(start, start + ahead), items)
        for first in range(0, len(block), size):
            of_piece = block[first : first + size]
            steps = slice(run.steps, run.steps + len(of_piece))
            keep = plan.keep if part.has_steps(steps) else ()
            yield run.next_piece(of_piece, keep, valid)


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
        self.chunk = chunk
        self.steps = 0  # that were computed so far
        self.states = list(chunk.states)  # behind them
        self._packed = packed or [Packed(cell) for _, cell in chunk.model.cells]
        self._meter = meter
        self._runners: dict[int, Runner] = {}  # by cell
        self._pooled: Pooled | None = None

    def next_piece(
        self, x: Array, keep: tuple[str, ...], valid: Array | None = None
    ) -> Piece:
        """The piece of the next steps x (s, R, I), as `advance` takes them."""
        arrays = self.advance(x, keep, valid)
        first, self.steps = self.steps, self.steps + len(x)
        return Piece(slice(first, self.steps), self.chunk.items, arrays)

    def advance(
        self, x: Array, keep: tuple[str, ...], valid: Array | None = None
    ) -> dict[str, Array]:
        """The arrays of a trace (s, R, K) of the next steps x (s, R, I).

        Of a model that needs all steps at once, these are all; those that are
        ``valid`` (s, R) count.
        """
        model, arrays = self.chunk.model, dict[str, Array]()
        of_cells = tuple(name for name in keep if name != Y)
        # the results show what is not finite
        with one_thread(), np.errstate(all="ignore"):
            of_layers: Iterable[list[dict[str, Array]]]
            if edits_in("shared", model.edits):
                of_layers = self._advance_in_turns(x, of_cells)
            else:
                of_layers = self._advance_layers(x, of_cells, valid)
            for depth, of_layer in enumerate(of_layers):
                for direction, of_cell in enumerate(of_layer):
                    kept = {name: of_cell[name] for name in of_cells}
                    arrays |= cell_names(model, depth, direction, kept)
            if len(self.states) > 1 and keep != (Y,):
                outputs = [of_cell["h"] for of_cell in of_layer]
                arrays = {"h": _output_of(model, outputs)} | arrays
            head = model.head
            if head is not None:
                taken = [of_cell[_taken_by(head)] for of_cell in of_layer]
                merged = merged_for_head(head, taken, model.layers[-1][0].convention)
                arrays |= self._of_head(head, merged, keep, valid)
        return arrays

    def _advance_layers(
        self, x: Array, keep: tuple[str, ...], valid: Array | None
    ) -> Iterator[list[dict[str, Array]]]:
        """The arrays (s, R, K) of each direction of each layer, the first layer first."""
        first = 0  # number of a layer's first cell
        for depth, layer in enumerate(self.chunk.model.layers):
            if edits_in("stack", self.chunk.model.edits):
                x = self._entered(depth, first, x)
            of_layer = self._advance_layer(first, layer, x, keep, valid)
            yield of_layer
            first += len(layer)
            outputs = [of_cell["h"] for of_cell in of_layer]
            if depth + 1 < len(self.chunk.model.layers):
                x = merge_directions(outputs, layer[0].convention)

    def _entered(self, depth: int, first: int, x: Array) -> Array:
        """The inputs of a layer as edits leave them, which may change its states, too."""
        from lstmcli.core.model.stack import Entering  # few runs have its edits

        model = self.chunk.model
        some = slice(first, first + len(model.layers[depth]))
        before = self.states[:first][-len(model.layers[depth - 1]) :]
        loaded = Entering(depth, len(model.layers), x, self.states[some], before)
        entering: Entering = edited("stack", model.edits, loaded)
        self.states[some] = entering.starts
        return entering.x

    def _advance_in_turns(
        self, x: Array, keep: tuple[str, ...]
    ) -> list[list[dict[str, Array]]]:
        """The arrays of each layer, of which all have one state and take turns at each step."""
        cells = [cell for _, cell in self.chunk.model.cells]
        if (
            len(cells) > len(self.chunk.model.layers)
            or len({c.units for c in cells}) > 1
        ):
            edits = edits_in("shared", self.chunk.model.edits)
            refuse_edits(
                edits, "it takes layers of one direction, and of as many units."
            )
        names = (*keep, _taken_by(self.chunk.model.head))
        pieces: list[list[dict[str, Array]]] = [[] for _ in cells]
        state = self.states[0]
        for step in range(len(x)):
            operand = x[step : step + 1]
            for number, cell in enumerate(cells):
                runner = self._runner(number, 1, names, state)
                runner.put(state)
                piece = runner.advance(operand, names)
                piece = edited_outputs(cell, operand, piece)
                pieces[number].append(piece)
                operand = piece["h"]
                state = runner.state
                self.states[number] = state
        joined = []
        for of_cell in pieces:
            arrays = {}
            for name in names:
                each = [piece[name] for piece in of_cell]
                arrays[name] = np.concatenate(each)
            joined.append([arrays])
        return joined

    def _advance_layer(
        self,
        first: int,
        layer: Sequence[Cell],
        x: Array,
        keep: tuple[str, ...],
        valid: Array | None,
    ) -> list[dict[str, Array]]:
        """The arrays (s, R, K) of each direction of a layer, and what the head takes."""
        model = self.chunk.model
        names = (*keep, _taken_by(model.head))
        of_layer = []
        for direction, cell in enumerate(layer):
            number = first + direction
            operand = x
            if is_eight_bit(cell):
                operand = rounded(cell, x.astype(cell.dtype), 2)
            arrays, self.states[number] = run_in_order(
                partial(self._advance_cell, number),
                cell,
                operand,
                self.states[number],
                counted(cell, valid, model),
                names,
                backward=direction == 1,
                padding=padding_rule(cell, self.chunk.masked, len(layer) == 2),
            )
            of_layer.append(arrays)
        return of_layer

    def _of_head(
        self, head: Head, h: Array, keep: tuple[str, ...], valid: Array | None
    ) -> dict[str, Array]:
        """y (s, R, K) of the output h (s, R, P), if it is kept and of each step."""
        last = self.chunk.model.layers[-1][0]
        if head.output == Y:
            if Y not in keep:
                return {}
            y = np.empty((*h.shape[:2], head.width(h.shape[2])), h.dtype)
            blocks = blocks_within(self.chunk.items, self.chunk.batch, last)
            if head.is_over_sequences:
                blocks = [slice(None)]
            for block in blocks:
                y[:, block] = head_output(head, h[:, block])
            return {Y: y}
        if head.steps != STATES:
            if self._pooled is None:
                _, batch, width = h.shape
                self._pooled = Pooled(head.steps, batch, width, h.dtype)
            self._pooled.take(h, counted(last, valid, self.chunk.model))
        return {}

    @property
    def end(self) -> Ending:
        """The end of the run, behind the steps so far."""
        head, layer = self.chunk.model.head, self.chunk.model.layers[-1]
        if head is None or head.output == Y:
            return Ending(self.states)
        if self._pooled is not None:
            return Ending(self.states, self._pooled.result())
        part = 1 if head.on == "c" else 0
        last = [state[part] for state in self.states[-len(layer) :]]
        return Ending(self.states, last_states(head, last, layer[0].convention))

    def _advance_cell(
        self, n: int, x: Array, state: State, names: tuple[str, ...]
    ) -> tuple[dict[str, Array], State]:
        """Step over x (s, R, I); of a reset state, steps are sequences of one."""
        packed = self._packed[n]
        if packed.cell.behaviour.state == "reset":
            return self._advance_apart(packed, x, state, names)
        runner = self._runner(n, len(x), names, state)
        if edits_in("schedule", packed.cell.edits):
            from lstmcli.core.forward.schedule import run_scheduled  # few runs have one

            return run_scheduled(runner, packed.cell.edits, x, names)
        return runner.advance(x, names), runner.state

    def _runner(
        self, n: int, steps: int, names: tuple[str, ...], state: State
    ) -> Runner:
        """The runner of a cell, which begins from a state if it has not begun."""
        if n not in self._runners:
            blocks = self._blocks(self._packed[n], steps, names)
            self._runners[n] = Runner(self._packed[n], blocks, state, self._meter)
        return self._runners[n]

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
        if _has_further_products(packed.cell):
            return blocks  # whose bits may depend on the block too
        K = packed.matrix()
        quicker = set(names) > {"h"} or saves_packing(K, batch, blocks)
        if quicker and is_same_in_one_block(K, batch, blocks):
            return [items]
        return blocks


def _has_further_products(cell: Cell) -> bool:
    """Return whether a step has products beyond that of the kernels."""
    has_matrices = cell.peephole is not None and cell.peephole.ndim == 3
    return has_matrices or cell.projection is not None


def _taken_by(head: Head | None) -> str:
    """The array of a cell of which a head takes steps."""
    return "c" if head is not None and head.on == "c" else "h"


def _output_of(model: Model, directions: list[Array]) -> Array:
    """The h of a model of several cells, from that of each direction of its last layer."""
    if has_direction_axis(model):
        return np.stack(directions, axis=2)
    return merge_directions(directions, model.layers[-1][0].convention)


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
