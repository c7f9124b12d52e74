"""Make this sample: the thread's weights and inputs, and what the asker's NumPy gives for them.

    python samples/forget-bias/make.py

Recorded with numpy 2.4.6. ``tensorflow.txt`` is printed from what TensorFlow 2.21's compat.v1
LSTMCell computed (tests/golden/record/tensorflow1_cases.py, case ``question``); nothing here comes
from lstmcli.
"""

from pathlib import Path
from shutil import copyfile

import numpy as np

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "lstmcli" / "example"  # what `lstm init --example` writes
I, H, T = 4, 3, 7


def asked_cell(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The asker's cell, (T, I) -> (T, H): right but for the 1.0 that TensorFlow adds to f."""
    h = c = np.zeros(H)
    steps = []
    for x_t in x:
        i, g, f, o = np.split(np.concatenate([x_t, h]) @ kernel + bias, 4)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        steps.append(h)
    return np.array(steps)


def main() -> None:
    random = np.random.RandomState(0)
    x = random.normal(size=(1, T, I))
    limit = np.sqrt(6 / (I + H + 4 * H))  # Glorot & Bengio 2010
    kernel = random.uniform(-limit, limit, (I + H, 4 * H))
    bias = np.zeros(4 * H)
    np.savez(HERE / "weights.npz", kernel=kernel, bias=bias)
    np.save(HERE / "inputs.npy", x)
    (HERE / "numpy.txt").write_text(f"{asked_cell(x[0], kernel, bias)}\n")
    golden = np.load(
        HERE.parents[1] / "tests" / "golden" / "tensorflow1" / "question.npz"
    )
    (HERE / "tensorflow.txt").write_text(f"{golden['h'][0]}\n")
    for name in ("weights.npz", "inputs.npy", "numpy.txt", "tensorflow.txt"):
        copyfile(HERE / name, PACKAGE / name)


if __name__ == "__main__":
    main()
