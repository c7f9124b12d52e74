"""EXPECTED at one placement on a run, and the search over several placements.

EXPECTED may be a sequence of the batch, a first step, or a last state, and its shape need not say
which. A hypothesis fits it at one placement or another; the fewest changes win over all of them,
and hypotheses of as few changes that fit elsewhere are equals, since the numbers cannot distinguish
them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lstmcli.core.explain.causes import CAUSES, ONE_WAY
from lstmcli.core.explain.explanation import (
    Changed,
    Data,
    Explanation,
    Near,
    changed,
    clearly_nearer,
    near_miss,
    plain_of,
)
from lstmcli.core.explain.hypotheses import Change, Changes, prior, settings_of
from lstmcli.core.explain.question import Prepared, shape_of
from lstmcli.core.explain.search import LEVELS, Progress
from lstmcli.core.explain.verify import Answer, Case, Comparison, Remark, remark


class Solver(ABC):
    """EXPECTED at one placement on a run: its search, and what is said of the outcome.

    ``common_changes`` are of all hypotheses that are tried here: array, merge, layout.
    """

    depth = LEVELS  # changes at once that were tried

    def __init__(self, prepared: Prepared, case: Case, common_changes: Changes = ()) -> None:
        self.prepared, self.common_changes = prepared, common_changes
        self.work = prepared.question.work
        self.case = replace(case, cached=prepared.cached, work=prepared.question.work)
        self.model, self.how = prepared.model, prepared.model.convention
        self.expected = case.expected[case.layout]
        self.allowance = prepared.allowances[-1]
        self.tried = 0
        self.untried: Sequence[Remark] = ()  # what a budget left out

    @abstractmethod
    def solve(self, progress: Progress, levels: int = LEVELS) -> Explanation | None:
        """The explanation by so many changes at most, or None if nothing fits."""

    @property
    def has_first_step(self) -> bool:
        """Whether EXPECTED has the first step, so that a search is short."""
        return True

    def run_changes(self, settings: Iterable[str] = ()) -> list[Change]:
        """Changes that no step of a cell shows, and those of these settings."""
        names = [*settings, *(name for name, cause in CAUSES.items() if cause.of_run)]
        if self.case.lengths is None and self.case.mask is None:
            names.remove("masked_output")  # nothing ends
        found = [Change(name, value) for name in names for value in CAUSES[name].values]
        if any(cell.outputs != cell.units for _, cell in self.model.cells):
            found = [one for one in found if one != Change("initial_state", "swapped")]
        return [change for change in found if change.value != self._assumed(change)]

    def explanation(self, verdict: str, measured: Comparison, changes: Changes = ()) -> Explanation:
        """An explanation with the settings of a run, and what EXPECTED is.

        ``changes`` are those of what fits, beside the common ones.
        """
        every = (*self.common_changes, *changes) if verdict in ("found", "unproven") else ()
        return Explanation(
            verdict,
            {**self.model.settings(), **settings_of(every)},
            self.changed(changes) if every else (),
            measured,
            tried=self.tried,
            depth=self.depth,
            placement=self.expected.placement,
            precision=self.prepared.precision,
            digits=self.prepared.digits,
        )

    @property
    def data(self) -> Data:
        """What EXPECTED is made of."""
        cells = [cell for _, cell in self.model.cells]
        return Data(
            steps=self.expected.steps,
            sequences=shape_of(self.case.x, self.case.layout)[1],
            units=max(cell.units for cell in cells),
            zero_bias=not any(cell.bias.any() for cell in cells),
            final=not self.expected.sequences,
        )

    def near(self, answer: Answer) -> Near:
        """A hypothesis that comes near."""
        return Near(self.changed(answer.changes), answer.comparison)

    def no_answer(
        self, loaded: Comparison, near: Sequence[Answer], most: int | None = None
    ) -> Explanation:
        """Nothing fits: what comes nearer than the weights as loaded, ``most`` of it at most."""
        as_loaded, nears = self.near(Answer((), loaded)), list(map(self.near, near))
        return replace(
            self.explanation("none", loaded),
            nearest=clearly_nearer(as_loaded, nears[:most]),
            remarks=tuple(near_miss(as_loaded, nears)),
        )

    def changed(self, changes: Changes) -> tuple[Changed, ...]:
        """Changes beside the common ones, with what was assumed."""
        found = changed((*self.common_changes, *changes), self._assumed)
        if not self.prepared.one_way:
            return found
        return tuple(replace(c, sense=ONE_WAY) if c.setting == "array" else c for c in found)

    def _assumed(self, change: Change) -> Any:
        cell, _, setting = change.setting.rpartition(".")
        how = dict(self.model.cells)[cell].convention if cell else self.how
        if setting == "reverse" and cell.endswith("_reverse"):
            return not how.behaviour.forward
        return self.prepared.assumed(setting, how)


# ---- several placements


class Fitting(NamedTuple):
    """A placement in which a hypothesis gives EXPECTED."""

    solver: Solver
    explanation: Explanation


def solve_each(
    solvers: Iterable[Solver], levels: int, found: list[Fitting], progress: Progress
) -> list[Fitting]:
    """What was found, and what up to so many changes give in these placements, no more than that.

    Where a first step has been found, last states are searched for fewer changes: they take long.
    """
    for solver in solvers:
        most = levels
        if found:
            slow = not solver.has_first_step and not solver.expected.needs
            fewer = slow and any(one.solver.has_first_step for one in found)
            most = min(levels, fewest_of(found) - len(solver.common_changes) - fewer)
        if most < 1 or any(_is_another_item(one, solver) for one in found):
            continue
        if (explanation := solver.solve(progress, most)) is not None:
            found = [*found, Fitting(solver, explanation)]
    return found


def _is_another_item(found: Fitting, solver: Solver) -> bool:
    """Whether EXPECTED is proved to be another sequence of the batch than this placement has it."""
    item, other = (one.expected.placement.item for one in (found.solver, solver))
    alike = (
        found.solver.common_changes == solver.common_changes
        and found.solver.has_first_step == solver.has_first_step
    )
    return alike and None not in (item, other) and item != other and found.explanation.found


def fewest_of(found: Sequence[Fitting]) -> int:
    """The fewest changes that give EXPECTED."""
    return min(size(one.explanation) for one in found)


# ---- explanations that fit in several placements


def joined(found: Sequence[Fitting]) -> Fitting:
    """The likeliest of those of the fewest changes; the others are its equals.

    What is equal but takes EXPECTED as another part of the run is said in a remark.
    """
    fewest = fewest_of(found)
    equals = [one for one in found if size(one.explanation) == fewest]
    (solver, first), *others = sorted(equals, key=_rank)
    listed = {_key(changes): changes for changes in first.equivalent}
    elsewhere: list[Remark] = []  # on the placements of the others
    for _, other in others:
        for changes in (other.changes, *other.equivalent):
            listed.setdefault(_key(changes), changes)
        if other.placement != first.placement and _key(other.changes) != _key(first.changes):
            place = other.placement
            elsewhere.append(remark("placed_elsewhere", changes=other.changes, placement=place))
    listed.pop(_key(first.changes), None)
    every = replace(first, equivalent=tuple(listed.values()), remarks=(*first.remarks, *elsewhere))
    return Fitting(solver, every)


def size(explanation: Explanation) -> int:
    """Changes as the search counts them: two of them may be said as one."""
    return sum(len(change.settings) for change in explanation.changes)


def _rank(fitting: Fitting) -> tuple[bool, bool, float]:
    """What is proved comes first, then exact numbers, then what people get wrong most."""
    one = fitting.explanation
    coarse = any(change.setting == "dtype" for change in one.changes)
    return one.verdict != "found", coarse, sum(map(prior, plain_of(one.changes)))


def _key(changes: Sequence[Changed]) -> frozenset[Change]:
    return frozenset(plain_of(changes))
