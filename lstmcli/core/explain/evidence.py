"""Whether EXPECTED holds enough numbers to prove an answer.

The neighbours of an answer are the readings that change one setting more, or another. What they
would give, centred and counted in tolerances, is a matrix whose singular values say in how many
directions EXPECTED distinguishes readings, and how well: repeated steps, saturated gates and zeros
count for nothing by themselves. Each solved constant used up one direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain.bench import Bench, Start, View
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.refining import bounded
from lstmcli.core.explain.space import CONSTANTS, SOLVE, Changes
from lstmcli.core.model.arrays import Array

ENOUGH = 2.0
"""Decimal digits that have to be left after as many as it takes to number the readings tried."""

SHORT = 8  # steps that are looked at first
WEALTH = 12.0  # digits that need no second look
FAR = 1e9  # tolerances
CHUNK = 400_000  # numbers of a state stepped at once


class Neighbours(NamedTuple):
    """Readings next to an answer, and what they give."""

    changes: tuple[Changes, ...]
    worst: Array  # (n,): their greatest difference from EXPECTED, in tolerances
    rms: Array  # (n,): the root of the mean of its square
    own_rms: float  # the same of the answer itself
    spread: Array  # (m, E): what those give that see EXPECTED from the same side, in tolerances

    @property
    def fitting(self) -> list[Changes]:
        """Those that EXPECTED does not tell from the answer, on one row of the batch."""
        return [c for c, w in zip(self.changes, self.worst, strict=True) if w <= 1]


def neighbours(bench: Bench, answer: Changes, steps: int | None = None) -> Neighbours:
    """Run every reading that is one change from the answer, over one row of the batch.

    ``answer`` has its constants put in. A change of a setting that the answer changes replaces it.
    """
    space = bench.space
    own = {change.setting: change.value for change in answer if change.setting in _settings(bench)}
    lists = [tuple(answer)]
    codes, values = [codes_of(bench, own)], [constants_of(bench, own)]
    for single in space.singles:
        if single.value == SOLVE or own.get(single.setting) == single.value:
            continue
        changed = {**own, single.setting: single.value}
        row = codes_of(bench, changed)
        if (row == codes[0]).all():
            continue  # the answer in other words
        codes.append(row)
        values.append(constants_of(bench, changed))
        lists.append((*(c for c in answer if c.setting != single.setting), single))
    for k, name in enumerate(CONSTANTS):  # a constant a little off is a neighbour too
        if name in own and isinstance(own[name], float):
            codes.append(codes_of(bench, own))
            moved = constants_of(bench, own)
            moved[k] = moved[k] * 0.9 + 0.1
            values.append(moved)
            lists.append((*(c for c in answer if c.setting != name), answer[0]._replace(
                setting=name, value=float(moved[k]))))  # fmt: skip
    worst, rms, spread = _run(bench, np.array(codes, np.int8), np.array(values).T, steps)
    return Neighbours(tuple(lists[1:]), worst[1:], rms[1:], float(rms[0]), spread)


def _settings(bench: Bench) -> set[str]:
    return {single.setting for single in bench.space.singles} | set(bench.space.columns)


def codes_of(bench: Bench, settings: Mapping[str, object]) -> Array:
    """The row of a reading; constants that no list holds are left at the assumed."""
    space = bench.space
    row = np.zeros(len(space.columns), np.int8)
    by_setting = {(s.setting, s.value): n for n, s in enumerate(space.singles)}
    places = sorted(by_setting[k, v] for k, v in settings.items() if (k, v) in by_setting)
    for n in places:
        np.copyto(row, space.table[n], where=space.table[n] >= 0)
    return row


def constants_of(bench: Bench, settings: Mapping[str, object]) -> Array:
    """The constants of a reading, (3,)."""
    values = []
    for name in CONSTANTS:
        value = settings.get(name, bench.space.values[name][0])
        off = 0.0 if name == "forget_bias" else np.inf
        values.append(off if value is None or not isinstance(value, (int, float)) else float(value))
    return np.array(values)


def _run(
    bench: Bench, codes: Array, values: Array, steps: int | None
) -> tuple[Array, Array, Array]:
    """Of each reading its greatest difference from EXPECTED and their rms, (n,); the spread."""
    own = next(iter(bench.views(codes[:1])))[0]
    last = own.steps if steps is None else own.first + steps
    worst, rms = np.zeros(len(codes)), np.zeros(len(codes))
    spread = []
    size = max(8, CHUNK // (4 * bench.weights.cell.units))
    for view, start, which in bench.runs(codes):
        for at in range(0, len(which), size):
            part = which[at : at + size]
            constants = Constants(*values[:, part])
            off, given = _stepped(bench, codes[part], constants, view, start, last)
            worst[part] = np.abs(off).max(axis=1, initial=0)
            rms[part] = np.sqrt((off**2).mean(axis=1)) if off.size else FAR  # nothing known yet
            if view is own:
                spread.append(given)
    return worst, rms, np.concatenate(spread)


def _stepped(
    bench: Bench,
    codes: Array,
    constants: Constants,
    view: View,
    start: Start,
    last: int,
) -> tuple[Array, Array]:
    batch = bench.batch(codes, constants, start)
    off, given = [], []
    for step in range(min(last, view.steps)):
        arrays = batch.advance(view.course.x[step])
        for _, values, expected, allowed in bench.off(batch, arrays, view, step):
            with np.errstate(all="ignore"):
                off.append((values - expected) / allowed)
                given.append(values / allowed)
    if not off:
        return np.zeros((len(codes), 0)), np.zeros((len(codes), 0))
    return bounded(np.concatenate(off, axis=1), FAR), bounded(np.concatenate(given, axis=1), FAR)


def digits(spread: Array, solved: int, tried: int) -> float:
    """The evidence: decimal digits in which EXPECTED tells readings apart, less those it cost."""
    if not spread.size:
        return -np.inf
    centred = spread - spread.mean(axis=0)
    small = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    squares = np.sort(np.maximum(np.linalg.eigvalsh(small), 0))[::-1]
    sizes = np.sqrt(squares / len(spread))[solved:]
    return float(np.log10(np.maximum(1, sizes)).sum() - np.log10(max(tried, 1)))


def evidence(bench: Bench, answer: Changes, solved: int, tried: int) -> tuple[float, Neighbours]:
    """The evidence for an answer, and its neighbours."""
    near = neighbours(bench, answer, SHORT)
    found = digits(near.spread, solved, tried)
    if found < WEALTH and bench.steps > SHORT:
        near = neighbours(bench, answer)
        found = digits(near.spread, solved, tried)
    return found, near
