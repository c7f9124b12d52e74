"""The numbers of edits, solved for by least squares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.edited_runs import SLACK, EditedRuns
from lstmcli.core.explain.gauss_newton import gauss_newton
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import Edit

SOLVING_STEPS = 8  # from the first that is off, to solve for a number
NEARLY = 1e3  # tolerances by which a number of one step may be off at the next
LESS = 0.1  # of the misfit, that the nearest number may leave
STARTED = 2  # of the nearest numbers, where Gauss-Newton begins
RUN_ITERATIONS = 12  # of Gauss-Newton, where each is a run
DECIMALS = 8  # of a solved number, at most; then it has nine digits
# of a derivative, by which the bounds of a solved number are extrapolated
STRIDES = 1e5
STRIDE = 1e-6  # of a number, to derive by it

EditOf = Callable[[float], Edit]
"""From a number to an edit with it."""


def solved_number(
    runs: EditedRuns, edit: EditOf, starts: Sequence[float]
) -> float | None:
    """The nearest number of an edit, with the fewest decimals; None if none comes near."""
    until = runs.steps_after_first(SOLVING_STEPS)
    base = largest(np.abs(runs.off(runs.base, (edit(starts[0]),), until)))
    nearly = max(SLACK, min(NEARLY, LESS * base))
    runs_to_fit: list[Callable[[Sequence[Edit]], Array]] = []
    if runs.is_off_at_first:
        runs_to_fit.append(runs.first.off_with)
    runs_to_fit.append(partial(runs.off_with, until=until))
    number = starts[0]
    for off_with in runs_to_fit:
        number, left = _nearest_number(off_with, edit, starts)
        if left > nearly:
            return None
        starts = (number,)
    return _shortest(runs, edit, number)


def _nearest_number(
    off_with: Callable[[Sequence[Edit]], Array], edit: EditOf, starts: Sequence[float]
) -> tuple[float, float]:
    """The number from the best of some starts, and how far off it leaves the run."""

    def off(numbers: Array) -> Array:
        return np.array([off_with((edit(n),)) for n in numbers[:, 0].tolist()])

    every = np.unique(starts)[:, None]
    costs = np.nan_to_num((off(every) ** 2).sum(axis=1), nan=np.inf)
    solved = []
    for n in np.argsort(costs)[:STARTED]:
        number, rest = gauss_newton(off, every[[n]], RUN_ITERATIONS)
        solved.append((number.item(), float(np.abs(rest).max())))
    return min(solved, key=lambda one: one[1])


def _shortest(runs: EditedRuns, edit: EditOf, number: float) -> float:
    """The number of fewest decimals, near one, with which all of EXPECTED is met.

    Each of its numbers bounds it: the nearest by least squares need not be within.
    """

    def off(number: float) -> Array:
        return runs.off_with((edit(number),))

    stride = STRIDE * max(1.0, abs(number))
    at = off(number)
    slopes = (off(number + stride) - at) / stride
    shown = np.abs(slopes) > 0
    ends = number + (np.array([[-1.0], [1.0]]) - at[shown]) / slopes[shown]
    low = float(ends.min(axis=0).max(initial=-np.inf))
    high = float(ends.max(axis=0).min(initial=np.inf))
    middle = (low + high) / 2
    if not abs(middle - number) <= STRIDES * stride:  # or it is infinite
        middle = number
    for decimals in range(DECIMALS):
        short = round(middle, decimals)
        if low <= short <= high and largest(np.abs(off(short))) <= 1:
            return short + 0.0  # no -0
    return float(f"{middle:.9g}")


def refined(runs: EditedRuns, edit: Edit) -> Edit | None:
    """An edit with the nearest number in the last place, if any is near."""
    *place, number = edit.value
    until = runs.steps_after_first(2)
    if largest(np.abs(runs.off_with((edit,), until))) > NEARLY:
        return None

    def with_number(nearer: float) -> Edit:
        return replace(edit, value=(*place, nearer))

    solved = solved_number(runs, with_number, [number])
    return edit if solved is None else with_number(solved)
