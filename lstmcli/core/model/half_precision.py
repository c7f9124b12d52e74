"""Rounding to half precision; bfloat16, which NumPy lacks, as float32."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.model.arrays import Array

ROUNDED = "rounded"
"""The key, among settings, of the format to which the tensors are rounded."""


def to_bfloat16(values: npt.ArrayLike) -> Array:
    """The nearest bfloat16 of each number, ties to even, as float32."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    with np.errstate(over="ignore"):
        nearest = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
    finite = np.isfinite(values)
    rounded: Array = np.where(finite, nearest, bits).astype(np.uint32).view(np.float32)
    return rounded


def round_to_format(values: npt.ArrayLike, name: str) -> Array:
    """The nearest float16 or bfloat16 of each number, as float32 or the wider type they came in."""
    array = np.asarray(values)
    with np.errstate(all="ignore"):
        rounded = to_bfloat16(array) if name == "bfloat16" else array.astype(np.float16)
        return rounded.astype(np.promote_types(array.dtype, np.float32))


def spacing(values: Array, name: str) -> Array:
    """The spacing of the format's numbers at each number: 2**-10 or 2**-7 of its power of 2.

    Below the least normal number the spacing is that of the least normal number.
    """
    digits, least = (7, -126) if name == "bfloat16" else (10, -14)
    exponent = np.frexp(values)[1] - 1
    gap: Array = np.ldexp(1.0, np.maximum(np.where(values == 0, least, exponent), least) - digits)
    return gap
