"""Run a model over inputs: from (B, T, I) to a trace in the same axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

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
from lstmcli.core.forward.blas import one_thread
from lstmcli.core.forward.eight_bit import is_eight_bit, rounded
from lstmcli.core.forward.loop import Packed
from lstmcli.core.forward.matmul import is_same_in_one_block, saves_packing
from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan, cell_names, prepare, run_settings
from lstmcli.core.forward.sequence import (
    has_direction_axis,
    merge_directions,
    padding_rule,
    run_in_order,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs, Model, Trace, from_time_major
from lstmcli.core.model.states import State, join_states

if TYPE_CHECKING:
    from concurrent.futures import Executor


def run(
    model: Model,
    x: npt.ArrayLike,
    keep: str | Iterable[str] = DEFAULT_KEEP,
    *,
    layout: str | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    name: str = "the inputs",
) -> Trace:
    """Run a model over a sequence or a batch in memory; `lstmcli.run` describes the parameters."""
    inputs = Inputs(np.asarray(x), layout, initial_state or {}, lengths, mask, name)
    return run_plan(prepare(model, inputs, keep), executor, meter)


def run_plan(plan: Plan, executor: Executor | None = None, meter: Meter | None = None) -> Trace:
    """The trace of a run in memory; ``executor`` and ``meter`` are those of `lstmcli.run`."""
    model = plan.model
    here = executor is None or shares_memory(executor)
    work = Work(model, plan.batch, plan.keep, plan.masked, meter=meter if here else None)
    if executor is None or (here and not worth_threads(plan.batch, model)):
        part = work(slice(0, plan.batch), plan.block(), plan.states, plan.valid)
        return trace_of(model, part, plan.layout, plan.assumed_layout)
    chunks, assembly = batch_chunks(plan.batch, model), Assembly(plan.batch)
    tasks = zip(*(task_of_chunk(plan, chunk) for chunk in chunks), strict=True)
    if here:
        with one_thread():
            list(executor.map(lambda chunk, *of: assembly.put(chunk, work(chunk, *of)), *tasks))
    else:
        parts = metered(executor.map(work, *tasks), chunks, plan, meter)
        for chunk, part in zip(chunks, parts, strict=True):
            assembly.put(chunk, part)
    return trace_of(model, assembly.part, plan.layout, plan.assumed_layout)


class SequenceResults(NamedTuple):
    """The results of some sequences."""

    outputs: list[Array]  # h of the last layer, (T, R, P) of each direction
    arrays: dict[str, Array]  # what is kept of each cell, (T, R, K)
    finals: list[State]  # of each cell


def task_of_chunk(plan: Plan, chunk: slice) -> tuple[slice, Array, list[State], Array | None]:
    """What `Work` takes for a chunk of sequences."""
    return chunk, plan.block(batch=chunk), plan.states_of(chunk), plan.valid_of(chunk)


@dataclass(frozen=True, eq=False)
class Work:
    """The computation of some sequences of a batch, here or in another process."""

    model: Model
    batch: int  # B of the run: the blocks follow from it
    keep: tuple[str, ...]
    masked: bool
    meter: Meter | None = None
    packed: tuple[Packed, ...] = ()  # of each cell

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", tuple(Packed(cell) for _, cell in self.model.cells))

    def __reduce__(self) -> tuple[Any, ...]:
        return Work, (self.model, self.batch, self.keep, self.masked)

    def __call__(
        self, chunk: slice, x: Array, states: Sequence[State], valid: Array | None
    ) -> SequenceResults:
        """The results of a chunk: x (T, R, I), a state of each cell, (T, R) valid steps."""
        arrays: dict[str, Array] = {}
        finals: list[State] = []
        with one_thread(), np.errstate(all="ignore"):  # the results show what is not finite
            for n, layer in enumerate(self.model.layers):
                outputs = []
                for d, cell in enumerate(layer):
                    packed = self.packed[len(finals)]
                    operand = rounded(cell, x.astype(cell.dtype), 2) if is_eight_bit(cell) else x
                    blocks = self._blocks(packed, chunk, len(x))
                    advance = (
                        _advance_reset if cell.convention.behaviour.state == "reset" else _advance
                    )
                    of_cell, final = run_in_order(
                        partial(advance, packed, blocks, self.meter),
                        cell, operand, states[len(finals)], valid, self.keep,
                        backward=d == 1, padding=padding_rule(cell, self.masked, len(layer) == 2),
                    )  # fmt: skip
                    finals.append(final)
                    outputs.append(of_cell["h"])
                    arrays |= cell_names(self.model, n, d, {k: of_cell[k] for k in self.keep})
                if n + 1 < len(self.model.layers):
                    x = merge_directions(outputs, layer[0].convention, None)
        return SequenceResults(outputs if len(finals) > 1 else [], arrays, finals)

    def _blocks(self, packed: Packed, chunk: slice, steps: int) -> list[slice]:
        """The blocks of a chunk; one block where that is quicker and gives the same bits.

        Blocks write all arrays but h to columns of wide arrays, which takes longer.
        """
        blocks = blocks_within(chunk, self.batch, packed.cell)
        if chunk.stop - chunk.start < self.batch or len(blocks) == 1 or steps < PAYS_FROM:
            return blocks
        K = packed.matrix()
        quicker = set(self.keep) > {"h"} or saves_packing(K, self.batch, blocks)
        return [chunk] if quicker and is_same_in_one_block(K, self.batch, blocks) else blocks


def metered(
    parts: Iterable[SequenceResults], chunks: Iterable[slice], plan: Plan, meter: Meter | None
) -> Iterator[SequenceResults]:
    """Parts from other processes; the meter is called as each arrives."""
    for chunk, part in zip(chunks, parts, strict=True):
        if meter:
            meter((chunk.stop - chunk.start) * plan.steps * len(plan.model.cells))
        yield part


class Assembly:
    """The results of a batch, put together from its parts by several threads."""

    def __init__(self, batch: int) -> None:
        self.batch, self.part = batch, SequenceResults([], {}, [])
        self._lock, self._empty = Lock(), True

    def put(self, chunk: slice, part: SequenceResults) -> None:
        """Copy the results of some sequences to where they belong."""
        with self._lock:
            if self._empty:
                self._empty = False
                self.part = part if chunk == slice(0, self.batch) else self._for_all(part)
        if self.part is part:
            return
        for target, source in zip(self.part.outputs, part.outputs, strict=True):
            target[:, chunk] = source
        for name, array in part.arrays.items():
            self.part.arrays[name][:, chunk] = array
        for (h, c), (part_h, part_c) in zip(self.part.finals, part.finals, strict=True):
            h[chunk], c[chunk] = part_h, part_c

    def _for_all(self, part: SequenceResults) -> SequenceResults:
        """Empty arrays like those of a part, for all sequences."""
        return SequenceResults(
            [_empty(a, self.batch) for a in part.outputs],
            {k: _empty(a, self.batch) for k, a in part.arrays.items()},
            [tuple(_empty(a[None], self.batch)[0] for a in state) for state in part.finals],
        )


def _empty(array: Array, batch: int) -> Array:
    """An empty array (T, B, K) like (T, R, K), with B last in memory, as the loop writes it."""
    steps, _, width = array.shape
    return np.empty((steps, width, batch), array.dtype).transpose(0, 2, 1)


def trace_of(model: Model, part: SequenceResults, layout: str, assumed_layout: str = "") -> Trace:
    """The trace of all results, in the axes of the inputs and of the model's convention."""
    arrays, stacked = part.arrays, has_direction_axis(model)
    if part.outputs:
        arrays = {
            "h": merge_directions(part.outputs, model.layers[-1][0].convention, layout)
        } | arrays
    return Trace(
        {k: a if k == "h" and stacked else from_time_major(a, layout) for k, a in arrays.items()},
        *join_states(part.finals, model.convention.behaviour.states, layout),
        layout,
        run_settings(model, layout, assumed_layout),
    )


def _advance(
    packed: Packed, blocks: Sequence[slice], meter: Meter | None,
    x: Array, state: State, names: tuple[str, ...],
) -> tuple[dict[str, Array], State]:  # fmt: skip
    """Step over x (T, R, I), the state carried on."""
    runner = Runner(packed, blocks, state, meter=meter)
    return runner.advance(x, names), runner.state


def _advance_reset(
    packed: Packed, blocks: Sequence[slice], meter: Meter | None,
    x: Array, state: State, names: tuple[str, ...],
) -> tuple[dict[str, Array], State]:  # fmt: skip
    """Step over x with a state that is never carried: all steps are sequences of one step."""
    steps, batch = x.shape[:2]
    h, c = (
        np.concatenate([a, np.zeros(((steps - 1) * batch, a.shape[1]), a.dtype)]) for a in state
    )
    flat = x.reshape(1, steps * batch, -1)
    arrays, (h, c) = _advance(
        packed, batch_blocks(steps * batch, packed.cell), meter, flat, (h, c), names
    )
    return (
        {k: a.reshape(steps, batch, -1) for k, a in arrays.items()},
        (h[-batch:], c[-batch:]),
    )
