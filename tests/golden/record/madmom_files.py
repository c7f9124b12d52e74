"""Small networks of madmom with random weights, pickled by Python, run by madmom itself.

Recorded with madmom 0.16.1, numpy 1.19.5 and scipy 1.5.4 on Python 3.7:

    pip install "numpy<1.20" "cython<3" "scipy<1.6" mido "setuptools<60" wheel
    pip install --no-build-isolation madmom==0.16.1
    python tests/golden/record/madmom_files.py

A case is two files in ``tests/golden/pickle_files/``: ``madmom_<case>.pkl``, a whole network, and
``madmom_<case>.npz`` with ``tensors/NAME``, its arrays by the attributes that lead to them;
``inputs`` (T, I); ``h``, what its LSTMs give one after the other, with ``final_h`` and ``final_c``
of the last of them, forward before backward; and ``case``, a JSON record.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
from common import H, I, P, T, numbers, uneven
from madmom.ml.nn import NeuralNetwork
from madmom.ml.nn.activations import linear, sigmoid, tanh
from madmom.ml.nn.layers import (
    BidirectionalLayer,
    Cell,
    FeedForwardLayer,
    Gate,
    GRUCell,
    GRULayer,
    LSTMLayer,
)

FOLDER = Path(__file__).resolve().parent.parent / "pickle_files"
RECURRENT = (LSTMLayer, BidirectionalLayer)


def lstm(rng, inputs, units, gate_function=sigmoid, **options):
    """An LSTM layer with peepholes that starts from a state that is not zero."""

    def gate():
        parts = (
            uneven(rng, inputs, units),
            uneven(rng, units),
            uneven(rng, units, units),
        )
        return Gate(
            *parts, peephole_weights=uneven(rng, units), activation_fn=gate_function
        )

    cell = Cell(
        uneven(rng, inputs, units), uneven(rng, units), uneven(rng, units, units)
    )
    return LSTMLayer(
        gate(), gate(), cell, gate(), init=uneven(rng, units), cell_init=uneven(rng, units),
        **options
    )  # fmt: skip


def dense(rng, inputs, outputs):
    return FeedForwardLayer(uneven(rng, inputs, outputs), uneven(rng, outputs), sigmoid)


def both_ways(rng, inputs, units):
    return BidirectionalLayer(lstm(rng, inputs, units), lstm(rng, inputs, units))


def gru(rng, inputs, units):
    def parts():
        return uneven(rng, inputs, units), uneven(rng, units), uneven(rng, units, units)

    return GRULayer(Gate(*parts()), Gate(*parts()), GRUCell(*parts()))


def tensors(value, path=""):
    """Every array that attributes and lists lead to; a layer's running state is none of them."""
    if isinstance(value, np.ndarray):
        return {path: value}
    if isinstance(value, list):
        named = [(str(n), one) for n, one in enumerate(value)]
    elif hasattr(value, "__getstate__"):
        named = list(value.__getstate__().items())
    elif hasattr(value, "__dict__") and not callable(getattr(value, "__code__", None)):
        named = list(vars(value).items())
    else:
        return {}
    found = {}
    for name, one in named:
        if name != "activation_fn":
            found.update(tensors(one, path + "." + name if path else name))
    return found


def record(case, protocol, layers, rng):
    network = NeuralNetwork(layers)
    path = FOLDER / ("madmom_%s.pkl" % case)
    with open(str(path), "wb") as file:
        pickle.dump(network, file, protocol)
    with open(str(path), "rb") as file:
        loaded = pickle.load(file)
    x = uneven(rng, T, I)
    h, last = x, None
    for layer in loaded.layers:
        if isinstance(layer, RECURRENT):
            h, last = layer(h), layer
    answers = {}
    if last is not None:
        ways = (
            [last] if isinstance(last, LSTMLayer) else [last.fwd_layer, last.bwd_layer]
        )
        answers = {
            "inputs": x, "h": h, "final_h": np.array([way._prev for way in ways]),
            "final_c": np.array([way._state for way in ways]),
        }  # fmt: skip
    told = {
        "file": path.name, "version": "madmom 0.16.1", "convention": "madmom",
        "script": "madmom_files.py", "protocol": protocol,
        "python": "%d.%d" % sys.version_info[:2],
    }  # fmt: skip
    members = {"tensors/" + name: array for name, array in tensors(loaded).items()}
    members.update(answers)
    np.savez_compressed(
        str(path)[:-4] + ".npz", case=np.array(json.dumps(told)), **members
    )
    print(path.name, path.stat().st_size, sorted(members)[:3], h.shape)


rng = numbers(21)
for protocol in range(5):
    layers = [lstm(rng, I, H), lstm(rng, H, P), dense(rng, P, 1)]
    record("protocol%d" % protocol, protocol, layers, rng)
record(
    "both_ways",
    2,
    [both_ways(rng, I, H), both_ways(rng, 2 * H, P), dense(rng, 2 * P, 1)],
    rng,
)
record("functions", 2, [lstm(rng, I, H, gate_function=tanh, activation_fn=linear)], rng)
record(
    "apart",
    2,
    [lstm(rng, I, H), dense(rng, H, H), lstm(rng, H, P, activation_fn=tanh)],
    rng,
)
record("gru", 0, [gru(rng, I, H), dense(rng, H, 1)], rng)
