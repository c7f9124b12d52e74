"""The table of a run: the steps of each cell, and a summary of all its steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.core.forward.excerpt import SUMMARISED, CellSummary, part_of_cell
from lstmcli.core.forward.excerpt import Excerpt as Excerpt
from lstmcli.core.forward.saturation import is_saturated
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.part import Indices, Part, Sizes, take
from lstmcli.core.model.selection import Selection, indices_of, split_z
from lstmcli.core.model.surroundings import Y
from lstmcli.views.saturation import saturation_sheet
from lstmcli.views.sheet import (
    Column,
    Sheet,
    Width,
    fitting_columns,
    fitting_table,
    hidden_columns,
    table,
    total_width,
)
from lstmcli.views.text import NumberFormat, count, percent, phrases

DEFAULT_COLUMNS = SUMMARISED  # of a table, where --only names none
STATE_DIGITS = 8  # of h and c, as NumPy prints them
GATE_DIGITS = 6
SUMMARY_DIGITS = 3
MANY_VALUES = 16  # units x batch items of a step; more are summarised
MANY_LINES, EDGE_LINES = 60, 24  # of a table of units; a longer one shows both ends
MANY_SUMMARIES, EDGE_SUMMARIES = 30, 8  # the same of a table with one row per step
CHUNK = 1000  # steps formatted at a time, in little memory
GAP, NARROW_GAP = 2, 1  # spaces between columns, and where they would not fit
REMEDY = "; use --only or --digits"
SHORTER = 3  # times, where a cell is not the output


def excerpt_sheets(
    excerpt: Excerpt,
    show: Sequence[str],
    selection: Selection,
    width: Width,
    *,
    network: bool = False,
) -> Iterator[Sheet]:
    """The table of some steps of a run, in pieces: the units of each step, or its summary.

    A ``network`` has a table of its output, or of the cell whose h that is,
    then a shorter one for each cell.
    """
    show_output = Y in show
    show = [name for name in show if name != Y]
    cells = [*dict.fromkeys(k.rpartition(".")[0] for k in excerpt.arrays if "." in k)]
    cells = [cell for cell in cells if _shown(show, cell)]
    has_h = "h" in excerpt.arrays and "h" in show
    if show and (has_h or not cells):
        first = next((cell for cell in cells if _gives_output(cell, excerpt, show)), "")
        cells = [first, *(cell for cell in cells if cell != first)]
    ends_blank = True
    hidden: dict[str, int] = {}
    for n, cell in enumerate(cells):
        if network or len(cells) > 1:
            heading = Sheet()
            if n and not ends_blank:
                heading.add()
            is_output = n == 0 and _gives_output(cell, excerpt, show)
            note = "  the last layer: its h is the output" * is_output
            heading.add((cell or "output", "bold"), note)
            yield heading
        of_cell = _shown(show, cell)
        members = {name: f"{cell}.{name}" if cell else name for name in of_cell}
        arrays = {
            k: excerpt.arrays[v] for k, v in members.items() if v in excerpt.arrays
        }
        arrays = split_z(arrays)  # a model has only h
        batch, units = (max(a.shape[axis] for a in arrays.values()) for axis in (1, 2))
        sizes = Sizes(excerpt.of_steps, batch, units)
        part = part_of_cell(sizes, selection, excerpt.units)
        padded = excerpt.padded.get(cell)
        table = CellTable(
            excerpt.steps, arrays, part, selection, n == 0, hidden, padded
        )
        summary = excerpt.summaries.get(cell)
        if summary is None and (selection.steps is None or table.is_summary):
            steps = excerpt.steps if selection.steps is None else part.steps or ()
            chosen, summary = table.at(steps), CellSummary(part)
            summary.add(
                {name: array for name, array in chosen.items() if name in SUMMARISED}
            )
        for sheet in table.sheets(width, summary, is_last=cell == cells[-1]):
            ends_blank = not [*sheet.rows()][-1]
            yield sheet
    if show_output:
        yield from _output_sheets(excerpt, selection, width, is_first=not cells)


def _output_sheets(
    excerpt: Excerpt, selection: Selection, width: Width, *, is_first: bool
) -> Iterator[Sheet]:
    """The table of y: of the steps of the table before, or a row a sequence."""
    heading = Sheet()
    if not is_first:
        heading.add()
    heading.add((Y, "bold"), "  the model's output, of its head")
    yield heading
    if excerpt.final_y is not None:
        yield _final_output(excerpt.final_y, selection, width)
        return
    y = excerpt.arrays[Y]
    sizes = Sizes(excerpt.of_steps, *y.shape[1:])
    part = part_of_cell(sizes, selection, excerpt.units if is_first else None)
    table = CellTable(excerpt.steps, {Y: y}, part, selection, is_first, {})
    yield from table.sheets(width, None, is_last=True)


def _final_output(y: Array, selection: Selection, width: Width) -> Sheet:
    """A row of each sequence of y (B, K)."""
    items = indices_of(selection.batch, len(y))
    shown = items[:MANY_LINES]
    digits = STATE_DIGITS if selection.digits is None else selection.digits
    chosen = take(y, shown, 0)
    format = NumberFormat.of(chosen.ravel().tolist(), digits)
    columns = []
    if len(y) > 1:
        columns.append(Column("batch", [*map(str, shown)], "dim"))
    for n, values in enumerate(chosen.T.tolist()):
        texts = [format.text(value) for value in values]
        columns.append(Column(f"{Y}[{n}]", texts, rank=n))
    sheet = fitting_table(columns, width, rule=True)
    if len(items) > len(shown):
        left = count(len(items) - len(shown), "sequence")
        sheet.label(" ...", f"{left} not shown; --batch {shown[-1] + 1}: shows them")
    return sheet


def _shown(show: Sequence[str], cell: str) -> list[str]:
    """The arrays of a cell, or of "", the output: ``h`` and ``layer0.h`` are its h."""
    names = (name.rpartition(".") for name in show)
    return [*dict.fromkeys(base for prefix, _, base in names if prefix in ("", cell))]


def _gives_output(cell: str, excerpt: Excerpt, show: Sequence[str]) -> bool:
    """Return whether h of a cell is the output; at some steps, others may look alike."""
    of_cells = [name for name in excerpt.arrays if name.endswith(".h")]
    output = excerpt.arrays.get("h")
    if of_cells[-1:] != [f"{cell}.h"] or cell.endswith("_reverse") or output is None:
        return False
    h = excerpt.arrays[f"{cell}.h"]
    return "h" in _shown(show, cell) and np.array_equal(h, output, equal_nan=True)


def steps_shown(parts: Iterable[Part], selection: Selection) -> Indices:
    """The steps that tables of these parts of cells show, ascending."""
    ranges = [steps for part in parts for steps in _ranges(part, selection, True)]
    if not ranges:  # an output of each sequence has no steps
        return ()
    is_one = all(steps == ranges[0] for steps in ranges)
    return ranges[0] if is_one else sorted({*chain.from_iterable(ranges)})


def _is_summary(part: Part, selection: Selection) -> bool:
    """Return whether a table has one row for each step, not for each unit."""
    lines = part.sizes.batch * part.sizes.units
    return selection.units is None and lines > MANY_VALUES


def _ranges(part: Part, selection: Selection, is_first: bool) -> list[Indices]:
    """The first and the last steps that the table of a cell shows, or all that are selected.

    A cell that is not the ``first`` has fewer.
    """
    steps, batch, units = part.sizes
    lines = batch * units
    most, edge, height = MANY_LINES, EDGE_LINES, lines + (units > 1)
    if _is_summary(part, selection) or lines == 1:
        most, edge, height = MANY_SUMMARIES, EDGE_SUMMARIES, 1
    if not is_first:
        height *= SHORTER
    edge = max(1, edge // height)
    if selection.steps is None and steps > max(most // height, 2 * edge):
        return [range(edge), range(steps - edge, steps)]
    return [part.steps or ()]


@dataclass(frozen=True)
class CellTable:
    """The table of a cell, some steps at a time, and the summary of all steps."""

    steps: Sequence[int]  # that there are, by their indices in the run
    arrays: Mapping[str, Array]  # (s, B, H) of these steps
    part: Part
    selection: Selection
    is_first: bool
    hidden: dict[str, int]
    """Columns that do not fit, of all cells, and the width of their tables."""
    padded: Array | None = None  # (T, B): the steps left out; None: none
    formats: dict[str, NumberFormat] = field(default_factory=dict)  # by heading

    @property
    def is_summary(self) -> bool:
        """Return whether it has one row for each step."""
        return _is_summary(self.part, self.selection)

    def at(self, steps: Sequence[int]) -> dict[str, Array]:
        """The arrays of some of the steps."""
        positions = [bisect_left(self.steps, step) for step in steps]
        return {name: take(array, positions, 0) for name, array in self.arrays.items()}

    def sheets(
        self, width: Width, summary: CellSummary | None, *, is_last: bool
    ) -> Iterator[Sheet]:
        """The table in pieces, the columns hidden from all cells if it ``is_last``, the summary.

        The first and the last piece determine the formats and widths of
        columns.
        """
        part, gap = self.part, GAP
        ranges = _ranges(part, self.selection, self.is_first)
        chunks = [r[n : n + CHUNK] for r in ranges for n in range(0, len(r), CHUNK)]
        ends = self._columns([*dict.fromkeys([*chunks[0], *chunks[-1]])])
        if width.table and total_width(ends, gap) > width.table and not self.is_summary:
            gap = NARROW_GAP
        left_out = [column.heading for column in fitting_columns(ends, width, gap)[1]]
        self.hidden.update(dict.fromkeys(left_out, total_width(ends, gap)))
        least = {column.heading: column.width for column in ends}
        for n, steps in enumerate(chunks):
            if n and steps[0] == ranges[-1][0]:
                yield self._steps_not_shown(ranges, width)
            columns = (c._replace(least=least[c.heading]) for c in self._columns(steps))
            shown = [column for column in columns if column.heading not in left_out]
            rule = n == 0 and width.table is not None
            yield table(shown, gap=gap, rule=rule, headings=n == 0)
        if is_last and self.hidden:
            yield hidden_columns(self.hidden, max(self.hidden.values()), width, REMEDY)
        if summary is not None and self.is_summary:
            yield _summary_sheet(summary, part.units, width)
        elif summary is not None and summary.saturation.saturated_gates():
            yield saturation_sheet(summary.saturation, part.units, width, shares=False)

    def _columns(self, steps: Sequence[int]) -> list[Column]:
        arrays = {name: self.part.cut(array) for name, array in self.at(steps).items()}
        columns = self._summary if self.is_summary else self._units
        return columns(steps, arrays)

    def _padded_at(self, steps: Sequence[int]) -> Array:
        """(s, B): where an item that is shown is padded."""
        items = self.part.batch or ()
        if self.padded is None:
            return np.zeros((len(steps), len(items)), bool)
        return take(take(self.padded, steps, 0), items, 1)

    def _steps_not_shown(self, ranges: Sequence[Indices], width: Width) -> Sheet:
        first, last = ranges
        after, before = first[-1] + 1, last[0]
        some = f"--steps {after}:{min(before, after + 10)} shows some"
        text = f"{count(before - after, 'step')} not shown; {some}, --steps : all"
        sheet = Sheet(width).label(" ...", text, indent=6)
        if not self.is_summary and self.part.sizes.batch * self.part.sizes.units > 1:
            sheet.add()
        return sheet

    def _units(self, steps: Sequence[int], arrays: Mapping[str, Array]) -> list[Column]:
        """One row per unit, and a blank one after each step of several."""
        items, units = self.part.batch or (), self.part.units
        lines = len(items) * len(units)
        blank = [""] * (lines > 1)
        of_steps = [
            cell for step in steps for cell in (str(step), *[""] * (lines - 1), *blank)
        ]
        of_items = [
            cell for item in items for cell in (str(item), *[""] * (len(units) - 1))
        ]
        of_units = [*map(str, units)] * len(items)
        columns = [Column("step", of_steps, "dim")]
        columns += [Column("batch", (of_items + blank) * len(steps), "dim")] * (
            self.part.full.batch > 1
        )
        columns += [Column("unit", (of_units + blank) * len(steps), "dim")]
        if self.padded is not None:
            lines_padded = np.repeat(self._padded_at(steps), len(units), axis=1)
            words = np.where(lines_padded, "padded", "").tolist()
            marks = [word for row in words for word in (*row, *blank)]
            columns.append(Column("", marks, "dim"))
        for place, (name, array) in enumerate(arrays.items()):
            shown = np.full((len(steps), len(items), len(units)), None)
            shown[..., : array.shape[2]] = array
            rows = shown.reshape(len(steps), lines).tolist()
            values = [value for row in rows for value in (*row, *[None] * len(blank))]
            rank = 0 if name == "h" else 1 if name == "c" else 2 + place
            digits = STATE_DIGITS if name in ("h", "c", Y) else GATE_DIGITS
            columns.append(self._column(name, values, digits, rank))
        return columns

    def _summary(
        self, steps: Sequence[int], arrays: Mapping[str, Array]
    ) -> list[Column]:
        columns = [Column("step", [*map(str, steps)], "dim")]
        padded = self._padded_at(steps)
        if self.padded is not None:
            items = padded.shape[1]
            texts = [f"{n} of {items}" if n else "" for n in padded.sum(axis=1)]
            columns.append(Column("padded", texts, "dim"))
        for name, array in arrays.items():
            values = _left_in(array, padded).reshape(len(steps), -1)  # (s, B H)
            if name not in ("h", "c", Y):
                columns.append(
                    self._column(name, values.mean(axis=1), SUMMARY_DIGITS, 2)
                )
                continue
            rank = 0 if name == "h" else 1
            for what, of_rank in (("min", rank), ("mean", rank and 3), ("max", rank)):
                reduced, heading = getattr(values, what)(axis=1), f"{name} {what}"
                columns.append(self._column(heading, reduced, SUMMARY_DIGITS, of_rank))
        gates = [array for name, array in arrays.items() if name in "ifo"]
        if gates:
            near = [_left_in(is_saturated(gate), padded) for gate in gates]
            shares = np.ma.mean([one.mean(axis=(1, 2)) for one in near], axis=0)
            texts = ["" if x is None else percent(x) for x in shares.tolist()]
            columns.append(Column("saturated", texts, rank=1))
        return columns

    def _column(
        self,
        heading: str,
        values: Sequence[float | None] | Array,
        digits: int,
        rank: int,
    ) -> Column:
        if isinstance(values, np.ndarray):
            values = values.tolist()  # None where all is padded
        numbers = [None if value is None else float(value) for value in values]
        digits = digits if self.selection.digits is None else self.selection.digits
        format = self.formats.setdefault(heading, NumberFormat.of(numbers, digits))
        style = "bold" if heading.split()[0] == "h" else ""
        return Column(heading, [*map(format.text, numbers)], style, rank=rank)


def _left_in(array: Array, padded: Array) -> np.ma.MaskedArray[Any, Any]:
    """The numbers (s, B, H) as floats, those of padded items (s, B) masked."""
    mask = np.broadcast_to(padded[..., None], array.shape)
    return np.ma.array(array, float, mask=mask if padded.any() else np.ma.nomask)


def _summary_sheet(summary: CellSummary, units: Sequence[int], width: Width) -> Sheet:
    ranges = []
    for name, ends in summary.ranges.items():
        low, high = map(NumberFormat.of(ends, SUMMARY_DIGITS).text, ends)
        ranges.append(f"{name} {low} .. {high}")
    sheet = Sheet(width).label(
        "rows", "all batch items and units; of the gates the mean"
    )
    sheet.label("overall", phrases(ranges))
    sheet.extend(saturation_sheet(summary.saturation, units, width))
    text = "--units 0:4 shows single units, --batch 0 one sequence; -o out.npz saves all values"
    sheet.label("next", text)
    return sheet
