"""Arrays as NumPy 2.4.6, PyTorch 2.13.0 and TensorFlow 2.21.0 print and abbreviate them.

Environment: pip install torch==2.13.0 tensorflow==2.21.0 numpy==2.4.6
Run, from the top of the checkout: python tests/golden/record/prints.py

One net a framework; its answer is kept whole beside the prints of it. ``<name>.txt`` was printed
with the framework's own options, ``<name>-small.txt`` with a lower threshold and 2 items an edge.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
import torch
from common import GOLDEN, numbers, uneven

FOLDER = GOLDEN / "prints"
B, T, I, H = (
    4,
    40,
    3,
    8,
)  # 1,280 numbers: more than the 1,000 that all three print whole
SMALL: dict[str, Any] = {"threshold": 30, "edgeitems": 2}


def keep(name: str, text: str) -> None:
    """One print."""
    (FOLDER / f"{name}.txt").write_text(f"{text}\n")
    print(f"{name}: {len(text)} characters")


def torch_net() -> tuple[torch.Tensor, torch.Tensor]:
    """h and the last h of an nn.LSTM; its weights and inputs are kept."""
    rng = numbers(31)
    layer = torch.nn.LSTM(I, H, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.from_numpy(uneven(rng, *parameter.shape)))
    x = torch.from_numpy(uneven(rng, B, T, I))
    with torch.no_grad():
        h, (final, _) = layer(x)
    held = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    np.savez(FOLDER / "torch.npz", **held, inputs=x.numpy())
    np.save(FOLDER / "torch.h.npy", h.numpy())
    return h, final


def keras_net() -> tf.Tensor:
    """h of a Keras LSTM; its weights and inputs are kept."""
    rng = numbers(32)
    layer = keras.layers.LSTM(H, return_sequences=True)
    x = uneven(rng, B, T, I)
    layer.build(x.shape)
    layer.set_weights([uneven(rng, *w.shape) for w in layer.get_weights()])
    h = tf.convert_to_tensor(layer(x))
    names = ("kernel", "recurrent_kernel", "bias")
    np.savez(
        FOLDER / "keras.npz",
        **dict(zip(names, layer.get_weights(), strict=True)),
        inputs=x,
    )
    np.save(FOLDER / "keras.h.npy", h.numpy())
    return h


def main() -> None:
    """All prints."""
    FOLDER.mkdir(exist_ok=True)
    h, final = torch_net()
    keep("torch", str(h))
    keep("torch-named", f"h: {h}")
    keep("torch-tiny-numbers", str(h * 1e-6))  # with a factor before the brackets
    keep("numpy", str(h.numpy()))
    keep("numpy-repr", repr(h.numpy()))
    keep("numpy-steps", "\n".join(str(step.numpy()) for step in h[0, :3]))  # whole
    torch.set_printoptions(**SMALL)
    keep("torch-final-small", str(final))
    keep("torch-row-small", str(h[2]))
    torch.set_printoptions(profile="default")
    answer = keras_net()
    keep("tensorflow", str(answer))
    keep("tensorflow-repr", repr(answer))
    with np.printoptions(**SMALL):
        keep("numpy-small", str(answer.numpy()))
        keep("numpy-row-small", str(answer.numpy()[1]))
        keep("numpy-last-small", str(answer.numpy()[:, -1]))
        keep("tensorflow-row-small", str(answer[3]))
        keep(
            "numpy-batches-small",
            "\n".join(f"Row {n}:\n{answer.numpy()[n]}" for n in range(B)),
        )


if __name__ == "__main__":
    main()
