"""The precision in which numbers count that were read from text."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT32 = np.dtype(np.float32)


def counts_as_float32(values: np.ndarray) -> bool:
    """Whether every number is a float32, or a float32 written with nine digits.

    ``values`` is float64 of any shape. Nine digits name a float32 uniquely, so that is what a
    careful program writes; a number of more digits must be the float32 itself.
    """
    flat = values.ravel()
    with np.errstate(over="ignore", under="ignore"):
        single = flat.astype(np.float32).astype(np.float64)
    unequal = (flat != single) & ~np.isnan(flat)
    pairs = zip(flat[unequal].tolist(), single[unequal].tolist(), strict=True)
    return all(value == float(f"{rounded:.9g}") for value, rounded in pairs)


def float32_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.dtype[Any]]:
    """A dtypes entry for each array whose numbers all count as float32; an empty one has none."""
    return {
        name: FLOAT32
        for name, values in arrays.items()
        if values.size and values.dtype == np.float64 and counts_as_float32(values)
    }
