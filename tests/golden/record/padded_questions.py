"""Random padded batches as frameworks run them: questions for ``explain``, into a folder.

    python padded_questions.py torch 150 FOLDER      # torch's packed LSTM
    KERAS_BACKEND=torch python padded_questions.py keras 90 FOLDER      # a mask
    python padded_questions.py tensorflow 60 FOLDER      # dynamic_rnn(sequence_length=)

Of each, ``FOLDER/FRAMEWORK-N.npz`` has ``weights/NAME``, ``inputs`` (B, T, I), ``lengths`` and
``expected``: all outputs, those of the last valid steps, or the final states. ``about`` is a JSON
object with the version, the settings that a reader is to assume wrongly, and what they are.
`tests.core.explain.padded` asks them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # for TensorFlow's rnn_cell
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

Arrays = dict[str, np.ndarray]
PARTS = ("full", "last valid", "final", "h_n")
WRONG = (  # settings of cells that are assumed wrongly
    ("gates", ("iofg", "figo", "gifo")),
    ("recurrent_activation", ("hard_sigmoid_0.2",)),
    ("activation", ("relu",)),
    ("forget_bias", (2.0,)),
)
TRUE = {  # by framework
    "torch": {"gates": "ifgo", "forget_bias": 0.0},
    "keras": {"gates": "ifgo", "forget_bias": 0.0},
    "tensorflow": {"gates": "igfo", "forget_bias": 1.0},
}
ALWAYS = {"recurrent_activation": "sigmoid", "activation": "tanh"}


def torch_run(
    x: np.ndarray, lengths: Any, H: int, L: int, D: int, rng: Any
) -> tuple[Any, ...]:
    """torch's LSTM over packed sequences."""
    import torch

    net = torch.nn.LSTM(x.shape[2], H, L, batch_first=True, bidirectional=D == 2)
    for weight in net.parameters():
        weight.data = torch.from_numpy(drawn(rng, weight.shape, H))
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x),
        torch.from_numpy(lengths),
        batch_first=True,
        enforce_sorted=False,
    )
    with torch.no_grad():
        out, (h_n, _) = net(packed)
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(
            out, batch_first=True, total_length=x.shape[1]
        )
    weights = {name: weight.detach().numpy() for name, weight in net.named_parameters()}
    return weights, out.numpy(), h_n.numpy(), f"torch {torch.__version__}"


def keras_run(
    x: np.ndarray, lengths: Any, H: int, L: int, D: int, rng: Any
) -> tuple[Any, ...]:
    """Keras' LSTM under a mask, as Masking gives it."""
    import keras

    keras.utils.clear_session()
    weights, finals, y, mask = {}, [], x, np.arange(x.shape[1]) < lengths[:, None]
    for _ in range(L):
        layer = keras.layers.LSTM(H, return_sequences=True, return_state=True)
        layer = keras.layers.Bidirectional(layer) if D == 2 else layer
        layer.build(y.shape)
        for variable in layer.weights:
            weights[variable.path] = drawn(rng, variable.shape, H)
            variable.assign(weights[variable.path])
        y, *states = layer(y, mask=keras.ops.convert_to_tensor(mask))
        finals += [keras.ops.convert_to_numpy(one) for one in states[::2]]
        y = keras.ops.convert_to_numpy(y)
    return (
        weights,
        y,
        np.stack(finals),
        f"keras {keras.__version__} on {keras.backend.backend()}",
    )


def tensorflow_run(
    x: Any, lengths: Any, H: int, L: int, D: int, rng: Any
) -> tuple[Any, ...]:
    """TensorFlow 1's dynamic_rnn, of both directions in one layer."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_eager_execution()
    cell = v1.nn.rnn_cell.LSTMCell
    with v1.Graph().as_default(), v1.Session() as session:
        given = {
            "inputs": tf.constant(x),
            "sequence_length": lengths,
            "dtype": tf.float32,
        }
        if D == 2:
            outputs, states = v1.nn.bidirectional_dynamic_rnn(cell(H), cell(H), **given)
            fetched = tf.concat(outputs, -1), [one.h for one in states]
        else:
            cells = [cell(H) for _ in range(L)]
            top = v1.nn.rnn_cell.MultiRNNCell(cells) if L > 1 else cells[0]
            h, states = v1.nn.dynamic_rnn(top, **given)
            fetched = h, [one.h for one in states] if L > 1 else [states.h]
        session.run(v1.global_variables_initializer())
        weights = {}
        for variable in v1.global_variables():
            weights[variable.name.removesuffix(":0")] = drawn(rng, variable.shape, H)
            session.run(variable.assign(weights[variable.name.removesuffix(":0")]))
        h, finals = session.run(fetched)
    return weights, h, np.stack(finals), f"tensorflow {tf.__version__}"


def drawn(rng: np.random.Generator, shape: Any, units: int) -> np.ndarray:
    """Weights of a size at which a network neither forgets at once nor is chaotic."""
    return rng.normal(0.05, 1 / np.sqrt(units), tuple(shape)).astype(np.float32)


def record(framework: str, n: int, folder: Path) -> None:
    """One question."""
    rng = np.random.default_rng([n, [*TRUE].index(framework)])
    B, T, I, H = (
        int(np.exp(rng.uniform(*np.log(r))))
        for r in ((2, 17), (4, 61), (2, 17), (3, 65))
    )
    L, D = (int(one) for one in rng.integers(1, 3, 2))
    L = 1 if framework == "tensorflow" and D == 2 else L
    lengths = rng.integers(1, T + 1, B)
    if rng.random() < 0.8:  # padded to the longest
        lengths[rng.integers(B)] = T
    x = rng.normal(size=(B, T, I)).astype(np.float32)
    if rng.random() < 0.75:
        x[np.arange(T) >= lengths[:, None]] = 0
    run = {"torch": torch_run, "keras": keras_run, "tensorflow": tensorflow_run}[
        framework
    ]
    weights, h, finals, version = run(x, lengths, H, L, D, rng)
    part = PARTS[rng.integers(3 if framework != "torch" else 4)]
    expected = {
        "full": h,
        "last valid": h[np.arange(B), lengths - 1],
        "final": np.concatenate([*finals[-D:]], axis=-1),
        "h_n": finals,
    }[part]
    true, wrong = TRUE[framework] | ALWAYS, {}
    for k in rng.permutation(len(WRONG))[: rng.integers(3)]:
        name, values = WRONG[k]
        wrong[name] = (
            str(rng.choice(values)) if isinstance(values[0], str) else values[0]
        )
    about = {
        "version": version, "part": part, "wrong": wrong, "given": bool(rng.random() < 0.5),
        "true": {name: true[name] for name in wrong}, "sizes": [B, T, I, H, L, D],
        "layer": "0,1" if framework == "keras" and L == 2 else None,
        "repeats": framework == "keras" and D == 1,
    }  # fmt: skip
    arrays = {f"weights/{name}": array for name, array in weights.items()}
    arrays |= {"inputs": x, "lengths": lengths, "expected": expected}
    np.savez(folder / f"{framework}-{n:03}.npz", about=json.dumps(about), **arrays)


if __name__ == "__main__":
    framework, count, folder = sys.argv[1:]
    Path(folder).mkdir(exist_ok=True)
    for n in range(int(count)):
        record(framework, n, Path(folder))
