"""Run step by step as the inputs come, in the memory of a block of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import BinaryIO

import numpy as np

from lstmcli import formats
from lstmcli.api.job import Job
from lstmcli.api.save import BLOCK, Outputs, kept_for, refuse_absent_cells, write_steps
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import PIECE, ChunkRun, Piece, pieces, refuse_stream
from lstmcli.core.model.arrays import Array, describe_not_finite
from lstmcli.core.model.edits import edited
from lstmcli.core.model.model import State, as_time_major, join_states, split_state
from lstmcli.core.model.selection import ENDLESS, Selection, indices_of, is_named
from lstmcli.errors import UserError
from lstmcli.formats.text.jsonl import StepStream

TOGETHER = 64  # lines that have arrived are run together, with the same bits


class Stop:
    """Asks a stream to end between two steps: what is written fits the state."""

    def __init__(self) -> None:
        self.status = 0  # what the process is to end with; 0: go on
        self.waiting = False  # for inputs: the wait can be broken off

    class Asked(Exception):
        """Breaks off the wait for inputs."""


def stream_steps(
    job: Job,
    outputs: Outputs,
    selection: Selection,
    stream: BinaryIO,
    meter: Meter | None,
    stop: Stop,
    remark: Callable[[str], None],
) -> tuple[State, int]:
    """Run and write as the inputs come, or block by block; gives the last state and the steps.

    Memory is that of a block of steps, whatever the length. Unless the last
    state is written, the run ends with the last selected step. ``remark`` gets
    a text at the first step of a stream that has NaN or infinity, and if a
    range goes beyond its end.
    """
    format = outputs.single_format
    names = outputs.names_for(format)
    plan, blocks = _plan_and_blocks(job, kept_for(names), stop, remark)
    if plan is None:  # stopped before the first step
        states = split_state(job.inputs.initial_state, job.model, 1)
        return join_states(states, job.model.convention.behaviour.states, "batch"), 0
    refuse_absent_cells(names, plan.shapes)
    refuse_stream(plan.model)
    size = plan.steps if blocks is None else ENDLESS
    part = selection.within(size, plan.batch, plan.widths(names))
    chosen = part.steps or ()
    columns = {
        k: c for name in names for k, c in part.columns.items() if is_named(k, name)
    }
    part = part._replace(columns=columns)
    end = size if outputs.needs_final_state else chosen[-1] + 1
    run = ChunkRun(plan.chunk(), meter=meter)
    if blocks is None:
        of_run = pieces(plan.until(end), run, _steps_of_text(plan), part)
    else:
        of_run = _as_they_come(run, plan.keep, blocks, end)
    batched = plan.layout != "steps"
    writer = formats.open_steps(
        stream, format, list(columns), batched, part, tidy=outputs.tidy
    )
    steps = 0
    for piece in of_run:
        at, _, arrays = part.cut_piece(*piece)
        if not batched:
            arrays = {name: array[:, 0] for name, array in arrays.items()}
        write_steps(writer, chosen[at], arrays, selection.digits)
        steps = piece.steps.stop
        if job.stream is None or not job.stream.waiting():
            stream.flush()
        if stop.status:
            break
    if job.stream and not stop.status and steps != end:
        indices_of(selection.steps, steps)  # it may have ended before them
        for line in selection.cuts(part.full._replace(steps=steps)):
            remark(line)
    return join_states(run.states, plan.model.behaviour.states, "batch"), steps


def _as_they_come(
    run: ChunkRun, keep: tuple[str, ...], blocks: Iterator[Array], end: int
) -> Iterator[Piece]:
    """The pieces of inputs (s, B, I), up to a step."""
    steps = slice(0, 0)
    for block in blocks:
        x = block[: end - steps.stop]
        steps = slice(steps.stop, steps.stop + len(x))
        yield Piece(steps, run.chunk.items, run.advance(x, keep))
        if steps.stop == end:
            return


def _steps_of_text(plan: Plan) -> int:
    """The steps that are computed at a time: as text they take several times the bytes."""
    step = sum(cell.units for _, cell in plan.model.cells) * 8 * plan.batch  # bytes
    return max(1, min(BLOCK, PIECE // 4 // step))


def _plan_and_blocks(
    job: Job, keep: Sequence[str], stop: Stop, remark: Callable[[str], None]
) -> tuple[Plan | None, Iterator[Array] | None]:
    """The plan, and the inputs (s, B, I) of a stream; no plan if it is stopped before a step."""
    if job.stream is None:
        return job.plan(keep), None
    lines = _until(stop, _lines(job, job.stream, remark))
    first = next(lines, None)
    if first is None:
        if stop.status:
            return None, lines
        raise UserError(f"{job.inputs.name}: no steps.")
    inputs = replace(job.inputs, x=first, layout="time", lengths=None, mask=None)
    plan, edits = prepare(job.model, inputs, keep), job.model.edits
    blocks = (as_time_major(x, plan.layout) for x in chain([first], lines))
    return plan, (edited("inputs", edits, x) for x in blocks)


def _until(stop: Stop, blocks: Iterator[Array]) -> Iterator[Array]:
    while not stop.status:
        stop.waiting = True
        try:
            steps = next(blocks, None)
        except Stop.Asked:
            return
        finally:
            stop.waiting = False
        if steps is None:
            return
        yield steps


def _lines(
    job: Job, stream: StepStream, remark: Callable[[str], None]
) -> Iterator[Array]:
    """x (s, I) or (s, B, I) of the lines that have arrived.

    An error in a line is raised after those before it are written.
    """
    lines, takes = iter(stream), job.model.cell.inputs
    steps: dict[int, Array] = {}  # by line
    finite = True  # what came so far
    step: Array | None = None
    wrong: UserError | None = None
    while wrong is None:
        try:
            step = next(lines, None)
            if step is not None:
                if step.shape[-1] != takes:
                    raise UserError(
                        f"{job.inputs.name}, line {stream.line} contains {step.shape[-1]} numbers; "
                        f"the model takes {takes}."
                    )
                steps[stream.line] = step
        except UserError as error:
            step, wrong = None, error
        if steps and (step is None or len(steps) == TOGETHER or not stream.waiting()):
            x = np.stack([*steps.values()])
            if finite and not np.isfinite(x).all():
                finite = False
                n = next(n for n, one in steps.items() if not np.isfinite(one).all())
                remark(describe_not_finite(steps[n], f"{job.inputs.name}, line {n}"))
            steps.clear()
            yield x
        if step is None:
            break
    if wrong:
        raise wrong
