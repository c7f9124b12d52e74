"""Sonnet 2's LSTM modules.

Recorded with dm-sonnet 2.0.2 and tensorflow 2.21.0.

    pip install dm-sonnet==2.0.2 tensorflow==2.21.0
    python tests/golden/record/sonnet_cases.py
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from typing import Any

import sonnet as snt
import tensorflow as tf
from common import LENGTHS, B, H, I, P, T, numbers, save, uneven


def keep(
    case: str,
    seed: int,
    module: Any,
    *,
    output: int = H,
    lengths: Any = None,
    **options: Any,
) -> None:
    rng = numbers(seed)
    x = uneven(rng, T, B, I)
    state = {"h": uneven(rng, B, output), "c": uneven(rng, B, H)}
    start = snt.LSTMState(hidden=tf.constant(state["h"]), cell=tf.constant(state["c"]))
    unroll = (
        module if isinstance(module, snt.UnrolledRNN) else steps_of(module, lengths)
    )
    unroll(tf.constant(x), start)  # makes the variables
    weights = {}
    for variable in module.variables:
        name = variable.name.removesuffix(":0")
        weights[name] = uneven(rng, *variable.shape)
        variable.assign(weights[name])
    h, final = unroll(tf.constant(x), start)
    save(
        "sonnet",
        case,
        weights,
        x,
        {"h": h, "final_h": final.hidden, "final_c": final.cell},
        convention="sonnet2",
        version=f"sonnet {snt.__version__}",
        script="sonnet_cases.py",
        layout="time",
        initial=state,
        lengths=lengths,
        **options,
    )


def steps_of(core: Any, lengths: Any) -> Any:
    return lambda x, start: snt.dynamic_unroll(core, x, start, sequence_length=lengths)


if __name__ == "__main__":
    keep("lstm", 1, snt.LSTM(H))
    keep("projection", 2, snt.LSTM(H, projection_size=P, name="encoder"), output=P)
    keep("unrolled", 3, snt.UnrolledLSTM(H))
    keep(
        "lengths",
        4,
        snt.LSTM(H),
        lengths=LENGTHS,
        note="dynamic_unroll repeats the last valid output past a row's length.",
    )
