"""Make this sample: the weights and outputs of a Keras LSTM, and the header that lstm.c includes.

    KERAS_BACKEND=torch python samples/c-port/make.py

Recorded with Keras 3.15.1 on torch 2.13.0. Nothing here comes from lstmcli. ``c.txt`` is what
lstm.c prints: ``cc -o lstm_c lstm.c -lm && ./lstm_c > c.txt``.
"""

from pathlib import Path

import keras
import numpy as np

HERE = Path(__file__).parent
I, H, T = 3, 4, 5


def c_array(name: str, array: np.ndarray) -> str:
    """A C array of floats: row by row, as NumPy has it in memory."""
    numbers = ", ".join(
        f"{value:.9g}f" if value % 1 else f"{value:.1f}f" for value in array.flat
    )
    return f"static const float {name}[{array.size}] = {{{numbers}}};\n"


def main() -> None:
    keras.utils.set_random_seed(0)
    layer = keras.layers.LSTM(
        H, return_sequences=True, bias_initializer="glorot_uniform"
    )
    x = np.random.RandomState(0).normal(size=(1, T, I)).astype(np.float32)
    y = keras.ops.convert_to_numpy(layer(x))
    kernel, recurrent, bias = layer.get_weights()
    np.savez(HERE / "keras.npz", kernel=kernel, recurrent_kernel=recurrent, bias=bias)
    np.save(HERE / "inputs.npy", x)
    np.save(HERE / "keras.npy", y)
    sizes = "".join(
        f"#define {name} {value}\n" for name, value in {"I": I, "H": H, "T": T}.items()
    )
    arrays = {"X": x, "KERNEL": kernel, "RECURRENT": recurrent, "BIAS": bias}
    text = sizes + "".join(c_array(name, array) for name, array in arrays.items())
    (HERE / "weights.h").write_text(text)


if __name__ == "__main__":
    main()
