"""Arrays in memory or in a file: their type, their numbers block by block."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any number type."""


class SliceableArray(Protocol):
    """An array, in memory or in a file, of which blocks are taken by slices of the first axes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of all axes."""

    @property
    def ndim(self) -> int:
        """The number of axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


def iterate_blocks(x: SliceableArray, numbers: int = 1 << 20) -> Iterator[tuple[list[int], Array]]:
    """An array in blocks of about so many numbers, in C order, and at which index each starts."""
    if x.ndim < 2:
        for first in range(0, len(x), numbers):
            yield [first], x[first : first + numbers]
        return
    inner = max(1, prod(x.shape[2:]))
    columns = max(1, min(x.shape[1], numbers // inner))
    rows = max(1, numbers // (columns * inner)) if columns == x.shape[1] else 1
    for first in range(0, x.shape[0], rows):
        for at in range(0, x.shape[1], columns):
            yield [first, at], x[first : first + rows, at : at + columns]


def describe_not_finite(array: Any, name: str) -> str:
    """A remark on the first number that is NaN or infinite, or an empty string."""
    if array.dtype.kind != "f":
        return ""
    found, count = "", 0
    for start, block in iterate_blocks(array if array.ndim else np.atleast_1d(array)):
        bad = ~np.isfinite(block)
        if bad.any():
            count += int(bad.sum())
            position = np.argwhere(bad)[0].tolist()
            index = [n + first for n, first in zip_longest(position, start, fillvalue=0)]
            found = found or f"{name} has {block[tuple(position)]} at {index}"
    others = f", and {count - 1} more" if count > 1 else ""
    return f"{found}{others}; the run goes on with it." if found else ""
