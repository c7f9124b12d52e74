"""Lasagne's LSTMLayer.

Recorded with Lasagne 0.1 and Theano 0.8.2 on Python 3.7.

    pip install "setuptools<58" wheel numpy==1.17.5 "scipy<1.3" Theano==0.8.2 Lasagne==0.1
    python tests/golden/record/lasagne_cases.py
"""

from __future__ import annotations

import os

# No compiler: the C code of this Theano is too old for the Python it still installs on.
os.environ["THEANO_FLAGS"] = "floatX=float32,device=cpu,cxx="

from typing import Any

import lasagne
import numpy as np
import theano
from common import LENGTHS, B, H, I, T, numbers, save, uneven
from lasagne.layers import InputLayer, LSTMLayer

PADDED = np.arange(T) < LENGTHS[:, None]  # valid steps first, then padding


def record(
    case: str,
    seed: int,
    *,
    mask: np.ndarray | None = None,
    settings: dict[str, Any] | None = None,
    note: str = "",
    **arguments: Any,
) -> None:
    """The initial states are parameters of the layer, so they are among its weights."""
    rng = numbers(seed)
    x, source = uneven(rng, B, T, I), InputLayer((B, T, I))
    values = {source: x}
    if mask is not None:
        arguments["mask_input"] = InputLayer((B, T))
        values[arguments["mask_input"]] = mask.astype(np.float32)
    layer = LSTMLayer(source, H, **arguments)
    weights = {}
    for parameter in layer.get_params():
        weights[parameter.name] = uneven(rng, *parameter.get_value().shape)
        parameter.set_value(weights[parameter.name])
    shared = {place: theano.shared(value) for place, value in values.items()}
    h = lasagne.layers.get_output(layer, shared).eval()
    save(
        "lasagne",
        case,
        weights,
        x,
        {"h": h},
        convention="lasagne",
        version=f"lasagne {lasagne.__version__}, theano {theano.__version__}",
        script="lasagne_cases.py",
        layout="batch",
        mask=mask,
        settings=settings,
        note=note,
    )


if __name__ == "__main__":
    record("peepholes", 1)
    record("no_peepholes", 2, peepholes=False, name="encoder")
    record(
        "backwards",
        3,
        backwards=True,
        settings={"reverse": True},
        note="h in time order.",
    )
    record("mask", 4, mask=PADDED, note="A masked step copies the state: h repeats.")
