"""One cell: its search, its proof, its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.conventions import Convention
from lstmcli.core.explain import decisions, words
from lstmcli.core.explain.bench import Allowance, Bench, Layout, with_allowance
from lstmcli.core.explain.data import Expected
from lstmcli.core.explain.evidence import ENOUGH, Neighbours, evidence
from lstmcli.core.explain.forcing import forced_run
from lstmcli.core.explain.halves import EPS, GRID, RERUN, Basis, Halves
from lstmcli.core.explain.judge import Case, Verdict, judged, rerun, settings_of
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.ranking import that_do_all
from lstmcli.core.explain.result import Answer, Changed, Explanation, Near
from lstmcli.core.explain.search import Outcome, Progress, closest, nearest, search
from lstmcli.core.explain.space import CONSTANTS, Change, Changes
from lstmcli.core.explain.telling import of_basis, rests_on, told
from lstmcli.core.explain.who import row_of, why_hidden
from lstmcli.core.model import Cell, as_time_major
from lstmcli.core.rounding import ROUNDED, to_format
from lstmcli.core.run import valid_steps
from lstmcli.core.states import split_state

Array = npt.NDArray[Any]

SATURATING = 5.0  # a forget bias that may hold the gate at 0 or 1 by itself,
FAR_BIAS = 100.0  # and one that does
FEWEST = 4  # different numbers more than changes that half precision is to be seen in
MOST_CHECKED = 12  # settings that are run whole before they are called unseen


ALL_ZERO = (
    "EXPECTED is zero throughout: a bound of 0 or an output left out would give that with any "
    "weights, so it proves nothing."
)


class Solver:
    """A case with its bench: what a search needs, and what is said of its outcome."""

    def __init__(self, prepared: Prepared, case: Case, base: Changes = ()) -> None:
        self.prepared, self.case = prepared, case
        self.base: Changes = base  # what is changed in all readings that are tried here
        self.how: Convention = prepared.model.convention
        self.expected: Expected = case.expected[case.layout]
        self._bench: Bench | None = None
        self._bases: dict[Changes, Basis] = {}  # of answers in half precision
        self.tried = 0

    @property
    def bench(self) -> Bench:
        """The cell on the bench; made when it is first needed."""
        if self._bench is None:
            self._bench = self._make_bench()
        return self._bench

    @property
    def quick(self) -> bool:
        """Whether EXPECTED holds the first step, so that a search is short."""
        return not self.bench.late

    @cached_property
    def closest(self) -> float:
        """How near any single reading comes to EXPECTED as it is laid here."""
        return closest(self.bench)

    def _make_bench(self, weights: str | None = None) -> Bench:
        to = {} if weights is None else {ROUNDED: weights}
        case, model = self.case, self.prepared.model
        layouts = {}
        for layout, expected in case.expected.items():
            major = as_time_major(np.asarray(case.x, np.float64), layout)
            major = major if weights is None else to_format(major, weights)
            valid = valid_steps(case.lengths, case.mask, major.shape, layout)
            layouts[layout] = Layout(major, expected, valid)
        state = None
        if case.initial_state:
            given = model.cell.convention.changed({"initial_state": "given"})
            plain = _with_convention(model, given)
            rows = layouts[case.layout].x.shape[1]
            state = split_state(case.initial_state, plain, rows)[0]

        cells = self.prepared.cells  # shared by all ways in which EXPECTED can lie

        def decoder(settings: Mapping[str, Any]) -> Cell:
            key = tuple(sorted({**settings, **to}.items()))
            if key not in cells:
                cells[key] = case.read({**settings, **to, "dtype": "float64"}).cell
            return cells[key]

        return Bench(decoder, self.how, layouts, self.prepared.allowances[-1], state)

    def judge(self, changes: Changes, allowance: Allowance) -> Verdict:
        """A whole run of a reading, held against all of EXPECTED."""
        return judged(
            self.case, changes, allowance, lambda c: forced_run(self.bench, c, self.expected)
        )

    # ---- searching

    def solve(self, progress: Progress, levels: int = 3) -> Explanation | None:
        """The explanation, or None if nothing fits."""
        outcome = search(
            self.bench,
            self.judge,
            self.prepared.allowances,
            progress,
            levels,
            self.prepared.coarse,
            self._backed,
            self._endings(),
        )
        self.tried = max(self.tried, outcome.tried)
        self.untried, self.depth = outcome.untried, outcome.depth
        return self._explained(outcome) if outcome.answers else None

    def _backed(self, changes: Changes, half: Allowance, sure: bool) -> bool:
        """Whether more than a loose tolerance speaks for half precision."""
        basis = self._halves().basis(changes, half, sure)
        if basis is not None:
            self._bases[(*changes, Change("dtype", half.name))] = basis
        return basis is not None

    def _halves(self) -> Halves:
        tight = self.prepared.allowances[-1]
        return Halves(self.case, self.expected, tight, self.prepared.grids, self._bench_of)

    def _bench_of(self, weights: str | None) -> Bench:
        """The bench, with weights and inputs as read or rounded to a format."""
        return self.bench if weights is None else self._make_bench(weights)

    def _endings(self) -> list[Change]:
        """What may stand past a row's length, or where a step is masked, if anything is."""
        if self.case.lengths is None and self.case.mask is None:
            return []
        own = self.how.masked_output if self.case.lengths is None else self.how.past_length
        return [Change("masked_output", v) for v in ("zero", "repeat", "run") if v != own]

    def _explained(self, outcome: Outcome) -> Explanation:
        answer = outcome.answers[0]
        bench = with_allowance(self.bench, outcome.allowance)
        proof, near = evidence(bench, answer.changes, answer.solved, outcome.tried)
        if not self._enough_numbers(answer, outcome.allowance):
            proof = min(proof, 0.0)
        if (basis := self._bases.get(answer.changes)) is not None:
            proof = self._proof_of(basis, answer, outcome)
            answer = replace(answer, verdict=basis.verdict)
        unseen = self._unseen(near, answer.changes, outcome.allowance)
        others = tuple(self._changed(other.changes) for other in outcome.answers[1:])
        whole = (*self.base, *answer.changes)
        changes = self._sensed(answer, outcome.allowance)
        proven = proof >= ENOUGH
        first = None if self.base else self.judge((), outcome.allowance).first
        return Explanation(
            "found" if proven else "unproven",
            self._settings(whole),
            changes,
            answer.verdict,
            equivalent=others,
            tried=outcome.tried,
            nearest=self._nearest_but(outcome),
            rows=tuple(row_of(one, self.how) for one in changes),
            like=tuple(that_do_all(whole, self.how, self._layout_of(whole))),
            others=len({s.setting for s in self.bench.space.singles} - {s for s, _ in whole}),
            hidden=why_hidden(changes, first.step if first else None),
            unseen=unseen,
            decide=decisions.decide(self._facts(), unseen, others, proven),
            laid=self.expected.words,
            remarks=(
                *rests_on(basis, outcome.allowance.name),
                *self._remarks(outcome.allowance, answer.verdict, answer.changes),
            ),
            untried=tuple(outcome.untried),
            evidence=proof,
            numbers=self.expected.numbers,
            precision=(
                self.prepared.precision
                if basis is None or basis.kind == RERUN
                else f"as {outcome.allowance.name} does"
            ),
        )

    def _of_half_size(self) -> list[str]:
        """What is said where nothing fits and the error has the size of half precision."""
        for half in self.prepared.coarse:
            halves = self._halves()
            if self.judge((), half).fits and halves.everywhere():
                off = self.judge((), half).max_abs / EPS[half.name]
                return [
                    f"As read, all numbers are off, by at most {off:.2g} eps of {half.name}: that "
                    "is the size of half precision, but neither a run with rounded weights, inputs "
                    "or states nor the pattern of the error shows it."
                ]
        return []

    def _proof_of(self, basis: Basis, answer: Answer, outcome: Outcome) -> float:
        """The evidence for half precision: of the numbers as they are, not at its tolerance."""
        plain = tuple(change for change in answer.changes if change.setting != "dtype")
        tight = self.prepared.allowances[-1]
        if self.expected.distinct(tight.of) <= len(answer.changes) + answer.solved + FEWEST:
            return 0.0
        if basis.kind == GRID and plain:  # the grid says nothing of the other change
            coarse = with_allowance(self.bench, outcome.allowance)
            return evidence(coarse, plain, answer.solved, outcome.tried)[0]
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

    def _nearest_but(self, outcome: Outcome) -> tuple[Near, ...]:
        """The reading that comes nearest without fitting."""
        fitting = [set(answer.changes) for answer in outcome.answers if answer.changes]
        rest = [
            n for n in self.nearest(pairs=False) if not any(f <= set(n.changes) for f in fitting)
        ]
        return tuple(self._near(n) for n in rest if not n.verdict.fits)[:1]

    def nearest(self, pairs: bool = True) -> list[Answer]:
        """The readings that come nearest, the nearest first."""
        return nearest(self.bench, self.judge, self.prepared.allowances[-1], pairs)

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

    def agrees(self, verdict: Verdict, allowance: Allowance) -> Explanation:
        """Nothing has to be changed, or nothing but the layout of the case."""
        if self.base:
            self.tried = 2
            return self._explained(Outcome([Answer((), verdict)], self.tried, allowance))
        _, near = evidence(self.bench, (), 0, 1)
        unseen = self._unseen(near, (), allowance)
        return Explanation(
            "agrees",
            self._settings(()),
            measured=verdict,
            tried=1,
            unseen=unseen,
            decide=decisions.decide(self._facts(), unseen, (), True),
            laid=self.expected.words,
            remarks=self._remarks(allowance, verdict, ()),
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
        )

    def nothing_to_tell(self) -> Explanation:
        """EXPECTED is zero throughout."""
        return Explanation(
            "none",
            self._settings(()),
            measured=self.judge((), self.prepared.allowances[-1]),
            remarks=(ALL_ZERO,),
            laid=self.expected.words,
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
        )  # fmt: skip

    def none(self) -> Explanation:
        """Nothing fits: what comes near."""
        near = self.nearest()
        return Explanation(
            "none",
            self._settings(()),
            measured=self.judge((), self.prepared.allowances[-1]),
            tried=self.tried,
            depth=self.depth,
            nearest=tuple(self._near(n) for n in near),
            remarks=tuple(self._of_half_size()),
            laid=self.expected.words,
            untried=(*self.untried, *decisions.NOT_SEARCHED),
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
        )

    untried: Sequence[str] = ()
    depth = 3

    def _near(self, answer: Answer) -> Near:
        return Near(self._changed(answer.changes), answer.verdict)

    def _settings(self, changes: Changes) -> dict[str, Any]:
        """All settings of the run that gives EXPECTED."""
        model = self.prepared.model
        return {**model.settings(), **settings_of(changes)}

    def _layout_of(self, changes: Changes) -> str:
        return str(settings_of(changes).get("layout", self.case.layout))

    def _changed(self, changes: Changes) -> tuple[Changed, ...]:
        return told((*self.base, *changes), self._assumed)

    def _sensed(self, answer: Answer, allowance: Allowance) -> tuple[Changed, ...]:
        """The changes; a forget bias that any greater one could stand for is told as what it is."""
        changes = self._changed(answer.changes)
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

    def _assumed(self, change: Change) -> Any:
        if change.setting == "array":
            return "h"
        if change.setting == "layout":
            return self.prepared.layout
        if change.setting == "lengths":
            return "given"
        if change.setting == "dtype":
            return self.prepared.dtype
        if change.setting.endswith("_gates"):
            return self.how.order_of(change.setting.removesuffix("_gates"))
        return getattr(self.how, change.setting)

    def _remarks(self, allowance: Allowance, verdict: Verdict, changes: Changes) -> tuple[str, ...]:
        remarks = []
        again = rerun(self.case, changes, allowance, verdict)
        dtype = settings_of(changes).get("dtype")
        if again.fits and dtype and not self._gives_it(again):
            remarks.append(
                f"--dtype {dtype} rounds otherwise: it comes within {again.max_abs:.2g} of it."
            )
        if not again.fits and not verdict.forced:
            remarks.append(
                f"In {self.prepared.dtype}, the number type of the weights, the run is up to "
                f"{again.max_abs:.2g} off; --dtype float64 gives EXPECTED."
            )
        if allowance in self.prepared.allowances[1:]:
            remarks.append(
                "EXPECTED agrees as float32 does; at the precision of float64 it does not."
            )
        if verdict.forced:
            remarks.append(
                f"This net is chaotic: rounding grows {verdict.growth:.0e} times. Each step was "
                "judged from EXPECTED's own h."
            )
        elif verdict.growth > 10:
            remarks.append(f"Rounding grows {verdict.growth:.0f} times in this net; allowed for.")
        return tuple(remarks)

    def _gives_it(self, again: Verdict) -> bool:
        """Whether a run comes out at the tolerance of EXPECTED itself."""
        return again.max_abs <= 2 * self.prepared.allowances[-1].absolute

    def _facts(self) -> decisions.Facts:
        layout = self.bench.layouts[self.case.layout]
        cell = self.bench.weights.cell
        steps = max(
            (int(np.isfinite(k.values).any(axis=(1, 2)).sum())
             for k in self.expected.sequences.values()), default=0,
        )  # fmt: skip
        return decisions.Facts(
            steps=steps,
            rows=layout.x.shape[1],
            units=cell.units,
            zero_bias=not cell.bias.any(),
            final=not self.expected.sequences,
            numbers=self.expected.numbers,
        )


def _with_convention(model: Any, how: Convention) -> Any:
    return replace(
        model,
        layers=tuple(tuple(replace(c, convention=how) for c in layer) for layer in model.layers),
    )
