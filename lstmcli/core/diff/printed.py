"""Printed output that shows the first and last items of a long axis, and ``...`` between them.

Of a long axis NumPy, PyTorch and TensorFlow print no more. The output may have its length;
otherwise the array of the other side has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import Gaps, Side
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.errors import UserError


def put_at(numbers: Numbers, index: tuple[Any, ...], shape: tuple[int, ...]) -> Numbers:
    """Numbers at an index of a full array; the others are left out."""
    values, unit = np.full(shape, np.nan), np.full(shape, np.inf)
    values[index] = numbers.values
    unit[index] = 0.0 if numbers.unit is None else numbers.unit
    return Numbers(values, unit)


def spread(numbers: Numbers, before: Gaps, shape: tuple[int, ...]) -> Numbers:
    """Packed numbers at their places in a full array; the others are left out."""
    at = []
    for printed, ahead, full in zip(numbers.shape, before, shape, strict=True):
        if ahead is None:
            at.append(np.arange(full))
        else:
            behind = printed - ahead
            at.append(np.r_[:ahead, full - behind : full])
    return put_at(numbers, np.ix_(*at), shape)


def printed_shapes(
    before: Gaps, packed: tuple[int, ...], lengths: Iterable[int]
) -> list[tuple[int, ...]]:
    """The full shapes that printed output may have: of these lengths and 1."""
    possible = dict.fromkeys(permutations((*lengths, 1, 1), len(packed)))
    return [shape for shape in possible if _may_be_printed(before, packed, shape)]


def _may_be_printed(
    before: Gaps, packed: tuple[int, ...], shape: tuple[int, ...]
) -> bool:
    """Return whether an array of a shape is printed so: a gap leaves something out."""
    for printed, ahead, full in zip(packed, before, shape, strict=True):
        if printed > full or (printed == full) != (ahead is None):
            return False
    return True


def shape_text(before: Gaps, packed: tuple[int, ...]) -> str:
    """Return what printed output shows of the full shape: ``(4, more than 6, 8)``."""
    parts = []
    for printed, ahead in zip(packed, before, strict=True):
        parts.append(f"{printed}" if ahead is None else f"more than {printed}")
    if len(parts) == 1:
        return f"({parts[0]},)"
    return f"({', '.join(parts)})"


def in_full(side: Side, other: Side, names: Iterable[str]) -> Side:
    """A side whose abbreviated outputs have axes of the other's arrays."""
    found: dict[str, Numbers] = {}
    for name in names:
        if name not in side.gaps:
            continue
        before, packed = side.gaps[name], side.numbers(name)
        full = other.arrays[name].shape
        fitting = printed_shapes(before, packed.shape, full)
        but = "" if fitting else f"has {full}"
        if name in other.gaps:
            but = "is abbreviated too; print one in full"
        if but:
            shape = shape_text(before, packed.shape)
            text = (
                f"{name} is abbreviated; its shape is {shape}, but {other.name} {but}."
            )
            raise UserError(f"{side.name}: {text}")
        of_width = [shape for shape in fitting if shape[-1] == full[-1]]
        found[name] = spread(packed, before, (of_width or fitting)[0])
    return side.with_numbers(found)
