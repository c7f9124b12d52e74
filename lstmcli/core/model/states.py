"""Initial and final states: in the axes of a convention, and split by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Model
from lstmcli.errors import UserError

State = tuple[Array, Array]  # h (B, P), c (B, H)


def split_state(given: Mapping[str, npt.ArrayLike], model: Model, batch: int) -> list[State]:
    """h (B, P) and c (B, H) for each cell, in the cells' dtype.

    One cell takes (P,), (1, P), (B, P), (1, B, P) or (B, 1, P); several have the cells where
    `join_states` puts them. ``given`` may be empty: then it is the learned state in the weights
    (Lasagne has one), or zero. UserError if one of the two is missing, or shapes do not fit.
    """
    missing = {"h", "c"} - set(given)
    if given and missing:
        raise UserError(f"the initial state lacks {missing.pop()}; it needs both h and c.")
    cells = [cell for _, cell in model.cells]
    initial_state = model.convention.behaviour.initial_state
    if not given or initial_state == "zero":
        return [_stored_state(cell, batch, initial_state) for cell in cells]
    if initial_state == "swapped":
        given = {"h": given["c"], "c": given["h"]}
    states = model.convention.behaviour.states
    widths = {"h": [cell.outputs for cell in cells], "c": [cell.units for cell in cells]}
    h, c = (_split_by_cell(np.asarray(given[name]), widths[name], states) for name in "hc")
    if not len(h) == len(c) == len(cells):
        found = " and c ".join(str(np.shape(given[name])) for name in "hc")
        zeros = [(np.zeros((batch, cell.outputs)), np.zeros((batch, cell.units))) for cell in cells]
        needed = " and c ".join(str(one.shape) for one in join_states(zeros, states, "batch"))
        raise UserError(
            f"the initial h is {found}; the {len(cells)} cells of this model and batch size "
            f"{batch} need h {needed}."
        )
    return [
        (_state("h", a, cell.outputs, batch, cell), _state("c", b, cell.units, batch, cell))
        for a, b, cell in zip(h, c, cells, strict=True)
    ]


def _split_by_cell(array: Array, widths: Sequence[int], states: str) -> list[Array]:
    """A state by cells, from the axes that the convention gives it; another number if it cannot."""
    if len(widths) == 1:
        has_axis_of_cells = array.ndim == 3 and 1 in array.shape[:2]
        return [array.reshape(-1, array.shape[-1]) if has_axis_of_cells else array]
    if states == "features" or len(set(widths)) > 1:
        if array.shape[-1:] != (sum(widths),):
            return []
        return np.split(array, np.cumsum(widths)[:-1], axis=-1)
    if array.ndim < 2:
        return []
    return list(np.moveaxis(array, -2, 0) if states == "batch" else array)


def _stored_state(cell: Cell, batch: int, initial_state: str) -> State:
    zero = np.zeros(cell.outputs), np.zeros(cell.units)
    h, c = cell.initial_h, cell.initial_c
    if h is None or c is None or initial_state == "zero":
        h, c = zero
    return _state("h", h, cell.outputs, batch, cell), _state("c", c, cell.units, batch, cell)


def _state(name: str, array: Array, width: int, batch: int, cell: Cell) -> Array:
    if array.shape not in ((width,), (1, width), (batch, width)):
        raise UserError(
            f"the initial {name} is {array.shape}; batch size {batch} and {width} units "
            f"need ({width},) or ({batch}, {width})."
        )
    with np.errstate(all="ignore"):
        return np.array(np.broadcast_to(array, (batch, width)), cell.dtype)


def join_states(finals: Sequence[State], states: str, layout: str) -> State:
    """The last h (B, P) and c (B, H) of one cell; of several, in the axes of the convention.

    ``states`` "cells": (cells, B, H), "batch": (B, cells, H), "features": (B, cells H). Those of
    different widths are concatenated: (B, H + H' + ...). With the layout "steps" no B is there.
    """

    def joined(arrays: tuple[Array, ...]) -> Array:
        by_cell = [array[0] for array in arrays] if layout == "steps" else arrays
        if len(arrays) == 1:
            return by_cell[0]
        if states == "features" or len({array.shape[-1] for array in arrays}) > 1:
            return np.concatenate(by_cell, axis=-1)
        return np.stack(by_cell, axis=-2 if states == "batch" else 0)

    h, c = (joined(arrays) for arrays in zip(*finals, strict=True))
    return h, c
