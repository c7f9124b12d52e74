"""Which steps of two results count, by the lengths or masks in the settings of their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstmcli.core.diff.tolerance import Mask, Numbers
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import as_time_major, format_lengths


@dataclass(frozen=True, eq=False)
class Padding:
    """The lengths (B,), or the mask (T, B), of a run."""

    lengths: Array | None = None
    mask: Mask | None = None

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any] | None) -> Padding | None:
        """That of a trace; None for a result that is none, which may have any ``meta``."""
        if meta is None:
            return None
        lengths, mask = (_array(meta.get(name)) for name in ("lengths", "mask"))
        layout, axes = meta.get("layout"), 1 if meta.get("layout") == "steps" else 2
        if mask is not None and mask.ndim == axes and layout in ("steps", "time", "batch"):
            return cls(mask=as_time_major(mask.astype(bool)[..., None], str(layout))[..., 0])
        return cls(lengths if lengths is not None and lengths.ndim == 1 else None)

    def valid(self, steps: Sequence[int], batch: Sequence[int]) -> Mask | None:
        """(T, B): true at steps that count, by their numbers in the run; None if it has others."""
        rows, columns = np.ix_(steps, batch)
        valid: Mask = np.ones((len(steps), len(batch)), bool)
        try:
            if self.mask is not None:
                valid = self.mask[rows, columns]
            elif self.lengths is not None:
                valid = rows < self.lengths[columns]
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


def valid_in_either(
    paddings: tuple[Padding | None, Padding | None], steps: Sequence[int], batch: Sequence[int]
) -> Mask | None:
    """(T, B): true at steps that count in a side; None if no side tells or all do."""
    either: Mask = np.zeros((len(steps), len(batch)), bool)
    for padding in paddings:
        valid = None if padding is None else padding.valid(steps, batch)
        if padding is not None and valid is None:
            return None
        either |= False if valid is None else valid
    return either if any(paddings) and not either.all() else None


def zeroed(numbers: Numbers, padded: Mask) -> Numbers:
    """Numbers (T, B, K) with exact zeros at padded steps (T, B)."""
    return numbers.moved(lambda array: np.where(padded[..., None], array.dtype.type(0), array))


def ends(wide: Numbers, valid: Mask) -> Mapping[str, Numbers]:
    """What may be saved of each sequence of a run (T, B, K), as (1, B, K), by its words."""
    T, B, K = wide.shape
    items, first = np.arange(B), valid.argmax(axis=0)
    last = T - 1 - valid[::-1].argmax(axis=0)
    at_last, at_first = (wide[steps, items][None] for steps in (last, first))
    found = {"the last valid step of each sequence of": at_last}
    if K % 2 == 0:
        text = "the final states of both directions, at the last and the first valid step, of"
        found[text] = Numbers(
            np.concatenate([at_last.values[..., : K // 2], at_first.values[..., K // 2 :]], -1),
            None if wide.unit is None else at_last.unit,
        )
    return found


def shown_padding(value: Any) -> Any:
    """Lengths or a mask of ``meta`` in a few words; other settings as they are."""
    array = _array(value)
    if array is None:
        return value
    if array.ndim == 1 and array.dtype.kind != "b":
        return format_lengths(array.tolist())
    return f"{np.count_nonzero(array):,} of {array.size:,} steps"
