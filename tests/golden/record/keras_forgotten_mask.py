"""Stacks of Keras 3 under a mask, and what a port gives that masks the first layer only.

    KERAS_BACKEND=torch python keras_forgotten_mask.py

Into ``keras_masking/``: ``h`` is the output of Masking -> LSTM -> LSTM, ``forgotten`` that of the
same layers where the second one is called without the mask. Run with keras 3.15.1 on torch 2.13.0.
"""

import keras
from common import GOLDEN, LENGTHS, B, H, I, T, numbers, save, uneven

FOLDER, layers = "keras_masking", keras.layers
VERSION = f"keras {keras.__version__} on {keras.backend.backend()}"


def one_way(units):
    return layers.LSTM(units, return_sequences=True)


def both_ways(units):
    return layers.Bidirectional(one_way(units))


def cells_of(layer, name):
    """The variables of a layer by the paths that its file gives them."""
    if isinstance(layer, layers.LSTM):
        return {f"{name}/cell/vars/{n}": w for n, w in enumerate(layer.get_weights())}
    found = {}
    for part in ("forward_layer", "backward_layer"):
        found |= cells_of(getattr(layer, part), f"{name}/{part}")
    return found


for case, layer_of in {"forgotten": one_way, "forgotten_both": both_ways}.items():
    rng = numbers(len(case))
    first, second = layer_of(H), layer_of(2)
    masking = layers.Masking(0.0)
    model = keras.Sequential([keras.Input((T, I)), masking, first, second])
    for layer in (first, second):
        layer.set_weights([uneven(rng, *one.shape) for one in layer.get_weights()])
    x = uneven(rng, B, T, I)
    for item, length in enumerate(LENGTHS):
        x[item, length:] = 0
    mask = masking.compute_mask(x)
    below = first(x, mask=mask)
    model.save(GOLDEN / FOLDER / f"{case}.keras")
    tensors = {}
    for layer in (first, second):
        tensors |= cells_of(layer, layer.name)
    expected = {
        "h": model.predict(x, verbose=0),
        "forgotten": keras.ops.convert_to_numpy(second(keras.ops.copy(below))),
    }
    save(
        FOLDER, case, tensors, x, expected, convention="keras", layout="batch", version=VERSION,
        note="forgotten: the second layer is called without the mask", file=f"{case}.keras",
        mask=keras.ops.convert_to_numpy(mask), script="keras_forgotten_mask.py",
    )  # fmt: skip
