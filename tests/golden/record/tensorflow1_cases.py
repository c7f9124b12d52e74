"""TensorFlow 1 cells, run by TensorFlow's own compat.v1 graph mode, and the raw BlockLSTM ops.

Recorded with tensorflow 2.21.0 and tf_keras 2.21.0 (which holds the rnn_cell classes).

    pip install tensorflow==2.21.0 tf_keras==2.21.0
    python tests/golden/record/tensorflow1_cases.py
"""

from __future__ import annotations

import os

os.environ["TF_USE_LEGACY_KERAS"] = (
    "1"  # must be set before the import: Keras 3 has no rnn_cell
)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from common import LENGTHS_WITH_ZERO, B, H, I, P, T, numbers, save, uneven

v1 = tf.compat.v1
v1.disable_eager_execution()
v1.logging.set_verbosity(v1.logging.ERROR)
cells = v1.nn.rnn_cell

Arrays = dict[str, np.ndarray]


def keep(case: str, *args: Any, **options: Any) -> None:
    version = f"tensorflow {tf.__version__}"
    save(
        "tensorflow1",
        case,
        *args,
        version=version,
        script="tensorflow1_cases.py",
        **options,
    )


def run(
    build: Callable[[], Any], rng: np.random.Generator | None
) -> tuple[Arrays, Any]:
    """Build a graph, fill its variables in order of creation, and run what ``build`` returned.

    Without ``rng`` the variables keep what their initializers give.
    """
    with v1.Graph().as_default(), v1.Session() as session:
        fetches = build()
        session.run(v1.global_variables_initializer())
        variables = v1.global_variables()
        if rng is not None:
            for variable in variables:
                session.run(variable.assign(uneven(rng, *variable.shape)))
        names = [variable.name.removesuffix(":0") for variable in variables]
        return dict(zip(names, session.run(variables), strict=True)), session.run(
            fetches
        )


def initial_state(rng: np.random.Generator, *shape: int, output: int = H) -> Arrays:
    return {"h": uneven(rng, *shape, output), "c": uneven(rng, *shape, H)}


def state_tuple(state: Arrays) -> Any:
    """TensorFlow 1 puts c before h."""
    return cells.LSTMStateTuple(c=tf.constant(state["c"]), h=tf.constant(state["h"]))


def record_cell(
    case: str,
    seed: int,
    make: Callable[[], Any],
    *,
    output: int = H,
    scope: str | None = None,
    time_major: bool = False,
    lengths: np.ndarray | None = None,
    **options: Any,
) -> None:
    """One cell through dynamic_rnn, from a state that is not zero."""
    rng = numbers(seed)
    x = uneven(rng, *((T, B, I) if time_major else (B, T, I)))
    state = initial_state(rng, B, output=output)

    def build() -> Any:
        with v1.variable_scope(scope or v1.get_variable_scope()):
            return v1.nn.dynamic_rnn(
                make(),
                tf.constant(x),
                sequence_length=lengths,
                initial_state=state_tuple(state),
                time_major=time_major,
            )

    weights, (h, final) = run(build, rng)
    expected = {"h": h, "final_h": final.h, "final_c": final.c}
    layout = "time" if time_major else "batch"
    options = {"convention": "tf1", "initial": state, "lengths": lengths} | options
    keep(case, weights, x, expected, layout=layout, **options)


def record_multi() -> None:
    rng = numbers(20)
    x, state = uneven(rng, B, T, I), initial_state(rng, 2, B)
    layers = [{name: value[k] for name, value in state.items()} for k in range(2)]

    def build() -> Any:
        return v1.nn.dynamic_rnn(
            cells.MultiRNNCell([cells.LSTMCell(H) for _ in layers]),
            tf.constant(x),
            initial_state=tuple(state_tuple(layer) for layer in layers),
        )

    weights, (h, final) = run(build, rng)
    expected = {
        "h": h,
        "final_h": np.stack([layer.h for layer in final]),
        "final_c": np.stack([layer.c for layer in final]),
    }
    note = (
        "The states are a tuple of (c, h), one per layer; stacked here on a first axis."
    )
    keep(
        "multi_rnn_cell",
        weights,
        x,
        expected,
        convention="tf1",
        layout="batch",
        initial=state,
        note=note,
    )


def record_bidirectional() -> None:
    rng = numbers(21)
    x, state = uneven(rng, B, T, I), initial_state(rng, 2, B)
    ways = [{name: value[k] for name, value in state.items()} for k in range(2)]

    def build() -> Any:
        outputs, states = v1.nn.bidirectional_dynamic_rnn(
            cells.LSTMCell(H),
            cells.LSTMCell(H),
            tf.constant(x),
            sequence_length=LENGTHS_WITH_ZERO,
            initial_state_fw=state_tuple(ways[0]),
            initial_state_bw=state_tuple(ways[1]),
        )
        return tf.concat(outputs, -1), states

    weights, (h, final) = run(build, rng)
    expected = {
        "h": h,
        "final_h": np.stack([way.h for way in final]),
        "final_c": np.stack([way.c for way in final]),
    }
    keep(
        "bidirectional",
        weights,
        x,
        expected,
        convention="tf1",
        layout="batch",
        initial=state,
        lengths=LENGTHS_WITH_ZERO,
        note="Outputs (fw, bw) joined by tf.concat on the last axis; states (fw, bw) stacked.",
    )


def record_question() -> None:
    """The numbers of the question that lstmcli answers: zero bias and zero state, NumPy seed 0."""
    draw = np.random.RandomState(0)
    inputs, units = 4, 3
    x = draw.normal(size=(1, 7, inputs)).astype(np.float32)
    limit = np.sqrt(6 / (inputs + units + 4 * units))
    kernel = draw.uniform(-limit, limit, (inputs + units, 4 * units)).astype(np.float32)

    def build() -> Any:
        cell = cells.LSTMCell(units, initializer=v1.constant_initializer(kernel))
        return v1.nn.dynamic_rnn(cell, tf.constant(x), dtype=tf.float32)

    weights, (h, final) = run(build, None)
    expected = {"h": h, "final_h": final.h, "final_c": final.c}
    note = "RandomState(0): x = normal, then the Glorot-uniform kernel; zero bias, zero state."
    keep("question", weights, x, expected, convention="tf1", layout="batch", note=note)


def record_block(
    case: str, seed: int, op: Any, convention: str, **attributes: Any
) -> None:
    """A raw op, which shows every gate of every step."""
    rng = numbers(seed)
    x = uneven(
        rng, T, B, I, scale=3.0
    )  # wide enough for |c| to reach the default clip of 3
    state = initial_state(rng, B)
    weights = {"w": uneven(rng, I + H, 4 * H), "b": uneven(rng, 4 * H)}
    weights |= {name: uneven(rng, H) for name in ("wci", "wcf", "wco")}
    result = run(
        lambda: op(
            seq_len_max=T,
            x=x,
            cs_prev=state["c"],
            h_prev=state["h"],
            **weights,
            **attributes,
        )._asdict(),
        None,
    )[1]
    if not attributes.get("use_peephole"):  # the op takes the peepholes in any case
        weights = {name: weights[name] for name in ("w", "b")}
    named = {"h": "h", "c": "cs", "i": "i", "f": "f", "g": "ci", "o": "o"}
    settings = {
        name: value for name, value in attributes.items() if name == "cell_clip"
    }
    keep(
        case,
        weights,
        x,
        {ours: result[theirs] for ours, theirs in named.items()},
        convention=convention,
        layout="time",
        initial=state,
        settings=settings,
    )


if __name__ == "__main__":
    record_cell("lstm_cell", 1, lambda: cells.LSTMCell(H))
    for seed, case, bias in ((2, "forget_bias_0", 0.0), (3, "forget_bias_2_5", 2.5)):
        record_cell(
            case,
            seed,
            lambda bias=bias: cells.LSTMCell(H, forget_bias=bias),
            settings={"forget_bias": bias},
        )
    record_cell("peepholes", 4, lambda: cells.LSTMCell(H, use_peepholes=True))
    record_cell(
        "peepholes_clips_projection",
        5,
        lambda: cells.LSTMCell(
            H, use_peepholes=True, num_proj=P, cell_clip=0.5, proj_clip=0.2
        ),
        output=P,
        scope="encoder",
        settings={"cell_clip": 0.5, "projection_clip": 0.2},
    )
    record_cell(
        "relu",
        6,
        lambda: cells.LSTMCell(H, activation=tf.nn.relu),
        settings={"activation": "relu"},
    )
    record_cell(
        "basic_lstm_cell", 7, lambda: cells.BasicLSTMCell(H), scope="model/encoder"
    )
    record_cell("time_major", 8, lambda: cells.BasicLSTMCell(H), time_major=True)
    record_cell(
        "sequence_length", 9, lambda: cells.LSTMCell(H), lengths=LENGTHS_WITH_ZERO
    )
    record_multi()
    record_bidirectional()
    record_question()
    v1_op, v2_op = tf.raw_ops.BlockLSTM, tf.raw_ops.BlockLSTMV2
    record_block("block_lstm", 30, v1_op, "tf-block")
    record_block("block_lstm_peepholes", 31, v1_op, "tf-block", use_peephole=True)
    record_block("block_lstm_v2", 32, v2_op, "tf-block-v2")
    record_block("block_lstm_v2_peepholes", 33, v2_op, "tf-block-v2", use_peephole=True)
    record_block("block_lstm_v2_clip", 34, v2_op, "tf-block-v2", cell_clip=0.7)
