"""The command ``lstm plot``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from lstmcli.api.plot import Selection, plot
from lstmcli.api.save import suffix_of, write_file
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    cell_option,
    edit_option,
    keywords,
    listed_names,
    only_option,
    option,
    page_option,
    paths_argument,
    run_options,
    settings_from,
    typed_options,
)
from lstmcli.cli.terminal import (
    command_line,
    remark,
    screen,
    show,
    tell_assumed,
    width,
)
from lstmcli.core.model.settings import without_option
from lstmcli.core.model.shell import as_options
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.figure import SUFFIXES, figure_of
from lstmcli.views.page import MOST_NUMBERS, plot_page
from lstmcli.views.plot import plot_sheets


@click.command(cls=Command)
@paths_argument("path", "TRACE | A B | WEIGHTS... INPUTS")
@only_option(
    "Arrays to draw: h, c, i, f, g, o, z, y.", "h and the gates; of several cells, h"
)
@cell_option("Draw one")
@option("--steps", "A:B", "Steps to draw.", "all")
@option("--units", "A:B|N", "Units to draw; of a single one a row per array.", "all")
@option("--batch", "N", "The sequence of the batch to draw.", "0", type=int)
@click.option(
    "--pool",
    type=click.Choice(["mean", "extreme"]),
    default="mean",
    help="Pooling of values: their mean, or the one farthest from 0.",
)
@option("-o --output", "FILE", "A figure: .png, .svg, .pdf (extra: plot).")
@page_option("Write an interactive page, .html, instead.")
@run_options
@edit_option
def command(
    path: tuple[str, ...],
    only: str | None,
    cell: str | None,
    steps: str | None,
    units: str | None,
    batch: int | None,
    pool: str,
    output: str | None,
    page: str | None,
    **options: Any,
) -> None:
    """Draw h, c and gates over steps and units, or the difference of two results.

    \b
    lstm plot demo/weights.npz demo/inputs.npy
    lstm plot demo/tensorflow.txt demo/numpy.txt

    TRACE is whatever run writes; of two results A and B the difference A - B is drawn, with a mark
    at the first difference; WEIGHTS... INPUTS are as for run. Steps go across, units down.

    --page writes an interactive page: heat maps of all arrays and batch items, with the value
    under the pointer, and lines of a unit over the steps.
    """
    suffix = ""
    if output is not None:
        suffix = suffix_of(output, SUFFIXES)
    numbers = None
    if page is not None:
        numbers = MOST_NUMBERS
    found = plot(
        path,
        only=listed_names(only, "--only"),
        cell=cell,
        selection=Selection.parse(steps, None, units),
        batch=batch,
        numbers=numbers,
        **keywords(options),
    )
    if found.plan is not None:
        remark(*found.plan.model.remarks)
    remark(*found.cuts)
    if page is not None:
        shown = found
        if only is None and cell is None:
            shown = found._replace(drawn=found.arrays)
        chosen = {"steps": steps, "units": units, "batch": batch}
        typed = _typed(chosen, pool, options)
        commands = _commands_of(path, found.differs, typed)
        text = plot_page(shown, pool, command_line(), commands, only or "")
        write_file(page, text.encode())
    if output is not None:
        write_file(output, figure_of(found, pool, suffix))
    if page is None and output is None:
        command = _command_below(path, found.differs, options)
        show(plot_sheets(found, pool, command, width(), screen().depth))
    elif found.plan is not None:
        tell_assumed(without_option(found.plan.model.assumed))


def _typed(
    chosen: Mapping[str, Any], pool: str, options: Mapping[str, Any]
) -> list[str]:
    """The options that choose what is drawn, as words of a command."""
    typed = as_options({name: it for name, it in chosen.items() if it is not None})
    typed.extend(typed_options(options))
    if pool != "mean":
        typed.extend(["--pool", pool])
    return typed


def _commands_of(paths: Sequence[str], differs: bool, typed: list[str]) -> list[str]:
    """The commands that draw each map of a page: of a difference, each side before it."""
    sides = [paths]
    if differs:
        sides = [[path] for path in paths] + [paths]
    commands = []
    for side in sides:
        files = map(file_argument, side)
        commands.append(typed_command("lstm", "plot", *files, *typed))
    return commands


def _command_below(
    paths: Sequence[str], differs: bool, options: Mapping[str, Any]
) -> str:
    """The command or options that stand below the drawing."""
    if not differs:
        return "--page plot.html draws lines of a unit too; -o plot.png a figure"
    files = map(file_argument, paths)
    return typed_command("lstm", "diff", *files, *as_options(settings_from(options)))
