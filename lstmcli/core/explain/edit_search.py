"""The stages of the search for edits, and the runs that have them.

The first stage with answers ends it. All stages are tried alone, then next to a change of a
setting, then at other placements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.explain.attempt import Attempt
from lstmcli.core.explain.causes import SOLVE, Change, Changes
from lstmcli.core.explain.edit_answers import answer_of, bits_of, fitting
from lstmcli.core.explain.edited_runs import EditedRuns
from lstmcli.core.explain.edits import (
    Tries,
    damage,
    numbers,
    outputs,
    restarts,
    rows_and_columns,
    solutions_of_each,
    state,
    table,
    table_of_each,
    table_of_head,
    table_of_layers,
)
from lstmcli.core.explain.explanation import Changed, edits_changed, plain_of
from lstmcli.core.explain.hypotheses import prior
from lstmcli.core.explain.observation import Arrays
from lstmcli.core.explain.pairs import pairs
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.schedules import schedules
from lstmcli.core.explain.tries import Answer, Try
from lstmcli.core.model.edits import EDITS, HIDES, Edit, RunSizes
from lstmcli.errors import UserError

CLIPS = ("cell_clip", "projection_clip")
ONE_SIDED = (
    "equations.c_top",
    "equations.c_bottom",
    "equations.h_top",
    "equations.h_bottom",
)


class Stage(NamedTuple):
    """One thing to try: its tries, and what is named where the budget left it out."""

    tries: Callable[[EditedRuns], Tries]
    words: str
    # they are of the table, and cost nothing before they are run
    is_listed: bool = False
    of_each: bool = False  # they are of one cell of several


OF_LAYERS = Stage(table_of_layers, "layers and directions together")
OF_SCHEDULE = Stage(schedules, "when the state advances")

STAGES = (
    Stage(restarts, "initial states again"),
    OF_SCHEDULE,
    Stage(table, "all cells", is_listed=True),
    Stage(numbers, "statistics of the data, and numbers that are solved for"),
    Stage(outputs, "layers after h"),
    Stage(damage, "damaged numbers"),
    Stage(table_of_each, "single cells", is_listed=True, of_each=True),
    Stage(solutions_of_each, "numbers of single cells", of_each=True),
    Stage(pairs, "two gates"),
    Stage(state, "another initial state"),
    Stage(rows_and_columns, "rows and columns"),
)
"""The stages of the search, in order; the first with an answer ends it."""

OF_HEAD = Stage(table_of_head, "the head", is_listed=True)

ALONE, BESIDE, ELSEWHERE = "as loaded", "next to a change", "at other placements"
WHERES = ALONE, BESIDE, ELSEWHERE
"""The runs that have edits, in order: each has all stages before the next."""

SAME_WITHIN = 3e-4  # a difference of two runs that rounding may make
FEW_NUMBERS = 40  # of EXPECTED, up to which any other fit leaves an answer open
OF_A_PLACE = 16  # values of an edit in the place of a change: later ones are tables
# values of a setting, and changes, next to edits
OF_A_KIND, MOST_BESIDE = 2, 18
# of the work: edits by themselves, where most need a full run, as of two directions; all of it
# left none for those next to a change, of which 0 of 13 were found
ALONE_OF_HEAD = 0.2
FOR_FIRST = 0.85  # of the work: the rest is for less likely placements
FOR_OFTEN = 0.5  # of the work: the first edits next to each change; 450 of two directions need 0.25
OTHER_SCALE, OTHER_OFFSET = 1.5, 0.3  # of the inputs on which two runs may differ
SHORT_DIGITS = 2  # of a number that a person may have chosen


class EditSearch:
    """The runs of which edits are tried, each of all stages: those of the likeliest come first.

    Placements of the same numbers are one.
    """

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._likeliest = attempts[0]
        distinct: dict[bytes, EditedRuns] = {}
        for attempt in reversed(attempts):
            runs = EditedRuns(attempt.placement)
            off = runs.off(runs.base)
            if bits_of(runs, off, 0) > 0:  # enough are off
                distinct[off.tobytes()] = runs
        self._runs = list(distinct.values())[::-1]  # the likeliest first
        self._ended: set[str] = set()  # where the budget ended

    def found_by(self, stage: Stage, where: str) -> list[Answer]:
        """The edits of a stage that give EXPECTED, in one of `WHERES`."""
        runs, part = self._runs_and_part(where)
        if where in self._ended or not runs:
            return []
        answers = _found_by_stage(stage, runs, part)
        if answers is None:
            self._ended.add(where)
        return answers or []

    def _runs_and_part(self, where: str) -> tuple[list[EditedRuns], float]:
        """The runs, and the part of the work that they may take."""
        if where == ALONE:
            is_of_head = bool(self._runs) and self._runs[0].is_of_head
            return self._runs[:1], ALONE_OF_HEAD if is_of_head else 1.0
        if where == BESIDE:
            return self._next_to_changes, FOR_FIRST
        return self._runs[1:], 1.0

    @cached_property
    def _next_to_changes(self) -> list[EditedRuns]:
        """The likeliest runs next to each of the usual changes."""
        changed: list[EditedRuns] = []
        if not self._runs:
            return changed
        first = self._runs[0]
        if not first.work.left(FOR_FIRST):  # each takes the memory of a model
            return changed
        for changes in _usual_changes(self._likeliest):
            with suppress(UserError):
                changed.append(EditedRuns(first.placement, changes))
        return changed


def edits_of_head(attempts: Sequence[Attempt]) -> list[Answer]:
    """The edits of the head that give EXPECTED, with the h as loaded.

    They come before two changes: steps of the head are often equal to these.
    """
    runs = []
    for attempt in attempts:
        if attempt.placement.expected.is_of_head:
            runs.append(EditedRuns(attempt.placement))  # which reads the model
    return _found_by_stage(OF_HEAD, runs, 1.0) or []


def edits_of_order(attempts: Sequence[Attempt]) -> list[Answer]:
    """The edits of when the state advances, and of how layers are run together.

    They are of cells as loaded and cost little, so they come before two changes.
    """
    runs = [EditedRuns(attempt.placement) for attempt in attempts]
    answers = _found_by_stage(OF_SCHEDULE, runs, 1.0)
    return answers or _found_by_stage(OF_LAYERS, runs, 1.0) or []


OFTEN_LATE = (
    Edit("inputs.late", 1),
    Edit("inputs.early", 1),
    Edit("inputs.rolled", 1),
    Edit("inputs.rolled", -1),
)
"""The inputs a step late or early."""
OFTEN_CARRIED = Edit("state.previous")


def edits_often_beside(attempts: Sequence[Attempt]) -> list[Answer]:
    """The edits that are needed most often, next to any single change, of the output of a head.

    Its steps show less than h, so that the turns of the table end before they reach these.
    """
    for placement, changes in _single_changes(attempts):
        if not placement.case.work.edits.left(FOR_OFTEN):
            return []
        runs = EditedRuns(placement, changes)
        tries = [runs.hypothesis(edit) for edit in (*OFTEN_LATE, OFTEN_CARRIED)]
        if not changes and not placement.count:
            tries = [runs.hypothesis(edit, OFTEN_CARRIED) for edit in OFTEN_LATE]
        answers = [answer_of(runs, one) for one in tries]
        found = [answer for answer in answers if answer is not None]
        if found:
            return _without_more_numbers(sorted(found, key=_rank))
    return []


def _single_changes(
    attempts: Sequence[Attempt],
) -> Iterator[tuple[Placement, Changes]]:
    """The placements of the output of a head with at most one change, then changes of cells."""
    placements = []
    for attempt in attempts:
        placement = attempt.placement
        if placement.expected.is_of_head and placement.count < 2:
            placements.append(placement)
    for placement in placements:
        yield placement, ()
    as_loaded = [one for one in placements if not one.count]
    for placement in as_loaded[:1]:
        known = [one for one in placement.singles.changes if one[0].value != SOLVE]
        for changes in sorted(known, key=lambda one: prior(*one)):
            yield placement, changes


def _found_by_stage(
    stage: Stage, runs: Sequence[EditedRuns], part: float
) -> list[Answer] | None:
    """The edits that give EXPECTED in the first runs in which any does; None: work ended.

    Of the output of a head, the runs have turns until one is found: their
    steps show less, so each try takes longer.
    """
    waiting = deque((one, stage.tries(one)) for one in runs)
    answers: list[Answer] = []
    while waiting:
        one, tries = waiting.popleft()
        hypothesis = next(tries, None) if one.work.left(part) else None
        if hypothesis is not None:
            answer = answer_of(one, hypothesis)
            if answer is not None:
                answers.append(answer)
            if one.is_of_head and not answers:
                waiting.append((one, tries))
            else:
                waiting.appendleft((one, tries))
        elif answers:
            return _without_more_numbers(sorted(answers, key=_rank))
        elif not one.work.left(part):
            left = _left_out(one, stage, tries)
            one.work.left_out.append((bool(one.changes), left))
            return None
    return []


def _left_out(runs: EditedRuns, stage: Stage, tries: Tries) -> list[str]:
    """The names of what the budget left out: families of its last stage, and later stages."""
    left = [stage.words]
    if stage.is_listed:  # by turns: the next ones have each family that is left
        some = islice(tries, len(HIDES))
        families = dict.fromkeys(one.edits[0].kind.family for one in some if one.edits)
        left = [f"further {family}" for family in families]
    several = len(runs.model.cells) > 1
    later = STAGES[STAGES.index(stage) + 1 :] if stage in STAGES else STAGES
    left.extend(one.words for one in later if several or not one.of_each)
    return left


def _without_more_numbers(answers: Sequence[Answer]) -> list[Answer]:
    """The edits with no more solved numbers than are needed, or one; the shortest of each kind."""
    most = max(1, answers[0].hypothesis.solved)
    by_kind: dict[Any, Answer] = {}
    for answer in answers:
        edits, solved = answer.hypothesis.edits, answer.hypothesis.solved
        if solved > most:
            continue
        alike = tuple(edit.text for edit in edits)
        if solved and all(edit.kind.solved is not None for edit in edits):
            alike = tuple(f"{edit.cell} {edit.name}" for edit in edits)
        by_kind.setdefault(alike, answer)
    return list(by_kind.values())


def _rank(answer: Answer) -> tuple[int, int, int]:
    """Fewest solved numbers and edits first, then as in the table."""
    edits = answer.hypothesis.edits
    names = list(EDITS)
    place = min((names.index(edit.name) for edit in edits), default=0)
    return answer.hypothesis.solved, len(edits), place


# ---- edits that fit as well as settings


def equal_edits(
    placement: Placement,
    changed: Sequence[Changed],
) -> Iterator[tuple[Changed, ...]]:
    """Edits of the place of a change that fit too, with the other changes.

    A kind is of the place of a setting if a value of it is the same run as one.
    """
    for one in changed:
        cell, _, name = one.setting.rpartition(".")
        others = [other for other in changed if other is not one]
        for kind in EDITS.values():
            if name not in [setting for setting, _ in kind.same.values()]:
                continue
            runs = EditedRuns(placement, plain_of(others))
            sizes = RunSizes(runs.model, runs.model.cell, runs.steps)
            for value in islice(kind.values_for(sizes), OF_A_PLACE):
                edit = Edit(kind.name, value, cell)
                if fitting(runs, runs.hypothesis(edit)) is not None:
                    yield *edits_changed((edit,)), *others


def rivals(loaded: Placement, answer: Try) -> Iterator[tuple[Changed, ...]]:
    """Edits as loaded that fit as well as an answer of settings, and are another run.

    Numbers are solved for only if one of the answer was.
    """
    runs = EditedRuns(loaded)
    settings = answer._replace(changes=answer.with_dtype, rounding=None)
    has_clip = any(change.setting in CLIPS for change in answer.changes)
    stages = [restarts, table]
    if answer.solved:
        stages.append(numbers)
    for stage in stages:
        for hypothesis in stage(runs):
            if not runs.work.left():
                return
            if fitting(runs, hypothesis) is None or not hypothesis.edits:
                continue
            if has_clip and _is_one_sided(hypothesis):
                continue
            if differs(settings, hypothesis):
                yield edits_changed(hypothesis.edits)


def _is_one_sided(hypothesis: Try) -> bool:
    """Tell whether edits bound one side alone, as a clip does that is reached on one."""
    return all(edit.name in ONE_SIDED for edit in hypothesis.edits)


def differs(one: Try, other: Try) -> bool:
    """Tell whether two runs differ on other inputs, of twice as many steps."""
    given, wanted = _run_elsewhere(one), _run_elsewhere(other)
    shared = given.keys() & wanted.keys()
    if not shared or any(given[name].shape != wanted[name].shape for name in shared):
        return True
    return not all(
        np.allclose(given[name], wanted[name], atol=SAME_WITHIN, rtol=0)
        for name in shared
    )


def _run_elsewhere(hypothesis: Try) -> Arrays:
    """The arrays of a run over other inputs, of twice as many steps."""
    placement = hypothesis.placement
    case, front = placement.case, placement.model.front
    axis = 1 if case.layout == "batch" else 0
    indices = case.data.indices
    if indices is not None and front is not None:
        others = np.concatenate([np.flip(indices, axis), indices], axis)
        case = case.under(x=front.of(others), indices=others)
    else:
        x = np.asarray(case.data.x)
        twice = np.concatenate([np.flip(x, axis), -x], axis)
        case = case.under(x=OTHER_SCALE * twice + OTHER_OFFSET)
    runs = EditedRuns(placement, hypothesis.changes, case)
    return runs.run(hypothesis.edits)


def has_rival(first: Answer, others: Sequence[Answer]) -> bool:
    """Tell whether edits are not proved: others with no more solved numbers fit too.

    So does a number of two digits next to a statistic of the data.
    """
    hypothesis = first.hypothesis
    is_short = hypothesis.placement.expected.numbers <= FEW_NUMBERS
    is_statistic = any(edit.name.endswith(".normalised") for edit in hypothesis.edits)
    candidates = list(others)
    if not hypothesis.solved and not is_short:
        candidates = [one for one in others if is_statistic and one.hypothesis.solved]
    for one in candidates:
        other = one.hypothesis
        if other.solved > hypothesis.solved and not _are_short(other.edits):
            continue
        if differs(hypothesis, other):
            return True
    return False


def _are_short(edits: Sequence[Edit]) -> bool:
    """Tell whether all edits have a number of few digits, which a person may have chosen."""
    for edit in edits:
        value = edit.value
        if not isinstance(value, float) or float(f"{value:.{SHORT_DIGITS}g}") != value:
            return False
    return True


def _usual_changes(attempt: Attempt) -> list[Changes]:
    """The nearest changes, and then the likeliest of a network."""
    usual: list[Changes] = []
    for near in attempt.nearest():
        if near.hypothesis.changes:
            usual.append(near.hypothesis.changes)
    of_all = [one for one in attempt.placement.singles.changes if _is_of_all(one[0])]
    of_all.sort(key=lambda one: prior(*one))
    for _, alike in groupby(of_all, lambda one: one[0].setting):
        usual.extend(islice(alike, OF_A_KIND))
    return list(dict.fromkeys(usual))[:MOST_BESIDE]


def _is_of_all(change: Change) -> bool:
    """Tell whether a change is of all cells, with a value that is known."""
    return "." not in change.setting and change.value != SOLVE
