"""An attempt to find EXPECTED at one placement, by changes of the cells.

It lists sets of changes, drops those that leave EXPECTED, and confirms the rest by full runs.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import Changes, kinds
from lstmcli.core.explain.hypotheses import SingleChanges, rank
from lstmcli.core.explain.network_simulator import NetworkSimulator
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.placement import ORDINARY, Placement
from lstmcli.core.explain.verify import Agreement, Answer, Remark, remark, vanishing
from lstmcli.core.model.arrays import Array

# rms, in tolerances, below which a change is worth a further run
WORTH_MORE = 1e3
MOST_DECIMALS = 10  # of a solved constant
# tolerances by which one may be off at first; a right clip was by 3.1
NEARLY = 5.0
SEARCH = 15_000  # work of a search next to its runs
GRID = 32  # runs to find a first value of a constant
PER_CHANGE = 1.5  # times as near as with one change less, to be shown before it


class Attempt:
    """The hypotheses tried at a placement, and those that give EXPECTED there."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.work = placement.question.work
        self.runs = placement.question.runs
        self.tried = 0  # hypotheses
        self.depth = 0  # changes in the largest sets that were tried
        self.untried: list[Remark] = []  # what a budget left out
        self._new_sets: dict[int, Array] = {}  # by size

    @property
    def singles(self) -> SingleChanges:
        """The single changes that EXPECTED can show."""
        return self.placement.singles

    @cached_property
    def simulator(self) -> NetworkSimulator:
        """The network over the sequence of the batch that is known best."""
        return self.placement.simulator_on()

    @cached_property
    def distances(self) -> Array:
        """(S + 1,): the rms in tolerances of each single change, and of none."""
        return self.simulator.distances(self.runs)

    def nearest(self) -> list[Answer]:
        """The nearest single changes, and the run as loaded; the nearest first."""
        verify = self.placement.verify
        order = np.argsort(self.distances[:-1], kind="stable")[: Budget.FEW]
        near = [Answer((), verify(()))]
        for single in order[:, None]:
            changes = self.singles.of(single)
            near.append(Answer(changes, verify(changes)))
        near.sort(
            key=lambda one: one.comparison.rms * PER_CHANGE ** len(kinds(one.changes))
        )
        return near[: Budget.FEW]

    # ---- the sets that give EXPECTED

    def found(self, size: int, room: float, with_constant: bool) -> list[Found]:
        """The answers, each with the placement of its lengths."""
        answers = self.answers(size, room, with_constant)
        if not answers:
            return []
        found = []
        for placement, some in self.placement.placed(answers):
            attempt = self if placement is self.placement else Attempt(placement)
            found.append(Found(attempt, some, self.placement.allowance))
        return found

    def answers(
        self, size: int, room: float, with_constant: bool = False
    ) -> list[Answer]:
        """The sets of this many changes that give EXPECTED.

        Those with a constant that is solved for, or those without. ``room`` is the work of full
        runs.
        """
        if size == 0:
            return [] if with_constant else self._as_loaded()
        sets = self._sets_of(size, room)
        sets = sets[self.singles.are_open(sets) == with_constant]
        if size > 1 or with_constant:
            sets = self.simulator.passing_first_step(sets, self.runs)
        if with_constant:
            return self._solved(sets, room)
        return self._staying(sets)

    def _as_loaded(self) -> list[Answer]:
        if self.placement.fits():
            return [Answer((), self.placement.verify(()))]
        return []

    def _staying(self, sets: Array) -> list[Answer]:
        """The sets without a constant that give EXPECTED."""
        simulator, placement = self.simulator, self.placement
        if sets.shape[1] == 1:  # each was run for its distance
            sets = sets[self.distances[sets[:, 0]] <= WORTH_MORE]
        sets = simulator.staying(sets, self.runs)
        if (
            len(sets) > Budget.FEW and placement.group == ORDINARY
        ):  # not of open lengths
            next_item = (simulator.item + 1) % placement.setup.size[1]
            sets = placement.simulator_on(next_item).staying(sets)
        return self._confirmed(sets, np.full(len(sets), np.nan))

    def _solved(self, sets: Array, room: float) -> list[Answer]:
        """The sets whose constant has a value that gives EXPECTED."""
        simulator, size = self.simulator, sets.shape[1]
        affordable = int(room / (simulator.work_of_run * GRID))
        most = max(self.work.most(Budget.SOLVED), affordable)
        if size > 1 and len(sets) > most and not simulator.is_stepwise:
            self.untried.append(
                remark("unsolved", changes=size, count=len(sets) - most)
            )
            nearest_part = self.distances[sets].min(axis=1)
            sets = sets[np.argsort(nearest_part, kind="stable")[:most]]
        return self._confirmed(*simulator.solve(sets))

    # ---- the sets to try

    def _sets_of(self, size: int, room: float) -> Array:
        """The sets of a size, without those that do the same as smaller ones."""
        if size not in self._new_sets:
            self.work.add(SEARCH)
            sets, keys = self._listed(size, room)
            if len(sets):
                self.depth = max(self.depth, size)
            self._new_sets[size] = self.simulator.new(sets, keys)
            self.tried += len(self._new_sets[size])
        return self._new_sets[size]

    def _listed(self, size: int, room: float) -> tuple[Array, Array]:
        """All sets of a size that are worth it, with their keys.

        Pairs are of the nearest where no first step is known.
        """
        singles, simulator = self.singles, self.simulator
        if size == 1:
            return self._all_sets(1)
        cells = len(self.placement.cells)
        if self._has_none_of(size):
            return simulator.with_keys(np.zeros((0, size), int))
        if size > 2:
            self.untried.append(remark("rare_triples"))
        elif cells > 1:
            self.untried.append(remark("rare_pairs"))
        if simulator.is_stepwise:
            return self._all_sets(size)
        affordable = int(room / (simulator.work_of_run * max(1, len(singles))))
        most = min(self.work.most(Budget.PAIRED), max(Budget.FEW, affordable))
        if most < len(singles):
            self.untried.append(remark("no_first_step", changes=size, singles=most))
        nearest = np.argsort(self.distances[:-1], kind="stable")
        return simulator.with_keys(singles.pairs(nearest, most))

    def _has_none_of(self, size: int) -> bool:
        """Tell whether no sets of two or three changes are tried, and note why."""
        placement, is_stepwise = self.placement, self.simulator.is_stepwise
        too_few = False
        if not is_stepwise:
            too_few = placement.expected.distinct(placement.allowance) <= size
        cells = len(placement.cells) if len(placement.cells) > 1 else 0
        is_too_much = size > 2 and (cells > 0 or not is_stepwise)
        if not (too_few or is_too_much):
            return False
        facts = {"too_few": too_few, "cells": cells}
        self.untried.append(remark("none_at_once", changes=size, **facts))
        return True

    def _all_sets(self, size: int) -> tuple[Array, Array]:
        """All sets, made once for all placements: they do not depend on EXPECTED."""
        singles, simulator = self.singles, self.simulator
        key = "sets", id(singles), size
        return self.runs.get(key, lambda: simulator.with_keys(singles.sets(size)))

    # ---- full runs

    def _confirmed(self, sets: Array, values: Array) -> list[Answer]:
        """The likeliest sets that a full run confirms; ``values`` (n,) are of their constants."""
        singles, assumed = self.singles, self.placement.model.convention
        ranks = [rank(singles.of(one, 0.5), assumed) for one in sets]
        likeliest = sorted(range(len(sets)), key=ranks.__getitem__)
        answers = []
        for n in likeliest[: self.work.most(Budget.VERIFIED)]:
            if singles.constant[sets[n]].max() < 0:
                answer = self._confirmed_plain(sets[n])
            else:
                answer = self._confirmed_constant(sets[n], values[n])
            if answer is not None:
                answers.append(answer)
        return answers

    def _confirmed_plain(self, single_set: Array) -> Answer | None:
        changes = self.singles.of(single_set)
        comparison = self.placement.verify(changes)
        return Answer(changes, comparison) if comparison.fits else None

    def _confirmed_constant(self, single_set: Array, value: float) -> Answer | None:
        """The answer of a set with a constant, at the value with the fewest decimals."""
        value = self._nearest_value(single_set, value)
        if np.isnan(value):
            return None
        verify = self.placement.verify
        changes = self.singles.of(single_set, self._shortest(single_set, value))
        comparison = verify(changes)
        if (
            not comparison.fits
            or self._is_without(single_set)
            or vanishing(changes, verify)
        ):
            return None
        return Answer(changes, comparison, 1)

    def _nearest_value(self, single_set: Array, value: Any) -> Any:
        """The solved value, or that of the sequence where it is wrong; NaN: none comes near."""
        comparison = self._with_value(single_set, value)
        first, item = comparison.first, self.simulator.item
        if comparison.worst <= NEARLY:
            return value
        if first is None or first.item == item or not self.work.left():
            return np.nan
        _, values = self.placement.simulator_on(first.item).solve(single_set[None])
        value = values[0] if len(values) else np.nan
        is_near = self._with_value(single_set, value).worst <= NEARLY
        return value if is_near else np.nan

    def _with_value(self, single_set: Array, value: float) -> Agreement:
        """How a set compares; without its constant where that has no value."""
        if np.isnan(value):
            return self.placement.verify(self._without_constant(single_set))
        return self.placement.verify(self.singles.of(single_set, value))

    def _without_constant(self, single_set: Array) -> Changes:
        return self.singles.of(single_set[self.singles.constant[single_set] < 0])

    def _shortest(self, single_set: Array, value: float) -> float:
        """The value rounded to the fewest decimals with which a set fits."""
        may_be_zero = (
            self.singles.constant[single_set].max() == 0
        )  # a forget bias, no clip
        for decimals in range(MOST_DECIMALS):
            short = round(value, decimals)
            if short == 0 and not may_be_zero:
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


class Found(NamedTuple):
    """The answers of an attempt, at a tolerance of EXPECTED."""

    attempt: Attempt
    answers: list[Answer]
    allowance: Allowance

    def verify(self, changes: Changes) -> Agreement:
        """Run the network with changes, and compare at the tolerance."""
        return self.attempt.placement.verify(changes, self.allowance)
