"""Find which settings or edits make the weights give the expected outputs.

`explain` answers a `Question` by an `Explanation`. `PASSES` is the whole order of the search: the
first pass with an answer ends it. A pass of settings tries all placements of EXPECTED, each with
the changes of its cells that are left of the total.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np

from lstmcli.core.explain import execution
from lstmcli.core.explain.budget import Progress, quiet
from lstmcli.core.explain.clues import RUN_OTHERWISE
from lstmcli.core.explain.edit_search import (
    BESIDE,
    STAGES,
    WHERES,
    Stage,
    edits_of_head,
    edits_of_order,
    edits_often_beside,
)
from lstmcli.core.explain.explanation import Alternatives, Explanation
from lstmcli.core.explain.nothing_fits import nothing_fits
from lstmcli.core.explain.question import Question
from lstmcli.core.explain.report import (
    as_loaded,
    explanation_of,
    of_edits,
    of_found,
)
from lstmcli.core.explain.search import Search, half_precision
from lstmcli.core.explain.setups import no_place
from lstmcli.core.explain.shapes import shaped
from lstmcli.core.explain.verify import Case, Remark, Remarks, remark
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_in_memory
from lstmcli.errors import UserError
from lstmcli.threads import one_thread


class Pass(NamedTuple):
    """One thing to try, in the order of `PASSES`."""

    name: str
    find: Callable[[Search], Explanation | None] | None = None  # of EXPECTED
    remark: Callable[[Question, Case], Remarks] | None = None  # where nothing gives it


def change_settings(search: Search, total: int) -> Explanation | None:
    """The answer of this many changes, if any gives EXPECTED."""
    answers = search.found_by(total)
    return of_found(search, answers) if answers else None


def refuse_zeros(search: Search) -> Explanation | None:
    """The explanation that EXPECTED is 0 throughout, which shows nothing."""
    for numbers in search.question.arrays.values():
        if np.any(numbers.values[np.isfinite(numbers.values)]):
            return None
    loaded = as_loaded(search.likely[0].placement)
    return explanation_of(loaded, "none", Alternatives(), remarks=[remark("all_zero")])


def round_parts(search: Search) -> Explanation | None:
    """The answer in half precision, if any gives EXPECTED."""
    answers = half_precision(search)
    return of_found(search, answers) if answers else None


def edit_head(search: Search) -> Explanation | None:
    """The edits of the head that give EXPECTED, if any."""
    answers = edits_of_head(search.likeliest)
    return of_edits(search, answers) if answers else None


def edit_order(search: Search) -> Explanation | None:
    """The edits of when the state advances, or of layers, that give EXPECTED, if any."""
    answers = edits_of_order(search.likeliest)
    return of_edits(search, answers) if answers else None


def edit_next_to_changes(search: Search) -> Explanation | None:
    """The edits that are needed most often next to a change, if they give EXPECTED."""
    answers = edits_often_beside(search.attempts)
    return of_edits(search, answers) if answers else None


def edit_runs(search: Search, stage: Stage, where: str) -> Explanation | None:
    """The edits of a stage that give EXPECTED, if any."""
    answers = search.edits.found_by(stage, where)
    if not answers:
        return None
    if any(edit.file for edit in answers[0].hypothesis.edits):
        # another way of running the weights tells more than many solved numbers
        otherwise = _ran_otherwise(search)
        if any(map(_is_complete, otherwise)):
            return nothing_fits(search, otherwise)
    return of_edits(search, answers)


PASSES = [
    Pass("weights as loaded", partial(change_settings, total=0)),
    Pass("zeros", refuse_zeros),
    Pass("edits of the head", edit_head),
    Pass("one change", partial(change_settings, total=1)),
    Pass("the order of a run", edit_order),
    Pass("two changes", partial(change_settings, total=2)),
    Pass("half precision", round_parts),
    Pass("three changes", partial(change_settings, total=3)),
]
"""The whole order of the search."""
for _where in WHERES:
    if _where == BESIDE:
        PASSES.append(Pass("edits", edit_next_to_changes))
    for _stage in STAGES:
        PASSES.append(Pass("edits", partial(edit_runs, stage=_stage, where=_where)))
PASSES.append(Pass("execution", remark=execution.how_run))
PASSES.append(Pass("arrangement", remark=execution.rearranged))


def explain(question: Question, progress: Progress = quiet) -> Explanation:
    """Find the settings or edits with which the weights give EXPECTED."""
    question.work.progress = progress
    question.work.add(0)  # shows what is tried first
    # Wrong hypotheses may overflow. Products are so small that threads of BLAS would wait.
    with np.errstate(all="ignore"), one_thread():
        if question.model.edits:  # refused at once where these do not fit the run
            run_in_memory(prepare(question.model, question.inputs))
        first = None
        for search in _searches(question):
            explanation = _by_passes(search)
            if explanation.verdict != "none":
                return explanation
            if first is None:
                first = explanation
        assert first is not None
        return first


def _searches(question: Question) -> list[Search]:
    """A search of each shape of EXPECTED; one that agrees as loaded comes first."""
    questions = shaped(question)
    if len(questions) == 1:
        return [Search(questions[0])]
    searches = []
    for one in questions:
        with suppress(UserError):  # no run gives that shape
            searches.append(Search(one))
    if not searches:
        raise no_place(questions[0])
    if len(searches) > 1:
        searches.sort(key=lambda search: not search.found_by(0))
    return searches


def _by_passes(search: Search) -> Explanation:
    """The answer of the first pass that has one, or what comes near."""
    for name, find, _ in PASSES:
        search.work.what = name
        explanation = None if find is None else find(search)
        if explanation is not None:
            return explanation
    return nothing_fits(search, _ran_otherwise(search))


def _ran_otherwise(search: Search) -> list[Remark]:
    """The remarks of the passes on the network as loaded."""
    remarks: list[Remark] = []
    if search.as_loaded:
        case = search.as_loaded[0].placement.case
        for one in PASSES:
            if one.remark is not None:
                remarks.extend(one.remark(search.question, case))
    return remarks


def _is_complete(one: Remark) -> bool:
    """Tell whether a remark accounts for all of EXPECTED by another way of running."""
    return one.code in RUN_OTHERWISE and one.facts.get("complete", True)
