"""Constants that no list of values holds: a forget bias, a cell clip, a gate clip.

A coarse grid of values, then ever finer ones around its best points. Nothing is differentiated: a
step of the cell has no derivative where a clip or a hard sigmoid bends, and a grid needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from lstmcli.core.explain.causes import CONSTANTS
from lstmcli.core.model.arrays import Array

Evaluate = Callable[[Array, Array], Array]
"""From places (m,) of hypotheses and their constants (m, 3) to residuals (m, E), in tolerances."""

OFF = np.array([0.0, np.inf, np.inf])
"""Each constant where it does nothing."""

LEAST_CLIP = 1e-6
SATURATED = np.array([7.5, 9, 12, 16, 24])  # from 16 on a sigmoid is 1 in float32
FORGET = np.concatenate([-SATURATED[::-1], np.arange(-6, 6.25, 0.5), SATURATED])
GATE = np.geomspace(0.05, 8, 28)  # beyond 8 a gate is within 4e-4 of 0 or 1
CELL = np.linspace(0.03, 0.99, 24)  # of the greatest |c|: a clip above it does nothing
STARTS = 3  # points of the grid that a search begins at: the best one alone missed 2 of 136 pairs
ROUNDS = {1: 16, 2: 24}  # of finer grids, by how many constants;
FINER = 4  # times finer is each of one constant, and twice of two
STILL = {1: 3, 2: 5}  # rounds without a gain of a tenth, after which a search ends
MOST_DECIMALS = 7  # of a solved constant
SPOILED = 3.0  # times the error of a constant with all its digits: fewer digits may double it
NEARLY = 30.0  # tolerances that a constant solved in float32 may be off: 2.4989 for 2.5 was, by 3.7
WITHIN = 1.0  # tolerances
AT_ONCE = 400_000  # hypotheses x grid points x units that are evaluated together


def settled(constants: Array) -> Array:
    """Constants (N, 3) with those that are not known left out."""
    return np.where(np.isnan(constants), OFF, constants)


def solve(
    evaluate: Evaluate, constants: Array, greatest: Array, units: int, rounds: int | None = None
) -> tuple[Array, Array]:
    """The constants (N, 3) that bring hypotheses nearest, and how far off (N,) they are at most.

    Parameters
    ----------
    constants
        (N, 3); NaN where a value is sought. It stays NaN where it makes no difference.
    greatest
        (N,): the greatest size of c of each hypothesis, which bounds the values of a cell clip.
    units
        of a cell, on which it depends how many points are evaluated together.
    rounds
        of finer grids; by default as many as it takes to reach the precision of float32.
    """
    constants = constants.copy()
    cost_of = partial(_Cost, evaluate, constants, max(1, AT_ONCE // units))
    shows = _shows(cost_of, constants, greatest)
    for kinds in {tuple(np.flatnonzero(row).tolist()) for row in shows if row.any()}:
        rows = np.flatnonzero((shows == np.isin(range(3), kinds)).all(axis=1))
        grids = [_grid(k, greatest[rows])[:, :: len(kinds)] for k in kinds]
        cost = cost_of(rows, kinds)
        starts, widths = _best(cost, _product(grids), _product([*map(_gaps, grids)]), STARTS)
        best, _ = refine(cost, starts, widths, rounds)
        constants[np.ix_(rows, np.array(kinds))] = best
    off = evaluate(np.arange(len(constants)), settled(constants))
    return constants, np.abs(off).max(axis=1, initial=0)


def _shows(cost_of: Callable[..., _Cost], constants: Array, greatest: Array) -> Array:
    """(N, 3): which of the constants that are sought make a difference."""
    shows = np.zeros(constants.shape, bool)
    for k in range(3):
        rows = np.flatnonzero(np.isnan(constants[:, k]))
        if rows.size:
            costs = cost_of(rows, (k,))(np.arange(len(rows)), _grid(k, greatest[rows])[:, :, None])
            shows[rows, k] = costs.max(axis=1) > costs.min(axis=1) * (1 + 1e-9)
    return shows


class _Cost:
    """The sum of the squares of the residuals at points of some constants."""

    def __init__(
        self,
        evaluate: Evaluate,
        constants: Array,
        at_once: int,
        rows: Array,
        kinds: Sequence[int],
    ) -> None:
        self.evaluate, self.constants, self.at_once = evaluate, settled(constants), at_once
        self.rows, self.kinds = rows, list(kinds)

    def __call__(self, which: Array, points: Array) -> Array:
        """(n, P), of hypotheses (places among the rows) at points (n, P, d)."""
        n, count, _ = points.shape
        costs = np.zeros((n, count))
        size = max(1, self.at_once // count)
        for at in range(0, n, size):
            places = np.repeat(self.rows[which[at : at + size]], count)
            values = self.constants[places]
            values[:, self.kinds] = points[at : at + size].reshape(-1, len(self.kinds))
            values[:, 1:] = np.maximum(values[:, 1:], LEAST_CLIP)
            off = self.evaluate(places, values)
            costs[at : at + size] = (off * off).sum(axis=1).reshape(-1, count)
        return costs


def _grid(k: int, greatest: Array) -> Array:
    """(N, s): the values of a constant that are tried first."""
    if CONSTANTS[k] == "forget_bias":
        return np.tile(FORGET, (len(greatest), 1))
    if CONSTANTS[k] == "gate_clip":
        return np.tile(GATE, (len(greatest), 1))
    return np.maximum(greatest, LEAST_CLIP)[:, None] * CELL


def _product(grids: Sequence[Array]) -> Array:
    """(N, P, d): every combination of the values of d grids (N, s)."""
    points = grids[0][:, :, None]
    for grid in grids[1:]:
        n, count, d = points.shape
        left = np.repeat(points, grid.shape[1], axis=1)
        right = np.tile(grid, (1, count))[:, :, None]
        points = np.concatenate([left, right], axis=2).reshape(n, -1, d + 1)
    return points


def _gaps(grid: Array) -> Array:
    """(N, s): how far the neighbours of each value of a grid (N, s) are at most."""
    steps = np.diff(grid, axis=1)
    none = np.zeros((len(grid), 1))
    gaps: Array = np.maximum(np.hstack([none, steps]), np.hstack([steps, none]))
    return gaps


def _best(cost: _Cost, points: Array, gaps: Array, count: int) -> tuple[Array, Array]:
    """The best ones (N, count, d) of points (N, P, d), and the gaps around them."""
    rows = np.arange(len(points))
    order = np.argsort(cost(rows, points), axis=1, kind="stable")[:, :count]
    return points[rows[:, None], order], gaps[rows[:, None], order]


def refine(
    cost: Callable[[Array, Array], Array], starts: Array, widths: Array, rounds: int | None = None
) -> tuple[Array, Array]:
    """The best point (N, d) that ever finer grids reach from starts (N, S, d), and its cost (N,).

    ``widths`` (N, S, d) are those of the first grid, on either side of a start.
    """
    n, s, d = starts.shape
    of, at = np.repeat(np.arange(n), s), starts.reshape(n * s, d).copy()
    unit = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * d, indexing="ij"), -1).reshape(-1, d)
    width, active = widths.reshape(n * s, d).copy(), np.arange(n * s)
    least, still = cost(of, at[:, None])[:, 0], np.zeros(n * s, int)
    for _ in range(ROUNDS[d] if rounds is None else rounds):
        points = at[active][:, None] + width[active][:, None] * unit
        costs = cost(of[active], points)
        now, best = costs.min(axis=1), points[np.arange(len(active)), costs.argmin(axis=1)]
        still[active] = np.where(now < 0.9 * least[active], 0, still[active] + 1)
        better = now < least[active]
        at[active[better]], least[active[better]] = best[better], now[better]
        width[active] /= FINER if d == 1 else 2
        active = active[(still[active] < STILL[d]) & (least[active] > 1e-6)]
        if not active.size:
            break
    winner = least.reshape(n, s).argmin(axis=1)
    rows = np.arange(n)
    return at.reshape(n, s, d)[rows, winner], least.reshape(n, s)[rows, winner]


def fewest_decimals(off: Callable[[Array], Array], values: Array, is_clip: Array) -> Array:
    """Values (d,) of constants at the fewest decimals that do not spoil them.

    ``off`` gives the residuals (n, E) of values (n, d).
    """
    exact = float(np.abs(off(values[None])).max(initial=0))
    short = [np.round(values, decimals) for decimals in range(MOST_DECIMALS)]
    short = [one for one in short if (one[is_clip] > 0).all()]  # a clip of 0 is none
    if not short:
        return values
    worst = np.abs(off(np.array(short))).max(axis=1, initial=0)
    good = np.flatnonzero(worst <= max(WITHIN, SPOILED * exact))
    return short[good[0]] if good.size else values
