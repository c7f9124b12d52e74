"""Keras 3: ``keras.layers.LSTM``, on whatever backend is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.weights.encode import encode
from lstmcli.engines.engine import Engine, Network, Prepared, Result
from lstmcli.engines.libraries import activation, library

BACKENDS = ("torch", "tensorflow", "jax")
NAMED = {
    **{name: name for name in ("sigmoid", "tanh", "relu", "softsign", "softplus")},
    "identity": "linear", "hard_sigmoid_1_6": "hard_sigmoid",
}  # fmt: skip
FAMILIES = ("elu", "leaky_relu")
ORDER = ("kernel", "recurrent_kernel", "bias")  # of a layer's weights


def prepare(network: Network) -> Prepared:
    """A layer for each of ours, run one after the other; inputs as (B, T, I)."""
    os.environ["KERAS_BACKEND"] = backend()
    keras = library("keras")
    with _doubles(network):
        layers = [_layer(keras, network, layer) for layer in network.layers]
        x = keras.ops.convert_to_tensor(np.ascontiguousarray(network.x.swapaxes(0, 1)))
        states = [
            [keras.ops.convert_to_tensor(a) for state in states for a in state]  # h, c of each way
            for _, states in network.by_layer
        ]
        mask = _mask(network)
        masked = {} if mask is None else {"mask": keras.ops.convert_to_tensor(mask)}

    def run() -> Result:
        y, finals = x, []
        with _doubles(network):
            for layer, state in zip(layers, states, strict=True):
                y, *last = layer(y, initial_state=state, **masked)
                finals += [keras.ops.convert_to_numpy(a) for a in last]
            h = keras.ops.convert_to_numpy(y).swapaxes(0, 1)
        return Result(h, list(zip(finals[::2], finals[1::2], strict=True)), {})

    return run


def _doubles(network: Network) -> AbstractContextManager[Any]:
    """What JAX needs, lest it compute in float32 what was given in float64."""
    if backend() != "jax":
        return nullcontext()
    context: AbstractContextManager[Any] = library("jax").enable_x64(
        network.cell.dtype == np.float64
    )
    return context


def _layer(keras: Any, network: Network, layer: Sequence[Cell]) -> Any:
    """One layer with its weights set."""
    cell, how, dtype = layer[0], network.how, layer[0].dtype.name
    lstm = keras.layers.LSTM(
        cell.units,
        activation=_activation(keras, how.behaviour.activation),
        recurrent_activation=_activation(keras, how.behaviour.recurrent_activation),
        go_backwards=how.behaviour.go_backwards,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=network.past == "zero",
        dtype=dtype,
    )
    if network.ways == 2:
        lstm = keras.layers.Bidirectional(lstm, merge_mode=_merge(how.behaviour.merge), dtype=dtype)
    lstm.build((None, None, cell.inputs))
    tensors = [encode(one, one.convention) for one in layer]
    lstm.set_weights([one[role] for one in tensors for role in ORDER])
    return lstm


def _merge(merge: str) -> str:
    return "concat" if merge == "stack" else merge


def _mask(network: Network) -> Array | None:
    """(B, T) truth of the steps that count."""
    if network.mask is not None:
        return np.ascontiguousarray(network.mask.T)
    if network.lengths is None:
        return None
    counts: Array = np.arange(len(network.x)) < network.lengths[:, None]
    return counts


def _activation(keras: Any, name: str) -> Any:
    """An activation of Keras by its name, or one made of its operations."""
    if name in NAMED:
        return NAMED[name]
    made = activation(
        name, {k: getattr(keras.ops, k) for k in ("tanh", "clip", "where", "zeros_like", *FAMILIES)}
    )

    def function(x: Any) -> Any:
        return made(x)

    # Bidirectional copies a layer by its configuration, in which a function is a name.
    return keras.saving.register_keras_serializable("lstmcli", name)(function)


def backend() -> str:
    """The backend: the one that is chosen if it is there, else the first that is; or ""."""
    chosen = os.environ.get("KERAS_BACKEND") or _configured()
    for name in (chosen, *BACKENDS):
        if name and find_spec(name) is not None:
            return name
    return ""


def _configured() -> str:
    """The backend that the configuration file of Keras names."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        named = json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return named if named in BACKENDS else ""


def lacks(network: Network) -> Iterator[str]:
    """Peepholes, which only cells of Keras 2 had."""
    if any(cell.peephole is not None and cell.peephole.any() for cell in network.cells):
        yield "peepholes (Keras 3 has no cell with them)"


def notes(network: Network) -> Iterator[str]:
    """Where its backends part."""
    if backend() == "jax" and network.cell.dtype == np.float64:
        yield "on JAX, Keras takes tanh in float32 whatever it is given (measured with 3.15.1)"
    mask = network.mask
    if mask is not None and network.past == "repeat" and not mask[0].all():
        yield (
            "before the first step of a sequence that counts, Keras shows zero on TensorFlow and "
            "PyTorch, and the initial h on JAX (measured with 3.15.1)"
        )


ENGINE = Engine(
    "keras",
    "keras.layers.LSTM",
    "keras",
    ("keras",),
    prepare,
    beneath=backend,
    stands=lambda: bool(backend()),
    past=("zero", "repeat"),
    masks=True,
    lacks=lacks,
    notes=notes,
)
