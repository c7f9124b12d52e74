"""Which hypothesis about some weights gives the outputs that were expected.

`explain` is the one entry: from a `Question` to an `Explanation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from lstmcli.core.diff.alignment import SEQUENCE, ArrayName
from lstmcli.core.explain import cell
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.cell import explain_cell
from lstmcli.core.explain.explanation import (
    NEARLY_RIGHT,
    NOT_SEARCHED,
    Explanation,
    agreement,
    clues,
    plain_of,
)
from lstmcli.core.explain.hypotheses import settings_of
from lstmcli.core.explain.network import explain_network
from lstmcli.core.explain.observation import EPS, is_printed
from lstmcli.core.explain.question import (
    Prepared,
    Question,
    Shaped,
    in_shape,
    left_out,
    prepare,
)
from lstmcli.core.explain.search import Progress, quiet
from lstmcli.core.explain.solver import size
from lstmcli.core.explain.verify import Remark, compared, remark, verify
from lstmcli.core.explain.wording import in_words
from lstmcli.core.forward.blas import one_thread
from lstmcli.core.forward.eight_bit import is_eight_bit
from lstmcli.errors import UserError


def explain(question: Question, progress: Progress = quiet) -> Explanation:
    """Find the hypothesis about the weights that gives EXPECTED.

    Raises
    ------
    UserError
        if EXPECTED is no array of a run over these inputs.
    """
    has_shape = not question.side.gaps
    # Wrong hypotheses may overflow, and are meant to. Products are so small that threads of BLAS
    # would wait for one another.
    with np.errstate(all="ignore"), one_thread():
        shapes = list(in_shape(question))
        shapes = sorted(shapes, key=_order) if len(shapes) > 1 else shapes
        with question.work.share(Budget.SHARE if shapes[1:] else 1):
            best = _of_shape(*shapes[0], has_shape, progress)
        for n, one in enumerate(shapes[1:], 2):
            if best.verdict != "none" and size(best) < 2:
                break
            part = 1 / (len(shapes) - n + 1)
            with suppress(UserError), question.work.share(part):  # no run gives that shape
                other = _of_shape(*one, has_shape, progress)
                if other.verdict != "none" and (best.verdict == "none" or size(other) < size(best)):
                    best = other
        return best


def _order(shaped: Shaped) -> int:
    """A shape in which the weights as loaded give EXPECTED comes first, one of no run last."""
    try:
        prepared = prepare(shaped[0])
    except UserError:
        return 2
    cases = [c for c in prepared.cases if not prepared.common_changes(c)]
    cases = [replace(case, cached=prepared.cached) for case in cases]
    return 1 - any(verify(case, (), a).fits for case in cases for a in prepared.allowances)


def _of_shape(
    shaped: Question, said: tuple[Remark, ...], has_shape: bool, progress: Progress
) -> Explanation:
    """The explanation of EXPECTED in a shape that it can have, in words."""
    prepared = prepare(shaped)
    progress(0.0, "weights as loaded")
    explain_cells = explain_network if len(prepared.model.cells) > 1 else explain_cell
    explanation = explain_cells(prepared, progress)
    if explanation.verdict == "none" and not prepared.all_zero:
        explanation = _with_hints(explanation, prepared)
    about = [
        *said,
        *left_out(shaped, has_shape),
        *_about_expected(prepared, explanation),
        *_not_in_half_precision(prepared, explanation),
    ]
    explanation = replace(explanation, remarks=(*about, *explanation.remarks))
    return in_words(explanation, prepared.model.convention)


def _about_expected(prepared: Prepared, explanation: Explanation) -> Iterator[Remark]:
    """What is to be said of EXPECTED, the inputs and the weights by themselves."""
    question, verdict = prepared.question, explanation.verdict
    if said := question.side.renaming:
        yield remark("array_taken", said=said)
    if prepared.digits is not None and not is_printed(question.side.units.values()):
        yield remark("taken_as_printed", digits=prepared.digits)
    if question.undecided:
        yield remark("undecided", settings=question.undecided)
    if verdict != "none":
        yield from _exchanged_axes(question)
        yield from _may_be_one_step(prepared, explanation)
    if count := prepared.not_finite:
        yield remark("not_finite", count=count)
    cells = [cell for _, cell in prepared.model.cells]
    if verdict != "agrees" and any(map(is_eight_bit, cells)):
        yield remark("searched_in_float")
    weights = [a for c in cells for a in (c.kernel, c.recurrent_kernel, c.bias)]
    for name, arrays in ((question.inputs, [question.x]), ("the weights", weights)):
        if count := sum(int((~np.isfinite(array)).sum()) for array in arrays):
            yield remark("not_finite_run", name=name, count=count)


def _not_in_half_precision(prepared: Prepared, explanation: Explanation) -> Iterator[Remark]:
    """Whether the half precision that is given, or that of the weights, misses EXPECTED."""
    settings = settings_of(plain_of(explanation.changes))
    array, layout = settings.get("array", "h"), settings.get("layout", prepared.layout)
    is_said = any(one.code == "needs_float64" for one in explanation.remarks)
    if explanation.verdict == "none" or is_said or "dtype" in settings or "." in array:
        return
    for case in prepared.cases:
        expected = case.expected.get(layout)
        if expected is None or expected.placement != explanation.placement:
            continue
        model = case.model(settings)
        dtype = model.given.get("dtype", model.cell.dtype.name)
        if dtype in EPS:
            off = compared(case.arrays(settings, array), expected, prepared.allowances[-1])
            if not off.fits:
                yield remark("needs_float64", dtype=dtype, error=off.max_abs)
        return


def _exchanged_axes(question: Question) -> Iterator[Remark]:
    """What to say where EXPECTED has time and batch the other way round than the run."""
    axes = question.x.shape[:-1]
    for name, array in question.side.arrays.items():
        of_steps = ArrayName.of(name or "h").kind == SEQUENCE and len(axes) == 2
        if of_steps and array.shape[:-1] == axes[::-1] != axes:
            yield remark("axes_exchanged", given=array.shape, run=(*axes, array.shape[-1]))
            return


def _may_be_one_step(prepared: Prepared, explanation: Explanation) -> Iterator[Remark]:
    """What last states of two directions side by side would mean as the last step of h."""
    (*_, (name, _)), layer = prepared.model.cells, prepared.model.layers[-1]
    widths = {array.shape[-1] for array in prepared.question.side.arrays.values()}
    joined = len(layer) == 2 and widths == {sum(cell.outputs for cell in layer)}
    if joined and explanation.placement and explanation.placement.kind == "last states":
        yield remark("may_be_one_step", cell=name)


def _with_hints(explanation: Explanation, prepared: Prepared) -> Explanation:
    """What the numbers hint at, what is never searched, and a layout that nobody gave."""
    loaded, nearest, remarks = explanation.measured, explanation.nearest, explanation.remarks
    if hints := [hint for one in cell.PASSES if one.remark for hint in one.remark(prepared)]:
        close = ("near_miss", "within_tolerance", "noise")
        remarks = tuple(one for one in remarks if one.code not in close)
    elif loaded is not None:
        remarks = (*agreement(loaded), *remarks)
    is_near = any(one.code in NEARLY_RIGHT for one in remarks)
    if loaded is not None and not hints and not is_near:
        hints = list(clues(loaded))
        if not hints and nearest and nearest[0].changes:
            hints = list(clues(nearest[0].comparison, nearest[0].changes))
    if prepared.layout != "steps" and prepared.question.layout is None and not is_near:
        hints.append(remark("layout_assumed", layout=prepared.layout))
    left_out = [remark("windows", left=left)] if (left := prepared.left_out) else []
    if any(one.code == "other_units" for one in hints):  # else as the first: they are not
        explanation = replace(explanation, placement=None, measured=None, nearest=())
    if explanation.placement and (first := explanation.placement.units):
        left_out.append(remark("units", first=first))
    untried = (*explanation.untried, *left_out, *NOT_SEARCHED)
    return replace(explanation, remarks=(*remarks, *hints), untried=untried)
