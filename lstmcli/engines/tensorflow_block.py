"""TensorFlow's raw op ``BlockLSTM``, which returns every gate of every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.model import Cell
from lstmcli.core.model.states import State
from lstmcli.core.weights.encode import encode
from lstmcli.engines.engine import Engine, Network, Prepared, Result
from lstmcli.engines.tensorflow import tensorflow

OUTPUT_NAMES = {"c": "cs", "i": "i", "f": "f", "g": "ci", "o": "o"}  # ours -> the op's
PEEPHOLE_GATES = "ifo"
NO_CLIP = -1.0


def prepare(network: Network) -> Prepared:
    """The op for each layer, its weights as constants."""
    tf = tensorflow()
    x = tf.constant(network.x)
    calls = [_call(tf, cell, states) for (cell,), states in network.by_layer]

    def run() -> Result:
        y, finals = x, []
        for call in calls:
            given = tf.raw_ops.BlockLSTM(seq_len_max=len(network.x), x=y, **call)
            y = given.h
            finals.append((y[-1].numpy(), given.cs[-1].numpy()))
        gates = {ours: getattr(given, theirs).numpy() for ours, theirs in OUTPUT_NAMES.items()}
        return Result(y.numpy(), finals, gates)

    return run


def _call(tf: Any, cell: Cell, states: Sequence[State]) -> dict[str, Any]:
    """The operands of the op, which takes peepholes even where they are not used."""
    ((h, c),) = states
    behaviour, tensors = cell.convention.behaviour, encode(cell, cell.convention)
    zero = np.zeros(cell.units, cell.dtype)
    peephole: Any = tensors.get("peephole", dict.fromkeys(PEEPHOLE_GATES, zero))
    operands = {"w": tensors["fused"], "b": tensors["bias"], "h_prev": h, "cs_prev": c}
    operands |= {f"wc{gate}": peephole[gate] for gate in PEEPHOLE_GATES}
    return {name: tf.constant(a) for name, a in operands.items()} | {
        "use_peephole": cell.peephole is not None,
        "forget_bias": behaviour.forget_bias,
        "cell_clip": NO_CLIP if behaviour.cell_clip is None else behaviour.cell_clip,
    }


ENGINE = Engine(
    "tensorflow-block",
    "tf.raw_ops.BlockLSTM",
    "tf-block",
    ("tensorflow",),
    prepare,
    extra="tensorflow",
    dtypes=("float32",),
    arrays=("h", *OUTPUT_NAMES),
    padded_outputs=(),
)
