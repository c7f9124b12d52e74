"""bfloat16, which NumPy does not have: the upper half of the bits of a float32."""

from __future__ import annotations

import numpy as np


def widened(bits: np.ndarray) -> np.ndarray:
    """The float32 numbers (native) of bfloat16 ones stored as uint16 in any byte order."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
