"""Find which settings make the weights give the expected outputs.

`explain` answers a `Question` by an `Explanation`. The search of all models:

    for total in 1, 2, 3:
        for each placement of EXPECTED worth it:
            the answers of (total - those of the placement) changes of the cells
        stop at the first total with answers
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain, product
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.operand import ArrayName
from lstmcli.core.explain import execution, lengths
from lstmcli.core.explain.approximation import approximated
from lstmcli.core.explain.budget import Budget, Progress, quiet
from lstmcli.core.explain.causes import Change, kinds, settings_of
from lstmcli.core.explain.edited_runs import NamedEdits
from lstmcli.core.explain.edits import (
    FEW_NUMBERS,
    edits_of_head,
    equal_edits,
    has_rival,
    named_edits,
    rivals,
)
from lstmcli.core.explain.explanation import (
    BY_BUDGET,
    NOT_SEARCHED,
    RUN_OTHERWISE,
    Explanation,
    agreement,
    clearly_nearer,
    clues,
    edits_changed,
    first_shown,
    near_miss,
    plain_of,
    remarks_of,
    wanted,
)
from lstmcli.core.explain.hypotheses import prior
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.observation import Allowance, is_printed
from lstmcli.core.explain.placement import FIRST, LAST, SECOND, Placement
from lstmcli.core.explain.question import (
    Question,
    as_outputs,
    in_shape,
    left_out,
)
from lstmcli.core.explain.verify import (
    A_FEW,
    Answer,
    Case,
    Remark,
    Remarks,
    arrays_if_run,
    compared,
    remark,
)
from lstmcli.core.explain.wording import in_words, location_text
from lstmcli.core.forward.equations import is_eight_bit
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_in_memory
from lstmcli.errors import UserError
from lstmcli.threads import one_thread

LATER_LOCATION = 0.1  # cost of each further location on a run
OTHER_RUN = 3.0  # cost of a placement that changes the run


class Found(NamedTuple):
    """The answers at a placement, at a tolerance of EXPECTED."""

    placement: Placement
    answers: list[Answer]
    allowance: Allowance


class Search:
    """EXPECTED in one shape: its placements, and the fewest changes in any."""

    def __init__(self, question: Question) -> None:
        self.question, self.work = question, question.work
        located = [(setup, *setup.located()) for setup in question.setups()]
        self.left_out = sum(left_out for *_, left_out in located)  # locations
        each = (
            (
                one.location.cost + LATER_LOCATION * nth + OTHER_RUN * bool(one.count),
                one,
            )
            for setup, several, _ in located
            for nth, at in enumerate(several)
            for one in lengths.placements(setup, at)
        )
        self.placements = [one for _, one in sorted(each, key=lambda row: row[0])]
        if not self.placements:
            raise question.no_place()
        self.as_loaded = [one for one in self.placements if not one.count]
        self.likely = self.as_loaded or self.placements

    @property
    def tried(self) -> int:
        """How many hypotheses were listed."""
        return 1 + sum(one.tried for one in self.placements)

    def found_by(self, total: int) -> list[Found]:
        """The answers of this many changes, at the least tolerance that any meets."""
        found: list[Found] = []
        for is_open, turn in product((False, True), (FIRST, SECOND, LAST)):
            found = found or self._answers(total, turn, is_open)
        for tight in self.question.exactness.allowances[:-1]:
            exact = (
                Found(
                    one,
                    [a for a in answers if one.verify(a.changes, tight).fits],
                    tight,
                )
                for one, answers, _ in found
            )
            found = [one for one in exact if one.answers] or found
        return found

    def _answers(self, total: int, turn: int, is_open: bool) -> list[Found]:
        """The answers of this many changes, those with the fewest of the cells first.

        The likeliest placement is always searched, the likeliest and nearest of a turn up to
        `NEAR`. Likely ones of more changes keep some work.
        """
        found = []
        for size in range(total + 1):
            likely = Budget.LIKELY // 6 ** max(0, size - 1)
            for n, one in enumerate(self._with(total - size, turn)):
                is_near = n < 2 and self.work.left(Budget.NEAR)
                is_first = one is self.placements[0] or is_near
                is_likely = is_first or n < likely
                part = 0.4 * max(1, total) if is_likely else 0.3 + 0.1 * total
                room = self.work.left(part)
                if (is_first or room) and (answers := one.answers(size, room, is_open)):
                    found += [
                        Found(*placed, one.allowance) for placed in one.placed(answers)
                    ]
                    if not total:  # as loaded, the likeliest is enough
                        return found
        return found

    def _with(self, changes: int, turn: int) -> list[Placement]:
        """The placements of a turn with this many changes: the likeliest and the nearest by turns.

        The right one need not be near, but hardly any is by chance.
        """
        some = [p for p in self.placements if (p.turn, p.count) == (turn, changes)]
        nearest = sorted((p for p in some if p.depth), key=lambda p: p.distances.min())
        by_turns = chain(*zip(some, nearest, strict=False))
        return [*dict.fromkeys((*by_turns, *some))]

    def likeliest(self, found: Sequence[Found]) -> Explanation:
        """The likeliest of answers; the others are its equals.

        A remark names those that take EXPECTED as another part of the run.
        """
        each = [(one, one.proved(answers, a, self.tried)) for one, answers, a in found]
        (placement, first), *others = sorted(each, key=lambda one: _rank(*one))
        if first.verdict == "none":  # only padded steps differ
            return first
        explanations = [first, *(other for _, other in others)]
        elsewhere = [
            remark("placed_elsewhere", changes=other.changes, location=other.location)
            for other in explanations
            if {*plain_of(other.changes)} != {*plain_of(first.changes)}
            and location_text(other.location) != location_text(first.location)
        ]
        listed = chain(*((one.changes, *one.equivalent) for one in explanations))
        _, *equals = {frozenset(plain_of(one)): one for one in listed}.values()
        edits = [*equal_edits(placement, first.changes)]
        is_solved = any(one.code == "solved_number" for one in first.remarks)
        is_few = first.found and placement.expected.numbers <= FEW_NUMBERS
        if first.changes and self.as_loaded and (is_solved or is_few):
            loaded = self.as_loaded[0]
            fitting = [*rivals(loaded, placement, first.changes, is_solved)]
            edits += [one for one in fitting if one not in edits]
            if fitting:
                first = replace(first, verdict="unproven")
        return replace(
            first,
            equivalent=(*equals, *edits),
            remarks=(*first.remarks, *elsewhere),
            wanted=wanted(
                placement.case, first.unseen, equals, first.found, bool(elsewhere)
            ),
        )

    @cached_property
    def on_other_layout(self) -> Placement | None:
        """EXPECTED on the other layout, if as loaded step 0 of sequence 0 agrees alone."""
        others = [p for p in self.placements if kinds(p.changes) == {"layout"}]
        if not (self.as_loaded and others):
            return None
        one, loaded = self.as_loaded[0], self.as_loaded[0].verify(())
        is_first = np.zeros(one.setup.size, bool)
        is_first[0, 0] = True
        given, expected = arrays_if_run(one.case, {}), one.expected.at(is_first)
        first = compared(given, expected, one.allowance)
        is_alone = loaded.agreeing <= first.total + A_FEW * loaded.total
        if not (first.total and first.fits and is_alone):
            return None
        is_nearer = others[0].verify(()).agreeing > loaded.agreeing
        return others[0] if is_nearer else None

    @cached_property
    def said_last(self) -> list[Remark]:
        """The remarks of the passes on the network as loaded."""
        passes = (one.remark for one in PASSES if one.remark is not None)
        cases = [one.case for one in self.as_loaded[:1]]
        return [
            hint
            for tell in passes
            for case in cases
            for hint in tell(self.question, case)
        ]

    def none(self) -> Explanation:
        """Nothing fits: the nearest in the likeliest placement."""
        one = min(self.likely, key=lambda p: (p.count, bool(p.setup.part)))
        question, said = self.question, self.said_last
        loaded, answers = one.verify(()), one.nearest()
        if fitting := [a for a in answers if a.changes and a.comparison.fits]:
            return self.likeliest([Found(one, fitting, one.allowance)])  # in 8 bits
        as_loaded, *nears = map(one.near, (Answer((), loaded), *answers))
        nearest = clearly_nearer(as_loaded, nears)
        best, layout = nearest[0], question.assumed_layout
        near = [*execution.remark_of_size(one.case, loaded, question.exactness)]
        if not near and not said:
            near = list(near_miss(as_loaded, nears))
        if any(not hint.facts.get("changes") for hint in near):  # as loaded
            near.extend(approximated(one.case))
        hints = said or [*lengths.shown(self.placements)]
        if not near:
            hints = hints or [*clues(loaded, padded=one.padded_sequences)]
            hints = hints or [*clues(best.comparison, best.changes)]
        if self.on_other_layout is not None:
            other = self.on_other_layout.setup.layout
            near, hints = [remark("layout_shown", layout=other)], []
        elif layout != "steps" and question.inputs.layout is None and not near:
            hints = [*hints, remark("layout_assumed", layout=layout)]
        untried = (*NOT_SEARCHED, *self._left_out(one))
        if not hints and any(left.code in BY_BUDGET for left in untried):
            is_open = any(lengths.UNKNOWN in each.of_run for each in self.placements)
            is_open &= not question.inputs.is_padded
            more = self.work.times > 1
            hints = [remark("budget_ended", changes=best.changes, thorough=more)]
            hints += [remark("lengths_unknown")] * is_open
        assumed = question.model.behaviour.merge
        merge = settings_of(one.setup.of_directions).get("merge", assumed)
        is_merged = merge != assumed and not self.as_loaded
        merged = [remark("not_merged_so", assumed=assumed, merge=merge)] * is_merged
        explanation = replace(
            one.explanation("none", loaded),
            tried=self.tried,
            depth=max((p.depth for p in self.placements), default=0),
            nearest=nearest,
            remarks=(*(() if said else agreement(loaded)), *merged, *near, *hints),
            untried=untried,
        )
        if any(hint.code == "other_units" for hint in said):  # not the first ones
            untried = tuple(left for left in untried if left.code != "units")
            nowhere = replace(explanation, location=None, expected=None, measured=None)
            return replace(nowhere, nearest=(), untried=untried)
        return explanation

    def _left_out(self, one: Placement) -> Remarks:
        depths = [each.depth for each in self.likely]
        for size, code in (
            (3, "triples_placed"),
            (2, "pairs_placed"),
            (1, "singles_placed"),
        ):
            left = sum(depth < size for depth in depths)
            if left and size <= max(depths):
                yield remark(code, left=left, placements=len(depths))
        yield from one.untried
        for is_beside, names in self.work.edits.left_out:
            code = "edits_left_beside" if is_beside else "edits_left"
            yield remark(code, tried=self.work.variants, left=names)
        if self.left_out:
            yield remark("windows", left=self.left_out)
        if not (units := one.location.first.units).is_all:
            yield remark("units", first=units.size)

    def by_edits(self, found: Sequence[NamedEdits]) -> Explanation:
        """The explanation of the likeliest of edits; the others are its equals."""
        first, *others = found
        runs, given = first.runs, first.variant.edits
        at = next(one for one in self.placements if one.case is runs.case)
        verdict = "unproven" if has_rival(first, others) else "found"
        explanation = at.explanation(verdict, first.agreement, runs.changes)
        backward = runs.model.backward
        line = "; ".join(dict.fromkeys(edit.code for edit in given))
        mend = "; ".join(dict.fromkeys(edit.kind.mend for edit in given))
        arrays = {edit.file: edit.value for edit in given if edit.file}
        remarks = []
        if given:
            remarks.append(remark("edit_code", line=line, mend=mend))
        is_solved = any(edit.kind.solved is not None for edit in given)
        if first.variant.solved and is_solved:
            remarks.append(remark("solved_number"))
        return replace(
            explanation,
            changes=(*edits_changed(given), *explanation.changes),
            edits=tuple(edit.text for edit in given),
            arrays=arrays,
            equivalent=tuple(
                edits_changed(n.variant.edits) for n in others[: 3 * Budget.FEW]
            ),
            tried=self.tried + self.work.variants,
            first_step=None if backward else first_shown(at.verify(()), False),
            backward=backward,
            evidence=first.bits,
            remarks=tuple(remarks),
        )


class Pass(NamedTuple):
    """One thing to try where the run as loaded is not EXPECTED."""

    name: str
    search: Callable[[Search], Sequence[Found]] | None = None  # for EXPECTED
    remark: Callable[[Question, Case], Remarks] | None = None  # where nothing gives it


def half_precision(search: Search) -> list[Found]:
    """The weights, inputs or all of it rounded, as loaded or with one change.

    A change is searched where a first step is known, at the tolerance of the format. The nearest
    have to give EXPECTED with a part rounded.
    """
    likely = [p for p in search.placements if p.count < 2 and p.turn == SECOND]
    for half, one in product(search.question.exactness.coarse, likely):
        if one is not likely[0] and not search.work.left(0.5):
            continue
        may_change = not one.changes and one.simulator.is_stepwise
        if not may_change and one.verify(()).max_abs > half.absolute:
            continue
        allowance = execution.tolerance(one.case, one.of_run, half)
        at = Placement(one.setup, one.location, one.of_run, allowance=allowance)
        found = at.answers(0, 0) or (
            at.answers(1, search.work.left()) if may_change else []
        )
        one.tried += at.tried
        nearest = sorted(found, key=lambda a: a.comparison.rms)[: Budget.FEW]
        answers = [
            Answer((*a.changes, Change("dtype", half.name)), comparison, a.solved, part)
            for a in nearest
            for run in [(one.case, (*one.of_run, *a.changes), half.name, one.allowance)]
            for part, comparison in execution.rounded_run(*run)
        ]
        if answers:
            return [Found(one, answers, allowance)]
    return []


PASSES = (
    Pass("one change", partial(Search.found_by, total=1)),
    Pass("two changes", partial(Search.found_by, total=2)),
    Pass("half precision", half_precision),
    Pass("three changes", partial(Search.found_by, total=3)),
    Pass("execution", remark=execution.how_run),
    Pass("arrangement", remark=execution.rearranged),
)
"""In order, where the run as loaded is not EXPECTED."""


def explain(question: Question, progress: Progress = quiet) -> Explanation:
    """Find the settings with which the weights give EXPECTED."""
    question.work.progress = progress
    question.work.add(0)  # shows what is tried first
    # Wrong hypotheses may overflow. Products are so small that threads of BLAS would wait.
    with np.errstate(all="ignore"), one_thread():
        if question.model.edits:  # refused at once where these do not fit the run
            run_in_memory(prepare(question.model, question.inputs))
        shapes = _shaped(question)
        searches = []
        for shaped in shapes:
            with (
                suppress(UserError) if shapes[1:] else nullcontext()
            ):  # no run gives that shape
                searches.append(Search(shaped))
        if searches[1:]:
            searches.sort(key=lambda search: not search.found_by(0))
        explanations = map(_in_shape, searches)
        first = next(explanations, None)
        if first is None:
            raise shapes[0].no_place()
        others = (one for one in explanations if one.verdict != "none")
        return next(others, first) if first.verdict == "none" else first


def _shaped(question: Question) -> list[Question]:
    """EXPECTED as what it may be, in each of its shapes; UserError if there is none."""
    shapes: list[Question] = []
    refused = None
    for one in as_outputs(question):
        one.work.progress = question.work.progress
        try:
            shapes.extend(in_shape(one))
        except UserError as error:
            refused = error
    if refused is not None and not shapes:
        raise refused
    return shapes


def _in_shape(search: Search) -> Explanation:
    question, explanation = search.question, _by_passes(search)
    about = (*left_out(question), *_about_expected(question, explanation))
    is_traced = len({ArrayName.of(name).prefix for name in question.arrays} - {""}) > 1
    cells = [name for name, _ in question.model.cells] if is_traced else []
    answered = remarks_of(explanation, cells)
    explanation = replace(
        explanation, remarks=(*about, *explanation.remarks, *answered)
    )
    if explanation.found and any(one.code == "not_finite" for one in about):
        explanation = replace(explanation, verdict="not_finite")
    return in_words(explanation, question.model.convention)


def _by_passes(search: Search) -> Explanation:
    work, numbers = search.work, search.question.arrays.values()
    if agreeing := search.found_by(0):
        return search.likeliest(agreeing)
    if not any(np.any(n.values[np.isfinite(n.values)]) for n in numbers):
        explanation = search.likely[0].explanation("none", search.likely[0].verify(()))
        return replace(explanation, remarks=(remark("all_zero"),))
    if named := edits_of_head(search.likely[: Budget.FEW // 2]):
        return search.by_edits(named)
    for name, find, _ in PASSES:
        work.what = name
        if find and (found := find(search)):
            return search.likeliest(found)
    work.what = work.edits.what = "edits"
    work.edits.progress = work.progress
    likely = search.likely[: Budget.FEW // 2]
    if search.on_other_layout is not None:
        likely = [search.on_other_layout, *likely[:1]]
    named = named_edits(likely)
    # another way of running them tells more than many solved numbers
    by_file = any(edit.file for one in named[:1] for edit in one.variant.edits)
    said = search.said_last if by_file else []
    if not named or any(
        r.code in RUN_OTHERWISE and r.facts.get("complete", True) for r in said
    ):
        return search.none()
    return search.by_edits(named)


def _rank(at: Placement, one: Explanation) -> tuple[bool, bool, bool, float]:
    changes = plain_of(one.changes)
    coarse = "dtype" in kinds(changes)
    # of one sequence, other axes are the same run as a state that is reset, and likelier
    is_other = "layout" in kinds(changes) and at.setup.size[0] == 1
    return one.verdict != "found", coarse, not is_other, sum(map(prior, changes))


def _about_expected(question: Question, explanation: Explanation) -> Remarks:
    if said := question.side.renaming:
        yield remark("array_taken", said=said)
    digits = question.exactness.digits
    if digits is not None and not is_printed(question.side.units.values()):
        yield remark("taken_as_printed", digits=digits)
    if question.undecided:
        yield remark("undecided", settings=question.undecided)
    location, arrays = explanation.location, question.arrays
    if location:
        yield from _taken_so(question, location, explanation.verdict)
    if (broken := explanation.not_finite) and not broken.fits:
        values = np.concatenate([n.values.ravel() for n in arrays.values()])
        yield remark(
            "not_finite",
            count=broken.total - broken.agreeing,
            total=broken.total + int(np.isfinite(values).sum()),
            steps=[agrees is False for agrees in broken.steps],
            kind="NaN or infinite" if np.isinf(values).any() else "NaN",
        )
    located = location.arrays if location else ()
    compared = {one.name if one.name in arrays else "h" for one in located}
    others = {name or "h": None for name in (*arrays, *question.side.arrays)}
    if compared and (names := [name for name in others if name not in compared]):
        yield remark("not_compared", names=names)
    cells = [cell for _, cell in question.model.cells]
    if explanation.verdict != "agrees" and any(map(is_eight_bit, cells)):
        yield remark("searched_in_float")


def _taken_so(question: Question, location: Location, verdict: str) -> Remarks:
    for one in location.arrays:
        at = one.at  # a part of the network has another name
        given = question.arrays.get(
            one.name, next(iter(question.arrays.values()))
        ).shape
        run = tuple(at.run.lengths[axis] for axis in at.run.axes)
        is_exchanged = given[:-1] == run[-2::-1] != run[:-1] and verdict != "none"
        codes = {
            "taken_as_gates": location.are_gates,
            "taken_in_a_row": at.in_a_row and at.order == "C",
            "taken_by_columns": at.in_a_row,
            "directions_joined": "d" in at.axes
            and at.run.stacked is None
            and not one.is_state,
            "axes_exchanged": is_exchanged and not one.is_state,
        }
        for code in [code for code, is_so in codes.items() if is_so][:1]:
            yield remark(
                code,
                given=given,
                run=run,
                shape=at.shape if at.in_a_row else run,
            )
    # last states of two directions side by side may be the last step of h
    (*_, (name, _)), layer = question.model.cells, question.model.layers[-1]
    widths = {array.shape[-1] for array in question.side.arrays.values()}
    joined = len(layer) == 2 and widths == {sum(cell.outputs for cell in layer)}
    if joined and location.state.startswith("the last state"):
        yield remark("may_be_one_step", cell=name)
