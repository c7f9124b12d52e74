"""Constants refined by Levenberg and Marquardt's steps, for many readings at once.

Derivatives are central differences of runs: a step of the cell has no derivative where a bound or a
hard sigmoid bends, and needs none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.bench import Bench, Start, View
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.space import CONSTANTS
from lstmcli.core.model.arrays import Array

FAR = 1e6  # tolerances beyond which it does not matter how far off a number is
ROUNDS = 12
PATIENCE = 4  # rounds without a gain worth the name
LITTLE = 0.01  # of the cost: a step that promises no more is the last


class Task(NamedTuple):
    """Readings of one view with the same constants open, and where they are looked at."""

    bench: Bench
    codes: Array
    constants: Constants
    view: View
    start: Start  # of each reading (n, 1, P) and (n, 1, H), of all (1, P) and (1, H), or zero
    unknown: tuple[int, ...]  # places in CONSTANTS
    step: int = 0  # the first one to be looked at
    steps: int = 1  # how many of them
    units: Array | None = None
    dtype: Any = np.float64

    def some(self, which: Array) -> Task:
        """The same for some readings."""
        start = self.start
        if start is not None and start[0].ndim == 3:
            start = start[0][which], start[1][which]
        return self._replace(
            codes=self.codes[which], constants=self.constants.chosen(which), start=start
        )


def whole_task(bench: Bench, codes: Array, constants: Constants, unknown: tuple[int, ...]) -> Task:
    """A reading over all steps, its constants to be refined."""
    view, _ = next(bench.views(codes))
    start, _ = next(bench.starts(codes, view.row))
    return Task(bench, codes, constants, view, start, unknown, 0, view.steps)


def residuals(task: Task, values: Array) -> Array:
    """(n, E): how far off each reading is over the steps of a task, in tolerances.

    ``values`` (3, n) are the constants.
    """
    bench, view = task.bench, task.view
    batch = bench.batch(task.codes, Constants(*values), task.start, task.units, task.dtype)
    parts = []
    for step in range(task.step, task.step + task.steps):
        arrays = batch.advance(view.course.x[step])
        for _, given, expected, allowed in bench.off(batch, arrays, view, step):
            parts.append((given - expected) / allowed)
    whole = np.concatenate(parts, axis=1) if parts else np.zeros((len(task.codes), 1))
    return bounded(whole, FAR)


def levenberg_marquardt(task: Task, values: Array, rounds: int = ROUNDS) -> tuple[Array, Array]:
    """Better constants (3, n), and how far off each reading then is at worst, in tolerances."""
    n, values = values.shape[1], values.copy()
    now = residuals(task, values)
    cost, damping, stuck = cost_of(now), np.full(n, 1e-3), np.zeros(n, int)
    active = np.arange(n)
    for _ in range(rounds):
        if not active.size:
            break
        some = task.some(active)
        moved, hope = _moved(some, values[:, active], now[active], damping[active])
        then = residuals(some, moved)
        was, will = cost[active], cost_of(then)
        better = will < was
        values[:, active[better]] = moved[:, better]
        now[active[better]], cost[active[better]] = then[better], will[better]
        damping[active] *= np.where(better, 0.1, 10)
        stuck[active] = np.where(will < 0.95 * was, 0, stuck[active] + 1)
        active = active[(stuck[active] < PATIENCE) & (hope > LITTLE * was)]
    return values, np.abs(now).max(axis=1)


def _moved(task: Task, values: Array, now: Array, damping: Array) -> tuple[Array, Array]:
    """The constants after a step, and what it should take off the cost, (n,)."""
    unknown = list(task.unknown)
    slopes = _slopes(task, values)  # each (n, E)
    gain = np.stack([(s * now).sum(axis=1) for s in slopes], axis=1)  # (n, d)
    square = np.stack(
        [np.stack([(a * b).sum(axis=1) for a in slopes], axis=1) for b in slopes], axis=1
    )  # (n, d, d)
    step = _damped(square, gain, damping)
    moved = values.copy()
    moved[unknown] -= step.T
    for k in unknown:
        if CONSTANTS[k] != "forget_bias":
            moved[k] = np.maximum(moved[k], 0.5 * values[k])  # a bound stays above 0
    hope: Array = (gain * step).sum(axis=1)
    return moved, hope


def _damped(square: Array, gain: Array, damping: Array) -> Array:
    """The step (n, d) of Levenberg and Marquardt; 0 along what does not show."""
    diagonal = np.einsum("nii->ni", square)
    ridge = damping[:, None] * diagonal + 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
    system = square + ridge[:, :, None] * np.eye(gain.shape[1])
    step: Array = np.linalg.solve(system, gain[:, :, None])[:, :, 0]
    step[~np.isfinite(step)] = 0
    return np.clip(step, -2, 2)


def _slopes(task: Task, values: Array) -> list[Array]:
    """For each unknown constant (n, E): the derivative of the residuals by it, in one run."""
    n, unknown = values.shape[1], task.unknown
    widths = 1e-6 * np.maximum(1, np.abs(values))  # (3, n)
    moved = np.tile(values, 2 * len(unknown))
    for d, k in enumerate(unknown):
        moved[k, 2 * d * n : (2 * d + 1) * n] += widths[k]
        moved[k, (2 * d + 1) * n : (2 * d + 2) * n] -= widths[k]
    off = residuals(task.some(np.tile(np.arange(n), 2 * len(unknown))), moved)
    above, below = off.reshape(len(unknown), 2, n, -1).swapaxes(0, 1)
    return [(above[d] - below[d]) / (2 * widths[k])[:, None] for d, k in enumerate(unknown)]


def bounded(off: Array, far: float) -> Array:
    """Differences of which none is greater than this; NaN counts as that."""
    inside: Array = np.clip(np.nan_to_num(off, nan=far), -far, far)
    return inside


def cost_of(off: Array) -> Array:
    """The sum of the squares of residuals along the last axis."""
    total: Array = (off * off).sum(axis=-1)
    return total
