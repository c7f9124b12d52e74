"""Numbers as bfloat16 holds them, which NumPy does not know: float32 with 16 bits fewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def to_bfloat16(values: npt.ArrayLike) -> Array:
    """The nearest bfloat16 of each number, ties to even, as float32."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    with np.errstate(over="ignore"):
        nearest = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
    finite = np.isfinite(values)
    rounded: Array = np.where(finite, nearest, bits).astype(np.uint32).view(np.float32)
    return rounded
