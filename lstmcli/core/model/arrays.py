"""Arrays in memory or in a file: their type, their numbers block by block, half precision."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from math import prod
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
"""An array of any dtype."""
ArrayLike: TypeAlias = "npt.ArrayLike"
DTypeLike: TypeAlias = "npt.DTypeLike"


class SliceableArray(Protocol):
    """An array in memory or in a file, which slices of the first axes take blocks of."""

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


def iterate_blocks(
    x: SliceableArray, numbers: int = 1 << 20
) -> Iterator[tuple[list[int], Array]]:
    """An array in blocks of about this size, in C order, with their first indices."""
    if x.ndim < 2:
        for first in range(0, len(x), numbers):
            yield [first], x[first : first + numbers]
        return
    inner = max(1, prod(x.shape[2:]))
    columns = max(1, min(x.shape[1], numbers // inner))
    rows = 1
    if columns == x.shape[1]:
        rows = max(1, numbers // (columns * inner))
    for first in range(0, x.shape[0], rows):
        for at in range(0, x.shape[1], columns):
            yield [first, at], x[first : first + rows, at : at + columns]


def describe_not_finite(array: Any, name: str) -> str:
    """A remark on the first number that is not finite, or ""."""
    if array.dtype.kind != "f":
        return ""
    found, count = "", 0
    for start, block in iterate_blocks(array if array.ndim else np.atleast_1d(array)):
        bad = ~np.isfinite(block)
        if bad.any():
            count += int(bad.sum())
            position = np.argwhere(bad)[0].tolist()
            index = [
                n + first for n, first in zip_longest(position, start, fillvalue=0)
            ]
            found = found or f"{name} has {block[tuple(position)]} at {index}"
    others = f", and {count - 1} more" if count > 1 else ""
    return f"{found}{others}; the run goes on with it." if found else ""


# ---- half precision


ROUNDED = "rounded"
"""The key, among settings, of the format to which the tensors are rounded."""


def to_bfloat16(values: ArrayLike) -> Array:
    """The nearest bfloat16 of each number, ties to even, as float32."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    with np.errstate(over="ignore"):
        nearest = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
    finite = np.isfinite(values)
    rounded: Array = np.where(finite, nearest, bits).astype(np.uint32).view(np.float32)
    return rounded


def round_to_format(values: ArrayLike, name: str) -> Array:
    """The nearest float16 or bfloat16 of each number, as float32 or wider."""
    array = np.asarray(values)
    with np.errstate(all="ignore"):
        rounded = to_bfloat16(array) if name == "bfloat16" else array.astype(np.float16)
        return rounded.astype(np.promote_types(array.dtype, np.float32))


def spacing(values: Array, name: str) -> Array:
    """The spacing of the format's numbers at each number: 2**-10 or 2**-7 of its power of 2.

    Below the least normal number the spacing is that of the least normal
    number.
    """
    digits, least = (7, -126) if name == "bfloat16" else (10, -14)
    exponent = np.frexp(values)[1] - 1
    gap: Array = np.ldexp(
        1.0, np.maximum(np.where(values == 0, least, exponent), least) - digits
    )
    return gap
