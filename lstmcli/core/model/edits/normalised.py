"""The ways to normalise data (T, B, K): a scale, and the axes along which it is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array

AXES: dict[str, tuple[tuple[int, ...], str]] = {
    "all": ((0, 1, 2), "all values together"),
    "feature": ((0, 1), "each feature"),
    "sequence": ((0, 2), "each sequence"),
    "sequence_feature": ((0,), "each feature of each sequence"),
    "step": ((2,), "each step"),
}
SCALES: dict[str, tuple[str, Callable[..., tuple[Any, Any]]]] = {
    "standard": ("to mean 0 and deviation 1", lambda x, **o: (x.mean(**o), x.std(**o))),
    "sample": (
        "to mean 0 and deviation 1 (n - 1)",
        lambda x, **o: (
            x.mean(**o),
            x.std(**o) / np.sqrt(1 - x.mean(**o).size / x.size),
        ),
    ),
    "centred": ("to mean 0", lambda x, **o: (x.mean(**o), 1)),
    "largest": (
        "divided by the largest absolute value",
        lambda x, **o: (0, np.abs(x).max(**o)),
    ),
    "minmax": ("to the range 0 to 1", lambda x, **o: (x.min(**o), np.ptp(x, **o))),
    "signed": (
        "to -1 to 1",
        lambda x, **o: (x.max(**o) - np.ptp(x, **o) / 2, np.ptp(x, **o) / 2),
    ),
    "length": ("to Euclidean length 1", lambda x, **o: (0, np.sqrt((x * x).sum(**o)))),
}
"""How inputs are normalised: words, and a function of what is subtracted and what divides."""


def _first(x: Array, axis: Sequence[int], **_: Any) -> Array:
    place = [slice(None)] * x.ndim
    for number in axis:
        place[number] = slice(1)
    return x[tuple(place)]


def _sample_std(x: Array, **o: Any) -> Any:
    return SCALES["sample"][1](x, **o)[1]


STATISTICS: dict[str, tuple[str, Callable[..., Any]]] = {
    "std": ("standard deviation", np.std),
    "sample_std": ("standard deviation (n - 1)", _sample_std),
    "variance": ("variance", np.var),
    "range": ("range", np.ptp),
    "mean": ("mean", np.mean),
    "mean_abs": ("mean absolute value", lambda x, **o: np.abs(x).mean(**o)),
    "sum": ("sum", np.sum),
    "sum_abs": ("sum of absolute values", lambda x, **o: np.abs(x).sum(**o)),
    "median": ("median", np.median),
    "first": ("first value", _first),
    "first_abs": ("absolute first value", lambda x, **o: np.abs(_first(x, **o))),
    "minimum": ("minimum", np.min),
    "maximum": ("maximum", np.max),
}
"""Words, and a function of the data."""
SUBTRACTED = ("median", "first", "minimum", "maximum")  # the mean is `centred`


def _divided(of: Callable[..., Any], x: Array, **o: Any) -> tuple[Any, Any]:
    return 0, of(x, **o)


def _less(of: Callable[..., Any], x: Array, **o: Any) -> tuple[Any, Any]:
    return of(x, **o), 1


_RATIOS: dict[str, tuple[str, Callable[..., tuple[Any, Any]]]] = {
    name: (f"divided by the {words}", partial(_divided, of))
    for name, (words, of) in STATISTICS.items()
}
_DIFFERENCES = {
    f"minus_{name}": (f"less the {words}", partial(_less, of))
    for name, (words, of) in STATISTICS.items()
    if name in SUBTRACTED
}
NORMALISED = {
    f"{name}_{axes}": (f"{over} {words}", scale, along)
    for axes, (along, over) in AXES.items()
    for name, (words, scale) in (SCALES | _RATIOS | _DIFFERENCES).items()
}
"""By the value of an edit: its words, function and axes."""
USUAL_SCALES = [f"{how}_{axes}" for axes in AXES for how in SCALES]


def normalised(x: Array, how: str) -> Any:
    """The data (T, B, K) less an offset, divided by a size, both of a row of `NORMALISED`."""
    _, scale, along = NORMALISED[how]
    with np.errstate(all="ignore"):
        offset, size = scale(x, axis=along, keepdims=True)
        return np.nan_to_num((x - offset) / size, posinf=0, neginf=0)
