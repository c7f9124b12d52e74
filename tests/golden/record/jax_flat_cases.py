"""jax.experimental.rnn: the weights of an LSTM in one vector, in cuDNN's order.

Recorded with jax 0.10.2, by `lstm_ref`, its CPU reference of cuDNN's LSTM.

    pip install jax==0.10.2
    python tests/golden/record/jax_flat_cases.py
"""

from __future__ import annotations

import jax
import numpy as np
from common import B, H, I, T, numbers, save, uneven
from jax.experimental import rnn


def record(case: str, seed: int, layers: int, both: bool) -> None:
    """A network of some layers, from states that are not zero."""
    rng = numbers(seed)
    sizes = {
        "input_size": I,
        "hidden_size": H,
        "num_layers": layers,
        "bidirectional": both,
    }
    count = rnn.get_num_params_in_lstm(**sizes)
    weights, x = uneven(rng, count), uneven(rng, B, T, I)
    cells = layers * (2 if both else 1)
    state = {name: uneven(rng, cells, B, H) for name in "hc"}
    parts = rnn.unpack_lstm_weights(weights, **sizes)
    y, h_n, c_n = rnn.lstm_ref(
        x,
        state["h"],
        state["c"],
        *parts,
        seq_lengths=np.full(B, T, np.int32),
        dropout=0.0,
        **sizes,
    )
    save(
        "jax", case, {"weights": weights}, x,
        {"h": np.asarray(y), "final_h": np.asarray(h_n), "final_c": np.asarray(c_n)},
        convention="cudnn-flat", version=f"jax {jax.__version__}", script="jax_flat_cases.py",
        layout="batch", initial=state,
        settings={"flat_units": H, "flat_layers": layers, "flat_directions": 2 if both else 1},
    )  # fmt: skip


if __name__ == "__main__":
    record("flat", 841, 1, False)
    record("flat_deep", 842, 3, False)
    record("flat_both_ways", 843, 2, True)
