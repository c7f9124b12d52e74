"""Tell whether numbers that were read from a text are those of a float32 array."""

from __future__ import annotations

import numpy as np

FLOAT32 = np.dtype(np.float32)
BLOCK = 1 << 16  # numbers that are Python objects at a time
SHORT = 7  # digits that nearly always identify a float32


def counts_as_float32(values: np.ndarray) -> bool:
    """Return whether float64 numbers are all float32s, or decimals that identify them.

    ``values`` has any shape; an empty array does not count. Nine digits of a float32 identify it,
    and so does its shortest decimal (what NumPy, Rust, JavaScript and orjson
    write); a number of more digits must be the float32 itself. Nearly any
    decimal of up to seven digits is the shortest of a float32: so one in eight
    of these has to have more digits and places (of the float32s from 0.5 to 1
    four in ten have).
    """
    if values.dtype != np.float64 or not values.size:
        return False
    flat = values.ravel()
    short = long = 0
    for first in range(0, len(flat), BLOCK):
        block = flat[first : first + BLOCK]
        with np.errstate(over="ignore", under="ignore"):
            single = block.astype(np.float32)
        unequal = (block != single) & ~np.isnan(block)
        for value, rounded in zip(
            block[unequal].tolist(), single[unequal], strict=True
        ):
            if value != float(f"{rounded:.9g}"):
                name = str(rounded)
                if value != float(name):
                    return False
                short += 1
                if _is_long(name):
                    long += 1
    return 8 * long >= short


def _is_long(name: str) -> bool:
    """Return whether a decimal has more than `SHORT` significant digits and places."""
    digits, _, exponent = name.partition("e")
    places = len(digits.partition(".")[2]) - int(exponent or 0)
    return len(digits.replace(".", "").lstrip("-0")) > SHORT and places > SHORT
