"""Run a model, or a job of a command line: at once, step by step, or by a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.api.arguments import Path, Weights, refuse_settings, type_of
from lstmcli.api.job import Job, job_of
from lstmcli.api.load import checked
from lstmcli.api.save import FINAL, kept_for, refuse_absent_cells
from lstmcli.api.values import refuse_other_arguments
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan, prepare
from lstmcli.core.forward.run import PIECE, LayerStack, run_plan, runs_forward
from lstmcli.core.model.arrays import Array, describe_not_finite
from lstmcli.core.model.model import (
    Inputs,
    Model,
    State,
    Trace,
    as_time_major,
    join_states,
    split_state,
)
from lstmcli.core.model.selection import (
    SelectedIndices,
    Selection,
    contiguous_ranges,
    indices_of,
    is_named,
    round_to_digits,
    take,
)
from lstmcli.errors import Try, UserError
from lstmcli.formats import StepStream

if TYPE_CHECKING:
    from concurrent.futures import Executor


@refuse_other_arguments
def run(
    model: Model | Weights | Sequence[Weights],
    x: npt.ArrayLike | Path | None = None,
    keep: str | Iterable[str] = DEFAULT_KEEP,
    *,
    layout: str | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | Path | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    name: str = "the input array",
    **settings: Any,
) -> Trace:
    """Run a model over a sequence, or a batch of them: ``run("weights.npz", x).h``.

    Parameters
    ----------
    model
        from `lstmcli.load`, or what that takes: a path, a dict of arrays, a list of arrays in
        order, such as Keras' ``layer.get_weights()``, or several in a list.
    x
        (T, I), or a batch: (B, T, I) or (T, B, I) by ``layout`` ("batch" or "time"; default: what
        the model's file gives, else its convention's, and then (1, T, I) is one sequence); or a
        path. None: the inputs that the files of the weights contain.
    keep
        those of h, c, i, f, g, o, z that the trace is to have; it always has the final state.
    initial_state
        ``h`` (P,) or (B, P) and ``c`` (H,) or (B, H), or a path; zero by default. Several cells
        are on a first axis, layer by layer, forward before backward; OpenVINO's are on the second,
        Core ML's and those of different widths side by side on the last.
    lengths
        (B,) valid steps of each sequence; by default, and without a mask, those in the model's
        file. Past them the state is frozen and every array is 0, unless the convention has
        another rule (Sonnet 2 repeats h, flax runs on) or ``masked_output`` is set.
    mask
        (B, T) or (T, B), in the axes of the inputs: false steps are skipped, wherever they are.
    executor
        any `concurrent.futures.Executor`: of threads, processes or a cluster. It gets blocks of
        sequences. They follow from the shapes only, so results do not depend on it, bit for bit.
        Threads are not used where blocks are so small that they would only be slower.
    meter
        is called with the number of sequences x steps of a cell that were computed: every few
        steps, by the threads that compute them, or as each block comes back from a process.
    name
        what messages call the inputs.
    settings
        by option name, where ``model`` is not loaded yet.

    Raises
    ------
    UserError
        for whatever is wrong with files, names or shapes.
    """
    known = checked(settings, "run")
    if isinstance(model, Model):
        refuse_settings(model, known, "run")
    if isinstance(model, Model) and x is None:
        raise UserError("run takes a model and inputs: run(model, x), x (steps, inputs).")
    if executor is not None and not (
        hasattr(executor, "submit") and not isinstance(executor, type)
    ):
        takes = "a concurrent.futures.Executor, such as ThreadPoolExecutor()"
        raise UserError(f"run: executor is {type_of(executor)}; it takes {takes}.")
    if meter is not None and not callable(meter):
        raise UserError(f"run: meter is {type_of(meter)}; it takes a function of one number.")
    given = Inputs(np.empty(0), layout, lengths=lengths, mask=mask, name=name)
    job = job_of(model, x, known, given, initial_state, "run")
    return run_plan(job.plan(keep), executor, meter)


def plan_of(job: Job, names: Sequence[str]) -> Plan:
    """The plan of a run whose trace is to have these members."""
    return job.plan(kept_for(names) or ["h"])


def select(job: Job, names: Sequence[str], selection: Selection) -> SelectedIndices:
    """The numbers of the steps, batch items and units that are selected of these members."""
    plan = plan_of(job, names)
    refuse_absent_cells(names, plan.shapes)
    return plan.select(selection, names)


def can_stream(job: Job) -> bool:
    """Whether each step of the results is final once it is computed.

    Raises
    ------
    UserError
        for a stream of inputs with lengths or a mask.
    """
    masked = job.inputs.lengths is not None or job.inputs.mask is not None
    if job.stream:
        if masked:
            of_file = " (the weights' file has lengths)" * bool(job.model.lengths)
            raise UserError(
                f"lengths and a mask need all steps of a sequence{of_file}; give it as a file."
            )
        return True
    return runs_forward(job.model) and not masked


def run_by_engine(plan: Plan, name: str, only: Sequence[str]) -> Trace:
    """The trace of a run by an engine: h and the last state; ``only`` is what the user asks for.

    Raises
    ------
    UserError
        for an array that it does not give, if it is not installed, or naming what it cannot run.
    """
    from lstmcli.engines import find_engine  # 20 ms that most runs do without
    from lstmcli.engines.engine import run_with

    engine = find_engine(name)
    given = ("h", *FINAL)
    for missing in (name for name in only if name not in given):
        raise UserError(
            f"{engine.name} ({engine.layer}) gives {', '.join(given)}.",
            about={"only": missing},
            try_=[Try({"engine": None}, "every gate is there")],
        )
    return run_with(engine, plan)


# ---- step by step, as the inputs come


BLOCK = 256  # steps computed before they are written: enough to be quick, little memory
READ = 8 << 20  # bytes of inputs in a file that are read at a time
TOGETHER = 64  # lines that are there already are run together, which changes no bit


class Stop:
    """Asks a stream to end between two steps, so that what is written fits the state."""

    def __init__(self) -> None:
        self.status = 0  # what the process is to end with; 0: go on
        self.waiting = False  # for inputs: nothing is lost if the wait is broken off

    class Asked(Exception):
        """Breaks off the wait for inputs."""


def stream_steps(
    job: Job,
    stream: BinaryIO,
    format: str,
    names: Sequence[str],
    meter: Meter | None,
    stop: Stop,
    remark: Callable[[str], None],
    *,
    selection: Selection,
    tidy: bool,
    to_end: bool,
) -> tuple[State, int]:
    """Run and write as the inputs come, or block by block; gives the last state and the steps.

    Memory is that of a block of steps, whatever the length. Unless ``to_end``, no step is computed
    behind the last that is selected. ``remark`` gets a text if a step of a stream contains NaN or
    infinity, once, at the first, and if a range goes beyond its end.
    """
    plan, blocks = _plan_and_blocks(job, kept_for(names), stop, remark)
    if plan is None:  # stopped before the first step
        states = split_state(job.inputs.initial_state, job.model, 1)
        return join_states(states, job.model.convention.behaviour.states, "batch"), 0
    refuse_absent_cells(names, plan.shapes)
    waiting = job.stream.waiting if job.stream else lambda: False
    known_steps = None if job.stream else plan.steps
    stack = LayerStack.of_plan(plan, meter)
    batched = plan.layout != "steps"
    part = selection._replace(steps=None).within(1, plan.batch, plan.widths(names))  # of a step
    columns = {k: c for name in names for k, c in part.columns.items() if is_named(k, name)}
    writer = formats.open_steps(
        stream,
        format,
        list(columns),
        batched,
        batch=part.part_of_batch,
        units=part.part_of_columns,
        tidy=tidy,
    )
    end = None if to_end or selection.steps is None else selection.steps.stop_among(known_steps)
    for x in blocks:
        first = stack.steps
        if end is not None:
            x = x[: end - first]
        arrays = stack.advance(x, plan.keep)
        for steps in contiguous_ranges(selection.steps_of(first, stack.steps, known_steps)):
            of_block = slice(steps.start - first, steps.stop - first)
            picked = {
                name: round_to_digits(
                    take(take(arrays[name][of_block], part.batch, 1), units, 2), selection.digits
                )
                for name, units in columns.items()
            }
            writer.write(
                steps.start, picked if batched else {k: a[:, 0] for k, a in picked.items()}
            )
        if stack.steps == end:
            break
        if not waiting():
            stream.flush()
    if job.stream and not stop.status and stack.steps != end:
        indices_of(selection.steps, stack.steps)  # it may have ended before them
        for line in selection.cuts(part.full._replace(steps=stack.steps)):
            remark(line)
    return stack.state("batch"), stack.steps


def _plan_and_blocks(
    job: Job, keep: Sequence[str], stop: Stop, remark: Callable[[str], None]
) -> tuple[Plan | None, Iterator[Array]]:
    """The plan of a run, and its inputs (s, B, I); no plan if it is stopped before a step came."""
    if job.stream is None:
        plan = job.plan(keep)
        return plan, _until(stop, _blocks_of_file(plan))
    lines = _until(stop, _lines(job, job.stream, remark))
    first = next(lines, None)
    if first is None:
        if stop.status:
            return None, lines
        raise UserError(f"{job.inputs.name}: no steps.")
    inputs = replace(job.inputs, x=first, layout="time", lengths=None, mask=None)
    plan = prepare(job.model, inputs, keep)
    return plan, (as_time_major(x, plan.layout) for x in chain([first], lines))


def _until(stop: Stop, blocks: Iterator[Array]) -> Iterator[Array]:
    """The blocks, until a stop is asked for."""
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


def _blocks_of_file(plan: Plan) -> Iterator[Array]:
    """x (s, B, I) of some steps at a time."""
    x = plan.inputs.x
    step = sum(cell.units for _, cell in plan.model.cells) * 8 * plan.batch  # bytes
    size = max(1, min(BLOCK, PIECE // 4 // step))  # as text it takes several times that
    ahead = max(1, READ // (plan.batch * x.shape[-1] * x.dtype.itemsize) // size) * size
    for start in range(0, plan.steps, ahead):
        block = plan.block(slice(start, start + ahead))
        for first in range(0, len(block), size):
            yield block[first : first + size]


def _lines(job: Job, stream: StepStream, remark: Callable[[str], None]) -> Iterator[Array]:
    """x (s, I) or (s, B, I) of the lines that have arrived.

    An error in a line is raised once those before it are written.
    """
    lines, takes = iter(stream), job.model.cell.inputs
    steps, numbers = list[Array](), list[int]()  # and the numbers of their lines
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
                steps.append(step)
                numbers.append(stream.line)
        except UserError as error:
            step, wrong = None, error
        if steps and (step is None or len(steps) == TOGETHER or not stream.waiting()):
            x = np.stack(steps)
            if finite and not np.isfinite(x).all():
                n = next(n for n, one in enumerate(steps) if not np.isfinite(one).all())
                remark(describe_not_finite(steps[n], f"{job.inputs.name}, line {numbers[n]}"))
                finite = False
            steps.clear()
            numbers.clear()
            yield x
        if step is None:
            break
    if wrong:
        raise wrong
