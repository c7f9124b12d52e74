"""The TensorFlow 1 cells of tf.contrib, which no TensorFlow 2 has, run by TensorFlow 1 itself.

Recorded with tensorflow 1.15.5 on Python 3.7, the last version of Python that can install it.

    pip install tensorflow==1.15.5 "protobuf<3.21" "numpy<1.19"
    python tests/golden/record/tensorflow1_contrib_cases.py
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from common import LENGTHS_WITH_ZERO, B, H, I, P, T, numbers, save, uneven
from tensorflow.contrib.cudnn_rnn import CudnnCompatibleLSTMCell
from tensorflow.contrib.rnn import (
    CoupledInputForgetGateLSTMCell,
    LayerNormBasicLSTMCell,
    LSTMBlockCell,
    LSTMBlockFusedCell,
)

tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)


def through_dynamic_rnn(cell: Any, x: tf.Tensor, state: Any, lengths: Any) -> Any:
    return tf.nn.dynamic_rnn(cell, x, lengths, state)


def fused(cell: Any, x: tf.Tensor, state: Any, lengths: Any) -> Any:
    """A fused cell runs the whole sequence in one call, time first."""
    return cell(x, initial_state=state, sequence_length=lengths)


def record(
    case: str,
    seed: int,
    convention: str,
    make: Callable[[], Any],
    *,
    output: int = H,
    lengths: Any = None,
    unroll: Callable[..., Any] = through_dynamic_rnn,
    **options: Any,
) -> None:
    """Build the cell, fill its variables in order of creation, run it from a state not zero."""
    rng = numbers(seed)
    layout = "time" if unroll is fused else "batch"
    x = uneven(rng, *((T, B, I) if layout == "time" else (B, T, I)))
    state = {"h": uneven(rng, B, output), "c": uneven(rng, B, H)}
    with tf.Graph().as_default(), tf.Session() as session:
        start = tf.nn.rnn_cell.LSTMStateTuple(
            tf.constant(state["c"]), tf.constant(state["h"])
        )
        fetches = unroll(make(), tf.constant(x), start, lengths)
        weights = {}
        for variable in tf.global_variables():
            name = variable.name[: -len(":0")]
            weights[name] = uneven(rng, *variable.shape.as_list())
            variable.load(weights[name], session)
        h, (final_c, final_h) = session.run(fetches)
    save(
        "tensorflow1",
        case,
        weights,
        x,
        {"h": h, "final_h": final_h, "final_c": final_c},
        convention=convention,
        version=f"tensorflow {tf.__version__}",
        script="tensorflow1_contrib_cases.py",
        layout=layout,
        initial=state,
        lengths=lengths,
        **options,
    )


if __name__ == "__main__":
    record("layernorm", 50, "tf1-layernorm", lambda: LayerNormBasicLSTMCell(H))
    record(
        "layernorm_lengths",
        51,
        "tf1-layernorm",
        lambda: LayerNormBasicLSTMCell(H, forget_bias=0.4),
        lengths=LENGTHS_WITH_ZERO,
        settings={"forget_bias": 0.4},
    )
    record(
        "layernorm_off", 52, "tf1", lambda: LayerNormBasicLSTMCell(H, layer_norm=False)
    )
    record("block_cell", 53, "tf1", lambda: LSTMBlockCell(H))
    record(
        "block_cell_peepholes", 54, "tf1", lambda: LSTMBlockCell(H, use_peephole=True)
    )
    record("block_fused_cell", 55, "tf1", lambda: LSTMBlockFusedCell(H), unroll=fused)
    record("cudnn_compatible_cell", 56, "tf1-cudnn", lambda: CudnnCompatibleLSTMCell(H))
    record("coupled", 57, "tf1-coupled", lambda: CoupledInputForgetGateLSTMCell(H))
    record(
        "coupled_peepholes_projection",
        58,
        "tf1-coupled",
        lambda: CoupledInputForgetGateLSTMCell(H, use_peepholes=True, num_proj=P),
        output=P,
    )
