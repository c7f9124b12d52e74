"""The sets of changes that are worth trying at a placement.

Sets that do the same as smaller ones are left out, and so are those that EXPECTED is too short for.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.network_runs import distinct
from lstmcli.core.explain.network_simulator import NetworkSimulator
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.verify import Remark, remark
from lstmcli.core.model.arrays import Array

SEARCH = 15_000  # work of a search next to its runs


class SetsToTry:
    """The sets of changes at a placement, and which of them a budget left out."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.count = 0  # of sets that were listed
        self.depth = 0  # changes in the largest of them
        self.untried: list[Remark] = []  # what a budget left out
        self._by_size: dict[int, Array] = {}
        self._runs = placement.question.runs
        self._work = placement.question.work

    @cached_property
    def simulator(self) -> NetworkSimulator:
        """The network over the sequence of the batch that is known best."""
        return self.placement.simulator_on()

    @cached_property
    def _seen(self) -> Array:
        """The keys of what was listed, at first of the network as loaded."""
        nothing = np.full((1, 1), len(self.placement.singles))
        return self.simulator.runs.keys(nothing)

    @cached_property
    def distances(self) -> Array:
        """(S + 1,): the rms in tolerances of each single change, and of none."""
        return self.simulator.distances(self._runs)

    def of(self, size: int, room: float) -> Array:
        """The sets of a size, without those that do the same as smaller ones.

        ``room`` is the work of full runs.
        """
        if size not in self._by_size:
            self._work.add(SEARCH)
            sets, keys = self._listed(size, room)
            if len(sets):
                self.depth = max(self.depth, size)
            self._by_size[size] = self._new(sets, keys)
            self.count += len(self._by_size[size])
        return self._by_size[size]

    def _new(self, sets: Array, keys: Array) -> Array:
        """The sets that result in a network not tried before, each once."""
        before = len(self._seen)
        every = np.concatenate([self._seen, keys])
        first = np.sort(distinct(*every.T)[0])
        self._seen = every[first]
        return np.asarray(sets[first[first >= before] - before])

    def _listed(self, size: int, room: float) -> tuple[Array, Array]:
        """All sets of a size that are worth it, with their keys.

        Pairs are of the nearest where no first step is known.
        """
        singles, simulator = self.placement.singles, self.simulator
        if size == 1:
            return self._all(1)
        if self._has_none_of(size):
            return self._with_keys(np.zeros((0, size), int))
        if size > 2:
            self.untried.append(remark("rare_triples"))
        elif len(self.placement.cells) > 1:
            self.untried.append(remark("rare_pairs"))
        if simulator.is_stepwise:
            return self._all(size)
        affordable = int(room / (simulator.runs.work_of_run * max(1, len(singles))))
        most = min(self._work.most(Budget.PAIRED), max(Budget.FEW, affordable))
        if most < len(singles):
            self.untried.append(remark("no_first_step", changes=size, singles=most))
        nearest = np.argsort(self.distances[:-1], kind="stable")
        return self._with_keys(singles.pairs(nearest, most))

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

    def _all(self, size: int) -> tuple[Array, Array]:
        """All sets, made once for all placements: they do not depend on EXPECTED."""
        key = "sets", id(self.placement.singles), size
        return self._runs.get(
            key, lambda: self._with_keys(self.placement.singles.sets(size))
        )

    def _with_keys(self, sets: Array) -> tuple[Array, Array]:
        return sets, self.simulator.runs.keys(sets)
