"""Edits of stored tensors, before they are decoded; and of models that are loaded already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.edits import TENSORS, Edit, edits_in
from lstmcli.core.model.model import Model
from lstmcli.core.weights.decode import Tensors
from lstmcli.errors import UserError


def edited_tensors(
    by_role: Mapping[str, Array | dict[str, Array]],
    edits: Sequence[Edit],
    cell: str,
    convention: Convention,
) -> Tensors:
    """The tensors of a cell as edits of stored tensors leave them."""
    edited = dict(by_role)
    for edit in (edit for edit in edits_in(TENSORS, edits) if edit.is_for(cell)):
        for role, tensor in edited.items():
            if isinstance(tensor, Mapping):
                edited[role] = {g: edit.apply(a, role, 0) for g, a in tensor.items()}
            else:
                axis = _gates_axis(tensor, by_role.get("bias"), convention)
                edited[role] = edit.apply(tensor, role, axis)
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
    return -2 if tensor.ndim > 1 and convention.storage.orientation == "rows" else -1


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
