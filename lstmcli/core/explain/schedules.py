"""Edits of when the state advances, found step by step where every h of a cell is known.

From the state before a step that agrees, each way to take the step is run, and its h compared.
Nothing has to be solved for: of nets that are not saturated one way alone fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain.edited_runs import EditedRuns
from lstmcli.core.explain.edits import Tries, known_cells, tolerance_of
from lstmcli.core.explain.first_steps import KnownCell
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Edit
from lstmcli.core.model.schedule import Schedule, StepCount
from lstmcli.core.model.states import State

LEAST_STEPS = 3
MOST_RUNS = 8  # of a step, and steps of zeros before it
MOST_ZEROS = 24_000  # steps of zeros before the first: half a second of audio
BLOCK = 256  # of these, after which they may have settled
OF_ZEROS = 0.25  # of the work of edits: a state that never settles took all of it
SETTLED = 1e-12  # by which a state changes that has
AS_NEAR = 1e-7  # of a first step: rounding in float32
ADVANCE, ADVANCE_ROW = 200, 4  # work of a step by itself, and of each unit of a row


class Way(NamedTuple):
    """A way to take a step."""

    zeros: int  # steps before it
    runs: int
    was_held: bool  # the state after the step before was dropped


PLAIN = Way(0, 1, False)


def _ways() -> list[Way]:
    """The ways to take a step, those that do fewest things otherwise first."""
    ways = []
    for was_held in (False, True):
        for zeros in range(MOST_RUNS + 1):
            for runs in range(MOST_RUNS + 1):
                if runs or not (zeros or was_held):
                    ways.append(Way(zeros, runs, was_held))
    ways.sort(key=_strangeness)
    return ways


def _strangeness(way: Way) -> tuple[int, int]:
    """How many things are otherwise than in a plain step, and by how much."""
    others = [way.zeros > 0, way.runs != 1, way.was_held]
    return others.count(True), way.zeros + abs(way.runs - 1)


WAYS = _ways()


def schedules(runs: EditedRuns) -> Tries:
    """The schedule of each sequence, perhaps after a number of steps of zeros."""
    for known in known_cells(runs):
        if known.name or len(known.h) < LEAST_STEPS:
            return
        if runs.is_off_at_first:
            for count, start in _warmed(runs, known):
                yield from _from_start(runs, known, start, count)
        yield from _from_start(runs, known, known.start, 0)


def _from_start(runs: EditedRuns, known: KnownCell, start: State, zeros: int) -> Tries:
    """The try of a schedule that gives every step from a state."""
    each = []
    h, c = start
    for b in range(known.h.shape[1]):
        row = slice(b, b + 1)
        sequence = known._replace(
            h=known.h[:, row], x=known.x[:, row], start=(h[row], c[row])
        )
        ways = FollowedSequence(runs, sequence).ways()
        if ways is None:
            return
        each.append(ways)
    schedule = _schedule_of_ways(each)
    edits = edits_of_schedule(schedule)
    if zeros:
        edits.insert(0, Edit("state.zero_steps", zeros))
    if edits:
        yield runs.hypothesis(*edits, solved=_count_of(schedule) + len(edits))


def _count_of(schedule: Schedule) -> int:
    """How many things are otherwise, in all sequences or in each."""
    if _is_same_in_all(schedule):
        schedule = Schedule(*(array[:, :1] for array in schedule))
    is_other = [schedule.runs != 1, schedule.held, schedule.zeros > 0]
    return int(np.count_nonzero(is_other))


class Taken(NamedTuple):
    """A step that was taken: the state that its runs began from, and that after it."""

    way: Way
    before: State
    after: State


class FollowedSequence:
    """One sequence of EXPECTED, followed step by step."""

    def __init__(self, runs: EditedRuns, known: KnownCell) -> None:
        self._work = runs.work
        self._known = known
        self._tolerance = tolerance_of(runs)

    def ways(self) -> list[Way] | None:
        """How each step is taken; None where no way gives one of them."""
        known = self._known
        taken: list[Taken] = []
        shown = known.start[0]
        for x, wanted in zip(known.x, known.h, strict=True):
            entries = [known.start]
            if taken:
                entries = [taken[-1].after]
            step = self._plain(x, entries[0], wanted)
            if step is None:
                if taken and taken[-1].way.runs:
                    entries.append(taken[-1].before)
                step = self._other(x, entries, wanted, shown)
            if step is None:
                return None
            is_first = not any(one.way.runs for one in taken)
            if is_first and step.way.runs == 0 and not known.start[0].any():
                return None  # zeros before the first step that is run are a mask's
            taken.append(step)
            shown = wanted
        return [one.way for one in taken]

    def _plain(self, x: Array, state: State, wanted: Array) -> Taken | None:
        """The step if it is run once from the state after the last."""
        h, c = self._advance(x, state)
        if np.abs(h - wanted).max() > self._tolerance:
            return None
        return Taken(PLAIN, state, (wanted, c))

    def _other(
        self, x: Array, entries: Sequence[State], wanted: Array, shown: Array
    ) -> Taken | None:
        """The step in the plainest way that gives its h; ``shown`` is the h before."""
        columns = len(entries) * (MOST_RUNS + 1)
        began = self._with_zeros(x, entries)
        of_runs = [began]
        for _ in range(MOST_RUNS):
            of_runs.append(self._advance(x.repeat(columns, axis=0), of_runs[-1]))
        off = np.array([np.abs(h - wanted).max(axis=1) for h, _ in of_runs])
        off[0] = np.abs(shown - wanted).max()  # of a step that is not run
        for way in WAYS:
            row = way.zeros * len(entries)
            if way.was_held:
                row += 1
            is_there = len(entries) > 1 or not way.was_held
            if is_there and off[way.runs, row] <= self._tolerance:
                at = slice(row, row + 1)
                before = began[0][at], began[1][at]
                h, c = of_runs[way.runs]
                after_h = wanted if way.runs else h[at]
                return Taken(way, before, (after_h, c[at]))
        return None

    def _with_zeros(self, x: Array, entries: Sequence[State]) -> State:
        """The states (rows, K) after 0, 1, ... steps of zeros, those of each count together."""
        zeros = np.zeros_like(x).repeat(len(entries), axis=0)
        h, c = (np.concatenate(one) for one in zip(*entries, strict=True))
        states = [(h, c)]
        for _ in range(MOST_RUNS):
            states.append(self._advance(zeros, states[-1]))
        h, c = (np.concatenate(one) for one in zip(*states, strict=True))
        return h, c

    def _advance(self, x: Array, state: State) -> State:
        self._work.add(ADVANCE + ADVANCE_ROW * state[1].size)
        return self._known.advance(x, *state)


def _schedule_of_ways(each: Sequence[Sequence[Way]]) -> Schedule:
    schedule = Schedule.plain(len(each[0]), len(each))
    for b, ways in enumerate(each):
        for t, way in enumerate(ways):
            schedule.runs[t, b] = way.runs
            schedule.zeros[t, b] = way.zeros
            if way.was_held:
                schedule.held[t - 1, b] = True
    return schedule


def _is_same_in_all(schedule: Schedule) -> bool:
    return all((array == array[:, :1]).all() for array in schedule)


def edits_of_schedule(schedule: Schedule) -> list[Edit]:
    """The edits of a schedule of all sequences, or one with the schedule of each."""
    if not _is_same_in_all(schedule):
        arrays = {
            name: array.T.astype(int) for name, array in schedule._asdict().items()
        }
        return [Edit("state.repeated", arrays, file="schedule.npz")]
    runs, held, zeros = (array[:, 0] for array in schedule)
    edits = []
    repeated = tuple(
        StepCount(t, int(runs[t])) for t in np.flatnonzero(runs > 1).tolist()
    )
    inserted = tuple(
        StepCount(t, int(zeros[t])) for t in np.flatnonzero(zeros).tolist()
    )
    values = {
        "state.repeated": repeated,
        "state.skipped": tuple(np.flatnonzero(runs == 0).tolist()),
        "state.held": tuple(np.flatnonzero(held).tolist()),
        "state.inserted": inserted,
    }
    for name, value in values.items():
        if value:
            edits.append(Edit(name, value))
    return edits


# ---- steps of zeros before the first


def _warmed(runs: EditedRuns, known: KnownCell) -> Iterator[tuple[int, State]]:
    """The fewest steps of zeros from whose state the first step agrees best, and the state.

    From the state that it has settled in, all later numbers are the same.
    """
    if not runs.work.left(OF_ZEROS):
        return
    states, off = _states_of_zeros(runs, known)
    least = off.min()
    if least <= tolerance_of(runs):
        nth = int((off <= 2 * least + AS_NEAR).argmax())
        yield nth + 1, states[nth]


def _states_of_zeros(runs: EditedRuns, known: KnownCell) -> tuple[list[State], Array]:
    """The states after 1, 2, ... steps of zeros, and how far off each has the first step."""
    x = np.zeros_like(known.x[0])
    x_first, h_first = (np.tile(one[0], (BLOCK, 1)) for one in (known.x, known.h))
    state = known.start
    states: list[State] = []
    off: list[Array] = []
    while len(states) < MOST_ZEROS and runs.work.left(OF_ZEROS):
        for _ in range(BLOCK):
            state = known.advance(x, *state)
            states.append(state)
        runs.work.add(BLOCK * (ADVANCE + 2 * ADVANCE_ROW * state[1].size))
        h, c = (np.concatenate(one) for one in zip(*states[-BLOCK:], strict=True))
        differences = np.abs(known.advance(x_first, h, c)[0] - h_first)
        off.append(differences.reshape(BLOCK, -1).max(axis=1))
        if np.abs(states[-1][1] - states[-2][1]).max() < SETTLED:
            break
    return states, np.concatenate(off)
