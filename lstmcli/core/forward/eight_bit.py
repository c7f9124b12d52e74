"""Numbers rounded to 8 bits, as runtimes of 8-bit networks round inputs and h.

- ``8bit`` is onnxruntime's DynamicQuantizeLSTM (1.32, qmath.h, GetQuantizationParameter):
  unsigned, with one scale and one zero point for all numbers, over a range that contains 0.
- ``hybrid`` and ``hybrid_asymmetric`` are TensorFlow Lite's, for weights of 8 bits and inputs
  in float (2.21, kernels/internal/reference/portable_tensor_utils.cc, SymmetricQuantizeFloats and
  AsymmetricQuantizeFloats): signed, with a scale for each sequence at each step. They round what
  the projection takes, too.

Their products of integers are exact; those of the numbers that they stand for differ by the
rounding of a sum.
"""

from __future__ import annotations

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell

LEVELS = 255  # steps of the range
LOWEST, HIGHEST = -128, 127  # of signed numbers


def is_eight_bit(cell: Cell) -> bool:
    """Whether inputs and h of a cell are rounded to 8 bits."""
    return cell.convention.behaviour.arithmetic != "float"


def rounds_projected(cell: Cell) -> bool:
    """Whether what the projection of a cell takes is rounded to 8 bits."""
    return cell.convention.behaviour.arithmetic.startswith("hybrid")


def rounded(cell: Cell, numbers: Array, axis: int) -> Array:
    """The numbers that 8 bits stand for; those of a sequence at a step are along ``axis``."""
    arithmetic = cell.convention.behaviour.arithmetic
    if arithmetic == "8bit":
        return round_to_8_bits(numbers)
    return (_symmetric if arithmetic == "hybrid" else _asymmetric)(numbers, axis)


def round_to_8_bits(numbers: Array) -> Array:
    """The numbers that 8 bits stand for, with one scale for the array."""
    kind = numbers.dtype.type
    low, high = min(numbers.min(), kind(0)), max(numbers.max(), kind(0))
    scale = kind(1) if high == low else (high - low) / kind(LEVELS)
    zero = np.rint(np.clip(-low / scale, 0, LEVELS))
    levels = np.clip(np.rint(numbers / scale) + zero, 0, LEVELS)
    result: Array = (levels - zero) * scale
    return result


def _symmetric(numbers: Array, axis: int) -> Array:
    """-127 to 127 over a range around 0."""
    kind = numbers.dtype.type
    largest = np.abs(numbers).max(axis, keepdims=True)
    largest[largest == 0] = 1
    levels = _nearest(numbers * (kind(HIGHEST) / largest))
    result: Array = np.clip(levels, -HIGHEST, HIGHEST) * (largest / kind(HIGHEST))
    return result


def _asymmetric(numbers: Array, axis: int) -> Array:
    """-128 to 127 over a range that contains 0, which is computed in float64."""
    kind = numbers.dtype.type
    low = np.minimum(numbers.min(axis, keepdims=True), 0).astype(np.float64)
    high = np.maximum(numbers.max(axis, keepdims=True), 0).astype(np.float64)
    scale = np.where(high == low, 1, (high - low) / LEVELS)
    low, high = low / scale, high / scale
    from_low = np.abs(LOWEST) + np.abs(low) < HIGHEST + np.abs(high)  # the smaller error
    zero = _nearest(np.where(from_low, LOWEST - low, HIGHEST - high))
    zero, scale = np.clip(zero, LOWEST, HIGHEST).astype(kind), scale.astype(kind)
    levels = np.clip(_nearest(zero + numbers * (kind(1) / scale)), LOWEST, HIGHEST)
    result: Array = (levels - zero) * scale
    return result


def _nearest(numbers: Array) -> Array:
    """The nearest whole numbers; halves away from 0, as C's round has them."""
    integers = np.trunc(numbers)
    result: Array = integers + np.trunc(2 * (numbers - integers))
    return result
