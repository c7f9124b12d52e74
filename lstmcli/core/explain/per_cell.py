"""Arrays that several cells share, split by cell: last states, and a merged h."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from lstmcli.core.forward.sequence import direction_axis, has_direction_axis
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError


def by_cell(
    arrays: Mapping[str, Any], model: Model, layout: str, axes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Arrays with those that several cells share taken per_cell: the last states, and a merged h.

    Parameters
    ----------
    arrays
        anything that is indexed as an array is.
    layout, axes
        of the inputs: "steps", "time" or "batch", and the lengths of all axes but the last; without
        them the arrays have the axes of a run.

    Raises
    ------
    UserError
        for last states that have no entry for each cell.
    """
    if len(model.cells) < 2:
        return dict(arrays)
    per_cell: dict[str, Any] = {}
    for name, array in arrays.items():
        if name in ("final_h", "final_c"):
            if (states := _states(name, array, model)) is None:
                raise UserError(_not_every_state(name, array, model))
            per_cell |= states
        elif name == "h" and (parts := _parts(array, model, layout, axes)) is not None:
            last = f"layer{len(model.layers) - 1}"
            per_cell |= dict(zip((f"{last}.h", f"{last}_reverse.h"), parts, strict=False))
        else:
            per_cell[name] = array
    return per_cell


def states_of(array: Any, model: Model) -> dict[str, Any]:
    """An array without a name as the last states of cells; {} if it cannot be that.

    Those of all cells lie as the convention has them, (cells, B, H) or (B, cells, H); those of the
    last layer's two directions may as well be joined, (B, 2 H).
    """
    names = [name for name, _ in model.cells]
    if len(names) < 2:
        return {}
    last = model.layers[-1]
    if array.ndim == 3 and (states := _states("final_h", array, model)) is not None:
        return states
    joined = (sum(cell.outputs for cell in last),)
    if array.ndim < 3 and len(last) == 2 and array.shape[-1:] == joined:
        width = last[0].outputs
        halves = array[..., :width], array[..., width:]
        return {f"{n}.final_h": a for n, a in zip(names[-2:], halves, strict=True)}
    return {}


def one_step_of(array: Any, model: Model) -> dict[str, Any]:
    """An array without a name as a step of stacked directions, ONNX' Y[t]; {} if it cannot be."""
    if not has_direction_axis(model) or array.ndim not in (2, 3):
        return {}
    axis = 1 if model.convention.behaviour.states == "batch" and array.ndim > 2 else 0
    if array.shape[axis] != 2:
        return {}
    halves = [array[:, k] if axis else array[k] for k in (0, 1)]
    names = [name for name, _ in model.cells][-2:]
    return {f"{name}.h": half for name, half in zip(names, halves, strict=True)}


def _states(name: str, array: Any, model: Model) -> dict[str, Any] | None:
    """The last state of each cell, from the axes that a run has; None if they are other ones."""
    names, how = [f"{cell}.{name}" for cell, _ in model.cells], model.convention.behaviour.states
    widths = _widths(name, model)
    if how == "features" or len({*widths}) > 1:  # side by side
        if array.shape[-1:] != (sum(widths),):
            return None
        ends = list(accumulate(widths))
        return {n: array[..., e - w : e] for n, w, e in zip(names, widths, ends, strict=True)}
    axis = 1 if how == "batch" and array.ndim > 2 else 0
    if array.ndim not in (2, 3) or array.shape[axis] != len(names):
        return None
    return {n: array[:, k] if axis else array[k] for k, n in enumerate(names)}


def _widths(name: str, model: Model) -> list[int]:
    """The numbers of a last state of each cell."""
    return [c.outputs if name == "final_h" else c.units for _, c in model.cells]


def _not_every_state(name: str, array: Any, model: Model) -> str:
    count, widths = len(model.cells), _widths(name, model)
    wanted = f"({count}, batch, {widths[0]})"
    if model.convention.behaviour.states == "batch":
        wanted = f"(batch, {count}, {widths[0]})"
    if model.convention.behaviour.states == "features" or len({*widths}) > 1:
        wanted = f"(batch, {sum(widths)})"
    return f"EXPECTED's {name} is {array.shape}; that of {count} cells is {wanted}."


def _parts(array: Any, model: Model, layout: str, axes: Sequence[int] | None) -> list[Any] | None:
    """The output of each cell of the last layer; None if they were added or multiplied."""
    last = model.layers[-1]
    if len(last) == 1:
        return [array]
    how = last[0].convention
    if how.behaviour.merge == "stack":
        own = direction_axis(how, layout)
        axis = own if axes is None else _direction_axis(array.shape, own, axes)
        return None if axis is None else [array[(slice(None),) * axis + (d,)] for d in (0, 1)]
    if array.shape[-1:] != (sum(c.outputs for c in last),):
        return None
    if how.behaviour.merge == "concat":
        return [array[..., : last[0].outputs], array[..., last[0].outputs :]]
    if how.behaviour.merge == "concat_swapped":
        return [array[..., last[1].outputs :], array[..., : last[1].outputs]]
    return None


def _direction_axis(shape: Sequence[int], own: int, axes: Sequence[int]) -> int | None:
    """The axis of EXPECTED that has the directions; None if none of them can.

    It is ``own`` in a run; elsewhere it is known by the axes of the inputs that are left.
    """
    lead, wanted = shape[:-1], _sizes(axes)
    if len(shape) < 3 or (len(shape) == 3 and _sizes(lead) == wanted):
        return None  # one direction, or their sum
    two = [axis for axis, size in enumerate(lead) if size == 2]
    whole = [a for a in two if _sizes([*lead[:a], *lead[a + 1 :]]) == wanted]
    for known in (whole, [a for a in two if a == own]):
        if known:
            return own if own in known else known[0]
    return None


def _sizes(axes: Sequence[int]) -> list[int]:
    """The lengths of axes in any order, without those of length 1."""
    return sorted(n for n in axes if n != 1)
