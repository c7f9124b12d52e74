"""``lstm run``: run a model over inputs, and show or write the results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import click

from lstmcli import formats
from lstmcli.api import save
from lstmcli.api.job import InputFiles, Job
from lstmcli.api.run import Stop, can_stream, plan_of, run_by_engine, select, stream_steps
from lstmcli.api.save import AT_ONCE, BINARY, BY_STEP, FINAL, members_for
from lstmcli.cli.command import Command, Ended, stopped_by_signals
from lstmcli.cli.executors import execution
from lstmcli.cli.options import (
    FormatChoice,
    cell_option,
    digits_option,
    input_files,
    input_options,
    listed_names,
    only_option,
    paths_argument,
    read_job,
    selection_options,
    setting_options,
    settings_from,
)
from lstmcli.cli.terminal import (
    remark,
    screen,
    show_paged,
    standard_output,
    tell_assumed,
    width,
)
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.plan import NAMES, Plan
from lstmcli.core.forward.run import (
    LayerStack,
    needed_steps,
    run_plan,
    run_selected,
    runs_forward,
    step_pieces,
)
from lstmcli.core.model.arrays import describe_not_finite
from lstmcli.core.model.model import Model, State, Trace, names_in_cell, similar_cell
from lstmcli.core.model.selection import SelectedIndices, Selection, cut_trace, is_named
from lstmcli.core.weights.assumptions import shorten_assumption
from lstmcli.errors import UserError, did_you_mean
from lstmcli.views.run import (
    CHUNK,
    DEFAULT_COLUMNS,
    CellSummary,
    Excerpt,
    Sizes,
    Window,
    excerpt_sheets,
    header_sheet,
    piece_sheets,
    steps_shown,
    trace_sheets,
)
from lstmcli.views.sheet import Sheet

LONG = 1 << 20  # bytes of results from which a table keeps no more than it shows
FORMATS = ("table", "json", "jsonl", "csv", "tsv", "text", *BINARY)


class Outputs(NamedTuple):
    """Where results go: to a file, to stdout in a format, or both."""

    file: str | None
    file_format: str | None
    screen: str | None  # the format of stdout: "table", or one that is written
    only: list[str] | None
    tidy: bool  # whether tables and JSON lines have a row for each unit
    cell: str | None = None  # of a model of several: the one whose arrays are meant

    @property
    def written(self) -> list[str]:
        """The formats that are written, without the table."""
        return [f for f in (self.file_format, self.screen) if f not in (None, "table")]

    @property
    def members(self) -> list[str]:
        """The members that the file and stdout get, together."""
        return [*dict.fromkeys(m for f in self.written for m in self.names_for(f))]

    def names_for(self, format: str) -> tuple[str, ...]:
        """The members that a file of a format gets."""
        names = members_for(format, self.only)
        if self.cell is None:
            return names
        return tuple(f"{self.cell}.{name}" for name in names if name not in FINAL)


@dataclass(frozen=True)
class RunOptions:
    """The options of one command line, parsed and checked."""

    settings: Mapping[str, Any]
    files: InputFiles
    outputs: Outputs
    window: Window
    selection: Selection
    save_state: str | None
    engine: str | None
    threads: int | None
    scheduler: str | None

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> RunOptions:
        """The options as click gives them, checked."""
        outputs = _outputs(options)
        selection = Selection.parse(*(options[k] for k in ("steps", "batch", "units", "digits")))
        if options["save_state"]:
            formats.format_of(options["save_state"], formats.SEVERAL_ARRAYS)
        for name in ("threads", "scheduler"):
            if options["engine"] and options[name] is not None:
                raise UserError(
                    f"--{name} is for the loop of lstm; {options['engine']} runs by itself."
                )
        if options["scheduler"] is not None and options["threads"] is not None:
            raise UserError("--threads is for runs here; leave it out, or --scheduler.")
        return cls(
            settings_from(options),
            input_files(options),
            outputs,
            _window(outputs, selection),
            selection,
            *(options[k] for k in ("save_state", "engine", "threads", "scheduler")),
        )

    @property
    def needs_final_state(self) -> bool:
        """Whether the state behind the last step is written."""
        return bool(self.save_state) or not {*FINAL}.isdisjoint(self.outputs.members)

    @property
    def shows_every_step(self) -> bool:
        """Whether the table of all steps is shown, and nothing is written.

        A pager that is quit ends the run: no final state would be left to write.
        """
        steps = self.window.steps
        written = self.outputs.written or self.save_state
        return steps is not None and steps.is_all and not written

    def of_model(self, model: Model) -> RunOptions:
        """The options for a model: arrays of the cell that is asked for have its name.

        Raises
        ------
        UserError
            for a cell that is not there.
        """
        outputs, window = self.outputs, self.window
        cells = [name for name, _ in model.cells]
        if outputs.cell is not None and outputs.cell not in cells:
            near = similar_cell(outputs.cell, cells)
            raise UserError(f"--cell {outputs.cell}: there is {', '.join(cells)}.{near}")
        if len(cells) > 1:
            show = [f"{outputs.cell}.{n}" if outputs.cell else n for n in window.show]
            return replace(self, window=window._replace(show=tuple(show)))
        prefix = f"{cells[0]}."  # which arrays of a single cell go without
        only = outputs.only and [name.removeprefix(prefix) for name in outputs.only]
        show = [name.removeprefix(prefix) for name in window.show]
        return replace(
            self,
            outputs=outputs._replace(only=only, cell=None),
            window=window._replace(show=tuple(show)),
        )


class RunResult(NamedTuple):
    """The end of a run."""

    state: State  # final h and c
    steps: int
    status: int = 0  # 128 + n if signal n stopped it


@click.command(cls=Command, of_table=("no_pager",))
@paths_argument("weights", "WEIGHTS... INPUTS")
@setting_options
@input_options
@click.option(
    "--tidy",
    is_flag=True,
    help="With csv, tsv and jsonl: a row for each unit, step,batch,unit,h,c,i,f,g,o.",
)
@click.option("--save-state", metavar="FILE", help="Write the last h and c (.npz, .json).")
@click.option(
    "-f",
    "--format",
    "screen",
    type=FormatChoice(FORMATS),
    show_default="table",
    help="Format of standard output, or of -o FILE where its suffix says none.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help=f"Write a file, by its suffix ({' '.join(formats.FORMATS)}); - is stdout, with -f.",
)
@only_option(
    "Arrays to show and to write; z are the pre-activations.",
    "h,c,i,f,g,o and, where written, final_h,final_c",
)
@cell_option("One", "all, and the output of the model")
@selection_options("show and to write", "all; in a table, of many the first and the last")
@click.option(
    "--no-pager",
    is_flag=True,
    help="Print all steps (--steps :) on a terminal, not through PAGER (less).",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="all cores, for large batches",
    help="Cores to use.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster to run on (extra: dask).")
@click.option(
    "--engine",
    metavar="NAME",
    show_default="the loop of lstm",
    help="A framework that runs it instead: torch, onnxruntime, openvino, keras, tensorflow or "
    "jax.",
)
@digits_option(
    "8 of h and c and 6 of gates; all where written",
    ", in tables and in json, jsonl, csv, tsv and text",
)
def command(weights: tuple[str, ...], **options: Any) -> int:
    """Run saved weights over inputs: h, c and gates of every step.

    \b
    lstm run demo/weights.npz demo/inputs.npy
    lstm run demo/weights.npz demo/inputs.npy --forget-bias 0 -f json

    The last path is the inputs, those before it are weights; a single path contains both.
    NAME=FILE names the tensor of a .npy file, FILE:MEMBER is one array of several; - is standard
    input.
    """
    asked = RunOptions.parse(options)
    screen().is_long = asked.shows_every_step
    if options["no_pager"]:
        if screen().files or not screen().is_long:
            raise UserError(
                "--no-pager changes nothing: only --steps : goes through a pager, without "
                "--save-state, --svg and --html; leave it out."
            )
        screen().is_long = False
    job = read_job(weights, asked.settings, asked.files)
    asked = asked.of_model(job.model)
    if asked.save_state and job.model.backward:
        remark("a backward cell starts from the last step: chunks differ from a full run.")
    streams = not (asked.engine or asked.scheduler) and _streams(job, asked.outputs)
    job, asked = _checked(job, asked, streams=streams)
    if asked.engine:
        result = _run_by_engine(job, asked, asked.engine)
    else:
        run = _run_streaming if streams else _run
        with execution(
            job,
            threads=asked.threads,
            scheduler=asked.scheduler,
            in_order=streams,
            quiet=screen().quiet or screen().is_paged,
        ) as how:
            result = run(job, asked, how)
    if asked.save_state:
        save.save_state(asked.save_state, *result.state, result.steps)
    if result.status:
        raise Ended(result.status)
    if asked.outputs.screen:
        standard_output().flush()  # an error here is one message
    in_header = asked.outputs.screen == "table"
    if not in_header:
        tell_assumed([*map(shorten_assumption, job.assumed)])
    return 0


# ---- options


def _outputs(options: Mapping[str, Any]) -> Outputs:
    file, screen = options["output"], options["screen"]
    file_format: str | None = None
    only = listed_names(options["only"], "--only")
    if file == "-":
        if screen is None:
            raise UserError(f"-o - needs a format: -f {', '.join(FORMATS[1:])}")
        file = None
    elif file == "":
        raise UserError("-o needs the name of a file, such as -o out.npz")
    elif file is not None and not formats.has_known_suffix(file) and screen not in (None, "table"):
        file_format, screen = screen, None
    elif screen in BINARY and sys.stdout.isatty():
        raise UserError(
            f"-f {screen} is for a pipe: add -o -, or write a file with -o out.{screen}"
        )
    if file is None and screen is None:
        screen = "table"
    if file is not None and file_format is None:
        file_format = _format_of(file)
    if options["cell"] is not None and only is not None:
        only = names_in_cell(only, options["cell"])
        if final := [name for name in only if name in FINAL]:
            raise UserError(f"--only {final[0]} is not of one cell; leave it out, or --cell.")
    outputs = Outputs(file, file_format, screen, only, options["tidy"], options["cell"])
    if outputs.tidy and not {*BY_STEP} & {*outputs.written}:
        raise UserError("--tidy is for csv, tsv and jsonl: -f csv --tidy, or -o out.csv --tidy")
    if outputs.tidy and any(name.rpartition(".")[2] == "z" for name in only or ()):
        raise UserError(
            "--only z: --tidy writes a row for each unit, of which z has four numbers, one for "
            "each gate; leave out --tidy or z."
        )
    for format in outputs.written:
        outputs.names_for(format)
    return outputs


def _format_of(file: str) -> str:
    """The format that a file's suffix says; UserError with the other way to say it."""
    try:
        return formats.format_of(file)
    except UserError as error:
        raise UserError(*error.lines, "  -f csv, json, ... says the format of any other.") from None


def _window(outputs: Outputs, selection: Selection) -> Window:
    columns = outputs.only or []
    if outputs.screen != "table":
        columns = []
        if {*outputs.written} <= {*BINARY} and selection.digits is not None:
            raise UserError("--digits is for tables and text; .npz and .npy have every digit.")
    if outputs.file is not None:  # which may have further members
        columns = [name for name in columns if name not in FINAL]
    for name in columns:
        if name.rpartition(".")[2] not in NAMES:
            raise UserError(
                f"--only {name}: the table shows {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
            )
    names = tuple(columns or DEFAULT_COLUMNS)
    return Window(names, selection.steps, selection.batch, None, selection.digits)


def _streams(job: Job, outputs: Outputs) -> bool:
    """Whether steps are written as they are computed: only to one place."""
    streams = can_stream(job)
    to_one = outputs.file_format is None or outputs.screen is None
    return streams and to_one and (outputs.file_format or outputs.screen) in BY_STEP


def _checked(job: Job, asked: RunOptions, *, streams: bool) -> tuple[Job, RunOptions]:
    """The job, read to its end unless results stream; refuses to select what is not there."""
    if job.stream and streams:
        if asked.selection.steps is not None:
            asked.selection.steps.refuse_from_the_end()
        return job, asked
    job = job.drained()
    selected = [
        select(job, asked.outputs.names_for(format), asked.selection)
        for format in asked.outputs.written
    ]
    if asked.outputs.screen == "table":
        selected.append(select(job, asked.window.show, asked.selection))
        if asked.selection.units is not None:
            window = asked.window._replace(units=selected[-1].units)
            asked = replace(asked, window=window)
    remark(*dict.fromkeys(line for one in selected for line in asked.selection.cuts(one.full)))
    return job, asked


# ---- runs


def _run_streaming(job: Job, asked: RunOptions, how: Mapping[str, Any]) -> RunResult:
    """Write steps as they are computed; a signal ends a stream to stdout between two steps."""
    if job.stream is None:
        _remark_not_finite(job)
    file = asked.outputs.file
    format = str(asked.outputs.file_format or asked.outputs.screen)
    names = asked.outputs.names_for(format)
    meter, stop = how.get("meter"), Stop()
    with (
        formats.atomically(file) if file else nullcontext(standard_output()) as stream,
        nullcontext() if file else stopped_by_signals(stop),
    ):
        end = stream_steps(
            job, stream, format, names, meter, stop, remark,
            selection=asked.selection, tidy=asked.outputs.tidy, to_end=asked.needs_final_state,
        )  # fmt: skip
    return RunResult(*end, stop.status)


def _run(job: Job, asked: RunOptions, how: Mapping[str, Any]) -> RunResult:
    """Run, then show or write; results too large for memory are written in pieces."""
    _remark_not_finite(job)
    outputs, selection, steps = asked.outputs, asked.selection, job.plan().steps
    if outputs.screen == "table" and outputs.file is None:
        return RunResult(_show_run(job, asked, how), steps)
    target: str | BinaryIO | None = outputs.file
    format = outputs.file_format
    if target is None and outputs.screen in AT_ONCE:
        target, format = standard_output(), outputs.screen
    plan = plan_of(job, outputs.members)
    if target and (outputs.file is None or outputs.screen is None):
        names = outputs.names_for(str(format))
        selected = plan.select(selection, names)
        if save.are_large(plan, str(format), names, selected):
            part = _needed_steps(plan, asked)
            state = save.write_pieces(part, target, str(format), names, selected, **how)
            return RunResult(state, steps)
    if selection.selects and outputs.screen != "table":
        selected = plan.select(selection, outputs.members)
        trace, state = run_selected(_needed_steps(plan, asked), selected, **how)
        _write(trace, asked, selected)
        return RunResult(state, steps)
    columns = asked.window.show if outputs.screen == "table" else ()
    plan = plan_of(job, (*columns, *outputs.members))
    trace = run_plan(_needed_steps(plan, asked), **how)
    _show_and_write(job, trace, asked)
    return RunResult((trace.final_h, trace.final_c), steps)


def _needed_steps(plan: Plan, asked: RunOptions) -> Plan:
    """The run up to the last step that is selected, unless the final state is written."""
    return plan if asked.needs_final_state else needed_steps(plan, asked.selection.steps)


def _remark_not_finite(job: Job) -> None:
    if text := describe_not_finite(job.inputs.x, job.inputs.name):
        remark(text)


def _run_by_engine(job: Job, asked: RunOptions, name: str) -> RunResult:
    """Run by a framework, then show or write h and the last state."""
    if cell := asked.outputs.cell:
        raise UserError(f"--cell {cell}: {name} gives h of the full model; leave out --engine.")
    plan = _needed_steps(job.plan(), asked)
    trace = run_by_engine(plan, name, asked.outputs.only or ())
    _show_and_write(job, trace, replace(asked, window=asked.window._replace(show=("h",))))
    return RunResult((trace.final_h, trace.final_c), trace.steps)


def _show_and_write(job: Job, trace: Trace, asked: RunOptions) -> None:
    """Write the selected part of a trace to the file and stdout, or show its table there."""
    if asked.outputs.written:
        names = [name for name in asked.outputs.members if name not in FINAL]
        selected = select(job, names, asked.selection)
        states = job.model.convention.behaviour.states
        _write(cut_trace(trace, selected, states), asked, selected)
    if asked.outputs.screen == "table":
        _show_trace(job.plan(), trace, asked.window)


def _write(trace: Trace, asked: RunOptions, selected: SelectedIndices) -> None:
    """Write a trace that is cut to what is selected."""
    outputs = asked.outputs

    def write(stream: BinaryIO, format: str) -> None:
        names = outputs.names_for(format)
        if outputs.only is None:  # an engine may not give all
            names = tuple(n for n in names if any(is_named(m, n) for m in trace.members()))
        save.write_trace(
            trace, stream, format, names, selected, asked.selection.digits, outputs.tidy
        )

    if outputs.file and outputs.file_format:
        with formats.atomically(outputs.file) as stream:
            write(stream, outputs.file_format)
    if outputs.screen and outputs.screen != "table":
        write(standard_output(), outputs.screen)


# ---- the table: of a long run only what it shows is kept


def _show_run(job: Job, asked: RunOptions, how: Mapping[str, Any]) -> State:
    """Run and print the table; gives the final state.

    ``how`` has the executor and the meter of a run.
    """
    window = asked.window
    plan = plan_of(job, window.show)
    if not _is_long(plan, window):
        trace = run_plan(_needed_steps(plan, asked), **how)
        _show_trace(plan, trace, window)
        return trace.final_h, trace.final_c
    every_step = window.steps is not None and window.steps.is_all
    if every_step and len(job.model.cells) == 1:
        return _show_as_computed(plan, window, how.get("meter"))
    excerpt, final = _excerpt(plan, asked, how)
    sheets = excerpt_sheets(excerpt, window, width(), network=len(job.model.cells) > 1)
    _show_sheets(plan, sheets)
    return final


def _show_trace(plan: Plan, trace: Trace, window: Window) -> None:
    """Print the header and the table of a trace."""
    engine = trace.settings.get("engine", "")
    network = len(plan.model.cells) > 1
    sheets = trace_sheets(trace, window, width(), network=network, of_steps=plan.steps)
    _show_sheets(plan, sheets, engine)


def _show_sheets(plan: Plan, sheets: Iterator[Sheet], engine: str = "") -> None:
    """Print the header and a table."""
    first = next(sheets)  # raises for a mistake in --steps and the like, before anything is shown
    header = header_sheet(plan, width(), engine, quiet=screen().quiet)
    show_paged(chain([header, first], sheets))


def _is_long(plan: Plan, window: Window) -> bool:
    """Whether a table need not keep all that it shows a part of, and can do so."""
    in_order = plan.valid is None and runs_forward(plan.model)
    return in_order and plan.nbytes >= LONG and window.batch is None


def _show_as_computed(plan: Plan, window: Window, meter: Meter | None) -> State:
    """Print all steps as they are computed; gives the final state."""
    stack = LayerStack.of_plan(plan, meter)
    summary = CellSummary(window)
    pieces = step_pieces(plan, stack, CHUNK, partial(_summarise, {"": summary}))
    _show_sheets(plan, piece_sheets(pieces, _sizes(plan)[""], window, width(), summary))
    return stack.state(plan.layout)


def _excerpt(plan: Plan, asked: RunOptions, how: Mapping[str, Any]) -> tuple[Excerpt, State]:
    """The steps that a table shows of a run, and its final state."""
    sizes, window = _sizes(plan), asked.window
    summaries = {} if window.steps else {cell: CellSummary(window) for cell in sizes}
    observe = partial(_summarise, summaries) if summaries else None
    numbers = [step for part in steps_shown(sizes.values(), window) for step in part]
    selected, part = replace(plan.select(), steps=numbers), _needed_steps(plan, asked)
    trace, final = run_selected(part, selected, observe=observe, **how)
    arrays = {name: trace.time_major(name) for name in trace.arrays}
    return Excerpt(numbers, plan.steps, arrays, summaries), final


def _sizes(plan: Plan) -> dict[str, Sizes]:
    """T, B and the units that a table shows, by cell; "" for the output of the model."""
    widths: dict[str, int] = {}
    for name, shape in plan.shapes.items():
        cell, _, base = name.rpartition(".")
        widths[cell] = max(widths.get(cell, 0), shape[-1] // (4 if base == "z" else 1))
    cells = [cell for cell in widths if cell]
    if "h" in plan.keep or not cells:
        cells.append("")
    return {cell: (plan.steps, plan.batch, widths[cell]) for cell in cells}


def _summarise(summaries: Mapping[str, CellSummary], arrays: Mapping[str, Any]) -> None:
    """Add a piece of a run to the summary of each cell."""
    for cell, summary in summaries.items():
        prefix = f"{cell}." if cell else ""
        names = [name for name in DEFAULT_COLUMNS if prefix + name in arrays]
        summary.add({name: arrays[prefix + name] for name in names})
