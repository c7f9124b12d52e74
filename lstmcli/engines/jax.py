"""JAX: flax's ``LSTMCell`` in its ``RNN``, compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.states import State
from lstmcli.core.weights.encode import named_tensors
from lstmcli.engines.engine import (
    Engine,
    Network,
    Prepared,
    Result,
    activation,
    library,
)


def prepare(network: Network) -> Prepared:
    """The layers with our parameters, compiled for these shapes."""
    jax, linen = library("jax"), library("flax.linen")
    layers = [_layer(jax, linen, cells) for cells in network.layers]
    lengths = network.lengths
    if lengths is not None:
        lengths = np.asarray(lengths, np.int32)

    def forward(parameters: Any, carries: Any, x: Any) -> Any:
        y, finals = x, list[Any]()
        for layer, variables, carry in zip(layers, parameters, carries, strict=True):
            last, y = _applied(layer, variables, y, carry, lengths)
            finals.extend(last)
        return y, finals

    is_float64 = network.cell.dtype == np.float64
    with jax.enable_x64(is_float64):
        operands = (
            [_parameters(cells) for cells in network.layers],
            [_carry(states) for _, states in network.by_layer],
            np.ascontiguousarray(network.x),
        )
        compiled = jax.jit(forward).lower(*operands).compile()

    def run() -> Result:
        with jax.enable_x64(is_float64):
            h, finals = compiled(*operands)
            h = np.asarray(h)
        return Result(h, [(np.asarray(last_h), np.asarray(c)) for c, last_h in finals])

    return run


def _applied(
    layer: Any, variables: Any, x: Any, carry: Any, lengths: Array | None
) -> tuple[Sequence[Any], Any]:
    """The last carry of each direction of a layer, and its outputs."""
    given = {"initial_carry": carry, "seq_lengths": lengths, "return_carry": True}
    if isinstance(layer, library("flax.linen").Bidirectional):
        return layer.apply(variables, x, **given)  # type: ignore[no-any-return]
    last, y = layer.apply(variables, x, time_major=True, **given)
    return [last], y


def _layer(jax: Any, linen: Any, cells: Sequence[Cell]) -> Any:
    behaviour = cells[0].convention.behaviour

    def rnn(cell: Cell) -> Any:
        functions = _activations(jax)
        return linen.RNN(
            linen.LSTMCell(
                cell.units,
                gate_fn=activation(behaviour.recurrent_activation, functions),
                activation_fn=activation(behaviour.activation, functions),
                dtype=cell.dtype,
                param_dtype=cell.dtype,
            ),
            time_major=True,
            reverse=behaviour.reverse or behaviour.go_backwards,
            keep_order=behaviour.reverse,
        )

    if len(cells) == 1:
        return rnn(cells[0])
    return linen.Bidirectional(*map(rnn, cells), time_major=True)


def _parameters(cells: Sequence[Cell]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in named_tensors([cells]).items():
        *path, last = name.split("/")
        if len(cells) == 1:
            path.insert(0, "cell")
        at = tree
        for part in path:
            at = at.setdefault(part, {})
        at[last] = array
    return {"params": tree}


def _carry(states: Sequence[State]) -> Any:
    """The initial carry of a layer: (c, h), or one for each direction."""
    carries = tuple((c, h) for h, c in states)
    if len(carries) == 1:
        return carries[0]
    return carries


def _activations(jax: Any) -> dict[str, Any]:
    functions = {
        name: getattr(jax.nn, name)
        for name in ("sigmoid", "tanh", "relu", "softplus", "elu", "leaky_relu")
    }
    return functions | {
        "softsign": jax.nn.soft_sign,
        "hard_sigmoid_1_6": jax.nn.hard_sigmoid,
        "clip": jax.numpy.clip,
        "where": jax.numpy.where,
        "zeros_like": jax.numpy.zeros_like,
    }


def notes(network: Network) -> Iterator[str]:
    """Where flax and the other frameworks differ."""
    if network.lengths is not None and (network.lengths == 0).any():
        yield (
            "a sequence of length 0 ends in flax in the state after all steps, padding included; "
            "the others hand back the initial state (measured with 0.12.8)"
        )


ENGINE = Engine(
    "jax",
    "flax.linen.LSTMCell",
    "flax",
    ("flax", "jax"),
    prepare,
    backend=lambda: "jax",
    padded_outputs=("run",),
    notes=notes,
)
