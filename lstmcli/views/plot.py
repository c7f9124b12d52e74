"""Plots in text: a heat map of each quantity, or of one unit with a row for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lstmcli.core.forward.saturation import Saturation
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.part import Indices, below, format_indices, take
from lstmcli.core.model.selection import (
    Choice,
    format_number,
    indices_of,
    numbers_on_axis,
)
from lstmcli.views.colors import GATE, Scale, around_zero
from lstmcli.views.header import header_sheet
from lstmcli.views.heatmap import (
    Pooling,
    Quantity,
    in_rows,
    legend,
    panel_lines,
    pooled,
    unit_gutter,
    unit_lines,
)
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
DIFFERENCE, GATES = "a - b", "gates"


def is_single(found: Drawable) -> bool:
    """Return whether it is a single unit, which has a row for each array."""
    units = found.selection.units
    return units is not None and len(units.numbers) == 1


def quantities(found: Drawable) -> list[Quantity]:
    """The selected part of each of the drawn arrays (T, B, H).

    Arrays without any of the units, such as h of a projection, are left out.
    """
    most = max(array.shape[2] for array in found.drawn.values())
    chosen = indices_of(found.selection.units, most)
    drawn = []
    for name, array in found.drawn.items():
        units = below(chosen, array.shape[2])
        if units:
            drawn.append(_quantity(name, array, units, found))
    return drawn


@np.errstate(over="ignore")  # a long double may be beyond float64
def _quantity(name: str, array: Array, units: Indices, found: Drawable) -> Quantity:
    length, batch, _ = array.shape
    part, choice = found.part_of(name), found.selection.steps
    steps, places = numbers_on_axis(choice, length, part.steps, name)
    choice = Choice.single("batch", "batch item", found.item)
    (item,), (place,) = numbers_on_axis(choice, batch, part.batch, name)
    of_item = array[:, place].astype(np.float64)  # (T, H)
    values = take(take(of_item, places, 0), units, 1)
    quantity = Quantity(name, values, steps, units, _kind(name, values, found.differs))
    first = found.first
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
        if inside.all():
            return GATES
        return "i f o"  # relu gates are not bounded
    if base.startswith("z"):
        return "z"
    return base


def scales(drawn: Sequence[Quantity], shown: Sequence[Array]) -> dict[str, Scale]:
    """The scale of each kind of quantity, from the numbers shown of each."""
    by_kind: dict[str, list[Array]] = {}
    for quantity, array in zip(drawn, shown, strict=True):
        by_kind.setdefault(quantity.kind, []).append(array)
    found = {kind: around_zero(values) for kind, values in by_kind.items()}
    if GATES in found:
        found[GATES] = GATE
    return found


# ---- heat maps


def heat_sheet(found: Drawable, pool: str, width: Width, depth: str) -> Sheet:
    """A heat map of each quantity, a legend of the colours, and how cells are pooled."""
    drawn = quantities(found)
    lines, columns = LINES, width.text - GUTTER
    if len(drawn) <= TALL_PANELS:
        lines = TALL_LINES
    if is_single(found):
        columns = width.text - unit_gutter(drawn)
    poolings = [Pooling.to_fit(q.values.shape, columns, lines, depth) for q in drawn]
    cells = [pooled(q.values, p, pool) for q, p in zip(drawn, poolings, strict=True)]
    of_kind = scales(drawn, cells)
    if is_single(found):
        panels = [unit_lines(drawn, cells, poolings, of_kind, depth)]
    else:
        panels = []
        for quantity, shown, pooling in zip(drawn, cells, poolings, strict=True):
            scale = of_kind[quantity.kind]
            panels.append(panel_lines(quantity, shown, pooling, scale, depth))
    sheet = Sheet(width, in_rows(panels, width.text))
    sheet.add()
    least = max(len(f"{scale.low:g}") for scale in of_kind.values())
    for kind, scale in of_kind.items():
        name = kind
        if not found.differs:
            bases = dict.fromkeys(q.base for q in drawn if q.kind == kind)
            name = " ".join(bases).ljust(INDENT - 2)
        sheet.lines.append(legend(name, scale, depth, least))
    used = [pooling for pooling in dict.fromkeys(poolings) if pooling.is_needed]
    if used:
        sheet.label("pooled", "; ".join(_pooled(pooling, pool) for pooling in used))
    return sheet


def _pooled(pooling: Pooling, kind: str) -> str:
    """How cells are pooled, and the options that do it otherwise."""
    other = "extreme shows the farthest from 0"
    if kind == "extreme":
        other = "mean"
    words = pooled_words(pooling, kind)
    return f"{words} (--pool {other}; --steps, --units show a part)"


def pooled_words(pooling: Pooling, kind: str) -> str:
    """``a cell is the mean of 13 steps x 8 units``."""
    axes = ((pooling.steps, "step"), (pooling.units, "unit"))
    sizes = " x ".join(count(n, noun) for n, noun in axes if n > 1)
    if kind == "extreme":
        return f"a cell is the farthest from 0 of {sizes}"
    return f"a cell is the mean of {sizes}"


# ---- the screen


def plot_sheets(
    found: Drawable, pool: str, command: str, width: Width, depth: str
) -> list[Sheet]:
    """The files, the pictures, saturated units, and what to type next."""
    sheets = list(reading_sheets(found, width))
    sheets.append(heat_sheet(found, pool, width, depth))
    sheets.extend(saturation_sheets(found, width))
    sheets.append(_closing(found, command, width))
    return sheets


def reading_sheets(found: Drawable, width: Width) -> Iterator[Sheet]:
    """The verdict on two results, and how the files were read."""
    if found.differs:
        yield _difference_verdict(found, width)
    if found.plan is not None:
        yield header_sheet(found.plan, width)
        return
    shapes = [array.shape for array in found.arrays.values()]
    steps, batch, _ = map(max, zip(*shapes, strict=True))
    sizes = f"batch {batch} x {count(steps, 'step')} x {count(found.units, 'unit')}"
    labels = ["trace"]
    if found.differs:
        labels = ["a", "b"]
    sheet = Sheet(width)
    for label, source in zip(labels, found.sources, strict=True):
        sheet.label(label, source)
    sheet.label("sizes", sizes)
    if not width.quiet:
        sheet.labels("assumed", found.remarks, ASSUMED)
    sheet.add()
    yield sheet


def saturation_sheets(found: Drawable, width: Width) -> Iterator[Sheet]:
    """The saturated gates of the steps and item that are drawn, for each cell.

    A difference has none.
    """
    if found.differs:
        return
    found = found._replace(selection=found.selection._replace(units=None))
    for cell in found.cells or [""]:
        of_cell = {
            k: a for k, a in found.arrays.items() if k.rpartition(".")[0] == cell
        }
        counts, drawn = Saturation(), quantities(found._replace(drawn=of_cell))
        counts.add({quantity.base: quantity.values[:, None] for quantity in drawn})
        if counts.saturated_gates() and cell:
            yield Sheet(width).label("cell", cell)
        yield saturation_sheet(counts, range(found.units), width, shares=False)


def _closing(found: Drawable, command: str, width: Width) -> Sheet:
    sheet = Sheet(width)
    if found.first is not None:
        sheet.label("▼ ▶", "the first difference")
    if found.batch > 1:
        sheet.label("batch", f"item {_item(found)}; --batch draws another")
    if found.hidden:
        names = ", ".join(found.hidden)
        sheet.label("cells", f"{names}: --cell {found.hidden[0]} shows its gates")
    if found.differs:
        sheet.command("next", command)
    else:
        sheet.label("next", command)
    return sheet


def _item(found: Drawable) -> str:
    """Which item of the batch is drawn, of how many."""
    known = found.known_items or ()
    if len(known) == found.batch:  # a part of a run, in a file
        return f"{found.item} of items {format_indices(known)}"
    return f"{found.item % found.batch} of {found.batch}"


def _difference_verdict(found: Drawable, width: Width) -> Sheet:
    first = found.first
    if first is None:
        text, color = (
            "equal: all values agree within the tolerance of their dtype",
            AGREES,
        )
    else:
        where = first.words(batch=found.batch > 1)
        values = f"a {format_number(first.a, 8)}, b {format_number(first.b, 8)}"
        text, color = f"{first.array} differs, first at {where}: {values}", DIFFERS
    sheet = verdict(text, color, width)
    sheet.add()
    return sheet
