"""Reproducible weights and inputs, from NumPy's legacy generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.core.model.states import join_states
from lstmcli.errors import UserError

Random = np.random.RandomState
Shape = tuple[int, int]


def _uniform(random: Random, limit: float, shape: Shape) -> Array:
    return random.uniform(-limit, limit, shape)


def _orthogonal(random: Random, shape: Shape) -> Array:
    q, r = np.linalg.qr(random.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diagonal(r))
    return np.ascontiguousarray(q if shape[0] >= shape[1] else q.T)


_DRAWS: dict[
    str, Callable[[Random, Shape], Array]
] = {  # limits as in Keras' initializers
    "glorot_uniform": lambda random, shape: _uniform(
        random, np.sqrt(6 / sum(shape)), shape
    ),
    "glorot_normal": lambda random, shape: random.normal(
        0, np.sqrt(2 / sum(shape)), shape
    ),
    "orthogonal": _orthogonal,
    "uniform": lambda random, shape: _uniform(
        random, 1 / np.sqrt(shape[1] / 4), shape
    ),  # PyTorch
    "normal": lambda random, shape: random.normal(0, 0.05, shape),
    "zeros": lambda random, shape: np.zeros(shape),
}
INITIALIZERS = tuple(_DRAWS)


def draw_weights(
    inputs: int,
    units: int,
    seed: int = 0,
    *,
    steps: int | None = None,
    batch: int = 1,
    initializer: str = "glorot_uniform",
) -> dict[str, Array]:
    """A fused TF1 kernel (I + H, 4H), a zero bias (4H,) and, with ``steps``, inputs (B, T, I).

    Drawn from ``numpy.random.RandomState(seed)``: first the inputs, standard
    normal, then the kernel. Seed 0 with 4 inputs, 3 units and 7 steps gives
    the numbers of the thread that this project began with. UserError for a
    size below 1 or an unknown initializer.
    """
    sizes = {"inputs": inputs, "units": units, "steps": steps, "batch": batch}
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise UserError("takes a number from 1 on.", about={name: size})
    if initializer not in _DRAWS:
        raise UserError(
            f"one of {', '.join(INITIALIZERS)}.", about={"initializer": initializer}
        )
    random = np.random.RandomState(seed)
    drawn = {}
    if steps is not None:
        drawn["inputs"] = random.normal(size=(batch, steps, inputs))
    kernel = _DRAWS[initializer](random, (inputs + units, 4 * units))
    return {"kernel": kernel, "bias": np.zeros(4 * units), **drawn}


def draw_run(
    model: Model, batch: int, steps: int, seed: int
) -> tuple[Array, dict[str, Array]]:
    """Inputs (B, T, I), and h and c that are not zero, in the axes of the model's convention.

    Standard normal, from ``RandomState(seed)``: inputs, then h (B, P) of every
    cell, then c (B, H).
    """
    random = np.random.RandomState(seed)
    cells = [cell for _, cell in model.cells]
    x = random.normal(size=(batch, steps, model.cell.inputs)).astype(model.cell.dtype)
    each_h = [random.normal(size=(batch, cell.outputs)) for cell in cells]
    each_c = [random.normal(size=(batch, cell.units)) for cell in cells]
    states = list(zip(each_h, each_c, strict=True))
    h, c = join_states(states, model.behaviour.states, "batch")
    return x, {"h": h, "c": c}
