"""Constants that no list of values holds: a forget bias, a bound on c, a bound on the gates.

A constant is found where it first shows: the readings are run without it until they leave EXPECTED;
on the steps up to there a coarse grid gives starting values, and Levenberg and Marquardt's steps do
the rest, for many readings at once. Derivatives are central differences of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli.core.explain.bench import Bench, View
from lstmcli.core.explain.space import CONSTANTS
from lstmcli.core.explain.stepping import Constants

Array = npt.NDArray[np.generic]
Start = tuple[Array, Array] | None

LEFT = 20.0  # tolerances off: a run has left EXPECTED
CLOSE = 20.0  # tolerances within which a solved constant has to bring it back
FAR = 1e6  # tolerances beyond which it does not matter how far off a number is
ROUNDS = 12
AT_ONCE = 40_000  # numbers of a state that are stepped at once
STARTS = (2, 8)  # of the grid, that are refined: of one constant, of two
FORGET = np.concatenate([np.arange(-6, 6.25, 0.5), [8.0, 10.0]])
GATE = np.geomspace(0.05, 8, 28)
CELL = np.linspace(0.03, 0.99, 24)  # of the greatest |c|
PATIENCE = 4  # rounds without a gain worth the name
MANY_STEPS = 16  # beyond, runs are dear:
MOST_LATE = 16  # readings are refined, those that the grid brings nearest
MOST_OPEN = 2  # constants of one reading that are solved together


class Solved(NamedTuple):
    """The readings (places) whose constants were found, and all their constants."""

    kept: Array
    constants: Constants


class Task(NamedTuple):
    """Readings of one view and start, with the same constants open."""

    bench: Bench
    codes: Array
    constants: Constants
    view: View
    start: Start
    units: Array | None
    unknown: tuple[int, ...]  # places in CONSTANTS


def solve(
    bench: Bench,
    codes: Array,
    constants: Constants,
    view: View,
    start: Start,
    units: Array | None = None,
    steps: int | None = None,
) -> Solved:
    """Find the open constants of readings that share a view and a start.

    ``units`` and ``steps`` restrict what is looked at: a first step on a few units.
    """
    open_ = np.isnan(np.array(constants))  # (3, n)
    kinds = (open_ * np.array([[1], [2], [4]])).sum(axis=0)
    kept = [np.zeros(0, int)]
    found = [np.zeros((3, 0))]
    for kind in np.unique(kinds):
        which = np.flatnonzero(kinds == kind)
        unknown = tuple(k for k in range(3) if kind & (1 << k))
        if len(unknown) > MOST_OPEN:
            continue
        task = Task(bench, codes[which], constants.chosen(which), view, start, units, unknown)
        good, values = _solve_alike(task, steps)
        kept.append(which[good])
        found.append(values)
    values = np.concatenate(found, axis=1)
    return Solved(np.concatenate(kept), Constants(*values))


def _solve_alike(task: Task, steps: int | None) -> tuple[Array, Array]:
    """Places that came out, and their constants (3, m)."""
    leaving = np.zeros(len(task.codes), int) if steps else _leaving(task)
    good: list[Array] = [np.zeros(0, int)]
    found: list[Array] = [np.zeros((3, 0))]
    for last in np.unique(leaving):
        if last >= task.view.steps:
            continue  # the constant never shows
        which = np.flatnonzero(leaving == last)
        count = steps or min(int(last) + len(task.unknown) + 1, task.view.steps)
        places, values = _started(_some(task, which), count)
        rounds = ROUNDS * (1 if len(task.unknown) == 1 else 3)
        tuned, off = levenberg_marquardt(task, task.codes[which[places]], values, count, rounds)
        close, values = _winners(places, tuned, off)
        good.append(which[close])
        found.append(values)
    return np.concatenate(good), np.concatenate(found, axis=1)


def _some(task: Task, which: Array) -> Task:
    return task._replace(codes=task.codes[which], constants=task.constants.chosen(which))


def _started(task: Task, steps: int) -> tuple[Array, Array]:
    """Starting points: the reading (place) of each, and all its constants (3, n).

    After many steps only the readings that a grid already brings near are worth refining.
    """
    width = task.bench.weights.cell.units if task.units is None else len(task.units)
    size = max(1, AT_ONCE // (width * 24))
    places, values, costs = [], [], []
    for at in range(0, len(task.codes), size):
        part = np.arange(at, min(at + size, len(task.codes)))
        of_part, value, cost = _gridded(_some(task, part), steps)
        places.append(part[of_part])
        values.append(value)
        costs.append(cost)
    place, value, cost = (
        np.concatenate(places),
        np.concatenate(values, axis=1),
        np.concatenate(costs),
    )
    if steps > MANY_STEPS:
        best = np.argsort(cost)[: STARTS[len(task.unknown) - 1] * MOST_LATE]
        return place[best], value[:, best]
    return place, value


def _winners(places: Array, values: Array, off: Array) -> tuple[Array, Array]:
    """The better of the starts of each reading, if it came close."""
    order = np.lexsort((off, places))
    first = order[np.unique(places[order], return_index=True)[1]]
    close = first[off[first] <= CLOSE]
    return places[close], values[:, close]


def _leaving(task: Task) -> Array:
    """The step at which each reading, without its open constants, leaves EXPECTED; or T."""
    bench, view = task.bench, task.view
    left = np.full(len(task.codes), view.steps)
    alive = np.arange(len(task.codes))
    batch = bench.batch(task.codes, task.constants.settled(), task.start, task.units)
    for step in range(view.steps):
        arrays = bench.advance(batch, view, step)
        off = np.zeros(len(alive), bool)
        for _, given, expected, allowed in bench.off(batch, arrays, view, step):
            off |= ~(np.abs(given - expected) <= LEFT * allowed).all(axis=1)
        left[alive[off]] = step
        stay = np.flatnonzero(~off)
        if not stay.size:
            break
        if off.any():
            alive, batch = alive[stay], batch.kept(stay)
    return left


def residuals(task: Task, codes: Array, values: Array, steps: int) -> Array:
    """(n, E): how far off each reading is over the first steps, in tolerances.

    ``values`` (3, n) are the constants.
    """
    bench, view = task.bench, task.view
    batch = bench.batch(codes, Constants(*values), task.start, task.units)
    parts = []
    for step in range(steps):
        arrays = bench.advance(batch, view, step)
        for _, given, expected, allowed in bench.off(batch, arrays, view, step):
            with np.errstate(all="ignore"):
                parts.append((given - expected) / allowed)
    whole = np.concatenate(parts, axis=1) if parts else np.zeros((len(codes), 1))
    return np.clip(np.nan_to_num(whole, nan=FAR), -FAR, FAR)


def _gridded(task: Task, steps: int) -> tuple[Array, Array, Array]:
    """The best points of a grid: the reading (place) of each, its constants, its cost."""
    m = len(task.codes)
    grids = [_grid(task, k, steps) for k in task.unknown]  # each (m, s)
    points = _product(grids)  # (m, s, d)
    s = points.shape[1]
    values = np.repeat(np.array(task.constants), s, axis=1)  # (3, m s)
    codes = np.repeat(task.codes, s, axis=0)
    for d, k in enumerate(task.unknown):
        values[k] = points[:, :, d].reshape(-1)
    cost = _cost(residuals(task, codes, values, steps))
    best = np.argsort(cost.reshape(m, s), axis=1)[:, : STARTS[len(grids) - 1]]  # (m, k)
    places = (np.arange(m)[:, None] * s + best).reshape(-1)
    return np.repeat(np.arange(m), best.shape[1]), values[:, places], cost[places]


def _grid(task: Task, k: int, steps: int) -> Array:
    """(m, s) starting values of a constant for each reading."""
    m = len(task.codes)
    thin = 1 if len(task.unknown) == 1 else 2
    if CONSTANTS[k] == "forget_bias":
        return np.tile(FORGET[::thin], (m, 1))
    if CONSTANTS[k] == "gate_clip":
        return np.tile(GATE[::thin], (m, 1))
    batch = task.bench.batch(task.codes, task.constants.settled(), task.start, task.units)
    greatest = np.zeros(m)
    for step in range(steps):
        arrays = task.bench.advance(batch, task.view, step)
        greatest = np.fmax(greatest, np.abs(arrays["c"]).max(axis=(1, 2)))
    return np.maximum(greatest[:, None], 1e-6) * CELL[::thin]


def _product(grids: list[Array]) -> Array:
    """(m, s, d): every combination of the grids' values."""
    if len(grids) == 1:
        return grids[0][:, :, None]
    one, other = grids
    m, s, r = len(one), one.shape[1], other.shape[1]
    both = np.stack([np.repeat(one, r, axis=1), np.tile(other, (1, s))], axis=2)  # (m, s r, 2)
    return both.reshape(m, s * r, 2)


def levenberg_marquardt(
    task: Task, codes: Array, values: Array, steps: int, rounds: int = ROUNDS
) -> tuple[Array, Array]:
    """Better constants (3, n), and how far off each reading then is at worst, in tolerances."""
    n, values = values.shape[1], values.copy()
    now = residuals(task, codes, values, steps)
    cost, damping, stuck = _cost(now), np.full(n, 1e-3), np.zeros(n, int)
    active = np.arange(n)
    for _ in range(rounds):
        some, off = values[:, active], now[active]
        moved, length = _moved(task, codes[active], some, off, damping[active], steps)
        then = residuals(task, codes[active], moved, steps)
        was, will = cost[active], _cost(then)
        better = will < was
        values[:, active[better]] = moved[:, better]
        now[active[better]], cost[active[better]] = then[better], will[better]
        damping[active] *= np.where(better, 0.1, 10)
        stuck[active] = np.where(will < 0.95 * was, 0, stuck[active] + 1)
        active = active[(stuck[active] < PATIENCE) & (length > 1e-12)]
        if not active.size:
            break
    return values, np.abs(now).max(axis=1)


def _moved(
    task: Task, codes: Array, values: Array, now: Array, damping: Array, steps: int
) -> tuple[Array, Array]:
    """The constants after a step, and the length of the step (n,)."""
    unknown = list(task.unknown)
    slopes = [_slope(task, codes, values, k, steps) for k in unknown]  # each (n, E)
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
    return moved, np.abs(step).max(axis=1)


def _damped(square: Array, gain: Array, damping: Array) -> Array:
    """The step (n, d) of Levenberg and Marquardt."""
    d = gain.shape[1]
    diagonal = np.einsum("nii->ni", square)
    ridge = damping[:, None] * diagonal + 1e-300
    system = square + ridge[:, :, None] * np.eye(d)
    flat = np.linalg.det(system / np.maximum(system.max(axis=(1, 2), keepdims=True), 1e-300))
    system[~(np.abs(flat) > 1e-14)] = np.eye(d)
    step: Array = np.linalg.solve(system, gain[:, :, None])[:, :, 0]
    step[~np.isfinite(step)] = 0
    return np.clip(step, -2, 2)


def _slope(task: Task, codes: Array, values: Array, k: int, steps: int) -> Array:
    """(n, E): the derivative of the residuals by a constant."""
    width = 1e-6 * np.maximum(1, np.abs(values[k]))
    above, below = values.copy(), values.copy()
    above[k] += width
    below[k] -= width
    rise = residuals(task, codes, above, steps) - residuals(task, codes, below, steps)
    slope: Array = rise / (2 * width)[:, None]
    return slope


def _cost(off: Array) -> Array:
    total: Array = (off * off).sum(axis=1)
    return total


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


def tasks(
    bench: Bench, codes: Array, constants: Constants, unknown: tuple[int, ...]
) -> Iterator[tuple[Task, Array]]:
    """Readings parted by view and start, with the given constants to be refined."""
    for view, of_view in bench.views(codes):
        for start, n in bench.starts(codes[of_view], view.row):
            which = of_view[n]
            some = constants.chosen(which)
            yield Task(bench, codes[which], some, view, start, None, unknown), which
