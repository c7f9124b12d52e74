"""Edits of stored tensors, before they are decoded; and of models that are loaded already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.edits import TENSORS, Edit, edits_in
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError


def edited_tensors(
    by_role: Mapping[str, Array | dict[str, Array]],
    edits: Sequence[Edit],
    cell: str,
    convention: Convention,
) -> dict[str, Array | dict[str, Array]]:
    """The tensors of a cell as edits of stored tensors leave them.

    They are computed in float64, whatever is stored and run: a number half way between two rounded
    ones has to become the same one in runs of every number type.
    """
    edited, along = dict(by_role), _along(convention)
    for edit in (edit for edit in edits_in(TENSORS, edits) if edit.is_for(cell)):
        for role, tensor in edited.items():
            if isinstance(tensor, dict):
                edited[role] = {
                    gate: edit.apply(a.astype(np.float64), along if a.ndim > 1 else -1, 1)
                    for gate, a in tensor.items()
                }
            else:
                axis = _gates_axis(tensor, by_role.get("bias"), convention)
                gates = len(convention.storage.gates)
                edited[role] = edit.apply(tensor.astype(np.float64), axis, gates)
    return edited


def _gates_axis(
    tensor: Array, bias: Array | dict[str, Array] | None, convention: Convention
) -> int:
    """The axis of a tensor's gates: that of the size of the bias, or as the convention has it."""
    if isinstance(bias, np.ndarray) and tensor.ndim > 1:
        size = bias.shape[-1] // convention.storage.bias_halves
        fitting = [n for n in (-1, -2) if tensor.shape[n] == size]
        if len(fitting) == 1:
            return fitting[0]
    return _along(convention) if tensor.ndim > 1 else -1


def _along(convention: Convention) -> int:
    """The axis of gates and units of a convention's matrices."""
    return -2 if convention.storage.orientation == "rows" else -1


def with_edits(model: Model, edits: Sequence[Edit]) -> Model:
    """A loaded model with further edits.

    Raises
    ------
    UserError
        for an edit of stored tensors, which a loaded model does not have.
    """
    for edit in edits_in(TENSORS, edits):
        raise UserError(
            "a loaded model has no stored tensors, which this edit changes; give it to load().",
            about={"edit": edit.text},
        )
    return replace(model, edits=(*model.edits, *edits))
