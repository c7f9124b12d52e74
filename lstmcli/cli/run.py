"""``lstm run``: read, run, show or write."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import click
import numpy.typing as npt

from lstmcli import formats
from lstmcli.api import save
from lstmcli.api.job import Job
from lstmcli.api.load import not_finite
from lstmcli.cli import completion
from lstmcli.cli.executors import execution
from lstmcli.cli.options import (
    FORMAT_HELP,
    input_files,
    input_options,
    listed_names,
    paths_argument,
    read_job,
    setting_options,
    settings_from,
)
from lstmcli.cli.process import Command, Ended, stopped_by_signals
from lstmcli.cli.terminal import depth, remark, standard_output, tell
from lstmcli.core.forward.plan import NAMES, prepare
from lstmcli.core.forward.sequence import merged_axes
from lstmcli.core.forward.streaming import run_in_blocks
from lstmcli.core.model.model import Trace
from lstmcli.core.model.selection import Selected, Selection, cut_trace
from lstmcli.core.weights.assumptions import shorten_assumption
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import StepStream
from lstmcli.views.window import SHOWN, Window

Array = npt.NDArray[Any]

SCREEN = ("table", "json", "jsonl", "csv", "tsv", "text", *save.BINARY)


class Output(NamedTuple):
    """Where results go: to a file, to stdout in a format, or both."""

    file: str | None
    file_format: str | None
    screen: str | None
    only: list[str] | None


@click.command(cls=Command)
@paths_argument("weights")
@setting_options
@input_options
@click.option("--save-state", metavar="FILE", help="Write the last h and c (.npz, .json).")
@click.option("-f", "--format", "screen", type=click.Choice(SCREEN), help=FORMAT_HELP)
@click.option("-o", "--output", metavar="FILE", help="Write by suffix; - is stdout, with -f.")
@click.option(
    "--only",
    metavar="NAME,...",
    shell_complete=completion.members,
    help="Members to write: h, c, ..., final_h, z.",
)
@click.option(
    "--show",
    metavar="NAME,...",
    shell_complete=completion.columns,
    help="Columns of the table: h,c,i,f,g,o,z.",
)
@click.option("--steps", metavar="A:B", help="Steps to show and to write; : is all.")
@click.option("--batch", metavar="A:B", help="Batch items to show and to write.")
@click.option("--units", metavar="A:B", help="Units to show and to write.")
@click.option("--heat", is_flag=True, help="Shade the cells of the table.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Cores to use.",
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster to run on (extra: dask).")
@click.option("--engine", metavar="NAME", help="A framework that runs it instead: torch, ...")
@click.option(
    "-q", "--quiet", is_flag=True, help="No progress bar, and no line of what was assumed."
)
@click.option(
    "--digits", type=click.IntRange(0, 17), help="Digits after the point in tables and text."
)
def command(weights: tuple[str, ...], **options: Any) -> int:
    """Run saved weights over inputs: h, c and gates of every step.

    \b
    lstm run samples/forget-bias/weights.npz samples/forget-bias/inputs.npy
    lstm run samples/forget-bias/weights.npz samples/forget-bias/inputs.npy --forget-bias 0 -f json

    The last path is the inputs, those before it are weights; one path alone holds both.
    NAME=FILE names the tensor of a lone .npy file; - is standard input.
    """
    output = _output(options)
    selection = Selection.parse(*(options[k] for k in ("steps", "batch", "units", "digits")))
    window = _window(options, output, selection)
    settings = settings_from(options)
    job = read_job(weights, settings, input_files(options))
    if options["save_state"] and job.model.backward:
        remark("a backward cell starts from the last step: runs in chunks differ from the whole.")
    if options["engine"]:
        final, steps, status = _by_engine(job, output, window, selection, options)
    else:
        way = _stream if _streams(job, output) else _whole
        job = _checked(job, output, window, selection, streams=way is _stream)
        with execution(job, **{k: options[k] for k in ("threads", "scheduler", "quiet")}) as how:
            final, steps, status = way(job, output, window, selection, how)
    if options["save_state"]:
        save.save_state(options["save_state"], *final, steps)
    if status:
        raise Ended(status)
    if output.screen:
        standard_output().flush()  # what fails has its own line alone
    if output.screen != "table" and not options["quiet"]:
        _say_assumed(job)
    return 0


def _say_assumed(job: Job) -> None:
    """One line on stderr for what a table's header would say."""
    if assumed := [shorten_assumption(text) for text in job.assumed]:
        tell(f"assumed: {'; '.join(assumed)}")


def _output(options: dict[str, Any]) -> Output:
    file, screen, only = (
        options["output"],
        options["screen"],
        listed_names(options["only"], "--only"),
    )
    if file == "-":
        if screen is None:
            raise UserError(f"-o - needs a format: -f {', '.join(SCREEN[1:])}")
        file = None
    elif screen in save.BINARY and sys.stdout.isatty():
        raise UserError(
            f"-f {screen} is for a pipe: add -o -, or write a file with -o out.{screen}"
        )
    if file is None and screen is None:
        screen = "table"
    if file == "":
        raise UserError("-o needs the name of a file, such as -o out.npz")
    if options["save_state"]:
        save.check_state_path(options["save_state"])
    if only is not None and file is None and screen == "table":
        raise UserError("--only chooses what is written; the table takes --show.")
    file_format = None if file is None else formats.format_of(file)
    for format in (file_format, screen):
        if format not in (None, "table"):
            save.members_for(format, only)
    return Output(file, file_format, screen, only)


def _window(options: dict[str, Any], output: Output, selection: Selection) -> Window:
    if output.screen != "table":
        if options["show"]:
            raise UserError("--show is for the table; --only NAME,... names what is written.")
        if {output.file_format, output.screen} - {None} <= {*save.BINARY} and (
            selection.digits is not None
        ):
            raise UserError("--digits is for tables and text; .npz and .npy hold every digit.")
    show_ = listed_names(options["show"], "--show") or SHOWN
    for name in show_:
        if name not in NAMES:
            raise UserError(
                f"--show {name}: the table shows {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
            )
    return Window(tuple(show_), *selection, _colors() if options["heat"] else "")


def _colors() -> str:
    """How many colours there are to shade with."""
    if (colors := depth()) == "none":
        remark("--heat shades with colours, and here are none: --color always brings them")
        return ""
    return colors


def _streams(job: Job, output: Output) -> bool:
    """Whether steps can go out as they are computed."""
    masked = job.lengths is not None or job.mask is not None
    if masked and isinstance(job.inputs, StepStream):
        of_file = " (the weights' file holds lengths)" * bool(job.model.lengths)
        raise UserError(
            f"--lengths and --mask need the whole sequence{of_file}; give it as a file."
        )
    one = output.file_format is None or output.screen is None  # a run is streamed to one place
    if not one or (output.file_format or output.screen) not in save.BY_STEP:
        return False
    how = job.model.convention
    whole = (
        masked or job.model.backward or how.behaviour.flip_output or how.behaviour.state == "reset"
    )
    return isinstance(job.inputs, StepStream) or not whole


def _checked(
    job: Job, output: Output, window: Window, selection: Selection, *, streams: bool
) -> Job:
    """The job, its stream read to its end unless results stream; what is not there is refused."""
    if isinstance(job.inputs, StepStream) and streams:
        if selection.steps is not None:
            selection.steps.refuse_from_the_end()
        return job
    job = job.drained()
    for names in _outputs(output, window):
        save.select(job, names, selection)
    return job


def _outputs(output: Output, window: Window) -> list[Sequence[str]]:
    """The names that each output shows or writes."""
    formats_ = [format for format in (output.file_format, output.screen) if format is not None]
    return [
        window.show if format == "table" else save.members_for(format, output.only)
        for format in formats_
    ]


Done = tuple[tuple[Array, Array], int, int]  # final h and c, steps done, status if interrupted


def _stream(
    job: Job, output: Output, window: Window, selection: Selection, how: Mapping[str, Any]
) -> Done:
    """Write steps as they are computed; an interrupt ends a stream to stdout between two steps."""
    if not isinstance(job.inputs, StepStream) and (text := not_finite(job.inputs, job.name)):
        remark(text)
    format = str(output.file_format or output.screen)
    names = save.members_for(format, output.only)
    meter, stop = how.get("meter"), save.Stop()
    if output.file:
        with formats.atomically(output.file) as stream:
            stack = save.stream_steps(job, stream, format, names, meter, stop, remark, selection)
    else:
        out = standard_output()
        with stopped_by_signals(stop):
            stack = save.stream_steps(job, out, format, names, meter, stop, remark, selection)
    return stack.state("batch"), stack.steps, stop.status


def _whole(
    job: Job, output: Output, window: Window, selection: Selection, how: Mapping[str, Any]
) -> Done:
    """Run, then show or write; what is too large for memory goes out in pieces."""
    if text := not_finite(job.inputs, job.name):
        remark(text)
    target: str | BinaryIO | None = output.file
    format = output.file_format
    if target is None and output.screen in save.PLACED:
        target, format = standard_output(), output.screen
    if target and (output.file is None or output.screen is None):
        names = save.members_for(str(format), output.only)
        selected = save.select(job, names, selection)
        if save.in_pieces(job, str(format), names, selected):
            digits = selection.digits
            final = save.write_pieces(job, target, str(format), names, selected, digits, **how)
            return final, save.extent(job)[0], 0
    if output.screen == "table" and output.file is None:
        from lstmcli.cli.tables import show_run  # views are not for a file or a pipe

        return show_run(job, window, how), save.extent(job)[0], 0
    steps = save.extent(job)[0]
    if selection.selects and output.screen != "table" and not merged_axes(job.model):
        members = _members(output)
        selected = save.select(job, members, selection)
        trace, final = save.run_selected(job, members, selected, **how)
        _write(trace, output, selection, selected)
        return final, steps, 0
    trace = _run(job, output, window, how)
    _show_and_write(job, trace, output, window, selection)
    return (trace.final_h, trace.final_c), steps, 0


def _members(output: Output) -> list[str]:
    """The members that a file and stdout hold, together."""
    written = [f for f in (output.file_format, output.screen) if f not in (None, "table")]
    return [*dict.fromkeys(m for f in written for m in save.members_for(str(f), output.only))]


def _by_engine(
    job: Job, output: Output, window: Window, selection: Selection, options: Mapping[str, Any]
) -> Done:
    """A framework runs; what it gives is shown or written."""
    from lstmcli.cli.by_engine import run_by_engine  # most runs do without

    job = _checked(job, output, window, selection, streams=False)
    trace, window = run_by_engine(job, options, window, output.only)
    _show_and_write(job, trace, output, window, selection)
    return (trace.final_h, trace.final_c), trace.steps, 0


def _run(job: Job, output: Output, window: Window, how: Mapping[str, Any]) -> Trace:
    keep = dict.fromkeys(window.show if output.screen == "table" else ())
    for format in (output.file_format, output.screen):
        if format not in (None, "table"):
            members = save.members_for(str(format), output.only)
            keep |= dict.fromkeys(save.kept_for(members))
    return run_in_blocks(prepare(job.model, job.as_inputs(), keep), **how)


def _show_and_write(
    job: Job, trace: Trace, output: Output, window: Window, selection: Selection
) -> None:
    """A whole trace to a file and to stdout, each as is selected."""
    if output.screen == "table":
        from lstmcli.cli.tables import show_trace

        written = output._replace(screen=None)
        if written.file:
            _write_whole(job, trace, written, selection)
        show_trace(job, trace, window)
    else:
        _write_whole(job, trace, output, selection)


def _write_whole(job: Job, trace: Trace, output: Output, selection: Selection) -> None:
    names = [name for name in _members(output) if name not in save.FINAL]
    selected = save.select(job, names, selection)
    states = job.model.convention.behaviour.states
    _write(cut_trace(trace, selected, states), output, selection, selected)


def _write(trace: Trace, output: Output, selection: Selection, selected: Selected) -> None:
    """A trace of what is selected to a file and to stdout."""

    def write(stream: BinaryIO, format: str) -> None:
        names = save.members_for(format, output.only)
        if output.only is None or selection.units is not None:
            names = save.held_by(trace, names)  # not what an engine or these units leave out
        save.write_trace(trace, stream, format, names, selected, selection.digits)

    if output.file and output.file_format:
        with formats.atomically(output.file) as stream:
            write(stream, output.file_format)
    if output.screen:
        write(standard_output(), output.screen)
