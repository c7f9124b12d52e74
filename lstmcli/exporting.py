"""From a network to the files of other runtimes: an ONNX graph, a model of RTNeural.

The joint between the core, which knows an LSTM, and formats, which know graphs and documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.conventions import Convention
from lstmcli.core.encode import INITIAL, along_directions, encode
from lstmcli.core.model import Cell
from lstmcli.core.onnx_words import activation_attributes
from lstmcli.formats.onnx_graph import Graph, Node, Port

Array = npt.NDArray[Any]
Layers = Sequence[Sequence[Cell]]


def graph_of(layers: Layers, *, lengths: bool = False) -> Graph:
    """A graph that runs the layers one after the other.

    Inputs: ``X`` (T, B, I); ``initial_h`` and ``initial_c`` (L D, B, H), layer by layer, forward
    before backward; if they are not given, a learned state or zero; with ``lengths`` the valid
    steps of each row, ``sequence_lens`` (B,) int32. Outputs: ``Y`` (T, D, B, H) of the last layer,
    and the last state of every cell, ``Y_h`` and ``Y_c`` (L D, B, H). ONNX specification, LSTM-14.

    The cells are those of the ``onnx`` row.
    """
    cell, directions = layers[0][0], len(layers[0])
    cells = len(layers) * directions
    state, given = ((cells, rows, cell.units) for rows in ("B", "B_or_1"))
    constants: dict[str, Array] = {name: _default_state(layers, name) for name in INITIAL}
    nodes = list(_initial_state(len(layers), cells, cell.units, constants))
    below = "X"
    for n, layer in enumerate(layers):
        nodes += _lstm(layer, n, below, "sequence_lens" if lengths else "", constants)
        if n + 1 < len(layers):
            nodes += _joined(n, directions, constants)
        below = f"joined_{n}"
    last = len(layers) - 1
    nodes.append(Node("Identity", [f"Y_{last}"], ["Y"]))
    for name in ("Y_h", "Y_c"):
        ends = [f"{name}_{n}" for n in range(len(layers))]
        nodes.append(Node("Concat", ends, [name], {"axis": 0}))
    return Graph(
        "lstm",
        [
            Port("X", cell.dtype, ("T", "B", cell.inputs)),
            *(Port(name, cell.dtype, given) for name in ("initial_h", "initial_c")),
            *([Port("sequence_lens", np.dtype(np.int32), ("B",))] if lengths else []),
        ],
        [
            Port("Y", cell.dtype, ("T", directions, "B", cell.units)),
            *(Port(name, cell.dtype, state) for name in ("Y_h", "Y_c")),
        ],
        nodes,
        constants,
    )


def _default_state(layers: Layers, name: str) -> Array:
    """Of every cell (L D, B, H) the state that its weights hold, or zero (L D, 1, H)."""
    rows = []
    for cell in (cell for layer in layers for cell in layer):
        own = getattr(cell, name)
        rows.append(np.atleast_2d(np.zeros(cell.units, cell.dtype) if own is None else own))
    most = max(len(one) for one in rows)
    return np.stack([np.broadcast_to(one, (most, one.shape[1])) for one in rows])


def _initial_state(
    layers: int, cells: int, units: int, constants: dict[str, Array]
) -> Iterator[Node]:
    """h_n and c_n (D, B, H) of each layer n, as many rows as X has."""
    constants |= {
        "one": np.array([1], np.int64), "two": np.array([2], np.int64),
        "cells": np.array([cells], np.int64), "units": np.array([units], np.int64),
    }  # fmt: skip
    yield Node("Shape", ["X"], ["X_shape"])
    yield Node("Slice", ["X_shape", "one", "two"], ["rows"])
    yield Node("Concat", ["cells", "rows", "units"], ["state_shape"], {"axis": 0})
    for letter in "hc":
        parts = [f"{letter}_{n}" for n in range(layers)]
        whole = parts[0] if layers == 1 else f"{letter}_all"
        yield Node("Expand", [f"initial_{letter}", "state_shape"], [whole])
        if layers > 1:
            yield Node("Split", [whole], parts, {"axis": 0})


def _lstm(
    layer: Sequence[Cell], n: int, below: str, lengths: str, constants: dict[str, Array]
) -> list[Node]:
    how = layer[0].convention
    tensors = along_directions([encode(cell, how) for cell in layer])
    names = {role: f"{how.tensors[role]}_{n}" for role in tensors if role not in INITIAL}
    constants |= {name: np.asarray(tensors[role]) for role, name in names.items()}
    inputs = [
        below, names["kernel"], names["recurrent_kernel"], names["bias"],
        lengths, f"h_{n}", f"c_{n}",
    ]  # fmt: skip
    if "peephole" in names:
        inputs.append(names["peephole"])
    outputs = [f"Y_{n}", f"Y_h_{n}", f"Y_c_{n}"]
    return [Node("LSTM", inputs, outputs, _attributes(how, layer[0].units, len(layer)))]


def _attributes(how: Convention, units: int, directions: int) -> dict[str, Any]:
    """The attributes of a node; those that are as the specification has them are left out."""
    direction = "bidirectional" if directions == 2 else "reverse" if how.reverse else "forward"
    attributes: dict[str, Any] = {"hidden_size": units, "direction": direction}
    three = (how.recurrent_activation, how.activation, how.output_activation)
    if three != ("sigmoid", "tanh", "tanh"):
        attributes |= activation_attributes(three * directions)
    if how.gate_clip is not None:
        attributes["clip"] = how.gate_clip
    if how.coupled == "f=1-i":
        attributes["input_forget"] = 1
    return attributes


def _joined(n: int, directions: int, constants: dict[str, Array]) -> Iterator[Node]:
    """Y_n (T, D, B, H) as the next layer takes it, (T, B, D H)."""
    if directions == 1:
        yield Node("Squeeze", [f"Y_{n}", "one"], [f"joined_{n}"])
        return
    constants["side_by_side"] = np.array([0, 0, -1], np.int64)  # 0: an axis stays as it is
    yield Node("Transpose", [f"Y_{n}"], [f"turned_{n}"], {"perm": [0, 2, 1, 3]})
    yield Node("Reshape", [f"turned_{n}", "side_by_side"], [f"joined_{n}"])


def rtneural_document(layers: Layers) -> dict[str, Any]:
    """A model file of RTNeural: the LSTMs alone, one after the other.

    What its ``model_loader.h`` reads: the last number of a shape, the type, and a list of arrays
    for the weights. The cells are those of the ``rtneural`` row, which knows their order.
    """
    return {
        "in_shape": [None, None, layers[0][0].inputs],
        "layers": [
            {
                "type": "lstm",
                "activation": cell.convention.activation,
                "shape": [None, None, cell.units],
                "weights": _listed(cell),
            }
            for (cell,) in layers
        ],
    }


def _listed(cell: Cell) -> list[Any]:
    tensors = encode(cell, cell.convention)
    return [np.asarray(tensors[role]).tolist() for role in cell.convention.numbered]
