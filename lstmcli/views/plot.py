"""Plots in text: a heat map of each quantity, or the quantities of one unit as lines over steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lstmcli.core.diff.pair import Position
from lstmcli.core.forward.saturation import Saturation
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import (
    Choice,
    Indices,
    format_indices,
    format_number,
    indices_of,
    numbers_on_axis,
)
from lstmcli.views.chart import chart
from lstmcli.views.colors import GATE, Scale, around_zero
from lstmcli.views.header import header_sheet
from lstmcli.views.heatmap import Pooling, Quantity, in_rows, legend, panel_lines, pooled
from lstmcli.views.saturation import saturation_sheet
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    DIFFERS,
    INDENT,
    Sheet,
    Width,
    verdict,
)
from lstmcli.views.text import count

if TYPE_CHECKING:
    from lstmcli.api.plot import Drawable

GUTTER = 6  # columns for the numbers of units
LINES = 8  # of each panel
TALL_PANELS, TALL_LINES = 2, 16  # at most this many panels have these lines
CHARTS = "hcifgo"  # the order of the lines of one unit
DIFFERENCE, GATES = "a - b", "gates"
SINGLE = re.compile(r"\s*-?\d{1,18}\s*")


class PlotWindow(NamedTuple):
    """The part of the arrays to draw, as typed, and how its cells are pooled."""

    steps: str | None = None
    units: str | None = None
    item: int = 0  # of the batch
    pool: str = "mean"

    @property
    def is_single(self) -> bool:
        """Return whether it is a single unit, which is drawn as lines."""
        return self.units is not None and SINGLE.fullmatch(self.units) is not None


class Annotations(NamedTuple):
    """The texts of a plot, in addition to its pictures."""

    differs: bool = False  # the numbers are differences, a - b
    first: Position | None = None  # the first difference
    batch: int = 1  # size
    hidden: Sequence[str] = ()  # cells that are not drawn
    numbering: Mapping[str, tuple[Indices | None, Indices | None]] = {}  # of steps, batch items

    @classmethod
    def of(cls, found: Drawable) -> Annotations:
        """The notes on what is drawn."""
        return cls(found.differs, found.first, found.batch, found.hidden, found.numbering)

    def numbers_of(self, name: str) -> tuple[Indices | None, Indices | None]:
        """The numbers of the steps and batch items of an array in the full run, None: all.

        ``z_f`` has those of z.
        """
        return (
            self.numbering.get(name) or self.numbering.get(name.rpartition("_")[0]) or (None, None)
        )


def quantities(
    arrays: Mapping[str, Array], window: PlotWindow, notes: Annotations
) -> list[Quantity]:
    """The window on each of the arrays (T, B, H).

    Arrays without any of the units are left out, as h of a projection may be.
    """
    most = max(array.shape[2] for array in arrays.values())
    chosen = indices_of(Choice.parse(window.units, "units", "unit"), most)
    return [
        _quantity(name, array, units, window, notes)
        for name, array in arrays.items()
        if (units := [unit for unit in chosen if unit < array.shape[2]])
    ]


def _quantity(
    name: str, array: Array, units: Sequence[int], window: PlotWindow, notes: Annotations
) -> Quantity:
    length, batch, _ = array.shape
    of_steps, of_batch = notes.numbers_of(name)
    choice = Choice.parse(window.steps, "steps", "step")
    steps, places = numbers_on_axis(choice, length, of_steps, name)
    choice = Choice("batch", "batch item", str(window.item), None, (window.item,))
    (item,), (place,) = numbers_on_axis(choice, batch, of_batch, name)
    values = array[:, place].astype(np.float64)  # (T, H)
    values = values if window.steps is None else values[list(places)]
    values = values if window.units is None else values[:, units]
    quantity = Quantity(name, values, steps, units, _kind(name, values, notes.differs))
    first = notes.first
    if first is None or first.step not in steps or first.unit not in units:
        return quantity
    if (first.array, first.batch) != (name, item):
        return quantity
    return quantity._replace(marked=(steps.index(first.step), units.index(first.unit)))


def _kind(name: str, values: Array, differs: bool) -> str:
    base = name.rpartition(".")[2]
    if differs:
        return DIFFERENCE
    if base in ("i", "f", "o"):
        inside = ((values >= 0) & (values <= 1)) | np.isnan(values)
        return GATES if bool(inside.all()) else "i f o"  # relu gates are not bounded
    return "z" if base.startswith("z") else base


def scales(drawn: Sequence[Quantity], shown: Sequence[Array]) -> dict[str, Scale]:
    """The scale of each kind of quantity, from the numbers shown of each."""
    by_kind: dict[str, list[Array]] = {}
    for quantity, array in zip(drawn, shown, strict=True):
        by_kind.setdefault(quantity.kind, []).append(array)
    return {k: GATE if k == GATES else around_zero(values) for k, values in by_kind.items()}


# ---- heat maps


def heat_sheet(
    arrays: Mapping[str, Array], window: PlotWindow, notes: Annotations, *, width: Width, depth: str
) -> Sheet:
    """A heat map of each quantity, a legend of the colours, and how cells are pooled."""
    drawn = quantities(arrays, window, notes)
    lines = TALL_LINES if len(drawn) <= TALL_PANELS else LINES
    poolings = [Pooling.to_fit(q.values.shape, width.text - GUTTER, lines, depth) for q in drawn]
    cells = [pooled(q.values, p, window.pool) for q, p in zip(drawn, poolings, strict=True)]
    of_kind = scales(drawn, cells)
    panels = [
        panel_lines(q, c, pooling, of_kind[q.kind], depth)
        for q, c, pooling in zip(drawn, cells, poolings, strict=True)
    ]
    sheet = Sheet(in_rows(panels, width.text))
    sheet.add()
    least = max(len(f"{scale.low:g}") for scale in of_kind.values())
    for kind, scale in of_kind.items():
        bases = " ".join(dict.fromkeys(q.base for q in drawn if q.kind == kind))
        name = kind if notes.differs else f"{bases:{INDENT - 2}}"
        sheet.lines.append(legend(name, scale, depth, least))
    used = [pooling for pooling in dict.fromkeys(poolings) if pooling.is_needed]
    if used:
        other = "mean" if window.pool == "extreme" else "extreme shows the farthest from 0"
        parts = f" (--pool {other}; --steps, --units show a part)"
        text = "; ".join(pooled_words(pooling, window.pool) + parts for pooling in used)
        sheet.label("pooled", text, width)
    return sheet


def pooled_words(pooling: Pooling, kind: str) -> str:
    """``a cell is the mean of 13 steps x 8 units``."""
    axes = ((pooling.steps, "step"), (pooling.units, "unit"))
    sizes = " x ".join(count(n, noun) for n, noun in axes if n > 1)
    return f"a cell is {'the farthest from 0' if kind == 'extreme' else 'the mean'} of {sizes}"


# ---- lines


def lines_sheet(
    arrays: Mapping[str, Array], window: PlotWindow, notes: Annotations, *, width: Width
) -> Sheet:
    """A chart of each quantity of one unit, ``window.units``, over the steps."""
    sheet = Sheet()
    drawn = sorted(quantities(arrays, window, notes), key=lambda q: CHARTS.find(q.base))
    of_kind = scales(drawn, [q.values for q in drawn])
    for n, q in enumerate(drawn):
        if n:
            sheet.add()
        difference = f"   {DIFFERENCE}" * (q.kind == DIFFERENCE)
        title = (f"{q.name}[{q.units[0]}]", "bold")
        sheet.add((" " * GUTTER, ""), title, f"  {q.words}{difference}")
        marked = q.marked[0] if q.marked else None
        sheet.extend(chart(q.values[:, 0], q.steps, of_kind[q.kind], width.text, marked))
    return sheet


# ---- the screen


def plot_sheets(
    found: Drawable, window: PlotWindow, command: str, width: Width, depth: str, *, quiet: bool
) -> list[Sheet]:
    """How files were read, the pictures, saturated units, and what to type next."""
    notes = Annotations.of(found)
    if window.is_single:
        picture = lines_sheet(found.drawn, window, notes, width=width)
    else:
        picture = heat_sheet(found.drawn, window, notes, width=width, depth=depth)
    header = read_sheet(found, width, quiet=quiet)
    closing = closing_sheet(notes, window, command, width)
    if found.differs:
        return [difference_verdict(notes, width), header, picture, closing]
    return [header, picture, *saturation_sheets(found, notes, window, width), closing]


def read_sheet(found: Drawable, width: Width, *, quiet: bool) -> Sheet:
    """How files were read."""
    if found.plan is not None:
        return header_sheet(found.plan, width, quiet=quiet)
    remarks = () if quiet else found.remarks
    return sources_sheet(found.sources, found.arrays, remarks, width)


def saturation_sheets(
    found: Drawable, notes: Annotations, window: PlotWindow, width: Width
) -> Iterator[Sheet]:
    """The saturated gates of the steps and item that are drawn, for each cell.

    A difference has none.
    """
    if found.differs:
        return
    window = window._replace(units=None)
    for cell in found.cells or [""]:
        of_cell = {k: a for k, a in found.arrays.items() if k.rpartition(".")[0] == cell}
        counts = Saturation()
        counts.add({q.base: q.values[:, None] for q in quantities(of_cell, window, notes)})
        if counts.saturated_gates() and cell:
            yield Sheet().label("cell", cell, width)
        yield saturation_sheet(counts, range(found.units), width, shares=False)


# ---- the lines above and below the pictures


def sources_sheet(
    sources: Sequence[str], arrays: Mapping[str, Array], remarks: Sequence[str], width: Width
) -> Sheet:
    """The files, the sizes of what is drawn, and how arrays were taken."""
    steps, batch, units = (max(n) for n in zip(*(a.shape for a in arrays.values()), strict=True))
    sizes = f"batch {batch} x {count(steps, 'step')} x {count(units, 'unit')}"
    labels = ("a", "b") if len(sources) == 2 else ("trace",)
    sheet = Sheet()
    for label, text in zip((*labels, "sizes"), (*sources, sizes), strict=True):
        sheet.label(label, text, width)
    sheet.labels("assumed", remarks, width, ASSUMED)
    sheet.add()
    return sheet


def closing_sheet(notes: Annotations, window: PlotWindow, command: str, width: Width) -> Sheet:
    """Which batch item is drawn, and what to type next."""
    first = "the first difference" * (notes.first is not None)
    texts = {"▼ ▶": first, "batch": "", "cells": "", "next": "" if notes.differs else command}
    if notes.batch > 1:
        known = next((items for _, items in notes.numbering.values() if items is not None), ())
        is_part = len(known) == notes.batch  # of a run, in a file
        item = window.item if is_part else window.item % notes.batch
        there = f"items {format_indices(known)}" if is_part else f"{notes.batch}"
        texts["batch"] = f"item {item} of {there}; --batch draws another"
    if notes.hidden:
        names = ", ".join(notes.hidden)
        texts["cells"] = f"{names}: --cell {notes.hidden[0]} shows its gates"
    sheet = Sheet()
    for label, text in texts.items():
        sheet.label(label, text, width)
    if notes.differs:
        sheet.command("next", command)
    return sheet


def difference_verdict(notes: Annotations, width: Width) -> Sheet:
    """Return whether two results differ, and where first."""
    first = notes.first
    if first is None:
        text, color = "equal: all values agree within the tolerance of their dtype", AGREES
    else:
        where = first.words(batch=notes.batch > 1)
        values = f"a {format_number(first.a, 8)}, b {format_number(first.b, 8)}"
        text, color = f"{first.array} differs, first at {where}: {values}", DIFFERS
    sheet = verdict(text, color, width)
    sheet.add()
    return sheet
