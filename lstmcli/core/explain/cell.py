"""One cell at one placement of EXPECTED: its search, its proof, its explanation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import combinations
from math import factorial

import numpy as np

from lstmcli.core.explain import execution, rounding
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CONSTANTS, OPEN, SHUT
from lstmcli.core.explain.explanation import (
    ALL_ZERO,
    ENOUGH,
    Changed,
    Explanation,
    Near,
    Neighbours,
    clearly_nearer,
    evidence,
    first_shown,
    neighbours,
    remarks_on,
    wanted,
)
from lstmcli.core.explain.hypotheses import Change, Changes, conventions_that_run, settings_of
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.search import LEVELS, Outcome, Pass, Progress, Search
from lstmcli.core.explain.simulator import LOOSE, Layout, Simulator
from lstmcli.core.explain.solver import Fitting, Solver, fewest_of, joined, solve_each
from lstmcli.core.explain.verify import Answer, Basis, Comparison, Remark, arrays_at, remark, verify
from lstmcli.core.forward.sequence import valid_steps
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import as_time_major
from lstmcli.core.model.states import split_state

SATURATING = 5.0  # a forget bias that may hold the gate at 0 or 1 by itself,
FAR_BIAS = 100.0  # and one that does
LEAST_MOVED = 4  # different numbers more than changes that half precision is to be seen in
NEAREST_STEPS = 16  # by which single changes are put in order
RARER_RATIO = 3.0  # of the rms of two placements, from which the rarer one comes first


PASSES = (
    Pass("one change", 1, partial(Search.level, size=1)),
    Pass("two changes", 2, partial(Search.level, size=2)),
    Pass("half precision", 2, rounding.hypotheses),
    Pass("three changes", 3, partial(Search.level, size=3)),
    Pass("execution", LEVELS, remark=execution.how_run),
    Pass("arrangement", LEVELS, remark=execution.rearranged),
)
"""What is tried where the run as loaded does not give EXPECTED, in this order.

First the settings of a cell, one, two and three changes at once; exact pairs win over a coarser
number type. Then what is no setting of a cell: how the other side ran the sequences.
"""


class CellSolver(Solver):
    """EXPECTED at one placement on the run of one cell."""

    @property
    def has_first_step(self) -> bool:
        """Whether EXPECTED has the first step, so that a search is short."""
        return self.simulator.has_first_step

    @cached_property
    def simulator(self) -> Simulator:
        """The cell under all hypotheses."""
        case, made = self.case, self.prepared.question.made
        layouts = {}
        for layout, expected in case.expected.items():
            x = as_time_major(np.asarray(case.x, np.float64), layout)
            layouts[layout] = Layout(
                x, expected, valid_steps(case.lengths, case.mask, x.shape, layout)
            )

        state = None
        if case.initial_state:  # as it is given, whatever the convention does with it
            how = self.how.changed({"initial_state": "given"})
            cell = replace(self.model.cell, convention=how)
            model = replace(self.model, layers=((cell,),))
            state = split_state(case.initial_state, model, layouts[case.layout].x.shape[1])[0]
        if "cell" not in made:
            made["cell"] = Simulator(
                lambda settings: case.read({**settings, "dtype": "float64"}).cell,
                self.how, layouts, self.allowance, state, self.work,
            )  # fmt: skip
        one: Simulator = made["cell"].on(layouts, self.allowance, state)
        return one

    # ---- the search

    @cached_property
    def search(self) -> Search:
        """The search at this placement, which goes on where it was left."""
        p, changes = self.prepared, self.run_changes()
        return Search(self.case, self.simulator, PASSES, p.allowances, p.coarse, p.grids, changes)

    def solve(self, progress: Progress, levels: int = LEVELS) -> Explanation | None:
        """The explanation by so many changes at most, or None if nothing fits."""
        outcome = self.search.upto(levels, progress)
        self.tried = max(self.tried, outcome.tried)
        self.untried, self.depth = outcome.untried, outcome.depth
        return self._explained(outcome) if outcome.answers else None

    # ---- runs

    def verify(self, changes: Changes, allowance: Allowance) -> Comparison:
        """A run of a hypothesis, compared with EXPECTED."""
        return verify(self.case, changes, allowance)

    # ---- proof

    def _proof(self, answer: Answer, outcome: Outcome) -> tuple[float, Neighbours]:
        """The evidence for an answer, and its neighbours."""
        simulator = self.simulator.with_allowance(outcome.allowance)
        found, near = evidence(simulator, answer.changes, answer.solved, outcome.tried)
        if (basis := answer.basis) is not None:
            return self._proof_of(basis, answer, outcome), near
        if not self._has_enough_numbers(answer, outcome.allowance) or self._is_odd(answer, outcome):
            found = min(found, 0.0)
        return found, near

    def _proof_of(self, basis: Basis, answer: Answer, outcome: Outcome) -> float:
        """The evidence for half precision: of the numbers as they are, not at its tolerance."""
        plain = tuple(change for change in answer.changes if change.setting != "dtype")
        numbers = self.expected.distinct(self.allowance.of)
        if numbers <= len(answer.changes) + answer.solved + LEAST_MOVED:
            return 0.0
        simulator = self.simulator
        if not basis.rounded:  # by itself a grid says nothing
            simulator = simulator.with_allowance(outcome.allowance)
        return min(evidence(simulator, plain, answer.solved, outcome.tried)[0], basis.digits)

    def _has_enough_numbers(self, answer: Answer, allowance: Allowance) -> bool:
        """Whether the changes move more different numbers than they have ways to fit them.

        A solved constant fits one number, and a clip all that stand at it: without the constants,
        more numbers have to be off than there are constants.
        """
        moved = self._moved(answer.changes, allowance)
        if moved <= len(answer.changes) + answer.solved:
            return False
        if not answer.solved:
            return True
        plain = tuple(c for c in answer.changes if c.setting not in CONSTANTS)
        comparison = self.verify(plain, allowance)
        return comparison.total - comparison.agreeing > answer.solved

    def _moved(self, changes: Changes, allowance: Allowance) -> int:
        """How many different numbers the answer gives and the cell as loaded does not."""
        loaded, answer = (arrays_at(self.case, c) for c in ((), changes))
        if self.common_changes or loaded is None or answer is None:  # then they lie otherwise
            return self.expected.distinct(allowance.of)
        slack = self.expected.at_known(lambda _, known: allowance.of(known))
        return self.expected.distinct(allowance.of, np.abs(answer - loaded) > slack)

    def _is_odd(self, answer: Answer, outcome: Outcome) -> bool:
        """Whether constants fit that nothing but the fit speaks for.

        Two of them that no framework uses, or one where another mechanism does as well.
        """
        solved = [c for c in answer.changes if c.setting in CONSTANTS]
        defaults = {
            (c.setting, row.setting(c.setting)) for c in solved for row in CONVENTIONS.values()
        }
        if answer.solved >= 2 and not defaults.intersection(solved):
            return True
        settings = {c.setting for c in answer.changes}
        return bool(answer.solved) and any(
            {c.setting for c in other.changes} != settings for other in outcome.answers[1:]
        )

    def _unseen(self, near: Neighbours, answer: Changes, allowance: Allowance) -> tuple[str, ...]:
        """The settings that could be otherwise without EXPECTED showing it."""
        changed = {change.setting for change in answer}
        found: list[str] = []
        checked = 0
        for changes in near.fitting:
            extra = [c for c in changes if c not in answer]
            if not extra or extra[0].setting in found or extra[0].setting in changed:
                continue
            if checked >= Budget.UNSEEN:
                break
            checked += 1
            if self.verify(changes, allowance).fits:
                found.append(extra[0].setting)
        return tuple(found)

    # ---- the explanation

    def _explained(self, outcome: Outcome) -> Explanation:
        answer, allowance = outcome.answers[0], outcome.allowance
        proof, near = self._proof(answer, outcome)
        if (basis := answer.basis) is not None:
            answer = replace(answer, comparison=basis.comparison)
        unseen = self._unseen(near, answer.changes, allowance)
        others = tuple(self.changed(other.changes) for other in outcome.answers[1:])
        every = (*self.common_changes, *answer.changes)
        changes = self._sensed(answer, allowance)
        nearest = self._nearest_but(outcome)
        nearer = any(n.comparison.rms < answer.comparison.rms for n in nearest)
        proven = proof >= ENOUGH and not (basis and not basis.rounded and nearer)
        backward, first = self.how.behaviour.reverse != self.how.behaviour.flip_output, None
        if not self.common_changes and self.simulator.from_zero:
            first = first_shown(self.verify((), allowance), backward)
        layout = str(settings_of(every).get("layout", self.case.layout))
        return replace(
            self.explanation("found" if proven else "unproven", answer.comparison, answer.changes),
            changes=changes,
            equivalent=others,
            tried=outcome.tried,
            nearest=nearest,
            like=tuple(conventions_that_run(every, self.how, layout)),
            others=len({s.setting for s in self.simulator.space.singles} - {s for s, _ in every}),
            first_step=first,
            backward=backward,
            unseen=unseen,
            wanted=wanted(self.data, unseen, others, proven),
            remarks=(
                *([basis.remark] if basis else []),
                *self._remarks_on(answer.changes, allowance, answer.comparison, basis),
            ),
            untried=tuple(outcome.untried),
            evidence=proof,
        )

    def nearest(self, pairs: bool = True) -> list[Answer]:
        """The hypotheses that come nearest: single changes, and pairs of the best of these."""
        near = neighbours(self.simulator, (), NEAREST_STEPS if self.has_first_step else None)
        best = [near.changes[n] for n in np.argsort(near.rms, kind="stable")[: Budget.NEAREST]]
        both = [(*one, *other) for one, other in combinations(best if pairs else (), 2)]
        both = [c for c in both if c[0].setting != c[1].setting]
        answers = [Answer(c, self.verify(c, self.allowance)) for c in ((), *best, *both)]
        return sorted(answers, key=lambda a: a.comparison.rms * 1.5 ** len(a.changes))[
            : Budget.NEAREST
        ]

    def _nearest_but(self, outcome: Outcome) -> tuple[Near, ...]:
        """The hypothesis that comes nearest without fitting."""
        coarse = {Change("dtype", half.name) for half in self.prepared.coarse}
        fitting = [set(answer.changes) - coarse for answer in outcome.answers if answer.changes]
        rest = [
            n
            for n in self.nearest(pairs=False)
            if not any(f <= set(n.changes) if f else not n.changes for f in fitting)
        ]
        return tuple(self.near(n) for n in rest if not n.comparison.fits)[:1]

    def agreeing(self) -> Explanation | None:
        """Nothing has to be changed, or nothing but the layout of the case; None if that fails."""
        for allowance in self.prepared.allowances:
            comparison = self.verify((), allowance)
            if comparison.fits:
                return self._agrees(comparison, allowance)
        return None

    def _agrees(self, comparison: Comparison, allowance: Allowance) -> Explanation:
        if self.common_changes:
            self.tried = 2
            return self._explained(Outcome([Answer((), comparison)], self.tried, allowance))
        _, near = evidence(self.simulator, (), 0, 1)
        unseen = self._unseen(near, (), allowance)
        return replace(
            self.explanation("agrees", comparison),
            tried=1,
            unseen=unseen,
            wanted=wanted(self.data, unseen, (), proven=True),
            remarks=tuple(self._remarks_on((), allowance, comparison)),
        )

    def none(self) -> Explanation:
        """Nothing fits: what comes near."""
        loaded = self.verify((), self.allowance)
        near = self.nearest()
        fitting = [answer for answer in near if answer.changes and answer.comparison.fits]
        if fitting:  # runs in 8 bits, where the search in float found none
            fewest = min(len(answer.changes) for answer in fitting)
            fitting = [answer for answer in fitting if len(answer.changes) == fewest]
            return self._explained(Outcome(fitting, self.tried, self.allowance))
        size = list(rounding.remark_of_size(self.prepared, self.case, loaded))
        none = self.no_answer(loaded, near)
        return replace(none, remarks=tuple(size) or none.remarks, untried=tuple(self.untried))

    def _sensed(self, answer: Answer, allowance: Allowance) -> tuple[Changed, ...]:
        """The changes; a forget bias that any greater one could stand for says what it is."""
        changes = self.changed(answer.changes)
        if (basis := answer.basis) is not None:
            part = basis.rounded
            changes = tuple(replace(c, sense=part) if c.setting == "dtype" else c for c in changes)
        places = [n for n, c in enumerate(changes) if c.setting == "forget_bias"]
        if not places or abs(changes[places[0]].found) < SATURATING:
            return changes
        bias = Change("forget_bias", changes[places[0]].found)
        far = Change("forget_bias", FAR_BIAS if bias.value > 0 else -FAR_BIAS)
        others = tuple(c for c in answer.changes if c != bias)
        if not self.verify((*others, far), allowance).fits:
            return changes
        sense = OPEN if bias.value > 0 else SHUT
        return tuple(replace(c, sense=sense) if n in places else c for n, c in enumerate(changes))

    def _remarks_on(
        self,
        changes: Changes,
        allowance: Allowance,
        comparison: Comparison,
        basis: Basis | None = None,
    ) -> Iterator[Remark]:
        p, part = self.prepared, basis.rounded if basis else ""
        every = (*self.common_changes, *changes)
        return remarks_on(self.case, every, comparison, allowance, p.allowances, p.dtype, part)


# ---- several placements


def explain_cell(prepared: Prepared, progress: Progress) -> Explanation:
    """The explanation of a model of one cell.

    Raises
    ------
    UserError
        if EXPECTED is no result of such a run.
    """
    cases = prepared.cases
    if not cases:
        raise prepared.no_place()
    solvers = [CellSolver(prepared, case, prepared.common_changes(case)) for case in cases]
    for solver in solvers:
        if not solver.common_changes and (agreed := solver.agreeing()) is not None:
            return agreed
    if prepared.all_zero:
        first = solvers[0]
        loaded = first.verify((), first.allowance)
        return replace(first.explanation("none", loaded), remarks=(ALL_ZERO,))
    found = _searched(solvers, progress)
    if found.verdict != "none":
        return found
    # nobody said how the inputs lie, so that another layout is no mistake like the others
    turned = (CellSolver(prepared, c, prepared.common_changes(c)) for c in prepared.turned())
    if not (likely := [s for s in turned if s.search.levels.first_step_distance <= LOOSE]):
        return found
    alternative = _searched(likely, progress)
    if alternative.verdict != "none":
        return alternative
    *nears, as_loaded = *alternative.nearest, *found.nearest
    nears = sorted(nears, key=lambda near: near.comparison.rms)[: Budget.NEAREST - 1]
    nearest = clearly_nearer(as_loaded, nears)
    return replace(found, nearest=nearest, tried=found.tried + alternative.tried)


def _searched(solvers: Sequence[CellSolver], progress: Progress) -> Explanation:
    """The fewest changes in any placement; else what comes near in the likeliest.

    ``solvers`` stand for the placements, the likeliest first; none of them fits without a change.
    """
    if len(solvers) == 1:
        only = solvers[0].solve(progress)
        return solvers[0].none() if only is None else only
    from_start = [s for s in solvers if s.expected.placement.is_from_the_start]
    begun = [s for s in from_start if s.has_first_step]
    begun = sorted(begun, key=lambda s: s.search.levels.first_step_distance)
    # one or two changes give the first step: then EXPECTED lies here, or nearly so
    likely = [s for s in begun if s.search.levels.first_step_distance <= LOOSE]
    last = _last(solvers)
    later = [s for s in solvers if not s.expected.placement.is_from_the_start]
    each = [(s, s.agreeing()) for s in solvers if s.common_changes]
    found = [Fitting(s, agreed) for s, agreed in each if agreed is not None]
    found = _by_levels(likely, found, progress)
    others = [*last, *begun[len(likely) :], *later]
    found = _by_levels(others, found, progress)
    if found:
        return _explained(found, tried=sum(solver.tried for solver in solvers))
    return _none(solvers)


def _last(solvers: Sequence[CellSolver]) -> list[CellSolver]:
    """The last states, the likeliest first, and then the last step of a reversed run."""
    without = [
        s for s in solvers if not s.has_first_step and s.expected.placement.is_from_the_start
    ]
    if len(without) < 2:
        return without
    first, *others = sorted(without, key=lambda s: bool(s.expected.needs))
    others = sorted(others, key=lambda s: (bool(s.expected.needs), s.search.levels.closest))
    nearer = others[0].search.levels.closest * RARER_RATIO < first.search.levels.closest
    return [others[0], first, *others[1:]] if nearer else [first, *others]


def _most(solvers: Sequence[CellSolver], levels: int) -> int:
    """How many placements are searched for so many changes."""
    if not solvers:
        return 0
    simulator = solvers[0].simulator
    sets = len(simulator.space.singles) ** levels / factorial(levels)
    return max(Budget.PLACED, int(simulator.work.runs(simulator.of_run * sets)))


def _by_levels(
    solvers: Sequence[CellSolver], found: list[Fitting], progress: Progress
) -> list[Fitting]:
    """What was found, and what these placements give with no more changes: one, two, three."""
    for levels in range(1, LEVELS + 1) if solvers else ():
        if found and fewest_of(found) < levels:
            break
        likeliest = solvers[: _most(solvers, levels)] if levels > 1 else solvers
        affordable = (s for n, s in enumerate(likeliest) if n < Budget.PLACED or s.work.left)
        with solvers[0].work.share(Budget.OF_LEVEL[levels - 1]):
            found = solve_each(affordable, levels, found, progress)
    return found


def _none(solvers: Sequence[CellSolver]) -> Explanation:
    """What comes near in the likeliest placement."""
    unsearched = sum(not one.tried for one in solvers)  # only compared with the run as loaded
    depths = [one.depth for one in solvers if one.tried]
    # the last h of all sequences is a last state by its shape, not steps of one
    last_states = [one for one in solvers[:1] if not one.expected.sequences and one.tried]
    near = last_states or [one for one in solvers if one.tried] or solvers[:1]
    affordable = (one for n, one in enumerate(near) if not n or one.work.left)
    none = min(affordable, key=_distance).none()
    more = [
        remark(code, left=left, placements=len(solvers))
        for code, depth in (("triples_placed", 3), ("pairs_placed", 2))
        if depth <= max(depths, default=0) and (left := sum(one < depth for one in depths))
    ]
    if unsearched:
        more.append(remark("singles_placed", left=unsearched, placements=len(solvers)))
    return replace(
        none,
        tried=sum(solver.tried for solver in solvers),
        depth=max((solver.depth for solver in solvers if solver.tried), default=none.depth),
        untried=(*more, *none.untried),
    )


def _distance(solver: CellSolver) -> tuple[bool, float]:
    """How far a placement is off; windows, of which there are many, come near by chance."""
    plain = solver.expected.placement.is_from_the_start
    return bool(solver.common_changes), solver.search.levels.closest * (
        1.0 if plain else RARER_RATIO
    )


def _explained(found: Sequence[Fitting], tried: int) -> Explanation:
    """The likeliest of those of the fewest changes; the others are its equals."""
    solver, first = joined(found)
    elsewhere, proven = first.is_placed_elsewhere, first.verdict == "found"
    left_open = wanted(solver.data, first.unseen, first.equivalent, proven, elsewhere)
    return replace(first, wanted=left_open, tried=max(tried, first.tried))
