"""The search: one change, two, three, until a run of the loop itself gives EXPECTED.

From a zero state the first step shows neither the recurrent kernel nor the forget gate, so that
hypotheses which differ only in these are compared once, in a sample of units. What is left is
stepped on against EXPECTED; constants are solved for where a hypothesis leaves it. Nothing is
accepted here but by a full run: the steps only choose what is worth one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CONSTANTS, KNOWN_ORDERS, ORDERS, SOLVE
from lstmcli.core.explain.hypotheses import Change, Changes, prior, rank
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.simulator import CHUNK, LOOSE, OFF, SAMPLE, Cells, Simulator, View
from lstmcli.core.explain.verify import Answer, Case, Comparison, Remark, remark, verify
from lstmcli.core.model.arrays import Array

LEVELS = 3  # changes at once

# What is stepped, and how far.
LONGEST = 12  # known steps after which what is left is verified: rounding grows
FEW = 24  # hypotheses that are not worth dropping one by one
LESS = 0.1  # of a clip, that must not do as well
NEAR_COST = 1e4  # squares of tolerances: what a search from near may leave to one from anywhere
CLOSEST_STEPS = 4  # by which placements are put in order


class Progress:
    """What a search tells while it runs; this one shows nothing."""

    def __call__(self, share: float, what: str) -> None:
        """So much is done, and this is tried now."""

    def passed(self, name: str, tried: int, answers: int) -> None:
        """A pass has ended: so many hypotheses, of which so many give EXPECTED."""


quiet = Progress()


class Pass(NamedTuple):
    """One thing that is tried where the run as loaded does not give EXPECTED."""

    name: str
    level: int  # it is tried where so many changes at once are
    search: Callable[[Search], Outcome | None] | None = None  # what gives EXPECTED
    remark: Callable[[Any], Iterator[Remark]] | None = None  # what is to be said where nothing does


@dataclass
class Outcome:
    """What a search came to."""

    answers: list[Answer]  # that fit, the likeliest first; all of one number of changes
    tried: int
    allowance: Allowance
    untried: list[Remark] = field(default_factory=list)
    depth: int = LEVELS  # changes at once that were tried


class Search:
    """The hypotheses of a cell with the fewest changes that give EXPECTED.

    Of EXPECTED's tolerances the second is looser: a hypothesis that meets the first wins over one
    of fewer changes that meets only the second. ``run_changes`` are those that no step shows: each
    is verified by itself and with what else stays. ``coarse`` and ``grids`` are the half precisions
    that EXPECTED may come from, and the number types on whose grid all of it lies.
    """

    def __init__(
        self,
        case: Case,
        simulator: Simulator,
        passes: Sequence[Pass],
        allowances: Sequence[Allowance],
        coarse: Sequence[Allowance] = (),
        grids: Sequence[str] = (),
        run_changes: Sequence[Change] = (),
    ) -> None:
        self.case, self.simulator, self.run_changes = case, simulator, run_changes
        self.allowances, self.coarse, self.grids = allowances, coarse, grids
        self.levels = Levels(simulator)
        self.looser: list[Answer] = []  # that meet only the last tolerance
        self._left = list(passes)

    def verify(self, changes: Changes, allowance: Allowance) -> Comparison:
        """A run of a hypothesis, compared with EXPECTED."""
        return verify(self.case, changes, allowance)

    def upto(self, levels: int, progress: Progress = quiet) -> Outcome:
        """What so many changes at once come to; passes that were run before are not repeated."""
        while self._left and self._left[0].level <= levels:
            now = self._left.pop(0)
            if now.search is None:
                continue
            progress((now.level - 1) / levels, now.name)
            tried = self.levels.tried
            outcome = now.search(self)
            answers = outcome.answers if outcome else []
            progress.passed(now.name, self.levels.tried - tried, len(answers))
            if outcome is not None:
                return outcome
        return self.outcome(self.looser, self.allowances[-1])

    def level(self, size: int) -> Outcome | None:
        """The hypotheses of so many changes that meet the tolerance of the data, if any do."""
        answers = list(self.confirmed(self.levels.level(size), self.allowances[-1]))
        if size == 1:
            of_run = [
                Answer((one,), self.verify((one,), self.allowances[-1])) for one in self.run_changes
            ]
            answers = [*(a for a in of_run if a.comparison.fits), *answers]
            answers = [a for a in answers if len(a.changes) == min(len(a.changes) for a in answers)]
        if len(self.allowances) == 1 and answers:
            return self.outcome(answers, self.allowances[0])
        if exact := [a for a in answers if self.verify(a.changes, self.allowances[0]).fits]:
            return self.outcome(exact, self.allowances[0])
        self.looser = self.looser or answers
        return None

    def outcome(self, answers: list[Answer], allowance: Allowance) -> Outcome:
        """What the search came to, with answers of a tolerance."""
        untried, depth = self.levels.untried, self.levels.depth
        distinct = {frozenset(answer.changes): answer for answer in reversed(answers)}
        ranked = sorted(
            distinct.values(),
            key=lambda a: (*rank(a.changes, self.simulator.how), a.comparison.worst),
        )
        return Outcome(ranked, self.levels.tried, allowance, untried, depth)

    def confirmed(self, found: Sequence[Found], allowance: Allowance) -> Iterator[Answer]:
        """The hypotheses that a full run confirms, their constants settled."""
        space = self.simulator.space
        weights = np.array([prior(single) for single in space.singles])
        likely = sorted(found, key=lambda one: float(weights[one.places].sum()))[: Budget.RANKED]
        ranked = sorted(likely, key=lambda one: rank(space.changes(one.places), self.simulator.how))
        for one in ranked[: Budget.VERIFIED]:
            settled_changes = self._settled(one, allowance)
            if settled_changes is None:
                continue
            changes, solved = settled_changes
            for each in (changes, *((*changes, one) for one in self.run_changes)):
                comparison = self.verify(each, allowance)
                if comparison.fits:
                    if not vanishing(each, lambda changes: self.verify(changes, allowance)):
                        yield Answer(each, comparison, solved)
                    break

    def _settled(self, one: Found, allowance: Allowance) -> tuple[Changes, int] | None:
        """The changes with their constants refined over a sequence, and how many these are.

        Where only another sequence reaches a clip it is that one. None if one of the constants
        comes to what was assumed, or does nothing.
        """
        space = self.simulator.space
        changes = space.changes(one.places)
        solved = sum(change.value == SOLVE for change in changes)
        if not solved:
            return changes, 0
        cells = self.simulator.cells(space.codes(one.places[None]))
        view = self.simulator.views[int(cells.view[0])]
        found = self._with_constants(changes, _refined(self.simulator, cells, view, one.constants))
        comparison = self.verify(found, allowance)
        if comparison.first and comparison.items[view.item] and not comparison.fits:
            other = View(view.of, view.allowance, [comparison.first.item])
            unknown = np.full(len(CONSTANTS), np.nan)
            found = self._with_constants(changes, _refined(self.simulator, cells, other, unknown))
        return (found, solved) if len(found) == len(changes) else None

    def _with_constants(self, changes: Changes, values: Array) -> Changes:
        """The changes with values (3,) put in; without those that do nothing, or were assumed."""
        known = {
            name: float(value)
            for name, value in zip(CONSTANTS, values, strict=True)
            if np.isfinite(value) and value != self.simulator.space.values[name][0]
        }
        return tuple(
            Change(c.setting, known[c.setting]) if c.value == SOLVE else c
            for c in changes
            if c.value != SOLVE or c.setting in known
        )


class Found(NamedTuple):
    """A hypothesis that stays with EXPECTED."""

    places: Array  # of its changes, among the singles
    constants: Array  # (3,); NaN where one was sought and did not show


class Levels:
    """The hypotheses of a simulator, by how many changes they take: 1, 2, 3."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator, self.space = simulator, simulator.space
        self.tried, self.depth = 0, 0
        self.untried: list[Remark] = []  # what a budget left out
        self._known = simulator.as_loaded.keys()

    def level(self, size: int) -> list[Found]:
        """The hypotheses of so many changes that stay with EXPECTED."""
        simulator = self.simulator
        sets = self._sets(size)
        if not len(sets):
            return []
        self.depth = size
        codes = self.space.codes(sets)
        if simulator.needs:
            needed = codes[:, [self.space.column(name) for name in simulator.needs]].any(axis=1)
            sets, codes = sets[needed], codes[needed]
        cells = simulator.cells(codes)
        new = _first_of_each(cells.keys(), self._known)
        sets, cells = sets[new], cells.subset(new)
        self._known = np.concatenate([self._known, cells.keys()])
        self.tried += len(sets)
        found: list[Found] = []
        unsolved = 0
        for view, which in simulator.by_view(cells):
            if simulator.from_zero and view.first == 0:
                which = which[self._pass_first_step(cells.subset(which), view)]
            for at in range(0, len(which), CHUNK):
                part = which[at : at + CHUNK]
                steps = _Steps(simulator, cells.subset(part), view)
                left, constants = steps.staying()
                found += [Found(s, c) for s, c in zip(sets[part[left]], constants, strict=True)]
                unsolved += steps.unsolved
        if unsolved:
            self.untried.append(remark("unsolved", changes=size, count=unsolved))
        return found

    def _sets(self, size: int) -> Array:
        """Sets of so many changes that are worth a try, (n, size)."""
        among = np.arange(len(self.space.singles))
        if size == LEVELS:
            among = np.array([n for n in among if _is_common(self.space.singles[n])], int)
            self.untried.append(remark("rare_triples"))
        sets = self.space.sets(size, among)
        if size == 1 or self.simulator.has_first_step:
            return sets
        expected = next(iter(self.simulator.layouts.values())).expected
        if expected.distinct(self.simulator.allowance.of) <= size:
            return sets[:0]  # too few numbers to prove so many changes
        affordable = int(self.simulator.work.runs(self.simulator.of_run, part=1))
        if len(sets) <= affordable:
            return sets
        rank = np.argsort(np.argsort(self.distances[1:], kind="stable"))  # (S,) of each single
        nearest = rank[sets].min(axis=1)  # of the changes of each set
        counts = np.cumsum(np.bincount(nearest, minlength=len(rank)))
        singles = int((counts <= affordable).sum())
        self.untried.append(remark("no_first_step", changes=size, singles=singles))
        found: Array = sets[nearest < singles]
        return found

    @cached_property
    def distances(self) -> Array:
        """How far off (1 + S,) the cell as loaded and each single change are; constants aside.

        It is the rms in tolerances.
        """
        codes = [self.space.codes(self.space.sets(size)) for size in (0, 1)]
        cells = self.simulator.cells(np.concatenate(codes))
        rms = np.full(len(cells), np.inf)
        for view, which in self.simulator.by_view(cells):
            subset = cells.subset(which)
            steps = CLOSEST_STEPS if self.simulator.has_first_step else view.steps
            steps = min(view.steps, steps)
            off = self.simulator.run(subset, settled(subset.constants), view, steps, np.float32)
            if off.size:
                rms[which] = np.sqrt((off**2).mean(axis=1))
        return rms

    @property
    def closest(self) -> float:
        """How near any single change comes, or none."""
        return float(self.distances.min())

    # ---- the first step, from a zero state

    @cached_property
    def first_step_distance(self) -> float:
        """By how many tolerances the nearest of one or two changes misses the first step.

        Only those without an open constant are looked at. It is infinite where the first step is
        not known, or does not start from zero.
        """
        simulator, least = self.simulator, np.inf
        among = np.array([n for n, one in enumerate(self.space.singles) if one.value != SOLVE], int)
        for size in (1, 2) if simulator.from_zero and len(among) else ():
            cells = simulator.cells(self.space.codes(self.space.sets(size, among)))
            cells = cells.subset(_first_of_each(cells.keys(first_step=True)))
            for view, which in simulator.by_view(cells):
                for at in range(0, len(which) if view.first == 0 else 0, 4 * CHUNK):
                    off = self._first_step(
                        cells.subset(which[at : at + 4 * CHUNK]), view, _sample(simulator)
                    )
                    least = min(least, float(np.abs(off[2]).max(axis=1, initial=0).min()))
        return least

    def _pass_first_step(self, cells: Cells, view: View) -> Array:
        """Which hypotheses (places) agree with the first step as far as it shows them."""
        _, first, same = np.unique(
            cells.keys(first_step=True), return_index=True, return_inverse=True
        )
        units = _sample(self.simulator)
        passes = [
            self._pass_in(cells.subset(first[at : at + 4 * CHUNK]), view, units)
            for at in range(0, len(first), 4 * CHUNK)
        ]
        return np.flatnonzero(np.concatenate(passes)[same.ravel()])

    def _pass_in(self, cells: Cells, view: View, units: Units) -> Array:
        """(N,): whether each passes the first step in a sample of units."""
        z, arrays, off = self._first_step(cells, view, units)
        worst = np.abs(off).max(axis=1, initial=0)
        worst[cells.array == _F] = 0
        sought = cells.is_open
        sought[:, 0] &= cells.coupled == 2  # else the forget gate multiplies nothing
        wrong = np.flatnonzero((worst > LOOSE) & sought.any(axis=1))
        if wrong.size:
            subset, z = cells.subset(wrong), z[wrong]
            c = np.zeros((len(wrong), z.shape[2]))
            constants = np.where(sought[wrong], subset.constants, settled(subset.constants))

            def evaluate(which: Array, values: Array) -> Array:
                part = subset.subset(which)
                given = self.simulator.step(z[which], c[which], part, values, units)
                return view.residuals(given, 0, part.array, units, ("f",))

            greatest = np.abs(arrays["c"][wrong]).max(axis=1)
            _, worst[wrong] = solve(evaluate, constants, greatest, z.shape[2], rounds=8)
        passes: Array = worst <= LOOSE
        return passes

    def _first_step(
        self, cells: Cells, view: View, units: Units
    ) -> tuple[Array, dict[str, Array], Array]:
        """z, the arrays and the residuals of a first step, in a sample of units."""
        z = self.simulator.inputs(cells, view.x[0], units)
        c = np.zeros((len(z), z.shape[2]))
        arrays = self.simulator.step(z, c, cells, settled(cells.constants), units)
        return z, arrays, view.residuals(arrays, 0, cells.array, units, ("f",))


_F = "hcifgo".index("f")

Units = Array | slice
"""Places of units; a slice if they are all."""


def _sample(simulator: Simulator) -> Units:
    """Units that a first step can do with."""
    units = simulator.cell.units
    if units <= SAMPLE or not simulator.units_are_apart:
        return slice(None)
    return np.linspace(0, units - 1, SAMPLE).astype(int)


def _is_common(one: Change) -> bool:
    """Whether three at once are tried with a change: with no order that no framework uses."""
    if one.value in ORDERS:
        return one.value in KNOWN_ORDERS
    return one.value != SOLVE or one.setting == "forget_bias"


def _first_of_each(keys: Array, known: Array | None = None) -> Array:
    """Places of the first of each key, in order; without the keys that are known."""
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    return first if known is None else first[~np.isin(keys[first], known)]


class _Steps:
    """Hypotheses of one view stepped on; those that leave EXPECTED are dropped."""

    def __init__(self, simulator: Simulator, cells: Cells, view: View) -> None:
        self.simulator, self.view = simulator, view
        self.cells, self.constants = cells, cells.constants.copy()
        self.has_first_step = view.first == 0
        self.dtype = np.float64 if self.has_first_step else np.float32
        self.left = np.arange(len(cells))
        self.unsolved = 0  # whose constants are not solved for: a budget leaves them out
        self.h, self.c = simulator.start(cells, view.item, self.dtype)

    def staying(self) -> tuple[Array, Array]:
        """The hypotheses (places) that stay with EXPECTED, and their constants (n, 3)."""
        seen = 0
        x = self.view.x.astype(self.dtype)
        for t in range(self.view.steps):
            if not len(self.left) or seen >= LONGEST or (seen > 1 and len(self.left) <= FEW):
                break
            z = self.simulator.before(self.cells, x[t], self.h, self.c, t)
            values = settled(self.constants).astype(self.dtype)
            arrays = self.simulator.step(z, self.c, self.cells, values)
            if t < self.view.first:
                self.h, self.c = arrays["h"], arrays["c"]
                continue
            seen += 1
            off = self.view.residuals(arrays, t, self.cells.array)
            worst = np.abs(off).max(axis=1, initial=0)
            leaving = np.flatnonzero((worst > LOOSE) & self.cells.is_open.any(axis=1))
            if leaving.size:
                self._solve(leaving, z, arrays, off, worst, t)
            stay = np.flatnonzero(worst <= LOOSE)
            self.left, self.constants = self.left[stay], self.constants[stay]
            self.cells, self.h, self.c = (
                self.cells.subset(stay),
                arrays["h"][stay],
                arrays["c"][stay],
            )
        return self.left, self.constants

    def _solve(
        self, leaving: Array, z: Array, arrays: dict[str, Array], off: Array, worst: Array, t: int
    ) -> None:
        """Solve for the constants of hypotheses that leave EXPECTED at step t.

        Constants act after the products, so that only the rest of the step is evaluated again;
        from the first step on where they may have acted before, unseen or as solved for.
        """
        if not self.has_first_step:
            among = len(leaving)
            leaving = self._affordable(leaving, off)
            self.unsolved += among - len(leaving)
        greatest = np.abs(arrays["c"][leaving]).max(axis=1).astype(np.float64)
        values, left = self.constants[leaving], np.full(len(leaving), np.inf)
        if self.has_first_step:
            values, left = self._solved_here(leaving, z, greatest, t)
        known = (self.cells.is_open & ~np.isnan(self.constants))[leaving].any(axis=1)
        rest = np.flatnonzero((left > LOOSE) & (known | (not self.has_first_step)))
        if rest.size and (not self.has_first_step or rest.size <= Budget.SOLVED):
            values[rest], left[rest] = self._solved_whole(leaving[rest], greatest[rest], t)
        self.constants[leaving], worst[leaving] = values, left
        good = leaving[left <= LOOSE]
        if good.size:
            self._run_again(good, arrays, t)

    def _affordable(self, leaving: Array, off: Array) -> Array:
        """The hypotheses whose constants are solved for over full runs, the nearest first."""
        leaving = leaving[np.argsort((off[leaving] ** 2).sum(axis=1), kind="stable")]
        several = self.cells.is_open[leaving].sum(axis=1) > 1
        runs = np.cumsum(np.array(Budget.LATE_RUNS)[several.astype(int)])
        calls = Budget.LATE_ROUNDS * self.view.steps * Budget.CALL
        return leaving[runs <= self.simulator.work.runs(self.simulator.of_run, calls)]

    def _solved_here(self, which: Array, z: Array, greatest: Array, t: int) -> tuple[Array, Array]:
        cells, z, c = self.cells.subset(which), z[which], self.c[which]

        def evaluate(n: Array, values: Array) -> Array:
            part = cells.subset(n)
            given = self.simulator.step(z[n], c[n], part, values)
            return self.view.residuals(given, t, part.array)

        return solve(evaluate, self.constants[which], greatest, self.simulator.cell.units)

    def _solved_whole(self, which: Array, greatest: Array, t: int) -> tuple[Array, Array]:
        cells = self.cells.subset(which)

        def evaluate(n: Array, values: Array) -> Array:
            return self.simulator.run(cells.subset(n), values, self.view, t + 1, self.dtype)

        return solve(evaluate, cells.constants, greatest, self.simulator.cell.units)

    def _run_again(self, which: Array, arrays: dict[str, Array], t: int) -> None:
        """h and c after step t with the constants that were found."""
        cells, values = self.cells.subset(which), settled(self.constants[which])
        *_, last = self.simulator.steps(cells, values, self.view, t + 1, self.dtype)
        arrays["h"][which], arrays["c"][which] = last["h"], last["c"]


def _refined(simulator: Simulator, cells: Cells, view: View, constants: Array) -> Array:
    """Constants (3,) refined over all steps, then the fewest decimals that do as well."""
    sought = np.flatnonzero(cells.is_open[0])
    values = np.where(np.isnan(constants), settled(cells.constants)[0], constants)

    def run(constants: Array) -> Array:
        n = np.zeros(len(constants), int)
        return simulator.run(cells.subset(n), constants, view, view.steps)

    def off(points: Array) -> Array:
        tries = np.repeat(values[None], len(points), axis=0)
        tries[:, sought] = points
        tries[:, 1:] = np.maximum(tries[:, 1:], LEAST_CLIP)
        return run(tries)

    def cost(which: Array, points: Array) -> Array:
        costs: Array = (off(points.reshape(-1, len(sought))) ** 2).sum(axis=1)
        return costs.reshape(points.shape[:2])

    known = not np.isnan(constants[sought]).any()
    if known and np.abs(run(values[None])).max(initial=0) > MOST_RESIDUAL:
        best, left = refine(cost, values[sought][None, None], np.full((1, 1, len(sought)), 0.02))
        known, values[sought] = left[0] <= NEAR_COST, best[0]
    if not known:  # it shows only after the steps that were looked at, or did nothing there
        runs = simulator.steps(cells, settled(cells.constants), view, view.steps)
        greatest = np.max([np.abs(arrays["c"]).max(keepdims=True)[0] for arrays in runs], axis=0)
        solved, _ = solve(lambda n, v: run(v), cells.constants, greatest, simulator.cell.units)
        values = np.asarray(solved[0])
    if not np.isnan(values[sought]).any():
        values[sought] = fewest_decimals(off, values[sought], sought > 0)
    return values


def vanishing(changes: Changes, verify: Callable[[Changes], Comparison]) -> bool:
    """Whether a clip that fits only makes a cell vanish: far less of it fits as well."""
    clips = {
        c.setting: c.value * LESS
        for c in changes
        if c.setting.endswith(("cell_clip", "gate_clip")) and c.value
    }
    tighter = tuple(Change(c.setting, clips.get(c.setting, c.value)) for c in changes)
    return bool(clips) and verify(tighter).fits


# ---- constants that no list of values has: a forget bias, a cell clip, a gate clip

# A coarse grid of values, then ever finer ones around its best points. Nothing is differentiated: a
# step of the cell has no derivative where a clip or a hard sigmoid bends, and a grid needs none.

LEAST_CLIP = 1e-6
SATURATED = np.array([7.5, 9, 12, 16, 24])  # from 16 on a sigmoid is 1 in float32
FORGET = np.concatenate([-SATURATED[::-1], np.arange(-6, 6.25, 0.5), SATURATED])
GATE = np.geomspace(0.05, 8, 28)  # beyond 8 a gate is within 4e-4 of 0 or 1
CELL = np.linspace(0.03, 0.99, 24)  # of the greatest |c|: a clip above it does nothing
STARTS = 3  # points of the grid that a search begins at: the best one alone missed 2 of 136 pairs
ROUNDS = {1: 16, 2: 24}  # of finer grids, by how many constants;
FINER = 4  # times finer is each of one constant, and twice of two
STILL = {1: 3, 2: 5}  # rounds without a gain of a tenth, after which a search ends
MOST_DECIMALS = 7  # of a solved constant
SPOILED = 3.0  # times the error of a constant with all its digits: fewer digits may double it
NEARLY = 30.0  # tolerances that a constant solved in float32 may be off: 2.4989 for 2.5 was, by 3.7
MOST_RESIDUAL = 1.0  # tolerances by which a number that agrees is off
MOST_EVALUATED = 400_000  # hypotheses x grid points x units that are evaluated together

Evaluate = Callable[[Array, Array], Array]
"""From places (m,) of hypotheses and their constants (m, 3) to residuals (m, E), in tolerances."""


def settled(constants: Array) -> Array:
    """Constants (N, 3) with those that are not known left out."""
    return np.where(np.isnan(constants), OFF, constants)


def solve(
    evaluate: Evaluate, constants: Array, greatest: Array, units: int, rounds: int | None = None
) -> tuple[Array, Array]:
    """The constants (N, 3) that bring hypotheses nearest, and how far off (N,) they are at most.

    Parameters
    ----------
    constants
        (N, 3); NaN where a value is sought. It stays NaN where it makes no difference.
    greatest
        (N,): the greatest size of c of each hypothesis, which bounds the values of a cell clip.
    units
        of a cell, on which it depends how many points are evaluated together.
    rounds
        of finer grids; by default as many as it takes to reach the precision of float32.
    """
    constants, known = constants.copy(), settled(constants)
    at_once = max(1, MOST_EVALUATED // units)

    def cost(rows: Array, kinds: Sequence[int], which: Array, points: Array) -> Array:
        """(n, P) the sums of squares of rows[which] at points (n, P, d) of these constants."""
        n, count, _ = points.shape
        costs = np.zeros((n, count))
        size = max(1, at_once // count)
        for at in range(0, n, size):
            places = np.repeat(rows[which[at : at + size]], count)
            values = known[places]
            values[:, kinds] = points[at : at + size].reshape(-1, len(kinds))
            values[:, 1:] = np.maximum(values[:, 1:], LEAST_CLIP)
            off = evaluate(places, values)
            costs[at : at + size] = (off * off).sum(axis=1).reshape(-1, count)
        return costs

    shows = np.zeros(constants.shape, bool)  # which of those that are sought make a difference
    for k in range(3):
        rows = np.flatnonzero(np.isnan(constants[:, k]))
        if rows.size:
            points = _grid(k, greatest[rows])[:, :, None]
            costs = cost(rows, [k], np.arange(len(rows)), points)
            shows[rows, k] = costs.max(axis=1) > costs.min(axis=1) * (1 + 1e-9)
    for kinds in {tuple(np.flatnonzero(row).tolist()) for row in shows if row.any()}:
        rows = np.flatnonzero((shows == np.isin(range(3), kinds)).all(axis=1))
        grids = [_grid(k, greatest[rows])[:, :: len(kinds)] for k in kinds]
        points, gaps = _product(grids), _product([*map(_gaps, grids)])
        cost_of = partial(cost, rows, list(kinds))
        each = np.arange(len(rows))
        order = np.argsort(cost_of(each, points), axis=1, kind="stable")[:, :STARTS]
        best, _ = refine(cost_of, points[each[:, None], order], gaps[each[:, None], order], rounds)
        constants[np.ix_(rows, np.array(kinds))] = best
    off = evaluate(np.arange(len(constants)), settled(constants))
    return constants, np.abs(off).max(axis=1, initial=0)


def _grid(k: int, greatest: Array) -> Array:
    """(N, s): the values of a constant that are tried first."""
    if CONSTANTS[k] == "forget_bias":
        return np.tile(FORGET, (len(greatest), 1))
    if CONSTANTS[k] == "gate_clip":
        return np.tile(GATE, (len(greatest), 1))
    return np.maximum(greatest, LEAST_CLIP)[:, None] * CELL


def _product(grids: Sequence[Array]) -> Array:
    """(N, P, d): every combination of the values of d grids (N, s)."""
    points = grids[0][:, :, None]
    for grid in grids[1:]:
        n, count, d = points.shape
        left = np.repeat(points, grid.shape[1], axis=1)
        right = np.tile(grid, (1, count))[:, :, None]
        points = np.concatenate([left, right], axis=2).reshape(n, -1, d + 1)
    return points


def _gaps(grid: Array) -> Array:
    """(N, s): how far the neighbours of each value of a grid (N, s) are at most."""
    steps = np.diff(grid, axis=1)
    none = np.zeros((len(grid), 1))
    gaps: Array = np.maximum(np.hstack([none, steps]), np.hstack([steps, none]))
    return gaps


def refine(
    cost: Callable[[Array, Array], Array], starts: Array, widths: Array, rounds: int | None = None
) -> tuple[Array, Array]:
    """The best point (N, d) that ever finer grids reach from starts (N, S, d), and its cost (N,).

    ``widths`` (N, S, d) are those of the first grid, on either side of a start.
    """
    n, s, d = starts.shape
    of, at = np.repeat(np.arange(n), s), starts.reshape(n * s, d).copy()
    unit = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * d, indexing="ij"), -1).reshape(-1, d)
    width, active = widths.reshape(n * s, d).copy(), np.arange(n * s)
    least, still = cost(of, at[:, None])[:, 0], np.zeros(n * s, int)
    for _ in range(ROUNDS[d] if rounds is None else rounds):
        points = at[active][:, None] + width[active][:, None] * unit
        costs = cost(of[active], points)
        now, best = costs.min(axis=1), points[np.arange(len(active)), costs.argmin(axis=1)]
        still[active] = np.where(now < 0.9 * least[active], 0, still[active] + 1)
        better = now < least[active]
        at[active[better]], least[active[better]] = best[better], now[better]
        width[active] /= FINER if d == 1 else 2
        active = active[(still[active] < STILL[d]) & (least[active] > 1e-6)]
        if not active.size:
            break
    winner = least.reshape(n, s).argmin(axis=1)
    rows = np.arange(n)
    return at.reshape(n, s, d)[rows, winner], least.reshape(n, s)[rows, winner]


def fewest_decimals(off: Callable[[Array], Array], values: Array, is_clip: Array) -> Array:
    """Values (d,) of constants at the fewest decimals that do not spoil them.

    ``off`` gives the residuals (n, E) of values (n, d).
    """
    exact = float(np.abs(off(values[None])).max(initial=0))
    short = [np.round(values, decimals) for decimals in range(MOST_DECIMALS)]
    short = [one for one in short if (one[is_clip] > 0).all()]  # a clip of 0 is none
    if not short:
        return values
    worst = np.abs(off(np.array(short))).max(axis=1, initial=0)
    good = np.flatnonzero(worst <= max(MOST_RESIDUAL, SPOILED * exact))
    return short[good[0]] if good.size else values
