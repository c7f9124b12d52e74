"""From answers at a placement, or edits, to an `Explanation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import CANDIDATE, Change, Changes, kinds, settings_of
from lstmcli.core.explain.clues import PADDED_DIFFER, data_wanted
from lstmcli.core.explain.edit_search import FEW_NUMBERS, equal_edits, has_rival, rivals
from lstmcli.core.explain.explanation import (
    Alternatives,
    Changed,
    Compared,
    Explanation,
    NearRun,
    Onset,
    edits_changed,
    plain_of,
)
from lstmcli.core.explain.hypotheses import (
    conventions_that_run,
    prior,
    settings_to_load,
)
from lstmcli.core.explain.observation import SINGLE
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.proof import (
    SURE,
    Proved,
    padded_output,
    proved,
    unseen_settings,
)
from lstmcli.core.explain.remarks import (
    about_changes,
    about_edits,
    about_expected,
    about_run,
)
from lstmcli.core.explain.search import Search
from lstmcli.core.explain.tries import Answer, Try
from lstmcli.core.explain.verify import (
    FINE,
    Agreement,
    Remark,
    Remarks,
    arrays_if_run,
    compared,
    remark,
)
from lstmcli.core.explain.wording import (
    change_text,
    location_text,
    text_of,
    with_text,
    words_of,
)
from lstmcli.core.model.schedule import schedule_of

MOST_EQUAL = 3 * Budget.FEW  # edits that are listed as equal
AT_ONCE = Onset()


def explanation_of(
    answer: Answer,
    verdict: str,
    alternatives: Alternatives,
    remarks: Sequence[Remark] = (),
    wanted: Sequence[Remark] = (),
    onset: Onset = AT_ONCE,
    evidence: float | None = None,
    is_placed: bool = True,
) -> Explanation:
    """The explanation in words, with remarks on EXPECTED.

    Of the verdict ``none`` the answer is the run as loaded. Without ``is_placed`` EXPECTED is no
    part of the run.
    """
    hypothesis = answer.hypothesis
    placement = hypothesis.placement
    question = placement.question
    changed: tuple[Changed, ...] = ()
    settings: Changes = ()
    if verdict != "none":
        changed = described(hypothesis)
        settings = placement.changes + hypothesis.with_dtype
    comparison = _compared(answer, is_placed)
    every = list(about_expected(question, comparison, verdict))
    every.extend(remarks)
    every.extend(about_changes(changed))
    has_nan = any(one.code == "not_finite" for one in every)
    if has_nan and verdict in ("agrees", "found"):
        verdict = "not_finite"
    location, assumed = comparison.location, question.model.convention
    return Explanation(
        verdict,
        _settings(placement, settings),
        changed,
        compared=comparison,
        alternatives=alternatives,
        remarks=with_text(every, text_of),
        words=words_of(changed, location, wanted, onset, assumed),
        evidence=evidence,
    )


def described(hypothesis: Try) -> tuple[Changed, ...]:
    """All that a try changes, in words: edits, then settings, the likelier ones first.

    Another activation of the candidate alone, two settings of the search, is one here.
    """
    placement, rounding = hypothesis.placement, hypothesis.rounding
    changes: dict[str, Changed] = {}
    for change in sorted(placement.changes + hypothesis.with_dtype, key=prior):
        setting, assumed = change.setting, placement.setup.assumed(change)
        changes[setting] = Changed(setting, assumed, change.value)
    if rounding is not None:
        changes["dtype"] = replace(changes["dtype"], sense=rounding.part)
    changed = list(edits_changed(hypothesis.edits))
    output = changes.get("output_activation")
    if output is not None and "activation" in changes:
        candidate = replace(changes.pop("activation"), sense=CANDIDATE)
        if output.found == output.assumed:
            changes.pop(output.setting)
            candidate = replace(candidate, implied=output.settings)
        changed.append(candidate)
    changed.extend(changes.values())
    return with_text(changed, change_text)


def near_run(near: Answer) -> NearRun:
    """A hypothesis that comes near."""
    return NearRun(described(near.hypothesis), near.agreement)


def as_loaded(placement: Placement) -> Answer:
    """The run without changes, which need not give EXPECTED."""
    return Answer(Try(placement), placement.verify(()), placement.allowance)


def _compared(answer: Answer, is_placed: bool) -> Compared:
    """EXPECTED as the run of an answer was compared with it."""
    placement = answer.hypothesis.placement
    exactness = placement.question.exactness
    not_finite = _where_not_finite(answer.hypothesis)
    nowhere = Compared(exactness.name, exactness.digits, not_finite)
    if not is_placed:
        return nowhere
    return replace(
        nowhere,
        agreement=answer.agreement,
        location=placement.location,
        expected=placement.expected,
        steps_run=schedule_of(answer.hypothesis.edits, *placement.case.size),
    )


def _where_not_finite(hypothesis: Try) -> Agreement | None:
    """How a run agrees where EXPECTED is NaN or infinite; None: nowhere."""
    placement = hypothesis.placement
    marked = placement.on_run(placement.setup.named(placement.question.not_finite))
    if not marked.numbers:
        return None
    every = placement.run_changes + hypothesis.with_dtype
    run = arrays_if_run(placement.case, settings_of(every))
    marks = {}
    for name, one in marked.arrays.items():
        marks[name] = 1.0 - np.isfinite(run.get(name, one.half))
    return compared(marks, marked, SINGLE)


def _settings(placement: Placement, changes: Changes) -> dict[str, Any]:
    """The settings with which `load` reads the model, some changed."""
    given = settings_of(changes)
    given.pop("array", None)  # that is a member
    settings = settings_to_load(placement.model, given)
    for name, value in settings.items():
        if isinstance(value, tuple):
            settings[name] = list(value)
    return settings


# ---- answers


def of_found(search: Search, answers: Sequence[Answer]) -> Explanation:
    """The likeliest answer at any placement; the others are its equals."""
    at_placements: dict[Placement, list[Answer]] = {}
    for answer in answers:
        at_placements.setdefault(answer.hypothesis.placement, []).append(answer)
    each = []
    for placement, some in at_placements.items():
        each.append(proved(search.attempt_at(placement), some, search.tried))
    each.sort(key=_rank)
    first = each[0]
    if first.verdict == "none":
        return _differs_at_padding(search, first)
    if first.verdict == "agrees":
        return _agrees(first)
    return _changes_something(search, each)


def _rank(one: Proved) -> tuple[bool, bool, bool, float]:
    """Proved answers come first, those in half precision last."""
    changes = plain_of(described(one.answer.hypothesis))
    settings = kinds(changes)
    is_rounded = one.answer.hypothesis.rounding is not None
    # of one sequence, other axes are the same run as a state that is reset, and likelier
    is_other_layout = "layout" in settings and one.placement.setup.size[0] == 1
    likelihood = sum(map(prior, changes))
    return one.verdict != "found", is_rounded, not is_other_layout, likelihood


def _differs_at_padding(search: Search, one: Proved) -> Explanation:
    """The explanation that EXPECTED differs at padded steps only."""
    padded = one.placement
    allowance = one.answer.allowance
    every_step = Placement(
        padded.setup, padded.location, padded.run_changes, allowance=allowance
    )
    return explanation_of(
        as_loaded(every_step),
        "none",
        Alternatives(search.tried, depth=1),
        remarks=[remark(PADDED_DIFFER, ending=padded_output(padded))],
    )


def _agrees(one: Proved) -> Explanation:
    """The explanation that nothing has to be changed."""
    unseen = unseen_settings(one)
    return explanation_of(
        one.answer,
        "agrees",
        Alternatives(tried=1, unseen=unseen),
        remarks=list(about_run(one)),
        wanted=data_wanted(one.placement.case, unseen, (), is_proven=True),
    )


def _changes_something(search: Search, each: Sequence[Proved]) -> Explanation:
    """The explanation by what the first answer changes."""
    first, *others = each
    placement = first.placement
    changed = described(first.answer.hypothesis)
    rival_edits = _rivals(search, first)
    verdict = "unproven" if rival_edits else first.verdict
    equals = _equals(each)
    edits = list(equal_edits(placement, changed))
    edits.extend([one for one in rival_edits if one not in edits])
    elsewhere = list(_placed_elsewhere(changed, first, others))
    assumed = placement.model.convention
    every = placement.changes + first.changes
    alternatives = Alternatives(
        search.tried,
        equivalent=(*equals, *edits),
        nearest=_nearest_other(first),
        like=conventions_that_run(every, assumed, placement.setup.layout),
        unseen=unseen_settings(first),
    )
    return explanation_of(
        first.answer,
        verdict,
        alternatives,
        remarks=[*about_run(first), *elsewhere],
        wanted=data_wanted(
            placement.case,
            alternatives.unseen,
            equals,
            is_proven=verdict == "found",
            is_elsewhere=bool(elsewhere),
        ),
        onset=_onset(first),
        evidence=first.digits,
    )


def _equals(each: Sequence[Proved]) -> list[tuple[Changed, ...]]:
    """The changes of all answers but the first, at all placements."""
    fitting: dict[frozenset[Change], tuple[Changed, ...]] = {}
    for one in each:
        for answer in (one.answer, *one.others):
            changed = described(answer.hypothesis)
            fitting[frozenset(plain_of(changed))] = changed
    fitting.pop(frozenset(plain_of(described(each[0].answer.hypothesis))))
    return list(fitting.values())


def _placed_elsewhere(
    changed: Sequence[Changed], first: Proved, others: Sequence[Proved]
) -> Remarks:
    """The remarks on answers that take EXPECTED as another part of the run."""
    text = location_text(first.placement.location)
    for one in others:
        location = one.placement.location
        changes = described(one.answer.hypothesis)
        is_other = {*plain_of(changes)} != {*plain_of(changed)}
        if is_other and location_text(location) != text:
            yield remark("placed_elsewhere", changes=changes, location=location)


def _rivals(search: Search, one: Proved) -> list[tuple[Changed, ...]]:
    """Edits that fit as well as an answer that may be one by chance."""
    is_solved = one.answer.hypothesis.solved > 0
    expected = one.placement.expected
    is_few = one.verdict == "found" and expected.numbers <= FEW_NUMBERS
    if expected.is_of_head and one.digits is not None:
        is_few = is_few and one.digits < SURE
    if not search.as_loaded or not (is_solved or is_few):
        return []
    loaded = search.as_loaded[0].placement
    return list(rivals(loaded, one.answer.hypothesis))


def _nearest_other(one: Proved) -> list[NearRun]:
    """The nearest single change that is in no answer, if any."""
    answers = [set(other.hypothesis.changes) for other in (one.answer, *one.others)]
    for near in one.attempt.nearest():
        changes = {*near.hypothesis.changes}
        is_in_one = any(answer and answer <= changes for answer in answers)
        if not near.agreement.fits and not is_in_one:
            return [near_run(near)]
    return []


def _onset(one: Proved) -> Onset:
    """The step at which the changes of an answer show, where all cells start from zero."""
    placement, simulator = one.placement, one.attempt.sets.simulator
    behaviour = placement.model.behaviour
    backward = behaviour.reverse != behaviour.flip_output
    is_of_cells = not placement.changes and simulator.is_stepwise
    if is_of_cells and simulator.starts_from_zero:
        return _first_shown(one.verify(()), backward)
    return Onset(None, backward)


def _first_shown(loaded: Agreement, backward: bool) -> Onset:
    """The first wrong step as loaded, if others before it are right."""
    steps = list(enumerate(loaded.steps))
    if backward:
        steps.reverse()
    if steps and steps[0][1]:
        for step, agrees in steps:
            if agrees is False:
                return Onset(step, backward)
    return Onset(None, backward)


# ---- edits


def of_edits(search: Search, answers: Sequence[Answer]) -> Explanation:
    """The likeliest of edits; the others are its equals."""
    first, *others = answers
    hypothesis = first.hypothesis
    placement = hypothesis.placement
    run_changes = settings_of(hypothesis.run_changes)
    backward = placement.case.model({**run_changes, **FINE}).backward
    onset = Onset(None, backward)
    if not backward:
        onset = _first_shown(placement.verify(()), backward)
    listed = [edits_changed(one.hypothesis.edits) for one in others[:MOST_EQUAL]]
    return explanation_of(
        first,
        "unproven" if has_rival(first, others) else "found",
        Alternatives(search.tried + search.work.variants, equivalent=listed),
        remarks=list(about_edits(hypothesis)),
        onset=onset,
        evidence=first.bits,
    )
