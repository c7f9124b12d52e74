"""From a question to an explanation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.diff.alignment import SEQUENCE, ArrayName
from lstmcli.core.explain import decisions, words
from lstmcli.core.explain.places import searched
from lstmcli.core.explain.question import Prepared, Question, prepare
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.runs import how_run
from lstmcli.core.explain.search import NEAREST, Progress, quiet
from lstmcli.core.explain.several import explain_network
from lstmcli.core.explain.shapeless import in_shape, left_out, unrolled
from lstmcli.core.explain.solver import Solver
from lstmcli.core.forward.blas import one_thread


def explain(question: Question, progress: Progress = quiet) -> Explanation:
    """Find the reading of the weights that gives EXPECTED.

    Raises
    ------
    UserError
        if EXPECTED is no array of a run over these inputs.
    """
    has_shape = not question.side.gaps
    # readings that are wrong may overflow, and are meant to; BLAS's threads wait for one another
    with np.errstate(all="ignore"), one_thread():  # more than they help with products so small
        explanations = (_of_shape(question, one, has_shape, progress) for one in in_shape(question))
        first = next(explanations)
        others = (one for one in explanations if one.verdict != "none")
        return first if first.verdict != "none" else next(others, first)


def _of_shape(
    question: Question, shaped: Question, has_shape: bool, progress: Progress
) -> Explanation:
    """The explanation of EXPECTED in a shape that it can have, and what is said of that."""
    explanation = _in_words(shaped, has_shape, progress)
    if remark := unrolled(question, shaped):
        explanation = replace(explanation, remarks=(remark, *explanation.remarks))
    return explanation


def _in_words(question: Question, has_shape: bool, progress: Progress) -> Explanation:
    """The explanation, with what is to be said of EXPECTED and of what comes near."""
    prepared = prepare(question)
    explanation = _explained(prepared, progress)
    if explanation.verdict == "none" and not prepared.all_zero:
        explanation = _with_hints(explanation, prepared)
    if remark := _no_numbers(prepared):
        explanation = replace(explanation, remarks=(remark, *explanation.remarks))
    if count := prepared.not_finite:
        numbers = "number of EXPECTED is" if count == 1 else "numbers of EXPECTED are"
        remark = f"{count} {numbers} NaN or infinite and left out."
        explanation = replace(explanation, remarks=(remark, *explanation.remarks))
    if explanation.verdict != "none" and (remark := _exchanged_axes(question)):
        explanation = replace(explanation, remarks=(remark, *explanation.remarks))
    if taken := question.side.taken:
        explanation = replace(explanation, remarks=(f"{taken}.", *explanation.remarks))
    if remark := left_out(question, has_shape):
        explanation = replace(explanation, remarks=(remark, *explanation.remarks))
    return explanation


def _no_numbers(prepared: Prepared) -> str:
    """What to say where the inputs or the weights hold NaN: no run gives numbers then."""
    question = prepared.question
    cells = [cell for _, cell in prepared.model.cells]
    weights = [a for c in cells for a in (c.kernel, c.recurrent_kernel, c.bias)]
    for name, arrays in ((question.inputs, [question.x]), ("the weights", weights)):
        if count := sum(int((~np.isfinite(array)).sum()) for array in arrays):
            some = "1 number is" if count == 1 else f"{count} numbers are"
            return f"In {name} {some} NaN or infinite: no run makes others of them."
    return ""


def _exchanged_axes(question: Question) -> str:
    """What to say where EXPECTED has time and batch the other way round than the run."""
    axes = question.x.shape[:-1]
    for name, array in question.side.arrays.items():
        of_steps = ArrayName.of(name or "h").kind == SEQUENCE and len(axes) == 2
        if of_steps and array.shape[:-1] == axes[::-1] != axes:
            given = (*axes, array.shape[-1])
            return f"EXPECTED has the axes {array.shape} where the run gives {given}."
    return ""


def _with_hints(explanation: Explanation, prepared: Prepared) -> Explanation:
    """What the numbers hint at, what is never searched, and a layout that nobody gave."""
    hints = list(how_run(prepared))
    close = "" if hints or explanation.remarks else _close(explanation)
    if close:
        hints = [close]
    if not hints and explanation.measured is not None:
        hints = decisions.clues(explanation.measured)
    if not hints and explanation.nearest and (near := explanation.nearest[0]).changes:
        read = words.headline(near.changes)
        hints = [f"With {read}: {clue}" for clue in decisions.clues(near.verdict)]
    if prepared.layout != "steps" and prepared.question.layout is None and not close:
        assumed = words.value_of("layout", prepared.layout)
        other = "time" if prepared.layout == "batch" else "batch"
        hints.append(
            f"Nobody said how the inputs lie; taken as {assumed}. If they do not, say --layout "
            f"{other}: the search is then for what is wrong besides."
        )
    untried = dict.fromkeys((*explanation.untried, *decisions.NOT_SEARCHED))
    remarks = (*explanation.remarks, *hints)
    return replace(explanation, remarks=remarks, untried=tuple(untried))


def _close(explanation: Explanation) -> str:
    """Whether one reading comes so near that what is left is no setting."""
    if explanation.measured is None:
        return ""
    near = [
        (f"With {words.headline(n.changes)}", n.verdict) for n in explanation.nearest if n.changes
    ]
    return decisions.close([("As read", explanation.measured), *near])


def _explained(prepared: Prepared, progress: Progress) -> Explanation:
    if len(prepared.model.cells) > 1:
        return explain_network(prepared, progress)
    cases = prepared.cases()
    if not cases:
        raise prepared.no_place()
    solvers = [Solver(prepared, case, base=prepared.base(case)) for case in cases]
    for solver in solvers:
        if not solver.base and (agreed := solver.agreeing()):
            return agreed
    if prepared.all_zero:
        return solvers[0].nothing_to_tell()
    found = searched(solvers, progress)
    if found.verdict != "none":
        return found
    # nobody said how the inputs lie, so that another layout is no mistake like the others
    turned = [Solver(prepared, case, base=prepared.base(case)) for case in prepared.turned()]
    if not (likely := [solver for solver in turned if solver.likely]):
        return found
    alternative = searched(likely, progress)
    if alternative.verdict != "none":
        return alternative
    nearest = sorted((*found.nearest, *alternative.nearest), key=lambda near: near.verdict.rms)
    return replace(found, nearest=tuple(nearest[:NEAREST]), tried=found.tried + alternative.tried)
