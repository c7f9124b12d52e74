"""What is asked, and values that questions are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests import networks

Rng = np.random.Generator


class Question(NamedTuple):
    """A call of `asked` and its arguments; its files are in the folder that it was made in."""

    call: str
    given: Mapping[str, Any]


def one_of(rng: Rng, values: Sequence[Any]) -> Any:
    """One of some values, as it is."""
    return values[int(rng.integers(len(values)))]


def some_of(rng: Rng, table: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Up to three names of a table, each with one of its values; half the time none."""
    count = max(0, int(rng.integers(-3, 4)))
    names = [str(name) for name in rng.permutation([*table])[:count]]
    return {name: one_of(rng, table[name]) for name in names}


def tensors(rng: Rng, inputs: int, units: int) -> dict[str, Any]:
    """The weights of a network, by the names of one of three frameworks."""
    dtype = one_of(rng, ["f8", "f8", "f4", "f2"])
    seed, kind = int(rng.integers(10**6)), int(rng.integers(4))
    if kind == 0:
        return networks.keras(inputs, units, seed=seed)
    if kind == 1:
        return networks.random_net(rng, inputs, units, dtype)
    return networks.pytorch(
        inputs, units, layers=int(rng.integers(1, 3)), directions=int(rng.integers(1, 3)),
        projection=int(rng.integers(0, units)) if kind == 2 else 0,
        bias=rng.random() < 0.9, seed=seed, dtype=dtype,
    )  # fmt: skip
