"""A run to look at: how the files were read, then the steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.forward.saturation import Saturation, is_saturated
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.selection import contiguous_ranges, take
from lstmcli.core.model.vocabulary import GATES, spaced_order
from lstmcli.views.numbers import format_number, percent
from lstmcli.views.prose import apart, labelled, room_of
from lstmcli.views.saturation import saturation_sheet
from lstmcli.views.sheet import ASSUMED, Column, Sheet, places_that_fit, table
from lstmcli.views.window import Window

STATE_DIGITS = 8  # h and c as NumPy prints them, to be held against a print by eye
GATE_DIGITS = 6
MANY = 16  # units x rows of a step; from here on a step is summed up in one line
LINES = 60  # of a table; a longer one shows its head and tail
EDGE = 24  # lines of each of the two
SEEN = ("h", "c", "i", "f", "g", "o")
SUMMED_EDGE = 8  # the same where a line is a whole step


def header_sheet(
    model: Model,
    shape: Sequence[int],
    layout: str,
    given_state: bool,
    width: int | None,
    engine: str = "",
    *,
    assumed_layout: str = "",
) -> Sheet:
    """How the files were read, and what was assumed rather than found."""
    cell, how = model.cell, model.convention
    rows, steps = 1, shape[0]
    if len(shape) == 3:
        rows, steps = shape[:2] if layout == "batch" else shape[1::-1]
    sheet = Sheet()
    _line(sheet, "weights", _tensors(model), _sizes(model), width)
    read = f"{tuple(shape)}" + (f"  layout {layout}" if len(shape) == 3 else "")
    sizes = f"{_count(rows, 'row')} x {_count(steps, 'step')} x {_count(cell.inputs, 'input')}"
    _line(sheet, "inputs", read, sizes, width)
    alike = all(layer[0].convention == how for layer in model.layers)
    reading = [how.name, f"gates {spaced_order(how.storage.gates)}", cell.dtype.name]
    reading += _unusual(how, model.given) if alike else []
    reading += [f"run by {engine}"] if engine else []
    _wrapped(sheet, "reading", reading, "", width)
    labels = model.labels or ([] if alike else [""] * len(model.layers))
    for n, (label, layer) in enumerate(zip(labels, model.layers, strict=False)):
        own = [] if alike else _unusual(layer[0].convention, model.given)
        words = [word for word in (label, *own) if word not in ("", "forget bias 0")]
        _wrapped(sheet, f"layer{n}", words, "", width)
    learned = all(cell.initial_h is not None for _, cell in model.cells)
    state = [] if given_state or learned else ["zero initial state"]
    assumed = [*model.assumed, *state]
    if assumed_layout and ("layout" in how.hidden or layout != how.behaviour.layout):
        assumed.append(assumed_layout)
    if assumed:
        _wrapped(sheet, "assumed", assumed, ASSUMED, width)
    sheet.add()
    return sheet


def _tensors(model: Model) -> str:
    """The tensors with their shapes; of many, the first and how many more."""
    words = [f"{name} {shape}" for name, shape in model.tensors.items()]
    if len(words) <= 4:
        return "  ".join(words)
    return f"{words[0]}  and {len(words) - 1} more tensors"


def _sizes(model: Model) -> str:
    """``4 inputs -> 3 units``, with layers, directions and a projection where there are any."""
    cell = model.cell
    words = f"{_count(cell.inputs, 'input')} -> {_count(cell.units, 'unit')}"
    if cell.projection is not None:
        words += f" -> {cell.outputs}"
    if len(model.layers) > 1:
        words += f", {len(model.layers)} layers"
    return words + (", both directions" if model.bidirectional else "")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _unusual(how: Convention, given: Mapping[str, Any]) -> list[str]:
    """The forget bias, and the settings that are not the plain cell's, in words."""
    bias = how.behaviour.forget_bias
    words = [f"forget bias {bias:+}" if bias else "forget bias 0"]
    usual = {"activation": "tanh", "output_activation": "tanh", "recurrent_activation": "sigmoid"}
    said = {"gates", "layout", "forget_bias"} | ({"masked_output"} - set(given))
    for name, value in how.settings().items():
        if name not in said and usual.get(name) != value:
            words.append(name.replace("_", " ") + ("" if value is True else f" {value}"))
    return words


def _line(sheet: Sheet, label: str, left: str, right: str, width: int | None) -> None:
    room = room_of(width) - 9 - len(right) - len(left)
    if room > 1:
        sheet.add((f"{label:7}  ", "dim"), left, " " * room, right)
    else:
        _wrapped(sheet, label, [*left.split("  "), right], "", width)


def _wrapped(sheet: Sheet, label: str, words: Sequence[str], style: str, width: int | None) -> None:
    """Words three blanks apart, on as many lines as they need."""
    lines = [""]
    for word in words:
        longer = f"{lines[-1]}   {word}" if lines[-1] else word
        if lines[-1] and len(longer) > room_of(width) - 9:
            lines.append(word)
        else:
            lines[-1] = longer
    for n, line in enumerate(lines):
        sheet.add((f"{label if n == 0 else '':7}  ", "dim"), (line, style))


# ---- the steps


Sizes = tuple[int, int, int]
"""T, B and H of a cell of a run."""


class Block(NamedTuple):
    """Steps of one cell, by their numbers in the run."""

    steps: Sequence[int]
    arrays: Mapping[str, Array]  # (s, B, K)


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Some steps of a run, and what all its steps sum up to."""

    steps: Sequence[int]  # their numbers in the run, ascending
    of_steps: int  # T of the run
    arrays: Mapping[str, Array]  # (s, B, K)
    over_all: Mapping[str, OverAll]  # by cell; of a single cell, ""


def trace_sheets(trace: Trace, window: Window, width: int | None) -> Iterator[Sheet]:
    """The table of a trace, in pieces: each step's units, or each step summed up.

    A trace of several cells has a table for each.
    """
    arrays = {name: trace.time_major(name) for name in trace.arrays}
    yield from excerpt_sheets(Excerpt(range(trace.steps), trace.steps, arrays, {}), window, width)


def excerpt_sheets(excerpt: Excerpt, window: Window, width: int | None) -> Iterator[Sheet]:
    """The table of a run of which only some steps are there, as `trace_sheets`."""
    cells = dict.fromkeys(name.rpartition(".")[0] for name in excerpt.arrays if "." in name)
    for n, cell in enumerate(cells or [""]):
        if cell:
            heading = Sheet()
            if n:
                heading.add()
            heading.add((cell, "bold"))
            yield heading
        arrays = _shown(excerpt.arrays, window.show, cell)
        rows, units = (max(a.shape[axis] for a in arrays.values()) for axis in (1, 2))
        part = _part(excerpt.of_steps, rows, units, window)
        chunks = [p[n : n + CHUNK] for p in part.steps for n in range(0, len(p), CHUNK)]
        blocks = (_block(excerpt.steps, chunk, arrays) for chunk in chunks)
        last = _block(excerpt.steps, chunks[-1], arrays)
        over_all = excerpt.over_all.get(cell)
        if over_all is None and (window.steps is None or not part.opened):
            over_all = _summed_up(arrays, window)
        yield from _cell_sheets(part, (rows, units), blocks, window, width, over_all, last)
    yield from _legend(window)


def piece_sheets(
    pieces: Iterable[tuple[Sequence[int], Mapping[str, Array]]],
    sizes: Sizes,
    window: Window,
    width: int | None,
    over_all: OverAll,
) -> Iterator[Sheet]:
    """The table of all steps of a single cell, from pieces that are still to be computed.

    ``over_all`` is complete after the last piece.
    """
    part = _part(*sizes, window)
    blocks = (Block(steps, _shown(arrays, window.show, "")) for steps, arrays in pieces)
    yield from _cell_sheets(part, sizes[1:], blocks, window, width, over_all)
    yield from _legend(window)


def _block(numbers: Sequence[int], steps: Sequence[int], arrays: Mapping[str, Array]) -> Block:
    """Some steps, out of arrays of the steps of these numbers."""
    positions = [bisect_left(numbers, step) for step in steps]
    return Block(steps, {name: take(array, positions, 0) for name, array in arrays.items()})


def _legend(window: Window) -> Iterator[Sheet]:
    if window.heat:
        from lstmcli.views.shading import shading_legend

        yield shading_legend(window.heat)


class Part(NamedTuple):
    """What of one cell a window shows."""

    rows: Sequence[int] | None  # None: all
    units: Sequence[int] | None
    opened: bool  # a line a unit, not a step summed up
    steps: list[Sequence[int]]  # head and tail, or one part

    def picked(self, array: Array) -> Array:
        """The rows and units of (T, B, H); nothing is copied where all are shown.

        A projected h has fewer units than c and the gates: those that it has.
        """
        array = array if self.rows is None else array[:, self.rows]
        if self.units is None:
            return array
        return array[:, :, [unit for unit in self.units if unit < array.shape[2]]]


def _part(steps: int, rows: int, units: int, window: Window) -> Part:
    chosen_rows = None if window.rows is None else window.rows.among(rows)
    chosen_units = None if window.units is None else window.units.among(units)
    chosen_steps = None if window.steps is None else window.steps.among(steps)
    r, u = rows if chosen_rows is None else len(chosen_rows), len(chosen_units or range(units))
    opened = chosen_units is not None or r * u <= MANY
    height = 1 if not opened else r * u + (u > 1)
    return Part(chosen_rows, chosen_units, opened, _parts(steps, chosen_steps, height))


def steps_shown(sizes: Iterable[Sizes], window: Window) -> list[range]:
    """The steps that the tables of cells of these sizes will show, in ascending ranges."""
    shown: set[int] = set()
    for of_cell in sizes:
        for part in _part(*of_cell, window).steps:
            shown.update(part)
    return contiguous_ranges(sorted(shown))


def sums_up(sizes: Iterable[Sizes], window: Window) -> bool:
    """Whether a table will sum up all steps of a run.

    Where it has a line for each unit it still names those that are stuck or dead, unless steps
    were chosen.
    """
    return window.steps is None or not all(_part(*of_cell, window).opened for of_cell in sizes)


def _cell_sheets(
    part: Part,
    sizes: tuple[int, int],
    blocks: Iterable[Block],
    window: Window,
    width: int | None,
    over_all: OverAll | None,
    last: Block | None = None,
) -> Iterator[Sheet]:
    """The table of one cell of B sequences and H units, block by block, and what it sums up to.

    Columns are wide enough for the last block too, where it is there already.
    """
    batch, _ = sizes
    rows, units = (
        range(size) if chosen is None else chosen
        for chosen, size in zip((part.rows, part.units), sizes, strict=True)
    )
    blank = False
    gap = 2
    build: Callable[[Block], list[Column]] = partial(_summary_columns, window=window)
    if part.opened:
        wide = width is not None and _fits_wide(window, rows, units, width)
        gap, blank = (1, False) if wide else (2, len(rows) * len(units) > 1)
        build = partial(
            _wide if wide else _tall, rows=rows, units=units, batch=batch, window=window
        )

    def columns(block: Block) -> list[Column]:
        return _heated(build(_picked(block, part)), window)

    yield from _table_sheets(columns, blocks, part.steps, width, gap, blank, last)
    if over_all is not None:
        if not part.opened:
            yield over_all.sheet(units, width)
        elif over_all.counts.anything:
            yield saturation_sheet(over_all.counts, units, width, shares=False)


def _picked(block: Block, part: Part) -> Block:
    """The sequences and units of a block that are shown."""
    return Block(block.steps, {name: part.picked(a) for name, a in block.arrays.items()})


def _shown(held: Mapping[str, Array], show: Sequence[str], cell: str) -> dict[str, Array]:
    """One cell's arrays to show, each (s, B, H); z as the four of its gates."""
    arrays: dict[str, Array] = {}
    for name in show:
        array = held[f"{cell}.{name}" if cell else name]
        if name == "z":
            units = array.shape[2] // 4
            for n, gate in enumerate(GATES):
                arrays[f"z_{gate}"] = array[:, :, n * units : (n + 1) * units]
        else:
            arrays[name] = array
    return arrays


def _parts(steps: int, chosen: Sequence[int] | None, height: int) -> list[Sequence[int]]:
    """The steps to show: all that were chosen, else all if they are few, else head and tail."""
    if chosen is not None:
        return [chosen]
    if steps * height <= (LINES if height > 1 else LINES // 2):
        return [range(steps)]
    edge = SUMMED_EDGE if height == 1 else max(1, EDGE // height)
    if 2 * edge >= steps:
        return [range(steps)]
    return [range(edge), range(steps - edge, steps)]


CHUNK = 1000  # steps of a table that are made at a time: one of any length needs little memory


def _heated(columns: list[Column], window: Window) -> list[Column]:
    """The columns shaded, where that is asked for."""
    if not window.heat:
        return columns
    from lstmcli.views.shading import shade

    return shade(columns, window.heat)


def _table_sheets(
    build: Callable[[Block], list[Column]],
    blocks: Iterable[Block],
    parts: Sequence[Sequence[int]],
    width: int | None,
    gap: int,
    blank: bool,
    last: Block | None,
) -> Iterator[Sheet]:
    """A table in pieces with the same columns, and a line for the steps between two parts.

    Columns are as wide as the first block needs, and the ``last`` one.
    """
    kept: list[int] | None = None
    least: list[int] = []
    for block in blocks:
        columns = build(block)
        if kept is None:
            least = [column.width for column in columns]
            if last is not None and last.steps[0] != block.steps[0]:
                least = [max(w, c.width) for w, c in zip(least, build(last), strict=True)]
        elif len(parts) > 1 and block.steps[0] == parts[1][0]:
            yield _left_out(parts, blank)
        columns = [c._replace(least=w) for c, w in zip(columns, least, strict=True)]
        sheet = Sheet()
        if kept is None:
            kept = places_that_fit(columns, width, gap)
            sheet = _no_room([c.heading for i, c in enumerate(columns) if i not in kept], width)
            sheet.extend(table([columns[i] for i in kept], gap=gap, rule=width is not None))
        else:
            sheet.extend(table([columns[i] for i in kept], gap=gap, headings=False))
        yield sheet


def _no_room(headings: Sequence[str], width: int | None) -> Sheet:
    """A line that names the columns left out; no line if there are none."""
    sheet = Sheet()
    if headings:
        gone = ", ".join(headings)
        text = f"no room for {gone}: a wider window, --digits or --show"
        sheet.extend(labelled("", text, width, "dim", indent=0))
    return sheet


def _tall(
    block: Block, rows: Sequence[int], units: Sequence[int], batch: int, window: Window
) -> list[Column]:
    """Columns step, row, unit and one per quantity; a blank line after each step of several."""
    spaced_out = len(rows) * len(units) > 1
    labels: list[tuple[str, str, str]] = []
    for step in block.steps:
        for r, row in enumerate(rows):
            for u, unit in enumerate(units):
                labels.append(
                    (str(step) if not (r or u) else "", str(row) if not u else "", str(unit))
                )
        if spaced_out:
            labels.append(("", "", ""))
    columns = [Column("step", [a for a, _, _ in labels], "dim")]
    if batch > 1:
        columns.append(Column("row", [b for _, b, _ in labels], "dim"))
    columns.append(Column("unit", [c for _, _, c in labels], "dim"))
    for rank, (name, array) in enumerate(block.arrays.items()):
        cells = []
        absent = [""] * (len(units) - array.shape[2])
        for step in array:
            for row in step:
                cells += _numbers(row, name, window) + absent
            if spaced_out:
                cells.append("")
        columns.append(Column(name, cells, "bold" if name == "h" else "", rank=_rank(name, rank)))
    return columns


def _wide(
    block: Block, rows: Sequence[int], units: Sequence[int], batch: int, window: Window
) -> list[Column]:
    """A line a step and row; the quantities of each unit side by side."""
    steps = block.steps
    columns = [
        Column("step", [str(s) if r == 0 else "" for s in steps for r in range(len(rows))], "dim")
    ]
    if batch > 1:
        columns.append(Column("row", [str(row) for _ in steps for row in rows], "dim"))
    for u, unit in enumerate(units):
        for name, array in block.arrays.items():
            if u >= array.shape[2]:
                continue
            cells = [cell for step in array for cell in _numbers(step[:, u], name, window)]
            columns.append(Column(f"{name}[{unit}]", cells, "bold" if name == "h" else ""))
    return columns


def _fits_wide(window: Window, rows: Sequence[int], units: Sequence[int], width: int) -> bool:
    columns = [name for name in window.show for _ in range(4 if name == "z" else 1)]
    one = sum(_digits(name, window) + 4 for name in columns)  # sign, digit, point and a gap
    return len(units) > 1 and (8 if len(rows) > 1 else 4) + one * len(units) <= width


def _rank(name: str, place: int) -> int:
    """Gates go before c, c before h, h never."""
    return 0 if name == "h" else 1 if name == "c" else 2 + place


def _digits(name: str, window: Window) -> int:
    if window.digits is not None:
        return window.digits
    return STATE_DIGITS if name in ("h", "c") else GATE_DIGITS


def _numbers(values: Array, name: str, window: Window) -> list[str]:
    digits = _digits(name, window)
    return [format_number(float(v), digits) for v in values.ravel()]


def _left_out(parts: Sequence[Sequence[int]], blank: bool) -> Sheet:
    """The line between head and tail."""
    after, before = parts[0][-1], parts[-1][0]
    some = f"--steps {after + 1}:{min(before, after + 11)} some"
    sheet = Sheet()
    count = _count(before - after - 1, "step")
    sheet.add((f" ...  {count} left out: --steps : shows all, {some}", "dim"))
    if blank:
        sheet.add()
    return sheet


# ---- summed up


def _summary_columns(block: Block, window: Window) -> list[Column]:
    """A line a step: the range of h and c over sequences and units, the mean of each gate."""
    digits = 3 if window.digits is None else window.digits
    columns = [Column("step", [str(step) for step in block.steps], "dim")]
    gates = [array for name, array in block.arrays.items() if name in "ifo"]
    for name, array in block.arrays.items():
        part = array.reshape(len(block.steps), -1).astype(float)  # (s, B H)
        if name not in ("h", "c"):
            columns.append(_column(name, part.mean(axis=1), digits, 2))
            continue
        rank, style = (0, "bold") if name == "h" else (1, "")
        columns.append(_column(f"{name} min", part.min(axis=1), digits, rank, style))
        columns.append(_column(f"{name} mean", part.mean(axis=1), digits, rank and 3, style))
        columns.append(_column(f"{name} max", part.max(axis=1), digits, rank, style))
    if gates:
        shares = [is_saturated(gate).mean(axis=(1, 2)) for gate in gates]
        stuck = [percent(float(share)) for share in np.mean(shares, axis=0)]
        columns.append(Column("stuck", stuck, rank=1))
    return columns


def _column(heading: str, values: Array, digits: int, rank: int, style: str = "") -> Column:
    return Column(heading, [format_number(float(v), digits) for v in values], style, rank=rank)


class OverAll:
    """All steps of a cell summed up as they are seen: ranges, stuck gates, dead units."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._ranges: dict[str, tuple[float, float]] = {}
        self.counts = Saturation()
        self._lock = Lock()

    def see(self, arrays: Mapping[str, Array]) -> None:
        """Take some steps into account, arrays (s, B, H) by name; from any thread."""
        if not arrays:
            return
        steps, rows, units = next(iter(arrays.values())).shape
        part = _part(steps, rows, units, self._window._replace(steps=None))
        own = {name: part.picked(array) for name, array in arrays.items()}
        self.counts.see(own)
        with self._lock:
            for name in ("h", "c"):
                if name in own:
                    low, high = self._ranges.get(name, (float("inf"), float("-inf")))
                    least, most = float(own[name].min()), float(own[name].max())
                    self._ranges[name] = min(low, least), max(high, most)

    def sheet(self, units: Sequence[int], width: int | None) -> Sheet:
        """What was seen, in words."""
        sheet = Sheet()
        ranges = [
            f"{k} {format_number(a, 3)} .. {format_number(b, 3)}"
            for k, (a, b) in self._ranges.items()
        ]
        sheet.extend(labelled("over all", apart(ranges), width))
        sheet.extend(saturation_sheet(self.counts, units, width))
        text = "--units 0:4 opens units, --batch 0 a row; -o out.npz keeps everything"
        sheet.extend(labelled("next", text, width))
        return sheet


def _summed_up(arrays: Mapping[str, Array], window: Window) -> OverAll:
    over_all = OverAll(window)
    over_all.see({name: array for name, array in arrays.items() if name in SEEN})
    return over_all
