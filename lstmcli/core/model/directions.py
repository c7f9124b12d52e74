"""Where two directions are in an array that has them on an axis of their own.

(T, 2, B, H) of ONNX; with the batch first (B, T, 2, H) or (B, 2, T, H); (T, 2, H) of one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention

if TYPE_CHECKING:
    from lstmcli.core.model.model import Model


def direction_axis(convention: Convention, layout: str) -> int:
    """The axis of directions where they are stacked: (T, D, B, H), (T, D, H), (B, T, D, H)...

    With the batch first, states that have it first too put the directions next
    to it: (B, D, T, H).
    """
    return 2 if layout == "batch" and convention.behaviour.states != "batch" else 1


def has_direction_axis(model: Model) -> bool:
    """Return whether h has an axis of directions."""
    last = model.layers[-1]
    return len(last) == 2 and last[0].behaviour.merge == "stack"


def axes_of_run(ndim: int, layout: str, states: str) -> tuple[int, int | None]:
    """The axes of steps and of batch items, besides one of directions."""
    if layout == "steps":
        return 0, None
    is_stacked = ndim > 3
    if layout == "time":
        return 0, 2 if is_stacked else 1
    return 2 if is_stacked and states == "batch" else 1, 0


def steps_of(shape: Sequence[int], layout: str) -> int:
    """The number of steps in an array of a run, whose directions may be stacked."""
    if layout != "batch":
        return shape[0]
    if len(shape) == 4:  # (B, T, 2, H) or (B, 2, T, H)
        return shape[1] * shape[2] // 2
    return shape[1]


def possible_axes(shape: Sequence[int], layout: str | None) -> list[int]:
    """The axes of four on which directions may be stacked by their length, the likeliest first."""
    if len(shape) != 4:
        return []
    ordered = (2, 1) if layout == "batch" else (1, 2)
    return [axis for axis in ordered if shape[axis] == 2]


def axes_of_two(lengths: Sequence[int]) -> list[int]:
    """The axes that have the length of two directions."""
    return [axis for axis, size in enumerate(lengths) if size == 2]


def without_axis(shape: Sequence[int], axis: int) -> list[int]:
    """The lengths of the other axes."""
    return [size for at, size in enumerate(shape) if at != axis]


def side_by_side(array: Array, axis: int) -> Array:
    """The array with directions on an axis side by side: (T, 2, B, H) becomes (T, B, 2 H)."""
    lead = without_axis(array.shape[:-1], axis)
    return np.moveaxis(array, axis, -2).reshape(*lead, -1)
