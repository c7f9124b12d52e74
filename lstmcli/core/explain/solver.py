"""One cell at one placement of EXPECTED: its search, its proof, its explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.explain.causes import CAUSES, CONSTANTS, OPEN, SHUT
from lstmcli.core.explain.explanation import (
    ALL_ZERO,
    ENOUGH,
    NOT_SEARCHED,
    Answer,
    Changed,
    Data,
    Explanation,
    Near,
    Neighbours,
    Remark,
    changed,
    clearly_nearer,
    evidence,
    near_miss,
    remarks_on,
    wanted,
)
from lstmcli.core.explain.hypotheses import Change, Changes, conventions_that_run, settings_of
from lstmcli.core.explain.observation import Allowance, Expected
from lstmcli.core.explain.passes import PASSES, half_precision
from lstmcli.core.explain.passes.half_precision import GRID, RERUN, Basis
from lstmcli.core.explain.question import Prepared
from lstmcli.core.explain.search import LOOSE, Outcome, Progress, Search, nearest
from lstmcli.core.explain.simulator import Layout, Simulator
from lstmcli.core.explain.verify import Case, Comparison, arrays_at, verify
from lstmcli.core.forward.sequence import valid_steps
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import Cell, Model, as_time_major
from lstmcli.core.model.states import split_state

SATURATING = 5.0  # a forget bias that may hold the gate at 0 or 1 by itself,
FAR_BIAS = 100.0  # and one that does
FEWEST = 4  # different numbers more than changes that half precision is to be seen in
MOST_CHECKED = 12  # settings that are run whole before they are called unseen


class Solver:
    """A case of one cell with its search, and what is said of the outcome."""

    def __init__(self, prepared: Prepared, case: Case, common_changes: Changes = ()) -> None:
        self.prepared, self.case = prepared, case
        self.common_changes = common_changes  # of all hypotheses that are tried here
        self.how: Convention = prepared.model.convention
        self.expected: Expected = case.expected[case.layout]
        self.allowance: Allowance = prepared.allowances[-1]
        self._bases: dict[Changes, Basis] = {}  # of answers in half precision
        self.tried, self.depth = 0, 3
        self.untried: Sequence[Remark] = ()

    @cached_property
    def simulator(self) -> Simulator:
        """The cell under all hypotheses."""
        case, cells = self.case, self.prepared.cells  # shared by all placements
        layouts = {}
        for layout, expected in case.expected.items():
            x = as_time_major(np.asarray(case.x, np.float64), layout)
            layouts[layout] = Layout(
                x, expected, valid_steps(case.lengths, case.mask, x.shape, layout)
            )

        def decode(settings: Mapping[str, Any]) -> Cell:
            key = tuple(sorted(settings.items()))
            if key not in cells:
                cells[key] = case.read({**settings, "dtype": "float64"}).cell
            return cells[key]

        state = self._state(layouts[case.layout].x.shape[1])
        return Simulator(decode, self.how, layouts, self.allowance, state)

    def _state(self, rows: int) -> tuple[Array, Array] | None:
        """h (B, P) and c (B, H) as they were given, whatever the convention does with them."""
        if not self.case.initial_state:
            return None
        model = self.prepared.model
        given = model.cell.convention.changed({"initial_state": "given"})
        return split_state(self.case.initial_state, _with_convention(model, given), rows)[0]

    # ---- the search

    @cached_property
    def _search(self) -> Search:
        coarse = (half_precision.tolerance(self.case, half) for half in self.prepared.coarse)
        return Search(
            self.simulator, self.verify, self.prepared.allowances, PASSES, coarse, self._backed,
            self._run_changes(),
        )  # fmt: skip

    def _backed(self, changes: Changes, half: Allowance) -> str:
        """What speaks for half precision beside a loose tolerance; nothing if nothing does."""
        on_grid = half.name in self.prepared.grids
        basis = half_precision.basis(self.case, changes, half, self.allowance, on_grid)
        if basis is not None:
            self._bases[(*changes, Change("dtype", half.name))] = basis
        return "" if basis is None else basis.kind

    def _run_changes(self) -> list[Change]:
        """Changes that no step of a cell shows."""
        behaviour, found = self.how.behaviour, []
        for name, cause in CAUSES.items():
            if not cause.whole:
                continue
            own = self.how.setting(name)
            if name == "masked_output":
                if self.case.lengths is None and self.case.mask is None:
                    continue  # nothing ends
                own = own if self.case.lengths is None else behaviour.past_length
            found += [Change(name, value) for value in cause.values if value != own]
        return found

    @property
    def has_first_step(self) -> bool:
        """Whether EXPECTED holds the first step, so that a search is short."""
        return self.simulator.has_first_step

    @property
    def likely(self) -> bool:
        """Whether one or two changes give the first step: then EXPECTED lies here, or nearly so."""
        return self.first_step_distance <= LOOSE

    @property
    def first_step_distance(self) -> float:
        """How near one or two changes come to the first step, in tolerances."""
        return self._search.first_step_distance

    @cached_property
    def closest(self) -> float:
        """How near any single change comes to EXPECTED at this placement, in tolerances."""
        return self._search.levels.closest

    def solve(self, progress: Progress, levels: int = 3) -> Explanation | None:
        """The explanation by so many changes at most, or None if nothing fits."""
        outcome = self._search.upto(levels, progress)
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
        if (basis := self._bases.get(answer.changes)) is not None:
            return self._proof_of(basis, answer, outcome), near
        if not self._has_enough_numbers(answer, outcome.allowance) or self._is_odd(answer, outcome):
            found = min(found, 0.0)
        return found, near

    def _proof_of(self, basis: Basis, answer: Answer, outcome: Outcome) -> float:
        """The evidence for half precision: of the numbers as they are, not at its tolerance."""
        plain = tuple(change for change in answer.changes if change.setting != "dtype")
        numbers = self.expected.distinct(self.allowance.of)
        if numbers <= len(answer.changes) + answer.solved + FEWEST:
            return 0.0
        coarse = self.simulator.with_allowance(outcome.allowance)
        simulator = coarse if basis.kind == GRID else self.simulator  # a grid alone says nothing
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
        if answer.solved >= 2 and all(_is_unused(change) for change in solved):
            return True
        settings = {c.setting for c in answer.changes}
        return bool(answer.solved) and any(
            {c.setting for c in other.changes} != settings for other in outcome.answers[1:]
        )

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
            if self.verify(changes, allowance).fits:
                found.append(extra[0].setting)
        return tuple(found)

    # ---- the explanation

    def _explained(self, outcome: Outcome) -> Explanation:
        answer, allowance = outcome.answers[0], outcome.allowance
        proof, near = self._proof(answer, outcome)
        if (basis := self._bases.get(answer.changes)) is not None:
            answer = replace(answer, comparison=basis.comparison)
        unseen = self._unseen(near, answer.changes, allowance)
        others = tuple(self.changed(other.changes) for other in outcome.answers[1:])
        whole = (*self.common_changes, *answer.changes)
        changes = self._sensed(answer, allowance)
        nearest = self._nearest_but(outcome)
        nearer = any(n.comparison.rms < answer.comparison.rms for n in nearest)
        proven = proof >= ENOUGH and not (basis and basis.kind != RERUN and nearer)
        first = None if self.common_changes else self.verify((), allowance).first
        layout = str(settings_of(whole).get("layout", self.case.layout))
        return self._explanation(
            "found" if proven else "unproven",
            answer.comparison,
            whole,
            changes=changes,
            equivalent=others,
            tried=outcome.tried,
            nearest=nearest,
            like=tuple(conventions_that_run(whole, self.how, layout)),
            others=len({s.setting for s in self.simulator.space.singles} - {s for s, _ in whole}),
            first_step=first.step if first else None,
            backward=self.how.behaviour.reverse,
            unseen=unseen,
            wanted=wanted(self.data, unseen, others, proven),
            remarks=(
                *([half_precision.remark_of(basis, allowance.name)] if basis else []),
                *self._remarks_on(answer.changes, allowance, answer.comparison),
            ),
            untried=tuple(outcome.untried),
            evidence=proof,
        )

    def _explanation(
        self, verdict: str, measured: Comparison, of: Changes = (), **how: Any
    ) -> Explanation:
        """An explanation with the settings of a run and what EXPECTED is."""
        return Explanation(
            verdict,
            {**self.prepared.model.settings(), **settings_of(of)},
            measured=measured,
            placement=self.expected.placement,
            numbers=self.expected.numbers,
            precision=self.prepared.precision,
            digits=self.prepared.digits,
            **how,
        )

    def _nearest_but(self, outcome: Outcome) -> tuple[Near, ...]:
        """The reading that comes nearest without fitting."""
        coarse = {Change("dtype", half.name) for half in self.prepared.coarse}
        fitting = [set(answer.changes) - coarse for answer in outcome.answers if answer.changes]
        rest = [
            n
            for n in nearest(self.simulator, self.verify, self.allowance, pairs=False)
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
        return self._explanation(
            "agrees",
            comparison,
            tried=1,
            unseen=unseen,
            wanted=wanted(self.data, unseen, (), proven=True),
            remarks=tuple(self._remarks_on((), allowance, comparison)),
        )

    def nothing_to_tell(self) -> Explanation:
        """EXPECTED is zero throughout."""
        return self._explanation("none", self.verify((), self.allowance), remarks=(ALL_ZERO,))

    def none(self) -> Explanation:
        """Nothing fits: what comes near."""
        loaded = self.verify((), self.allowance)
        near = nearest(self.simulator, self.verify, self.allowance)
        size = list(half_precision.remark_of_size(self.prepared, self.case, loaded))
        return self._explanation(
            "none",
            loaded,
            tried=self.tried,
            depth=self.depth,
            nearest=tuple(map(self.near, clearly_nearer(loaded, near))),
            remarks=tuple(size or near_miss(loaded, list(map(self.near, near)))),
            untried=(*self.untried, *NOT_SEARCHED),
        )

    def _sensed(self, answer: Answer, allowance: Allowance) -> tuple[Changed, ...]:
        """The changes; a forget bias that any greater one could stand for is told as what it is."""
        changes = self.changed(answer.changes)
        if (basis := self._bases.get(answer.changes)) is not None:
            part = basis.rounded if basis.kind == RERUN else ""
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

    @cached_property
    def data(self) -> Data:
        """What EXPECTED is made of."""
        cell, sequences = self.simulator.cell, self.expected.sequences
        steps = (int(np.isfinite(k.values).any(axis=(1, 2)).sum()) for k in sequences.values())
        return Data(
            steps=max(steps, default=0),
            sequences=self.simulator.layouts[self.case.layout].x.shape[1],
            units=cell.units,
            zero_bias=not cell.bias.any(),
            final=not sequences,
        )

    def _remarks_on(
        self, changes: Changes, allowance: Allowance, comparison: Comparison
    ) -> Iterator[Remark]:
        p = self.prepared
        return remarks_on(self.case, changes, comparison, allowance, p.allowances, p.dtype)

    def near(self, answer: Answer) -> Near:
        """A hypothesis that comes near."""
        return Near(self.changed(answer.changes), answer.comparison)

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes beside those of all hypotheses here, with what was assumed."""
        return changed((*self.common_changes, *changes), self._assumed)

    def _assumed(self, change: Change) -> Any:
        return self.prepared.assumed(change.setting, self.how)


def _is_unused(change: Change) -> bool:
    """Whether no framework has a constant by default."""
    return change.value not in {row.setting(change.setting) for row in CONVENTIONS.values()}


def _with_convention(model: Model, how: Convention) -> Model:
    layers = tuple(tuple(replace(c, convention=how) for c in layer) for layer in model.layers)
    return replace(model, layers=layers)
