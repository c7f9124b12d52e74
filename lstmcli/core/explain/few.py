"""A large question, asked first of a few of its rows and steps: what fails there fails.

A whole run of a large network takes long, and hundreds of readings are run. Nearly all are wrong,
which two rows and the first steps show as well as all of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.judge import Case
from lstmcli.core.explain.space import Changes
from lstmcli.core.forward.batch import seconds
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model, as_time_major

QUICK = 2e-4  # seconds of a run that need not be spared
ROWS, STEPS = 2, 4
SHARED = 8  # rows of a batch that are run for all places of EXPECTED together
NUMBERS = 64  # known ones that the first steps have to hold

OF_ALL = frozenset({"layout", "reverse", "flip_output", "state", "masked_output", "lengths"})
"""Settings that change which rows or steps belong together."""


def few_of(case: Case, model: Model) -> Case | None:
    """Some rows of a case, and of a forward network the first steps; None if it is small."""
    x = np.asarray(case.x)
    expected = case.expected[case.layout]
    steps, rows = as_time_major(x, case.layout).shape[:2]
    if seconds(rows, steps, model) < QUICK or case.layout == "steps" or case.initial_state:
        return None
    chosen = np.arange(rows) if case.kept and rows <= SHARED else _known_rows(expected, rows)[:ROWS]
    cut = slice(0, steps if model.backward or expected.finals else STEPS)
    part = _part(expected, cut, chosen)
    if part.numbers < NUMBERS:
        cut = slice(0, steps)
        part = _part(expected, cut, chosen)
    if not part.numbers or (len(chosen) == rows and cut.stop >= steps):
        return None
    own = (chosen, cut) if case.layout == "batch" else (cut, chosen)
    return replace(
        case,
        x=x[own],
        expected={case.layout: part},
        lengths=None if case.lengths is None else np.minimum(case.lengths[chosen], cut.stop),
        mask=None if case.mask is None else np.asarray(case.mask)[own],
        kept=case.kept and case.kept.of(*chosen, cut.stop),
    )


def tells(changes: Changes) -> bool:
    """Whether a few rows and steps say of a reading what all of them do."""
    return not any(change.setting.rpartition(".")[2] in OF_ALL for change in changes)


def _known_rows(expected: Expected, rows: int) -> Array:
    """The rows of which EXPECTED knows anything, in order."""
    known = np.zeros(rows, bool)
    for _, one in expected.all():
        known |= np.isfinite(one.values).any(axis=(*range(one.values.ndim - 2), -1))
    return np.flatnonzero(known)


def _part(expected: Expected, steps: slice, rows: Array) -> Expected:
    def sampled(known: Known) -> Known:
        if known.values.ndim == 2:  # a last state, (B, K)
            return Known(known.values[rows], known.half[rows])
        return Known(known.values[steps][:, rows], known.half[steps][:, rows])

    return replace(
        expected,
        sequences={name: sampled(known) for name, known in expected.sequences.items()},
        finals={name: sampled(known) for name, known in expected.finals.items()},
    )
