"""From a model, inputs and another's results, in files or in memory, to a derivation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lstmcli.api.diff import Result, side_of
from lstmcli.api.documents import only_one_stdin
from lstmcli.api.job import InputOptions, read_job
from lstmcli.api.load import checked
from lstmcli.api.values import (
    Path,
    StateLike,
    Weights,
    each_of,
    refuse_other_arguments,
    refuse_other_types,
)
from lstmcli.core.derive.derivation import Derivation
from lstmcli.core.derive.derive import derive as derive_unit
from lstmcli.core.derive.output import derive_output
from lstmcli.core.diff.names import single_as_h
from lstmcli.core.model.arrays import ArrayLike
from lstmcli.core.model.model import Model
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError

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
    array: str | None = None,
    against: Result | None = None,
    layout: str | None = None,
    initial_state: StateLike | None = None,
    lengths: ArrayLike | Path | None = None,
    mask: ArrayLike | Path | None = None,
    name: str = "the input array",
    **settings: Any,
) -> Derivation:
    """The arithmetic of one unit at one step of a run, term by term.

    Parameters
    ----------
    model, x, layout, initial_state, lengths, mask, name
        as for `lstmcli.run`. All of the batch is run, since the bits of a
        sequence may depend on it.
    step, unit, batch
        indices in the trace, from 0; a negative one counts from the end.
        Without ``cell``, a unit of both directions side by side is one of its
        cell too.
    gate
        "i", "f", "g" or "o": this gate, then c and h; without it all gates.
    cell
        of several cells, the name of one: "layer0", "layer1_reverse".
    array
        "y": ``unit`` is an output of the model's head, whose sum over h is
        shown; by default the arithmetic is that of h.
    against
        results of another implementation, as `lstmcli.diff` takes them; each
        line for which they have a number gets it.
    **settings
        as for `lstmcli.load`, where ``model`` is not loaded yet.

    Raises
    ------
    UserError
        for a position that is not in the run, or a file that cannot be read.

    Examples
    --------
    >>> found = lstmcli.derive("demo/weights.npz", "demo/inputs.npy", 1, 0, gate="f")
    >>> found
    <Derivation of f: step 1, batch 0, unit 0; f 0.885312, c -0.444966, h -0.222436>
    >>> found.line("f").formula, found.sums["f"].terms[0].name
    ('sigmoid(z_f)', 'forget bias')
    """
    refuse_other_types(str | None, "text", "derive", gate=gate, cell=cell, array=array)
    options = InputOptions(initial_state, lengths, mask)
    only_one_stdin(*each_of(model), x, *options, against)
    known = checked(settings, "derive", layout)
    job = read_job(model, x, known, options, where="derive", name=name).drained()
    side = None
    if against is not None:
        side = side_of(against, "the other side")
        if array != Y:
            side = single_as_h(side)
        side = replace(side, layout=side.layout or known.get("layout"))
    if array == Y:
        for name, value in (("gate", gate), ("cell", cell)):
            if value is not None:
                text = "y is made of h of the last layer; leave it out."
                raise UserError(text, about={name: value})
        return derive_output(
            job.model, job.inputs, step, unit, batch=batch, against=side
        )
    if array not in (None, "h"):
        raise UserError("takes h or y.", about={"array": array})
    return derive_unit(
        job.model, job.inputs, step, unit, gate, batch=batch, cell=cell, against=side
    )
