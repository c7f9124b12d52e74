"""Whole models of Keras, LSTMs with what stands in front of and behind them, run by Keras.

A case is two files in ``tests/golden/models/``: what Keras wrote, and beside it
``<case>.npz`` with ``inputs`` as the model takes them (indices, or numbers), and
the model's output: ``y`` where it has each step, ``final_y`` where it has not; and
``case``, a JSON record. ``.tflite`` files are the same model by TensorFlow's
converter, and their outputs those of its interpreter. SavedModels are those of Keras 2,
without the graph of ``saved_model.pb``, which is large and not read.

    KERAS_BACKEND=jax python models_keras.py keras           # Keras 3
    python models_keras.py tf_keras                          # Keras 2, in .h5
    python models_keras.py tflite                            # Keras 2, converted
    python models_keras.py saved_model                       # Keras 2, a folder

What was run: keras 3.15.1 (jax 0.10.2), tf_keras 2.21.0 and the converter of
tensorflow 2.21.0, on Python 3.11.
"""

import json
import os
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from common import GOLDEN, B, H, I, T, numbers, uneven

FOLDER = GOLDEN / "models"
VOCABULARY, WIDTH = 11, 8  # rows and columns of an embedding
K = 9  # outputs of a head
MASKED = -1.5  # what Masking takes for padding
LENGTHS = (7, 3, 5, 1)  # valid steps of each row

FLAVOUR = sys.argv[1]
if FLAVOUR == "keras":
    import jax
    import keras

    VERSION = f"keras {keras.__version__} (jax {jax.__version__})"
else:
    import tensorflow as tf
    import tf_keras as keras

    VERSION = f"tf_keras {keras.__version__} (tensorflow {tf.__version__})"

layers = keras.layers


def lstm(units, **words):
    words.setdefault("return_sequences", True)
    return layers.LSTM(units, **words)


def models():
    """The layers of each case, and the shape of one row of its inputs."""
    indices, series = (T,), (T, I)
    yield (
        "embedding_softmax",
        indices,
        [
            layers.Embedding(VOCABULARY, WIDTH, name="emb"),
            lstm(H, return_sequences=False),
            layers.Dense(K, activation="softmax", name="fc"),
        ],
    )
    yield "dense", series, [lstm(H, return_sequences=False), layers.Dense(1)]
    yield (
        "stack_time_distributed",
        series,
        [
            lstm(H),
            layers.Dropout(0.4),
            lstm(4),
            layers.TimeDistributed(layers.Dense(K, activation="tanh")),
        ],
    )
    yield (
        "directions_each",
        series,
        [
            layers.Bidirectional(lstm(H)),
            layers.Dense(K, activation="sigmoid"),
        ],
    )
    yield (
        "directions_last",
        series,
        [
            layers.Bidirectional(lstm(H, return_sequences=False)),
            layers.Dense(K),
        ],
    )
    yield (
        "masking",
        series,
        [
            layers.Masking(MASKED),
            lstm(H, return_sequences=False),
            layers.Dense(K, activation="softmax"),
        ],
    )
    yield (
        "masked_embedding_each",
        indices,
        [
            layers.Embedding(VOCABULARY, WIDTH, mask_zero=True),
            lstm(H),
            layers.Dense(K),
        ],
    )
    yield (
        "two_dense",
        series,
        [
            lstm(H, return_sequences=False),
            layers.Dense(5, use_bias=False),
            layers.Activation("relu"),
            layers.Dropout(0.2),
            layers.Dense(K),
            layers.Softmax(),
        ],
    )
    yield (
        "mean_pooling",
        series,
        [
            lstm(H),
            layers.GlobalAveragePooling1D(),
            layers.Dense(K),
        ],
    )
    yield (
        "max_pooling",
        series,
        [
            lstm(H),
            layers.GlobalMaxPooling1D(),
            layers.Dense(K),
        ],
    )


def inputs_of(name, shape, rng):
    if len(shape) == 1:
        x = rng.integers(0, VOCABULARY, (B, T))
        if name.startswith("masked"):
            x = np.maximum(x, 1)
            for row, length in enumerate(LENGTHS):
                x[row, length:] = 0
        return x.astype(np.int32)
    x = uneven(rng, B, *shape)
    if name == "masking":
        for row, length in enumerate(LENGTHS):
            x[row, length:] = MASKED
    return x


def interpreted(path, x):
    """The output of TensorFlow's interpreter, one row at a time, as its LSTMs take them."""
    interpreter = tf.lite.Interpreter(str(path))
    (given,), (made,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    rows = []
    for row in x:
        interpreter.resize_tensor_input(given["index"], [1, *x.shape[1:]])
        interpreter.allocate_tensors()
        interpreter.reset_all_variables()
        interpreter.set_tensor(given["index"], row[None].astype(given["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(made["index"])[0])
    return np.array(rows)


def record(seed, name, shape, stack):
    rng = numbers(seed)
    batch = {"batch_size": 1} if FLAVOUR == "tflite" else {}
    model = keras.Sequential([layers.Input(shape, **batch), *stack])
    model.set_weights([uneven(rng, *w.shape) for w in model.get_weights()])
    x = inputs_of(name, shape, rng)
    y = model.predict(x, verbose=0)
    if FLAVOUR == "tflite":
        case = f"tflite_{name}"
        file = f"{case}.tflite"
        data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        (FOLDER / file).write_bytes(data)
        y = interpreted(FOLDER / file, x)
    elif FLAVOUR == "saved_model":
        case = file = f"{FLAVOUR}_{name}"
        shutil.rmtree(FOLDER / file, ignore_errors=True)
        model.save(FOLDER / file, save_format="tf")
        (FOLDER / file / "saved_model.pb").unlink()
        (FOLDER / file / "fingerprint.pb").unlink()
        if not any((FOLDER / file / "assets").iterdir()):
            (FOLDER / file / "assets").rmdir()
    else:
        case = f"{FLAVOUR}_{name}"
        file = case + {"keras": ".keras", "tf_keras": ".h5"}[FLAVOUR]
        model.save(FOLDER / file)
    about = {
        "version": VERSION,
        "script": "models_keras.py",
        "layout": "batch",
        "settings": {},
        "file": file,
    }
    output = "y" if y.ndim == 3 else "final_y"
    members = {"inputs": x, output: y, "case": np.array(json.dumps(about))}
    np.savez(FOLDER / f"{case}.npz", **members)
    print(case, x.shape, output, y.shape)


FOLDER.mkdir(exist_ok=True)
MASKS = ("masking", "masked_embedding_each")  # which the converter unrolls to a loop
AS_FOLDER = ("embedding_softmax", "directions_each", "masking")
for seed, (name, shape, stack) in enumerate(models(), 5600):
    if FLAVOUR == "saved_model" and name not in AS_FOLDER:
        continue
    if FLAVOUR == "tflite" and name in MASKS:
        continue
    try:
        record(seed, name, shape, stack)
    except Exception as error:  # the converter takes not every model
        if FLAVOUR != "tflite":
            raise
        print(f"{name}: not converted: {str(error).splitlines()[0][:90]}")
