"""Heat maps in text: steps across, units down, pooled to fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.views.colors import Scale, character, color
from lstmcli.views.sheet import DIFFERS, Span

GAP = 3  # columns between two panels
WIDEST = 4  # characters of one step, where they fit
UPPER = "▀"
TICK = 8  # characters between two numbers on the axis of steps, at least

Lines = list[list[Span]]

QUANTITIES = {
    "h": "output",
    "c": "cell state",
    "i": "input gate",
    "f": "forget gate",
    "g": "candidate",
    "o": "output gate",
    "y": "output of the model",
    **{f"z_{gate}": f"pre-activation of {gate}" for gate in "ifgo"},
}


def _ceil_div(count: int, size: int) -> int:
    return -(-count // size)


class Pooling(NamedTuple):
    """How many steps and units each cell of a heat map stands for, and how it is drawn."""

    steps: int  # across
    units: int  # down
    characters: int  # across
    half_blocks: bool  # two cells in each line, one in each half of a character

    @classmethod
    def to_fit(
        cls, shape: tuple[int, ...], columns: int, lines: int, depth: str
    ) -> Pooling:
        """The finest with which (T, H) fits this many columns and lines."""
        steps, units = shape
        half_blocks = depth in ("truecolor", "256") and units > lines
        of_steps = _ceil_div(steps, max(columns, 1))
        of_units = _ceil_div(units, lines * (2 if half_blocks else 1))
        characters = max(1, min(WIDEST, columns // _ceil_div(steps, of_steps)))
        return cls(of_steps, of_units, characters, half_blocks)

    @property
    def is_needed(self) -> bool:
        """Return whether a cell stands for several numbers."""
        return self.steps * self.units > 1

    @property
    def middle(self) -> int:
        """The character of a cell below which its tick stands."""
        return (self.characters - 1) // 2

    @property
    def rows_per_line(self) -> int:
        """Rows of cells in each line of text."""
        return 2 if self.half_blocks else 1


@np.errstate(over="ignore")
def pooled(values: Array, pooling: Pooling, how: str) -> Array:
    """(T, H) reduced to cells: their means, or for ``extreme`` the values farthest from 0."""
    values = values.astype(np.float64)
    if not pooling.is_needed:
        return values
    across = np.arange(0, values.shape[0], pooling.steps)
    down = np.arange(0, values.shape[1], pooling.units)

    def reduced(by: np.ufunc) -> Array:
        part: Array = by.reduceat(by.reduceat(values, across, axis=0), down, axis=1)
        return part

    if how == "extreme":
        most, least = reduced(np.maximum), reduced(np.minimum)
        return np.where(np.abs(least) > np.abs(most), least, most)
    widths, heights = (
        np.diff([*across, values.shape[0]]),
        np.diff([*down, values.shape[1]]),
    )
    with np.errstate(invalid="ignore", over="ignore"):
        mean: Array = reduced(np.add) / np.outer(
            widths, heights
        )  # the last cells may be smaller
        return mean


class Quantity(NamedTuple):
    """The part of an array to draw: (T, H) with the numbers of its steps and units."""

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
        """The quantity in words."""
        return QUANTITIES.get(self.base, "")


def panel_lines(
    quantity: Quantity, cells: Array, pooling: Pooling, scale: Scale, depth: str
) -> Lines:
    """The lines of a quantity, of one width: title, pooled ``cells`` with units, axis of steps."""
    gutter = len(str(quantity.units[-1])) + 1
    width = gutter + _ceil_div(len(quantity.steps), pooling.steps) * pooling.characters
    words = f"  {quantity.words}" if quantity.words else ""
    lines: Lines = [[(" " * gutter, ""), (quantity.name, "bold"), (words, "dim")]]
    if quantity.marked:
        column = (
            gutter
            + quantity.marked[0] // pooling.steps * pooling.characters
            + pooling.middle
        )
        lines.append([(" " * column, ""), ("▼", DIFFERS)])
    levels = scale.levels(cells).T  # (units, steps)
    for first in range(0, len(levels), pooling.rows_per_line):
        row = levels[first : first + pooling.rows_per_line]
        label, style = _unit_label(quantity, pooling, first)
        lines.append(
            [(label.ljust(gutter), style), *_painted_cells(row, scale, pooling, depth)]
        )
    lines += [
        [(" " * gutter + text, "dim")] for text in _step_axis(quantity.steps, pooling)
    ]
    width = max(width, _width(lines))
    return [[*line, (" " * (width - _width([line])), "")] for line in lines]


def unit_gutter(drawn: Sequence[Quantity]) -> int:
    """The columns in front of the rows of one unit, which have the names of arrays."""
    return max(len(quantity.name) for quantity in drawn) + 2


def unit_lines(
    drawn: Sequence[Quantity],
    cells: Sequence[Array],
    poolings: Sequence[Pooling],
    of_kind: Mapping[str, Scale],
    depth: str,
) -> Lines:
    """The lines of one unit: a row for each array, and the steps below.

    Arrays of a part of a run may have other steps: a row whose steps are not
    those of the next has its own axis.
    """
    gutter = unit_gutter(drawn)
    lines: Lines = [[(" " * gutter, ""), (f"unit {drawn[0].units[0]}", "bold")]]
    for n, quantity in enumerate(drawn):
        pooling = poolings[n]
        scale = of_kind[quantity.kind]
        if quantity.marked:
            cell = quantity.marked[0] // pooling.steps
            column = gutter + cell * pooling.characters + pooling.middle
            lines.append([(" " * column, ""), ("▼", DIFFERS)])
            label = (f"{quantity.name}▶".ljust(gutter), DIFFERS)
        else:
            label = (quantity.name.ljust(gutter), "bold")
        painted = _painted_cells(scale.levels(cells[n]).T, scale, pooling, depth)
        lines.append([label, *painted])
        is_last = n == len(drawn) - 1
        if is_last or list(drawn[n + 1].steps) != list(quantity.steps):
            for text in _step_axis(quantity.steps, pooling):
                lines.append([(" " * gutter + text, "dim")])
    return lines


def _unit_label(quantity: Quantity, pooling: Pooling, first: int) -> Span:
    digits = len(str(quantity.units[-1]))
    rows = pooling.rows_per_line
    if quantity.marked and first <= quantity.marked[1] // pooling.units < first + rows:
        return f"{quantity.units[quantity.marked[1]]:>{digits}}▶", DIFFERS
    if rows * pooling.units > 1 and (first // rows) % 2:
        return "", "dim"
    return f"{quantity.units[first * pooling.units]:>{digits}}", "dim"


def _painted_cells(
    rows: Array, scale: Scale, pooling: Pooling, depth: str
) -> Iterator[Span]:
    if depth == "none":
        for level in rows[0].tolist():
            yield character(level, scale) * pooling.characters, ""
        return
    colors = [[color(level, scale, depth) for level in row] for row in rows.tolist()]
    for styles, run in groupby(zip(*colors, strict=True)):
        characters = sum(1 for _ in run) * pooling.characters
        if not pooling.half_blocks:
            yield " " * characters, f"on {styles[0]}"
        elif len(styles) == 1:  # the last unit of an odd number
            yield UPPER * characters, styles[0]
        else:
            yield UPPER * characters, f"{styles[0]} on {styles[1]}"


def _step_axis(steps: Sequence[int], pooling: Pooling) -> tuple[str, str]:
    least = max(len(str(steps[-1])) + 1, TICK * (pooling.characters == 1))
    round_numbers = (n * 10**power for power in count() for n in (1, 2, 5))
    every = next(n for n in round_numbers if n * pooling.characters >= least)
    text, ticks = "", ""
    for cell in range(0, _ceil_div(len(steps), pooling.steps), every):
        column = cell * pooling.characters + pooling.middle
        label = str(steps[cell * pooling.steps])
        ticks = ticks.ljust(column) + "╵"
        text = text.ljust(column - (len(label) - 1) // 2) + label
    return ticks, text


def _width(lines: Sequence[Sequence[Span]]) -> int:
    return max(sum(len(text) for text, _ in line) for line in lines)


def in_rows(panels: Sequence[Lines], columns: int) -> Iterator[list[Span]]:
    """The lines of panels, as many in a row as fit, a blank line between rows."""
    rows: list[list[Lines]] = []
    left = -1
    for panel in panels:
        width = _width(panel)
        if left < width + GAP:
            rows.append([])
            left = columns + GAP
        rows[-1].append(panel)
        left -= width + GAP
    for n, row in enumerate(rows):
        if n:
            yield []
        for line in range(max(map(len, row))):
            spans: list[Span] = []
            for m, panel in enumerate(row):
                if m:
                    spans.append((" " * GAP, ""))
                spans += (
                    panel[line] if line < len(panel) else [(" " * _width(panel), "")]
                )
            yield spans


def legend(name: str, scale: Scale, depth: str, least: int) -> list[Span]:
    """The colours of a scale between its numbers, the first of ``least`` characters."""
    levels = np.linspace(0, 1, 24)[None]
    cells = list(_painted_cells(levels, scale, Pooling(1, 1, 1, False), depth))
    low, high = (f"{n:g}" for n in (scale.low, scale.high))
    return [(f"{name}  ", "dim"), (f"{low:>{least}} ", ""), *cells, (f" {high}", "")]
