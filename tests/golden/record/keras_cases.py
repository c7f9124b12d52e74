"""Keras 3 LSTM layers on the TensorFlow backend.

Recorded with keras 3.15.1 and tensorflow 2.21.0.

    pip install keras==3.15.1 tensorflow==2.21.0
    python tests/golden/record/keras_cases.py
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
from common import LENGTHS, B, H, I, T, numbers, save, uneven
from keras.layers import LSTM, Bidirectional

SHOW_ALL = {"return_sequences": True, "return_state": True}
PADDED = np.arange(T) < LENGTHS[:, None]  # valid steps first, then padding
HOLES = PADDED.copy()
HOLES[0, :2] = HOLES[2, 3] = False  # a row that begins masked, and a row with a hole


def record(
    case: str,
    seed: int,
    make: Callable[[], list[keras.Layer]],
    *,
    directions: int = 1,
    mask: np.ndarray | None = None,
    dtype: str = "float32",
    scope: str = "",
    **options: Any,
) -> None:
    """Run one layer, or a stack of them, from states that are not zero."""
    keras.utils.clear_session()  # so that the first layer is called "lstm" in every case
    rng = numbers(seed)
    x = uneven(rng, B, T, I).astype(dtype)
    layers = make()
    parts = len(layers) * directions
    state = {name: uneven(rng, parts, B, H).astype(dtype) for name in "hc"}
    starts = [[state["h"][k], state["c"][k]] for k in range(parts)]

    y, finals, weights = x, [], {}
    for k, layer in enumerate(layers):
        with keras.name_scope(scope) if scope else nullcontext():
            layer.build(y.shape)
        for variable in layer.weights:
            weights[variable.path] = uneven(rng, *variable.shape).astype(dtype)
            variable.assign(weights[variable.path])
        start = sum(starts[k * directions : (k + 1) * directions], [])
        y, *final = layer(y, initial_state=start, mask=mask)
        finals += final

    final_h, final_c = np.stack(finals[0::2]), np.stack(finals[1::2])
    if parts == 1:
        final_h, final_c, state = (
            final_h[0],
            final_c[0],
            {k: v[0] for k, v in state.items()},
        )
    save(
        "keras",
        case,
        weights,
        x,
        {"h": y, "final_h": final_h, "final_c": final_c},
        convention="keras",
        version=f"keras {keras.__version__}",
        script="keras_cases.py",
        layout="batch",
        initial=state,
        mask=mask,
        **options,
    )


def lstm(**arguments: Any) -> Callable[[], list[keras.Layer]]:
    return lambda: [LSTM(H, **SHOW_ALL, **arguments)]


def bidirectional(**arguments: Any) -> Callable[[], list[keras.Layer]]:
    return lambda: [Bidirectional(LSTM(H, **SHOW_ALL), **arguments)]


if __name__ == "__main__":
    record("plain", 1, lstm())
    record("no_bias", 2, lstm(use_bias=False))
    record(
        "go_backwards",
        3,
        lstm(go_backwards=True),
        settings={"go_backwards": True},
        note="h is in the order of processing: its first step belongs to the last input.",
    )
    record(
        "hard_sigmoid",
        4,
        lstm(recurrent_activation="hard_sigmoid"),
        settings={"recurrent_activation": "hard_sigmoid_1_6"},
    )
    record("relu", 5, lstm(activation="relu"), settings={"activation": "relu"})
    record("mask", 6, lstm(), mask=PADDED)
    record("mask_with_holes", 7, lstm(), mask=HOLES)
    record(
        "mask_zero_output",
        8,
        lstm(zero_output_for_mask=True),
        mask=HOLES,
        settings={"masked_output": "zero"},
    )
    record("float16", 9, lstm(dtype="float16"), dtype="float16")
    record(
        "stacked", 10, lambda: [LSTM(H, **SHOW_ALL) for _ in range(2)], scope="encoder"
    )
    for seed, merge in enumerate(("concat", "sum", "mul", "ave"), start=11):
        record(
            f"bidirectional_{merge}",
            seed,
            bidirectional(merge_mode=merge),
            directions=2,
            settings={} if merge == "concat" else {"merge": merge},
            note="States come as forward h, c, backward h, c; stacked here on a first axis.",
        )
    record(
        "bidirectional_mask",
        15,
        bidirectional(),
        directions=2,
        mask=PADDED,
        note="Inside Bidirectional masked outputs are zero, without being asked for.",
    )
