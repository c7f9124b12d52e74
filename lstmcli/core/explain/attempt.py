"""An attempt to find EXPECTED at one placement, by changes of the cells.

Of the sets of changes those that leave EXPECTED are dropped; full runs confirm the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import Changes, kinds
from lstmcli.core.explain.constants import solve
from lstmcli.core.explain.dropping import passing_first_step, staying
from lstmcli.core.explain.hypotheses import (
    FORGET_BIAS,
    NO_CONSTANT,
    rank,
)
from lstmcli.core.explain.placement import ORDINARY, Placement
from lstmcli.core.explain.sets import SetsToTry
from lstmcli.core.explain.tries import Answer, Try, accepted
from lstmcli.core.explain.verify import Agreement, remark, vanishing
from lstmcli.core.model.arrays import Array

# rms, in tolerances, below which a change is worth a further run
WORTH_MORE = 1e3
MOST_DECIMALS = 10  # of a solved constant
# tolerances by which one may be off at first; a right clip was by 3.1
NEARLY = 5.0
GRID = 32  # runs to find a first value of a constant
PER_CHANGE = 1.5  # times as near as with one change less, to be shown before it


class Attempt:
    """The sets of changes at a placement, and those that give EXPECTED there."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.sets = SetsToTry(placement)
        self.work = placement.question.work
        self.runs = placement.question.runs

    def nearest(self) -> list[Answer]:
        """The nearest single changes, and the run as loaded; the nearest first.

        They are compared, and need not give EXPECTED.
        """
        order = np.argsort(self.sets.distances[:-1], kind="stable")[: Budget.FEW]
        near = [self._run_with(())]
        for single in order[:, None]:
            near.append(self._run_with(self.placement.singles.of(single)))
        near.sort(key=_distance)
        return near[: Budget.FEW]

    def _run_with(self, changes: Changes) -> Answer:
        placement = self.placement
        agreement = placement.verify(changes)
        return Answer(Try(placement, changes), agreement, placement.allowance)

    # ---- the sets that give EXPECTED

    def answers(
        self, size: int, room: float, with_constant: bool = False
    ) -> list[Answer]:
        """The sets of this many changes that give EXPECTED.

        Those with a constant that is solved for, or those without. ``room`` is the work of full
        runs.
        """
        if size == 0:
            return [] if with_constant else self._as_loaded()
        sets = self.sets.of(size, room)
        sets = sets[self.placement.singles.are_open(sets) == with_constant]
        if size > 1 or with_constant:
            sets = passing_first_step(self.sets.simulator, sets, self.runs)
        if with_constant:
            return self._solved(sets, room)
        return self._staying(sets)

    def _as_loaded(self) -> list[Answer]:
        answer = self._accepted(()) if self.placement.may_fit() else None
        return [] if answer is None else [answer]

    def _staying(self, sets: Array) -> list[Answer]:
        """The sets without a constant that give EXPECTED."""
        simulator, placement = self.sets.simulator, self.placement
        if sets.shape[1] == 1:  # each was run for its distance
            sets = sets[self.sets.distances[sets[:, 0]] <= WORTH_MORE]
        sets = staying(simulator, sets, self.runs)
        # not of open lengths
        if len(sets) > Budget.FEW and placement.group == ORDINARY:
            next_item = (simulator.sequence.item + 1) % placement.setup.size[1]
            sets = staying(placement.simulator_on(next_item), sets)
        return self._confirmed(sets, np.full(len(sets), np.nan))

    def _solved(self, sets: Array, room: float) -> list[Answer]:
        """The sets whose constant has a value that gives EXPECTED."""
        simulator, size = self.sets.simulator, sets.shape[1]
        affordable = int(room / (simulator.runs.work_of_run * GRID))
        most = max(self.work.most(Budget.SOLVED), affordable)
        if size > 1 and len(sets) > most and not simulator.is_stepwise:
            left = remark("unsolved", changes=size, count=len(sets) - most)
            self.sets.untried.append(left)
            nearest_part = self.sets.distances[sets].min(axis=1)
            sets = sets[np.argsort(nearest_part, kind="stable")[:most]]
        return self._confirmed(*solve(simulator, sets))

    # ---- full runs

    def _confirmed(self, sets: Array, values: Array) -> list[Answer]:
        """The likeliest sets that a full run confirms; ``values`` (n,) are of their constants."""
        singles, assumed = self.placement.singles, self.placement.model.convention
        ranks = [rank(singles.of(one, 0.5), assumed) for one in sets]
        likeliest = sorted(range(len(sets)), key=ranks.__getitem__)
        is_open = singles.are_open(sets)
        answers = []
        for n in likeliest[: self.work.most(Budget.VERIFIED)]:
            if is_open[n]:
                answer = self._confirmed_constant(sets[n], values[n])
            else:
                answer = self._accepted(singles.of(sets[n]))
            if answer is not None:
                answers.append(answer)
        return answers

    def _accepted(self, changes: Changes, solved: int = 0) -> Answer | None:
        """The answer that a run with changes is, if it gives EXPECTED."""
        placement = self.placement.for_changes(changes)
        if placement is None:
            return None
        return accepted(Try(placement, changes, solved=solved))

    def _confirmed_constant(self, single_set: Array, value: float) -> Answer | None:
        """The answer of a set with a constant, at the value with the fewest decimals."""
        value = self._nearest_value(single_set, value)
        if np.isnan(value):
            return None
        changes = self.placement.singles.of(
            single_set, self._shortest(single_set, value)
        )
        answer = self._accepted(changes, solved=1)
        if answer is None or self._is_without(single_set):
            return None
        return None if vanishing(changes, self.placement.verify) else answer

    def _nearest_value(self, single_set: Array, value: Any) -> Any:
        """The solved value, or that of the sequence where it is wrong; NaN: none comes near."""
        comparison = self._with_value(single_set, value)
        first, item = comparison.first, self.sets.simulator.sequence.item
        if comparison.worst <= NEARLY:
            return value
        if first is None or first.item == item or not self.work.left():
            return np.nan
        other = self.placement.simulator_on(first.item)
        _, values = solve(other, single_set[None])
        value = values[0] if len(values) else np.nan
        is_near = self._with_value(single_set, value).worst <= NEARLY
        return value if is_near else np.nan

    def _with_value(self, single_set: Array, value: float) -> Agreement:
        """How a set compares; without its constant where that has no value."""
        if np.isnan(value):
            return self.placement.verify(self._without_constant(single_set))
        return self.placement.verify(self.placement.singles.of(single_set, value))

    def _without_constant(self, single_set: Array) -> Changes:
        return self.placement.singles.of(
            single_set[self.placement.singles.constant[single_set] == NO_CONSTANT]
        )

    def _shortest(self, single_set: Array, value: float) -> float:
        """The value rounded to the fewest decimals with which a set fits."""
        is_clip = (
            self.placement.singles.open_constant(single_set[None]).item() != FORGET_BIAS
        )
        for decimals in range(MOST_DECIMALS):
            short = round(value, decimals)
            if short == 0 and is_clip:
                continue
            if self._with_value(single_set, short).fits:
                return short
        return value

    def _is_without(self, single_set: Array) -> bool:
        """Tell whether a constant adds too little to what the set gives without it."""
        placement = self.placement
        without = self._without_constant(single_set)
        missed = placement.verify(without)
        if placement.verify(without, placement.allowance.times(NEARLY)).fits:
            return True  # it takes on rounding alone
        # in one cell or another a constant always fits one number
        return len(placement.model.cells) > 1 and missed.total - missed.agreeing < 2


def _distance(near: Answer) -> float:
    """The rms of a run, more for each change."""
    return near.agreement.rms * PER_CHANGE ** len(kinds(near.hypothesis.changes))
