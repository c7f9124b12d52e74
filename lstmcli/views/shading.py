"""Tables whose numbers stand on a colour that shows their size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lstmcli.views.colors import GATE, SIGNED, Scale, shaded
from lstmcli.views.heatmap import legend
from lstmcli.views.sheet import Column, Sheet

UNIT = Scale(-1.0, 1.0, SIGNED)
BOUNDED = ("h", "g")  # by the usual tanh; c and pre-activations go through one to be shown
GATES = ("i", "f", "o")


def shade(columns: Sequence[Column], depth: str) -> list[Column]:
    """Columns of h, c, g, z and gates with a style for each number; others as they are.

    The scales are the same in every table, so that pieces of a long one match.
    """
    return [_shaded(column, depth) for column in columns]


def _shaded(column: Column, depth: str) -> Column:
    name = column.heading.split(" ")[0].partition("[")[0]  # "h" of "h min" and of "h[2]"
    if name not in (*GATES, *BOUNDED, "c") and not name.startswith("z_"):
        return column
    styles = [_style(cell, name, depth) if cell else column.style for cell in column.cells]
    return column._replace(styles=[f"{column.style} {style}".strip() for style in styles])


def _style(cell: str, name: str, depth: str) -> str:
    value = float(cell)
    if name in GATES:
        return shaded(_level(value, GATE), GATE, depth)
    return shaded(_level(value if name in BOUNDED else math.tanh(value), UNIT), UNIT, depth)


def _level(value: float, scale: Scale) -> float:
    return float(scale.levels(np.array([value]))[0])


def shading_legend(depth: str) -> Sheet:
    """What the colours stand for."""
    sheet = Sheet()
    if depth == "16":
        for name, scale, low, high in (
            ("gates", GATE, "0.2", "0.8"),
            ("h, g", UNIT, "-0.6", "0.6"),
        ):
            below, above = (shaded(level, scale, depth) for level in (0.0, 1.0))
            sheet.add(
                (f"{name:10}", "dim"), (f"below {low}", below), "  ", (f"above {high}", above)
            )
    else:
        sheet.lines.append(legend(f"{'gates':8}", GATE, depth))
        sheet.lines.append(legend(f"{'h, g':8}", UNIT, depth))
    sheet.add((f"{'c':10}", "dim"), "as tanh(c), on the scale of h")
    return sheet
