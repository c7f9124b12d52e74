"""Tensors in some convention as a `Cell`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.model import Cell
from lstmcli.core.weights.storage import STEPS
from lstmcli.core.weights.stored import KERNELS, Stored, Tensors, role_name
from lstmcli.errors import UserError


def decode(tensors: Tensors, convention: Convention, source: str) -> Cell:
    """The cell that these tensors are under a convention, its settings already changed.

    By role: ``kernel`` and ``recurrent_kernel``, or ``fused`` with both; optionally ``bias``,
    ``recurrent_bias``, ``peephole``, ``projection`` and the other fields of `Cell`. UserError, with
    the shapes that would fit, for others.
    """
    stored = Stored(tensors, convention, source)
    with np.errstate(
        all="ignore"
    ):  # of NaN or infinite weights; the run shows the effect
        for step in STEPS:
            stored = step.read(stored)
        cell = _cell(stored)
    _check(cell, stored)
    return cell


def _cell(stored: Stored) -> Cell:
    arrays: dict[str, Any] = {}
    for slot, array in stored.tensors.items():
        arrays[slot.role] = array
    for role in KERNELS:
        arrays[role] = np.ascontiguousarray(arrays[role])
    if stored.convention.behaviour.peepholes == "ignored":
        arrays.pop("peephole", None)
    if "norm_scale" not in arrays:
        arrays.pop("norm_shift", None)
    return Cell(**arrays, convention=stored.convention)


def _check(cell: Cell, stored: Stored) -> None:
    """Refuse a cell whose parts differ in their numbers of units."""
    H = cell.units
    if cell.projection is None and cell.outputs != H:
        raise stored.error(
            f"the recurrent kernel takes {cell.outputs} numbers of {H} units: a projection "
            f"({cell.outputs}, {H}) is missing"
        )
    others = cell.recurrent_kernel.shape[1]
    if others != H:
        raise stored.error(
            f"the kernel has {H} units and the recurrent kernel {others}"
        )
    peephole = (3, H, H) if stored.convention.names.peephole_matrices else (3, H)
    expected = {
        "peephole": peephole,
        "norm_scale": (4, H),
        "norm_shift": (4, H),
        "state_scale": (H,),
        "state_shift": (H,),
    }
    for role, shape in expected.items():
        array = getattr(cell, role)
        if array is not None and array.shape != shape:
            text = f"the {role_name(role)} is {array.shape}, but there are {H} units"
            raise stored.error(text)
    _check_projection_bias(cell, stored)


def _check_projection_bias(cell: Cell, stored: Stored) -> None:
    bias = cell.projection_bias
    if bias is None:
        return
    if cell.projection is None:
        raise stored.error(
            f"the projection bias is {bias.shape}, but there is no projection"
        )
    if bias.shape != (cell.outputs,):
        gives = f"the projection gives {cell.outputs} numbers"
        raise stored.error(f"the projection bias is {bias.shape}, but {gives}")


# ---- directions


def split_directions(
    tensors: Tensors, convention: Convention, source: str
) -> list[Tensors]:
    """The tensors of each direction, where directions are the first axis.

    UserError if that axis is not 1 or 2 in all of them.
    """
    arrays = {slot: array for slot, array in tensors.items() if not slot.gate}
    has_axis = any(array.ndim > 2 for array in arrays.values())
    if not convention.storage.direction_axis or not has_axis:
        return [tensors]
    counts = {array.shape[:1] for array in arrays.values()}
    if counts not in ({(1,)}, {(2,)}):
        each = [
            f"{role_name(slot.role)} {array.shape}" for slot, array in arrays.items()
        ]
        raise UserError(
            f"{source}: {', '.join(each)}; the first axis of each is the directions, 1 or 2."
        )
    (count,) = counts.pop()
    return [{slot: array[n] for slot, array in arrays.items()} for n in range(count)]


def stack_directions(cells: list[Tensors]) -> Tensors:
    """The tensors of a layer's directions, on a first axis: the inverse of `split_directions`."""
    return {slot: np.stack([one[slot] for one in cells]) for slot in cells[0]}


def are_pairs(cells: Sequence[Cell]) -> bool:
    """Return whether cells of one running number, as of Chainer's NStepBiLSTM, are two a layer.

    Two directions of a layer take the same inputs, a second layer the outputs of the first.
    """
    if len(cells) < 2 or len(cells) % 2 or cells[0].inputs != cells[1].inputs:
        return False
    may_be_stack = cells[1].inputs == cells[0].outputs and len(cells) == 2
    return not may_be_stack  # interpreted as a stack


# ---- weight norm


def fold_weight_norm(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Tensors with PyTorch's weight norm multiplied out: W = g v / |v|, row by row.

    The old form is ``weight_hh_l0_g`` and ``_v``, the new one
    ``parametrizations.weight_hh_l0.original0`` and ``original1``.
    """
    folded = dict(tensors)
    for name, g in tensors.items():
        product, direction = _weight_norm_names(name)
        v = tensors.get(direction)
        if v is None or product in tensors:
            continue
        if v.ndim == 2 and g.shape == (len(v), 1):
            del folded[name], folded[direction]
            with np.errstate(all="ignore"):  # a row of zeros becomes NaN, as in PyTorch
                folded[product] = g * v / np.sqrt((v * v).sum(axis=1, keepdims=True))
    return folded


def _weight_norm_names(name: str) -> tuple[str, str]:
    """The names of W and v, by that of g; "" if it is none."""
    stem = name.removesuffix("_g")
    if stem != name:
        return stem, f"{stem}_v"
    stem = name.removesuffix(".original0")
    if stem != name:
        return stem.replace("parametrizations.", "", 1), f"{stem}.original1"
    return "", ""
