"""tf_keras (Keras 2) LSTM layers, older weights brought in by its own loader, PeepholeLSTMCell.

Recorded with tf_keras 2.21.0 and tensorflow 2.21.0, which keeps a private copy of Keras 2 with
the peephole cell.

    pip install tf_keras==2.21.0 tensorflow==2.21.0
    python tests/golden/record/tf_keras_cases.py
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from common import LENGTHS, B, H, I, T, numbers, save, uneven
from tensorflow.python.keras.layers import RNN, PeepholeLSTMCell
from tf_keras.layers import LSTM, Bidirectional
from tf_keras.src.layers import CuDNNLSTM
from tf_keras.src.saving.legacy.hdf5_format import preprocess_weights_for_loading

SHOW_ALL = {"return_sequences": True, "return_state": True}
PADDED = np.arange(T) < LENGTHS[:, None]  # valid steps first, then padding

Arrays = dict[str, np.ndarray]


def draw(rng: np.random.Generator, layer: Any, suffix: str = ":0") -> Arrays:
    """Numbers for every weight of the layer, by its name; ``suffix`` is cut off."""
    layer(tf_keras.Input((T, I)))  # names the weights after the layer, as in a model
    return {w.name.removesuffix(suffix): uneven(rng, *w.shape) for w in layer.weights}


def finish(
    case: str,
    rng: np.random.Generator,
    layer: Any,
    weights: Arrays,
    *,
    convention: str = "keras",
    parts: int = 1,
    mask: np.ndarray | None = None,
    **options: Any,
) -> None:
    """Run the layer, whose weights are set, from states that are not zero, and keep the case."""
    x = uneven(rng, B, T, I)
    state = {name: uneven(rng, parts, B, H) for name in "hc"}
    start = [tf.constant(state[name][k]) for k in range(parts) for name in "hc"]
    h, *finals = layer(x, initial_state=start, mask=mask)
    final_h, final_c = np.stack(finals[0::2]), np.stack(finals[1::2])
    if parts == 1:
        final_h, final_c, state = (
            final_h[0],
            final_c[0],
            {k: v[0] for k, v in state.items()},
        )
    save(
        "tf_keras",
        case,
        weights,
        x,
        {"h": h, "final_h": final_h, "final_c": final_c},
        convention=convention,
        version=f"tf_keras {tf_keras.__version__}",
        script="tf_keras_cases.py",
        layout="batch",
        initial=state,
        mask=mask,
        **options,
    )


def record(
    case: str, seed: int, layer: Any, *, suffix: str = ":0", **options: Any
) -> None:
    rng = numbers(seed)
    weights = draw(rng, layer, suffix)
    layer.set_weights(list(weights.values()))
    finish(case, rng, layer, weights, **options)


def record_cudnn(seed: int) -> None:
    """Weights as a CuDNNLSTM has them (that layer needs a GPU), run by the LSTM they convert to."""
    rng = numbers(seed)
    weights = draw(rng, CuDNNLSTM(H))
    layer = LSTM(H, **SHOW_ALL)
    layer.build((B, T, I))
    layer.set_weights(preprocess_weights_for_loading(layer, list(weights.values())))
    finish("cudnn_lstm", rng, layer, weights, convention="cudnnlstm")


def record_keras1(seed: int) -> None:
    """The twelve arrays of Keras 1, in its order, run by the LSTM they convert to."""
    rng = numbers(seed)
    layer = LSTM(H, **SHOW_ALL)
    layer.build((B, T, I))
    shapes = {"W": (I, H), "U": (H, H), "b": (H,)}
    weights = {
        f"lstm_1_{kind}_{gate}": uneven(rng, *shape)
        for gate in "icfo"
        for kind, shape in shapes.items()
    }
    layer.set_weights(
        preprocess_weights_for_loading(layer, list(weights.values()), "1")
    )
    # The layer's gates are sigmoid, not the hard sigmoid that was Keras 1's own default.
    settings = {"recurrent_activation": "sigmoid"}
    finish("keras1", rng, layer, weights, convention="keras1", settings=settings)


if __name__ == "__main__":
    record("plain", 1, LSTM(H, name="lstm", **SHOW_ALL))
    record(
        "hard_sigmoid",
        2,
        LSTM(H, name="lstm", recurrent_activation="hard_sigmoid", **SHOW_ALL),
        settings={"recurrent_activation": "hard_sigmoid_0.2"},
    )
    record("mask", 3, LSTM(H, name="lstm", **SHOW_ALL), mask=PADDED)
    record(
        "names_with_0",
        4,
        Bidirectional(LSTM(H, name="lstm", **SHOW_ALL), name="encoder"),
        suffix="",
        parts=2,
        note="Names as Variable.name has them, with :0. States: (forward, backward) stacked.",
    )
    record_cudnn(5)
    record_keras1(6)
    record(
        "peephole",
        7,
        RNN(PeepholeLSTMCell(H), name="rnn", **SHOW_ALL),
        settings={"recurrent_activation": "hard_sigmoid_0.2"},
        note="The cell's own default recurrent activation is the hard sigmoid.",
    )
    record(
        "peephole_sigmoid",
        8,
        RNN(
            PeepholeLSTMCell(H, recurrent_activation="sigmoid"), name="rnn", **SHOW_ALL
        ),
    )
