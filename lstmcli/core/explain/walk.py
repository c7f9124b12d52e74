"""Readings stepped on against EXPECTED; those that leave it by many tolerances are dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain.bench import Bench, Start, View
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.solving import Solved, solve
from lstmcli.core.model.arrays import Array

LOOSE = 20.0  # tolerances by which a reading may be off while it is still searched
CHUNK = 1000  # readings stepped at once: more leave the cache
FEW = 24  # readings that are not worth dropping one by one
LONGEST = 12  # steps after which what is left is run as a whole
"""Rounding grows from step to step; dropping readings late could drop the true one."""

LATE = 8  # unknown first steps from which on readings are stepped in float32, twice as quick,
LATE_SLACK = 1e-5  # and at most this, times LOOSE


class Found(NamedTuple):
    """Readings that are left: their sets of changes, rows of codes, and constants."""

    sets: Array  # (n, size)
    codes: Array  # (n, F)
    constants: Constants

    @classmethod
    def none(cls, size: int, columns: int) -> Found:
        """No reading."""
        empty = np.zeros(0)
        return cls(
            np.zeros((0, size), np.int16),
            np.zeros((0, columns), np.int8),
            Constants(empty, empty, empty),
        )


def walk(bench: Bench, sets: Array, codes: Array, tick: Callable[[float], None]) -> Found:
    """The readings that stay with EXPECTED; their open constants are solved for."""
    constants = Constants.of(bench.space, codes)
    is_open = np.isnan(np.array(constants)).any(axis=0)
    left: list[Array] = [np.zeros(0, int)]
    for view, start, which in bench.runs(codes):
        closed = which[~is_open[which]]
        for at in range(0, len(closed), CHUNK):
            tick(0.7 * (closed[at] + 1) / len(codes))
            part = closed[at : at + CHUNK]
            left.append(part[_stay(bench, codes[part], constants.chosen(part), view, start)])
    places = np.concatenate(left)
    found = Found(sets[places], codes[places], constants.chosen(places))
    tick(0.7)
    opened = np.flatnonzero(is_open)
    if not len(opened):
        return found
    solved = _solved(bench, codes[opened], constants.chosen(opened))
    keep = opened[solved.kept]
    return Found(
        np.concatenate([found.sets, sets[keep]]),
        np.concatenate([found.codes, codes[keep]]),
        _joined([found.constants, solved.constants]),
    )


def _stay(bench: Bench, codes: Array, constants: Constants, view: View, start: Start) -> Array:
    """Places of the readings that stay with EXPECTED."""
    alive = np.arange(len(codes))
    late = view.first >= LATE
    batch = bench.batch(codes, constants, start, dtype=np.float32 if late else np.float64)
    for step in range(view.steps):
        seen = step - view.first
        if seen >= LONGEST or (seen > 1 and len(alive) <= FEW):
            break
        arrays = batch.advance(view.course.x[step])
        if seen < 0:
            continue
        worst = np.zeros(len(alive))
        for _, given, expected, allowed in bench.off(batch, arrays, view, step):
            with np.errstate(all="ignore"):
                slack = np.maximum(allowed, LATE_SLACK) if late else allowed
                worst = np.fmax(worst, (np.abs(given - expected) / slack).max(axis=1))
        stay = np.flatnonzero(worst <= LOOSE)
        if not stay.size:
            return alive[:0]
        if len(stay) < len(alive):
            alive, batch = alive[stay], batch.kept(stay)
    return alive


def _solved(bench: Bench, codes: Array, constants: Constants) -> Solved:
    """Places of the readings whose open constants bring them to EXPECTED."""
    kept: list[Array] = []
    values: list[Constants] = []
    for view, start, which in bench.runs(codes):
        solved = solve(bench, codes[which], constants.chosen(which), view, start)
        kept.append(which[solved.kept])
        values.append(solved.constants)
    return Solved(np.concatenate(kept), _joined(values))


def _joined(parts: list[Constants]) -> Constants:
    return Constants(*map(np.concatenate, zip(*parts, strict=True)))
