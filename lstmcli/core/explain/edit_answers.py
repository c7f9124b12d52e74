"""Which edits give EXPECTED: cheap runs drop most tries, `accepted` decides, evidence is asked for.

A try goes up to the step at which the run as loaded is off first, where nearly all wrong ones fail.
"""

from __future__ import annotations

import math

import numpy as np

from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.edited_runs import SLACK, EditedRuns
from lstmcli.core.explain.tries import Answer, Try, accepted
from lstmcli.core.explain.verify import SOME
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import Stage, edits_in

LEAST_BITS = 24.0  # of evidence, beyond what was chosen and solved for
MORE_NUMBERS = 3  # that an edit explains than were solved for
MOST_BITS = 40.0  # of one number: log2 of how far off it was
OF_MANY_RUNS: tuple[Stage, ...] = ("schedule", "stack", "shared")
SOLVED_STEPS = 3  # from the first that is off, which solved numbers have to give


def answer_of(runs: EditedRuns, hypothesis: Try) -> Answer | None:
    """The answer that edits are, if they give EXPECTED and show in enough of its numbers."""
    answer = fitting(runs, hypothesis)
    if answer is None:
        return None
    edits, agreement = hypothesis.edits, answer.agreement
    without = []
    if edits:
        without.append(runs.off(runs.base, edits))
    if runs.changes:
        without.append(EditedRuns(runs.placement).off_with(edits))
    seen = agreement.total / (agreement.total + agreement.blind)
    bits = [bits_of(runs, off, hypothesis.solved, seen) for off in without]
    return answer._replace(bits=min(bits)) if all(bits) else None


def fitting(runs: EditedRuns, hypothesis: Try) -> Answer | None:
    """The answer that edits are, if they meet every known number, however few."""
    edits = hypothesis.edits
    case = runs.case_for(edits)
    if case is None:
        return None
    runs.case.work.variants += 1
    if _shows_early(hypothesis) and _is_off_early(runs, hypothesis):
        return None
    was_off = np.abs(runs.off(runs.base, edits)) > SLACK
    is_right = np.abs(runs.off_with(edits))[was_off] <= SLACK
    if is_right.sum() < SOME * was_off.sum():  # no rounding, however it grows
        return None
    return accepted(hypothesis, case=case)


def _shows_early(hypothesis: Try) -> bool:
    """Tell whether first steps by themselves are those of the whole run."""
    # of first steps statistics are others
    of_outputs = edits_in("outputs", hypothesis.edits)
    if any(edit.kind.of_sequence for edit in of_outputs):
        return False
    # a first step by itself is run once, layer by layer
    if any(edits_in(stage, hypothesis.edits) for stage in OF_MANY_RUNS):
        return False
    # edits of a head need other steps, or are no steps
    return not edits_in("head", hypothesis.edits)


def _is_off_early(runs: EditedRuns, hypothesis: Try) -> bool:
    """Tell whether a try is off at the first steps, or the first that are off."""
    edits = hypothesis.edits
    if runs.is_off_at_first and largest(np.abs(runs.first.off_with(edits))) > SLACK:
        return True
    if runs.first_off is None:
        return False
    # solved numbers fit there by construction
    until = runs.steps_after_first(SOLVED_STEPS if hypothesis.solved else 1)
    return largest(np.abs(runs.off_with(edits, until))) > SLACK


def bits_of(runs: EditedRuns, off: Array, solved: int, seen: float = 1.0) -> float:
    """The bits of evidence; 0 if these, or their numbers, are too few.

    ``off`` is how far off the run without the edits is, ``seen`` the share of numbers that could
    be compared. Each of EXPECTED's numbers counts by how far off it was. Solved numbers account for
    as many, those furthest off; the choice of a try costs its bits.
    """
    size = np.minimum(np.log2(np.maximum(np.abs(off), 1)), MOST_BITS)
    distinct = runs.expected.distinct(runs.placement.allowance)
    share = min(seen, distinct / max(1, off.size))
    counted = np.sort(size)[: max(0, len(size) - solved)]
    chosen = math.log2(max(2, runs.case.work.variants))
    bits = float(counted.sum()) * share - chosen
    is_shown = int((size > 0).sum() * share) >= solved + MORE_NUMBERS
    return bits if bits >= LEAST_BITS and is_shown else 0.0
