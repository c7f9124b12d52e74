"""From a model, inputs and another's results, in files or in memory, to a derivation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.api.diff import Result, side_of
from lstmcli.api.documents import only_one_stdin
from lstmcli.api.job import InputOptions, read_job
from lstmcli.api.load import checked
from lstmcli.api.values import (
    Path,
    Weights,
    each_of,
    refuse_other_arguments,
    refuse_other_types,
)
from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.derive import derive as derive_unit
from lstmcli.core.diff.naming import single_as_h
from lstmcli.core.model.arrays import ArrayLike
from lstmcli.core.model.model import Model

__all__ = ["Derivation", "derive"]


@refuse_other_arguments
def derive(
    model: Model | Weights | Sequence[Weights],
    x: ArrayLike | Path | None,
    step: int,
    unit: int,
    gate: str | None = None,
    *,
    batch: int = 0,
    cell: str | None = None,
    against: Result | None = None,
    layout: str | None = None,
    initial_state: Mapping[str, ArrayLike] | Path | None = None,
    lengths: ArrayLike | Path | None = None,
    mask: ArrayLike | Path | None = None,
    name: str = "the input array",
    **settings: Any,
) -> Derivation:
    """The arithmetic of one unit at one step of a run: ``derive(model, x, 1, 0).line("h").value``.

    ``model``, ``x``, ``layout``, ``initial_state``, ``lengths``, ``mask``, ``name`` and
    ``settings`` are as `lstmcli.run` takes them; ``against`` is whatever `diff` takes: a trace, an
    array, or a file of either. All else is as `lstmcli.core.derive.derive.derive` has it.

    Raises
    ------
    UserError
        for a place that is not there, or a file that cannot be read.
    """
    refuse_other_types(str | None, "text", "derive", gate=gate, cell=cell)
    options = InputOptions(initial_state, lengths, mask)
    only_one_stdin(*each_of(model), x, *options, against)
    known = checked(settings, "derive", layout)
    job = read_job(model, x, known, options, where="derive", name=name).drained()
    side = None if against is None else single_as_h(side_of(against, "the other side"))
    return derive_unit(
        job.model, job.inputs, step, unit, gate, batch=batch, cell=cell, against=side
    )
