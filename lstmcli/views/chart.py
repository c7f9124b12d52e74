"""A line chart in text: braille dots, two across and four down in each character."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import format_size
from lstmcli.views.colors import Scale
from lstmcli.views.sheet import DIFFERS, Curve, Sheet, Span

TALL = 5  # lines, an odd number: 0 is in the middle of one
WIDEST = 8  # characters from one step to the next
GUTTER = 6  # columns for the numbers of the scale
BRAILLE = 0x2800
DOTS = np.array(
    [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]]
)  # Unicode 16.0, 21.1


def chart(
    values: Array, steps: Sequence[int], scale: Scale, width: int, marked: int | None
) -> Sheet:
    """The lines of (T,) numbers over their steps, with the ends of the scale, and the steps below.

    A column of dots for several steps spans their least and largest number.
    """
    ends = {0: scale.high, TALL - 1: scale.low} | (
        {TALL // 2: 0.0} if scale.signed else {}
    )
    labels = {line: _label(value) for line, value in ends.items()}
    gutter = max(GUTTER, 1 + max(map(len, labels.values())))
    columns = max(width - gutter - 1, 8)
    gaps = max(len(values) - 1, 1)
    per_step = max(1, min(WIDEST, (columns - 1) // gaps))  # characters
    across = min(columns, (len(values) - 1) * per_step + 1)
    levels = scale.levels(values)
    at = np.linspace(0, across * 2 - 1, len(levels)) if len(levels) > 1 else np.zeros(1)
    heights = (
        0.5 + (1 - levels) * (TALL - 1)
    ) / TALL  # the ends at the middles of their lines
    points = zip(((at + 0.5) / (across * 2)).tolist(), heights.tolist(), strict=True)
    curve = Curve(0, gutter, TALL, across, [*points])
    sheet = Sheet(curves=[curve])
    for line, row in enumerate(_characters(_dots(levels, at, across * 2))):
        sheet.add((f"{labels.get(line, ''):>{gutter - 1}}┤", "dim"), row)
    sheet.lines.extend(_axis(steps, across, marked, gutter))
    return sheet


def _label(value: float) -> str:
    """A number with one to three digits, as five characters take them."""
    texts = [format_size(value, digits) for digits in (3, 2, 1)]
    return next((text for text in texts if len(text) < GUTTER), texts[-1])


def _dots(levels: Array, at: Array, across: int) -> Array:
    """(across, 4 TALL) booleans: each column filled from one height to the next."""
    dots = np.zeros((across, TALL * 4), bool)
    known = np.isfinite(levels)
    if not known.any():
        return dots
    heights = (1 - levels) * (TALL * 4 - 1)
    low, high = np.full(across, np.inf), np.full(across, -np.inf)
    columns = np.rint(at).astype(int)
    np.minimum.at(low, columns[known], heights[known])
    np.maximum.at(high, columns[known], heights[known])
    between = np.interp(np.arange(across), at, np.where(known, heights, np.nan))
    low, high = np.fmin(low, between), np.fmax(high, between)
    for column in range(across):
        if not np.isfinite(low[column]):
            continue  # NaN: a gap
        top, bottom = low[column], high[column]
        if column and np.isfinite(
            between[column - 1]
        ):  # reaches half way to the column before
            half = (between[column - 1] + between[column]) / 2
            top, bottom = min(top, half), max(bottom, half)
        dots[column, round(float(top)) : round(float(bottom)) + 1] = True
    return dots


def _characters(dots: Array) -> Iterator[str]:
    cells = dots.reshape(dots.shape[0] // 2, 2, -1, 4)  # (W, 2, L, 4)
    codes = BRAILLE + (cells * DOTS[None, :, None, :]).sum(axis=(1, 3))  # (W, L)
    for line in codes.T:
        yield "".join(map(chr, line.tolist()))


def _axis(
    steps: Sequence[int], across: int, marked: int | None, gutter: int
) -> Iterator[list[Span]]:
    last = max(len(steps) - 1, 1)
    text = ""
    every = max(1, -(-(len(str(steps[-1])) + 3) * last // max(across - 1, 1)))
    for n in range(0, len(steps), every):
        label = str(steps[n])
        at = round(n / last * (across - 1)) - (len(label) - 1) // 2
        text = text.ljust(at) + label
    if marked is not None:
        at = round(marked / last * (across - 1))
        yield [(" " * (gutter + at), ""), ("▲", DIFFERS)]
    yield [(" " * gutter + text, "dim")]
