"""Numbers rounded to 8 bits as onnxruntime's DynamicQuantizeLSTM rounds inputs and h.

Source: onnxruntime 1.32, core/util/qmath.h, GetQuantizationParameter: unsigned numbers with one
scale and one zero point for all, over a range that holds 0. Its products of integers are exact;
those of the numbers that they stand for differ by the rounding of a sum.
"""

from __future__ import annotations

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell

LEVELS = 255


def is_eight_bit(cell: Cell) -> bool:
    """Whether inputs and h of a cell are rounded to 8 bits."""
    return cell.convention.behaviour.arithmetic == "8bit"


def round_to_8_bits(numbers: Array) -> Array:
    """The numbers that 8 bits stand for, with one scale for the array."""
    kind = numbers.dtype.type
    low, high = min(numbers.min(), kind(0)), max(numbers.max(), kind(0))
    scale = kind(1) if high == low else (high - low) / kind(LEVELS)
    zero = np.rint(np.clip(-low / scale, 0, LEVELS))
    levels = np.clip(np.rint(numbers / scale) + zero, 0, LEVELS)
    rounded: Array = (levels - zero) * scale
    return rounded
