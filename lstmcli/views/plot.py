"""Plots of text: a heat map per quantity, or one unit's quantities as lines over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core.diff.metrics import Position
from lstmcli.core.model.selection import Choice, indices_of
from lstmcli.views.chart import chart
from lstmcli.views.colors import GATE, Scale, around_zero
from lstmcli.views.heatmap import Grain, Panel, beside, drawn, legend, pooled
from lstmcli.views.numbers import format_number
from lstmcli.views.prose import labelled, room_of
from lstmcli.views.sheet import Sheet

Array = npt.NDArray[Any]

GUTTER = 6  # room for the numbers of units
LINES = 8  # of each of many panels
FEW, MORE_LINES = 2, 16  # of so few panels
LABEL = 10
CHARTS = "ifgoch"  # the order of one unit's lines
DIFFERENCE, GATES = "a - b", "gates"

WORDS = {
    "h": "output", "c": "cell state", "i": "input gate", "f": "forget gate", "g": "candidate",
    "o": "output gate",
    **{f"z_{gate}": f"pre-activation of {gate}" for gate in "ifgo"},
}  # fmt: skip


class Cut(NamedTuple):
    """What part of the arrays to draw, as typed, and how cells are pooled."""

    steps: str | None = None
    units: str | None = None
    row: int = 0
    pool: str = "mean"
    option: str = "--units"  # what ``units`` were given by


class Told(NamedTuple):
    """What a plot says beside its pictures."""

    differs: bool = False  # the numbers are differences, a - b
    first: Position | None = None
    rows: int = 1
    hidden: Sequence[str] = ()  # cells that are not drawn


class Part(NamedTuple):
    """A quantity cut to what is drawn: (T, H) with the numbers of its steps and units."""

    name: str
    values: Array
    steps: Sequence[int]
    units: Sequence[int]
    kind: str  # quantities of one kind share a scale
    marked: tuple[int, int] | None = None

    @property
    def base(self) -> str:
        """``f`` of ``layer0.f``."""
        return self.name.rpartition(".")[2]

    @property
    def words(self) -> str:
        """What the quantity is called."""
        return WORDS.get(self.base, "")


def parts(arrays: Mapping[str, Array], cut: Cut, told: Told) -> list[Part]:
    """What is drawn of the arrays (T, B, H).

    Raises
    ------
    UserError
        for steps, units or a row that are not there.
    """
    width = max(array.shape[2] for array in arrays.values())
    units = indices_of(Choice.parse(cut.units, cut.option, "unit"), width)
    made = [_part(name, array, units, cut, told) for name, array in arrays.items()]
    return [part for part in made if part is not None]


def _part(name: str, array: Array, wanted: Sequence[int], cut: Cut, told: Told) -> Part | None:
    """One array cut out; None where it has none of the units, as h of a projection may."""
    length, rows, width = array.shape
    steps = indices_of(Choice.parse(cut.steps, "--steps", "step"), length)
    units = [unit for unit in wanted if unit < width]
    (row,) = indices_of(Choice.parse(str(cut.row), "--batch", "batch item"), rows)
    if not units:
        return None
    values = array[:, row].astype(np.float64)  # (T, H)
    values = values if cut.steps is None else values[list(steps)]
    values = values if cut.units is None else values[:, units]
    part = Part(name, values, steps, units, _kind(name, values, told.differs))
    first = told.first
    if first is None or first.step not in steps or first.unit not in units:
        return part
    if (first.array, first.batch) != (name, row):
        return part
    return part._replace(marked=(steps.index(first.step), units.index(first.unit)))


def _kind(name: str, values: Array, differs: bool) -> str:
    """What shares a scale: gates of 0 to 1; h and g; c; pre-activations; all differences."""
    base = name.rpartition(".")[2]
    if differs:
        return DIFFERENCE
    if base in ("i", "f", "o"):
        inside = ((values >= 0) & (values <= 1)) | np.isnan(values)
        return GATES if bool(inside.all()) else "i f o"  # relu gates go anywhere
    return "z" if base.startswith("z") else "h g" if base in ("h", "g") else base


def scales(own: Sequence[Part], shown: Sequence[Array]) -> dict[str, Scale]:
    """The scale of each kind of part, from what is shown of each."""
    kinds = dict.fromkeys(part.kind for part in own)
    return {
        kind: GATE
        if kind == GATES
        else around_zero(a for part, a in zip(own, shown, strict=True) if part.kind == kind)
        for kind in kinds
    }


# ---- heat maps


def heat_sheet(
    arrays: Mapping[str, Array], cut: Cut, told: Told, *, width: int | None, depth: str
) -> Sheet:
    """A heat map per quantity, what its colours stand for, and how cells are pooled."""
    own = parts(arrays, cut, told)
    room, lines = room_of(width) - GUTTER, MORE_LINES if len(own) <= FEW else LINES
    grains = [Grain.of(part.values.shape, room, lines, depth) for part in own]
    cells = [pooled(part.values, grain, cut.pool) for part, grain in zip(own, grains, strict=True)]
    kinds = scales(own, cells)
    panels = [
        Panel(p.name, p.words, c, grain, p.steps, p.units, kinds[p.kind], p.marked)
        for p, grain, c in zip(own, grains, cells, strict=True)
    ]
    sheet = Sheet()
    sheet.lines.extend(beside([drawn(panel, depth) for panel in panels], room_of(width)))
    sheet.add()
    for kind, scale in kinds.items():
        bases = " ".join(dict.fromkeys(part.base for part in own if part.kind == kind))
        sheet.lines.append(legend(f"{kind if told.differs else bases:{LABEL - 2}}", scale, depth))
    if text := "; ".join(_pooled(g, cut.pool) for g in dict.fromkeys(grains) if g.pooled):
        sheet.extend(labelled("pooled", text, width, indent=LABEL))
    return sheet


def _pooled(grain: Grain, how: str) -> str:
    """``a cell is the mean of 13 steps x 8 units``."""
    sizes = [f"{n} {noun}s" for n, noun in ((grain.steps, "step"), (grain.units, "unit")) if n > 1]
    other = "--pool extreme shows the farthest from 0" if how == "mean" else "--pool mean"
    what = "the mean of" if how == "mean" else "the farthest from 0 of"
    return f"a cell is {what} {' x '.join(sizes)} ({other}; --steps, --units show a part)"


# ---- lines


def lines_sheet(
    arrays: Mapping[str, Array], cut: Cut, told: Told, *, width: int | None, depth: str
) -> Sheet:
    """One unit: a chart per quantity, steps across.

    ``cut.units`` is the unit.
    """
    sheet = Sheet()
    colors = depth != "none"
    own = sorted(parts(arrays, cut, told), key=lambda part: CHARTS.find(part.base))
    kinds = scales(own, [part.values for part in own])
    for n, part in enumerate(own):
        if n:
            sheet.add()
        title = f"{part.name}[{part.units[0]}]"
        sheet.add((" " * GUTTER, ""), (title, "bold"), (f"  {part.words}", "dim"))
        marked = part.marked[0] if part.marked else None
        sheet.lines.extend(
            chart(
                part.values[:, 0],
                part.steps,
                kinds[part.kind],
                room_of(width),
                marked,
                colors,
            )
        )
    return sheet


# ---- words


def sources_sheet(sources: Sequence[str], arrays: Mapping[str, Array], width: int | None) -> Sheet:
    """The files, and the sizes of what is drawn."""
    steps, rows, units = (max(n) for n in zip(*(a.shape for a in arrays.values()), strict=True))
    sizes = f"{rows} row{'s' * (rows != 1)} x {steps} steps x {units} units"
    sheet = Sheet()
    labels = ("a", "b") if len(sources) == 2 else ("trace",)
    for label, source in zip(labels, sources, strict=True):
        sheet.extend(labelled(label, source, width, indent=LABEL))
    sheet.extend(labelled("sizes", sizes, width, indent=LABEL))
    sheet.add()
    return sheet


def closing_sheet(told: Told, cut: Cut, note: str, width: int | None) -> Sheet:
    """Where two results part, which row is drawn, and what to type next."""
    sheet = Sheet()
    if told.differs:
        sheet.extend(labelled("first", _first(told.first, told.rows), width, indent=LABEL))
    if told.rows > 1:
        text = f"row {cut.row} of {told.rows}: --batch shows another"
        sheet.extend(labelled("batch", text, width, indent=LABEL))
    if told.hidden:
        text = f"{', '.join(told.hidden)}: --array {told.hidden[0]} shows its gates"
        sheet.extend(labelled("cells", text, width, indent=LABEL))
    if note:
        sheet.extend(labelled("next", note, width, indent=LABEL))
    return sheet


def _first(first: Position | None, rows: int) -> str:
    """Where two results part, in the words of diff."""
    if first is None:
        return "no divergence: every number agrees within the tolerance of its dtype"
    places = [("step", first.step), ("batch", first.batch if rows > 1 else None)]
    where = [f"{word} {n}" for word, n in [*places, ("unit", first.unit)] if n is not None]
    values = f"{format_number(first.a, 8)} / {format_number(first.b, 8)}"
    return f"{first.array} differs at {', '.join(where)}:   {values}"
