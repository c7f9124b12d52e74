"""How alike two errors are, and how likely chance is to make them so."""

from __future__ import annotations

import numpy as np

from lstmcli.core.model.arrays import Array


def size(error: Array) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(error))))


def correlation(one: Array, other: Array) -> float:
    """Of two errors about zero."""
    return float((one @ other) / max(np.sqrt((one @ one) * (other @ other)), 1e-300))


def digits(rho: float, by_chance: float) -> float:
    """Decimal digits of chance against a correlation, if others of mean square 1/K are usual.

    Two directions of K dimensions, drawn at random, are as near as that with a chance of about
    (1 - rho^2)^((K - 1) / 2).
    """
    if rho <= 0:
        return -np.inf
    dimensions = 1 / max(by_chance, 1e-6) ** 2
    return float(-(dimensions - 1) / 2 * np.log10(max(1 - rho * rho, 1e-12)))
