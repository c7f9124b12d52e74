"""Make this sample: a text classifier of Keras, and a port of it to NumPy with a mistake.

    KERAS_BACKEND=jax python samples/text-classifier/make.py

Recorded with Keras 3.15.1 on jax 0.10.2. Nothing here comes from lstmcli.
"""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
VOCABULARY, WIDTH, UNITS, CLASSES = 30, 6, 8, 4
TEXTS, WORDS = 5, 9


def port(model: keras.Model, words: NDArray[np.int64]) -> NDArray[np.float32]:
    """The probabilities (B, K) by NumPy; the mistake is in the order of the gates."""
    table, kernel, recurrent, bias, head, head_bias = model.get_weights()
    h = c = np.zeros((len(words), UNITS), np.float32)
    for t in range(WORDS):
        z = table[words[:, t]] @ kernel + h @ recurrent + bias
        i, f, o, g = np.split(z, 4, axis=1)  # Keras has i, f, g, o
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    scores = np.exp(h @ head + head_bias)
    return scores / scores.sum(axis=1, keepdims=True)


def sigmoid(z: NDArray[np.float32]) -> NDArray[np.float32]:
    return 1 / (1 + np.exp(-z))


def main() -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.layers.Input((WORDS,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, WIDTH, name="embedding"),
            keras.layers.LSTM(UNITS, name="lstm", bias_initializer="glorot_uniform"),
            keras.layers.Dense(CLASSES, activation="softmax", name="classes"),
        ]
    )
    for layer in model.layers:  # as training leaves them: not near 0
        layer.set_weights([2 * weights for weights in layer.get_weights()])
    words = np.random.RandomState(1).randint(0, VOCABULARY, (TEXTS, WORDS))
    model.save(HERE / "model.keras")
    np.save(HERE / "words.npy", words)
    np.save(HERE / "keras.npy", model.predict(words, verbose=0))
    np.savetxt(HERE / "port.txt", port(model, words), fmt="%.6f")


if __name__ == "__main__":
    main()
