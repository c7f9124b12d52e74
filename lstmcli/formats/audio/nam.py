"""`.nam` of Neural Amp Modeler: an LSTM's numbers in one list, cell by cell, then its head.

Of each cell, in this order: the weights of inputs and state concatenated (4H, I + H), the sum of
both biases (4H,), the initial h (H,) and c (H,); of the head, weights (O, H) and bias (O,).
The order is that of nam/models/recurrent.py (0.13.0). This reader knows the shapes of an LSTM:
without them the list cannot be split.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.source import Opened
from lstmcli.formats.text.nested_lists import to_array
from lstmcli.formats.text.number_text import float32_arrays

SIZES = ("input_size", "hidden_size", "num_layers")


def read_value(value: dict[str, Any], file: Opened) -> Document:
    """The tensors of each cell: ``nam.0.weight``, ``.bias``, ``.hidden``, ``.cell``; the head's."""
    architecture = value["architecture"]
    if architecture != "LSTM":
        raise UserError(
            f"{file.source} is a Neural Amp Modeler file of the architecture {architecture!a}, "
            "not an LSTM."
        )
    inputs, units, layers = _sizes(value["config"], file.source)
    numbers = value["weights"]
    if not isinstance(numbers, list):
        raise UserError(f"{file.source}: weights is no list of numbers.")
    flat = to_array(numbers, f"{file.source}: weights").ravel()
    arrays = _split(flat, _shapes(inputs, units, layers, flat.size, file.source))
    remark = f"{file.source}: its head, {units} units to an output, is not run."
    return Document(file.source, "nam", arrays, dtypes=float32_arrays(arrays), remarks=(remark,))


def _sizes(config: Any, source: str) -> list[int]:
    sizes = [config.get(name) if isinstance(config, dict) else None for name in SIZES]
    for name, size in zip(SIZES, sizes, strict=True):
        if type(size) is not int or size < 1:
            raise UserError(f"{source}: config.{name} is {size!a}; a number from 1 on is needed.")
    return [size for size in sizes if size]


def _shapes(
    inputs: int, units: int, layers: int, count: int, source: str
) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, in the order of the list."""
    per_unit = 4 * (inputs + units) + 6 + (layers - 1) * (8 * units + 6)
    outputs, rest = divmod(count - per_unit * units, units + 1)
    if outputs < 1 or rest:
        raise UserError(
            f"{source}: weights has {count:,} numbers; config needs "
            f"{per_unit * units + units + 1:,} ({inputs} inputs, {units} units, {layers} layers)."
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(layers):
        shapes[f"nam.{n}.weight"] = (4 * units, (units if n else inputs) + units)
        shapes[f"nam.{n}.bias"] = (4 * units,)
        shapes[f"nam.{n}.hidden"] = shapes[f"nam.{n}.cell"] = (units,)
    return shapes | {"head.weight": (outputs, units), "head.bias": (outputs,)}


def _split(flat: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    arrays, at = {}, 0
    for name, shape in shapes.items():
        arrays[name] = flat[at : at + prod(shape)].reshape(shape)
        at += prod(shape)
    return arrays
