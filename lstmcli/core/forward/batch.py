"""Blocks of a batch: which sequences run together, and a run of some of them.

Sequences are independent: blocks of them may run in turn, in threads, in
processes or on other machines. The blocks, and so every bit of the result,
follow from shapes only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, pairwise, starmap
from typing import TYPE_CHECKING

import numpy as np

from lstmcli.core.forward.loop import Loop
from lstmcli.core.forward.packing import FIOG, Packed
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.model.states import State
from lstmcli.core.model.vocabulary import GATES

if TYPE_CHECKING:
    from concurrent.futures import Executor


Meter = Callable[[int], None]
"""Takes the number of sequences x steps of one cell that were computed."""

# The work of a block's step, as `step_work` counts it. On two Zen 5 and two Xeon cores, one of them
# busy now and then, two threads took 0.5 to 0.95 of the time of one from WORTH on, and more than
# one below LITTLE. Of large batches a block has ENOUGH.
ENOUGH = 1.5e7
WORTH = 1e7
LITTLE = 3e6

PAYS_FROM = 12  # steps from which two more products cost little


def batch_blocks(batch: int, cell: Cell) -> list[slice]:
    """The blocks of sequences that run separately: a function of shapes, never of the machine.

    A batch whose halves would have little work a step is one block, since
    threads that pass each other the interpreter's lock so often get slower.
    Others are cut where a step has enough.
    """
    work = step_work(cell)
    if cell.behaviour.arithmetic == "8bit":  # one scale for the batch
        return [slice(0, batch)]
    if batch < 32 or batch * work < 2 * LITTLE:
        return [slice(0, batch)]
    size = 64
    while size * work < ENOUGH:
        size *= 2
    if 2 * size > batch:
        size = -(-batch // 32) * 16  # half the sequences, rounded up to 16
    starts = list(range(0, batch, size))
    if batch - starts[-1] == 1:  # BLAS sums a single sequence in another order
        starts.pop()
    return _slices(starts, batch)


def _slices(starts: Sequence[int], stop: int) -> list[slice]:
    """From each of some ascending numbers to the next one, the last up to ``stop``."""
    return list(starmap(slice, pairwise([*starts, stop])))


def worth_threads(batch: int, model: Model) -> bool:
    """Return whether threads are quicker: every block has enough work a step."""
    return all(
        batch_blocks(batch, cell)[0].stop * step_work(cell) >= WORTH
        for _, cell in model.cells
    )


def step_work(cell: Cell) -> int:
    """The work of one sequence and step, in additions or multiplications."""
    return cell.units * (8 * (cell.inputs + cell.outputs + 1) + 280)


def seconds(batch: int, steps: int, model: Model) -> float:
    """About how long a run takes on one core."""
    return 1e-11 * batch * steps * sum(step_work(cell) for _, cell in model.cells)


def batch_chunks(batch: int, model: Model) -> list[slice]:
    """The smallest chunks of sequences that consist of full blocks in every cell of a model.

    The batch is one chunk where the state is reset at every step, so that
    steps are sequences too, or an edit has numbers for each sequence.
    """
    cells = [cell for _, cell in model.cells]
    of_batch = any(edit.kind.of_sequence for cell in cells for edit in cell.edits)
    if model.head is not None:
        of_batch = of_batch or model.head.is_over_sequences
    if of_batch or any(cell.behaviour.state == "reset" for cell in cells):
        return [slice(0, batch)]
    starts = set.intersection(
        *({b.start for b in batch_blocks(batch, c)} for _, c in model.cells)
    )
    return _slices(sorted(starts), batch)


def blocks_within(chunk: slice, batch: int, cell: Cell) -> list[slice]:
    """The blocks of a cell in a chunk, counted from its first sequence."""
    blocks = batch_blocks(batch, cell)
    start, stop = chunk.start, chunk.stop
    return [
        slice(b.start - start, b.stop - start)
        for b in blocks
        if start <= b.start < stop
    ]


class Runner:
    """A cell that steps over some sequences in blocks, which keep their state."""

    def __init__(
        self,
        packed: Packed,
        blocks: Sequence[slice],
        state: State,
        meter: Meter | None = None,
    ) -> None:
        self.cell = packed.cell
        self.batch = blocks[-1].stop
        self._blocks = blocks
        with np.errstate(all="ignore"):  # a constant may be infinite in the dtype
            self._loops = [Loop(packed, b.stop - b.start, meter) for b in blocks]
        h, c = state
        for block, loop in zip(blocks, self._loops, strict=True):
            loop.start(h[block], c[block])

    @property
    def state(self) -> State:
        """h (R, P) and c (R, H) after the steps so far."""
        states = [loop.state for loop in self._loops]
        if len(states) == 1:
            return states[0]
        return np.concatenate([h for h, _ in states]), np.concatenate(
            [c for _, c in states]
        )

    def put(self, state: State) -> None:
        """Go on from h (R, P) and c (R, H), as if the steps so far had led there."""
        h, c = state
        for block, loop in zip(self._blocks, self._loops, strict=True):
            loop.put(h[block], c[block])

    def advance(self, x: Array, keep: tuple[str, ...] = ("h",)) -> dict[str, Array]:
        """Run the steps of x (s, R, I); gives these arrays as views (s, R, K)."""
        steps, batch, units = len(x), self.batch, self.cell.units
        empty = self._loops[0].memory.empty
        h = empty(steps, self.cell.outputs, batch)
        arrays = {"h": h}
        gates = c = z = None
        if not set(keep).isdisjoint(GATES):
            gates = empty(steps, 4, units, batch)
            arrays |= _by_gate(gates)
        if "c" in keep:
            arrays["c"] = c = empty(steps, units, batch)
        if "z" in keep:
            z = empty(steps, 4, units, batch)
        with np.errstate(all="ignore"):  # exp may overflow, and is meant to
            for block, loop in zip(self._blocks, self._loops, strict=True):
                parts = (None if a is None else a[..., block] for a in (gates, c, z))
                loop.advance(x[:, block], h[:, :, block], *parts)
        if z is not None:
            arrays["z"] = np.concatenate(list(_by_gate(z).values()), axis=1)
        return {name: arrays[name].transpose(0, 2, 1) for name in keep}


def _by_gate(stacked: Array) -> dict[str, Array]:
    return {gate: stacked[:, FIOG.index(gate)] for gate in GATES}


# ---- threads, each bound to one core


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def shares_memory(executor: Executor) -> bool:
    """Return whether an executor's workers are threads of this process."""
    from concurrent.futures import ThreadPoolExecutor

    return isinstance(executor, ThreadPoolExecutor)


@contextmanager
def workers(threads: int) -> Iterator[Executor]:
    """An executor of this many threads.

    On Linux each is bound to one core: threads that pass the interpreter's
    lock to each other every microsecond are often scheduled on one, and stay
    there.
    """
    from concurrent.futures import ThreadPoolExecutor  # takes 15 ms to import

    available, number = cores(), count()

    def bind_to_core() -> None:
        if threads <= len(available) and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(
                0, {available[next(number)]}
            )  # 0 is the calling thread

    pool = ThreadPoolExecutor(threads, "lstm", initializer=bind_to_core)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
