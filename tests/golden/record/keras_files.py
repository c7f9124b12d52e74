"""Files of weights as each Keras writes them, read back and run by that Keras itself.

A case is two files in ``tests/golden/keras_files/<writer>/``: what the framework wrote, and
beside it ``<file>.npz`` with ``inputs`` (B, T, I), ``h``, the output of the model that the
framework's own loader made of the file, every weight of that model as ``weights/<layer>/<n>`` in
the order of ``layer.get_weights()``, and ``case``, a JSON record: the versions, the layers to run
in turn, and what the file does not hold. A case of weights alone may have the model's config in
a ``.json`` beside it, which ``config`` of the record names.

Runs on Python 3.7 and later. The Keras to use is named first, then the cases to record:

    python keras_files.py keras plain ...      # the package keras: 1.2.2 to 3
    python keras_files.py tf_keras ...         # the package tf_keras
    python keras_files.py tf.keras ...         # what TensorFlow 1 and 2 bring

What was run: keras 1.2.2, 2.0.8, 2.2.5 and 2.3.1 and tf.keras of TensorFlow 1.15.5
(Python 3.7), tf.keras of 2.11.1 and 2.12.1 (Python 3.9), tf_keras 2.21.0,
keras 3.5.0 and 3.15.1 (TensorFlow 2.21.0; Python 3.11). RECORDED below lists who wrote which.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from common import GOLDEN, B, H, I, T, numbers, uneven

RECORDED = {
    "keras 1.2.2": "stacked.h5 gpu.h5 plain_weights.h5 bidirectional.h5",
    "keras 2.0.8": "stacked.h5",
    "keras 2.2.5": "cells.h5 plain_weights.h5 cudnn_weights.h5 between.h5",
    "keras 2.3.1": "nested.h5",
    "tf.keras of tensorflow 1.15.5": "stacked.h5 peephole.h5",
    "tf.keras of tensorflow 2.11.1": "stacked.keras plain_weights.h5",
    "tf.keras of tensorflow 2.12.1": "stacked_v3.keras",
    "tf_keras 2.21.0": "stacked.h5 bidirectional.keras nested.h5 nested.keras cells.h5 cells.keras"
    " cudnn.h5 cudnn.keras plain.weights.h5 apart.keras"
    " stacked_weights.h5",
    "keras 3.5.0": "stacked.keras plain.weights.h5",
    "keras 3.15.1": "stacked.h5 stacked.keras plain.weights.h5 bidirectional.h5"
    " bidirectional.keras nested.h5 nested.keras cells.keras apart.keras options.keras"
    " bfloat16.weights.h5 wrapped.h5 wrapped.keras between.h5 between.keras"
    " authors.h5 authors.keras",
}
K = 2  # units of a second layer

FLAVOUR, CASES = sys.argv[1], sys.argv[2:]
if FLAVOUR == "tf.keras":
    import tensorflow as tf

    keras, VERSION = tf.keras, "tf.keras of tensorflow " + tf.__version__
elif FLAVOUR == "tf_keras":
    import tf_keras as keras

    VERSION = "tf_keras " + keras.__version__
else:
    import keras

    VERSION = "keras " + keras.__version__
FIRST = keras.__version__.startswith("1.")
from_keras = keras.layers
Sequential, Model = keras.models.Sequential, keras.models.Model


def lstm(units, **words):
    """An LSTM layer that returns all steps, in the words of Keras 2."""
    words.setdefault("return_sequences", True)
    if FIRST:
        if "recurrent_activation" in words:
            words["inner_activation"] = words.pop("recurrent_activation")
        if "input_shape" in words:
            words["input_dim"] = words.pop("input_shape")[1]
    return from_keras.LSTM(units, **words)


def sequential(*layers):
    model = Sequential()
    for layer in layers:
        model.add(layer)
    return model


# ---- the models: layers whose names are not in the order of the alphabet


def stacked(**words):
    """Two LSTMs of other activations."""
    return sequential(
        lstm(
            H,
            name="zeta",
            recurrent_activation="hard_sigmoid",
            input_shape=(T, I),
            **words,
        ),
        lstm(
            K,
            name="alpha",
            recurrent_activation="sigmoid",
            activation="softsign",
            **words,
        ),
    )


def plain():
    """The same with the activations that each Keras takes unless told otherwise."""
    return sequential(lstm(H, name="zeta", input_shape=(T, I)), lstm(K, name="alpha"))


def gpu():
    """Keras 1 with its matrices of all gates."""
    return stacked(consume_less="gpu")


def bidirectional():
    words = {"merge_mode": "sum", "name": "both"}
    layer = lstm(H, name="zeta", recurrent_activation="hard_sigmoid")
    if FIRST:
        return sequential(from_keras.Bidirectional(layer, input_shape=(T, I), **words))
    return sequential(
        from_keras.InputLayer((T, I)) if keras.__version__ >= "3" else _input(),
        from_keras.Bidirectional(layer, **words),
    )


def _input():
    return from_keras.InputLayer(input_shape=(T, I))


def nested():
    """An LSTM in a model in a model, a head beside it, and a frozen layer."""
    inner = sequential(
        lstm(H, name="zeta", input_shape=(T, I), recurrent_activation="sigmoid")
    )
    inner = Model(inner.inputs[0], inner.outputs[0], name="inner")
    outer = from_keras.Input(shape=(T, I))
    last = lstm(K, name="alpha", recurrent_activation="hard_sigmoid", use_bias=False)
    last.trainable = False
    h = last(inner(outer))
    return Model(outer, [h, from_keras.Dense(3, name="head")(h)])


def between():
    """Both directions, layers that do nothing in a run, and a second LSTM, as a graph of layers."""
    outer = from_keras.Input(shape=(T, I))
    both = from_keras.Bidirectional(
        lstm(H, recurrent_activation="sigmoid"), name="zeta"
    )(outer)
    both = from_keras.Dropout(0.3, name="first")(both)
    both = from_keras.GaussianNoise(0.1, name="last")(both)
    h = lstm(K, name="alpha", recurrent_activation="hard_sigmoid")(both)
    return Model(outer, from_keras.Dense(3, name="head")(h))


def apart():
    """One cell in a layer, in both directions, whose outputs are not merged."""
    slope = {"negative_slope": 0.3} if keras.__version__ >= "3" else {"alpha": 0.3}
    cell = from_keras.LSTMCell(
        H, activation=from_keras.LeakyReLU(**slope), recurrent_activation="hard_sigmoid"
    )
    outer = from_keras.Input(shape=(T, I))
    both = from_keras.Bidirectional(
        from_keras.RNN(cell, return_sequences=True), merge_mode=None
    )
    return Model(outer, both(outer))


def cells():
    """Two cells in one RNN layer."""
    stack = [
        from_keras.LSTMCell(H, recurrent_activation="hard_sigmoid"),
        from_keras.LSTMCell(K, activation="softsign", recurrent_activation="sigmoid"),
    ]
    outer = from_keras.Input(shape=(T, I))
    return Model(
        outer, from_keras.RNN(stack, return_sequences=True, name="stack")(outer)
    )


def peephole():
    cell = keras.experimental.PeepholeLSTMCell(H)
    outer = from_keras.Input(shape=(T, I))
    return Model(
        outer, from_keras.RNN(cell, return_sequences=True, name="peephole")(outer)
    )


def cudnn():
    """A layer that needs a GPU to run; the LSTM that its loader makes of it runs in its place."""
    return sequential(_input(), _cudnn_layer()(H, return_sequences=True, name="zeta"))


def _cudnn_layer():
    if FLAVOUR == "tf_keras":
        from tf_keras.src.layers import CuDNNLSTM

        return CuDNNLSTM
    import tensorflow as tf

    pruned = tf.GraphOptions(
        place_pruned_graph=True
    )  # or its op, never run, needs a GPU
    keras.backend.set_session(tf.Session(config=tf.ConfigProto(graph_options=pruned)))
    return from_keras.CuDNNLSTM


def options():
    """Backwards, stateful, without bias, a mask."""
    outer = from_keras.Input(batch_shape=(B, T, I))
    hidden = from_keras.Masking(mask_value=9.0, name="hide")(outer)
    layer = lstm(H, name="zeta", go_backwards=True, stateful=True, use_bias=False)
    return Model(outer, layer(hidden))


def wrapped():
    """An LSTM along the third axis, once for each entry of the second."""
    layer = lstm(
        H, name="zeta", activation="softsign", recurrent_activation="hard_sigmoid"
    )
    each = from_keras.TimeDistributed(layer, name="each")
    return sequential(from_keras.InputLayer((1, T, I)), each)


def authors():
    """Classes of the model's author, registered in a package, that compute what Keras' do."""
    mine = keras.saving.register_keras_serializable("mine")
    layer = mine(type("PlainLSTM", (from_keras.LSTM,), {}))
    cell = mine(type("PlainLSTMCell", (from_keras.LSTMCell,), {}))
    words = {"return_sequences": True, "recurrent_activation": "hard_sigmoid"}
    return sequential(
        from_keras.InputLayer((T, I)),
        layer(H, name="zeta", **words),
        from_keras.Bidirectional(
            layer(K, name="alpha", **words), merge_mode="ave", name="both"
        ),
        from_keras.RNN(
            [cell(H), from_keras.LSTMCell(K)], return_sequences=True, name="cells"
        ),
    )


def bfloat16():
    return sequential(lstm(H, name="zeta", input_shape=(T, I), dtype="bfloat16",
                           recurrent_initializer="zeros"))  # fmt: skip


# ---- recording

ROWS = {"gpu": "keras1-gpu", "cudnn": "cudnnlstm", "cudnn_weights": "cudnnlstm"}
RUNS = dict.fromkeys(
    ("stacked", "stacked_v3", "stacked_weights", "plain", "plain_weights", "gpu"),
    "zeta,alpha",
)
RUNS["nested"] = "inner/zeta,alpha"
RUNS["between"] = "zeta,alpha"


def record(file, seed):
    case, _, kind = file.partition(".")
    make = globals()[case.replace("_v3", "").replace("_weights", "")]
    rng, model = numbers(seed), make()
    model.set_weights([uneven(rng, *w.shape) for w in model.get_weights()])
    folder = (
        GOLDEN / "keras_files" / VERSION.replace(" of tensorflow", "").replace(" ", "-")
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = str(folder / file)
    if os.path.exists(path):
        os.unlink(path)
    custom = {}
    if case == "peephole":
        custom = {"PeepholeLSTMCell": keras.experimental.PeepholeLSTMCell}
    if kind == "weights.h5" or case.endswith("_weights"):
        model.save_weights(path)
        loaded = make()
        loaded.load_weights(path)
        if case == "stacked_weights":  # the config in a file beside it
            with open(path[: -len(kind)] + "json", "w") as file_of_config:
                file_of_config.write(model.to_json(indent=1))
    elif case == "cudnn":  # load_model knows the class only on a machine with a GPU
        model.save(path)
        loaded = make()
        loaded.load_weights(path)
    else:
        model.save(
            path, **({"save_format": "keras_v3"} if case == "stacked_v3" else {})
        )
        loaded = keras.models.load_model(path, custom_objects=custom)
    x = uneven(rng, B, T, I)
    h = run(case, loaded, path, x)
    members = {
        "weights/%s/%d" % (name, n): np.asarray(w, np.float32)
        for name, layer in layers(loaded)
        for n, w in enumerate(layer.get_weights())
    }
    told = {"version": VERSION, "script": "keras_files.py", "layer": runs(case, kind, model),
            "convention": ROWS.get(case, "keras1" if FIRST else "keras"),
            "python": "%d.%d" % sys.version_info[:2]}  # fmt: skip
    if case == "stacked_weights":
        told["config"] = case + ".json"
    np.savez_compressed(
        path + ".npz", inputs=x, h=h, case=np.array(json.dumps(told)), **members
    )
    print(path, os.path.getsize(path), list(members), h.shape)


def runs(case, kind, model):
    """The layers to run in turn, by the names that the file has for them."""
    if kind == "weights.h5" and case == "plain" and VERSION != "keras 3.15.1":
        return "lstm,lstm_1"  # it holds no others
    if case == "cells":
        return ",".join("stack/" + cell.name for cell in model.layers[-1].cell.cells)
    return RUNS.get(case)


def run(case, model, path, x):
    if case in ("cudnn", "cudnn_weights"):
        return through_an_lstm(model, path, x)
    if case == "wrapped":
        return np.asarray(model.predict(x[:, None], batch_size=B)[:, 0], np.float32)
    if case == "between":
        model = Model(model.inputs, model.get_layer("alpha").output)
    answer = model.predict(x, batch_size=B)
    if (
        case == "apart"
    ):  # (B, T, H) of each direction, laid on an axis as lstmcli shows them
        return np.stack(answer, axis=2)
    return np.asarray(answer[0] if isinstance(answer, list) else answer, np.float32)


def through_an_lstm(model, path, x):
    """The LSTM that Keras itself converts the weights of a CuDNNLSTM to, with cuDNN's gates."""
    if (
        FLAVOUR != "tf_keras"
    ):  # its loader converts them; the default gates are hard sigmoids
        layer = lstm(H, name="zeta", input_shape=(T, I), recurrent_activation="sigmoid")
        converted = sequential(layer)
        converted.load_weights(path)
        return converted.predict(x, batch_size=B)
    from tf_keras.src.saving.legacy.hdf5_format import preprocess_weights_for_loading

    layer = from_keras.LSTM(H, return_sequences=True)
    layer.build((B, T, I))
    layer.set_weights(preprocess_weights_for_loading(layer, model.get_weights()))
    return np.asarray(layer(x))


def layers(model, prefix=""):
    """Every layer with weights by its path, those of models within the model too."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            for inner in layers(layer, prefix + layer.name + "/"):
                yield inner
        elif layer.get_weights():
            yield prefix + layer.name, layer


if __name__ == "__main__":
    for file in CASES or RECORDED[VERSION].split():
        record(file, seed=sum(map(ord, VERSION + file)))
