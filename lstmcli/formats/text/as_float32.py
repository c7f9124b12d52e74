"""The precision in which numbers count that were read from text."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT32 = np.dtype(np.float32)
BLOCK = 1 << 16  # numbers that are objects of Python at a time
SHORT = 7  # digits of a decimal that nearly always names one float32


def counts_as_float32(values: np.ndarray) -> bool:
    """Whether every number is a float32, or a float32 as a careful program writes it.

    ``values`` is float64 of any shape. Nine digits name a float32 uniquely, and so does its
    shortest name (what NumPy, Rust, JavaScript and orjson write); a number of more digits must be
    the float32 itself. Decimals of seven digits are short names of float32s too, whoever wrote
    them; so one in eight of the short names has to have more digits and more decimals than that
    (of those from 0.5 to 1 four in ten have, of smaller ones more).
    """
    flat = values.ravel()
    short = long = 0
    for first in range(0, len(flat), BLOCK):
        block = flat[first : first + BLOCK]
        with np.errstate(over="ignore", under="ignore"):
            single = block.astype(np.float32)
        unequal = (block != single) & ~np.isnan(block)
        for value, rounded in zip(block[unequal].tolist(), single[unequal], strict=True):
            if value != float(f"{rounded:.9g}"):
                name = str(rounded)
                if value != float(name):
                    return False
                short += 1
                long += _is_long(name)
    return 8 * long >= short


def _is_long(name: str) -> bool:
    """Whether a decimal has more digits (from the first that is not zero) and places than that."""
    digits, _, exponent = name.partition("e")
    places = len(digits.partition(".")[2]) - int(exponent or 0)
    return len(digits.replace(".", "").lstrip("-0")) > SHORT and places > SHORT


def float32_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.dtype[Any]]:
    """A dtypes entry for each array whose numbers all count as float32; an empty one has none."""
    return {
        name: FLOAT32
        for name, values in arrays.items()
        if values.size and values.dtype == np.float64 and counts_as_float32(values)
    }
