"""Random weights under the names that frameworks give them, and a model of one cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Model
from lstmcli.core.weights.decode import decode
from lstmcli.core.weights.slots import Slot

Array = npt.NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Array:
    """Numbers of a normal distribution."""
    return np.random.default_rng(seed).normal(size=shape)


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


def random_net(
    rng: np.random.Generator,
    inputs: int,
    units: int,
    dtype: Any = np.float64,
    scale: float = 0.5,
) -> dict[str, Array]:
    """Uneven weights in TF1's form: (I + H, 4H) in the order i, j, f, o, and (4H,)."""
    return {
        "kernel": rng.normal(0.03, scale, (inputs + units, 4 * units)).astype(dtype),
        "bias": rng.normal(0.1, 0.5, 4 * units).astype(dtype),
    }


def model_of(net: dict[str, Array], **settings: Any) -> Model:
    """The net as a model, by the tf1 row."""
    how = CONVENTIONS["tf1"].changed(settings)
    tensors = {Slot("fused"): net["kernel"], Slot("bias"): net["bias"]}
    cell = decode(tensors, how, "net")
    return Model(((cell,),), {"kernel": net["kernel"].shape})
