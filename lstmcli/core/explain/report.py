"""From answers at a placement, or edits, to an `Explanation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import ArrayName
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.causes import Change, Changes, kinds, settings_of
from lstmcli.core.explain.edit_search import FEW_NUMBERS, equal_edits, has_rival, rivals
from lstmcli.core.explain.explanation import (
    Changed,
    Explanation,
    NearRun,
    edits_changed,
    first_shown,
    plain_of,
    remarks_of,
    wanted,
    with_assumed,
)
from lstmcli.core.explain.hypotheses import (
    conventions_that_run,
    prior,
    settings_to_load,
)
from lstmcli.core.explain.locations import Located, Location
from lstmcli.core.explain.observation import EPS, SINGLE, is_printed
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.proof import Proved, padded_output, proved, unseen_settings
from lstmcli.core.explain.question import Question, left_out
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
    rerun,
)
from lstmcli.core.explain.wording import in_words, location_text
from lstmcli.core.forward.equations import is_eight_bit
from lstmcli.core.model.edits import Edit

ROUNDING_GROWS = 10  # times, from which a remark names it
MOST_EQUAL = 3 * Budget.FEW  # edits that are listed as equal


def explanation_of(
    placement: Placement,
    verdict: str,
    measured: Agreement,
    changes: Changes = (),
    senses: Mapping[str, str] | None = None,
    edits: Sequence[Edit] = (),
    remarks: Sequence[Remark] = (),
    is_placed: bool = True,
    **further: Any,
) -> Explanation:
    """The explanation in words, with remarks on what EXPECTED is taken for.

    ``changes`` are those of the cells, in an answer. Without ``is_placed`` EXPECTED lies nowhere
    on the run. ``further`` are fields of the explanation.
    """
    question = placement.question
    location = placement.location if is_placed else None
    changed = [*edits_changed(edits)]
    every: Changes = ()
    if verdict in ("found", "unproven"):
        changed.extend(described(placement, changes, senses))
        every = (*placement.changes, *changes)
    broken = _where_not_finite(placement, changes)
    said = [*left_out(question), *_about_expected(question, location, verdict, broken)]
    if verdict in ("agrees", "found") and any(one.code == "not_finite" for one in said):
        verdict = "not_finite"
    said.extend(remarks)
    equals = further.get("equivalent", ())
    said.extend(remarks_of(location, changed, equals, _traced(question)))
    explanation = Explanation(
        verdict,
        _settings(placement, every),
        tuple(changed),
        measured if is_placed else None,
        location=location,
        expected=placement.expected if is_placed else None,
        not_finite=broken,
        remarks=tuple(said),
        edits=tuple(edit.text for edit in edits),
        arrays={edit.file: edit.value for edit in edits if edit.file},
        precision=question.exactness.name,
        digits=question.exactness.digits,
        **further,
    )
    return in_words(explanation, question.model.convention)


def described(
    placement: Placement, changes: Changes, senses: Mapping[str, str] | None = None
) -> tuple[Changed, ...]:
    """The changes at a placement with what was assumed; a setting may have another sense."""
    every = placement.changes + changes
    changed = []
    for one in with_assumed(every, placement.setup.assumed):
        sense = (senses or {}).get(one.setting)
        changed.append(replace(one, sense=sense) if sense else one)
    return tuple(changed)


def near_run(near: Answer) -> NearRun:
    """A hypothesis that comes near."""
    hypothesis = near.hypothesis
    return NearRun(described(hypothesis.placement, hypothesis.changes), near.agreement)


def _settings(placement: Placement, changes: Changes) -> dict[str, Any]:
    """The settings with which `load` reads the model, some changed."""
    given = settings_of(changes)
    given.pop("array", None)  # that is a member
    settings = settings_to_load(placement.model, given)
    for name, value in settings.items():
        if isinstance(value, tuple):
            settings[name] = list(value)
    return settings


def _traced(question: Question) -> list[str]:
    """The names of all cells, if EXPECTED has arrays of several."""
    prefixes = {ArrayName.of(name).prefix for name in question.arrays} - {""}
    if len(prefixes) < 2:
        return []
    return [name for name, _ in question.model.cells]


def _where_not_finite(placement: Placement, changes: Changes) -> Agreement | None:
    """How a run agrees where EXPECTED is NaN or infinite; None: nowhere."""
    marked = placement.on_run(placement.setup.named(placement.question.not_finite))
    if not marked.numbers:
        return None
    every = (*placement.run_changes, *changes)
    run = arrays_if_run(placement.case, settings_of(every))
    marks = {}
    for name, one in marked.arrays.items():
        marks[name] = 1.0 - np.isfinite(run.get(name, one.half))
    return compared(marks, marked, SINGLE)


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
    first, *others = each
    if first.verdict == "none":  # only padded steps differ
        return _differs_at_padding(search, first)
    changed = _changed(first)
    elsewhere = list(_placed_elsewhere(changed, first, others))
    equals = _equals(changed, each)
    edits = list(equal_edits(first.placement, changed))
    verdict = first.verdict
    rival_edits = _rivals(search, first)
    if rival_edits:
        verdict = "unproven"
        edits.extend([one for one in rival_edits if one not in edits])
    unseen = unseen_settings(first)
    is_proven = verdict in ("agrees", "found")
    case = first.placement.case
    return explanation_of(
        first.placement,
        verdict,
        first.answer.agreement,
        first.changes,
        senses=_senses(first),
        remarks=[*_remarks_on_run(first), *elsewhere],
        equivalent=(*equals, *edits),
        tried=1 if verdict == "agrees" else search.tried,
        depth=first.attempt.sets.depth,
        unseen=unseen,
        wanted=wanted(case, unseen, equals, is_proven, bool(elsewhere)),
        evidence=first.digits,
        **_next_to_changes(first),
    )


def _rank(one: Proved) -> tuple[bool, bool, bool, float]:
    """Proved answers come first, those in half precision last."""
    changes = plain_of(_changed(one))
    settings = kinds(changes)
    is_rounded = one.answer.hypothesis.rounding is not None
    # of one sequence, other axes are the same run as a state that is reset, and likelier
    is_other_layout = "layout" in settings and one.placement.setup.size[0] == 1
    likelihood = sum(map(prior, changes))
    return one.verdict != "found", is_rounded, not is_other_layout, likelihood


def _changed(one: Proved) -> tuple[Changed, ...]:
    """The changes of an answer with their senses; none if it agrees as loaded."""
    if one.digits is None:
        return ()
    return described(one.placement, one.changes, _senses(one))


def _senses(one: Proved) -> dict[str, str]:
    """The senses of settings that an answer has; empty: as the setting has by itself."""
    rounding = one.answer.hypothesis.rounding
    return {} if rounding is None else {"dtype": rounding.part}


def _placed_elsewhere(
    changed: Sequence[Changed], first: Proved, others: Sequence[Proved]
) -> Remarks:
    """The remarks on answers that take EXPECTED as another part of the run."""
    text = location_text(first.placement.location)
    for one in others:
        changes, location = _changed(one), one.placement.location
        is_other = {*plain_of(changes)} != {*plain_of(changed)}
        if is_other and location_text(location) != text:
            yield remark("placed_elsewhere", changes=changes, location=location)


def _equals(
    changed: Sequence[Changed], each: Sequence[Proved]
) -> list[tuple[Changed, ...]]:
    """The changes of all other answers, at all placements."""
    fitting: dict[frozenset[Change], tuple[Changed, ...]] = {}
    for one in each:
        answers = [_changed(one)]
        for other in one.others:
            answers.append(described(one.placement, other.hypothesis.with_dtype))
        for answer in answers:
            fitting[frozenset(plain_of(answer))] = answer
    fitting.pop(frozenset(plain_of(changed)))
    return list(fitting.values())


def _rivals(search: Search, one: Proved) -> list[tuple[Changed, ...]]:
    """Edits that fit as well as an answer that may be one by chance."""
    is_solved = one.answer.hypothesis.solved > 0
    is_few = one.verdict == "found" and one.placement.expected.numbers <= FEW_NUMBERS
    if one.digits is None or not search.as_loaded or not (is_solved or is_few):
        return []
    loaded = search.as_loaded[0].placement
    return list(rivals(loaded, one.answer.hypothesis))


def _next_to_changes(one: Proved) -> dict[str, Any]:
    """The fields of an answer that changes something, on what is next to it."""
    if one.digits is None:
        return {}
    placement, attempt = one.placement, one.attempt
    assumed = placement.model.convention
    backward = assumed.behaviour.reverse != assumed.behaviour.flip_output
    first_step = None
    is_of_cells = not placement.changes and attempt.simulator.is_stepwise
    if is_of_cells and attempt.simulator.starts_from_zero:
        first_step = first_shown(one.verify(()), backward)
    every = placement.changes + one.changes
    return {
        "nearest": tuple(_nearest_other(one)),
        "like": tuple(conventions_that_run(every, assumed, placement.setup.layout)),
        "first_step": first_step,
        "backward": backward,
    }


def _nearest_other(one: Proved) -> list[NearRun]:
    """The nearest single change that is in no answer, if any."""
    answers = [set(other.hypothesis.changes) for other in (one.answer, *one.others)]
    for near in one.attempt.nearest():
        changes = {*near.hypothesis.changes}
        is_in_one = any(answer and answer <= changes for answer in answers)
        if not near.agreement.fits and not is_in_one:
            return [near_run(near)]
    return []


def _differs_at_padding(search: Search, one: Proved) -> Explanation:
    """The explanation that EXPECTED differs at padded steps only."""
    padded = one.placement
    every_step = Placement(padded.setup, padded.location, padded.run_changes)
    loaded = every_step.verify((), one.answer.allowance)
    said = remark("padded_steps_differ", ending=padded_output(padded))
    return explanation_of(
        every_step, "none", loaded, remarks=[said], tried=search.tried, depth=1
    )


def _remarks_on_run(one: Proved) -> Remarks:
    """The remarks on a run that gives EXPECTED."""
    placement, answer = one.placement, one.answer
    exactness, allowance = placement.question.exactness, answer.allowance
    rounding = answer.hypothesis.rounding
    if answer.hypothesis.solved:
        yield remark("solved_number")
    if rounding is not None:
        yield remark("half_precision_run", part=rounding.part, dtype=rounding.dtype)
    yield from _remarks_on_dtype(one)
    if allowance.stored:
        yield remark("stored_as", dtype=allowance.stored)
    elif allowance in exactness.allowances[1:]:
        yield remark("agrees_as_float32")
    if placement.leaves_out_padding:
        yield remark("past_ends")
    yield from _remarks_on_lengths(placement)
    agreement = answer.agreement
    if agreement.blind:
        yield remark("chaotic", growth=agreement.growth, numbers=agreement.blind)
    elif agreement.growth > ROUNDING_GROWS:
        yield remark("rounding_grows", growth=agreement.growth)


def _remarks_on_dtype(one: Proved) -> Remarks:
    """How far off the run that `lstm run` does by itself is, in the dtype of the weights."""
    placement, hypothesis = one.placement, one.answer.hypothesis
    question = placement.question
    changes = placement.run_changes + hypothesis.with_dtype
    again = rerun(placement.case, changes, one.answer.allowance)
    if hypothesis.rounding is None:
        if not again.fits:
            dtype = question.read({}).given.get("dtype", question.dtype)
            yield remark("needs_float64", dtype=dtype, error=again.max_abs)
    elif again.max_abs > 2 * question.exactness.allowances[-1].absolute:
        yield remark(
            "dtype_rounds_otherwise",
            run="float64" if question.dtype in EPS else question.dtype,
            dtype=hypothesis.rounding.dtype,
            error=again.max_abs,
            part=hypothesis.rounding.part,
        )


def _remarks_on_lengths(placement: Placement) -> Remarks:
    """How the lengths that were found differ from those given."""
    if not placement.lengths or placement.question.inputs.lengths is None:
        return
    given = np.ravel(placement.question.inputs.lengths)
    more = placement.lengths - given
    if sorted(placement.lengths) == sorted(given):
        yield remark("lengths_reordered")
    elif more.min() >= 0:
        yield remark("longer", steps=np.unique(more[more > 0]).tolist())


# ---- edits


def of_edits(search: Search, answers: Sequence[Answer]) -> Explanation:
    """The likeliest of edits; the others are its equals."""
    first, *others = answers
    hypothesis = first.hypothesis
    placement = hypothesis.placement
    run_changes = settings_of(hypothesis.run_changes)
    backward = placement.case.model({**run_changes, **FINE}).backward
    first_step = None
    if not backward:
        first_step = first_shown(placement.verify(()), False)
    listed = [edits_changed(one.hypothesis.edits) for one in others[:MOST_EQUAL]]
    return explanation_of(
        placement,
        "unproven" if has_rival(first, others) else "found",
        first.agreement,
        hypothesis.changes,
        edits=hypothesis.edits,
        remarks=list(_remarks_on_edits(hypothesis)),
        equivalent=tuple(listed),
        tried=search.tried + search.work.variants,
        depth=search.attempt_at(placement).sets.depth,
        first_step=first_step,
        backward=backward,
        evidence=first.bits,
    )


def _remarks_on_edits(hypothesis: Try) -> Remarks:
    """The remarks on the code of edits, and on a number that was solved for."""
    edits = hypothesis.edits
    if edits:
        line = "; ".join(dict.fromkeys(edit.code for edit in edits))
        mend = "; ".join(dict.fromkeys(edit.kind.mend for edit in edits))
        yield remark("edit_code", line=line, mend=mend)
    if hypothesis.solved and any(edit.kind.solved is not None for edit in edits):
        yield remark("solved_number")


# ---- what EXPECTED is taken for


def _about_expected(
    question: Question,
    location: Location | None,
    verdict: str,
    broken: Agreement | None,
) -> Remarks:
    """The remarks on EXPECTED and on what was assumed, whatever is found."""
    if said := question.side.renaming:
        yield remark("array_taken", said=said)
    digits = question.exactness.digits
    if digits is not None and not is_printed(question.side.units.values()):
        yield remark("taken_as_printed", digits=digits)
    if question.undecided:
        yield remark("undecided", settings=question.undecided)
    if location is not None:
        for array in location.arrays:
            yield from _interpreted(question, array, location, verdict)
        yield from _may_be_one_step(question, location)
    if broken is not None and not broken.fits:
        yield _not_finite_remark(question, broken)
    if location is not None:
        yield from _not_compared(question, location)
    in_eight_bits = any(is_eight_bit(cell) for _, cell in question.model.cells)
    if verdict != "agrees" and in_eight_bits:
        yield remark("searched_in_float")


def _interpreted(
    question: Question, array: Located, location: Location, verdict: str
) -> Remarks:
    """How the axes of an array were interpreted, where they are not those of the run."""
    at = array.at
    first_array = next(iter(question.arrays.values()))
    given = question.arrays.get(
        array.name, first_array
    ).shape  # a part has another name
    run = tuple(at.run.lengths[axis] for axis in at.run.axes)
    code = ""
    if location.are_gates:
        code = "taken_as_gates"
    elif at.in_a_row:
        code = "taken_in_a_row" if at.order == "C" else "taken_by_columns"
    elif array.is_state:
        return
    elif "d" in at.axes and at.run.stacked is None:
        code = "directions_joined"
    elif verdict != "none" and given[:-1] == run[-2::-1] != run[:-1]:
        code = "axes_exchanged"
    if code:
        shape = at.shape if at.in_a_row else run
        yield remark(code, given=given, run=run, shape=shape)


def _may_be_one_step(question: Question, location: Location) -> Remarks:
    """Last states of two directions side by side may be the last step of h."""
    layer = question.model.layers[-1]
    widths = {array.shape[-1] for array in question.side.arrays.values()}
    is_joined = len(layer) == 2 and widths == {sum(cell.outputs for cell in layer)}
    if is_joined and location.state.startswith("the last state"):
        backward, _ = question.model.cells[-1]
        yield remark("may_be_one_step", cell=backward)


def _not_finite_remark(question: Question, broken: Agreement) -> Remark:
    each = [numbers.values.ravel() for numbers in question.arrays.values()]
    values = np.concatenate(each)
    return remark(
        "not_finite",
        count=broken.total - broken.agreeing,
        total=broken.total + int(np.isfinite(values).sum()),
        steps=[agrees is False for agrees in broken.steps],
        kind="NaN or infinite" if np.isinf(values).any() else "NaN",
    )


def _not_compared(question: Question, location: Location) -> Remarks:
    """The remark on arrays that lie nowhere on the run."""
    located = set()
    for array in location.arrays:
        located.add(array.name if array.name in question.arrays else "h")
    every = dict.fromkeys(name or "h" for name in question.arrays)
    every.update(dict.fromkeys(name or "h" for name in question.side.arrays))
    names = [name for name in every if name not in located]
    if names:
        yield remark("not_compared", names=names)
