"""Models of audio programs: JSON of Neural Amp Modeler, GuitarML and RTNeural."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np

from lstmcli.core.model.surroundings import FrontOfFile, HeadLayer, HeadOfFile
from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Shape
from lstmcli.formats.files.source import Opened
from lstmcli.formats.text.nested import to_array

SKIP = "the input that is added to the output"
SIZES = ("input_size", "hidden_size", "num_layers")


def read_nam(value: dict[str, Any], file: Opened) -> Document:
    """The tensors of each cell: ``nam.0.weight``, ``.bias``, ``.hidden``, ``.cell``; the head's.

    One list has all numbers, as nam/models/recurrent.py (0.13.0) orders them:
    of each cell the weights of inputs and state concatenated (4H, I + H), the
    sum of both biases (4H,), initial h (H,) and c (H,); of the head weights
    (O, H) and bias (O,). Only the shapes of an LSTM split it.
    """
    architecture = value["architecture"]
    if architecture != "LSTM":
        kind = f"a Neural Amp Modeler file of the architecture {architecture!a}"
        raise UserError(f"{file.source} is {kind}, not an LSTM.")
    inputs, units, layers = _sizes(value["config"], file.source)
    flat = to_array(value["weights"], f"{file.source}: weights").ravel()
    arrays = _split(flat, _shapes(inputs, units, layers, flat.size, file.source))
    layer = HeadLayer("head", "head.weight", "head.bias", is_transposed=True)
    return Document(
        file.source,
        "nam",
        arrays,
        has_graph=True,
        heads=(HeadOfFile("nam", (layer,)),),
    )


def _sizes(config: Any, source: str) -> list[int]:
    sizes = [config.get(name) if isinstance(config, dict) else None for name in SIZES]
    for name, size in zip(SIZES, sizes, strict=True):
        if type(size) is not int or size < 1:
            raise UserError(
                f"{source}: config.{name} is {size!a}; a number from 1 on is needed."
            )
    return [size for size in sizes if size]


def _shapes(
    inputs: int, units: int, layers: int, count: int, source: str
) -> dict[str, Shape]:
    per_unit = 4 * (inputs + units) + 6 + (layers - 1) * (8 * units + 6)
    outputs, rest = divmod(count - per_unit * units, units + 1)
    if outputs < 1 or rest:
        raise UserError(
            f"{source}: weights has {count:,} numbers; config needs "
            f"{per_unit * units + units + 1:,} ({inputs} inputs, {units} units, {layers} layers)."
        )
    shapes: dict[str, Shape] = {}
    for n in range(layers):
        shapes[f"nam.{n}.weight"] = (4 * units, (units if n else inputs) + units)
        shapes[f"nam.{n}.bias"] = (4 * units,)
        shapes[f"nam.{n}.hidden"] = shapes[f"nam.{n}.cell"] = (units,)
    return shapes | {"head.weight": (outputs, units), "head.bias": (outputs,)}


def _split(flat: np.ndarray, shapes: dict[str, Shape]) -> Arrays:
    arrays, at = {}, 0
    for name, shape in shapes.items():
        arrays[name] = flat[at : at + prod(shape)].reshape(shape)
        at += prod(shape)
    return arrays


def read_guitarml(value: dict[str, Any], file: Opened) -> Document:
    """The tensors of a state dict in nested lists, with the linear layer behind the LSTM.

    Alec-Wright/CoreAudioML networks.py writes ``model_data`` and
    ``state_dict``; GuitarML's plugins and trainers (Proteus, NeuralPi) use the
    same form.
    """
    config, tensors = value["model_data"], value["state_dict"]
    if not isinstance(config, dict) or not isinstance(tensors, dict):
        raise UserError(
            f"{file.source}: model_data and state_dict are not both objects."
        )
    cells = config.get("unit_type", "LSTM")
    if cells != "LSTM":
        raise UserError(
            f"{file.source} is a GuitarML model of {cells!a} cells, not an LSTM."
        )
    where = f"{file.source}: state_dict"
    arrays = {
        name: to_array(numbers, f"{where}.{name}") for name, numbers in tensors.items()
    }
    head = HeadOfFile("", ())
    if config.get("skip"):
        head = HeadOfFile("", obstacle=SKIP)
    elif "lin.weight" in arrays:
        bias = "lin.bias" if "lin.bias" in arrays else ""
        layer = HeadLayer("lin", "lin.weight", bias, is_transposed=True)
        head = HeadOfFile("", (layer,))
    return Document(
        file.source,
        "guitarml",
        arrays,
        has_graph=True,
        heads=(head,),
    )


def read_rtneural(value: dict[str, Any], file: Opened) -> Document:
    """``layers.0.weights.0`` to ``.2`` of an LSTM; of another layer ``layers.1.dense.0``, ...

    python/model_utils.py of jatinchowdhury18/RTNeural writes a Keras model's
    layers in order, with nested lists of weights, and RTNeural/model_loader.h
    reads them.
    """
    layers = value["layers"]
    if not isinstance(layers, list):
        raise UserError(f"{file.source}: layers is not a list.")
    arrays: Arrays = {}
    types = []
    for n, layer in enumerate(layers):
        weights = _weights(layer, f"{file.source}: layers[{n}]")
        declared = str(layer.get("type", "unknown")).lower()
        types.append(re.sub(r"[^a-z0-9]", "_", declared))
        member = "weights" if types[-1] == "lstm" else types[-1]
        arrays |= {f"layers.{n}.{member}.{k}": array for k, array in enumerate(weights)}
    if "gru" in types and "lstm" not in types:
        raise UserError(f"{file.source} is an RTNeural model with a GRU and no LSTM.")
    ends = [n for n, kind in enumerate(types) if kind == "lstm"] or [0]
    head = HeadOfFile(f"layers.{ends[-1]}")
    for n, kind in enumerate(types[ends[-1] + 1 :], ends[-1] + 1):
        name, tensor = f"layers.{n}", f"layers.{n}.{kind}.0"
        activation = layers[n].get("activation") or "identity"
        if kind == "activation":
            layer = HeadLayer(name, activation=activation)
        elif kind in ("dense", "time_distributed_dense") and tensor in arrays:
            bias = f"layers.{n}.{kind}.1"
            layer = HeadLayer(name, tensor, bias if bias in arrays else "", activation)
        else:
            head = HeadOfFile(head.behind, obstacle=f"{kind} ({name})")
            break
        head = head._replace(layers=(*head.layers, layer))
    if value.get("in_skip"):
        head = HeadOfFile(head.behind, obstacle=SKIP)
    fronts = []
    if ends[0]:
        start = f"layers.{ends[0]}"
        fronts.append(FrontOfFile(start, obstacle=", ".join(types[: ends[0]])))
    return Document(
        file.source,
        "rtneural",
        arrays,
        has_graph=True,
        heads=(head,),
        fronts=tuple(fronts),
    )


def _weights(layer: Any, where: str) -> list[np.ndarray]:
    weights = layer.get("weights", []) if isinstance(layer, dict) else None
    if not isinstance(weights, list):
        raise UserError(f"{where} is not a layer with a list of weights.")
    return [
        to_array(numbers, f"{where}: weights[{k}]") for k, numbers in enumerate(weights)
    ]
