"""A heat map of text: steps across, units down, cells pooled until they have room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.views.colors import Scale, character, color, few_colors
from lstmcli.views.sheet import DIFFERS, Span

Array = npt.NDArray[Any]

WIDEST = 4  # characters of one step, where there is room
UPPER = "▀"
TICK = 8  # characters between two numbers on the axis of steps, at least


def _cells(count: int, size: int) -> int:
    """How many cells of a size hold so many, the last one perhaps not full."""
    return -(-count // size)


class Grain(NamedTuple):
    """How a picture of many numbers is made to fit."""

    steps: int  # pooled into one cell, across
    units: int  # and down
    wide: int  # characters of one cell
    halves: bool  # two cells in a line, one in each half of the character

    @classmethod
    def of(cls, shape: tuple[int, ...], room: int, lines: int, depth: str) -> Grain:
        """The finest in which (T, H) fits ``room`` characters and ``lines`` lines."""
        steps, units = shape
        halves = depth in ("truecolor", "256") and units > lines
        across = _cells(steps, max(room, 1))
        down = _cells(units, lines * (2 if halves else 1))
        cells = _cells(steps, across)
        return cls(across, down, max(1, min(WIDEST, room // cells)), halves)

    def across(self, steps: int) -> int:
        """Characters that so many steps take."""
        return _cells(steps, self.steps) * self.wide

    @property
    def pooled(self) -> bool:
        """Whether a cell stands for several numbers."""
        return self.steps * self.units > 1


def pooled(values: Array, grain: Grain, how: str) -> Array:
    """(T, H) in cells of ``grain``: the mean of each, or what is farthest from zero."""
    across = np.arange(0, values.shape[0], grain.steps)
    down = np.arange(0, values.shape[1], grain.units)
    values = values.astype(np.float64)
    if not grain.pooled:
        return values

    def reduced(by: np.ufunc) -> Array:
        part: Array = by.reduceat(by.reduceat(values, across, axis=0), down, axis=1)
        return part

    if how == "extreme":
        most, least = reduced(np.maximum), reduced(np.minimum)
        return np.where(np.abs(least) > np.abs(most), least, most)
    counts = np.outer(
        np.diff([*across, values.shape[0]]), np.diff([*down, values.shape[1]])
    )  # of each cell: the last ones may be smaller
    with np.errstate(invalid="ignore", over="ignore"):
        mean: Array = reduced(np.add) / counts
        return mean


class Panel(NamedTuple):
    """One quantity to draw: its cells, the numbers of its steps and units, and a place to mark."""

    title: str
    words: str
    cells: Array  # (T, H) pooled by ``grain``
    grain: Grain
    steps: Sequence[int]
    units: Sequence[int]
    scale: Scale
    marked: tuple[int, int] | None = None  # places among the steps and the units


def drawn(panel: Panel, depth: str) -> list[list[Span]]:
    """The lines of a panel, all equally wide: title, cells with their units, axis of steps."""
    grain = panel.grain
    gutter = len(str(panel.units[-1])) + 1
    wide = gutter + grain.across(len(panel.steps))
    title: list[Span] = [
        (" " * gutter, ""), (panel.title, "bold"), (f"  {panel.words}" * bool(panel.words), "dim"),
    ]  # fmt: skip
    lines = [filled(title, wide)]
    if panel.marked:
        at = gutter + panel.marked[0] // grain.steps * grain.wide
        lines.append(filled([(" " * at, ""), ("▼", DIFFERS)], wide))
    tall = 2 if grain.halves else 1
    levels = panel.scale.levels(panel.cells).T  # (units, steps)
    for first in range(0, len(levels), tall):
        label = str(panel.units[first * grain.units]).rjust(gutter - 1)
        style = "dim"
        if panel.marked and first <= panel.marked[1] // grain.units < first + tall:
            label, style = f"{panel.units[panel.marked[1]]}".rjust(gutter - 1), DIFFERS
            label = f"{label}▶"
        elif tall * grain.units > 1 and (first // tall) % 2:
            label = ""
        painted = painted_cells(levels[first : first + tall], panel.scale, grain, depth)
        lines.append([(label.ljust(gutter), style), *painted])
    lines += [filled(line, wide) for line in _axis(panel.steps, grain, gutter)]
    return [filled(line, max(wide, _wide(lines))) for line in lines]


def painted_cells(rows: Array, scale: Scale, grain: Grain, depth: str) -> Iterator[Span]:
    """One line of cells: one row of levels, or two in the halves of each character."""
    if depth in ("none", "16"):
        for level in rows[0].tolist():
            style = few_colors(level, scale) if depth == "16" else ""
            yield character(level, scale) * grain.wide, style
        return
    colors = [[color(level, scale, depth) for level in row] for row in rows.tolist()]
    for styles, run in groupby(zip(*colors, strict=True)):
        count = sum(1 for _ in run) * grain.wide
        if not grain.halves:
            yield " " * count, f"on {styles[0]}"
        elif len(styles) == 1:  # the last unit of an odd number
            yield UPPER * count, styles[0]
        else:
            yield UPPER * count, f"{styles[0]} on {styles[1]}"


def _axis(steps: Sequence[int], grain: Grain, gutter: int) -> Iterator[list[Span]]:
    """The numbers of the steps under the first characters of their cells."""
    cells = _cells(len(steps), grain.steps)
    longest = len(str(steps[-1]))
    every = _round(_cells(max(longest + 1, TICK * (grain.wide == 1)), grain.wide))
    text, ticks = "", ""
    for cell in range(0, cells, every):
        at = cell * grain.wide
        ticks = ticks.ljust(at) + "╵"
        text = text.ljust(at) + str(steps[cell * grain.steps])
    yield [(" " * gutter + ticks, "dim")]
    yield [(" " * gutter + text, "dim")]


def _round(cells: int) -> int:
    """The next of 1, 2, 5, 10, 20, ..."""
    size = 1
    while True:
        for n in (1, 2, 5):
            if n * size >= cells:
                return n * size
        size *= 10


def _wide(lines: Sequence[Sequence[Span]]) -> int:
    return max(sum(len(text) for text, _ in line) for line in lines)


def filled(line: Sequence[Span], wide: int) -> list[Span]:
    """A line with blanks up to a width."""
    missing = wide - sum(len(text) for text, _ in line)
    return [*line, (" " * missing, "")] if missing > 0 else list(line)


def beside(panels: Sequence[list[list[Span]]], room: int, gap: int = 3) -> Iterator[list[Span]]:
    """Panels in rows, as many side by side as have room, a blank line between rows."""
    rows: list[list[list[list[Span]]]] = []
    left = -1
    for panel in panels:
        wide = _wide(panel)
        if left < wide + gap:
            rows.append([])
            left = room + gap
        rows[-1].append(panel)
        left -= wide + gap
    for n, row in enumerate(rows):
        if n:
            yield []
        tallest = max(map(len, row))
        for line in range(tallest):
            spans: list[Span] = []
            for m, panel in enumerate(row):
                own = panel[line] if line < len(panel) else [(" " * _wide(panel), "")]
                spans += [(" " * gap, "")] * (m > 0) + own
            yield spans


def legend(name: str, scale: Scale, depth: str) -> list[Span]:
    """The colours of a scale between its numbers."""
    cells = list(painted_cells(np.linspace(0, 1, 24)[None], scale, Grain(1, 1, 1, False), depth))
    low, high = (f"{n:g}" for n in (scale.low, scale.high))
    half = len(cells) // 2 if scale.signed else len(cells)
    middle = [(" 0 ", "")] if scale.signed else []
    return [(f"{name}  ", "dim"), (f"{low} ", ""), *cells[:half], *middle, *cells[half:],
            (f" {high}", "")]  # fmt: skip
