"""Checkpoints and SavedModels of objects, written and run by TensorFlow 2 and its Keras.

Recorded with tensorflow 2.11.1 (Python 3.9) and 2.15.1 (Python 3.11, with dm-sonnet 2.0.2), which
have Keras 2, and with 2.21.0 and keras 3.15.1 (Python 3.11); with 2.21.0 and tf_keras 2.21.0 what
TF_USE_LEGACY_KERAS=1 records.

    pip install tensorflow==2.11.1 "numpy<2"
    pip install tensorflow==2.15.1 dm-sonnet
    pip install tensorflow==2.21.0
    python tests/golden/record/tensorflow2_files.py
"""

import os
from importlib.metadata import version

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph
from tensorflow_files_common import B, H, I, P, T, keep, uneven

keras, layers = tf.keras, tf.keras.layers
RELEASE = tuple(int(n) for n in tf.__version__.split(".")[:2])
LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
KERAS_3 = RELEASE >= (2, 16) and not LEGACY
VERSION = "tensorflow %s, %s" % (
    tf.__version__,
    " ".join(
        ("tf_keras", version("tf_keras")) if LEGACY else ("keras", version("keras"))
    ),
)


def loaded(prefix):
    """Every tensor of numbers by TensorFlow's own reader, under its variable's full name.

    Variables that share a name and differ go by the path of attributes that is their key.
    """
    reader = tf.train.load_checkpoint(prefix)
    graph = TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    names = {
        a.checkpoint_key: a.full_name for node in graph.nodes for a in node.attributes
    }
    values, bearers = {}, {}
    for key in reader.get_variable_to_shape_map():
        value = np.asarray(reader.get_tensor(key))
        if value.dtype.kind not in "OS":
            path = (
                key.partition("/.ATTRIBUTES")[0].replace(".S", "/").replace("..", ".")
            )
            values[path] = value
            bearers.setdefault(names.get(key) or path, []).append(path)
    tensors = {}
    for name, paths in bearers.items():
        if len({values[path].tobytes() for path in paths}) == 1:
            paths, tensors[name] = [], values[paths[0]]
        tensors.update({path: values[path] for path in paths})
    return tensors


def record(case, seed, build, write, path, train=False, masked=False, **record):
    """Build a model, fill its weights, run it, write it.

    ``build(x)`` gives the model and the names of the layers whose outputs are h, the states.
    """
    rng = np.random.default_rng(seed)
    x = uneven(rng, (B, T, I))
    if masked:  # padding behind a sequence, a hole, and padding before one
        x[0, 4:] = x[1, 2] = x[2, :3] = 0

    def write_and_run(folder):
        keras.backend.clear_session()
        model, outputs = build(x)
        fill(rng, model)
        if train:
            model.compile(train(), "mse")
            model.fit(x, model(x).numpy() + 0.5, verbose=0)
        expected = {name: np.asarray(value) for name, value in outputs(x).items()}
        prefix = write(model, folder)
        expected["inputs"] = x
        return loaded(prefix), expected

    keep(
        "tf%d.%d_%s" % (*RELEASE, case),
        write_and_run,
        VERSION,
        "tensorflow2_files.py",
        path=path,
        convention="keras",
        **record,
    )


def fill(rng, model):
    for variable in model.trainable_variables:
        variable.assign(uneven(rng, variable.shape))


# ---- models


def lone(**options):
    """One LSTM with its states."""

    def build(x):
        layer = layers.LSTM(
            H, return_sequences=True, return_state=True, name="zeta", **options
        )
        inputs = keras.Input((T, I))
        model = keras.Model(inputs, layer(inputs))

        def outputs(x):
            h, final_h, final_c = layer(x)
            return {"h": h, "final_h": final_h, "final_c": final_c}

        return model, outputs

    return build


def deep(x):
    """A bidirectional layer, a plain one and a dense one, in an order that no alphabet gives.

    The outputs are those of the first.
    """
    model = keras.Sequential(
        [
            keras.Input((T, I)),
            layers.Bidirectional(layers.LSTM(H, return_sequences=True), name="zz"),
            layers.LSTM(P, return_sequences=True, name="aa"),
            layers.Dense(2, name="mm"),
        ]
    )

    def outputs(x):
        return {"h": model.layers[0](x)}

    return model, outputs


def in_turn(x):
    """Two LSTMs, between them what does nothing in a run; the outputs are those of the second."""
    model = keras.Sequential(
        [
            keras.Input((T, I)),
            layers.Bidirectional(layers.LSTM(H, return_sequences=True), name="zz"),
            layers.SpatialDropout1D(0.4, name="bb"),
            layers.LSTM(P, return_sequences=True, name="aa"),
            layers.Dense(2, name="mm"),
        ]
    )

    def outputs(x):
        return {"h": model.layers[2](model.layers[0](x))}

    return model, outputs


def masked(x):
    """A mask that goes on to the second of two LSTMs; the outputs are those of the second."""
    model = keras.Sequential(
        [
            keras.Input((T, I)),
            layers.Masking(0.0, name="hide"),
            layers.Dropout(0.3, name="cc"),
            layers.Bidirectional(layers.LSTM(H, return_sequences=True), name="zz"),
            layers.LSTM(P, return_sequences=True, name="aa"),
        ]
    )

    def outputs(x):
        return {"h": model.predict(x, verbose=0)}

    return model, outputs


# ---- ways to write


def checkpoint(model, folder):
    return tf.train.Checkpoint(model=model).save(os.path.join(folder, "ckpt"))


def weights(model, folder):
    model.save_weights(os.path.join(folder, "ckpt"), save_format="tf")
    return os.path.join(folder, "ckpt")


def saved_model(model, folder):
    path = os.path.join(folder, "model")
    if KERAS_3:
        model.export(path, verbose=False)
    else:
        model.save(path, save_format="tf", include_optimizer=False)
        os.remove(
            os.path.join(path, "saved_model.pb")
        )  # a megabyte of functions, not needed
    return os.path.join(path, "variables", "variables")


def record_two_of_a_name(seed):
    """Two models whose variables have the same names, as attributes with odd names."""
    rng = np.random.default_rng(seed)
    x = uneven(rng, (B, T, I))

    def write(folder):
        models = []
        for _ in range(2):
            keras.backend.clear_session()
            model, outputs = lone()(x)
            fill(rng, model)
            models.append((model, outputs))
        root = tf.train.Checkpoint()
        for name, (model, _) in zip(("first/one", "second.one"), models):
            setattr(root, name, model)
        prefix = root.write(os.path.join(folder, "ckpt"))
        expected = {name: np.asarray(value) for name, value in models[1][1](x).items()}
        expected["inputs"] = x
        return loaded(prefix), expected

    keep(
        "tf%d.%d_two_of_a_name" % RELEASE,
        write,
        VERSION,
        "tensorflow2_files.py",
        path="ckpt",
        convention="keras",
        layer="1",
    )


def record_sonnet(seed):
    import sonnet as snt

    rng = np.random.default_rng(seed)
    x = uneven(rng, (T, B, I))

    def write(folder):
        core = snt.LSTM(H, projection_size=P)
        core(tf.zeros((B, I)), core.initial_state(B))
        fill(rng, core)
        prefix = tf.train.Checkpoint(core=core).write(os.path.join(folder, "ckpt"))
        h, state = snt.dynamic_unroll(core, x, core.initial_state(B))
        return loaded(prefix), {
            "h": h,
            "final_h": state.hidden,
            "final_c": state.cell,
            "inputs": x,
        }

    keep(
        "tf%d.%d_sonnet" % RELEASE,
        write,
        "%s, dm-sonnet %s" % (VERSION, snt.__version__),
        "tensorflow2_files.py",
        path="ckpt",
        convention="sonnet2",
        layout="time",
    )


if __name__ == "__main__" and LEGACY:
    record("saved_model_in_turn", 10, in_turn, saved_model, "model")
    record("saved_model_masked", 11, masked, saved_model, "model", masked=True)
elif __name__ == "__main__":
    adam = keras.optimizers.Adam
    record("checkpoint", 1, lone(), checkpoint, "ckpt-1")
    record("checkpoint_trained", 2, deep, checkpoint, "ckpt-1", train=adam, layer="0")
    record(
        "checkpoint_momentum",
        3,
        deep,
        checkpoint,
        "ckpt-1",
        layer="0",
        train=lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    )
    record_two_of_a_name(4)
    record("saved_model", 5, lone(), saved_model, "model")
    if not KERAS_3:
        record("weights_trained", 6, deep, weights, "ckpt", train=adam, layer="0")
        record(
            "saved_model_settings",
            7,
            lone(
                activation="softsign",
                recurrent_activation="hard_sigmoid",
                go_backwards=True,
            ),
            saved_model,
            "model",
            settings={
                "activation": "softsign",
                "recurrent_activation": "hard_sigmoid_0.2",
                "go_backwards": True,
            },
        )
        record("saved_model_deep", 8, deep, saved_model, "model", layer="0")
    if RELEASE == (2, 15):
        record_sonnet(9)
