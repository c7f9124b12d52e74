"""The open constant of a set of changes, solved for by ever finer grids of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.network_simulator import LOOSE, NetworkSimulator, rms
from lstmcli.core.model.arrays import Array

GRIDS = (
    np.concatenate([[-24, -12, -7.5], np.arange(-6, 6.25, 0.5), [7.5, 12, 24]]),
    np.geomspace(0.05, 200, 22),
    np.geomspace(0.05, 8, 14),
    np.geomspace(0.01, 20, 22),
)
"""First values of each of `CONSTANTS`; finer ones follow.

From 16 on a sigmoid is 1 in float32; a gate clipped beyond 8 is within 4e-4 of 0 or 1.
"""
WIDER = 1.2  # times the distance of first values: half of a finer grid
FINER_POINTS = np.linspace(-1, 1, 9)  # in widths
FINER = 0.25  # of a width, between two of them: the next width
GAIN = 2.0  # of right values over others: it was 9, and of most wrong ones 1.0
LEAST_SPREAD = 0.02  # tolerances between values of a grid, to make a finer one
SAME = 1e-6  # of the error: within it no value is better than others


def solve(simulator: NetworkSimulator, sets: Array) -> tuple[Array, Array]:
    """The nearest sets with an open constant, and its value.

    It is NaN if it makes no difference on this sequence. Most sets are dropped over the first
    steps that show it.
    """
    solved, values = [], []
    _, telling, most, every = simulator.horizons
    for steps in dict.fromkeys((telling, most, every)):
        grids, nearest = _solved_over(simulator, sets, steps)
        solved.append(sets[nearest])
        values.append(grids.values[nearest])
        sets = sets[~grids.shows & (grids.least <= LOOSE)]
    solved.append(sets)
    values.append(np.full(len(sets), np.nan))
    return np.concatenate(solved), np.concatenate(values)


def _solved_over(
    simulator: NetworkSimulator, sets: Array, steps: int
) -> tuple[Grids, Array]:
    """The values of open constants over some steps, and which sets come near.

    A step has no derivative where a clip or a hard sigmoid bends, so none is used.
    """
    grids = Grids(simulator, sets, steps)
    shows = np.flatnonzero(grids.shows)
    nearest = shows[np.argsort(grids.least[shows], kind="stable")]
    nearest = nearest[: simulator.work.most(Budget.SOLVED)]
    unsolved = nearest
    for further in dict.fromkeys(simulator.horizons):
        if further < steps:
            continue
        grids.refine(unsolved, further)
        nearest = nearest[grids.least[nearest] <= LOOSE]
        # these steps alone may leave a value open
        unsolved = nearest[grids.are_off(nearest)]
        grids.widths[unsolved] /= FINER
    return grids, nearest


class Grids:
    """The nearest value so far of the open constant of each set, and the width around it."""

    def __init__(self, simulator: NetworkSimulator, sets: Array, steps: int) -> None:
        self._simulator = simulator
        self._sets = sets
        self.values = np.zeros(len(sets))
        self.least = np.zeros(len(sets))  # error, at the nearest value
        self.widths = np.zeros(len(sets))
        self.shows = np.zeros(len(sets), bool)  # the constant makes a difference
        constants = simulator.singles.open_constant(sets)
        for constant in np.unique(constants):
            rows = np.flatnonzero(constants == constant)
            self._begin(rows, GRIDS[constant], steps)

    def _begin(self, rows: Array, grid: Array, steps: int) -> None:
        """Take the nearest of first values, over some steps."""
        points = np.tile(grid, (len(rows), 1))
        errors = self._errors(rows, points, steps, np.float32)
        best, least = errors.argmin(axis=1), errors.min(axis=1)
        self.values[rows] = grid[best]
        self.least[rows] = least
        self.widths[rows] = np.gradient(grid)[best] * WIDER
        self.shows[rows] = errors.max(axis=1) > least * (1 + SAME)

    def refine(self, rows: Array, steps: int) -> None:
        """Bring values of sets nearer, by finer grids as long as these gain."""
        while rows.size:
            points = self.values[rows, None] + self.widths[rows, None] * FINER_POINTS
            errors = self._errors(rows, points, steps)
            self.values[rows] = points[np.arange(len(rows)), errors.argmin(axis=1)]
            self.least[rows] = errors.min(axis=1)
            telling = np.maximum(GAIN * self.least[rows], LEAST_SPREAD)
            rows = rows[errors.max(axis=1) > telling]
            self.widths[rows] *= FINER

    def are_off(self, rows: Array) -> Array:
        """(n,): which sets miss a number of EXPECTED with their values."""
        sets = self._sets[rows]
        constants = self._simulator.singles.constants(sets, self.values[rows])
        off = self._simulator.off(sets, values=constants)
        return np.asarray(np.abs(off).max(axis=1, initial=0) > 1)

    def _errors(
        self, rows: Array, points: Array, steps: int, dtype: Any = np.float64
    ) -> Array:
        """(n, P): the rms in tolerances of sets with points (n, P) as values."""
        each = np.repeat(self._sets[rows], points.shape[1], axis=0)
        constants = self._simulator.singles.constants(each, points.ravel())
        off = self._simulator.off_early(each, steps, constants, dtype)
        return rms(off).reshape(points.shape)
