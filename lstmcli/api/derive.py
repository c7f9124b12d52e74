"""From a model, inputs and another's results, in files or in memory, to a derivation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lstmcli.api.arguments import Path, Weights, refuse_other_types
from lstmcli.api.diff import Result, side_of
from lstmcli.api.job import Job, job_of
from lstmcli.api.values import refuse_other_arguments
from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.derive import derive as derive_unit
from lstmcli.core.diff.operand import single_as_h
from lstmcli.core.model.model import Inputs, Model

__all__ = ["Derivation", "derive"]


@refuse_other_arguments
def derive(
    model: Model | Weights | Sequence[Weights],
    x: npt.ArrayLike | Path,
    step: int,
    unit: int,
    gate: str | None = None,
    *,
    batch: int = 0,
    cell: str | None = None,
    against: Result | None = None,
    layout: str | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | Path | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    name: str = "the input array",
) -> Derivation:
    """The arithmetic of one unit at one step of a run: ``derive(model, x, 1, 0).line("h").value``.

    ``model``, ``x``, ``layout``, ``initial_state``, ``lengths``, ``mask`` and ``name`` are as
    `lstmcli.run` takes them; ``against`` is whatever `diff` takes: a trace, an array, or a file of
    either. All else is as `lstmcli.core.derive.derive.derive` has it.

    Raises
    ------
    UserError
        for a place that is not there, or a file that cannot be read.
    """
    refuse_other_types(str | None, "text", "derive", gate=gate, cell=cell)
    given = Inputs(np.empty(0), layout, lengths=lengths, mask=mask, name=name)
    job = job_of(model, x, {}, given, initial_state, "derive")
    return derive_in_job(job, step, unit, gate, batch=batch, cell=cell, against=against)


def derive_in_job(
    job: Job, step: int, unit: int, gate: str | None, *, batch: int, cell: str | None,
    against: Result | None,
) -> Derivation:  # fmt: skip
    """The same for a command line."""
    side = None if against is None else single_as_h(side_of(against, "the other side"))
    return derive_unit(
        job.model, job.inputs, step, unit, gate, batch=batch, cell=cell, against=side
    )
