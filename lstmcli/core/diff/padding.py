"""Which steps of two results count, by the lengths or masks in the settings of their runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import Side
from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import format_lengths


def valid_steps(meta: Mapping[str, Any], steps: Sequence[int], batch: Sequence[int]) -> Mask | None:
    """(T, B): true at steps of a run that count, by its ``meta``; None if it has other steps."""
    lengths, mask = (_array(meta.get(name)) for name in ("lengths", "mask"))
    layout = meta.get("layout")
    rows, columns = np.ix_(steps, batch)
    valid: Mask = np.ones((len(steps), len(batch)), bool)
    try:
        if mask is not None and mask.ndim == (1 if layout == "steps" else 2):
            by_time = mask.T if layout == "batch" else mask.reshape(len(mask), -1)
            valid = by_time[rows, columns] != 0
        elif lengths is not None and lengths.ndim == 1:
            valid = rows < lengths[columns]
    except IndexError:
        return None
    return valid


def _array(value: Any) -> Array | None:
    """Numbers or truth values of a list; None for anything else."""
    try:
        array = np.array(value) if isinstance(value, list) else None
    except ValueError:  # ragged
        return None
    return array if array is not None and array.size and array.dtype.kind in "biu" else None


def padded_steps(sides: Iterable[Side], steps: Sequence[int], batch: Sequence[int]) -> Mask:
    """(T, B): true at steps that no run of some sides computed; one of them may be no run."""
    metas = [side.settings for side in sides if side.settings is not None]
    found = [valid_steps(meta, steps, batch) for meta in metas]
    valid = [one for one in found if one is not None]
    known = bool(valid) and len(valid) == len(found)
    padded: Mask = ~np.any(valid, axis=0) if known else np.zeros((len(steps), len(batch)), bool)
    return padded


def zeroed(numbers: Numbers, padded: Mask) -> Numbers:
    """Numbers (T, B, K) with exact zeros at padded steps (T, B)."""
    return numbers.moved(lambda array: np.where(padded[..., None], array.dtype.type(0), array))


def shown_padding(value: Any) -> Any:
    """Lengths or a mask of ``meta`` in a few words; other settings as they are."""
    array = _array(value)
    if array is None:
        return value
    if array.ndim == 1 and array.dtype.kind != "b":
        return format_lengths(array.tolist())
    return f"{np.count_nonzero(array):,} of {array.size:,} steps"
