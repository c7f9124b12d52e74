"""From a question to an explanation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.explain import decisions, words
from lstmcli.core.explain.question import Prepared, Question, prepare
from lstmcli.core.explain.result import Explanation
from lstmcli.core.explain.search import Progress, quiet
from lstmcli.core.explain.several import explain_network
from lstmcli.core.explain.solver import Solver
from lstmcli.errors import UserError

MOST_PLACES = 8  # in which EXPECTED is searched for, of all in which it can lie


def explain(question: Question, progress: Progress = quiet) -> Explanation:
    """Find the reading of the weights that gives EXPECTED.

    Raises
    ------
    UserError
        if EXPECTED is no array of a run over these inputs.
    """
    with np.errstate(all="ignore"):  # readings that are wrong may overflow, and are meant to
        prepared = prepare(question)
        explanation = _explained(prepared, progress)
    if explanation.verdict == "none" and not prepared.all_zero:
        explanation = _with_hints(explanation, prepared)
    if count := prepared.not_finite:
        numbers = "number of EXPECTED is" if count == 1 else "numbers of EXPECTED are"
        remark = f"{count} {numbers} NaN or infinite and left out."
        explanation = replace(explanation, remarks=(remark, *explanation.remarks))
    return explanation


def _with_hints(explanation: Explanation, prepared: Prepared) -> Explanation:
    """What the numbers hint at, what is never searched, and a layout that nobody gave."""
    hints = [] if explanation.measured is None else decisions.clues(explanation.measured)
    if not hints and explanation.nearest and (near := explanation.nearest[0]).changes:
        read = words.headline(near.changes)
        hints = [f"With {read}: {clue}" for clue in decisions.clues(near.verdict)]
    if prepared.layout != "steps" and prepared.question.layout is None:
        laid = words.value_of("layout", prepared.layout)
        hints.append(f"Nobody said how the inputs lie; taken as {laid}. --layout says it.")
    untried = dict.fromkeys((*explanation.untried, *decisions.NOT_SEARCHED))
    remarks = (*explanation.remarks, *hints)
    return replace(explanation, remarks=remarks, untried=tuple(untried))


def _explained(prepared: Prepared, progress: Progress) -> Explanation:
    if len(prepared.model.cells) > 1:
        return explain_network(prepared, progress)
    cases = prepared.cases()
    if not cases:
        raise UserError(prepared.no_place())
    solvers = [Solver(prepared, case, base=prepared.base(case)) for case in cases]
    for solver in solvers:
        for allowance in prepared.allowances:
            verdict = solver.judge((), allowance)
            if verdict.fits:
                return solver.agrees(verdict, allowance)
    if prepared.all_zero:
        return solvers[0].nothing_to_tell()
    return _searched(solvers, progress)


def _searched(solvers: list[Solver], progress: Progress) -> Explanation:
    """The first placement of EXPECTED that a reading fits; else the one that comes nearest."""
    if len(solvers) > 1:
        solvers = sorted(solvers, key=lambda solver: solver.closest)
        for solver in solvers[:MOST_PLACES]:
            if (explanation := solver.solve(progress, levels=1)) is not None:
                return explanation
    best, *others = solvers
    if (explanation := best.solve(progress)) is not None:
        return explanation
    for solver in others[:1]:
        if solver.quick and (explanation := solver.solve(progress, levels=2)) is not None:
            return explanation
    return best.none()
