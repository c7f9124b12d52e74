"""Arrays brought to (T, B, H) by the layout of their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np

from lstmcli.core.diff.operand import SEQUENCE, ArrayName, Side
from lstmcli.core.diff.printed import put_at
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.model.model import as_time_major, from_time_major
from lstmcli.core.model.part import WHOLE
from lstmcli.errors import UserError


def layout_by_shape(*sides: Numbers) -> str:
    """The layout of silent sides: time first, unless that is 1 on all of them."""
    firsts = [side.shape[0] for side in sides if len(side.shape) == 3]
    return "batch" if firsts and all(n == 1 for n in firsts) else "time"


def sequence(array: Numbers, layout: str | None) -> Numbers | None:
    """An array as (T, B, H) by its layout, or as it lies; None of more axes."""
    layout = layout or layout_by_shape(array)
    spare = [axis for axis, n in enumerate(array.shape[:-1]) if n == 1]
    dropped = tuple(spare[: max(len(array.shape) - 3, 0)])
    array = array.moved(lambda v: v.squeeze(dropped))
    if len(array.shape) > 3:
        return None
    if len(array.shape) < 3:  # (H,) is one step, (T, H) one sequence
        return array.moved(lambda v: v.reshape(prod(v.shape[:-1]), 1, v.shape[-1]))
    is_batch = layout == "batch" or (layout == "steps" and array.shape[0] == 1)
    return array.moved(lambda v: v.swapaxes(0, 1)) if is_batch else array


def with_all_steps(
    side: Side, shapes: Mapping[str, tuple[int, ...]], layout: str
) -> Side:
    """A side with some steps of a run, by their indices, as one with all.

    The others count as left out. ``shapes`` are the run's: (T, K), (B, T, K) or (T, B, K).
    """
    axes = side.layout if side.layout in ("batch", "time") else layout
    found: dict[str, Numbers] = {}
    for name in side.arrays:
        of_run = shapes.get(name or "h")
        is_sequence = ArrayName.of(name or "h").kind == SEQUENCE
        if of_run is None or name in side.gaps or not is_sequence:
            continue
        shape = as_time_major(np.broadcast_to(0.0, of_run), layout).shape
        full = _among_all_steps(side, name, axes, shape)
        found[name] = full.moved(lambda array: from_time_major(array, axes))
    return replace(side.with_numbers(found), layout=axes, part=WHOLE)


def _among_all_steps(
    side: Side, name: str, layout: str | None, shape: tuple[int, ...]
) -> Numbers:
    """An array with some steps of a run at their places in one (T, B, K) with all."""
    part = sequence(side.numbers(name), layout)
    if part is not None and part.shape[1:] == shape[1:]:
        steps = side.indices(name, 0, len(part.values))
        if steps is not None and steps[-1] < shape[0]:
            return put_at(part, (np.asarray(steps),), shape)
    raise UserError(
        f"{side.name}: {name or 'the array'} contains {side.part.description}; "
        f"this run is {shape} as (steps, batch, units)."
    )
