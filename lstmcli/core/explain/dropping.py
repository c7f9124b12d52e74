"""Hypotheses that leave EXPECTED are dropped: by bounds of a first step, then by short runs."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain.constants import GRIDS
from lstmcli.core.explain.hypotheses import FORGET_BIAS, NO_CONSTANT
from lstmcli.core.explain.network_runs import Extent, distinct
from lstmcli.core.explain.network_simulator import LOOSE, NetworkSimulator, are_near
from lstmcli.core.explain.simulator import Cells
from lstmcli.core.explain.verify import Cached
from lstmcli.core.forward.head import head_output
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.surroundings import Y

BOUNDS = {
    NO_CONSTANT: np.zeros(1),
    0: np.r_[-100, GRIDS[0][::4], 100],
    1: np.r_[0, GRIDS[1], np.inf],
    2: np.r_[0, GRIDS[2], np.inf],
    3: np.r_[0, GRIDS[3], np.inf],
}
"""Values of each of `CONSTANTS`: others give a first step between theirs.

Or beyond by what two of them differ; in 4 nets it was by 0.53 of that.
"""
MOST_UNITS = 64  # of a first step at most that are compared
SHOWN = {*"hcifgo"}
"""Arrays of a first step that placements share."""
SHOW_F = {"f", "z"}
"""Arrays that show the forget gate at a first step from zero."""


class FirstStepBounds(NamedTuple):
    """The ends between which values of an open constant give a first step."""

    rows: Array  # (U,): of distinct first steps
    step: int  # of EXPECTED
    ends: dict[str, Array]  # by array, the least and the most (2, U, K)


def passing_first_step(
    simulator: NetworkSimulator, sets: Array, cached: Cached
) -> Array:
    """The sets that may give the first steps of the lowest cells.

    A number lies between those that values of an open constant give.
    """
    if not (simulator.is_stepwise and simulator.starts_from_zero):
        return sets
    passing = np.ones(len(sets), bool)
    for name in simulator.singles.layers[0]:
        key = (*simulator.sequence.key, name, sets.tobytes(), simulator.head is None)
        run = partial(_first_steps, simulator, name, sets)
        shown = sorted(simulator.kept & SHOW_F)
        which, every = cached.get((*key, *shown), run)
        near = np.ones(len(sets), bool)
        for bounds in every:
            near[bounds.rows] = _is_between(simulator, name, bounds)
        passing &= near[which]
    return sets[passing]


def _is_between(
    simulator: NetworkSimulator, name: str, bounds: FirstStepBounds
) -> Array:
    """(U,): whether the known numbers of a first step are within bounds."""
    every = _unit_stride(simulator, name)
    between = np.ones(len(bounds.rows), bool)
    for target in simulator.of_steps:
        if target.cell == name:
            steps, units = target.at
            known = target.subset((steps == bounds.step) & (units % every == 0))
            least, most = bounds.ends[known.array][..., known.at[1] // every]
            beyond = np.maximum(least - known.values, known.values - most)
            off = beyond / known.allowed
            between &= off.max(axis=1, initial=0) <= LOOSE
    return between


def _unit_stride(simulator: NetworkSimulator, name: str) -> int:
    """Of how many units of a cell one is compared."""
    return -(-simulator.runs.cells[name].cell.units // MOST_UNITS)


def _first_steps(
    simulator: NetworkSimulator, name: str, sets: Array
) -> tuple[Array, list[FirstStepBounds]]:
    """The distinct first step that each set has, and bounds of groups of them."""
    runs = simulator.runs
    cell, cells = runs.cells[name], runs.cells_of(name, sets)
    first, which = distinct(cell.keys(cells, True, _shows_f(simulator)))
    sets, cells = sets[first], cells.subset(first)
    constants = _shown_constants(simulator, name, sets, cells)
    is_last = cell.orders(cells).outputs_reversed
    groups, group_of = distinct(constants, is_last)
    every = []
    for n, at in enumerate(groups):
        group = np.flatnonzero(group_of == n)
        values = BOUNDS[int(constants[at])]
        step = len(runs.sequence.x) - 1 if is_last[at] else 0
        for part in runs.chunks(len(group), len(values)):
            ends = _ends(simulator, name, sets[group[part]], values, step)
            every.append(FirstStepBounds(group[part], step, ends))
    return which, every


def _shows_f(simulator: NetworkSimulator) -> bool:
    """Tell whether an array is compared that shows the forget gate at a first step."""
    return not simulator.kept.isdisjoint(SHOW_F)


def _shown_constants(
    simulator: NetworkSimulator, name: str, sets: Array, cells: Cells
) -> Array:
    """(N,): the open constant of each set, if the first step shows it."""
    constants = simulator.singles.open_constant(sets)
    if not _shows_f(simulator):
        is_hidden = ~simulator.runs.cells[name].has(cells, "coupled", "i=1-f")
        constants[is_hidden & (constants == FORGET_BIAS)] = NO_CONSTANT
    return constants


def _ends(
    simulator: NetworkSimulator, name: str, sets: Array, values: Array, step: int
) -> dict[str, Array]:
    """The least and the most (2, U, K) that values of a constant give at a first step."""
    each = np.repeat(sets, len(values), axis=0)
    constants = simulator.singles.constants(each, np.tile(values, len(sets)))
    cells = simulator.runs.cells_of(name, each, constants, np.float32)
    kept = SHOWN.union(simulator.kept & SHOW_F)
    extent = Extent(1, kept, np.float32, has_first_steps=False)
    arrays = simulator.runs.step(name, cells, extent)
    given = {kind: array[:, step] for kind, array in arrays.items()}
    if simulator.head is not None:
        given[Y] = head_output(simulator.head, given["h"])
    ends = {}
    for kind, numbers in given.items():
        some = numbers[:, :: _unit_stride(simulator, name)]
        by_value = some.reshape(len(sets), len(values), -1)
        further = np.abs(np.diff(by_value, axis=1)).max(axis=1, initial=0)
        least, most = by_value.min(axis=1), by_value.max(axis=1)
        ends[kind] = np.stack([least - further, most + further])
    return ends


def staying(
    simulator: NetworkSimulator, sets: Array, cached: Cached | None = None
) -> Array:
    """The sets, without open constants, whose runs stay near EXPECTED.

    Pairs of which no first step is known may be ``cached``, for other placements.
    """
    if cached and sets.shape[1] == 2 and not simulator.is_stepwise:
        pairs = simulator.singles.closed_pairs
        extent = Extent(len(simulator.sequence.x), simulator.kept)
        key = simulator.shared_key(pairs, extent)
        size = int(8 * len(pairs) * simulator.runs.work_of_run)  # bytes
        if 2 * len(sets) >= len(pairs) and cached.has_room((*key, 0), size):
            return _among_pairs(simulator, sets, extent, cached)
    return _in_short_runs(simulator, sets)


def _among_pairs(
    simulator: NetworkSimulator, sets: Array, extent: Extent, cached: Cached
) -> Array:
    """The same where most pairs are tried: all are run to the end, once for all placements."""
    pairs = simulator.singles.closed_pairs
    off = simulator.shared_off(pairs, extent, simulator.horizons.most, cached)
    near = pairs[are_near(off)]
    numbers = 1, len(simulator.singles)  # of a pair one
    return np.asarray(sets[np.isin(sets @ numbers, near @ numbers)])


def _in_short_runs(simulator: NetworkSimulator, sets: Array) -> Array:
    """The same by runs of the lowest cells, and of the first steps: later, rounding grows."""
    names = [*simulator.runs.cells, ""]
    counts = sorted({1 + names.index(one.cell) for one in simulator.targets})
    fewest, telling, most, _ = simulator.horizons
    for count, steps in product(counts, dict.fromkeys((fewest, telling, most))):
        off = simulator.off_early(sets, steps, cells=count)
        sets = sets[are_near(off)]
    return sets
