"""EXPECTED at one placement on a run, and the changes that give it there.

What a placement changes counts like any change. Only a run of the loop accepts an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, islice

import numpy as np

from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import Changes, kinds, settings_of
from lstmcli.core.explain.explanation import (
    Changed,
    Explanation,
    NearRun,
    first_shown,
    plain_of,
    with_assumed,
)
from lstmcli.core.explain.hypotheses import (
    SingleChanges,
    conventions_that_run,
    rank,
    settings_to_load,
)
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.network_simulator import NetworkSimulator
from lstmcli.core.explain.observation import (
    EPS,
    SINGLE,
    Allowance,
    Expected,
    KnownValues,
)
from lstmcli.core.explain.question import Setup
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.explain.verify import (
    Agreement,
    Answer,
    Case,
    Remark,
    Remarks,
    arrays_if_run,
    compared,
    forget_gate_state,
    moved,
    remark,
    rerun,
    vanishing,
    verify,
)
from lstmcli.core.forward.sequence import padding_rule
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.surroundings import LAST as LAST_STEP

ENOUGH = 2.0  # digits of evidence, beyond those that number what was tried
SHORT = 8  # steps from which evidence is computed first
WEALTH = 12.0  # digits of evidence that need no further steps
# half precision shows in more than (changes + this) different numbers
LEAST_MOVED = 4
MOVED_BY_SOLVED = 3  # numbers that each solved one has to move
FEWEST_NUMBERS = 3  # different ones that prove a layout or a merge
# rms, in tolerances, below which a change is worth a further run
WORTH_MORE = 1e3
MOST_DECIMALS = 10  # of a solved constant
# tolerances by which one may be off at first; a right clip was by 3.1
NEARLY = 5.0
FIRST, SECOND, LAST = range(3)
"""When a placement is searched: lengths need fewer runs than two changes."""
SEARCH = 15_000  # work of a search next to its runs
GRID = 32  # runs to find a first value of a constant


class Placement:
    """EXPECTED at one placement on a run.

    ``of_run`` are changes of the run next to those of the setup. ``unpadded``: only steps that
    count are compared.
    """

    def __init__(
        self,
        setup: Setup,
        location: Location,
        of_run: Changes = (),
        unpadded: bool = False,
        allowance: Allowance | None = None,
    ) -> None:
        self.setup, self.location, self.of_run = setup, location, of_run
        self.question = setup.question
        settings = settings_of(of_run)
        self.unpadded = unpadded
        lengths = settings.get("lengths")
        self.lengths = lengths if isinstance(lengths, tuple) else ()  # that are found
        self.count = len(setup.changes) + bool(of_run) + unpadded  # of changes
        self.work = self.question.work
        self.changes = *setup.changes, *of_run
        self.model = setup.model
        self.how = setup.model.convention
        self.several = len(self.model.cells) > 1
        self.allowance = allowance or self.question.exactness.allowances[-1]
        self.turn = LAST if unpadded else FIRST if self.lengths else SECOND
        self.tried, self.depth = 0, 0
        self.untried: list[Remark] = []  # what a budget left out
        self._tried: dict[int, Array] = {}  # sets by their size

    @cached_property
    def case(self) -> Case:
        """How the network is run, with EXPECTED on its axes."""
        return self._case(self._on_run(self.setup.numbers))

    def _on_run(self, numbers: Mapping[str, Numbers]) -> Expected:
        expected = self.location.expected(numbers, self.valid)
        valid = self.valid
        return expected if valid is None or not self.unpadded else expected.at(valid)

    @cached_property
    def valid(self) -> Array | None:
        """(T, B): the steps that count by lengths or a mask, given or found."""
        found = {"lengths": self.lengths} if self.lengths else {}
        return self._case(Expected({})).valid(found)

    @property
    def padded_sequences(self) -> list[int]:
        """The sequences of which not all steps count."""
        valid = self.valid
        if valid is None:
            return []
        return [int(n) for n in np.flatnonzero(~valid.all(axis=0))]

    def _case(self, expected: Expected) -> Case:
        setup = self.setup
        data = replace(self.question.inputs, x=self.question.x)
        known = self.model.given, self.work, setup.cached
        return Case(setup.read, data, setup.layout, expected, *known)

    @property
    def expected(self) -> Expected:
        """EXPECTED on the axes of the run."""
        return self.case.expected

    @cached_property
    def simulator(self) -> NetworkSimulator:
        """The network over the sequence of the batch that is known best."""
        return self._simulator_on(None)

    def _simulator_on(self, item: int | None) -> NetworkSimulator:
        known = self.singles, self.case, self.allowance, self.of_run
        return NetworkSimulator(self._cells, *known, item)

    @cached_property
    def _cells(self) -> Mapping[str, Simulator]:
        key = "cells", self.how.storage.directions  # another merge has the same
        return self.question.runs.get(key, self.setup.simulators)

    @cached_property
    def singles(self) -> SingleChanges:
        """The single changes that EXPECTED can show."""
        without: tuple[str, ...] = ()
        if self.setup.size[0] == 1:
            without = ("reverse", "flip_output", "go_backwards", "state")
        elif not self.several and not self._is_of_last_outputs:
            unseen = (self.expected.steps < 2) + (not self.expected.has_steps)
            without = ("go_backwards", "flip_output")[:unseen]
        spaces = {name: cell.singles for name, cell in self._cells.items()}
        key, names = ("singles", self.how.storage.directions, without), iter(spaces)
        layers = [[next(names) for _ in layer] for layer in self.model.layers]
        return self.question.runs.get(
            key, partial(SingleChanges, layers, spaces, without)
        )

    @property
    def _is_of_last_outputs(self) -> bool:
        """Tell whether EXPECTED is y of the output that is given last, in whatever order."""
        head = self.model.head
        return head is not None and head.steps == LAST_STEP and self.expected.is_of_head

    @cached_property
    def distances(self) -> Array:
        """(S + 1,): the rms in tolerances of each single change, and of none."""
        return self.simulator.distances(self.question.runs)

    def verify(self, changes: Changes, allowance: Allowance | None = None) -> Agreement:
        """Run the network with changes, in float64, and compare."""
        return verify(self.case, (*self.of_run, *changes), allowance or self.allowance)

    def fits(self) -> bool:
        """Tell whether the network as loaded gives EXPECTED."""
        nothing = KnownValues(*np.zeros((2, 0)))
        like = Expected(dict.fromkeys(self.location.names, nothing))
        given = arrays_if_run(self._case(like), settings_of(self.of_run))
        near = self.location.may_fit(
            self.setup.numbers, self.valid, given, self.allowance
        )
        return near and self.verify(()).fits

    def placed(
        self, answers: Sequence[Answer]
    ) -> Iterator[tuple[Placement, list[Answer]]]:
        """Answers with the placement that they are of."""
        yield self, [*answers]

    def answers(self, size: int, room: float, is_open: bool = False) -> list[Answer]:
        """The sets of this many changes of the cells that give EXPECTED.

        Those with an open constant, which is solved for, or those without. ``room`` is the work of
        full runs.
        """
        if size == 0:
            return [Answer((), self.verify(()))] if not is_open and self.fits() else []
        simulator, sets = self.simulator, self._new(size, room)
        sets = sets[self.singles.are_open(sets) == is_open]
        if size > 1 or is_open:
            sets = simulator.passing_first_step(sets, self.question.runs)
        if not is_open:
            is_near = (
                self.distances[sets[:, 0]] <= WORTH_MORE if size == 1 else slice(None)
            )
            staying = simulator.staying(sets[is_near], self.question.runs)
            if len(staying) > Budget.FEW and self.turn == SECOND:  # not of open lengths
                other = self._simulator_on((simulator.item + 1) % self.setup.size[1])
                staying = other.staying(staying)
            return self._confirmed(staying)
        most = max(
            self.work.most(Budget.SOLVED), int(room / (simulator.work_of_run * GRID))
        )
        if size > 1 and len(sets) > most and not simulator.is_stepwise:
            self.untried.append(
                remark("unsolved", changes=size, count=len(sets) - most)
            )
            order = np.argsort(self.distances[sets].min(axis=1), kind="stable")
            sets = sets[order[:most]]
        return self._confirmed(*simulator.solve(sets))

    def _new(self, size: int, room: float) -> Array:
        if size not in self._tried:
            self.work.add(SEARCH)
            sets, keys = self._sets(size, room)
            self.depth = max(self.depth, size * bool(len(sets)))
            self._tried[size] = self.simulator.new(sets, keys)
            self.tried += len(self._tried[size])
        return self._tried[size]

    def _sets(self, size: int, room: float) -> tuple[Array, Array]:
        """The sets to try, with keys: pairs of the nearest where no first step is known.

        Others are made once, as they do not depend on EXPECTED.
        """
        simulator = self.simulator
        singles = self.singles
        several = self.several
        is_stepwise = simulator.is_stepwise
        too_few = (
            size > 1
            and not is_stepwise
            and self.expected.distinct(self.allowance) <= size
        )
        if too_few or (size > 2 and (several or not is_stepwise)):
            facts = {"too_few": too_few, "cells": len(self._cells) * several}
            self.untried.append(remark("none_at_once", changes=size, **facts))
            return simulator.with_keys(np.zeros((0, size), int))
        if size > 2 or (size > 1 and several):
            self.untried.append(remark("rare_triples" if size > 2 else "rare_pairs"))
        if is_stepwise or size == 1:
            key = "sets", id(singles), size
            return self.question.runs.get(
                key, lambda: simulator.with_keys(singles.sets(size))
            )
        affordable = int(room / (simulator.work_of_run * max(1, len(singles))))
        most = min(self.work.most(Budget.PAIRED), max(Budget.FEW, affordable))
        if most < len(singles):
            self.untried.append(remark("no_first_step", changes=size, singles=most))
        nearest = np.argsort(self.distances[:-1], kind="stable")
        return simulator.with_keys(singles.pairs(nearest, most))

    def _confirmed(self, sets: Array, values: Array | None = None) -> list[Answer]:
        keys = [rank(self.singles.of(one, 0.5), self.how) for one in sets]
        order = sorted(range(len(sets)), key=keys.__getitem__)[
            : self.work.most(Budget.VERIFIED)
        ]
        values = np.full(len(sets), np.nan) if values is None else values
        return [
            found for n in order if (found := self._confirmed_one(sets[n], values[n]))
        ]

    def _confirmed_one(self, one: Array, value: float) -> Answer | None:
        """The answer of a set, its constant with the fewest decimals."""
        singles, item = self.singles, self.simulator.item
        constants = singles.constant[one]
        kind, plain = constants.max(), singles.of(one[constants < 0])

        def run(value: float) -> Agreement:
            return self.verify(plain if np.isnan(value) else singles.of(one, value))

        comparison = run(value)
        other = comparison.first.item if comparison.first else item
        if (
            kind >= 0
            and comparison.worst > NEARLY
            and other != item
            and self.work.left()
        ):
            _, values = self._simulator_on(other).solve(one[None])
            value = values[0] if len(values) else np.nan
            comparison = run(value)
        if kind >= 0 and comparison.worst <= NEARLY:
            short = (round(value, decimals) for decimals in range(MOST_DECIMALS))
            value = next((v for v in short if (v or not kind) and run(v).fits), value)
            comparison = run(value)
        if kind < 0 or not comparison.fits:
            return Answer(plain, comparison) if comparison.fits else None
        if np.isnan(value):
            return None
        without = self.verify(plain)
        if self.verify(plain, self.allowance.times(NEARLY)).fits:
            return None  # it takes on rounding alone
        changes = singles.of(one, value)
        if self.several and without.total - without.agreeing < 2:
            return None  # in one cell or another a constant always fits one number
        return (
            None if vanishing(changes, self.verify) else Answer(changes, comparison, 1)
        )

    def neighbours(self, answer: Changes) -> tuple[Array, list[Changes]]:
        """The results of an answer's neighbours, and those that EXPECTED leaves open."""
        loaded, telling = self.verify(()), self.simulator
        if loaded.first and loaded.items[telling.item]:  # another one shows it
            telling = self._simulator_on(loaded.first.item)
        first = SHORT if telling.is_stepwise and self.setup.size[0] > SHORT else None
        off, near = telling.neighbours(answer, first)
        if first and digits(off, 0, 1) < WEALTH:
            off, near = telling.neighbours(answer)
        return off, near

    def proved(
        self, answers: Sequence[Answer], allowance: Allowance, tried: int
    ) -> Explanation:
        """The likeliest answer, proved or not; the others are its equals."""
        if not (self.changes or any(one.changes for one in answers)):
            answer = Answer((), self.verify((), allowance))
            if self.unpadded and self.padded_output != "zero":
                return self._other_at_padding(allowance, tried)
            return replace(
                self.explanation("agrees", answer.comparison),
                tried=1,
                unseen=self._unseen(self.neighbours(())[1], (), allowance),
                remarks=tuple(self._remarks(answer, allowance)),
            )
        distinct = {frozenset(answer.changes): answer for answer in reversed(answers)}
        answer, *others = sorted(
            distinct.values(),
            key=lambda a: (*rank(a.changes, self.how), a.comparison.worst),
        )
        changes = answer.changes
        how = self.how.behaviour
        first = None
        every = (*self.changes, *changes)
        proof, near = self._proof(answer, others, allowance, tried)
        backward = how.reverse != how.flip_output
        if (
            not self.changes
            and self.simulator.is_stepwise
            and self.simulator.starts_from_zero
        ):
            first = first_shown(self.verify((), allowance), backward)
        state = forget_gate_state(changes, lambda other: self.verify(other, allowance))
        senses = {"dtype": answer.rounded, "forget_bias": state}
        fitting = [
            {c for c in a.changes if c.setting != "dtype"} for a in (answer, *others)
        ]
        rest = [
            one
            for one in self.nearest()
            if not (
                one.comparison.fits or any(f <= {*one.changes} for f in fitting if f)
            )
        ]
        verdict = "found" if proof >= ENOUGH else "unproven"
        found = self.explanation(verdict, answer.comparison, changes)
        return replace(
            found,
            changes=tuple(
                replace(c, sense=senses.get(c.setting) or c.sense)
                for c in found.changes
            ),
            equivalent=tuple(self.described(other.changes) for other in others),
            tried=tried,
            nearest=tuple(map(self.near, rest[:1])),
            like=tuple(conventions_that_run(every, self.how, self.setup.layout)),
            first_step=first,
            backward=backward,
            unseen=self._unseen(near, changes, allowance),
            remarks=tuple(self._remarks(answer, allowance)),
            evidence=proof,
        )

    @property
    def padded_output(self) -> str:
        """The h that the convention has at padded steps: zero, which fills up, repeat or run."""
        last = self.model.layers[-1]
        is_masked = self.question.inputs.mask is not None
        return padding_rule(last[0], is_masked, len(last) == 2)

    def _other_at_padding(self, allowance: Allowance, tried: int) -> Explanation:
        """The explanation that EXPECTED differs at padded steps only."""
        every_step = Placement(self.setup, self.location, self.of_run)
        loaded = every_step.verify((), allowance)
        explanation = every_step.explanation("none", loaded)
        differ = remark("padded_steps_differ", ending=self.padded_output)
        return replace(explanation, tried=tried, depth=1, remarks=(differ,))

    def of_cells(self, changed: Sequence[Changed]) -> Changes:
        """Changes of an answer here, without those of the placement."""
        return tuple(one for one in plain_of(changed) if one not in self.changes)

    def _remarks(self, answer: Answer, allowance: Allowance) -> Remarks:
        q = self.question
        if answer.solved:
            yield remark("solved_number")
        part = answer.rounded
        changes = *self.of_run, *answer.changes
        if part:
            yield remark("half_precision_run", part=part, dtype=allowance.name)
        rounded = settings_of(changes).get("dtype")
        again = rerun(self.case, changes, allowance)
        error = again.max_abs
        if rounded and error > 2 * q.exactness.allowances[-1].absolute:
            run = "float64" if q.dtype in EPS else q.dtype
            yield remark(
                "dtype_rounds_otherwise",
                run=run,
                dtype=rounded,
                error=error,
                part=part,
            )
        if not (rounded or again.fits):
            dtype = q.read({}).given.get("dtype", q.dtype)
            yield remark("needs_float64", dtype=dtype, error=error)
        if allowance.stored:
            yield remark("stored_as", dtype=allowance.stored)
        elif allowance in q.exactness.allowances[1:]:
            yield remark("agrees_as_float32")
        if self.unpadded:
            yield remark("past_ends")
        if self.lengths and q.inputs.lengths is not None:
            given = np.ravel(q.inputs.lengths)
            more = self.lengths - given
            if sorted(self.lengths) == sorted(given):
                yield remark("lengths_reordered")
            elif more.min() >= 0:
                yield remark("longer", steps=np.unique(more[more > 0]).tolist())
        comparison = answer.comparison
        if comparison.blind:
            yield remark("chaotic", growth=comparison.growth, numbers=comparison.blind)
        elif comparison.growth > 10:
            yield remark("rounding_grows", growth=comparison.growth)

    def explanation(
        self, verdict: str, measured: Agreement, changes: Changes = ()
    ) -> Explanation:
        """An explanation with the settings of a run, and what EXPECTED is."""
        every = (*self.changes, *changes) if verdict in ("found", "unproven") else ()
        given = {
            c.setting: c.value for c in every if c.setting != "array"
        }  # that is a member
        settings = settings_to_load(self.model, given)
        return Explanation(
            verdict,
            {k: [*v] if isinstance(v, tuple) else v for k, v in settings.items()},
            self.described(changes) if every else (),
            measured,
            tried=self.tried,
            depth=self.depth,
            location=self.location,
            expected=self.expected,
            not_finite=self._not_finite(changes),
            precision=self.question.exactness.name,
            digits=self.question.exactness.digits,
        )

    def _not_finite(self, changes: Changes) -> Agreement | None:
        """How a run agrees where EXPECTED is NaN or infinite; None: nowhere."""
        marked = self._on_run(self.setup.named(self.question.not_finite))
        if not marked.numbers:
            return None
        run = arrays_if_run(self.case, settings_of((*self.of_run, *changes)))
        of_run = {
            n: 1.0 - np.isfinite(run.get(n, one.half))
            for n, one in marked.arrays.items()
        }
        return compared(of_run, marked, SINGLE)

    def _proof(
        self,
        answer: Answer,
        others: Sequence[Answer],
        allowance: Allowance,
        tried: int,
    ) -> tuple[float, list[Changes]]:
        plain = tuple(change for change in answer.changes if change.setting != "dtype")
        spread, near = self.neighbours(plain)
        ends = sum(n < self.setup.size[0] for n in self.lengths)
        settings = kinds(answer.changes)
        found = digits(spread, answer.solved + bool(ends), tried)  # of one sequence
        if answer.rounded:
            numbers = self.expected.distinct(self.allowance)
            is_shown = numbers > len(answer.changes) + answer.solved + LEAST_MOVED
        elif self.changes and not answer.changes:
            is_shown = self.expected.distinct(allowance) >= FEWEST_NUMBERS + ends
            found = ENOUGH
        else:  # too few numbers are moved, or another mechanism fits too
            changes = (
                () if self.changes else answer.changes
            )  # then all are other numbers
            numbers = moved(self.case, changes, allowance)
            least = len(settings) + MOVED_BY_SOLVED * answer.solved + ends
            is_shown = numbers > least
            is_shown &= not (
                answer.solved and any(kinds(a.changes) != settings for a in others)
            )
        return found if is_shown else min(found, 0.0), near

    def _unseen(
        self,
        near: Sequence[Changes],
        answer: Changes,
        allowance: Allowance,
    ) -> tuple[str, ...]:
        of_run = () if self.changes else self.setup.changes_of_run(self.location)
        given = [one for one in of_run if one.setting in ("initial_state", "lengths")]
        found, changed = list[str](), {change.setting for change in answer}
        last = ((changes, changes[-1].setting) for changes in near)
        of_cells = (
            one
            for one in last
            if "." not in one[1] and one[1] not in {*changed, *found}
        )
        of_given = (((*answer, one), one.setting) for one in given)
        for changes, setting in chain(islice(of_cells, 3 * Budget.FEW), of_given):
            if setting not in found and self.verify(changes, allowance).fits:
                found.append(setting)
        return tuple(found)

    def nearest(self) -> list[Answer]:
        """The nearest single changes, or none."""
        order = np.argsort(self.distances[:-1], kind="stable")[: Budget.FEW]
        best = map(self.singles.of, order[:, None])
        answers = [Answer(c, self.verify(c)) for c in ((), *best)]
        ranked = sorted(
            answers, key=lambda a: a.comparison.rms * 1.5 ** len(kinds(a.changes))
        )
        return ranked[: Budget.FEW]

    def near(self, answer: Answer) -> NearRun:
        """A hypothesis that comes near."""
        return NearRun(self.described(answer.changes), answer.comparison)

    def described(self, changes: Changes) -> tuple[Changed, ...]:
        """The changes here with what was assumed."""
        return with_assumed((*self.changes, *changes), self.setup.assumed)


def digits(spread: Array, solved: int, tried: int) -> float:
    """The evidence: digits by which EXPECTED distinguishes hypotheses, less their cost.

    ``spread`` (N, E) is what the neighbours of an answer give, in tolerances. Its singular values,
    centred, tell in how many directions they differ, and how well: repeated steps, saturated gates
    and zeros count for nothing. A ``solved`` constant takes a direction; ``tried`` counts
    hypotheses.
    """
    if not spread.size:
        return -np.inf
    centred = spread - spread.mean(axis=0)
    small = (
        centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    )
    squares = np.sort(np.maximum(np.linalg.eigvalsh(small), 0))[::-1]
    sizes = np.sqrt(squares / len(spread))[solved:]
    return float(np.log10(np.maximum(1, sizes)).sum() - np.log10(max(tried, 1)))
