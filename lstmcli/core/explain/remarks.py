"""The remarks on EXPECTED, on a run that gives it, and on what an answer changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.explain.exactness import EPS, is_printed
from lstmcli.core.explain.explanation import Changed, Compared
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.proof import Proved
from lstmcli.core.explain.question import Question
from lstmcli.core.explain.tries import Try
from lstmcli.core.explain.verify import Agreement, Remark, Remarks, remark, rerun
from lstmcli.core.forward.equations import is_eight_bit

ROUNDING_GROWS = 10  # times, from which a remark names it

# ---- on EXPECTED


def about_expected(question: Question, compared: Compared, verdict: str) -> Remarks:
    """The remarks on EXPECTED and on what was assumed, whatever is found."""
    yield from _left_out(question)
    if question.side.renaming:
        yield remark("array_taken", said=question.side.renaming)
    digits = question.exactness.digits
    if digits is not None and not is_printed(question.side.units.values()):
        yield remark("taken_as_printed", digits=digits)
    if question.undecided:
        yield remark("undecided", settings=question.undecided)
    location, not_finite = compared.location, compared.not_finite
    if location is not None:
        yield from _may_be_one_step(question, location)
    if not_finite is not None and not not_finite.fits:
        yield _not_finite_remark(question, not_finite)
    if location is not None:
        yield from _not_compared(question, location)
    in_eight_bits = any(is_eight_bit(cell) for _, cell in question.model.cells)
    if verdict != "agrees" and in_eight_bits:
        yield remark("searched_in_float")


def _left_out(question: Question) -> Remarks:
    """The remark on abbreviated output."""
    units = [unit for unit in question.side.units.values() if np.isinf(unit).any()]
    if units:
        given = sum(int(np.isfinite(unit).sum()) for unit in units)
        total = sum(unit.size for unit in units)
        shapes = " and ".join(dict.fromkeys(str(unit.shape) for unit in units))
        yield remark("print_left_out", given=given, total=total, shapes=shapes)


def _may_be_one_step(question: Question, location: Location) -> Remarks:
    """Last states of two directions side by side may be the last step of h."""
    layer = question.model.layers[-1]
    widths = {array.shape[-1] for array in question.side.arrays.values()}
    is_joined = len(layer) == 2 and widths == {sum(cell.outputs for cell in layer)}
    if is_joined and location.state.startswith("the last state"):
        backward, _ = question.model.cells[-1]
        yield remark("may_be_one_step", cell=backward)


def _not_finite_remark(question: Question, not_finite: Agreement) -> Remark:
    each = [numbers.values.ravel() for numbers in question.arrays.values()]
    values = np.concatenate(each)
    return remark(
        "not_finite",
        count=not_finite.total - not_finite.agreeing,
        total=not_finite.total + int(np.isfinite(values).sum()),
        steps=[agrees is False for agrees in not_finite.steps],
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


# ---- on a run that gives EXPECTED


def about_run(one: Proved) -> Remarks:
    """The remarks on a run that gives EXPECTED."""
    placement, answer = one.placement, one.answer
    exactness, allowance = placement.question.exactness, answer.allowance
    rounding = answer.hypothesis.rounding
    if answer.hypothesis.solved:
        yield remark("solved_number")
    if rounding is not None:
        yield remark("half_precision_run", part=rounding.part, dtype=rounding.dtype)
    yield from _about_dtype(one)
    if allowance.stored:
        yield remark("stored_as", dtype=allowance.stored)
    elif allowance in exactness.allowances[1:]:
        yield remark("agrees_as_float32")
    if placement.leaves_out_padding:
        yield remark("past_ends")
    agreement = answer.agreement
    if agreement.blind:
        yield remark("chaotic", growth=agreement.growth, numbers=agreement.blind)
    elif agreement.growth > ROUNDING_GROWS:
        yield remark("rounding_grows", growth=agreement.growth)


def _about_dtype(one: Proved) -> Remarks:
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


def about_edits(hypothesis: Try) -> Remarks:
    """The remarks on the code of edits, and on a number that was solved for."""
    edits = hypothesis.edits
    if edits:
        line = "; ".join(dict.fromkeys(edit.code for edit in edits))
        mend = "; ".join(dict.fromkeys(edit.kind.mend for edit in edits))
        yield remark("edit_code", line=line, mend=mend)
    if hypothesis.solved and any(edit.kind.solved is not None for edit in edits):
        yield remark("solved_number")


# ---- on what an answer changes


WITH_AN_ANSWER = {
    "state.chunks": "chunks",
    "state.anew": "chunks",
    "state.kept": "resumed",
    "inputs.padding_first": "padded_before",
    "lengths": "padded",
}
"""Codes of remarks by what an answer changes: lengths found, or an edit, of h, c or both."""


def about_changes(changed: Sequence[Changed]) -> Remarks:
    """The remarks on what an answer changes."""
    codes: dict[str, None] = {}
    for one in changed:
        name = ""
        if one.edit:
            name = ".".join(one.edit.name.split(".")[:2])
        elif isinstance(one.found, tuple):
            name = one.setting
        if name in WITH_AN_ANSWER:
            codes[WITH_AN_ANSWER[name]] = None
    yield from map(remark, codes)
