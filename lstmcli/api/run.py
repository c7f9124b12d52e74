"""Run a model: the trace for Python; for a command, what is shown and written of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lstmcli import formats
from lstmcli.api.job import NO_MASK, InputOptions, Job, read_job
from lstmcli.api.load import checked
from lstmcli.api.save import (
    BY_STEP,
    FINAL,
    OF_STATE,
    Outputs,
    are_large,
    kept_for,
    refuse_absent_cells,
    save_state,
    with_output,
    write_pieces,
    write_trace,
)
from lstmcli.api.values import Path, StateLike, Weights, refuse_other_arguments, type_of
from lstmcli.core.forward.batch import (
    Meter,
    batch_chunks,
    cores,
    seconds,
    workers,
    worth_threads,
)
from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan
from lstmcli.core.forward.prepare import edited_model
from lstmcli.core.forward.run import (
    needed_steps,
    run_plan,
    run_to,
    runs_forward,
    trace_of,
)
from lstmcli.core.model.arrays import ArrayLike, describe_not_finite
from lstmcli.core.model.model import Model, Trace, refuse_unknown_cell
from lstmcli.core.model.part import Indices, Part
from lstmcli.core.model.selection import Selection, cut_trace, members_named
from lstmcli.core.model.states import State
from lstmcli.core.model.surroundings import FINAL_Y, Y
from lstmcli.core.weights.assumptions import shorten_assumption
from lstmcli.errors import SettingsToTry, UserError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from lstmcli.api.stream import Stop
    from lstmcli.core.forward.excerpt import Excerpt

__all__ = ["DEFAULT_KEEP", "Selection", "Trace", "run"]


@refuse_other_arguments
def run(
    model: Model | Weights | Sequence[Weights],
    x: ArrayLike | Path | None = None,
    keep: str | Iterable[str] = DEFAULT_KEEP,
    *,
    layout: str | None = None,
    initial_state: StateLike | None = None,
    lengths: ArrayLike | Path | None = None,
    mask: ArrayLike | Path | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    name: str = "the input array",
    **settings: Any,
) -> Trace:
    """Run a model over a sequence, or a batch of them.

    B sequences, T steps, I inputs, H units; P = H without a projection.

    Parameters
    ----------
    model
        from `lstmcli.load`, or what that takes; several files in a list.
    x
        (T, I), (B, T, I) or (T, B, I) of any dtype of numbers, cast to the
        model's; or a path. None: the inputs in the files of the weights.
    keep
        those of h, c, i, f, g, o and z, the pre-activations, that the trace is
        to have; it always has the final state.
    layout
        "batch" or "time", of x with three axes; by default what the model's
        file gives, else its convention's, and then (1, T, I) is one sequence.
    initial_state
        ``h`` (P,) or (B, P) and ``c`` (H,) or (B, H) in a dict, or a path;
        zero by default. Several cells are on a first axis (docs/python.md).
    lengths
        (B,) valid steps of each sequence; by default, and without a mask,
        those in the model's file. What stands past them is in docs/padding.md.
    mask
        (B, T) or (T, B), in the axes of x: false steps are skipped. By
        default, and without lengths, that of a Masking layer in the model's
        file, which "none" leaves out.
    executor
        any `concurrent.futures.Executor`, which gets blocks of sequences;
        results do not depend on it, bit for bit.
    meter
        is called with the number of sequences x steps of a cell that were
        computed since the last call.
    name
        what messages call x.
    **settings
        as for `lstmcli.load`, where ``model`` is not loaded yet.

    Raises
    ------
    UserError
        for whatever is wrong with files, names, shapes or settings.

    Examples
    --------
    >>> trace = lstmcli.run("demo/weights.npz", np.ones((5, 4)), keep=("h", "f"))
    >>> trace.h.shape, trace.f.shape, trace.final_c.shape
    ((5, 3), (5, 3), (3,))
    >>> batch = lstmcli.run("demo/weights.npz", np.ones((2, 5, 4)), lengths=[5, 3])
    >>> bool(batch.h[1, 3:].any())
    False
    """
    if isinstance(model, Model) and x is None:
        raise UserError(
            "run takes a model and inputs: run(model, x), x (steps, inputs)."
        )
    if executor is not None and not (
        hasattr(executor, "submit") and not isinstance(executor, type)
    ):
        takes = "a concurrent.futures.Executor, such as ThreadPoolExecutor()"
        raise UserError(f"run: executor is {type_of(executor)}; it takes {takes}.")
    if meter is not None and not callable(meter):
        raise UserError(
            f"run: meter is {type_of(meter)}; it takes a function of one number."
        )
    options = InputOptions(initial_state, lengths, mask)
    job = read_job(
        model, x, checked(settings, "run", layout), options, where="run", name=name
    )
    return run_plan(job.drained().plan(keep), executor=executor, meter=meter)


# ---- a run of a command


class Ended(NamedTuple):
    """The end of a run."""

    state: State  # final h and c
    steps: int
    status: int = 0  # 128 + n if signal n stopped it
    trace: Trace | None = None  # of a table of what is written


@dataclass(frozen=True, eq=False)
class Run:
    """A run that is checked, and what of it is shown and written."""

    job: Job
    outputs: Outputs
    selection: Selection
    show: tuple[str, ...]  # arrays of the table
    engine: str | None
    streams: bool  # steps are written as they are computed
    remarks: tuple[str, ...] = ()

    @property
    def assumed(self) -> list[str]:
        """Assumptions that affect the results, without their reasons."""
        return [shorten_assumption(text) for text in self.job.assumed]

    @property
    def plan(self) -> Plan:
        """The run for the arrays of the table."""
        return self._plan_of(self.show)

    @property
    def units(self) -> Indices | None:
        """The units that the table shows, if they are selected: of y only where it is alone."""
        if self.selection.units is None:
            return None
        of_cells = [name for name in self.show if name != Y]
        return self.select(of_cells or self.show).units

    def _plan_of(self, names: Sequence[str]) -> Plan:
        return self.job.plan(kept_for(names) or ["h"])

    def select(self, names: Sequence[str]) -> Part:
        """The part of the run that is selected of some arrays."""
        plan = self._plan_of(names)
        refuse_absent_cells(names, plan.shapes)
        return plan.select(self.selection, names)

    def _needed_steps_of(self, plan: Plan) -> Plan:
        """The run up to the last selected step, unless the final state is written."""
        if self.outputs.needs_final_state:
            return plan
        return needed_steps(plan, self.selection.steps)

    @property
    def cell_parts(self) -> dict[str, Part]:
        """The part of each cell that the table shows."""
        from lstmcli.core.forward.excerpt import cell_parts  # of tables alone

        return cell_parts(self.plan, self.selection, self.units)

    @property
    def output_parts(self) -> list[Part]:
        """The part of y that the table shows."""
        from lstmcli.core.forward.excerpt import output_parts

        units = None if self.cell_parts else self.units
        return output_parts(self.plan, self.selection, units)

    def excerpt(self, steps: Indices, **how: Any) -> tuple[Excerpt, State]:
        """Some steps of the table, with summaries of all if none are selected, and the final state.

        ``how`` has the executor and the meter.
        """
        from lstmcli.core.forward.excerpt import Excerpt, Summary, padded_steps

        plan, parts = self.plan, self.cell_parts if self.selection.steps is None else {}
        needed = self._needed_steps_of(plan)
        sink = Summary(needed, steps, parts, self.show)
        trace = trace_of(needed, sink.kept.arrays, run_to(needed, sink, **how))
        found = Excerpt.of_trace(trace)._replace(
            steps=steps,
            of_steps=plan.steps,
            summaries=sink.summaries,
            padded=padded_steps(plan),
            units=self.units,
        )
        return found, (trace.final_h, trace.final_c)

    def write(
        self,
        stdout: Callable[[], BinaryIO],
        remark: Callable[[str], None],
        stopped: Callable[[Stop], AbstractContextManager[None]],
        **how: Any,
    ) -> Ended:
        """Run and write: line by line, in pieces, or from memory.

        ``stdout`` gives standard output, ``stopped`` lets signals stop a
        stream to it, and ``remark`` gets what is found on the way. ``how`` has
        the executor and the meter.
        """
        if self.streams:
            return self._write_steps(stdout, remark, stopped, how.get("meter"))
        outputs, names = self.outputs, self.outputs.members
        format, shows_table = outputs.single_format, outputs.screen == "table"
        plan = self._plan_of([*self.show, *names] if shows_table else names)
        needed = self._needed_steps_of(plan)
        part = self.select([name for name in names if name not in FINAL])
        if self.engine:
            trace = self._trace_by_engine(self.engine)
        elif are_large(plan, format, names, part):
            target = outputs.file or stdout()
            state = write_pieces(needed, target, format, names, part, **how)
            return Ended(state, plan.steps)
        else:
            trace = run_plan(needed, None if shows_table else part, **how)
        if outputs.written:
            self._write_trace(trace, part, stdout)
        return Ended((trace.final_h, trace.final_c), plan.steps, trace=trace)

    def _write_steps(
        self,
        stdout: Callable[[], BinaryIO],
        remark: Callable[[str], None],
        stopped: Callable[[Stop], AbstractContextManager[None]],
        meter: Meter | None,
    ) -> Ended:
        from lstmcli.api.stream import (  # most runs are in memory
            Stop,
            write_steps_of_file,
            write_steps_of_stream,
        )

        file, stop = self.outputs.file, Stop()
        with ExitStack() as stack:
            if file:
                stream = stack.enter_context(formats.atomically(file))
            else:
                stream = stdout()
                stack.enter_context(stopped(stop))
            what = self.job, self.outputs, self.selection, stream, stop, meter
            if self.job.stream is None:
                state, steps = write_steps_of_file(*what)
            else:
                state, steps = write_steps_of_stream(*what, self.job.stream, remark)
        return Ended(state, steps, stop.status)

    def _trace_by_engine(self, name: str) -> Trace:
        from lstmcli.engines import find_engine  # 20 ms that most runs do without
        from lstmcli.engines.engine import run_with

        engine = find_engine(name)
        given = ("h", *OF_STATE)
        for missing in (name for name in self.outputs.only or () if name not in given):
            raise UserError(
                f"{engine.name} ({engine.layer}) gives {', '.join(given)}.",
                about={"only": missing},
                try_=[SettingsToTry({"engine": None}, "every gate is there")],
            )
        return run_with(engine, self._needed_steps_of(self.job.plan()))

    def _write_trace(
        self, trace: Trace, part: Part, stdout: Callable[[], BinaryIO]
    ) -> None:
        outputs, digits = self.outputs, self.selection.digits
        states = self.job.model.convention.behaviour.states
        written = cut_trace(trace, part, states)

        def write(stream: BinaryIO, format: str) -> None:
            names: Sequence[str] = outputs.names_for(format)
            if outputs.only is None:  # an engine may not give all
                names = members_named(written.members(), names)
            write_trace(written, stream, format, names, part, digits, outputs.tidy)

        if outputs.file and outputs.file_format:
            with formats.atomically(outputs.file) as stream:
                write(stream, outputs.file_format)
        if outputs.screen and outputs.screen != "table":
            write(stdout(), outputs.screen)

    def save_state(self, end: Ended) -> None:
        """Write the state behind the last step, if asked for."""
        if self.outputs.save_state:
            save_state(self.outputs.save_state, *end.state, end.steps)


def start(
    weights: Weights | Sequence[Weights],
    x: ArrayLike | Path | None,
    outputs: Outputs,
    selection: Selection,
    show: tuple[str, ...],
    *,
    engine: str | None = None,
    in_steps: bool = True,
    **settings: Any,
) -> Run:
    """Read and check a run, for a table of ``show`` or the ``outputs``.

    ``in_steps``: results may be written as they are computed, if format and
    model allow it.
    """
    options, settings = InputOptions.split(settings)
    job = read_job(weights, x, checked(settings, "run"), options, where="run")
    remarks = [*job.model.remarks]
    if outputs.save_state and job.model.backward:
        remarks.append(
            "a backward cell starts from the last step: chunks differ from a full run."
        )
    if engine is None:
        outputs = with_output(outputs, edited_model(job.model))
    remarks.extend(_output_left_out(outputs))
    outputs, show = _of_model(job.model, outputs, show)
    if engine and outputs.cell:
        text = f"{engine} gives h of the full model."
        raise UserError(text, about={"cell": outputs.cell}, try_={"engine": None})
    streams = (
        in_steps
        and not engine
        and _can_stream(job)
        and outputs.single_format in BY_STEP
    )
    if job.stream is None or not streams:
        job = job.drained()
        if text := describe_not_finite(job.inputs.x, job.inputs.name):
            remarks.append(text)
    run = Run(
        job=job,
        outputs=outputs,
        selection=selection,
        show=("h",) if engine else show,
        engine=engine,
        streams=streams,
    )
    if not job.stream:
        remarks.extend(_cuts(run))
    elif selection.steps is not None:
        selection.steps.refuse_from_the_end()
    return replace(run, remarks=tuple(remarks))


def _output_left_out(outputs: Outputs) -> Iterator[str]:
    """A line on each output that has no place for what the head makes, unless arrays are named."""
    name = outputs.output
    if not name or outputs.only is not None or outputs.cell is not None:
        return
    for format in outputs.written:
        if name in outputs.names_for(format):
            continue
        where = outputs.file if format == outputs.file_format else format
        yield f"{where} has no {name}, the model's output; --only y -o y.npy saves it."


def _cuts(run: Run) -> Iterable[str]:
    """Lines on ranges beyond the run, in whatever is shown or written; each once."""
    shown = [run.outputs.names_for(format) for format in run.outputs.written]
    if run.outputs.screen == "table":
        shown.append(run.show)
    cuts: dict[str, None] = {}
    for names in shown:
        cuts |= dict.fromkeys(run.selection.cuts(run.select(names).full))
    return cuts


def _of_model(
    model: Model, outputs: Outputs, show: tuple[str, ...]
) -> tuple[Outputs, tuple[str, ...]]:
    cells = [name for name, _ in model.cells]
    if outputs.cell is not None:
        refuse_unknown_cell(outputs.cell, cells)
    of_cells = [name for name in show if name not in (Y, FINAL_Y)]
    shows_output = outputs.only is None and outputs.cell is None
    of_model: tuple[str, ...] = ()
    if outputs.output and (shows_output or len(of_cells) < len(show)):
        of_model = (Y,)
    if len(cells) > 1:
        if outputs.cell:
            of_cells = [f"{outputs.cell}.{name}" for name in of_cells]
        return outputs, (*of_cells, *of_model)
    prefix = f"{cells[0]}."  # which arrays of a single cell go without
    only = outputs.only and [name.removeprefix(prefix) for name in outputs.only]
    names = tuple(name.removeprefix(prefix) for name in of_cells)
    return outputs._replace(only=only, cell=None), (*names, *of_model)


def _can_stream(job: Job) -> bool:
    masked, masking = job.inputs.is_padded, job.model.masking
    if job.stream and (masked or masking):
        of_file = " (the weights' file has lengths)" * bool(job.model.lengths)
        of_file = f" (the weights' file has {masking})" if masking else of_file
        raise UserError(
            f"lengths and a mask need all steps of a sequence{of_file}; give it as a file.",
            try_=[SettingsToTry({"mask": NO_MASK}, "runs all steps")]
            if masking
            else (),
        )
    return bool(job.stream) or (runs_forward(job.model) and not masked)


# ---- how it is executed


WORTH_THREADS = 0.1  # seconds of work; a pool of threads takes 15 ms to make


@contextmanager
def executor_for(
    job: Job,
    threads: int | None,
    scheduler: str | None,
    remark: Callable[[str], None],
    *,
    in_order: bool,
) -> Iterator[Executor | None]:
    """The executor of a run: a cluster, or threads if it is large enough for them.

    ``in_order``: its steps are written as they are computed, by one core.
    ``remark`` gets a text if fewer than ``threads`` are used.
    """
    if scheduler is not None:
        from lstmcli.api.dask_cluster import cluster  # rarely used

        with cluster(scheduler) as executor:
            yield executor
        return
    batch, steps, _ = job.sizes
    count = 1
    if not in_order and seconds(batch, steps, job.model) > WORTH_THREADS:
        default = len(cores()) if worth_threads(batch, job.model) else 1
        count = min(threads or default, len(batch_chunks(batch, job.model)))
    if threads is not None and count < threads:
        why = (
            "steps are written as they are computed"
            if in_order
            else "too small for more"
        )
        remark(f"--threads {threads}: this run uses {count} ({why}).")
    if count == 1:
        yield None
        return
    with workers(count) as pool:
        yield pool
