"""Export of a network to the files of other runtimes: an ONNX model, a model of RTNeural."""

from __future__ import annotations

from collections.abc import Sequence
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
LENGTHS = "sequence_lens"


class _Graph:
    """Nodes and constants of a graph of ONNX, in the order in which they run."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.cells = [cell for layer in layers for cell in layer]
        self.uneven = len({cell.units for cell in self.cells}) > 1
        """Layers have different widths; states of cells are side by side, on one axis."""
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}

    def node(
        self, operator: str, inputs: Sequence[str], output: str, **attributes: Any
    ) -> None:
        """Add an operator of one output; an input "" is left out."""
        self.nodes.append(_node(operator, inputs, [output], **attributes))

    def state_shape(self, rows: str) -> tuple[int | str, ...]:
        """The axes of the states of all cells; ``rows`` is the name of the batch."""
        if self.uneven:
            return rows, sum(cell.units for cell in self.cells)
        return len(self.cells), rows, self.cells[0].units


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
    graph = _Graph(layers)
    if defaults:
        for name in INITIAL:
            graph.constants[name] = _default_state(graph, name)
    steps = ""
    if padded or lengths:
        steps = LENGTHS
    if lengths:
        graph.constants[steps] = np.array(lengths, np.int32)
    _add_initial_state(graph)
    below = "X"
    for n, layer in enumerate(layers):
        _add_lstm(graph, n, below, steps)
        if n + 1 < len(layers):
            _add_joined(graph, n, len(layer))
        below = f"joined_{n}"
    graph.node("Identity", [f"Y_{len(layers) - 1}"], "Y")
    _add_last_state(graph)
    inputs, outputs = _ports(graph, steps)
    constants = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in graph.constants.items()
    ]
    return onnx.helper.make_graph(graph.nodes, "lstm", inputs, outputs, constants)


def _ports(graph: _Graph, steps: str) -> tuple[list[Any], list[Any]]:
    """The inputs and outputs of a graph; ``steps`` is the input of lengths, if there is one."""
    helper = import_module("onnx").helper
    kind = helper.np_dtype_to_tensor_dtype(graph.cells[0].dtype)
    integer = helper.np_dtype_to_tensor_dtype(np.dtype(np.int32))
    port = helper.make_tensor_value_info
    last = graph.layers[-1]
    inputs = [port("X", kind, ("T", "B", graph.cells[0].inputs))]
    for name in INITIAL:
        inputs.append(port(name, kind, graph.state_shape("B_or_1")))
    if steps:
        inputs.append(port(steps, integer, ("B",)))
    outputs = [port("Y", kind, ("T", len(last), "B", last[-1].units))]
    for name in ("Y_h", "Y_c"):
        outputs.append(port(name, kind, graph.state_shape("B")))
    return inputs, outputs


def _default_state(graph: _Graph, name: str) -> Array:
    """The learned initial state of every cell, or zero; B is 1 unless a learned one has a batch.

    (cells, B, H), or side by side (B, sum of H).
    """
    states = []
    for cell in graph.cells:
        state = getattr(cell, name)
        if state is None:
            state = np.zeros(cell.units, cell.dtype)
        states.append(np.atleast_2d(state))
    batch = max(map(len, states))
    rows = [np.broadcast_to(state, (batch, state.shape[1])) for state in states]
    if graph.uneven:
        return np.concatenate(rows, axis=1)
    return np.stack(rows)


def _add_initial_state(graph: _Graph) -> None:
    """Add h_n and c_n (D, B, H) of each layer n, as many sequences as X has.

    From states (cells, B, H); of layers of different widths from (B, D H + D'
    H' + ...).
    """
    sizes = np.array([(len(layer), layer[0].units) for layer in graph.layers], np.int64)
    parts, axis = sizes[:, 0], 0
    if graph.uneven:
        parts, axis = sizes.prod(axis=1), 1
    graph.constants["one"] = np.array([1], np.int64)
    graph.constants["two"] = np.array([2], np.int64)
    graph.constants["parts"] = parts
    for n in range(len(sizes)):
        graph.constants[f"directions_{n}"] = sizes[n, :1]
        graph.constants[f"units_{n}"] = sizes[n, 1:]
        if graph.uneven:
            graph.constants[f"cut_{n}"] = np.array([0, *sizes[n]], np.int64)  # 0: as is
    graph.node("Shape", ["X"], "X_shape")
    graph.node("Slice", ["X_shape", "one", "two"], "rows")
    for letter in "hc":
        names = [f"{letter}_{n}_part" for n in range(len(sizes))]
        split = _node("Split", [f"initial_{letter}", "parts"], names, axis=axis)
        graph.nodes.append(split)
        for n in range(len(sizes)):
            _add_state_of_layer(graph, f"{letter}_{n}", n)


def _add_state_of_layer(graph: _Graph, state: str, n: int) -> None:
    """Add the state of layer n, of its part of all cells' states; one row serves all sequences."""
    given, shape = f"{state}_part", f"{state}_shape"
    if graph.uneven:  # (B, D H)
        cut, given = f"{state}_part_cut", f"{state}_given"
        graph.node("Reshape", [f"{state}_part", f"cut_{n}"], cut)  # (B, D, H)
        graph.node("Transpose", [cut], given, perm=[1, 0, 2])
    graph.node("Concat", [f"directions_{n}", "rows", f"units_{n}"], shape, axis=0)
    graph.node("Expand", [given, shape], state)


def _add_last_state(graph: _Graph) -> None:
    layers = range(len(graph.layers))
    if not graph.uneven:
        for name in ("Y_h", "Y_c"):
            graph.node("Concat", [f"{name}_{n}" for n in layers], name, axis=0)
        return
    graph.constants["one_row"] = np.array([0, -1], np.int64)
    for name in ("Y_h", "Y_c"):
        rows = []
        for n in layers:  # (D, B, H)
            end, turned, row = (f"{name}_{n}{part}" for part in ("", "_turned", "_row"))
            graph.node("Transpose", [end], turned, perm=[1, 0, 2])
            graph.node("Reshape", [turned, "one_row"], row)
            rows.append(row)  # (B, D H)
        graph.node("Concat", rows, name, axis=1)


def _add_lstm(graph: _Graph, n: int, below: str, lengths: str) -> None:
    """Add layer n, which reads ``below`` (T, B, I)."""
    layer = graph.layers[n]
    row = layer[0].convention
    names = {}
    for slot, array in stack_directions([encode(cell) for cell in layer]).items():
        if slot.role not in INITIAL:
            name = f"{row.names.tensors[slot.role]}_{n}"
            names[slot.role] = name
            graph.constants[name] = array
    tensors = [names[role] for role in ("kernel", "recurrent_kernel", "bias")]
    inputs = [below, *tensors, lengths, f"h_{n}", f"c_{n}"]
    if "peephole" in names:
        inputs.append(names["peephole"])
    outputs = [f"Y_{n}", f"Y_h_{n}", f"Y_c_{n}"]
    attributes = _attributes(row.behaviour, layer[0].units, len(layer))
    graph.nodes.append(_node("LSTM", inputs, outputs, **attributes))


def _attributes(behaviour: Behaviour, units: int, directions: int) -> dict[str, Any]:
    """The attributes of a node that differ from the specification's defaults."""
    direction = "forward"
    if directions == 2:
        direction = "bidirectional"
    elif behaviour.reverse:
        direction = "reverse"
    attributes: dict[str, Any] = {"hidden_size": units, "direction": direction}
    three = tuple(getattr(behaviour, role) for role in ROLES)
    if three != ("sigmoid", "tanh", "tanh"):
        attributes |= activation_attributes(three * directions)
    if behaviour.gate_clip is not None:
        attributes["clip"] = behaviour.gate_clip
    if behaviour.coupled == "f=1-i":
        attributes["input_forget"] = 1
    return attributes


def _add_joined(graph: _Graph, n: int, directions: int) -> None:
    """Add Y_n (T, D, B, H) as the next layer takes it, (T, B, D H)."""
    if directions == 1:
        graph.node("Squeeze", [f"Y_{n}", "one"], f"joined_{n}")
        return
    graph.constants["side_by_side"] = np.array([0, 0, -1], np.int64)  # 0: as is
    graph.node("Transpose", [f"Y_{n}"], f"turned_{n}", perm=[0, 2, 1, 3])
    graph.node("Reshape", [f"turned_{n}", "side_by_side"], f"joined_{n}")


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
