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

from lstmcli.core.explain.causes import CONSTANTS, SOLVE
from lstmcli.core.explain.constants import OFF
from lstmcli.core.explain.hypotheses import Changes
from lstmcli.core.explain.simulator import FAR, Simulator
from lstmcli.core.model.arrays import Array

ENOUGH = 2.0
"""Decimal digits that have to be left after as many as it takes to number the readings tried."""

SHORT = 8  # steps that are looked at first
WEALTH = 12.0  # digits that need no second look


class Neighbours(NamedTuple):
    """Readings next to an answer, and what they give."""

    changes: tuple[Changes, ...]
    worst: Array  # (n,): their greatest difference from EXPECTED, in tolerances
    rms: Array  # (n,): the root of the mean of its square
    own_rms: float  # the same of the answer itself
    spread: Array  # (m, E): what those of the same view give for the numbers that the answer moves

    @property
    def fitting(self) -> list[Changes]:
        """Those that EXPECTED does not tell from the answer, on one row of the batch."""
        return [c for c, w in zip(self.changes, self.worst, strict=True) if w <= 1]


def neighbours(simulator: Simulator, answer: Changes, steps: int | None = None) -> Neighbours:
    """Run every hypothesis that is one change from the answer, over one sequence of the batch.

    ``answer`` has its constants put in. A change of a setting that the answer changes replaces it.
    """
    space = simulator.space
    own = {change.setting: change.value for change in answer if change.setting in space.settings}
    lists = [tuple(answer)]
    codes, values = [codes_of(simulator, own)], [constants_of(simulator, own)]
    for single in space.singles:
        if single.value == SOLVE or own.get(single.setting) == single.value:
            continue
        changed = {**own, single.setting: single.value}
        row = codes_of(simulator, changed)
        if (row == codes[0]).all():
            continue  # the answer in other words
        codes.append(row)
        values.append(constants_of(simulator, changed))
        lists.append((*(c for c in answer if c.setting != single.setting), single))
    for k, name in enumerate(CONSTANTS):  # a constant a little off is a neighbour too
        if name in own and isinstance(own[name], float):
            moved = constants_of(simulator, own)
            moved[k] = moved[k] * 0.9 + 0.1
            codes.append(codes[0])
            values.append(moved)
            lists.append((*(c for c in answer if c.setting != name), answer[0]._replace(
                setting=name, value=float(moved[k]))))  # fmt: skip
    codes.append(codes_of(simulator, {}))  # as loaded
    values.append(constants_of(simulator, {}))
    worst, rms, spread = _run(simulator, np.array(codes, np.int8), np.array(values), steps)
    return Neighbours(tuple(lists[1:]), worst[1:-1], rms[1:-1], float(rms[0]), spread)


def codes_of(simulator: Simulator, settings: Mapping[str, object]) -> Array:
    """The row of a hypothesis; constants that no list holds are left at the assumed."""
    space = simulator.space
    row = np.zeros(len(space.columns), np.int8)
    by_setting = {(s.setting, s.value): n for n, s in enumerate(space.singles)}
    places = sorted(by_setting[k, v] for k, v in settings.items() if (k, v) in by_setting)
    for n in places:
        np.copyto(row, space.table[n], where=space.table[n] >= 0)
    return row


def constants_of(simulator: Simulator, settings: Mapping[str, object]) -> Array:
    """The constants of a hypothesis, (3,)."""
    values = []
    for name, off in zip(CONSTANTS, OFF, strict=True):
        value = settings.get(name, simulator.space.values[name][0])
        values.append(float(value) if isinstance(value, (int, float)) else off)
    return np.array(values)


def _run(
    simulator: Simulator, codes: Array, values: Array, steps: int | None
) -> tuple[Array, Array, Array]:
    """Of each hypothesis its greatest difference and their rms (N,); the spread of what it gives.

    The first is an answer and the last the cell as loaded: only numbers that these do not have in
    common speak for the answer.
    """
    cells = simulator.cells(codes)
    own = simulator.views[int(cells.view[0])]
    last = own.steps if steps is None else own.first + steps
    worst, rms = np.zeros(len(codes)), np.full(len(codes), FAR)
    spread = np.zeros((0, 0))
    as_loaded = len(codes) - 1
    for view, which in simulator.by_view(cells):
        off = simulator.run(cells.some(which), values[which], view, min(last, view.steps))
        if off.size:
            worst[which] = np.abs(off).max(axis=1)
            rms[which] = np.sqrt((off**2).mean(axis=1))
        if view is own:
            moves = which[-1] == as_loaded and bool(codes[0].any())
            spread = off[:, np.abs(off[-1] - off[0]) > 1] if moves else off
    return worst, rms, spread


def digits(spread: Array, solved: int, tried: int) -> float:
    """The evidence: decimal digits in which EXPECTED tells readings apart, less those it cost."""
    if not spread.size:
        return -np.inf
    centred = spread - spread.mean(axis=0)
    small = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    squares = np.sort(np.maximum(np.linalg.eigvalsh(small), 0))[::-1]
    sizes = np.sqrt(squares / len(spread))[solved:]
    return float(np.log10(np.maximum(1, sizes)).sum() - np.log10(max(tried, 1)))


def evidence(
    simulator: Simulator, answer: Changes, solved: int, tried: int
) -> tuple[float, Neighbours]:
    """The evidence for an answer, and its neighbours."""
    near = neighbours(simulator, answer, SHORT)
    found = digits(near.spread, solved, tried)
    if found < WEALTH and simulator.view.steps > SHORT:
        near = neighbours(simulator, answer)
        found = digits(near.spread, solved, tried)
    return found, near
