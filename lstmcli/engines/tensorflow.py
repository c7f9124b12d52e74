"""TensorFlow 1's ``LSTMCell``, run by ``dynamic_rnn`` in graph mode, as its users ran it."""

from __future__ import annotations

import os
from typing import Any

from lstmcli.core.model.model import Cell
from lstmcli.core.weights.encode import named_tensors
from lstmcli.engines.engine import (
    Engine,
    Network,
    Prepared,
    Result,
    activation,
    library,
)


def tensorflow() -> Any:
    """The library, with the Keras that has the old cells."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # Keras 3 has no rnn_cell
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return library("tensorflow")


def prepare(network: Network) -> Prepared:
    """A graph of the cells, layer after layer, and a session with their weights."""
    tf = tensorflow()
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default():
        fetches = _layers(tf, network)
        session = v1.Session(graph=graph)
        session.run(v1.global_variables_initializer())
        for n, layer in enumerate(network.layers):
            tensors = named_tensors([layer])
            for variable in v1.global_variables(f"layer{n}/"):
                name = variable.op.name.removeprefix(f"layer{n}/")
                session.run(variable.assign(tensors[name]))

    def run() -> Result:
        h, finals = session.run(fetches)
        return Result(h, [(final.h, final.c) for final in finals])

    return run


def _layers(tf: Any, network: Network) -> tuple[Any, list[Any]]:
    v1 = tf.compat.v1
    y, finals = tf.constant(network.x), []
    for n, (layer, states) in enumerate(network.by_layer):
        cells = [_cell(tf, cell) for cell in layer]
        starts = [
            v1.nn.rnn_cell.LSTMStateTuple(*map(tf.constant, (c, h))) for h, c in states
        ]
        options = {"sequence_length": network.lengths, "time_major": True}
        with v1.variable_scope(f"layer{n}"):
            if len(cells) == 1:
                y, final = v1.nn.dynamic_rnn(
                    cells[0], y, initial_state=starts[0], **options
                )
                finals.append(final)
                continue
            outputs, last = v1.nn.bidirectional_dynamic_rnn(
                *cells,
                y,
                initial_state_fw=starts[0],
                initial_state_bw=starts[1],
                **options,
            )
            y = tf.concat(outputs, -1)
            finals += last
    return y, finals


def _cell(tf: Any, cell: Cell) -> Any:
    behaviour = cell.convention.behaviour
    functions = {
        name: getattr(tf.nn, name) for name in ("sigmoid", "tanh", "relu", "softsign")
    }
    functions |= {
        "softplus": tf.nn.softplus,
        "clip": tf.clip_by_value,
        "where": tf.where,
        "leaky_relu": tf.nn.leaky_relu,
        "zeros_like": tf.zeros_like,
        "elu": lambda x, alpha: tf.where(
            x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0))
        ),
    }
    return tf.compat.v1.nn.rnn_cell.LSTMCell(
        cell.units,
        use_peepholes=cell.peephole is not None,
        cell_clip=behaviour.cell_clip,
        num_proj=None if cell.projection is None else cell.outputs,
        proj_clip=behaviour.projection_clip,
        forget_bias=behaviour.forget_bias,
        activation=activation(behaviour.activation, functions),
        dtype=cell.dtype.name,
    )


ENGINE = Engine(
    "tensorflow",
    "tf.compat.v1.nn.rnn_cell.LSTMCell",
    "tf1",
    ("tensorflow", "tf_keras"),
    prepare,
)
