"""The command ``lstm run``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from lstmcli.api.job import split_paths
from lstmcli.api.run import (
    DEFAULT_KEEP,
    Ended,
    Run,
    Selection,
    executor_for,
    start,
)
from lstmcli.api.save import (
    BINARY,
    BY_STEP,
    OF_STATE,
    SEVERAL_ARRAYS,
    Outputs,
    format_of,
    has_known_suffix,
    members_for,
    names_of_cell,
)
from lstmcli.api.save import FORMATS as WRITTEN
from lstmcli.cli.command import Command, Interrupted, stopped_by_signals
from lstmcli.cli.options import (
    FormatChoice,
    cell_option,
    digits_option,
    edit_option,
    flag,
    keywords,
    listed_names,
    only_option,
    option,
    paths_argument,
    run_options,
    selection_options,
)
from lstmcli.cli.progress import ProgressBar, metered
from lstmcli.cli.terminal import remark, screen, standard_output, tell_assumed
from lstmcli.errors import UserError

SHOWN = ("table", "json", "jsonl", "csv", "tsv", "text", *BINARY)
PRINTED = f"Format of what is printed, or of -o FILE if its suffix is unknown: {', '.join(SHOWN)}."
ENGINES = "Run in torch, onnxruntime, openvino, keras, tensorflow or jax."


@click.command(cls=Command, of_table=("no_pager",))
@paths_argument("weights", "WEIGHTS... INPUTS")
@run_options
@edit_option
@flag("--tidy", "One row per unit in csv, tsv, jsonl: step,batch,unit,...")
@option("--save-state", "FILE", "Write the last h and c (.npz, .json).")
@option("-f --format screen", "NAME", PRINTED, type=FormatChoice(SHOWN))
@option(
    "-o --output", "FILE", f"File to write: {' '.join(WRITTEN)}; - is stdout, with -f."
)
@only_option(
    "Arrays to show and to write; z are the pre-activations.",
    "h,c,i,f,g,o,y and, where written, final_h,final_c",
)
@cell_option("One", "all, and the output")
@selection_options(
    "show and to write", "all; long tables show the first and last steps"
)
@flag("--no-pager", "Print all steps (--steps :) without a pager.")
@option(
    "--threads",
    "N",
    "Cores to use.",
    "all, for large batches",
    type=click.IntRange(min=1),
)
@option("--scheduler", "ADDRESS", "A Dask cluster to run on (extra: dask).")
@option("--engine", "NAME", ENGINES, "lstm itself")
@digits_option(
    "8 of h and c, 6 of gates; all in files", ", of all formats but npy and npz"
)
def command(weights: tuple[str, ...], **options: Any) -> int:
    """Run saved weights over inputs: h, c and gates of every step.

    \b
    lstm run demo/weights.npz demo/inputs.npy
    lstm run demo/weights.npz demo/inputs.npy --forget-bias 0 -f json

    The last path is the inputs, all earlier ones are weights; a single path must contain both.
    NAME=FILE gives a .npy file its tensor name; FILE:MEMBER selects one array of a file; - is
    standard input.
    """
    _refuse_two_places(options)
    outputs = _outputs(options)
    selection = Selection.parse(
        *(options[k] for k in ("steps", "batch", "units", "digits"))
    )
    columns = _columns(outputs, selection.digits)
    steps = selection.steps
    every_step = steps is not None and steps.is_all
    # a pager that is quit ends the run, without a final state to write
    is_shown = every_step and not (outputs.written or outputs.save_state)
    screen().is_long = is_shown
    if options["no_pager"]:
        if screen().svg is not None or not is_shown:
            raise UserError(
                "--no-pager changes nothing: a pager is used only for a table of all steps "
                "(--steps :); leave it out."
            )
        screen().is_long = False
    paths, x = split_paths(weights)
    run = start(
        paths,
        x,
        outputs,
        selection,
        columns,
        engine=options["engine"],
        in_steps=options["scheduler"] is None,
        **keywords(options),
    )
    remark(*run.remarks)
    end = _run(run, options["threads"], options["scheduler"])
    run.save_state(end)
    if end.status:
        raise Interrupted(end.status)
    if outputs.screen:
        standard_output().flush()  # an error here is one message
    if outputs.screen != "table":
        tell_assumed(run.assumed)
    return 0


# ---- options


def _refuse_two_places(options: Mapping[str, Any]) -> None:
    """Refuse options that run the same inputs in two places."""
    engine = options["engine"]
    for name in ("threads", "scheduler"):
        if engine and options[name] is not None:
            raise UserError(
                f"--{name} is for lstm itself, and {engine} runs instead; leave one out."
            )
    if options["scheduler"] is not None and options["threads"] is not None:
        raise UserError("--threads is for runs here; leave it out, or --scheduler.")


def _outputs(options: Mapping[str, Any]) -> Outputs:
    file, file_format, screen = _destinations(options["output"], options["screen"])
    only = listed_names(options["only"], "--only")
    cell = options["cell"]
    if cell is not None and only is not None:
        only = names_of_cell(only, cell)
    state = options["save_state"]
    if state:
        format_of(state, SEVERAL_ARRAYS)
    outputs = Outputs(file, file_format, screen, only, options["tidy"], cell, state)
    if outputs.tidy:
        _refuse_untidy(outputs)
    for format in outputs.written:
        outputs.names_for(format)
    return outputs


def _destinations(
    file: str | None, screen: str | None
) -> tuple[str | None, str | None, str | None]:
    """The file and its format, and the format of stdout, of what -o and -f say."""
    if file == "":
        raise UserError("-o needs the name of a file, such as -o out.npz.")
    if file == "-":
        if screen is None:
            raise UserError(f"-o - needs a format: -f {', '.join(SHOWN[1:])}")
        return None, None, screen
    if (
        file is not None
        and screen not in (None, "table")
        and not has_known_suffix(file)
    ):
        return file, screen, None
    if screen in BINARY and sys.stdout.isatty():
        raise UserError(
            f"-f {screen} is for a pipe: add -o -, or write a file with -o out.{screen}"
        )
    if file is not None:
        return file, _format_of_output(file), screen
    return None, None, screen or "table"


def _format_of_output(file: str) -> str:
    try:
        return format_of(file)
    except UserError as error:
        further = "  -f csv, json, ... sets the format of any other."
        raise error.adding(further) from None


def _refuse_untidy(outputs: Outputs) -> None:
    if not {*BY_STEP} & {*outputs.written}:
        raise UserError(
            "--tidy is for csv, tsv and jsonl: -f csv --tidy, or -o out.csv --tidy"
        )
    for name in outputs.only or ():
        if name.rpartition(".")[2] == "z":
            raise UserError(
                "--only z: --tidy writes a row for each unit, of which z has four numbers, "
                "one for each gate; leave out --tidy or z."
            )


def _columns(outputs: Outputs, digits: int | None) -> tuple[str, ...]:
    if outputs.screen != "table":
        if {*outputs.written} <= {*BINARY} and digits is not None:
            raise UserError(
                "--digits is for tables and text; .npz and .npy have every digit."
            )
        return DEFAULT_KEEP
    columns = outputs.only or []
    if outputs.file is not None:  # which may have further members
        columns = [name for name in columns if name not in OF_STATE]
    return members_for("table", columns)


# ---- runs


def _run(run: Run, threads: int | None, scheduler: str | None) -> Ended:
    batch, steps, cells = run.job.sizes
    unit = ("steps", batch * cells)
    if batch > steps:
        unit = ("sequences", steps * cells)
    quiet = screen().quiet or screen().is_paged or bool(run.engine)
    with (
        executor_for(
            run.job,
            threads,
            scheduler,
            remark,
            in_order=run.streams or bool(run.engine),
        ) as executor,
        ProgressBar(batch * steps * cells, unit, quiet=quiet) as bar,
        metered(bar) as meter,
    ):
        how: dict[str, Any] = {"executor": executor, "meter": meter}
        if run.outputs.screen != "table":
            return run.write(standard_output, remark, stopped_by_signals, **how)
        from lstmcli.cli.run_table import (  # with views that others do without
            show_run,
            show_trace,
        )

        if run.outputs.file is None and not run.engine:
            return show_run(run, how)
        end = run.write(standard_output, remark, stopped_by_signals, **how)
        assert end.trace is not None
        show_trace(run, end.trace)
        return end
