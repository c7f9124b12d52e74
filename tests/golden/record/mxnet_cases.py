"""MXNet's gluon LSTM layer, its parameters under both of the names that they go by.

Recorded with mxnet 1.9.1 on Python 3.8.

    pip install mxnet==1.9.1 numpy==1.23.5
    python tests/golden/record/mxnet_cases.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from common import B, H, I, P, T, numbers, save, uneven
from mxnet.gluon import rnn


def saved_parameters(block: Any) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "lstm.params"))
        block.save_parameters(path)
        return {name: value.asnumpy() for name, value in mx.nd.load(path).items()}


def record(case: str, seed: int, layout: str = "TNC", **arguments: Any) -> None:
    """Keep the layer twice: once by collect_params, once by save_parameters."""
    rng = numbers(seed)
    layer = rnn.LSTM(H, layout=layout, input_size=I, **arguments)
    layer.initialize()
    parameters = layer.collect_params()
    for parameter in parameters.values():
        parameter.set_data(mx.nd.array(uneven(rng, *parameter.shape)))
    x = uneven(rng, *((T, B, I) if layout == "TNC" else (B, T, I)))
    start = [uneven(rng, *state.shape) for state in layer.begin_state(B)]
    h, (final_h, final_c) = layer(
        mx.nd.array(x), [mx.nd.array(state) for state in start]
    )
    expected = {
        "h": h.asnumpy(),
        "final_h": final_h.asnumpy(),
        "final_c": final_c.asnumpy(),
    }
    for name, weights in (
        (case, {name: value.data().asnumpy() for name, value in parameters.items()}),
        (f"{case}_saved", saved_parameters(layer)),
    ):
        save(
            "mxnet",
            name,
            weights,
            x,
            expected,
            convention="mxnet",
            version=f"mxnet {mx.__version__}",
            script="mxnet_cases.py",
            layout="time" if layout == "TNC" else "batch",
            initial=dict(zip("hc", start)),
        )


if __name__ == "__main__":
    record("plain", 1)
    record("batch_first", 2, layout="NTC", prefix="encoder_")
    record("bidirectional_2_layers", 3, num_layers=2, bidirectional=True)
    record("projection", 4, projection_size=P)
