"""Keras 3: ``keras.layers.LSTM``, on any backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.weights.encode import encode
from lstmcli.core.weights.slots import Slot
from lstmcli.engines.engine import (
    Engine,
    Network,
    Prepared,
    Result,
    activation,
    library,
)

BACKENDS = ("torch", "tensorflow", "jax")
NAMED = {
    **{name: name for name in ("sigmoid", "tanh", "relu", "softsign", "softplus")},
    "identity": "linear",
    "hard_sigmoid_1_6": "hard_sigmoid",
}
FUNCTIONS = ("tanh", "clip", "where", "zeros_like", "elu", "leaky_relu")
ORDER = ("kernel", "recurrent_kernel", "bias")  # of a layer's weights


def prepare(network: Network) -> Prepared:
    """A Keras layer for each layer, run in turn; inputs are (B, T, I)."""
    os.environ["KERAS_BACKEND"] = backend()
    keras = library("keras")
    with _float64_enabled(network):
        layers = [_layer(keras, network, layer) for layer in network.layers]
        x = keras.ops.convert_to_tensor(np.ascontiguousarray(network.x.swapaxes(0, 1)))
        states = []
        for _, of_layer in network.by_layer:
            arrays = chain.from_iterable(of_layer)  # h, c, h, c
            states.append(list(map(keras.ops.convert_to_tensor, arrays)))
        x, mask = _masked(keras, network, x)

    def run() -> Result:
        y, finals = x, list[Array]()
        with _float64_enabled(network):
            for layer, state in zip(layers, states, strict=True):
                # a mask of the inputs is not passed on next to an initial state
                y, *last = layer(y, initial_state=state, mask=mask)
                finals.extend(map(keras.ops.convert_to_numpy, last))
            h = keras.ops.convert_to_numpy(y).swapaxes(0, 1)
        return Result(h, list(zip(finals[::2], finals[1::2], strict=True)))

    return run


def _masked(keras: Any, network: Network, x: Any) -> tuple[Any, Any]:
    """The inputs behind the layer that masks them, if there is one, and the mask (B, T)."""
    masking = network.mask_from
    if masking is not None and masking.value is not None:  # not of indices
        layer = keras.layers.Masking(masking.value, dtype=masking.dtype)
        return layer(x), layer.compute_mask(x)
    if network.valid is None:
        return x, None
    return x, keras.ops.convert_to_tensor(np.ascontiguousarray(network.valid.T))


def _float64_enabled(network: Network) -> AbstractContextManager[Any]:
    """A context in which JAX computes float64 in float64, not float32."""
    if backend() != "jax":
        return nullcontext()
    context: AbstractContextManager[Any] = library("jax").enable_x64(
        network.cell.dtype == np.float64
    )
    return context


def _layer(keras: Any, network: Network, layer: Sequence[Cell]) -> Any:
    cell, behaviour, dtype = layer[0], network.convention.behaviour, layer[0].dtype.name
    lstm = keras.layers.LSTM(
        cell.units,
        activation=_activation(keras, behaviour.activation),
        recurrent_activation=_activation(keras, behaviour.recurrent_activation),
        go_backwards=behaviour.go_backwards,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=network.padded_output == "zero",
        dtype=dtype,
    )
    if len(layer) == 2:
        merge = behaviour.merge
        if merge == "stack":
            merge = "concat"
        lstm = keras.layers.Bidirectional(lstm, merge_mode=merge, dtype=dtype)
    lstm.build((None, None, cell.inputs))
    weights: list[Array] = []
    for one in layer:
        tensors = encode(one)
        weights.extend(tensors[Slot(role)] for role in ORDER)
    lstm.set_weights(weights)
    return lstm


def _activation(keras: Any, name: str) -> Any:
    if name in NAMED:
        return NAMED[name]
    made = activation(name, {one: getattr(keras.ops, one) for one in FUNCTIONS})

    def function(x: Any) -> Any:
        return made(x)

    # Bidirectional copies a layer by its config, in which a function is a name
    return keras.saving.register_keras_serializable("lstmcli", name)(function)


def backend() -> str:
    """The one of a Keras that runs, of KERAS_BACKEND, or the first installed; or ""."""
    loaded = sys.modules.get("keras")
    if loaded is not None:
        return str(loaded.backend.backend())
    for name in (os.environ.get("KERAS_BACKEND", ""), *BACKENDS):
        if name and find_spec(name) is not None:
            return name
    return ""


def unsupported(network: Network) -> Iterator[str]:
    """Peepholes, which only cells of Keras 2 had."""
    if any(cell.peephole is not None and cell.peephole.any() for cell in network.cells):
        yield "peepholes (Keras 3 has no cell with them)"


def notes(network: Network) -> Iterator[str]:
    """Where its backends differ."""
    if backend() == "jax" and network.cell.dtype == np.float64:
        yield "on JAX, Keras takes tanh in float32 whatever it is given (measured with 3.15.1)"
    valid = network.valid
    if valid is not None and network.padded_output == "repeat" and not valid[0].all():
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
    backend=backend,
    has_backend=lambda: bool(backend()),
    all_in_float64=lambda: backend() != "jax",  # `notes` has why
    padded_outputs=("zero", "repeat"),
    masks=True,
    unsupported=unsupported,
    notes=notes,
)
