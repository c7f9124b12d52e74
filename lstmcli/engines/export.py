"""Export of a network to the files of other runtimes: an ONNX model, a model of RTNeural."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Behaviour
from lstmcli.core.model.model import Cell
from lstmcli.core.weights.decode import stack_directions
from lstmcli.core.weights.encode import encode
from lstmcli.core.weights.metadata.onnx import ROLES, activation_attributes
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.stored import INITIAL
from lstmcli.errors import import_extra

OPSET = 17  # of early 2022: runtimes since then read it
IR_VERSION = 8  # the file format that goes with it


def serialised(graph: Any, version: str) -> bytes:
    """The bytes of a model with a GraphProto, checked by the library."""
    onnx = import_module("onnx")
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lstmcli",
        producer_version=version,
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


Layers = Sequence[Sequence[Cell]]


def _node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
) -> Any:
    """A NodeProto; "" is an input that is left out."""
    return import_module("onnx").helper.make_node(
        operator, inputs, outputs, **attributes
    )


def graph_of(
    layers: Layers,
    *,
    padded: bool = False,
    lengths: Sequence[int] = (),
    defaults: bool = True,
) -> Any:
    """A GraphProto that runs layers of the convention ``onnx`` one after the other (LSTM-14).

    Inputs: ``X`` (T, B, I); ``initial_h`` and ``initial_c`` (cells, B, H),
    layer by layer, forward before backward, with ``defaults`` a learned state
    or zero; if ``padded``, or with ``lengths``, its default, the valid steps
    of each sequence, ``sequence_lens`` (B,) int32. Outputs: ``Y`` (T, D, B, H)
    of the last layer, and every cell's last state, ``Y_h`` and ``Y_c`` (cells,
    B, H).

    States of layers of different widths are side by side, (B, D H + D' H' +
    ...). An input with a default can be left out; onnxruntime warns of each
    that it is not a constant.
    """
    onnx = import_extra("onnx", "writing .onnx", "onnx")
    cell, units = layers[0][0], [cell.units for layer in layers for cell in layer]
    uneven = len(set(units)) > 1
    state, given = (
        (rows, sum(units)) if uneven else (len(units), rows, cell.units)
        for rows in ("B", "B_or_1")
    )
    inputs = INITIAL if defaults else ()
    constants: dict[str, Array] = {
        name: _default_state(layers, name, uneven) for name in inputs
    }
    nodes = list(_initial_state(layers, uneven, constants))
    below, steps = "X", "sequence_lens" if padded or lengths else ""
    if lengths:
        constants[steps] = np.array(lengths, np.int32)
    for n, layer in enumerate(layers):
        nodes += _lstm(layer, n, below, steps, constants)
        if n + 1 < len(layers):
            nodes += _joined(n, len(layer), constants)
        below = f"joined_{n}"
    nodes.append(_node("Identity", [f"Y_{len(layers) - 1}"], ["Y"]))
    nodes += _last_state(len(layers), uneven, constants)

    def port(
        name: str, shape: Sequence[int | str], dtype: np.dtype[Any] = cell.dtype
    ) -> Any:
        kind = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        return onnx.helper.make_tensor_value_info(name, kind, shape)

    return onnx.helper.make_graph(
        nodes,
        "lstm",
        [
            port("X", ("T", "B", cell.inputs)),
            *(port(name, given) for name in INITIAL),
            *([port(steps, ("B",), np.dtype(np.int32))] if steps else []),
        ],
        [
            port("Y", ("T", len(layers[-1]), "B", units[-1])),
            *(port(name, state) for name in ("Y_h", "Y_c")),
        ],
        [
            onnx.numpy_helper.from_array(array, name)
            for name, array in constants.items()
        ],
    )


def _default_state(layers: Layers, name: str, uneven: bool) -> Array:
    """The learned initial state of every cell, or zero; B is 1 unless a learned one has a batch.

    (cells, B, H), or side by side (B, sum of H).
    """
    states = []
    for cell in (cell for layer in layers for cell in layer):
        learned = getattr(cell, name)
        zero = np.zeros(cell.units, cell.dtype)
        states.append(np.atleast_2d(zero if learned is None else learned))
    batch = max(map(len, states))
    rows = [np.broadcast_to(state, (batch, state.shape[1])) for state in states]
    return np.concatenate(rows, axis=1) if uneven else np.stack(rows)


def _initial_state(
    layers: Layers, uneven: bool, constants: dict[str, Array]
) -> Iterator[Any]:
    """h_n and c_n (D, B, H) of each layer n, as many sequences as X has.

    From states (cells, B, H); of layers of different widths from (B, D H + D'
    H' + ...).
    """
    sizes = np.array([(len(layer), layer[0].units) for layer in layers], np.int64)
    constants |= {"one": np.array([1], np.int64), "two": np.array([2], np.int64)}
    constants["parts"] = sizes.prod(axis=1) if uneven else sizes[:, 0]
    yield _node("Shape", ["X"], ["X_shape"])
    yield _node("Slice", ["X_shape", "one", "two"], ["rows"])
    for letter in "hc":
        parts = [f"{letter}_{n}_part" for n in range(len(layers))]
        yield _node("Split", [f"initial_{letter}", "parts"], parts, axis=int(uneven))
        for n, part in enumerate(parts):
            given = part
            if uneven:  # (B, D H)
                constants[f"cut_{n}"] = np.array(
                    [0, *sizes[n]], np.int64
                )  # 0: as it is
                given = f"{letter}_{n}_given"
                yield _node("Reshape", [part, f"cut_{n}"], [f"{part}_cut"])  # (B, D, H)
                yield _node("Transpose", [f"{part}_cut"], [given], perm=[1, 0, 2])
            constants |= {f"directions_{n}": sizes[n, :1], f"units_{n}": sizes[n, 1:]}
            shape = f"{letter}_{n}_shape"
            yield _node(
                "Concat", [f"directions_{n}", "rows", f"units_{n}"], [shape], axis=0
            )
            yield _node("Expand", [given, shape], [f"{letter}_{n}"])


def _last_state(
    layers: int, uneven: bool, constants: dict[str, Array]
) -> Iterator[Any]:
    if uneven:
        constants["one_row"] = np.array([0, -1], np.int64)
    for name in ("Y_h", "Y_c"):
        ends = [f"{name}_{n}" for n in range(layers)]  # (D, B, H)
        if uneven:
            for end in ends:
                yield _node("Transpose", [end], [f"{end}_turned"], perm=[1, 0, 2])
                yield _node("Reshape", [f"{end}_turned", "one_row"], [f"{end}_row"])
            ends = [f"{end}_row" for end in ends]  # (B, D H)
        yield _node("Concat", ends, [name], axis=1 if uneven else 0)


def _lstm(
    layer: Sequence[Cell], n: int, below: str, lengths: str, constants: dict[str, Array]
) -> list[Any]:
    row = layer[0].convention
    tensors = stack_directions([encode(cell) for cell in layer])
    names = {}
    for slot, array in tensors.items():
        if slot.role not in INITIAL:
            names[slot.role] = f"{row.names.tensors[slot.role]}_{n}"
            constants[names[slot.role]] = array
    inputs = [
        below,
        names["kernel"],
        names["recurrent_kernel"],
        names["bias"],
        lengths,
        f"h_{n}",
        f"c_{n}",
    ]
    if "peephole" in names:
        inputs.append(names["peephole"])
    outputs = [f"Y_{n}", f"Y_h_{n}", f"Y_c_{n}"]
    attributes = _attributes(row.behaviour, layer[0].units, len(layer))
    return [_node("LSTM", inputs, outputs, **attributes)]


def _attributes(behaviour: Behaviour, units: int, directions: int) -> dict[str, Any]:
    """The attributes of a node that differ from the specification's defaults."""
    one = "reverse" if behaviour.reverse else "forward"
    direction = "bidirectional" if directions == 2 else one
    attributes: dict[str, Any] = {"hidden_size": units, "direction": direction}
    three = tuple(getattr(behaviour, role) for role in ROLES)
    if three != ("sigmoid", "tanh", "tanh"):
        attributes |= activation_attributes(three * directions)
    if behaviour.gate_clip is not None:
        attributes["clip"] = behaviour.gate_clip
    if behaviour.coupled == "f=1-i":
        attributes["input_forget"] = 1
    return attributes


def _joined(n: int, directions: int, constants: dict[str, Array]) -> Iterator[Any]:
    """Y_n (T, D, B, H) as the next layer takes it, (T, B, D H)."""
    if directions == 1:
        yield _node("Squeeze", [f"Y_{n}", "one"], [f"joined_{n}"])
        return
    constants["side_by_side"] = np.array(
        [0, 0, -1], np.int64
    )  # 0: an axis stays as it is
    yield _node("Transpose", [f"Y_{n}"], [f"turned_{n}"], perm=[0, 2, 1, 3])
    yield _node("Reshape", [f"turned_{n}", "side_by_side"], [f"joined_{n}"])


def rtneural_document(layers: Layers) -> dict[str, Any]:
    """A model file of RTNeural with the LSTMs, one after the other.

    What its ``model_loader.h`` reads: the last number of a shape, the type,
    and a list of arrays for the weights, in the order of the convention
    ``rtneural``, which the cells are in.
    """
    return {
        "in_shape": [None, None, layers[0][0].inputs],
        "layers": [
            {
                "type": "lstm",
                "activation": cell.convention.behaviour.activation,
                "shape": [None, None, cell.units],
                "weights": _listed(cell),
            }
            for (cell,) in layers
        ],
    }


def _listed(cell: Cell) -> list[Any]:
    tensors = encode(cell)
    return [tensors[Slot(role)].tolist() for role in cell.convention.names.numbered]
