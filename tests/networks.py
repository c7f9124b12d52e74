"""Random weights under the names that frameworks give them."""

from __future__ import annotations

from typing import Any

import numpy as np


def pytorch(
    inputs: int, units: int, *, layers: int = 1, directions: int = 1, projection: int = 0,
    bias: bool = True, seed: int = 0, scale: float = 1.0, dtype: Any = np.float64,
) -> dict[str, Any]:  # fmt: skip
    """The state dict of an LSTM of PyTorch."""
    rng = np.random.default_rng(seed)
    outputs = projection or units
    tensors = {}
    for layer in range(layers):
        width = outputs * directions if layer else inputs
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * units, width),
            "weight_hh": (4 * units, outputs),
        }
        shapes |= {"bias_ih": (4 * units,), "bias_hh": (4 * units,)} if bias else {}
        shapes |= {"weight_hr": (projection, units)} if projection else {}
        for mark in ("", "_reverse")[:directions]:
            for role, shape in shapes.items():
                array = rng.normal(0, scale, shape).astype(dtype)
                tensors[f"{role}_l{layer}{mark}"] = array
    return tensors


def keras(inputs: int, units: int, prefix: str = "", seed: int = 0) -> dict[str, Any]:
    """The weights of a layer of Keras."""
    rng = np.random.default_rng(seed)
    shapes = {
        "kernel": (inputs, 4 * units),
        "recurrent_kernel": (units, 4 * units),
        "bias": (4 * units,),
    }
    return {prefix + role: rng.normal(size=shape) for role, shape in shapes.items()}
