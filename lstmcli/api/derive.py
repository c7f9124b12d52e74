"""From a model, inputs and another's results, in files or in memory, to a derivation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.api.contents import inputs_of
from lstmcli.api.diff import Result, side_of
from lstmcli.api.job import array_of, job_of
from lstmcli.api.values import Path, Weights, is_path, numbers_of
from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.derive import derive as derive_unit
from lstmcli.core.diff.operand import single_as_h
from lstmcli.core.model.model import Model

__all__ = ["Derivation", "derive"]


def derive(
    model: Model | Weights | Sequence[Weights],
    x: npt.ArrayLike | Path,
    step: int,
    unit: int,
    gate: str | None = None,
    *,
    against: Result | None = None,
    **given: Any,
) -> Derivation:
    """The arithmetic of one unit at one step of a run: ``derive(model, x, 1, 0).line("h").value``.

    ``model`` and ``x`` are whatever `lstmcli.run` takes, ``against`` is whatever `diff` takes: a
    trace, an array, or a file of either. All else is as `lstmcli.core.derive.derive.derive` has it.

    Raises
    ------
    UserError
        for a place that is not there, or a file that cannot be read.
    """
    if not isinstance(model, Model):
        job = job_of(model, x, {}, "derive")
        model, x = job.model, np.asarray(array_of(job))
        given = {"initial_state": job.initial_state, **given}
        if not {"lengths", "mask"} & {*given}:
            given |= {"lengths": job.lengths, "mask": job.mask}
    elif is_path(x):
        x = inputs_of(formats.read(os.fspath(x)))
    side = None if against is None else single_as_h(side_of(against, "the other side"))
    return derive_unit(model, numbers_of(x, "the inputs"), step, unit, gate, against=side, **given)
