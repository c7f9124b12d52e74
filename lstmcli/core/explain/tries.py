"""A try, which is all that is changed of a run at a placement, and `accepted`, which decides.

A pass makes tries. Whatever they change, only a full run that meets every known number of EXPECTED
makes one an answer.
"""

from __future__ import annotations

from typing import NamedTuple

from lstmcli.core.explain.causes import Change, Changes, settings_of
from lstmcli.core.explain.execution import Rounding, rounded_agreement
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.placement import Placement
from lstmcli.core.explain.verify import (
    COARSE,
    ROUNDING,
    Agreement,
    Case,
    arrays_if_run,
    compared,
    verify,
)
from lstmcli.core.model.edits import Edit

SOLVED_WITHIN = 4.0  # tolerances: several solved numbers take rounding on


class Try(NamedTuple):
    """All that is changed of a run, to give EXPECTED at a placement."""

    placement: Placement
    changes: Changes = ()  # of settings, next to those of the placement
    edits: tuple[Edit, ...] = ()
    rounding: Rounding | None = None
    solved: int = 0  # numbers that were taken from EXPECTED

    @property
    def run_changes(self) -> Changes:
        """The changes of the run, those of the placement first."""
        return self.placement.run_changes + self.changes

    @property
    def with_dtype(self) -> Changes:
        """The changes, and the dtype of a part that is rounded."""
        if self.rounding is None:
            return self.changes
        return (*self.changes, Change("dtype", self.rounding.dtype))


class Answer(NamedTuple):
    """A try that was run, and how it compares at a tolerance."""

    hypothesis: Try
    agreement: Agreement
    allowance: Allowance
    bits: float = 0.0  # of evidence for edits


def accepted(
    hypothesis: Try, allowance: Allowance | None = None, case: Case | None = None
) -> Answer | None:
    """The answer that a try is if it meets every known number of EXPECTED; None if not.

    ``allowance`` and ``case`` are those of the placement, but for edits of outputs: they change
    what is compared.
    """
    if allowance is None:
        allowance = hypothesis.placement.allowance
    if case is None:
        case = hypothesis.placement.case
    if hypothesis.rounding is not None:
        agreement = rounded_agreement(
            case, hypothesis.run_changes, hypothesis.rounding, allowance
        )
    elif hypothesis.edits:
        agreement = _with_edits(hypothesis, allowance, case)
    else:
        agreement = verify(case, hypothesis.run_changes, allowance)
    return Answer(hypothesis, agreement, allowance) if agreement.fits else None


def _with_edits(hypothesis: Try, allowance: Allowance, case: Case) -> Agreement:
    """How a run with edits compares; in float32 if it does not fit in float64."""
    if hypothesis.solved > 1:
        allowance = allowance.times(SOLVED_WITHIN)
    given = hypothesis.placement.model.edits
    changes = (*hypothesis.run_changes, Change("edits", given + hypothesis.edits))
    agreement = verify(case, changes, allowance)
    if agreement.fits or allowance.absolute < ROUNDING / 2:
        return agreement
    # tables jump with rounding, and so at the same numbers in the same rounding
    coarse = arrays_if_run(case, {**settings_of(changes), **COARSE})
    return compared(coarse, case.expected, allowance)
