"""Models of Keras 3 that mask steps, and their outputs on padded inputs, into ``keras_masking/``.

    KERAS_BACKEND=torch python keras_masking.py

``inputs`` are those of the first LSTM or of the layer that masks them, ``h`` is the output of the
model by ``predict``. Of an Embedding the inputs are its outputs, and ``mask`` is the one it gives.
Run with keras 3.15.1 on torch 2.13.0.
"""

import keras
from common import GOLDEN, B, H, I, T, numbers, save, uneven

FOLDER, layers = "keras_masking", keras.layers


def padded(rng, value):
    """Inputs with a hole, and padding before and behind sequences."""
    x = uneven(rng, B, T, I)
    x[0, 4:] = x[1, 2] = x[1, 6] = x[2, :3] = value
    x[3, :, 0] = value  # one input of a step alone masks nothing
    return x


def record(name, model, x, note, inputs=None, mask=None):
    rng = numbers(len(name))
    for layer in model.layers:
        layer.set_weights(
            [uneven(rng, *weight.shape) for weight in layer.get_weights()]
        )
    (GOLDEN / FOLDER).mkdir(exist_ok=True)
    model.save(GOLDEN / FOLDER / name)
    inner = {
        "forward_layer": "forward_layer/cell",
        "backward_layer": "backward_layer/cell",
    }
    tensors = {}
    for layer in model.layers:
        parts = [(layer, "cell")] if isinstance(layer, layers.LSTM) else [(layer, "")]
        if isinstance(layer, layers.Bidirectional):
            parts = [(getattr(layer, part), path) for part, path in inner.items()]
        for part, path in parts:
            for n, weight in enumerate(part.get_weights()):
                tensors["/".join(filter(None, (layer.name, path, "vars", str(n))))] = (
                    weight
                )
    save(
        FOLDER, name.partition(".")[0], tensors, x if inputs is None else inputs(model, x),
        {"h": model.predict(x, verbose=0)}, convention="keras", layout="batch", note=note,
        version=f"keras {keras.__version__} on {keras.backend.backend()}", file=name, mask=mask,
        script="keras_masking.py",
    )  # fmt: skip


stack = keras.Sequential(
    [
        keras.Input((T, I)),
        layers.Masking(0.0, name="hide"),
        layers.Dropout(0.3),
        layers.Bidirectional(layers.LSTM(H, return_sequences=True), name="both"),
        layers.SpatialDropout1D(0.1),
        layers.LSTM(2, return_sequences=True, name="top"),
    ]
)
record(
    "stack.keras",
    stack,
    padded(numbers(1), 0.0),
    "the mask goes on to the second layer",
)

given = keras.Input((T, I))
hidden = layers.Masking(0.1, name="hide")(given)  # float32's 0.1
hidden = layers.ActivityRegularization(0.1)(layers.GaussianNoise(0.2)(hidden))
functional = keras.Model(
    given, layers.LSTM(H, return_sequences=True, name="top")(hidden)
)
record("value.keras", functional, padded(numbers(2), 0.1), "0.1 in float32 masks")

words = keras.Sequential(
    [
        keras.Input((T,)),
        layers.Embedding(9, I, mask_zero=True, name="table"),
        layers.LSTM(H, return_sequences=True, name="top"),
    ]
)
tokens = numbers(3).integers(0, 3, (B, T))
record(
    "words.keras", words, tokens, "inputs are those that the embedding gives", mask=tokens != 0,
    inputs=lambda model, x: model.get_layer("table").get_weights()[0][x],
)  # fmt: skip
