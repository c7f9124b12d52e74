"""Cells in basic operations: an ONNX graph whose outputs are all gates of every step.

The operator LSTM of ONNX returns only h and the last state, and has no projection, clip of c, layer
norm nor most kinds of peepholes. Scan is the loop of ONNX: here its body is one step of any cell,
made of the operators MatMul, Add, Mul, Sigmoid, ... ONNX specification, Scan-16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.states import State
from lstmcli.core.model.steps import StepOrder
from lstmcli.engines.engine import Network, Result
from lstmcli.engines.libraries import activation
from lstmcli.formats.onnx.writer import OnnxGraph, Operator, ValueInfo

ARRAYS = ("h", "c", "i", "f", "g", "o")
"""What a Scan returns of each step, (T, B, K)."""


class Operators:
    """The nodes of a graph or of a body, in the order of computation."""

    def __init__(self, name: str, constants: dict[str, Array], dtype: np.dtype[Any]) -> None:
        self.name, self.constants, self.dtype = name, constants, dtype
        self.nodes: list[Operator] = []

    def constant(self, array: Array | float) -> Value:
        """A constant; a number is rounded to the graph's type."""
        name = f"{self.name}_constant_{len(self.constants)}"
        numbers = isinstance(array, (int, float))
        self.constants[name] = np.array(array, self.dtype) if numbers else np.asarray(array)
        return Value(self, name)

    def call(self, op: str, *inputs: Value | Array | float, **attributes: Any) -> Value:
        """The output of a new node."""
        return self.calls(op, 1, *inputs, **attributes)[0]

    def calls(
        self, op: str, count: int, *inputs: Value | Array | float, **attributes: Any
    ) -> list[Value]:
        """The outputs of a new node."""
        names = [(a if isinstance(a, Value) else self.constant(a)).name for a in inputs]
        outputs = [f"{self.name}_{len(self.nodes)}_{k}" for k in range(count)]
        self.nodes.append(Operator(op, names, outputs, attributes))
        return [Value(self, name) for name in outputs]


class Value:
    """A value of a graph; arithmetic with it adds a node."""

    def __init__(self, operators: Operators, name: str) -> None:
        self.name, self._call = name, operators.call

    def __add__(self, other: Value | Array | float) -> Value:
        return self._call("Add", self, other)

    def __sub__(self, other: Value | Array | float) -> Value:
        return self._call("Sub", self, other)

    def __rsub__(self, other: float) -> Value:
        return self._call("Sub", other, self)

    def __mul__(self, other: Value | Array | float) -> Value:
        return self._call("Mul", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Value) -> Value:
        return self._call("Div", self, other)

    def __matmul__(self, other: Array) -> Value:
        return self._call("MatMul", self, other)


def scan_graph(network: Network) -> OnnxGraph:
    """The graph of a network: of X (T, B, I), with the states and the valid steps as constants.

    Outputs: ``h`` (T, B, K) of the last layer, directions merged or side by side; ``h_n`` and
    ``c_n`` (B, .), the last state of cell n; of a single cell c, i, f, g and o (T, B, H) too.
    """
    dtype, constants = network.cell.dtype, dict[str, Array]()
    graph = Operators("graph", constants, dtype)
    below, valid = Value(graph, "X"), network.valid
    ends: list[ValueInfo] = []
    for layer, states in network.by_layer:
        outputs = []
        for d, (cell, state) in enumerate(zip(layer, states, strict=True)):
            n = len(ends) // 2
            arrays = _scan(graph, cell, below, _start(cell, state, valid), valid, network, n, d)
            outputs.append(arrays["h"])
            ends += [
                ValueInfo(f"h_{n}", dtype, ("B", cell.outputs)),
                ValueInfo(f"c_{n}", dtype, ("B", cell.units)),
            ]
        below = _merged(graph, outputs, layer[0].convention.behaviour.merge)
    per_step = {"h": below} | ({k: arrays[k] for k in ARRAYS[1:]} if len(ends) == 2 else {})
    for name, value in per_step.items():
        graph.nodes.append(Operator("Identity", [value.name], [name]))
    return OnnxGraph(
        "lstm",
        [ValueInfo("X", dtype, ("T", "B", network.cell.inputs))],
        [*(ValueInfo(name, dtype, ("T", "B", f"K_{name}")) for name in per_step), *ends],
        graph.nodes,
        constants,
    )


def result_of(network: Network, outputs: Sequence[Array]) -> Result:
    """The outputs of the graph as a result."""
    h, *others = outputs
    cells = len(network.cells)
    gates = dict(zip(ARRAYS[1:], others, strict=False)) if cells == 1 else {}
    ends = others[len(gates) :]
    return Result(h, list(zip(ends[::2], ends[1::2], strict=True)), gates)


def unsupported(network: Network) -> Iterator[str]:
    """What the body of the Scan cannot express."""
    if network.convention.behaviour.state == "reset":
        yield "a state that is reset at every step"


def _start(cell: Cell, state: State, valid: Array | None) -> State:
    """The initial state; zero for a sequence that ends in zero since no step of it counts."""
    if valid is None or cell.convention.behaviour.empty_rows != "zero":
        return state
    some: Array = np.any(valid, axis=0, keepdims=True).T
    h, c = (np.where(some, array, array.dtype.type(0)) for array in state)
    return h, c


def _merged(graph: Operators, outputs: list[Value], merge: str) -> Value:
    """The directions of a layer as one output."""
    if len(outputs) == 1:
        return outputs[0]
    forward, backward = outputs
    if merge == "sum":
        return forward + backward
    if merge == "mul":
        return forward * backward
    if merge == "ave":
        return (forward + backward) * 0.5
    if merge == "concat_swapped":
        outputs = outputs[::-1]
    return graph.call("Concat", *outputs, axis=2)


def _scan(
    graph: Operators, cell: Cell, x: Value, state: State, valid: Array | None,
    network: Network, n: int, direction: int,
) -> dict[str, Value]:  # fmt: skip
    """Add cell n to a graph: its arrays (T, B, K) by name. Its last state are h_n and c_n."""
    kernel = cell.kernel.reshape(-1, cell.inputs).T  # (I, 4H)
    ahead = x @ kernel  # of all steps
    body = Operators(f"cell_{n}", graph.constants, cell.dtype)
    h, c, y, xk, counts = (
        Value(body, f"{body.name}_{name}") for name in ["h", "c", "y", "x", "valid"]
    )
    now = _step(body, cell, xk, h, c)
    carried = {"h": now["h"], "c": now["c"]}
    if valid is not None:
        carried = {
            name: body.call("Where", counts, now[name], old) for name, old in (("h", h), ("c", c))
        }
        now = {name: body.call("Where", counts, value, 0.0) for name, value in now.items()}
        if (
            network.padded_output == "repeat"
        ):  # y, the output, is zero before the first step that counts
            carried["y"] = now["h"] = body.call("Where", counts, now["h"], y)
    starts = {"h": state[0], "c": state[1], "y": np.zeros_like(state[0])}
    widths = {"h": cell.outputs, "c": cell.units, "y": cell.outputs}
    outputs = [body.call("Identity", value) for value in carried.values()]
    outputs += [body.call("Identity", now[name]) for name in ARRAYS]
    sizes = [*(widths[name] for name in carried), cell.outputs, *[cell.units] * 5]
    inputs = [ValueInfo(f"{body.name}_{k}", cell.dtype, ("B", widths[k])) for k in carried]
    inputs.append(ValueInfo(xk.name, cell.dtype, ("B", 4 * cell.units)))
    scanned: list[Value | Array] = [ahead]
    if valid is not None:
        inputs.append(ValueInfo(counts.name, np.dtype(bool), ("B", 1)))
        scanned.append(valid[:, :, None])
    of_cell = StepOrder.of_cell(cell.convention.behaviour, direction == 1)
    reads, writes = int(of_cell.runs_back), int(of_cell.outputs_reversed)
    results = graph.calls(
        "Scan",
        len(outputs),
        *(starts[name] for name in carried),
        *scanned,
        body=OnnxGraph(
            body.name,
            inputs,
            [
                ValueInfo(value.name, cell.dtype, ("B", size))
                for value, size in zip(outputs, sizes, strict=True)
            ],
            body.nodes,
            {},
        ),
        num_scan_inputs=len(scanned),
        scan_input_directions=[reads] * len(scanned),
        scan_output_directions=[writes] * len(ARRAYS),
    )
    for name, value in zip("hc", results, strict=False):
        graph.nodes.append(Operator("Identity", [value.name], [f"{name}_{n}"]))
    return dict(zip(ARRAYS, results[len(carried) :], strict=True))


def _step(body: Operators, cell: Cell, xk: Value, h: Value, c: Value) -> dict[str, Value]:
    """The equations of `core.forward.equations` for K x (B, 4H), h (B, P) and c (B, H)."""
    behaviour = cell.convention.behaviour
    recurrent = cell.recurrent_kernel.reshape(-1, cell.outputs).T  # (P, 4H)
    z = xk + h @ recurrent
    if cell.norm_scale is None:
        bias = cell.bias.copy()
        bias[1] += cell.dtype.type(behaviour.forget_bias)
        z += bias.reshape(-1)
    z_i, z_f, z_g, z_o = body.calls("Split", 4, z, axis=-1)
    functions = _activations(body)
    s, t, t_c = (
        activation(name, functions)
        for name in (
            behaviour.recurrent_activation,
            behaviour.activation,
            behaviour.output_activation,
        )
    )

    def clip(value: Value, limit: float | None) -> Value:
        return value if limit is None else body.call("Clip", value, -limit, limit)

    def normalized(value: Value, scale: Array | None, shift: Array | None) -> Value:
        if scale is None or shift is None:
            return value
        centred = value - body.call("ReduceMean", value, axes=[-1], keepdims=1)
        variance = body.call("ReduceMean", centred * centred, axes=[-1], keepdims=1)
        deviation = body.call("Sqrt", variance + behaviour.norm_epsilon)
        return centred / deviation * scale + shift

    def pre(value: Value, gate: int) -> Value:
        """What the activation takes: normalised, then clipped."""
        if cell.norm_scale is not None and cell.norm_shift is not None:
            shift = cell.norm_shift[gate] + cell.dtype.type(behaviour.forget_bias * (gate == 1))
            value = normalized(value, cell.norm_scale[gate], shift)
        return clip(value, behaviour.gate_clip)

    def peephole(gate: int, state: Value) -> Value:
        assert cell.peephole is not None
        p = cell.peephole[gate]
        product: Value = state @ p.T if p.ndim == 2 else state * p
        return product

    acts = "" if cell.peephole is None else behaviour.output_peephole
    if acts:
        z_i, z_f = z_i + peephole(0, c), z_f + peephole(1, c)
    i, f, g = s(pre(z_i, 0)), s(pre(z_f, 1)), t(pre(z_g, 2))
    if behaviour.coupled == "f=1-i":
        f = 1.0 - i
    elif behaviour.coupled == "i=1-f":
        i = 1.0 - f
    c_new = normalized(clip(f * c + i * g, behaviour.cell_clip), cell.state_scale, cell.state_shift)
    if acts in ("old_c", "new_c"):
        z_o += peephole(2, c if acts == "old_c" else c_new)
    o = s(pre(z_o, 3))
    if acts == "after_sigmoid":
        o += peephole(2, c_new)
    h = o * t_c(c_new + peephole(2, c_new) if acts == "in_tanh" else c_new)
    if cell.projection is not None:
        h @= cell.projection.T
        if cell.projection_bias is not None:
            h += cell.projection_bias
    h = clip(h, behaviour.projection_clip)
    return {"h": h, "i": i, "f": f, "g": g, "o": o, "c": c_new}


def _activations(body: Operators) -> Mapping[str, Any]:
    """Operators by the family of an activation; `libraries.activation` makes the others."""
    plain = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign",
             "softplus": "Softplus"}  # fmt: skip
    sloped = {"elu": "Elu", "leaky_relu": "LeakyRelu", "thresholded_relu": "ThresholdedRelu"}
    return (
        {name: lambda x, op=op: body.call(op, x) for name, op in plain.items()}
        | {name: lambda x, a, op=op: body.call(op, x, alpha=a) for name, op in sloped.items()}
        | {"clip": lambda x, low, high: body.call("Clip", x, float(low), float(high))}
    )
