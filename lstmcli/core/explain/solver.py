"""One cell: its search, its proof, its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from lstmcli.core.explain import decisions, words
from lstmcli.core.explain.bench import Allowance, with_allowance
from lstmcli.core.explain.evidence import ENOUGH, Neighbours, evidence
from lstmcli.core.explain.judge import Case, Verdict
from lstmcli.core.explain.one_cell import OneCell
from lstmcli.core.explain.passes import half_precision
from lstmcli.core.explain.passes.half_precision import GRID, RERUN, Basis
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.ranking import that_do_all
from lstmcli.core.explain.remarks import ALL_ZERO, facts, of_half_size, remarks
from lstmcli.core.explain.result import Answer, Changed, Explanation, Near
from lstmcli.core.explain.search import Outcome, Progress, Search
from lstmcli.core.explain.space import CONSTANTS, Change, Changes, settings_of
from lstmcli.core.explain.telling import of_basis, rests_on
from lstmcli.core.explain.walk import LOOSE
from lstmcli.core.explain.words import row_of, why_hidden

SATURATING = 5.0  # a forget bias that may hold the gate at 0 or 1 by itself,
FAR_BIAS = 100.0  # and one that does
FEWEST = 4  # different numbers more than changes that half precision is to be seen in
MOST_CHECKED = 12  # settings that are run whole before they are called unseen


class Solver(OneCell):
    """A case of one cell with its search, and what is said of the outcome."""

    def __init__(self, prepared: Prepared, case: Case, base: Changes = ()) -> None:
        super().__init__(prepared, case, base)
        self._bases: dict[Changes, Basis] = {}  # of answers in half precision
        self.tried, self.depth = 0, 3
        self.untried: Sequence[str] = ()

    @cached_property
    def _search(self) -> Search:
        halves = (half_precision.tolerance(self.case, half) for half in self.prepared.coarse)
        return Search(
            self.bench, self.judge, self.prepared.allowances, halves, self._backed, self._endings()
        )

    @property
    def likely(self) -> bool:
        """Whether one or two changes give the first step: then EXPECTED lies here, or nearly so."""
        return self._search.scouted <= LOOSE

    @property
    def scouted(self) -> float:
        """How near one or two changes come to the first step, in tolerances."""
        return self._search.scouted

    def solve(self, progress: Progress, levels: int = 3) -> Explanation | None:
        """The explanation by so many changes at most, or None if nothing fits."""
        outcome = self._search.upto(levels, progress)
        self.tried = max(self.tried, outcome.tried)
        self.untried, self.depth = outcome.untried, outcome.depth
        return self._explained(outcome) if outcome.answers else None

    def _backed(self, changes: Changes, half: Allowance) -> str:
        """What speaks for half precision beside a loose tolerance; nothing if nothing does."""
        on_grid = half.name in self.prepared.grids
        basis = half_precision.basis(self.case, changes, half, self.tight, on_grid)
        if basis is not None:
            self._bases[(*changes, Change("dtype", half.name))] = basis
        return "" if basis is None else basis.kind

    def _endings(self) -> list[Change]:
        """What may stand past a row's length, or where a step is masked, if anything is."""
        if self.case.lengths is None and self.case.mask is None:
            return []
        own = (
            self.how.behaviour.masked_output
            if self.case.lengths is None
            else self.how.behaviour.past_length
        )
        return [Change("masked_output", v) for v in ("zero", "repeat", "run") if v != own]

    # ---- proof

    def _proof_of(self, basis: Basis, answer: Answer, outcome: Outcome) -> float:
        """The evidence for half precision: of the numbers as they are, not at its tolerance."""
        plain = tuple(change for change in answer.changes if change.setting != "dtype")
        if self.expected.distinct(self.tight.of) <= len(answer.changes) + answer.solved + FEWEST:
            return 0.0
        if basis.kind == GRID:  # it says nothing by itself
            coarse = with_allowance(self.bench, outcome.allowance)
            return min(evidence(coarse, plain, answer.solved, outcome.tried)[0], basis.digits)
        near, _ = evidence(self.bench, plain, answer.solved, outcome.tried)
        return min(near, basis.digits)

    def _enough_numbers(self, answer: Answer, allowance: Allowance) -> bool:
        """Whether EXPECTED holds more different numbers than the answer has ways to fit them.

        A solved constant fits one number, and a bound all that stand at it: without the constants,
        more numbers have to be off than there are constants.
        """
        if self.expected.distinct(allowance.of) <= len(answer.changes) + answer.solved:
            return False
        if not answer.solved:
            return True
        solved = [c.setting for c in answer.changes if c.setting in CONSTANTS]
        plain = tuple(c for c in answer.changes if c.setting not in solved)
        verdict = self.judge(plain, allowance)
        return verdict.total - verdict.agreeing > answer.solved

    def _unseen(self, near: Neighbours, answer: Changes, allowance: Allowance) -> tuple[str, ...]:
        """The settings that could be otherwise without EXPECTED showing it."""
        own = {change.setting for change in answer}
        found: list[str] = []
        checked = 0
        for changes in near.fitting:
            extra = [c for c in changes if c not in answer]
            if not extra or extra[0].setting in found or extra[0].setting in own:
                continue
            if checked >= MOST_CHECKED:
                break
            checked += 1
            if self.judge(changes, allowance).fits:
                found.append(extra[0].setting)
        return tuple(found)

    # ---- words

    def _explained(self, outcome: Outcome) -> Explanation:
        answer, allowance = outcome.answers[0], outcome.allowance
        bench = with_allowance(self.bench, allowance)
        proof, near = evidence(bench, answer.changes, answer.solved, outcome.tried)
        if not self._enough_numbers(answer, allowance):
            proof = min(proof, 0.0)
        if (basis := self._bases.get(answer.changes)) is not None:
            proof = self._proof_of(basis, answer, outcome)
            answer = replace(answer, verdict=basis.verdict)
        unseen = self._unseen(near, answer.changes, allowance)
        others = tuple(self.changed(other.changes) for other in outcome.answers[1:])
        whole = (*self.base, *answer.changes)
        changes = self._sensed(answer, allowance)
        nearest = self._nearest_but(outcome)
        nearer = any(n.verdict.rms < answer.verdict.rms for n in nearest)
        proven = proof >= ENOUGH and not (basis and basis.kind != RERUN and nearer)
        first = None if self.base else self.judge((), allowance).first
        layout = str(settings_of(whole).get("layout", self.case.layout))
        explanation = self._explanation(
            "found" if proven else "unproven",
            answer.verdict,
            whole,
            changes=changes,
            equivalent=others,
            tried=outcome.tried,
            nearest=nearest,
            rows=tuple(row_of(one, self.how) for one in changes),
            like=tuple(that_do_all(whole, self.how, layout)),
            others=len({s.setting for s in self.bench.space.singles} - {s for s, _ in whole}),
            hidden=why_hidden(changes, first.step if first else None, self.how.behaviour.reverse),
            unseen=unseen,
            decide=decisions.decide(facts(self), unseen, others, proven),
            remarks=(
                *rests_on(basis, allowance.name),
                *remarks(self, allowance, answer.verdict, answer.changes),
            ),
            untried=tuple(outcome.untried),
            evidence=proof,
        )
        if basis is None or basis.kind == RERUN:
            return explanation
        return replace(explanation, precision=f"as {allowance.name} does")

    def _explanation(
        self, verdict: str, measured: Verdict, of: Changes = (), **how: Any
    ) -> Explanation:
        """An explanation with the settings of a run and what EXPECTED is."""
        return Explanation(
            verdict,
            {**self.prepared.model.settings(), **settings_of(of)},
            measured=measured,
            placement=self.expected.words,
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
            **how,
        )

    def _nearest_but(self, outcome: Outcome) -> tuple[Near, ...]:
        """The reading that comes nearest without fitting."""
        halves = {Change("dtype", half.name) for half in self.prepared.coarse}
        fitting = [set(answer.changes) - halves for answer in outcome.answers if answer.changes]
        rest = [
            n
            for n in self.nearest(pairs=False)
            if not any(f <= set(n.changes) if f else not n.changes for f in fitting)
        ]
        return tuple(self.near(n) for n in rest if not n.verdict.fits)[:1]

    def agreeing(self) -> Explanation | None:
        """Nothing has to be changed, or nothing but the layout of the case; None if that fails."""
        for allowance in self.prepared.allowances:
            verdict = self.judge((), allowance)
            if verdict.fits:
                return self._agrees(verdict, allowance)
        return None

    def _agrees(self, verdict: Verdict, allowance: Allowance) -> Explanation:
        if self.base:
            self.tried = 2
            return self._explained(Outcome([Answer((), verdict)], self.tried, allowance))
        _, near = evidence(self.bench, (), 0, 1)
        unseen = self._unseen(near, (), allowance)
        return self._explanation(
            "agrees",
            verdict,
            tried=1,
            unseen=unseen,
            decide=decisions.decide(facts(self), unseen, (), True),
            remarks=tuple(remarks(self, allowance, verdict, ())),
        )

    def nothing_to_tell(self) -> Explanation:
        """EXPECTED is zero throughout."""
        return self._explanation("none", self.judge((), self.tight), remarks=(ALL_ZERO,))

    def none(self) -> Explanation:
        """Nothing fits: what comes near."""
        return self._explanation(
            "none",
            self.judge((), self.tight),
            tried=self.tried,
            depth=self.depth,
            nearest=tuple(map(self.near, self.nearest())),
            remarks=tuple(of_half_size(self)),
            untried=(*self.untried, *decisions.NOT_SEARCHED),
        )

    def _sensed(self, answer: Answer, allowance: Allowance) -> tuple[Changed, ...]:
        """The changes; a forget bias that any greater one could stand for is told as what it is."""
        changes = self.changed(answer.changes)
        if (basis := self._bases.get(answer.changes)) is not None:
            changes = tuple(of_basis(c, basis) if c.setting == "dtype" else c for c in changes)
        places = [n for n, c in enumerate(changes) if c.setting == "forget_bias"]
        if not places or abs(changes[places[0]].found) < SATURATING:
            return changes
        bias = Change("forget_bias", changes[places[0]].found)
        far = Change("forget_bias", FAR_BIAS if bias.value > 0 else -FAR_BIAS)
        others = tuple(c for c in answer.changes if c != bias)
        if not self.judge((*others, far), allowance).fits:
            return changes
        sense = words.OPEN if bias.value > 0 else words.SHUT
        sensed = words.changed(bias, changes[places[0]].assumed, sense)
        return tuple(sensed if n in places else c for n, c in enumerate(changes))
