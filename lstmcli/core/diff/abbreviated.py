"""Arrays of which a print left numbers out: put back at their places, what is missing unknown.

NumPy, PyTorch and TensorFlow print the first and last few items of a long axis and ``...`` between
them. How long the axis is, the print may tell; if not, the array that it is compared with does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.core.diff.tolerance import Numbers

Before = tuple[int | None, ...]
"""Of each axis: how many items are printed ahead of ``...``; None: all of them are."""


def fits(packed: tuple[int, ...], before: Before, shape: tuple[int, ...]) -> bool:
    """Whether a full array of ``shape`` would have been printed as these packed numbers."""
    return len(shape) == len(packed) and all(
        n == m if ahead is None else n < m
        for n, ahead, m in zip(packed, before, shape, strict=True)
    )


def put_at(numbers: Numbers, index: tuple[Any, ...], shape: tuple[int, ...]) -> Numbers:
    """Numbers at an index of a full array; the others are NaN, their unit infinite: left out."""
    values, unit = np.full(shape, np.nan), np.full(shape, np.inf)
    values[index] = numbers.values
    unit[index] = 0.0 if numbers.unit is None else numbers.unit
    return Numbers(values, unit)


def spread(numbers: Numbers, before: Before, shape: tuple[int, ...]) -> Numbers:
    """Packed numbers at their places in a full array; the others are left out."""
    at = [
        np.arange(m) if ahead is None else np.r_[:ahead, m - (n - ahead) : m]
        for n, ahead, m in zip(numbers.shape, before, shape, strict=True)
    ]
    return put_at(numbers, np.ix_(*at), shape)


def shape_text(before: Before, packed: tuple[int, ...]) -> str:
    """What a print shows of the shape of the full array: ``(4, more than 6, 8)``."""
    parts = [
        f"{n}" if ahead is None else f"more than {n}"
        for n, ahead in zip(packed, before, strict=True)
    ]
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
