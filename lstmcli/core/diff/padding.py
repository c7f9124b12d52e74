"""Steps that lengths or a mask leave out of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import format_lengths


def without_padding(pair: Pair, sides: Sequence[Side]) -> Pair:
    """A pair whose padded steps are zero, and marked as not compared."""
    if not pair.stepwise or pair.agrees is None:
        return pair
    steps = pair.indices[0] or range(pair.a.shape[0])
    items = pair.indices[1] or range(pair.a.shape[1])
    padded = padded_steps(sides, steps, items)
    if not padded.any():
        return pair
    zeroed = pair.moved(lambda v: np.where(padded[..., None], v.dtype.type(0), v))
    return replace(zeroed, padded=padded)


def padded_steps(
    sides: Iterable[Side], steps: Sequence[int], batch: Sequence[int]
) -> Mask:
    """(T, B): true at steps that no run of some sides computed."""
    settings = [side.settings for side in sides if side.settings is not None]
    of_each = [_padded_steps(one, steps, batch) for one in settings or [{}]]
    padded: Mask = np.all(of_each, axis=0)
    return padded


def _padded_steps(
    settings: Mapping[str, Any], steps: Sequence[int], batch: Sequence[int]
) -> Mask:
    """(T, B): true at steps that a run did not compute; none if it is of other steps."""
    lengths, mask = _array(settings.get("lengths")), _array(settings.get("mask"))
    rows, columns = np.ix_(steps, batch)
    padded: Mask = np.zeros((len(steps), len(batch)), bool)
    try:
        if mask is not None:
            is_batch = settings.get("layout") == "batch"
            by_time = mask.T if is_batch else mask.reshape(len(mask), -1)
            padded[:] = by_time[rows, columns] == 0
        elif lengths is not None:
            padded[:] = rows >= lengths[columns]
    except (IndexError, ValueError):  # a run of other steps
        pass
    return padded


def _array(value: Any) -> Array | None:
    """A list of ``meta`` as an array; None for anything else."""
    if not isinstance(value, list):
        return None
    try:
        array = np.array(value)
    except ValueError:  # ragged
        return None
    return array if array.size and array.dtype.kind in "biu" else None


def shown_padding(value: Any) -> Any:
    """Lengths or a mask of ``meta`` in a few words; other settings as they are."""
    array = _array(value)
    if array is None:
        return value
    if array.ndim == 1 and array.dtype.kind != "b":
        return format_lengths(array.tolist())
    return f"{np.count_nonzero(array):,} of {array.size:,} steps"
