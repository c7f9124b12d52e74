"""``lstm run``: run a model over inputs, and show or write the results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import click

from lstmcli.api.executors import Work, executor_for
from lstmcli.api.job import split_paths
from lstmcli.api.run import NAMES, Ended, Excerpt, Run, Selection, Trace, start
from lstmcli.api.save import (
    BINARY,
    BY_STEP,
    FINAL,
    SEVERAL_ARRAYS,
    Outputs,
    format_of,
    has_known_suffix,
    names_of_cell,
)
from lstmcli.api.save import FORMATS as WRITTEN
from lstmcli.cli.command import Command, Interrupted, stopped_by_signals
from lstmcli.cli.options import (
    FormatChoice,
    cell_option,
    digits_option,
    input_options,
    keywords,
    listed_names,
    only_option,
    paths_argument,
    selection_options,
    setting_options,
)
from lstmcli.cli.progress import ProgressBar, metered
from lstmcli.cli.terminal import (
    remark,
    screen,
    show_paged,
    standard_output,
    tell_assumed,
    width,
)
from lstmcli.errors import UserError, did_you_mean
from lstmcli.views.header import header_sheet
from lstmcli.views.run import (
    CHUNK,
    DEFAULT_COLUMNS,
    Window,
    excerpt_sheets,
    piece_sheets,
    steps_shown,
)
from lstmcli.views.sheet import Sheet
from lstmcli.views.text import shorten_assumption

SHOWN = ("table", "json", "jsonl", "csv", "tsv", "text", *BINARY)


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
    type=FormatChoice(SHOWN),
    show_default="table",
    help="Format of standard output, or of -o FILE where its suffix says none.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help=f"Write a file, by its suffix ({' '.join(WRITTEN)}); - is stdout, with -f.",
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
    for name in ("threads", "scheduler"):
        if options["engine"] and options[name] is not None:
            text = f"--{name} is for the loop of lstm; {options['engine']} runs by itself."
            raise UserError(text)
    if options["scheduler"] is not None and options["threads"] is not None:
        raise UserError("--threads is for runs here; leave it out, or --scheduler.")
    outputs = _outputs(options)
    selection = Selection.parse(*(options[k] for k in ("steps", "batch", "units", "digits")))
    columns = _columns(outputs, selection.digits)
    steps = selection.steps
    every_step = steps is not None and steps.is_all
    # a pager that is quit ends the run: no final state would be left to write
    is_shown = every_step and not (outputs.written or outputs.save_state)
    screen().is_long = is_shown
    if options["no_pager"]:
        if screen().files or not is_shown:
            raise UserError(
                "--no-pager changes nothing: only --steps : goes through a pager, without "
                "--save-state, --svg and --html; leave it out."
            )
        screen().is_long = False
    paths, x = split_paths(weights)
    run = start(
        paths, x, outputs, selection, columns, engine=options["engine"],
        in_steps=options["scheduler"] is None, **keywords(options),
    )  # fmt: skip
    remark(*run.remarks)
    window = Window(run.show, steps, selection.batch, run.units, selection.digits)
    end = _run(run, window, options["threads"], options["scheduler"])
    run.save_state(end)
    if end.status:
        raise Interrupted(end.status)
    if outputs.screen:
        standard_output().flush()  # an error here is one message
    if outputs.screen != "table":
        tell_assumed([*map(shorten_assumption, run.job.assumed)])
    return 0


# ---- options


def _outputs(options: Mapping[str, Any]) -> Outputs:
    file, screen = options["output"], options["screen"]
    file_format: str | None = None
    only = listed_names(options["only"], "--only")
    if file == "-":
        if screen is None:
            raise UserError(f"-o - needs a format: -f {', '.join(SHOWN[1:])}")
        file = None
    elif file == "":
        raise UserError("-o needs the name of a file, such as -o out.npz")
    elif file is not None and not has_known_suffix(file) and screen not in (None, "table"):
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
        only = names_of_cell(only, options["cell"])
    if options["save_state"]:
        format_of(options["save_state"], SEVERAL_ARRAYS)
    how = options["tidy"], options["cell"], options["save_state"]
    outputs = Outputs(file, file_format, screen, only, *how)
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
        return format_of(file)
    except UserError as error:
        raise error.adding("  -f csv, json, ... says the format of any other.") from None


def _columns(outputs: Outputs, digits: int | None) -> tuple[str, ...]:
    """The arrays that the table shows."""
    columns = outputs.only or []
    if outputs.screen != "table":
        columns = []
        if {*outputs.written} <= {*BINARY} and digits is not None:
            raise UserError("--digits is for tables and text; .npz and .npy have every digit.")
    if outputs.file is not None:  # which may have further members
        columns = [name for name in columns if name not in FINAL]
    for name in columns:
        if name.rpartition(".")[2] not in NAMES:
            raise UserError(
                f"--only {name}: the table shows {', '.join(NAMES)}.{did_you_mean(name, NAMES)}"
            )
    return tuple(columns or DEFAULT_COLUMNS)


# ---- runs


def _run(run: Run, window: Window, threads: int | None, scheduler: str | None) -> Ended:
    """Run, then show or write."""
    batch, steps, cells = Work.of(run.job)
    unit = ("sequences", steps * cells) if batch > steps else ("steps", batch * cells)
    quiet = screen().quiet or screen().is_paged or bool(run.engine)
    with (
        executor_for(
            run.job, threads, scheduler, remark, in_order=run.streams or bool(run.engine)
        ) as executor,
        ProgressBar(batch * steps * cells, unit, quiet=quiet) as bar,
        metered(bar) as meter,
    ):
        how: dict[str, Any] = {"executor": executor, "meter": meter}
        if run.outputs.screen == "table" and run.outputs.file is None:
            return _show(run, window, how)
        end = run.write(standard_output, remark, stopped_by_signals, **how)
        if run.outputs.screen == "table" and end.trace is not None:
            _show_trace(run, end.trace, window)
        return end


def _show(run: Run, window: Window, how: Mapping[str, Any]) -> Ended:
    """Run and print the table; of a long run only what it shows is kept."""
    sizes, steps = run.sizes, run.plan.steps
    if not run.is_long:
        trace = run.trace(**how)
        _show_trace(run, trace, window)
        return Ended((trace.final_h, trace.final_c), steps)
    every_step = window.steps is not None and window.steps.is_all
    if every_step and len(run.job.model.cells) == 1:
        summary = window.summary()
        pieces, state = run.pieces(CHUNK, summary, how["meter"])
        _show_sheets(run, piece_sheets(pieces, sizes[""], window, width(), summary))
        return Ended(state(), steps)
    shown = [step for part in steps_shown(sizes.values(), window) for step in part]
    summaries = {} if window.steps else {cell: window.summary() for cell in sizes}
    excerpt, final = run.excerpt(shown, summaries, **how)
    _show_excerpt(run, excerpt, window)
    return Ended(final, steps)


def _show_trace(run: Run, trace: Trace, window: Window) -> None:
    excerpt = Excerpt.of_trace(trace, run.plan.steps)
    _show_excerpt(run, excerpt, window, trace.settings.get("engine", ""))


def _show_excerpt(run: Run, excerpt: Excerpt, window: Window, engine: str = "") -> None:
    network = len(run.job.model.cells) > 1
    _show_sheets(run, excerpt_sheets(excerpt, window, width(), network=network), engine)


def _show_sheets(run: Run, sheets: Iterator[Sheet], engine: str = "") -> None:
    """Print the header and a table."""
    first = next(sheets)  # raises for a mistake in --steps and the like, before anything is shown
    header = header_sheet(run.plan, width(), engine, quiet=screen().quiet)
    show_paged(chain([header, first], sheets))
