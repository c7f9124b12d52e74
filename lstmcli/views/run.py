"""A run on the screen: how the files were interpreted, then the steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

import numpy as np

from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.saturation import NEAR, QUIET, SaturatedGate, Saturation, is_saturated
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.selection import (
    Choice,
    Indices,
    below,
    contiguous_ranges,
    indices_of,
    split_z,
    take,
)
from lstmcli.core.model.vocabulary import spaced_order
from lstmcli.errors import listed
from lstmcli.views.conventions import unusual_settings
from lstmcli.views.sheet import (
    ASSUMED,
    Column,
    Sheet,
    Width,
    fitting_columns,
    hidden_columns,
    labelled,
    labelled_lines,
    table,
    total_width,
)
from lstmcli.views.text import NumberFormat, count, percent, phrases, unbroken

DEFAULT_COLUMNS = ("h", "c", "i", "f", "g", "o")  # of a table, where --only names none
STATE_DIGITS = 8  # h and c as NumPy prints them, so that they can be compared by eye
GATE_DIGITS = 6
SUMMARY_DIGITS = 3
MANY_VALUES = 16  # units x batch items of a step; above it a step is summarised on one line
MANY_LINES = 60  # of a table of units; a longer one shows its first and last steps
EDGE_LINES = 24  # lines of each of the two
MANY_SUMMARIES = 30  # the same of a table with a line a step
EDGE_SUMMARIES = 8
CHUNK = 1000  # steps formatted at a time, so that a table of any length needs little memory
UNITS_NAMED = 6  # saturated or dead units on a line; more are counted
REMEDY = "use --only or --digits"
HEADER_INDENT = 9


class Window(NamedTuple):
    """The part of a trace that a table shows."""

    show: tuple[str, ...] = DEFAULT_COLUMNS
    steps: Choice | None = None
    batch: Choice | None = None
    units: Indices | None = None  # of the widest array; a narrower one shows those that it has
    digits: int | None = None

    def of_cell(self, cell: str) -> Window:
        """The same of one cell: ``h`` and ``layer0.h`` are its h; "" is the output of the model."""
        names = (name.rpartition(".") for name in self.show)
        shown = [base for prefix, _, base in names if prefix in ("", cell)]
        return self._replace(show=tuple(dict.fromkeys(shown)))


# ---- header


def header_sheet(plan: Plan, width: Width, engine: str = "", *, quiet: bool = False) -> Sheet:
    """The weights, the inputs and the configuration; unless ``quiet``, what of it was assumed."""
    model, shape = plan.model, plan.inputs.x.shape
    sheet = Sheet()
    _two_parts(sheet, "weights", _tensors(model), _sizes(model), width)
    read = f"{tuple(shape)}" + (f"  layout {plan.layout}" if len(shape) == 3 else "")
    sizes = f"batch {plan.batch} x {count(plan.steps, 'step')} x {count(shape[-1], 'input')}"
    _two_parts(sheet, "inputs", read, sizes, width)
    sheet.extend(_config(model, engine, width))
    assumed = [] if quiet else _assumed(plan)
    sheet.extend(labelled_lines("assumed", assumed, width, ASSUMED, HEADER_INDENT))
    sheet.add()
    return sheet


def model_sheet(model: Model, width: Width) -> Sheet:
    """The weights and the configuration of a model without inputs, and what was assumed."""
    sheet = Sheet()
    _two_parts(sheet, "weights", _tensors(model), _sizes(model), width)
    sheet.extend(_config(model, "", width))
    sheet.extend(labelled_lines("assumed", model.assumed, width, ASSUMED, HEADER_INDENT))
    return sheet


def _config(model: Model, engine: str, width: Width) -> Sheet:
    """The configuration, and that of each layer where they differ."""
    same = all(layer[0].convention == model.convention for layer in model.layers)
    sheet = Sheet()
    sheet.extend(_labelled("config", _configuration(model, same, engine), width))
    labels = model.labels or ([] if same else [""] * len(model.layers))
    for n, (label, layer) in enumerate(zip(labels, model.layers, strict=False)):
        settings = [] if same else _settings(layer[0].convention, model)
        texts = [text for text in (label, *settings) if text not in ("", "forget bias 0")]
        sheet.extend(_labelled(f"layer{n}", texts or [" "], width))
    return sheet


def _tensors(model: Model) -> str:
    """The tensors with their shapes; of many, the first and how many more."""
    texts = [f"{name} {shape}" for name, shape in model.tensors.items()]
    if len(texts) <= 4:
        return "  ".join(texts)
    return f"{texts[0]}  and {len(texts) - 1} more tensors"


def _sizes(model: Model) -> str:
    """``4 inputs -> 3 units``, with layers, directions and a projection where there are any."""
    cell = model.cell
    text = f"{count(cell.inputs, 'input')} -> {count(cell.units, 'unit')}"
    if cell.projection is not None:
        text += f" -> {cell.outputs}"
    if len(model.layers) > 1:
        text += f", {len(model.layers)} layers"
    return text + (", both directions" if model.bidirectional else "")


def _configuration(model: Model, same: bool, engine: str) -> list[str]:
    """The convention with its gate order, the dtype, and the settings if all layers share them."""
    convention = model.convention
    texts = [
        convention.name,
        f"gates {spaced_order(convention.storage.gates)}",
        model.cell.dtype.name,
    ]
    texts += _settings(convention, model) if same else []
    return texts + ([f"run by {engine}"] if engine else [])


def _settings(convention: Convention, model: Model) -> list[str]:
    """The forget bias, and the settings that a plain cell does not have."""
    excluded = {"gates", "layout"} | ({"masked_output"} - set(model.given))
    bias = [] if convention.behaviour.forget_bias else ["forget bias 0"]
    return bias + unusual_settings(convention, excluded)


def _assumed(plan: Plan) -> list[str]:
    """What is neither in the files nor given."""
    assumed = [*plan.model.assumed]
    learned = all(cell.initial_h is not None for _, cell in plan.model.cells)
    if not (plan.inputs.initial_state or learned):
        assumed.append("zero initial state")
    if plan.assumed_layout:
        assumed.append(plan.assumed_layout)
    return assumed


def _two_parts(sheet: Sheet, label: str, left: str, right: str, width: Width) -> None:
    """Add a line with the sizes at its right end, or below where they do not fit."""
    gap = width.prose - HEADER_INDENT - len(right) - len(left)
    if gap > 1:
        sheet.add((label.ljust(HEADER_INDENT), "dim"), left, " " * gap, right)
    else:
        sheet.extend(_labelled(label, [*left.split("  "), right], width))


def _labelled(label: str, texts: Sequence[str], width: Width) -> Sheet:
    """Phrases with three spaces between them, on as many lines as they need."""
    return labelled(label, phrases(texts), width, indent=HEADER_INDENT)


# ---- tables


Sizes = tuple[int, int, int]
"""T, B and H of a cell of a run."""


class Block(NamedTuple):
    """Steps of one cell, by their numbers in the run."""

    steps: Sequence[int]
    arrays: Mapping[str, Array]  # (s, B, K)


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Some steps of a run, and summaries of all its steps unless the user selected these."""

    steps: Sequence[int]  # their numbers in the run, ascending
    of_steps: int  # T of the run
    arrays: Mapping[str, Array]  # (s, B, K)
    summaries: Mapping[str, CellSummary]  # by cell; of a single cell or the model's output, ""


def trace_sheets(
    trace: Trace,
    window: Window,
    width: Width,
    *,
    network: bool = False,
    of_steps: int | None = None,
) -> Iterator[Sheet]:
    """The table of a trace, in pieces: the units of each step, or a summary of each step.

    A trace of a ``network`` has a table for each cell, and one for the output of the model.
    ``of_steps`` is the length of the run if the trace contains its first steps.
    """
    arrays = {name: _in_three_axes(trace, name) for name in trace.arrays}
    excerpt = Excerpt(range(trace.steps), of_steps or trace.steps, arrays, {})
    yield from excerpt_sheets(excerpt, window, width, network=network)


def _in_three_axes(trace: Trace, name: str) -> Array:
    """(T, B, K); directions on a separate axis are side by side."""
    array = trace.time_major(name)
    if array.ndim < 4:
        return array
    axis = 2 if array.shape[2] == 2 and (trace.layout == "batch" or array.shape[1] != 2) else 1
    lead = [n for at, n in enumerate(array.shape[:3]) if at != axis]
    return np.moveaxis(array, axis, 2).reshape(*lead, -1)


def excerpt_sheets(
    excerpt: Excerpt, window: Window, width: Width, *, network: bool = False
) -> Iterator[Sheet]:
    """The table of some steps of a run, as `trace_sheets`."""
    cells = [*dict.fromkeys(k.rpartition(".")[0] for k in excerpt.arrays if "." in k)]
    cells = [cell for cell in cells if window.of_cell(cell).show]
    if ("h" in excerpt.arrays and "h" in window.show) or not cells:
        cells.append("")
    ends_blank = True
    hidden: dict[str, None] = {}
    for n, cell in enumerate(cells):
        if network or len(cells) > 1:
            heading = Sheet()
            if n and not ends_blank:
                heading.add()
            heading.add((cell or "output", "bold"))
            yield heading
        window_of_cell = window.of_cell(cell)
        arrays = _cell_arrays(excerpt.arrays, window_of_cell.show, cell)
        batch, units = (max(a.shape[axis] for a in arrays.values()) for axis in (1, 2))
        part = CellWindow.of(excerpt.of_steps, batch, units, window)
        table = CellTable(part, window_of_cell, hidden, is_last=cell == cells[-1])
        summary = excerpt.summaries.get(cell)
        if summary is None and (window.steps is None or table.part.is_summary):
            of_all = {name: array for name, array in arrays.items() if name in DEFAULT_COLUMNS}
            chosen = excerpt.steps if window.steps is None else table.part.ranges[0]
            summary = CellSummary(window_of_cell)
            summary.add(_block(excerpt.steps, chosen, of_all).arrays)
        chunks = [r[n : n + CHUNK] for r in table.part.ranges for n in range(0, len(r), CHUNK)]
        blocks = (_block(excerpt.steps, chunk, arrays) for chunk in chunks)
        last = _block(excerpt.steps, chunks[-1], arrays)
        for sheet in table.sheets(blocks, width, summary, last):
            ends_blank = not [*sheet.rows()][-1]
            yield sheet


def piece_sheets(
    pieces: Iterable[tuple[Sequence[int], Mapping[str, Array]]],
    sizes: Sizes,
    window: Window,
    width: Width,
    summary: CellSummary,
) -> Iterator[Sheet]:
    """The table of all steps of a single cell, from pieces that are still to be computed.

    ``summary`` is complete after the last piece.
    """
    table = CellTable(CellWindow.of(*sizes, window), window)
    blocks = (Block(steps, _cell_arrays(arrays, window.show, "")) for steps, arrays in pieces)
    yield from table.sheets(blocks, width, summary)


def _block(numbers: Sequence[int], steps: Sequence[int], arrays: Mapping[str, Array]) -> Block:
    """Some steps, out of arrays of the steps of these numbers."""
    positions = [bisect_left(numbers, step) for step in steps]
    return Block(steps, {name: take(array, positions, 0) for name, array in arrays.items()})


def _cell_arrays(arrays: Mapping[str, Array], show: Sequence[str], cell: str) -> dict[str, Array]:
    """The arrays of one cell to show, each (s, B, H); z as one array for each gate."""
    names = {name: f"{cell}.{name}" if cell else name for name in show}
    return split_z({k: arrays[v] for k, v in names.items() if v in arrays})  # a model has only h


@dataclass(frozen=True)
class CellWindow:
    """The part of one cell's trace that a window shows."""

    items: Sequence[int]  # of the batch
    units: Sequence[int]
    is_summary: bool  # a line a step, not a line a unit
    ranges: list[Sequence[int]]  # of steps: the first and the last ones, or one range
    batch: int  # size of the batch, of which ``items`` are a part

    @classmethod
    def of(cls, steps: int, batch: int, units: int, window: Window) -> CellWindow:
        """The window on (T, B, H) = (steps, batch, units)."""
        items = indices_of(window.batch, batch)
        chosen_units = range(units) if window.units is None else below(window.units, units)
        lines = len(items) * len(chosen_units)
        is_summary = window.units is None and lines > MANY_VALUES
        if window.steps is not None:
            ranges: list[Sequence[int]] = [window.steps.among(steps)]
        elif is_summary or lines == 1:
            ranges = _first_and_last(steps, MANY_SUMMARIES, EDGE_SUMMARIES)
        else:
            height = lines + (len(chosen_units) > 1)
            ranges = _first_and_last(steps, MANY_LINES // height, max(1, EDGE_LINES // height))
        return cls(items, chosen_units, is_summary, ranges, batch)

    def select(self, array: Array) -> Array:
        """The batch items and units of (T, B, H); nothing is copied where all are shown.

        A projected h has fewer units than c and the gates: those that it has.
        """
        array = take(array, self.items, 1)
        return take(array, below(self.units, array.shape[2]), 2)


def _first_and_last(steps: int, most: int, edge: int) -> list[Sequence[int]]:
    """All steps in one range if they are at most ``most``, else ``edge`` at each end."""
    if steps <= max(most, 2 * edge):
        return [range(steps)]
    return [range(edge), range(steps - edge, steps)]


def steps_shown(sizes: Iterable[Sizes], window: Window) -> list[range]:
    """The steps that the tables of cells of these sizes will show, in ascending ranges."""
    shown: set[int] = set()
    for of_cell in sizes:
        for part in CellWindow.of(*of_cell, window).ranges:
            shown.update(part)
    return contiguous_ranges(sorted(shown))


class TableLayout(NamedTuple):
    """How the numbers of a cell are arranged in columns."""

    build: Callable[[Block], list[Column]]
    gap: int  # spaces between two columns


@dataclass(frozen=True)
class CellTable:
    """The table of one cell, made block by block."""

    part: CellWindow
    window: Window
    hidden: dict[str, None] = field(default_factory=dict)  # columns that do not fit, of all cells
    is_last: bool = True  # of the cells: it names those columns
    formats: dict[str, NumberFormat] = field(default_factory=dict)  # by heading

    def sheets(
        self,
        blocks: Iterable[Block],
        width: Width,
        summary: CellSummary | None,
        last: Block | None = None,
    ) -> Iterator[Sheet]:
        """The table in pieces with the same columns, then the summary of all steps.

        Columns are as wide as the first block needs, and the ``last`` one if it is known.
        """
        yield from self._table(blocks, width, last)
        if self.is_last and self.hidden:
            yield hidden_columns(self.hidden, width, REMEDY)
        if summary is None:
            return
        if self.part.is_summary:
            yield summary.sheet(self.part.units, width)
        elif summary.saturation.anything:
            yield saturation_sheet(summary.saturation, self.part.units, width, shares=False)

    def _table(self, blocks: Iterable[Block], width: Width, last: Block | None) -> Iterator[Sheet]:
        """The table in pieces, and a line for the steps between two ranges.

        The format of a column is that which the first block and the last need.
        """
        layout, *others = self._layouts(width)
        hidden: list[str] = []
        least: list[int] = []
        for block in blocks:
            is_first = not least
            if is_first:
                other = last if last and last.steps[0] != block.steps[0] else None
                columns = self._first_columns(layout.build, block, other)
                while others and width.table and total_width(columns, layout.gap) > width.table:
                    layout, *others = others
                    columns = self._first_columns(layout.build, block, other)
                least = [column.width for column in columns]
                hidden = [c.heading for c in fitting_columns(columns, width, layout.gap)[1]]
                self.hidden.update(dict.fromkeys(hidden))
            else:
                if len(self.part.ranges) > 1 and block.steps[0] == self.part.ranges[1][0]:
                    yield self._steps_not_shown(width, blank=layout.build == self._tall)
                built = layout.build(self._select(block))
                columns = [c._replace(least=w) for c, w in zip(built, least, strict=True)]
            rule = is_first and width.table is not None
            shown = [column for column in columns if column.heading not in hidden]
            yield table(shown, gap=layout.gap, rule=rule, headings=is_first)

    def _layouts(self, width: Width) -> list[TableLayout]:
        """The layouts in order of preference; columns that do not fit the last are hidden."""
        if self.part.is_summary:
            return [TableLayout(self._summary, 2)]
        wide = [TableLayout(self._wide, 1)] if self._may_fit_wide(width) else []
        return [*wide, TableLayout(self._tall, 2), TableLayout(self._tall, 1)]

    def _first_columns(
        self, build: Callable[[Block], list[Column]], block: Block, other: Block | None
    ) -> list[Column]:
        """The columns of the first block, in the formats and widths that the last needs too."""
        if other is None:
            return build(self._select(block))
        build(self._select(other))
        for heading in [k for k, format in self.formats.items() if not format.exponents]:
            del self.formats[heading]
        columns = build(self._select(block))
        of_last = build(self._select(other))
        pairs = zip(columns, of_last, strict=True)
        return [column._replace(least=last.width) for column, last in pairs]

    def _select(self, block: Block) -> Block:
        """The batch items and units of a block that are shown."""
        return Block(block.steps, {k: self.part.select(a) for k, a in block.arrays.items()})

    def _steps_not_shown(self, width: Width, blank: bool) -> Sheet:
        """The line between the first and the last steps."""
        first, last = self.part.ranges
        after, before = first[-1] + 1, last[0]
        some = f"--steps {after}:{min(before, after + 10)} some"
        text = f"{count(before - after, 'step')} not shown: --steps : shows all, {some}"
        sheet = labelled(" ...", text, width, indent=6)
        if blank and len(self.part.items) * len(self.part.units) > 1:
            sheet.add()
        return sheet

    def _tall(self, block: Block) -> list[Column]:
        """A line a unit: step, batch item, unit, and a column a quantity.

        A blank line follows each step of several lines.
        """
        items, units = self.part.items, self.part.units
        blank = [("", "", "")] * (len(items) * len(units) > 1)
        labels = [
            label
            for step in block.steps
            for label in [
                (str(step) if b == u == 0 else "", str(item) if u == 0 else "", str(unit))
                for b, item in enumerate(items)
                for u, unit in enumerate(units)
            ]
            + blank
        ]
        columns = self._labels(labels, ("step", "batch", "unit"))
        for place, (name, array) in enumerate(block.arrays.items()):
            values: list[float | None] = []
            absent = [None] * (len(units) - array.shape[2])
            for step in array:  # (B, H)
                for item in step:
                    values += [*map(float, item), *absent]
                values += [None] * len(blank)
            rank = 0 if name == "h" else 1 if name == "c" else 2 + place
            columns.append(self._column(name, name, values, self._digits(name), rank))
        return columns

    def _wide(self, block: Block) -> list[Column]:
        """A line a step and batch item, with a column for each quantity of each unit."""
        labels = [
            (str(step) if b == 0 else "", str(item))
            for step in block.steps
            for b, item in enumerate(self.part.items)
        ]
        columns = self._labels(labels, ("step", "batch"))
        for u, unit in enumerate(self.part.units):
            for name, array in block.arrays.items():
                if u < array.shape[2]:
                    values = array[:, :, u].ravel()
                    digits = self._digits(name)
                    columns.append(self._column(f"{name}[{unit}]", name, values, digits))
        return columns

    def _summary(self, block: Block) -> list[Column]:
        """A line a step: the range of h and c over batch and units, the mean of each gate."""
        digits = SUMMARY_DIGITS if self.window.digits is None else self.window.digits
        columns = [Column("step", [str(step) for step in block.steps], "dim")]
        for name, array in block.arrays.items():
            values = array.reshape(len(block.steps), -1).astype(float)  # (s, B H)
            if name not in ("h", "c"):
                columns.append(self._column(name, name, values.mean(axis=1), digits, 2))
                continue
            rank = 0 if name == "h" else 1
            for what, reduced, of_rank in (
                ("min", values.min(axis=1), rank),
                ("mean", values.mean(axis=1), rank and 3),
                ("max", values.max(axis=1), rank),
            ):
                columns.append(self._column(f"{name} {what}", name, reduced, digits, of_rank))
        gates = [array for name, array in block.arrays.items() if name in "ifo"]
        if gates:
            shares = np.mean([is_saturated(gate).mean(axis=(1, 2)) for gate in gates], axis=0)
            columns.append(Column("saturated", [percent(float(x)) for x in shares], rank=1))
        return columns

    def _labels(self, labels: Sequence[Sequence[str]], headings: Sequence[str]) -> list[Column]:
        """The columns that say what a line is; no batch item where there is only one."""
        columns = zip(headings, zip(*labels, strict=True), strict=True)
        return [
            Column(heading, cells, "dim")
            for heading, cells in columns
            if heading != "batch" or self.part.batch > 1
        ]

    def _column(
        self,
        heading: str,
        quantity: str,
        values: Sequence[float | None] | Array,
        digits: int,
        rank: int = 0,
    ) -> Column:
        """Numbers of a quantity; None is blank."""
        numbers = [None if value is None else float(value) for value in values]
        format = self.formats.setdefault(heading, NumberFormat.of(numbers, digits))
        style = "bold" if quantity == "h" else ""
        return Column(heading, [*map(format.text, numbers)], style, rank=rank)

    def _digits(self, quantity: str) -> int:
        if self.window.digits is not None:
            return self.window.digits
        return STATE_DIGITS if quantity in ("h", "c") else GATE_DIGITS

    def _may_fit_wide(self, width: Width) -> bool:
        """Whether all units of a step fit on one line of a terminal, without exponents."""
        units, items = self.part.units, self.part.items
        quantities = [name for name in self.window.show for _ in range(4 if name == "z" else 1)]
        of_unit = sum(self._digits(name) + 4 for name in quantities)  # sign, digit, point, gap
        labels = 8 if len(items) > 1 else 4
        return width.table is not None and 1 < len(units) <= (width.table - labels) // of_unit


# ---- summary of all steps


class CellSummary:
    """Ranges of h and c, saturated gates and dead units over all steps of a cell."""

    def __init__(self, window: Window) -> None:
        self.saturation = Saturation()
        self._window = window._replace(steps=None)
        self._ranges: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def add(self, arrays: Mapping[str, Array]) -> None:
        """Include some steps, arrays (s, B, H) by name; from any thread."""
        if not arrays:
            return
        steps, batch = next(iter(arrays.values())).shape[:2]
        units = max(array.shape[2] for array in arrays.values())  # h of a projection has fewer
        part = CellWindow.of(steps, batch, units, self._window)
        selected = {name: part.select(array) for name, array in arrays.items()}
        self.saturation.add(selected)
        with self._lock:
            for name in ("h", "c"):
                if name in selected:
                    low, high = self._ranges.get(name, (float("inf"), float("-inf")))
                    array = selected[name]
                    self._ranges[name] = min(low, float(array.min())), max(high, float(array.max()))

    def sheet(self, units: Sequence[int], width: Width) -> Sheet:
        """The summary in words, and how to see more."""
        ranges = []
        for name, ends in self._ranges.items():
            low, high = map(NumberFormat.of(ends, SUMMARY_DIGITS).text, ends)
            ranges.append(f"{name} {low} .. {high}")
        sheet = labelled("overall", phrases(ranges), width)
        sheet.extend(saturation_sheet(self.saturation, units, width))
        text = "to see units: --units 0:4, one sequence: --batch 0; -o out.npz saves everything"
        sheet.extend(labelled("next", text, width))
        return sheet


def saturation_sheet(
    saturation: Saturation, units: Sequence[int], width: Width, *, shares: bool = True
) -> Sheet:
    """The gates near 0 or 1, the units where they stay there, and the dead units.

    ``units`` are the numbers of the units that were counted. Without ``shares`` it is empty where
    there is no unit to name.
    """
    of_gates = [f"{g} {percent(zero + one)}" for g, (zero, one) in saturation.shares().items()]
    lines = _saturated_units(saturation, units)
    if shares and of_gates:
        lines.insert(0, f"gates within {NEAR:g} of 0 or 1:  {phrases(of_gates)}")
    elif lines:
        lines[0] = f"within {NEAR:g} of 0 or 1, share of steps: {lines[0]}"
    sheet = labelled_lines("saturated", lines, width)
    if dead := saturation.dead_units():
        named = _units([(units[n], share) for n, share in dead])
        text = f"|h| below {QUIET:g}, share of steps: {named}"
        sheet.extend(labelled("dead", text, width))
    return sheet


def _saturated_units(saturation: Saturation, units: Sequence[int]) -> list[str]:
    """``f near 1 in units 17 (100 %), 80 (97 %)``, for each gate and each end."""
    ends: dict[tuple[str, int], list[SaturatedGate]] = {}
    for one in saturation.saturated_gates():
        ends.setdefault((one.gate, one.end), []).append(one)
    ordered = sorted(ends.items(), key=lambda item: ("ifo".find(item[0][0]), item[0][1]))
    return [
        f"{gate} near {end} in {_units([(units[one.unit], one.share) for one in found])}"
        for (gate, end), found in ordered
    ]


def _units(shares: Sequence[tuple[int, float]]) -> str:
    """``units 17 (100 %), 80 (97 %) and 3 more``."""
    noun = "unit" if len(shares) == 1 else "units"
    names = [unbroken(f"{unit} ({percent(share)})") for unit, share in shares]
    return f"{noun} {listed(names, UNITS_NAMED)}"
