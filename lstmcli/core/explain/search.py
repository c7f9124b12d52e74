"""The search of all placements: the fewest changes that give EXPECTED at any of them."""

from __future__ import annotations

from functools import cached_property
from itertools import chain

import numpy as np

from lstmcli.core.explain import execution, lengths
from lstmcli.core.explain.attempt import Attempt
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import kinds
from lstmcli.core.explain.edit_search import EditSearch
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.placement import GROUPS, ORDINARY, Placement
from lstmcli.core.explain.question import Question
from lstmcli.core.explain.setups import no_place, setups
from lstmcli.core.explain.tries import Answer, Try, accepted
from lstmcli.core.explain.verify import A_FEW, arrays_if_run, compared

LATER_LOCATION = 0.1  # cost of each further location on a run
OTHER_RUN = 3.0  # cost of a placement that changes the run
NEAR_COUNT = 2  # placements of a group that are searched up to `Budget.NEAR`
FEWER_LIKELY = 6  # times fewer placements are likely for each further change
# parts of the work: for each change at likely placements; at others, and for each change there
LIKELY_PART = 0.4
OTHER_PART, OTHER_PER_CHANGE = 0.3, 0.1
# after which half precision is searched at the likeliest placement alone
HALF_PART = 0.5


class Search:
    """EXPECTED in one shape, at all its placements."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.work = question.work
        self.left_out = 0  # locations
        self.rounded = 0  # hypotheses of half precision that were listed
        by_cost: list[tuple[float, Placement]] = []
        for setup in setups(question):
            locations, left_out = setup.located()
            self.left_out += left_out
            for nth, location in enumerate(locations):
                cost = location.cost + LATER_LOCATION * nth
                for one in lengths.placements(setup, location):
                    by_cost.append((cost + OTHER_RUN if one.count else cost, one))
        if not by_cost:
            raise no_place(question)
        by_cost.sort(key=lambda row: row[0])
        self.attempts = [Attempt(one) for _, one in by_cost]  # the likeliest first
        self.as_loaded = [one for one in self.attempts if not one.placement.count]
        self.likely = self.as_loaded or self.attempts
        self._attempt_at = {one.placement: one for one in self.attempts}

    def attempt_at(self, placement: Placement) -> Attempt:
        """The attempt at a placement; of lengths that were found it is a new one."""
        if placement not in self._attempt_at:
            self._attempt_at[placement] = Attempt(placement)
        return self._attempt_at[placement]

    @property
    def tried(self) -> int:
        """How many hypotheses were listed."""
        return 1 + self.rounded + sum(one.sets.count for one in self.attempts)

    @property
    def depth(self) -> int:
        """The most changes of the cells at once that were tried."""
        return max(one.sets.depth for one in self.attempts)

    @property
    def likeliest(self) -> list[Attempt]:
        """The attempts next to which edits are tried, the likeliest first."""
        return self.likely[: Budget.FEW // 2]

    def found_by(self, total: int) -> list[Answer]:
        """The answers of this many changes, at the least tolerance that any meets."""
        answers = self._first_found(total)
        for tight in self.question.exactness.allowances[:-1]:
            exact = [accepted(one.hypothesis, tight) for one in answers]
            if any(exact):
                answers = [one for one in exact if one is not None]
        return answers

    def _first_found(self, total: int) -> list[Answer]:
        """The answers without a constant, if any, else with one; those of fewer runs first."""
        for with_constant in (False, True):
            for group in GROUPS:
                answers = self._found_in_group(total, group, with_constant)
                if answers:
                    return answers
        return []

    def _found_in_group(
        self, total: int, group: int, with_constant: bool
    ) -> list[Answer]:
        """The answers in a group of placements, those with the fewest changes of cells first."""
        answers: list[Answer] = []
        for size in range(total + 1):
            for nth, attempt in enumerate(self._by_turns(total - size, group)):
                room = self._room_for(attempt, nth, size, total)
                if room is None:
                    continue
                answers.extend(attempt.answers(size, room, with_constant))
                if answers and total == 0:  # as loaded, the likeliest is enough
                    return answers
        return answers

    def _room_for(
        self, attempt: Attempt, nth: int, size: int, total: int
    ) -> float | None:
        """The work that full runs at a placement may take; None: it is left out.

        The likeliest is always searched, and the first of a group up to `Budget.NEAR`. Likely ones
        of more changes keep some work.
        """
        is_near = nth < NEAR_COUNT and self.work.left(Budget.NEAR) > 0
        is_first = is_near or attempt is self.attempts[0]
        if is_first or nth < Budget.LIKELY // FEWER_LIKELY ** max(0, size - 1):
            part = LIKELY_PART * max(1, total)
        else:
            part = OTHER_PART + OTHER_PER_CHANGE * total
        room = self.work.left(part)
        return room if room or is_first else None

    def _by_turns(self, changes: int, group: int) -> list[Attempt]:
        """The attempts of a group with this many changes, the likeliest and nearest by turns.

        The right one need not be near, but hardly any is by chance.
        """
        likeliest = []
        for one in self.attempts:
            if one.placement.group == group and one.placement.count == changes:
                likeliest.append(one)
        begun = [one for one in likeliest if one.sets.depth]
        nearest = sorted(begun, key=lambda one: one.sets.distances.min())
        by_turns = chain.from_iterable(zip(likeliest, nearest, strict=False))
        return list(dict.fromkeys(chain(by_turns, likeliest)))

    @cached_property
    def edits(self) -> EditSearch:
        """The search for edits, of the likeliest attempts or on a layout that is likelier."""
        self.work.edits.what = self.work.what
        self.work.edits.progress = self.work.progress
        if self.on_other_layout is None:
            return EditSearch(self.likeliest)
        return EditSearch([self.on_other_layout, *self.likeliest[:1]])

    @cached_property
    def on_other_layout(self) -> Attempt | None:
        """EXPECTED on the other layout, if as loaded step 0 of sequence 0 agrees alone."""
        others = []
        for one in self.attempts:
            if kinds(one.placement.changes) == {"layout"}:
                others.append(one)
        if not self.as_loaded or not others:
            return None
        placement = self.as_loaded[0].placement
        loaded = placement.verify(())
        is_first = np.zeros(placement.setup.size, bool)
        is_first[0, 0] = True
        run = arrays_if_run(placement.case, {})
        first = compared(run, placement.expected.at(is_first), placement.allowance)
        is_alone = loaded.agreeing <= first.total + A_FEW * loaded.total
        if not (first.total and first.fits and is_alone):
            return None
        is_nearer = others[0].placement.verify(()).agreeing > loaded.agreeing
        return others[0] if is_nearer else None


def half_precision(search: Search) -> list[Answer]:
    """The weights, inputs or all of it rounded, as loaded or with one change."""
    likely = []
    for one in search.attempts:
        if one.placement.count < 2 and one.placement.group == ORDINARY:
            likely.append(one)
    for half in search.question.exactness.coarse:
        for attempt in likely:
            if attempt is likely[0] or search.work.left(HALF_PART):
                answers = _in_half_precision(search, attempt, half)
                if answers:
                    return answers
    return []


def _in_half_precision(
    search: Search, attempt: Attempt, half: Allowance
) -> list[Answer]:
    """The answers near at the tolerance of a format that give EXPECTED with a part rounded.

    A change is searched where a first step is known.
    """
    placement = attempt.placement
    may_change = not placement.changes and attempt.sets.simulator.is_stepwise
    if not may_change and placement.verify(()).max_abs > half.absolute:
        return []
    coarse = execution.tolerance(placement.case, placement.run_changes, half)
    at_coarse = Attempt(
        Placement(
            placement.setup, placement.location, placement.run_changes, allowance=coarse
        )
    )
    near = at_coarse.answers(0, 0)
    if may_change and not near:
        near = at_coarse.answers(1, attempt.work.left())
    search.rounded += at_coarse.sets.count
    near.sort(key=lambda one: one.agreement.rms)
    answers = []
    for one in near[: Budget.FEW]:
        rounded = _rounded(placement, one.hypothesis, half.name)
        if rounded is not None:
            answers.append(rounded._replace(allowance=coarse))
    return answers


def _rounded(placement: Placement, near: Try, dtype: str) -> Answer | None:
    """The answer of the first part whose rounding to a format gives EXPECTED."""
    tight = placement.allowance
    if not execution.shows_rounding(placement.case, near.run_changes, tight):
        return None
    for part in execution.PARTS:
        rounding = execution.Rounding(dtype, part)
        answer = accepted(near._replace(placement=placement, rounding=rounding), tight)
        if answer is not None:
            return answer
    return None
