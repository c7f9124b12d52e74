"""``lstm plot``: read, draw in the terminal or to a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from lstmcli import formats
from lstmcli.api.plot import Drawable, read_drawable
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    cell_option,
    input_files,
    input_options,
    listed_names,
    only_option,
    paths_argument,
    setting_options,
    settings_from,
)
from lstmcli.cli.terminal import (
    is_typed,
    remark,
    screen,
    show,
    standard_input,
    tell_assumed,
    width,
)
from lstmcli.core.forward.saturation import Saturation
from lstmcli.core.model.selection import Selection
from lstmcli.core.model.shell import as_options
from lstmcli.core.weights.assumptions import without_option
from lstmcli.errors import UserError
from lstmcli.escaping import file_argument, typed_command
from lstmcli.views.figure import SUFFIXES, draw_figure
from lstmcli.views.plot import (
    Annotations,
    PlotWindow,
    closing_sheet,
    heat_sheet,
    lines_sheet,
    sources_sheet,
)
from lstmcli.views.run import header_sheet, saturation_sheet
from lstmcli.views.sheet import Sheet, labelled


@click.command(cls=Command)
@paths_argument("path", "TRACE | A B | WEIGHTS... INPUTS")
@only_option("Arrays to draw: h, c, i, f, g, o, z.", "h and the gates; of several cells, h")
@cell_option("Draw one")
@click.option("--steps", metavar="A:B", show_default="all", help="Steps to draw.")
@click.option(
    "--units",
    metavar="A:B|N",
    show_default="all",
    help="Units to draw; a single one as lines over the steps.",
)
@click.option(
    "--batch", type=int, metavar="N", show_default="0", help="The sequence of the batch to draw."
)
@click.option("--pool", type=click.Choice(["mean", "extreme"]), default="mean",
              help="Pooling of many numbers: the mean, or the one farthest from 0.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="A figure: .png, .svg, .pdf (extra: plot).")
@input_options
@setting_options
def command(
    path: tuple[str, ...], only: str | None, cell: str | None, steps: str | None,
    units: str | None, batch: int | None, pool: str, output: str | None, **options: Any,
) -> None:  # fmt: skip
    """Draw h, c and gates over steps and units, or the difference of two results.

    \b
    lstm plot demo/weights.npz demo/inputs.npy
    lstm plot demo/tensorflow.txt demo/numpy.txt

    TRACE is whatever run writes; A and B are two results, of which the difference A - B is drawn
    and the first difference marked; WEIGHTS... INPUTS are as for run. Steps go across, units down.

    Exit status: 0 drawn, 2 error.
    """
    single = units is not None and re.fullmatch(r"\s*-?\d{1,18}\s*", units) is not None
    if single and is_typed(click.get_current_context(), "pool"):
        raise UserError(f"--pool {pool}: a single unit is drawn number by number; leave it out.")
    suffix = "" if output is None else formats.suffix_of(output, SUFFIXES)
    names = listed_names(only, "--only")
    settings = settings_from(options)
    files = input_files(options)
    selection = Selection.parse(steps, None, units)
    found = read_drawable(
        path, settings, standard_input(), names, batch or 0, files, selection.steps
    )
    if found.plan is not None:
        remark(*found.plan.model.remarks)
    first = found.first.batch if found.first else None  # the sequence where results first differ
    items = next((items for _, items in found.numbering.values() if items is not None), None)
    item = batch if batch is not None else first or (0 if items is None else items[0])
    steps = steps if found.plan is None else None  # of a run there are only these
    window = PlotWindow(steps, units, item, pool)
    arrays = found.chosen(names, cell)
    hidden = found.cells if names is None and cell is None and "h" in found.arrays else []
    notes = Annotations(found.differs, found.first, found.batch, hidden, found.numbering)
    remark(*selection.cuts(found.sizes))
    if output is not None:
        with formats.atomically(output) as stream:
            draw_figure(stream, suffix, arrays, window, notes, single)
        tell_assumed([] if found.plan is None else without_option(found.plan.model.assumed))
        return
    draw = lines_sheet if single else heat_sheet
    picture = draw(arrays, window, notes, width=width(), depth=screen().depth)
    closing = closing_sheet(notes, window, _next(found, single, path, settings), width())
    show([*_header(found), picture, *_saturation(found, notes, window), closing])


def _header(found: Drawable) -> list[Sheet]:
    """How files were read: of a run as run says it, else each file with its arrays."""
    if found.plan is None:
        remarks = () if screen().quiet else found.remarks
        return [sources_sheet(found.sources, found.arrays, remarks, width())]
    return [header_sheet(found.plan, width(), quiet=screen().quiet)]


def _next(found: Drawable, single: bool, paths: Sequence[str], settings: Mapping[str, Any]) -> str:
    """What to type next."""
    if found.differs:
        files = map(file_argument, paths)
        return typed_command("lstm", "diff", *files, *as_options(settings))
    return "" if single else "--units 0 draws one unit as lines; -o plot.png a figure"


def _saturation(found: Drawable, notes: Annotations, window: PlotWindow) -> Iterator[Sheet]:
    """The saturated gates and dead units of the steps and item that are drawn, for each cell."""
    if found.differs:
        return
    for cell in found.cells or [""]:
        prefix = f"{cell}." * bool(cell)
        of_cell = {
            k[len(prefix) :]: a[list(notes.steps_of(k, window.steps, len(a))[1])][
                :, [notes.sequence_of(k, window.item, a.shape[1])[1]]
            ]
            for k, a in found.arrays.items()
            if k.startswith(prefix)
        }
        counts = Saturation()
        counts.add(of_cell)
        if counts.anything and cell:
            yield labelled("cell", cell, width())
        yield saturation_sheet(counts, range(found.units), width(), shares=False)
