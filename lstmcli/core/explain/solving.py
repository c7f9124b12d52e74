"""Constants that no list of values holds: a forget bias, a bound on c, a bound on the gates.

A constant is found where it first shows. Readings are run without it until they leave EXPECTED; at
that step, from the state before it, a coarse grid gives starting values, which are refined on a few
units for many readings at once. The few readings that come back to EXPECTED are then refined over
some steps and all units.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain.bench import UNITS, Bench, Start, View
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.refining import (
    FAR,
    ROUNDS,
    Task,
    cost_of,
    levenberg_marquardt,
    residuals,
)  # fmt: skip
from lstmcli.core.explain.space import CONSTANTS, distinct
from lstmcli.core.model.arrays import Array

LEFT = 20.0  # tolerances off: a run has left EXPECTED
CLOSE = 20.0  # tolerances within which a solved constant has to bring it back
AT_ONCE = 40_000  # numbers of a state that are stepped at once
STARTS = (2, 8)  # of the grid, that are refined: of one constant, of two
FORGET = np.concatenate([np.arange(-6, 6.25, 0.5), [8.0, 10.0]])
GATE = np.geomspace(0.05, 8, 28)
CELL = np.linspace(0.03, 0.99, 24)  # of the greatest |c|
MOST_OPEN = 2  # constants of one reading that are solved together
LATE = 16  # a step after which only the readings that the grid brings nearest are refined,
MOST_LATE = 16  # so many of them;
SPARSE = 7  # they are chosen by every seventh point of the grid
FEW_OFF = 0.1  # of all units: those that are off must all be looked at


class Solved(NamedTuple):
    """The readings (places) whose constants were found, and all their constants."""

    kept: Array
    constants: Constants


def solve(
    bench: Bench,
    codes: Array,
    constants: Constants,
    view: View,
    start: Start,
    units: Array | None = None,
    first_only: bool = False,
) -> Solved:
    """Find the open constants of readings that share a view and a start.

    ``first_only``: nothing is looked at but the first step, of some ``units``.
    """
    open_ = np.isnan(np.array(constants))  # (3, n)
    kinds = (open_ * np.array([[1], [2], [4]])).sum(axis=0)
    kept = [np.zeros(0, int)]
    found = [np.zeros((3, 0))]
    for kind in distinct(kinds):
        which = np.flatnonzero(kinds == kind)
        unknown = tuple(k for k in range(3) if kind & (1 << k))
        if len(unknown) > MOST_OPEN:
            continue
        task = Task(bench, codes[which], constants.chosen(which), view, start, unknown)
        if first_only:
            good, values = at_a_step(task._replace(units=units))
        else:
            good, values = _where_it_shows(task)
        kept.append(which[good])
        found.append(values)
    return Solved(np.concatenate(kept), Constants(*np.concatenate(found, axis=1)))


def _where_it_shows(task: Task) -> tuple[Array, Array]:
    """Places of the readings that come out, and their constants (3, m)."""
    good: list[Array] = [np.zeros(0, int)]
    found: list[Array] = [np.zeros((3, 0))]
    for which, alike in _leaving(task):
        if 0 < task.view.first == alike.step:  # it may have acted before, unseen
            whole = task.some(which)._replace(steps=alike.step + 1)
            close, values = at_a_step(whole)
            good.append(which[close])
            found.append(values)
            continue
        near, values = at_a_step(alike)
        if not near.size:
            continue
        close, values = _over_steps(alike.some(near), values)
        good.append(which[near[close]])
        found.append(values)
    return np.concatenate(good), np.concatenate(found, axis=1)


def at_a_step(task: Task) -> tuple[Array, Array]:
    """Places of the readings whose constants bring a task's steps back, and these (3, m)."""
    places, values = _started(task)
    if not places.size:
        return places, values
    tuned, off = levenberg_marquardt(task.some(places), values)
    return _winners(places, tuned, off)


def _over_steps(task: Task, values: Array) -> tuple[Array, Array]:
    """The same over some steps and all units; two constants are sought for anew."""
    several = len(task.unknown) > 1
    steps = min(1 + len(task.unknown), task.view.steps - task.step)
    task = task._replace(steps=steps, units=None)
    places = np.arange(len(task.codes))
    if several:
        places, more = _started(task)
        values = np.concatenate([values, more], axis=1)
        places = np.concatenate([np.arange(len(task.codes)), places])
    tuned, off = levenberg_marquardt(task.some(places), values, ROUNDS * (3 if several else 1))
    return _winners(places, tuned, off)


def _winners(places: Array, values: Array, off: Array) -> tuple[Array, Array]:
    """The best of the starts of each reading, if it came close."""
    order = np.lexsort((off, places))
    first = order[np.unique(places[order], return_index=True)[1]]
    close = first[off[first] <= CLOSE]
    return places[close], values[:, close]


# ---- where a constant shows


def _leaving(task: Task) -> Iterator[tuple[Array, Task]]:
    """Readings (places) that leave EXPECTED at one step, without their open constants.

    Each task starts from the state before that step. Readings that never leave have nothing to
    show their constants by, and are not among them.
    """
    bench, view = task.bench, task.view
    alive = np.arange(len(task.codes))
    batch = bench.batch(task.codes, task.constants.settled(), task.start)
    for step in range(view.steps):
        before = batch.h, batch.c
        arrays = batch.advance(view.course.x[step])
        share = np.zeros(len(alive))
        for _, given, expected, allowed in bench.off(batch, arrays, view, step):
            wrong = ~(np.abs(given - expected) <= LEFT * allowed)
            share = np.maximum(share, wrong.mean(axis=1))
        left = np.flatnonzero(share > 0)
        for few in (True, False):
            part = left[(share[left] <= FEW_OFF) == few]
            if part.size:
                which = alive[part]
                units = None if few else bench.sampled()
                start = before[0][part], before[1][part]
                yield which, task.some(which)._replace(start=start, step=step, units=units)
        stay = np.flatnonzero(share == 0)
        if not stay.size:
            return
        if left.size:
            alive, batch = alive[stay], batch.kept(stay)


# ---- starting values


def _started(task: Task) -> tuple[Array, Array]:
    """Starting points: the reading (place) of each, and all its constants (3, n).

    Over many steps runs are dear: a few points of the grid choose the readings that are worth it.
    """
    if task.step + task.steps <= LATE:
        return _gridded(task, 1)[:2]
    thin = task._replace(dtype=np.float32)
    worth = np.arange(len(task.codes))
    if len(worth) > MOST_LATE:
        places, _, cost = _gridded(thin, SPARSE)
        worth = distinct(places[np.argsort(cost)[:MOST_LATE]])
    places, values, _ = _gridded(thin.some(worth), 1)
    return worth[places], values


def _gridded(task: Task, sparse: int) -> tuple[Array, Array, Array]:
    """The best points of every ``sparse``-th of a grid: the reading (place), constants, cost."""
    width = task.bench.weights.cell.units if task.units is None else len(task.units)
    size = max(1, AT_ONCE // (max(width, UNITS) * 24))
    places, values, costs = [], [], []
    for at in range(0, len(task.codes), size):
        part = np.arange(at, min(at + size, len(task.codes)))
        of_part, value, cost = _best_points(task.some(part), sparse)
        places.append(part[of_part])
        values.append(value)
        costs.append(cost)
    return np.concatenate(places), np.concatenate(values, axis=1), np.concatenate(costs)


def _best_points(task: Task, sparse: int) -> tuple[Array, Array, Array]:
    m = len(task.codes)
    thin = sparse if len(task.unknown) == 1 else max(2, sparse)
    grids = [_grid(task, k)[:, thin // 2 :: thin] for k in task.unknown]  # each (m, s)
    points = _product(grids)  # (m, s, d)
    s = points.shape[1]
    values = np.repeat(np.array(task.constants), s, axis=1)  # (3, m s)
    for d, k in enumerate(task.unknown):
        values[k] = points[:, :, d].reshape(-1)
    cost = cost_of(residuals(task.some(np.repeat(np.arange(m), s)), values))
    of_each = cost.reshape(m, s)
    # where all of the grid gives the same, as a forget bias at step 0, none of it helps
    shows = np.flatnonzero((of_each != of_each[:, :1]).any(axis=1) | (of_each[:, 0] >= FAR**2))
    best = np.argsort(of_each[shows], axis=1)[:, : STARTS[len(grids) - 1]]  # (m, k)
    places = (shows[:, None] * s + best).reshape(-1)
    return np.repeat(shows, best.shape[1]), values[:, places], cost[places]


def _grid(task: Task, k: int) -> Array:
    """(m, s) starting values of a constant for each reading."""
    m = len(task.codes)
    if CONSTANTS[k] == "forget_bias":
        return np.tile(FORGET, (m, 1))
    if CONSTANTS[k] == "gate_clip":
        return np.tile(GATE, (m, 1))
    batch = task.bench.batch(task.codes, task.constants.settled(), task.start, task.units)
    greatest = np.zeros(m)
    for step in range(task.step, task.step + task.steps):
        arrays = batch.advance(task.view.course.x[step])
        greatest = np.fmax(greatest, np.abs(arrays["c"]).max(axis=(1, 2)))
    return np.maximum(greatest[:, None], 1e-6) * CELL


def _product(grids: list[Array]) -> Array:
    """(m, s, d): every combination of the grids' values."""
    if len(grids) == 1:
        return grids[0][:, :, None]
    one, other = grids
    m, s, r = len(one), one.shape[1], other.shape[1]
    both = np.stack([np.repeat(one, r, axis=1), np.tile(other, (1, s))], axis=2)  # (m, s r, 2)
    return both.reshape(m, s * r, 2)


def fits_clipped(name: str, given: Array, expected: Array, slack: Array) -> Array:
    """(n,) whether a bound on c could make of what is given what is expected.

    It brings c, and h with an odd output activation, nearer to 0 and never past it; at the first
    step the gates do not see it.
    """
    if name not in ("h", "c"):
        fits: Array = (np.abs(given - expected) <= slack).all(axis=1)
        return fits
    nearer = np.abs(expected) <= np.abs(given) + slack
    same_side = (np.sign(given) == np.sign(expected)) | (np.abs(expected) <= slack)
    both: Array = (nearer & same_side).all(axis=1)
    return both
