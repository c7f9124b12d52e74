"""A run whose results are handed on piece by piece: for inputs that arrive, or exceed memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core.forward.batch import Meter, Runner, blocks_within, row_chunks
from lstmcli.core.forward.blas import one_thread
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.run import (
    KEPT,
    Part,
    Work,
    cell_names,
    check_inputs,
    counted_steps,
    heard,
    kept_names,
    layout_words,
    merged,
    merged_axes,
    run,
    run_settings,
    share,
)
from lstmcli.core.forward.threads import shares_memory
from lstmcli.core.model.model import (
    Model,
    SliceableArray,
    Trace,
    as_time_major,
    block,
    steps_and_batch,
)
from lstmcli.core.model.states import State, join_states, split_state
from lstmcli.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

Array = npt.NDArray[Any]
Sink = Callable[[slice, slice, Mapping[str, Array]], None]
"""Takes rows, steps and arrays (s, R, K) of them; called from the threads that made them."""

PIECE = 4 << 20  # bytes of results that are made before they are handed on
AHEAD = 8  # chunks of rows that an executor is given before the first of them is waited for


class Stack:
    """The cells of a model that runs forward only, stepped together."""

    def __init__(
        self,
        model: Model,
        packed: Sequence[Packed],
        blocks: Sequence[Sequence[slice]],
        states: Sequence[State],
        meter: Meter | None = None,
    ) -> None:
        self.model, self.steps = model, 0
        self._runners = [
            Runner(one, rows, state, meter)
            for one, rows, state in zip(packed, blocks, states, strict=True)
        ]

    @classmethod
    def of_stream(
        cls,
        model: Model,
        rows: int,
        initial: Mapping[str, npt.ArrayLike],
        meter: Meter | None = None,
    ) -> Stack:
        """All rows of inputs that arrive step by step.

        Raises
        ------
        UserError
            for a model that needs the whole sequence, or a state that does not fit.
        """
        how = model.convention
        if model.backward or how.behaviour.flip_output:
            raise UserError("a backward run starts from the last step; give the inputs as a file.")
        if how.behaviour.state == "reset":
            raise UserError("state=reset is for inputs in a file.")
        cells = [cell for _, cell in model.cells]
        every = slice(0, rows)
        return cls(
            model,
            [Packed(cell) for cell in cells],
            [blocks_within(every, rows, cell) for cell in cells],
            split_state(initial, model, rows),
            meter,
        )

    def advance(self, x: Array, keep: tuple[str, ...]) -> dict[str, Array]:
        """Run the steps of x (s, R, I); gives the arrays of a trace, each (s, R, K)."""
        arrays: dict[str, Array] = {}
        with one_thread():
            for n, runner in enumerate(self._runners):
                one = runner.advance(x, tuple(dict.fromkeys((*keep, "h"))))
                x = one["h"]
                arrays |= cell_names(self.model, n, 0, {k: one[k] for k in keep})
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
    """Whether a step needs nothing but those before it."""
    how = model.convention
    return not (model.backward or how.behaviour.flip_output or how.behaviour.state == "reset")


class Plan(NamedTuple):
    """What a sweep will hand on."""

    layout: str  # "steps", "batch" or "time"
    shapes: dict[str, tuple[int, ...]]  # of each array, in the axes of the inputs
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        counts = (np.prod(s, dtype=np.int64) for s in self.shapes.values())
        return int(sum(counts)) * self.dtype.itemsize


def plan(
    model: Model, x: SliceableArray, keep: Iterable[str] = KEPT, layout: str | None = None,
    name: str = "the inputs",
) -> Plan:  # fmt: skip
    """The arrays that a run over these inputs gives, before it is run.

    Raises
    ------
    UserError
        if shapes do not fit.
    """
    x, layout = check_inputs(model, x, layout, name)
    outputs = sum(cell.outputs for cell in model.layers[-1])
    if model.convention.behaviour.merge in ("sum", "mul", "ave"):
        outputs = model.cell.outputs
    widths: dict[str, int] = {}
    for name, cell in model.cells:
        own = {"h": cell.outputs, "z": 4 * cell.units}
        prefix = "" if len(model.cells) == 1 else f"{name}."
        widths |= {f"{prefix}{k}": own.get(k, cell.units) for k in kept_names(keep)}
    if len(model.cells) > 1:
        alone = set(kept_names(keep)) <= {"h"}
        widths = {"h": outputs} | ({} if alone else widths)
    return Plan(layout, {k: (*x.shape[:-1], w) for k, w in widths.items()}, model.cell.dtype)


def sweep(
    model: Model,
    x: SliceableArray,
    keep: str | Iterable[str],
    sink: Sink,
    *,
    shown: Sequence[range] | None = None,
    layout: str | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    name: str = "the inputs",
) -> State:
    """As `forward.run.run`, bit for bit, but nothing is kept: ``sink`` gets the pieces.

    Gives ``final_h`` and ``final_c``. Where only some steps are ``shown``, in ascending ranges, a
    model that runs forward takes the quick path over the others, and hands on no more. Memory is
    that of a few pieces of inputs and results; where a model needs the whole sequence (backward,
    masked), that of the sequences of a chunk of rows.

    Raises
    ------
    UserError
        if shapes do not fit; for directions on an axis of their own, which have no piece.
    """
    keep = kept_names(keep)
    x, layout = check_inputs(model, x, layout, name, initial_state, lengths)
    if merged_axes(model):
        raise UserError("directions on an axis of their own cannot be written in pieces.")
    steps, rows = steps_and_batch(x.shape, layout)
    valid = counted_steps(model, lengths, mask, (steps, rows), layout)
    states = split_state(initial_state or {}, model, rows)
    work = Work(model, rows, keep, mask is not None, meter=meter)
    chunks = row_chunks(rows, model)
    every = slice(0, steps)
    piece = _piece(model, keep, max(c.stop - c.start for c in chunks))

    def here(chunk: slice) -> list[State]:
        own, own_valid = share(chunk, states, valid)
        if valid is not None or not runs_forward(model):
            part = work(chunk, block(x, layout, every, chunk), own, own_valid)
            sink(chunk, slice(0, steps), _arrays(model, part))
            return part.finals
        cells = [cell for _, cell in model.cells]
        blocks = [blocks_within(chunk, rows, cell) for cell in cells]
        stack = Stack(model, work.packed, blocks, own, meter=meter)
        for cut, wanted in _cuts(steps, piece, shown):
            arrays = stack.advance(block(x, layout, cut, chunk), keep if wanted else ())
            if wanted:
                sink(chunk, cut, arrays)
        return stack.states

    finals = [(h.copy(), c.copy()) for h, c in states]
    if executor is None or shares_memory(executor):
        found: Iterator[list[State]] = _ahead(executor, here, ((chunk,) for chunk in chunks))
    else:
        shares = ((c, block(x, layout, every, c), *share(c, states, valid)) for c in chunks)
        parts = heard(_ahead(executor, work, shares), chunks, steps, model, meter)
        pairs = zip(chunks, parts, strict=True)
        found = (_handed_on(sink, model, chunk, steps, part) for chunk, part in pairs)
    for chunk, ends in zip(chunks, found, strict=True):
        for (h, c), (own_h, own_c) in zip(finals, ends, strict=True):
            h[chunk], c[chunk] = own_h, own_c
    return join_states(finals, model.convention.behaviour.states, layout)


def run_in_blocks(
    model: Model, x: SliceableArray, keep: str | Iterable[str] = KEPT, **how: Any
) -> Trace:
    """As `forward.run.run`, bit for bit, of inputs that are never in memory as a whole.

    Directions on an axis of their own have no pieces: there they are.

    Raises
    ------
    UserError
        What `sweep` refuses.
    """
    if merged_axes(model):
        return run(model, np.asarray(x), keep, **how)
    name, layout = how.get("name", "the inputs"), how.get("layout")
    given = layout or model.given.get("layout")
    x, layout = check_inputs(model, x, layout, name, how.get("initial_state"), how.get("lengths"))
    assumed = layout_words(x.shape, layout) if x.ndim == 3 and given is None else ""
    planned = plan(model, x, keep, layout, name)
    arrays = {name: np.empty(shape, planned.dtype) for name, shape in planned.shapes.items()}
    views = {name: as_time_major(array, planned.layout) for name, array in arrays.items()}

    def sink(rows: slice, steps: slice, pieces: Mapping[str, Array]) -> None:
        for name, view in views.items():
            view[steps, rows] = pieces[name]

    final = sweep(model, x, keep, sink, **how)
    return Trace(arrays, *final, layout, run_settings(model, layout, assumed))


def _cuts(steps: int, piece: int, shown: Sequence[range] | None) -> Iterator[tuple[slice, bool]]:
    """All steps in order, in slices of at most a piece, and whether they are shown."""
    marks = [(r.start, r.stop) for r in shown] if shown is not None else [(0, steps)]
    at = 0
    for start, stop in [*marks, (steps, steps)]:
        for last, wanted in ((start, False), (stop, True)):
            while at < last:
                yield slice(at, min(at + piece, last)), wanted
                at = min(at + piece, last)


def _piece(model: Model, keep: tuple[str, ...], rows: int) -> int:
    """The steps whose results, or inputs if these are more, fill a piece."""
    numbers = sum(cell.units for _, cell in model.cells) * (len(keep) + 3 * ("z" in keep))
    numbers = max(numbers, model.cell.inputs)
    return max(16, PIECE // max(1, numbers * rows * model.cell.dtype.itemsize))


def _ahead(
    executor: Executor | None, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """The results in order; no more than a few tasks are handed out before they are wanted."""
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


def _handed_on(sink: Sink, model: Model, chunk: slice, steps: int, part: Part) -> list[State]:
    sink(chunk, slice(0, steps), _arrays(model, part))
    return part.finals


def _arrays(model: Model, part: Part) -> dict[str, Array]:
    if not part.outputs:
        return part.arrays
    return {"h": merged(part.outputs, model.layers[-1][0].convention, None)} | part.arrays
