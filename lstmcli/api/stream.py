"""Run step by step as the inputs come, in the memory of a block of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import BinaryIO

import numpy as np

from lstmcli import formats
from lstmcli.api.job import Job
from lstmcli.api.save import (
    BLOCK,
    Outputs,
    kept_for,
    refuse_absent_cells,
    write_steps,
)
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.front import are_own_inputs, step_of_front
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import (
    PIECE,
    ChunkRun,
    Ending,
    Piece,
    Sink,
    final_output,
    refuse_stream,
    run_to,
)
from lstmcli.core.model.arrays import Array, describe_not_finite
from lstmcli.core.model.edit import edited
from lstmcli.core.model.model import Model, as_time_major
from lstmcli.core.model.part import Indices
from lstmcli.core.model.selection import (
    ENDLESS,
    Selection,
    indices_of,
    members_named,
    round_to_digits,
)
from lstmcli.core.model.states import State, join_states, split_state
from lstmcli.core.model.surroundings import FINAL_Y
from lstmcli.errors import UserError
from lstmcli.formats.text.line_stream import StepStream

TOGETHER = 64  # lines that have arrived are run together, with the same bits


class Stop:
    """Asks a stream to end between two steps: what is written fits the state."""

    def __init__(self) -> None:
        self.status = 0  # what the process is to end with; 0: go on
        self.waiting = False  # for inputs: the wait can be broken off

    class Asked(Exception):
        """Breaks off the wait for inputs."""


class TextSteps(Sink):
    """Writes a part of the steps of a run as text, in the memory of a block of steps.

    Unless the last state is written, the run ends ``until`` the last step of
    the part. ``size`` is that of a run of ``of_steps``.
    """

    def __init__(
        self,
        plan: Plan,
        of_steps: int,
        outputs: Outputs,
        selection: Selection,
        stream: BinaryIO,
        stop: Stop,
    ) -> None:
        format = outputs.single_format
        names = outputs.names_for(format)
        refuse_absent_cells(names, plan.shapes)
        refuse_stream(plan.model)
        part = selection.within(of_steps, plan.batch, plan.widths(names))
        members = members_named(part.columns, names)
        columns = {member: part.columns[member] for member in members}
        super().__init__(part._replace(columns=columns), _steps_of_text(plan))
        self.steps = 0  # of the run, so far
        self.until = of_steps
        if not outputs.needs_final_state:
            self.until = self._chosen[-1] + 1
        self._is_batch = plan.layout != "steps"
        self._writer = formats.open_steps(
            stream, format, members, self._is_batch, self.part, tidy=outputs.tidy
        )
        self._digits, self._stream, self._stop = selection.digits, stream, stop
        self._plan, self._ends_with_y = plan, FINAL_Y in names

    @property
    def _chosen(self) -> Indices:
        return self.part.steps or ()

    @property
    def is_stopped(self) -> bool:
        """Return whether a signal came."""
        return bool(self._stop.status)

    def take(self, piece: Piece) -> None:
        """Write what is there of the part."""
        at, _, arrays = self.part.cut_piece(*piece)
        if not self._is_batch:
            arrays = {name: array[:, 0] for name, array in arrays.items()}
        write_steps(self._writer, self._chosen[at], arrays, self._digits)
        self.steps = piece.steps.stop
        self._stream.flush()

    def finish(self, end: Ending) -> State:
        """The last state of a run, behind which its final_y is written, if asked for."""
        y = final_output(self._plan, end)
        if y is not None and self._ends_with_y and not self.is_stopped:
            if not self._is_batch:
                y = y[0]
            self._writer.write_end(FINAL_Y, round_to_digits(y, self._digits))
        return join_states(end.states, self._plan.model.behaviour.states, "batch")


def write_steps_of_file(
    job: Job,
    outputs: Outputs,
    selection: Selection,
    stream: BinaryIO,
    stop: Stop,
    meter: Meter | None,
) -> tuple[State, int]:
    """Run and write inputs in a file block by block; gives the last state and the steps."""
    plan = job.plan(kept_for(outputs.names_for(outputs.single_format)))
    sink = TextSteps(plan, plan.steps, outputs, selection, stream, stop)
    end = run_to(plan.until(sink.until), sink, meter=meter)
    return sink.finish(end), sink.steps


def write_steps_of_stream(
    job: Job,
    outputs: Outputs,
    selection: Selection,
    stream: BinaryIO,
    stop: Stop,
    meter: Meter | None,
    lines: StepStream,
    remark: Callable[[str], None],
) -> tuple[State, int]:
    """Run and write as the lines come; gives the last state and the steps.

    ``remark`` gets a text at the first line that has NaN or infinity, and if
    a range goes beyond the end.
    """
    blocks = _until(stop, _lines(job, lines, remark))
    first = next(blocks, None)
    if first is None:
        if not stop.status:
            raise UserError(f"{job.inputs.name}: no steps.")
        states = split_state(job.inputs.initial_state, job.model, 1)
        return join_states(states, job.model.convention.behaviour.states, "batch"), 0
    inputs = replace(job.inputs, x=first, layout="time", lengths=None, mask=None)
    plan = prepare(
        job.model, inputs, kept_for(outputs.names_for(outputs.single_format))
    )
    sink = TextSteps(plan, ENDLESS, outputs, selection, stream, stop)
    run = ChunkRun(plan.chunk(), meter=meter)
    for block in chain([first], blocks):
        x = edited("inputs", job.model.edits, as_time_major(block, plan.layout))
        sink.take(run.next_piece(x[: sink.until - run.steps], plan.keep))
        if sink.is_stopped or run.steps == sink.until:
            break
    if not sink.is_stopped and run.steps != sink.until:
        indices_of(selection.steps, run.steps)  # it may have ended before them
        for text in selection.cuts(sink.part.full._replace(steps=run.steps)):
            remark(text)
    return sink.finish(run.end), run.steps


def _steps_of_text(plan: Plan) -> int:
    """The steps that are computed at a time: as text they take several times the bytes."""
    step = sum(cell.units for _, cell in plan.model.cells) * 8 * plan.batch  # bytes
    return max(1, min(BLOCK, PIECE // 4 // step))


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


def _interpreted_as_indices(step: Array, where: str) -> str:
    """A line on numbers that may be indices or inputs of the LSTM."""
    sequences = "1 sequence" if len(step) == 1 else f"{len(step)} sequences"
    return (
        f"{where}: {len(step)} integers are interpreted as the indices of {sequences}; "
        "--front none takes them as the LSTM's own inputs."
    )


class _StepsOfModel:
    """Lines as inputs of the LSTM: all of indices, or none, as the first one is."""

    def __init__(self, model: Model, remark: Callable[[str], None]) -> None:
        self._width, self._front = model.cell.inputs, model.front
        self._remark = remark
        self._has_begun = False

    def inputs(self, step: Array, where: str) -> Array:
        """The inputs (I,) or (B, I) of a line."""
        front = self._front
        if front is not None and not self._has_begun:
            if are_own_inputs(step, front):
                front = self._front = None
            elif len(step) == self._width:
                self._remark(_interpreted_as_indices(step, where))
        self._has_begun = True
        if front is not None:
            step = step_of_front(step, where, front)
        if step.shape[-1] != self._width:
            text = f"{where} contains {step.shape[-1]} numbers"
            raise UserError(f"{text}; the model takes {self._width}.")
        return step


def _lines(
    job: Job, stream: StepStream, remark: Callable[[str], None]
) -> Iterator[Array]:
    """x (s, I) or (s, B, I) of the lines that have arrived.

    An error in a line is raised after those before it are written.
    """
    lines, of_model = iter(stream), _StepsOfModel(job.model, remark)
    steps: dict[int, Array] = {}  # by line
    finite = True  # what came so far
    step: Array | None = None
    wrong: UserError | None = None
    while wrong is None:
        try:
            step = next(lines, None)
            if step is not None:
                where = f"{job.inputs.name}, line {stream.line}"
                steps[stream.line] = of_model.inputs(step, where)
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
