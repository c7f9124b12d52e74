"""A constant that several cells share, found from whole runs of the network.

Where only the top of several cells is known, no cell can be asked for its constant by itself. One
number is left, so Newton's steps from a few starting values do.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

import numpy as np

from lstmcli.core.explain.judge import shares
from lstmcli.core.explain.network import Network
from lstmcli.core.explain.refining import FAR, bounded, cost_of
from lstmcli.core.explain.search import MOST_DECIMALS, vanishing
from lstmcli.core.explain.space import CONSTANTS, Change, Changes
from lstmcli.core.model.arrays import Array

Cells = Sequence[str]
"""Names of cells; none for all of them."""

STARTS = {
    "forget_bias": np.concatenate([np.arange(-4, 5.0), [6.0, 8.0]]),
    "cell_clip": np.geomspace(0.05, 8, 13),
    "gate_clip": np.geomspace(0.05, 8, 13),
}
TRIED, MOST_TRIED = 2, 4  # starting points that steps are taken from: of one reading, of several
ROUNDS = 12
PARTS = np.array([1, 0.3, 0.1, 0.02])  # of a step, of which the best is taken
MOST_STUCK = 2  # rounds without a gain worth the name
CLOSE = 10.0  # tolerances within which a constant is worth rounding
PATIENCE = 4.0  # seconds


class Runs(Protocol):
    """What gives the numbers of readings with a constant."""

    def off(self, base: Changes, setting: str, cells: Cells, values: Array) -> Array:
        """How far off each known number is for values (n,) of a constant, (n, E) in tolerances."""

    def costs(self, bases: Sequence[Changes], setting: str, cells: Cells) -> Array:
        """The sums of the squares of these for all starting values, (m, s)."""


class WholeRuns:
    """Runs of the whole network, one after the other."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def off(self, base: Changes, setting: str, cells: Cells, values: Array) -> Array:
        """See `Runs`."""
        rows = []
        for value in values.tolist():
            changes = reading(base, setting, cells, value)
            case = self.network.few or self.network.case
            found = shares(case, changes, self.network.allowance)
            rows.append(np.full(1, FAR) if found is None else found)
        return bounded(np.array(rows), FAR)

    def costs(self, bases: Sequence[Changes], setting: str, cells: Cells) -> Array:
        """See `Runs`."""
        starts = STARTS[setting]
        return np.array([cost_of(self.off(base, setting, cells, starts)) for base in bases])


def reading(base: Changes, setting: str, cells: Cells, value: float) -> Changes:
    """Changes with a constant, of all cells or of some."""
    names = [f"{cell}.{setting}" for cell in cells] or [setting]
    return (*base, *(Change(name, value) for name in names))


def with_constants(
    network: Network, runs: Runs, bases: Sequence[Changes], scopes: Sequence[Cells] = ((),)
) -> Changes | None:
    """A constant of all cells, or of those of a scope, with other changes, that gives EXPECTED.

    A forget bias is looked for before a clip is; the search ends where patience does.
    """
    begun = monotonic()
    for setting in CONSTANTS:
        free = [b for b in bases if all(change.setting != setting for change in b)]
        if not free:
            continue
        points = []
        for cells in scopes:
            if monotonic() - begun > PATIENCE:
                return None
            costs = runs.costs(free, setting, cells)
            points += [
                (float(costs[m, s]), free[m], cells, float(STARTS[setting][s]))
                for m, s in np.ndindex(costs.shape)
            ]
        most = TRIED if len(free) * len(scopes) == 1 else MOST_TRIED
        for _, base, cells, start in sorted(points, key=lambda p: p[0])[:most]:
            if monotonic() - begun > PATIENCE:
                return None
            found = _solved(network, runs, base, setting, cells, start)
            if found is not None:
                return found
    return None


def _solved(
    network: Network, runs: Runs, base: Changes, setting: str, cells: Cells, start: float
) -> Changes | None:
    """The changes with a constant at the fewest decimals, if a run with it gives EXPECTED."""
    value, off = _newton(runs, base, setting, cells, start)
    if np.abs(off).max() > CLOSE:
        return None
    for decimals in range(MOST_DECIMALS + 1):
        short = round(value, decimals) if decimals < MOST_DECIMALS else value
        if setting != "forget_bias" and short <= 0:
            continue
        changes = reading(base, setting, cells, short)
        if network.judge(changes).fits:
            sound = _needed(network, base) and not vanishing(changes, network.judge)
            return changes if sound else None
    return None


def _needed(network: Network, base: Changes) -> bool:
    """Whether more than one number is off without the constant: one alone it would always fit."""
    verdict = network.judge(base)
    return verdict.total - verdict.agreeing > 1


def _newton(
    runs: Runs, base: Changes, setting: str, cells: Cells, value: float
) -> tuple[float, Array]:
    """A better value, and how far off it is: Newton's steps for least squares."""
    now = runs.off(base, setting, cells, np.array([value]))[0]
    stuck = 0
    for _ in range(ROUNDS):
        width = 1e-6 * max(1.0, abs(value))
        above, below = runs.off(base, setting, cells, np.array([value + width, value - width]))
        slope = (above - below) / (2 * width)
        square = float(slope @ slope)
        if not square or np.abs(now).max() <= 0.01:
            break
        moved = value + PARTS * np.clip(-(slope @ now) / square, -2, 2)
        if setting != "forget_bias":
            moved = np.maximum(moved, value / 2)  # a bound stays above 0
        then = runs.off(base, setting, cells, moved)
        best = int(np.argmin(cost_of(then)))
        stuck = 0 if cost_of(then[best]) < 0.5 * cost_of(now) else stuck + 1
        if stuck > MOST_STUCK or cost_of(then[best]) >= cost_of(now):
            break
        value, now = float(moved[best]), then[best]
    return value, now
