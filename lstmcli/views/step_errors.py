"""The error of each step: a strip of bars for the eye, or a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.diff.metrics import ArrayDifference
from lstmcli.views.sheet import DIFFERS, Column, Sheet, fit, table
from lstmcli.views.sizes import compact, short

Array = npt.NDArray[Any]

MANY_STEPS = 40  # more are shown by head and tail on a terminal
MANY_STRIPS = 8
LABEL = 19  # characters before the strips

_LEFT_OUT = -1.0  # in the place of the error of a step that was not compared
_BARS = "▁▂▃▄▅▆▇█"
_FEWEST_BARS = 8


def strips(arrays: Sequence[ArrayDifference], named: bool, width: int) -> Sheet:
    """One strip of bars for each array, a bar a step, or for several steps where they are many.

    The legend says what the highest bar stands for; each array has its own scale.
    """
    shown = arrays[:MANY_STRIPS]
    heads = [f"{array.name} " if named else "" for array in shown]
    legends = [_legend(_errors(array)) for array in shown]
    ends = [_numbers(array) for array in shown]
    tails = [f" {end[-1]}" for end in ends]
    firsts = [f"{end[0]} " for end in ends]
    head, first, legend, tail = (
        max(map(len, x), default=0) for x in (heads, firsts, legends, tails)
    )
    room = max(width - LABEL - head - first - tail - 3 - legend, _FEWEST_BARS)
    sheet = Sheet()
    for n, array in enumerate(shown):
        label = "error per step" if n == 0 else ""
        bars = "".join(_bars(_errors(array), room))
        start = f"{heads[n]:{head}}{firsts[n]:>{first}}"
        sheet.add((f"{label:{LABEL}}", "dim"), start, (bars, DIFFERS), tails[n] + "   ", legends[n])
    if len(arrays) > len(shown):
        more = f"{'':{LABEL}}and {len(arrays) - len(shown)} arrays more: --per-step"
        sheet.add((more, "dim"))
    return sheet


def _errors(array: ArrayDifference) -> Array:
    """(T,) absolute errors, below 0 where nothing was compared; none for an array without steps."""
    if array.step_errors is None or array.steps_compared is None:
        return np.zeros(0)
    errors: Array = np.where(array.steps_compared, array.step_errors, _LEFT_OUT)
    return errors


def _numbers(array: ArrayDifference) -> Sequence[int]:
    """The numbers of the steps in the whole run."""
    return range(len(_errors(array))) if array.steps is None else array.steps


def _greatest(errors: Array) -> float:
    return float(errors[np.isfinite(errors)].max(initial=0))


def _legend(errors: Array) -> str:
    scale = f"0 .. {compact(f'{_greatest(errors):.2g}')}"
    scale += "" if np.isfinite(errors).all() else ", ! not finite"
    return f"{scale}, · not compared" if (errors < 0).any() else scale


def _bars(errors: Array, room: int) -> Iterator[str]:
    most = _greatest(errors)
    for error in _pooled(errors, room):
        if error < 0:
            yield "·"
            continue
        level = error / most if most else 0.0
        yield _BARS[round(level * (len(_BARS) - 1))] if math.isfinite(error) else "!"


def _pooled(errors: Array, room: int) -> Iterator[float]:
    """At most ``room`` numbers, each the greatest of successive steps; NaN is the greatest."""
    edges = np.linspace(0, len(errors), min(room, len(errors)) + 1).astype(int)
    for start, stop in pairwise(edges):
        yield float(errors[start:stop].max())


def step_table(arrays: Sequence[ArrayDifference], width: int | None) -> Sheet:
    """A line a step: how many numbers differ, and the greatest error of each array."""
    steps = max((len(_errors(array)) for array in arrays), default=0)
    if not steps:
        sheet = Sheet()
        sheet.add(("no array has steps that could be compared", "dim"))
        return sheet
    arrays = [array for array in arrays if len(_errors(array)) == steps]
    chosen, cut = _head_and_tail(steps, width)
    sheet = fitted(_columns(arrays, chosen, cut), width)
    if cut:
        remark = f"{steps - len(chosen)} steps left out; piped, as into less, all are shown"
        sheet.add((remark, "dim"))
    return sheet


def fitted(columns: Sequence[Column], width: int | None) -> Sheet:
    """A table of the columns that have room, and a line that names the others."""
    kept = fit(columns, width)
    sheet = table(kept)
    gone = [column.heading for column in columns if column not in kept]
    names = [" ".join(heading.split()) for heading in gone if heading != "at"]
    if names:  # a place goes with its size and is not named
        sheet.add((f"no room for {', '.join(names)}: a wider window, or a pipe", "dim"))
    return sheet


def _columns(arrays: Sequence[ArrayDifference], chosen: Sequence[int], cut: int) -> list[Column]:
    counts = [array.step_mismatches for array in arrays if array.step_mismatches is not None]
    differ = np.sum(counts, axis=0)  # (T,)
    columns = [
        Column("step", _with_gap([str(_numbers(arrays[0])[n]) for n in chosen], cut, "..."), "dim"),
        Column("differ", _with_gap([str(differ[n]) for n in chosen], cut), DIFFERS),
    ]
    for place, array in enumerate(arrays):
        errors = [float(_errors(array)[n]) for n in chosen]
        cells = ["-" if error < 0 else short(error) for error in errors]
        columns.append(Column(f"max abs {array.name}", _with_gap(cells, cut), rank=place))
    return columns


def _head_and_tail(steps: int, width: int | None) -> tuple[list[int], int]:
    """The steps to show, and after how many of them some are left out (0: none are)."""
    if width is None or steps <= MANY_STEPS:
        return list(range(steps)), 0
    edge = MANY_STEPS // 2
    return [*range(edge), *range(steps - edge, steps)], edge


def _with_gap(cells: Sequence[str], cut: int, gap: str = "") -> list[str]:
    return [*cells[:cut], gap, *cells[cut:]] if cut else list(cells)
