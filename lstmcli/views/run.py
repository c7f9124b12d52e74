"""The table of a run: the steps of each cell, and a summary of all its steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

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

T = TypeVar("T")

DEFAULT_COLUMNS = SUMMARISED  # of a table, where --only names none
STATE_DIGITS = 8  # of h and c, as NumPy prints them
GATE_DIGITS = 6
STATES = ("h", "c", Y)
RANKS = {"h": 0, "c": 1}  # of columns: where they do not fit, the highest goes first
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
    cells_show = [name for name in show if name != Y]
    cells = _cells_in_order(excerpt, cells_show)
    ends_blank = True
    hidden: dict[str, int] = {}
    for n, cell in enumerate(cells):
        is_first = n == 0
        if network or len(cells) > 1:
            is_output = is_first and _gives_output(cell, excerpt, cells_show)
            yield _heading(cell, is_output, has_blank_line=not ends_blank)
        arrays = _arrays_of(excerpt, cell, cells_show)
        table = _table_of(excerpt, cell, arrays, selection, is_first, hidden)
        summary = excerpt.summaries.get(cell)
        if summary is None:
            summary = _summary_of(table, excerpt, selection)
        for sheet in table.sheets(width, summary, is_last=cell == cells[-1]):
            ends_blank = not list(sheet.rows())[-1]
            yield sheet
    if Y in show:
        yield from _output_sheets(excerpt, selection, width, is_first=not cells)


def _cells_in_order(excerpt: Excerpt, show: Sequence[str]) -> list[str]:
    """The cells that have a table, the one that gives the output first; "" is the output."""
    cells: list[str] = []
    for name in excerpt.arrays:
        cell = name.rpartition(".")[0]
        if cell and cell not in cells and _shown(show, cell):
            cells.append(cell)
    has_h = "h" in excerpt.arrays and "h" in show
    if not show or (cells and not has_h):
        return cells
    for cell in cells:
        if _gives_output(cell, excerpt, show):
            cells.remove(cell)
            cells.insert(0, cell)
            return cells
    cells.insert(0, "")
    return cells


def _heading(cell: str, is_output: bool, *, has_blank_line: bool) -> Sheet:
    """The name of a cell above its table."""
    heading = Sheet()
    if has_blank_line:
        heading.add()
    note = ""
    if is_output:
        note = "  the last layer: its h is the output"
    heading.add((cell or "output", "bold"), note)
    return heading


def _arrays_of(excerpt: Excerpt, cell: str, show: Sequence[str]) -> dict[str, Array]:
    """The arrays of a cell that are shown and there; the output has only h."""
    arrays = {}
    for name in _shown(show, cell):
        member = name
        if cell:
            member = f"{cell}.{name}"
        if member in excerpt.arrays:
            arrays[name] = excerpt.arrays[member]
    return split_z(arrays)


def _table_of(
    excerpt: Excerpt,
    cell: str,
    arrays: Mapping[str, Array],
    selection: Selection,
    is_first: bool,
    hidden: dict[str, int],
) -> CellTable:
    batch = max(array.shape[1] for array in arrays.values())
    units = max(array.shape[2] for array in arrays.values())
    sizes = Sizes(excerpt.of_steps, batch, units)
    part = part_of_cell(sizes, selection, excerpt.units)
    padded = excerpt.padded.get(cell)
    return CellTable(excerpt.steps, arrays, part, selection, is_first, hidden, padded)


def _summary_of(
    table: CellTable, excerpt: Excerpt, selection: Selection
) -> CellSummary | None:
    """The summary of the steps of a table; none of a table of some steps' units."""
    if selection.steps is None:
        steps = excerpt.steps
    elif table.is_summary:
        steps = table.part.steps or ()
    else:
        return None
    summary = CellSummary(table.part)
    summary.add(
        {name: array for name, array in table.at(steps).items() if name in SUMMARISED}
    )
    return summary


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
    units = None
    if is_first:
        units = excerpt.units
    part = part_of_cell(sizes, selection, units)
    table = CellTable(excerpt.steps, {Y: y}, part, selection, is_first, {})
    yield from table.sheets(width, None, is_last=True)


def _final_output(y: Array, selection: Selection, width: Width) -> Sheet:
    """A row of each sequence of y (B, K)."""
    items = indices_of(selection.batch, len(y))
    shown = items[:MANY_LINES]
    digits = _digits(selection, STATE_DIGITS)
    chosen = take(y, shown, 0)
    format = NumberFormat.of(chosen.ravel().tolist(), digits)
    columns = []
    if len(y) > 1:
        columns.append(Column("batch", list(map(str, shown)), "dim"))
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
    of_cell = (base for prefix, _, base in names if prefix in ("", cell))
    return list(dict.fromkeys(of_cell))


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
    ranges: list[Indices] = []
    for part in parts:
        ranges.extend(_ranges(part, selection, True))
    if not ranges:  # an output of each sequence has no steps
        return ()
    if all(steps == ranges[0] for steps in ranges):
        return ranges[0]
    return sorted(set(chain.from_iterable(ranges)))


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
    if _is_summary(part, selection) or lines == 1:
        most, edge, height = MANY_SUMMARIES, EDGE_SUMMARIES, 1
    else:
        most, edge, height = MANY_LINES, EDGE_LINES, lines
        if units > 1:
            height += 1  # a blank line
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
        yield from self._pieces(width)
        if is_last and self.hidden:
            yield hidden_columns(self.hidden, max(self.hidden.values()), width, REMEDY)
        if summary is None:
            return
        units = self.part.units
        if self.is_summary:
            yield _summary_sheet(summary, units, width)
        elif summary.saturation.saturated_gates():
            yield saturation_sheet(summary.saturation, units, width, shares=False)

    def _pieces(self, width: Width) -> Iterator[Sheet]:
        ranges = _ranges(self.part, self.selection, self.is_first)
        chunks: list[Indices] = []
        for steps in ranges:
            starts = range(0, len(steps), CHUNK)
            chunks.extend(steps[start : start + CHUNK] for start in starts)
        ends = self._columns(list(dict.fromkeys(chain(chunks[0], chunks[-1]))))
        gap = self._gap(ends, width)
        left_out = [column.heading for column in fitting_columns(ends, width, gap)[1]]
        self.hidden.update(dict.fromkeys(left_out, total_width(ends, gap)))
        least = {column.heading: column.width for column in ends}
        for n, steps in enumerate(chunks):
            if n and steps[0] == ranges[-1][0]:
                yield self._steps_not_shown(ranges, width)
            shown = [
                column._replace(least=least[column.heading])
                for column in self._columns(steps)
                if column.heading not in left_out
            ]
            rule = n == 0 and width.table is not None
            yield table(shown, gap=gap, rule=rule, headings=n == 0)

    def _gap(self, columns: Sequence[Column], width: Width) -> int:
        """The spaces between columns: fewer where units would not fit otherwise."""
        if width.table is None or self.is_summary:
            return GAP
        if total_width(columns, GAP) > width.table:
            return NARROW_GAP
        return GAP

    def _columns(self, steps: Sequence[int]) -> list[Column]:
        arrays = {name: self.part.cut(array) for name, array in self.at(steps).items()}
        if self.is_summary:
            return self._summary(steps, arrays)
        return self._units(steps, arrays)

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
        columns = [
            Column(heading, texts, "dim")
            for heading, texts in self._places(steps).items()
        ]
        items, units = self.part.batch or (), self.part.units
        for place, (name, array) in enumerate(arrays.items()):
            shown = np.full((len(steps), len(items), len(units)), None)
            shown[..., : array.shape[2]] = array
            lines = len(items) * len(units)  # of a step
            values = _rows(shown.reshape(len(steps), lines).tolist(), None)
            rank = RANKS.get(name, len(RANKS) + place)
            digits = GATE_DIGITS
            if name in STATES:
                digits = STATE_DIGITS
            columns.append(self._column(name, values, digits, rank))
        return columns

    def _places(self, steps: Sequence[int]) -> dict[str, list[str]]:
        """The columns before the numbers of units: a number stands where it changes."""
        items, units = self.part.batch or (), self.part.units
        rest = [""] * (len(items) * len(units) - 1)
        columns = {"step": _rows([[str(step), *rest] for step in steps], "")}
        if self.part.full.batch > 1:
            of_step: list[str] = []
            for item in items:
                of_step.append(str(item))
                of_step.extend([""] * (len(units) - 1))
            columns["batch"] = _rows([of_step] * len(steps), "")
        of_step = list(map(str, units)) * len(items)
        columns["unit"] = _rows([of_step] * len(steps), "")
        if self.padded is not None:
            lines_padded = np.repeat(self._padded_at(steps), len(units), axis=1)
            columns[""] = _rows(np.where(lines_padded, "padded", "").tolist(), "")
        return columns

    def _summary(
        self, steps: Sequence[int], arrays: Mapping[str, Array]
    ) -> list[Column]:
        """One row per step: least, mean and largest of states, means of gates."""
        columns = [Column("step", list(map(str, steps)), "dim")]
        padded = self._padded_at(steps)
        if self.padded is not None:
            columns.append(Column("padded", _counts_padded(padded), "dim"))
        for name, array in arrays.items():
            values = _left_in(array, padded).reshape(len(steps), -1)  # (s, B H)
            if name in STATES:
                columns.extend(self._ranges_of(name, values))
                continue
            means = values.mean(axis=1)
            columns.append(self._column(name, means, SUMMARY_DIGITS, 2))
        gates = [array for name, array in arrays.items() if name in "ifo"]
        if gates:
            near = [_left_in(is_saturated(gate), padded) for gate in gates]
            shares = np.ma.mean([one.mean(axis=(1, 2)) for one in near], axis=0)
            columns.append(Column("saturated", _percents(shares), rank=1))
        return columns

    def _ranges_of(
        self, name: str, values: np.ma.MaskedArray[Any, Any]
    ) -> Iterator[Column]:
        """The columns of h, c or y (s, B H): least, mean and largest of each step."""
        rank = RANKS.get(name, 1)
        rank_of_mean = rank
        if name != "h":
            rank_of_mean = 3
        for what, reduced, of_rank in (
            ("min", values.min(axis=1), rank),
            ("mean", values.mean(axis=1), rank_of_mean),
            ("max", values.max(axis=1), rank),
        ):
            yield self._column(f"{name} {what}", reduced, SUMMARY_DIGITS, of_rank)

    def _column(
        self,
        heading: str,
        values: Sequence[float | None] | Array,
        digits: int,
        rank: int,
    ) -> Column:
        if isinstance(values, np.ndarray):
            values = values.tolist()  # None where all is padded
        numbers = [value if value is None else float(value) for value in values]
        format = self.formats.get(heading)
        if format is None:
            format = NumberFormat.of(numbers, _digits(self.selection, digits))
            self.formats[heading] = format
        style = ""
        if heading.split()[0] == "h":
            style = "bold"
        return Column(heading, list(map(format.text, numbers)), style, rank=rank)


def _digits(selection: Selection, usual: int) -> int:
    if selection.digits is None:
        return usual
    return selection.digits


def _rows(of_steps: Iterable[Sequence[T]], blank: T) -> list[T]:
    """The cells of all steps, with a ``blank`` one after each step of several lines."""
    cells: list[T] = []
    for of_step in of_steps:
        cells.extend(of_step)
        if len(of_step) > 1:
            cells.append(blank)
    return cells


def _counts_padded(padded: Array) -> list[str]:
    """``2 of 3``: the items (s, B) that are padded at each step; nothing where none is."""
    texts = []
    for number in padded.sum(axis=1):
        if number:
            texts.append(f"{number} of {padded.shape[1]}")
        else:
            texts.append("")
    return texts


def _percents(shares: np.ma.MaskedArray[Any, Any]) -> list[str]:
    texts = []
    for share in shares.tolist():
        if share is None:  # all is padded
            texts.append("")
        else:
            texts.append(percent(share))
    return texts


def _left_in(array: Array, padded: Array) -> np.ma.MaskedArray[Any, Any]:
    """The numbers (s, B, H) as floats, those of padded items (s, B) masked."""
    if not padded.any():
        return np.ma.array(array, float, mask=np.ma.nomask)
    mask = np.broadcast_to(padded[..., None], array.shape)
    return np.ma.array(array, float, mask=mask)


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
