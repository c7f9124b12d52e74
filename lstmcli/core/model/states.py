"""The states of a model: given ones by cells, and those of cells in the axes of the convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lstmcli.core.model.arrays import Array, ArrayLike
from lstmcli.core.model.model import Cell, Model
from lstmcli.errors import UserError

State = tuple[Array, Array]  # h (B, P), c (B, H)


def split_state(
    given: Mapping[str, ArrayLike], model: Model, batch: int
) -> list[State]:
    """h (B, P) and c (B, H) for each cell, in the cells' dtype.

    One cell takes (P,), (1, P), (B, P), (1, B, P) or (B, 1, P); several have the cells where
    `join_states` puts them. An empty ``given`` is the learned state in the weights (Lasagne has
    one), or zero. UserError if one of the two is missing, or shapes do not fit.
    """
    missing = {"h", "c"} - set(given)
    if given and missing:
        raise UserError(
            f"the initial state lacks {missing.pop()}; it needs both h and c."
        )
    cells = [cell for _, cell in model.cells]
    use = model.behaviour.initial_state
    if not given or use == "zero":
        return [_of_cell(_learned_state(cell, use), batch, cell) for cell in cells]
    h, c = np.asarray(given["h"]), np.asarray(given["c"])
    if use == "swapped":
        h, c = c, h
    axes = model.behaviour.states
    each_h = _by_cell(h, [cell.outputs for cell in cells], axes)
    each_c = _by_cell(c, [cell.units for cell in cells], axes)
    if each_h is None or each_c is None or not len(each_h) == len(each_c) == len(cells):
        zeros = [
            (np.zeros((batch, cell.outputs)), np.zeros((batch, cell.units)))
            for cell in cells
        ]
        needed = join_states(zeros, axes, "batch")
        raise UserError(
            f"the initial h is {h.shape} and c {c.shape}; the {len(cells)} cells of this model and "
            f"batch size {batch} need h {needed[0].shape} and c {needed[1].shape}."
        )
    states = zip(each_h, each_c, strict=True)
    return [
        _of_cell(state, batch, cell) for state, cell in zip(states, cells, strict=True)
    ]


def _by_cell(state: Array, widths: Sequence[int], axes: str) -> list[Array] | None:
    """A state by cells, by the convention's axes; None if it does not fit."""
    if len(widths) == 1:
        has_axis_of_cells = state.ndim == 3 and 1 in state.shape[:2]
        return [state.reshape(-1, state.shape[-1]) if has_axis_of_cells else state]
    if axes == "features" or len(set(widths)) > 1:
        if state.shape[-1:] != (sum(widths),):
            return None
        return np.split(state, np.cumsum(widths)[:-1], axis=-1)
    if state.ndim < 2:
        return None
    return list(np.moveaxis(state, -2, 0) if axes == "batch" else state)


def _learned_state(cell: Cell, use: str) -> State:
    """The state in the weights, or zero."""
    h, c = cell.initial_h, cell.initial_c
    if h is None or c is None or use == "zero":
        return np.zeros(cell.outputs), np.zeros(cell.units)
    return h, c


def _of_cell(state: State, batch: int, cell: Cell) -> State:
    """A state of a cell for each batch item, in its dtype."""
    h, c = state
    return _of_items("h", h, cell.outputs, batch, cell), _of_items(
        "c", c, cell.units, batch, cell
    )


def _of_items(name: str, array: Array, width: int, batch: int, cell: Cell) -> Array:
    if array.shape not in ((width,), (1, width), (batch, width)):
        raise UserError(
            f"the initial {name} is {array.shape}; batch size {batch} and {width} units "
            f"need ({width},) or ({batch}, {width})."
        )
    with np.errstate(all="ignore"):
        return np.array(np.broadcast_to(array, (batch, width)), cell.dtype)


def join_states(finals: Sequence[State], axes: str, layout: str) -> State:
    """The last h (B, P) and c (B, H) of one cell; of several, in the axes of the convention.

    ``axes`` "cells": (cells, B, H), "batch": (B, cells, H), "features": (B, cells H). Those of
    different widths are concatenated: (B, H + H' + ...). With the layout "steps" no B is there.
    """
    h, c = zip(*finals, strict=True)
    return _joined(h, axes, layout), _joined(c, axes, layout)


def _joined(arrays: Sequence[Array], axes: str, layout: str) -> Array:
    if layout == "steps":
        arrays = [array[0] for array in arrays]
    if len(arrays) == 1:
        return arrays[0]
    if axes == "features" or len({array.shape[-1] for array in arrays}) > 1:
        return np.concatenate(arrays, axis=-1)
    return np.stack(arrays, axis=-2 if axes == "batch" else 0)
