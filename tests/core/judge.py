"""The simplest LSTM there is, the judge of the loop: it shares only the equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Model
from lstmcli.core.weights.decode import decode
from tests.core.explain.reference import sigmoid

Array = np.ndarray[Any, Any]


def simple_loop(
    x: Array, kernel: Array, bias: Array, forget_bias: float, h: Array, c: Array
) -> dict[str, Array]:
    """TF1's cell over x (T, B, I): kernel (I + H, 4H) in the order i, j, f, o."""
    kept: dict[str, list[Array]] = {name: [] for name in "hcifgoz"}
    for x_t in x:
        z_i, z_g, z_f, z_o = np.split(np.concatenate([x_t, h], axis=1) @ kernel + bias, 4, axis=1)
        z_f = z_f + x.dtype.type(forget_bias)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        c = f * c + i * g
        h = o * np.tanh(c)
        z = np.concatenate([z_i, z_f, z_g, z_o], axis=1)
        for name, value in {"h": h, "c": c, "i": i, "f": f, "g": g, "o": o, "z": z}.items():
            kept[name].append(value)
    return {name: np.array(values) for name, values in kept.items()}


def random_net(
    rng: np.random.Generator, inputs: int, units: int, dtype: Any = np.float64, scale: float = 0.5
) -> dict[str, Array]:
    """Uneven weights in TF1's form."""
    return {
        "kernel": rng.normal(0.03, scale, (inputs + units, 4 * units)).astype(dtype),
        "bias": rng.normal(0.1, 0.5, 4 * units).astype(dtype),
    }


def model_of(net: dict[str, Array], **settings: Any) -> Model:
    """The net as a model, by the tf1 row."""
    how = CONVENTIONS["tf1"].changed(settings)
    cell = decode({"fused": net["kernel"], "bias": net["bias"]}, how, "net")
    return Model(((cell,),), {"kernel": net["kernel"].shape})
