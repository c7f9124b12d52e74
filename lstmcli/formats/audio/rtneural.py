"""JSON of RTNeural: the layers of a network in order, each with its weights in nested lists.

python/model_utils.py of jatinchowdhury18/RTNeural writes it of a Keras model, and
RTNeural/model_loader.h reads it. Early versions wrote the type of an LSTM as "unknown"; it is
recognised by the shapes of its weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.source import Opened
from lstmcli.formats.text.nested_lists import to_array
from lstmcli.formats.text.number_text import float32_arrays


def read_value(value: dict[str, Any], file: Opened) -> Document:
    """``layers.0.weights.0`` to ``.2`` of an LSTM; of another layer ``layers.1.dense.0``, ..."""
    layers = value["layers"]
    if not isinstance(layers, list):
        raise UserError(f"{file.source}: layers is no list.")
    arrays: dict[str, np.ndarray] = {}
    types = []
    for n, layer in enumerate(layers):
        where = f"{file.source}: layers[{n}]"
        weights = _weights(layer, where)
        types.append(_layer_type(layer, weights))
        member = "weights" if types[-1] == "lstm" else types[-1]
        arrays |= {f"layers.{n}.{member}.{k}": array for k, array in enumerate(weights)}
    if "gru" in types and "lstm" not in types:
        raise UserError(f"{file.source} is an RTNeural model with a GRU and no LSTM.")
    remarks = [f"{file.source}: only its LSTM is run, of the layers {', '.join(types)}."]
    if value.get("in_skip"):
        remarks.append(f"{file.source}: the input that it adds to its output is not added.")
    return Document(
        file.source,
        "rtneural",
        arrays,
        dtypes=float32_arrays(arrays),
        remarks=tuple(remarks if len(types) > 1 else remarks[1:]),
    )


def _weights(layer: Any, where: str) -> list[np.ndarray]:
    weights = layer.get("weights", []) if isinstance(layer, dict) else None
    if not isinstance(weights, list):
        raise UserError(f"{where} is no layer with a list of weights.")
    arrays = []
    for k, numbers in enumerate(weights):
        if not isinstance(numbers, list):
            raise UserError(f"{where}: weights[{k}] is no list of numbers.")
        arrays.append(to_array(numbers, f"{where}: weights[{k}]"))
    return arrays


def _layer_type(layer: dict[str, Any], weights: list[np.ndarray]) -> str:
    """The type that a layer declares, in letters; for "unknown", by the shapes of its weights."""
    declared = str(layer.get("type", "unknown")).lower()
    layer_type = "".join(c if c.isalnum() and c.isascii() else "_" for c in declared)
    if layer_type == "unknown" and [array.ndim for array in weights] == [2, 2, 1]:
        units = weights[1].shape[0]
        if weights[1].shape[1] == weights[2].shape[0] == 4 * units:
            return "lstm"
    return layer_type
