"""The search: nothing wrong, one change, two, three; then rounding; then what comes near.

Every reading that is reported was run whole by the loop itself and met every known number of
EXPECTED; the sieve only chooses what is worth a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np

from lstmcli.core.explain.bench import Allowance, Bench, with_allowance
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.evidence import neighbours
from lstmcli.core.explain.judge import Verdict
from lstmcli.core.explain.passes.half_precision import RERUN
from lstmcli.core.explain.ranking import prior, rank
from lstmcli.core.explain.refining import Task, levenberg_marquardt, residuals, whole_task
from lstmcli.core.explain.result import Answer
from lstmcli.core.explain.sieve import Sieve
from lstmcli.core.explain.space import CONSTANTS, SOLVE, Change, Changes
from lstmcli.core.explain.walk import Found
from lstmcli.core.model.arrays import Array

Judge = Callable[[Changes, Allowance], Verdict]
Backed = Callable[[Changes, Allowance], str]
"""By what a reading in half precision is backed: a kind of `Basis`, or nothing."""
Progress = Callable[[float, str], None]

LEVELS = 3
BEFORE_ROUNDING = 2  # exact pairs win over a coarser number type
CLEARLY = 3.0  # times nearer: then one reading in half precision is better than another
MOST_RANKED = 2000  # readings of a level that are put in order with care
MOST_RUN = 60  # readings of a level that are run whole
MOST_DECIMALS = 7  # of a solved constant
LESS = 0.1  # of a bound, that must not do as well
PASSED_OVER = (
    "three changes at once, one of which moves time or rows: EXPECTED lacks the first step then"
)
NEAREST = 4
CLOSEST_STEPS = 4  # by which the places of EXPECTED are put in order
NEAREST_STEPS = 16  # by which single readings are put in order


def quiet(share: float, what: str) -> None:
    """A progress that nobody sees."""


@dataclass
class Outcome:
    """What a search came to."""

    answers: list[Answer]  # that fit, the likeliest first; all of one number of changes
    tried: int
    allowance: Allowance
    untried: list[str] = field(default_factory=list)
    depth: int = LEVELS  # changes at once that were tried


class Search:
    """The readings of a cell with the fewest changes that give EXPECTED, level by level.

    ``allowances`` are the tolerance of the data and, after it, a looser one: a reading that meets
    the first wins over one of fewer changes that meets only the second. ``coarse`` are those of
    half precision; they are tried after pairs, and what fits has to be ``backed``: fitting at so
    loose a tolerance proves nothing. ``endings`` are
    changes that show only where a row has ended, which the sieve does not look at.
    """

    def __init__(
        self,
        bench: Bench,
        judge: Judge,
        allowances: Sequence[Allowance],
        coarse: Iterable[Allowance] = (),
        backed: Backed = lambda changes, allowance: RERUN,
        endings: Sequence[Change] = (),
    ) -> None:
        self.bench, self.judge, self.allowances = bench, judge, allowances
        self.coarse, self.backed, self.endings = coarse, backed, endings  # coarse: asked once
        self._sieve = Sieve(bench)
        self._looser: list[Answer] = []  # that meet only the last tolerance
        self._untried: list[str] = []
        self._asked = self._depth = 0

    @cached_property
    def scouted(self) -> float:
        """By how many tolerances any one or two changes miss the first step, constants aside."""
        return self._sieve.scouted()

    def upto(self, levels: int, progress: Progress = quiet) -> Outcome:
        """What so many changes at once come to; levels that were asked before are not repeated."""
        while self._asked < levels:
            self._asked += 1
            self._sieve.tick = _ticking(progress, self._asked, levels)
            self._sieve.tick(0)
            if (reason := self._sieve.left_out(self._asked)) is not None:
                self._untried.append(reason)
            if not self._sieve.tells(self._asked):
                break
            self._depth = self._asked
            if (outcome := self._level(self._asked)) is not None:
                return outcome
        return self._outcome(self._looser, self.allowances[-1])

    def _level(self, size: int) -> Outcome | None:
        """The readings of so many changes that meet the tolerance of the data, if any do."""
        found = self._sieve.level(size)
        answers = _judged(self.bench, self.judge, found, self.allowances[-1], self.endings)
        if size == 1:
            ended = [Answer((e,), self.judge((e,), self.allowances[-1])) for e in self.endings]
            answers = [*(a for a in ended if a.verdict.fits), *answers]
            answers = [a for a in answers if len(a.changes) == min(len(a.changes) for a in answers)]
        if len(self.allowances) == 1 and answers:
            return self._outcome(answers, self.allowances[0])
        if tight := [a for a in answers if self.judge(a.changes, self.allowances[0]).fits]:
            return self._outcome(tight, self.allowances[0])
        self._looser = self._looser or answers
        if size == BEFORE_ROUNDING and not self._looser:
            for allowance in self.coarse:
                if answers := rounded(self.bench, self.judge, allowance, self.backed):
                    return self._outcome(answers, allowance)
        return None

    def _outcome(self, answers: list[Answer], allowance: Allowance) -> Outcome:
        untried = [*self._untried, *[PASSED_OVER] * self._sieve.passed_over]
        ranked = _ranked(answers, self.bench)
        return Outcome(ranked, self._sieve.tried, allowance, untried, self._depth)


def _ticking(progress: Progress, size: int, levels: int) -> Callable[[float], None]:
    """Tells how much of a level is done as a share of all levels."""
    what = f"{size} change{'s' * (size > 1)} at once"
    return lambda share: progress((size - 1 + share) / levels, what)


def rounded(
    bench: Bench,
    judge: Judge,
    allowance: Allowance,
    backed: Backed,
) -> list[Answer]:
    """The readings that come from a coarser number type: as read, or with one change.

    A change has to make the error clearly smaller, and only those that come about as near as the
    nearest are left; the nearest of all has to be backed, if it is not a re-run that backs another.
    """
    dtype = Change("dtype", allowance.name)
    alone = Answer((), judge((dtype,), allowance))
    coarse = with_allowance(bench, allowance)
    found = _judged(coarse, judge, Sieve(coarse).level(1), allowance)
    least = min((a.verdict.rms for a in found), default=np.inf)
    if alone.verdict.rms <= CLEARLY * least:  # a change has little to explain
        found = [alone] if alone.verdict.fits else []
    near = sorted(
        (a for a in found if a.verdict.rms <= CLEARLY * least or a is alone),
        key=lambda a: a.verdict.rms,
    )
    kinds = [backed(a.changes, allowance) for a in near]
    return [
        Answer((*a.changes, dtype), a.verdict, a.solved)
        for a, kind in zip(near, kinds, strict=True)
        if kind and (kind == RERUN or kinds[0])
    ]


def _ranked(answers: list[Answer], bench: Bench) -> list[Answer]:
    def key(answer: Answer) -> tuple[float, ...]:
        return (*rank(answer.changes, bench.how), answer.verdict.worst)

    distinct = {frozenset(answer.changes): answer for answer in reversed(answers)}
    return sorted(distinct.values(), key=key)


def _judged(
    bench: Bench,
    judge: Judge,
    found: Found,
    allowance: Allowance,
    endings: Sequence[Change] = (),
) -> list[Answer]:
    """The readings that a whole run confirms, their constants settled."""
    weights = np.array([prior(single) for single in bench.space.singles])
    likely = np.argsort(weights[found.sets].sum(axis=1), kind="stable")[:MOST_RANKED]
    readings = {int(n): bench.space.changes(found.sets[n]) for n in likely}
    order = sorted(readings, key=lambda n: rank(readings[n], bench.how))[:MOST_RUN]
    answers = []
    for n in order:
        one = np.array([n])
        changes, solved = readings[n], 0
        if any(change.value == SOLVE for change in changes):
            settled = settle(bench, changes, found.codes[one], found.constants.chosen(one))
            if settled is None:
                continue
            changes, solved = settled
        for whole in (changes, *((*changes, ending) for ending in endings)):
            verdict = judge(whole, allowance)
            if verdict.fits:
                if not vanishing(whole, lambda changes: judge(changes, allowance)):
                    answers.append(Answer(whole, verdict, solved))
                break
    return answers


def vanishing(changes: Changes, judge: Callable[[Changes], Verdict]) -> bool:
    """Whether a bound that fits only makes a cell vanish: far less of it fits as well."""
    bounds = [c for c in changes if c.setting.endswith(("cell_clip", "gate_clip")) and c.value]
    less = {c.setting: c.value * LESS for c in bounds}
    tighter = tuple(Change(c.setting, less.get(c.setting, c.value)) for c in changes)
    return bool(bounds) and judge(tighter).fits


def settle(
    bench: Bench, changes: Changes, codes: Array, constants: Constants
) -> tuple[Changes, int] | None:
    """Changes with their constants refined over all of EXPECTED, at the fewest decimals.

    Gives the number of constants solved for too; None if one of them is what was assumed.
    """
    unknown = [k for k, n in enumerate(CONSTANTS) if Change(n, SOLVE) in changes]
    task = whole_task(bench, codes, constants, tuple(unknown))
    values = np.array(constants)
    tuned, off = levenberg_marquardt(task, values, rounds=8)
    values = tuned if off[0] <= np.abs(residuals(task, values)).max() else values
    values = _short(task, values)
    settled = []
    for change in changes:
        if change.value == SOLVE:
            number = float(values[CONSTANTS.index(change.setting), 0])
            if number == bench.space.values[change.setting][0]:
                return None
            change = Change(change.setting, number)
        settled.append(change)
    return tuple(settled), len(unknown)


def _short(task: Task, values: Array) -> Array:
    """The constants rounded to the fewest decimals that do not spoil them."""
    exact = float(np.abs(residuals(task, values)).max())
    tries = np.repeat(values, MOST_DECIMALS, axis=1)
    for k in task.unknown:
        tries[k] = [round(float(values[k, 0]), d) for d in range(MOST_DECIMALS)]
        if CONSTANTS[k] != "forget_bias":
            tries[k] = np.where(tries[k] > 0, tries[k], values[k, 0])
    off = np.abs(residuals(task.some(np.zeros(MOST_DECIMALS, int)), tries)).max(axis=1)
    good = np.flatnonzero(off <= max(1.0, 1.5 * exact))
    return tries[:, good[:1]] if good.size else values


def closest(bench: Bench) -> float:
    """The least rms of any single reading over a few steps, in tolerances."""
    alone = neighbours(bench, (), None if bench.late else CLOSEST_STEPS)
    return float(min(np.min(alone.rms, initial=np.inf), alone.own_rms))


def nearest(bench: Bench, judge: Judge, allowance: Allowance, pairs: bool) -> list[Answer]:
    """The readings that come nearest: single ones, and perhaps pairs of the best of these."""
    alone = neighbours(bench, (), None if bench.late else NEAREST_STEPS)
    best = [alone.changes[n] for n in np.argsort(alone.rms, kind="stable")[:NEAREST]]
    both = [(*one, *other) for one, other in combinations(best if pairs else (), 2)]
    both = [c for c in both if c[0].setting != c[1].setting]
    judged = [Answer(c, judge(c, allowance)) for c in ((), *best, *both)]
    return sorted(judged, key=lambda a: a.verdict.rms * 1.5 ** len(a.changes))[:NEAREST]
