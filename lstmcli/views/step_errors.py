"""The errors of each step of two sides: a strip of bars for each array, and a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from lstmcli.core.diff.figures import ArrayDifference
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import format_size
from lstmcli.views.sheet import DIFFERS, INDENT, Column, Sheet, Width, fitting_table
from lstmcli.views.text import error_sizes

MANY_STRIPS = 8
NOT_COMPARED = -1.0  # stands for the error of a step that was not compared
BARS = "▁▂▃▄▅▆▇█"
FEWEST_BARS = 8


def strips(arrays: Sequence[ArrayDifference], named: bool, width: Width) -> Sheet:
    """A strip of bars for each array: a bar for each step, or for several of many.

    Each has its scale, and in the legend the error of the highest bar.
    """
    shown = arrays[:MANY_STRIPS]
    errors = [_errors(array) for array in shown]
    names = [""] * len(shown)
    if named:
        names = [f"{array.name}  " for array in shown]
    pairs = zip(shown, errors, strict=True)
    legends = [f"  {_strip_legend(_step_indices(array), e)}" for array, e in pairs]
    of_names, of_legends = (max(map(len, texts)) for texts in (names, legends))
    used = of_names + of_legends
    sheet, label, indent = Sheet(), "errors", INDENT
    if indent + used + FEWEST_BARS > width.text:
        sheet.add((label, "dim"))
        label, indent = "", 3
    most = max(width.text - indent - used, FEWEST_BARS)
    for name, of_array, legend in zip(names, errors, legends, strict=True):
        bars = "".join(_bars(of_array, most))
        start = label.ljust(indent)
        sheet.add((start, "dim"), name.ljust(of_names), (bars, DIFFERS), legend)
        label = ""
    more = len(arrays) - len(shown)
    if more:
        sheet.add(f"{'':{indent}}and {more} more arrays: --per-step")
    return sheet


def _errors(array: ArrayDifference) -> Array:
    """(T,) absolute errors, `NOT_COMPARED` for some; (0,) for an array without steps."""
    if array.step_errors is None or array.steps_compared is None:
        return np.zeros(0)
    errors: Array = np.where(array.steps_compared, array.step_errors, NOT_COMPARED)
    return errors


def _step_indices(array: ArrayDifference) -> Sequence[int]:
    return array.pair.indices[0] or range(len(_errors(array)))


def _largest(errors: Array) -> float:
    return float(errors[np.isfinite(errors)].max(initial=0))


def _strip_legend(steps: Sequence[int], errors: Array) -> str:
    text = f"steps {steps[0]} to {steps[-1]}, max {format_size(_largest(errors))}"
    if not np.isfinite(errors).all():
        text = f"{text}, ! not finite"
    if (errors < 0).any():
        text = f"{text}, · not compared"
    return text


def _bars(errors: Array, most: int) -> Iterator[str]:
    largest = _largest(errors)
    edges = np.linspace(0, len(errors), min(most, len(errors)) + 1).astype(int)
    for start, stop in pairwise(edges):
        error = float(errors[start:stop].max())
        if error < 0:
            yield "·"
        elif not math.isfinite(error):
            yield "!"
        elif largest == 0:
            yield BARS[0]
        else:
            yield BARS[round(error / largest * (len(BARS) - 1))]


def step_table(arrays: Sequence[ArrayDifference], width: Width) -> Sheet:
    """A row for each step: how many values differ, and the largest error of each array."""
    steps = max((len(_errors(array)) for array in arrays), default=0)
    if not steps:
        return Sheet(lines=[[("no array has steps that could be compared", "")]])
    arrays = [array for array in arrays if len(_errors(array)) == steps]
    of_arrays = [array.pair.differs.sum(axis=(1, 2)) for array in arrays]
    differing = np.sum(of_arrays, axis=0)  # (T,)
    columns = [
        Column("step", list(map(str, _step_indices(arrays[0]))), "dim"),
        Column("differ", list(map(str, differing)), DIFFERS),
    ]
    for place, array in enumerate(arrays):
        errors: list[float | None] = []
        for error in _errors(array).tolist():
            if error == NOT_COMPARED:
                errors.append(None)
            else:
                errors.append(error)
        cells = [size or "-" for size in error_sizes(errors)]
        columns.append(Column(f"max abs {array.name}", cells, rank=place))
    return fitting_table(columns, width)
