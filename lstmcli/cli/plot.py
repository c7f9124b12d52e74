"""The command ``lstm plot``."""

from __future__ import annotations

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
    selection = Selection.parse(steps, None, units)
    suffix = "" if output is None else suffix_of(output, SUFFIXES)
    settings = settings_from(options)
    found = plot(
        path,
        only=listed_names(only, "--only"),
        cell=cell,
        selection=selection,
        batch=batch,
        numbers=None if page is None else MOST_NUMBERS,
        **keywords(options),
    )
    remark(*(found.plan.model.remarks if found.plan else ()), *found.cuts)
    if page is not None:
        chosen = {"steps": steps, "units": units, "batch": batch}
        typed = as_options({k: v for k, v in chosen.items() if v is not None})
        typed += [*typed_options(options), *["--pool", pool] * (pool != "mean")]
        sides = [*([[one] for one in path] * found.differs), path]
        commands = [
            typed_command("lstm", "plot", *map(file_argument, s), *typed) for s in sides
        ]
        shown = (
            found._replace(drawn=found.arrays)
            if only is None and cell is None
            else found
        )
        text = plot_page(shown, pool, command_line(), commands, only or "")
        write_file(page, text.encode())
    if output is not None:
        write_file(output, figure_of(found, pool, suffix))
    if page is not None or output is not None:
        tell_assumed(
            [] if found.plan is None else without_option(found.plan.model.assumed)
        )
        return
    command = "--page plot.html draws lines of a unit too; -o plot.png a figure"
    if found.differs:
        command = typed_command(
            "lstm", "diff", *map(file_argument, path), *as_options(settings)
        )
    show(plot_sheets(found, pool, command, width(), screen().depth))
