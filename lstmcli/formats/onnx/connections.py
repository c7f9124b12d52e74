"""The front of an LSTM node of an ONNX graph, and the way to an output of the model.

Exporters insert operators that move axes, and spell a dense layer out: each is
a step of a `Flow`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.surroundings import (
    EACH,
    LAST,
    STATES,
    HeadLayer,
    HeadOfFile,
)
from lstmcli.formats.document import Arrays
from lstmcli.formats.onnx.folding import ConstantFolder
from lstmcli.formats.onnx.graph import Definition, Node, Scope, numpy_dtype, widened
from lstmcli.formats.onnx.lstm import is_lstm
from lstmcli.formats.surroundings import (
    BATCH,
    DIRECTIONS,
    MOST_STEPS,
    ONE,
    OUTPUTS,
    TIME,
    UNITS,
    UNREAD,
    Flow,
    NotFollowed,
    heads_at,
)

SAME = ("Identity", "Dropout", "Cast")
EXCHANGED = ([1, 0], [1, 0, 2])  # batch and time, of indices and of inputs
POOLED = {"ReduceMean": "mean", "ReduceMax": "max"}
SOFTMAX = {"Softmax": "softmax", "LogSoftmax": "log_softmax"}
SOFTMAX_OF_ONE_AXIS = 13  # the opset; before, the axes from ``axis`` on are one
ACTIVATIONS: dict[str, dict[str, float]] = {  # with the defaults of their attributes
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "Relu": {},
    "Sigmoid": {},
    "Softplus": {},
    "Softsign": {},
    "Tanh": {},
    "ThresholdedRelu": {"alpha": 1.0},
}
END = 1 << 30  # a Slice to at least here reaches the end
CELLS = "C"  # the axis of c, which no layer takes
MOST_NUMBERS = 4  # of axes: T, D, B, H


class Feeding(NamedTuple):
    """The origin of the X of a node."""

    operator: str = ""  # that computes X; "" for an input of the model
    transposed: bool = False  # of an input of the model batch and time are exchanged
    table: str = ""  # of which it has rows, for indices that are an input
    lstm: str = ""  # whose complete Y it is: all steps and directions


class Connections:
    """The ways between nodes, and the tensors of the layers on them."""

    def __init__(self, constants: ConstantFolder) -> None:
        self.constants = constants
        self.names: dict[Node, str] = {}  # of the LSTMs that can be read
        self.arrays: Arrays = {}

    # ---- before

    def feeding(self, node: Node, scope: Scope) -> Feeding:
        """The origin of the X of this node."""
        source, exchanged = _through(scope.definition(node.inputs[0]))
        if source.node is None:
            return Feeding(transposed=exchanged and source.input)
        try:
            flow = self.flow(scope.definition(node.inputs[0]))
        except UNREAD:
            flow = Flow(())
        steps = (BATCH, TIME) if is_batch_first(node) else (TIME, BATCH)
        if (flow.axes, flow.layers, flow.steps) == ((*steps, OUTPUTS), (), EACH):
            return Feeding(source.node.op, lstm=flow.lstm)
        return self._rows(_Step(source, self), exchanged)

    def _rows(self, step: _Step, exchanged: bool) -> Feeding:
        node = step.node
        if node.op != "Gather" or node.domain or node.attributes.get("axis"):
            return Feeding(node.op)
        indices, also_exchanged = _through(step.definition(1))
        if not indices.input:
            return Feeding(node.op)
        try:
            table = step.tensor(0, axes=2)
        except UNREAD:
            return Feeding(node.op)
        return Feeding(node.op, exchanged != also_exchanged, table)

    # ---- behind

    def heads(self, scope: Scope) -> tuple[HeadOfFile, ...]:
        """The heads that make the outputs of a graph."""
        return heads_at([scope.definition(name) for name in scope.outputs], self)

    def flow(self, source: Definition, left: int = MOST_STEPS) -> Flow:
        """The numbers of this name, from an LSTM on."""
        node = source.node
        if node is None or not left:
            raise NotFollowed(self.words(source))
        if is_lstm(node):
            flow = _outputs_of(node, node.outputs.index(source.name))
            return flow._replace(lstm=self.names.get(node, ""))
        step = _Step(source, self)
        try:
            if node.op not in STEPS or node.domain or source.name != node.outputs[0]:
                raise NotFollowed
            flows = []
            for name in step.followed():
                flows.append(self.flow(source.scope.definition(name), left - 1))
            if not flows:
                raise NotFollowed
            return STEPS[node.op](step, *flows)
        except UNREAD as reason:
            words = str(reason) if isinstance(reason, NotFollowed) else ""
            raise NotFollowed(words or self.words(source)) from None

    def words(self, source: Definition) -> str:
        """The operator that computes a name."""
        node = source.node
        if node is None:
            return source.name
        return f"{node.op} ({node.name})" if node.name else node.op

    def lstms_before(self, source: Definition) -> Iterator[str]:
        """The LSTMs that a name depends on, without another LSTM between."""
        pending, seen = [source], set[Node]()
        while pending:
            definition = pending.pop()
            node = definition.node
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self.names:
                yield self.names[node]
            elif not is_lstm(node):
                pending += [definition.scope.definition(name) for name in node.inputs]


class _Step(NamedTuple):
    """One operator on the way."""

    source: Definition
    of: Connections

    @property
    def node(self) -> Node:
        assert self.source.node is not None
        return self.source.node

    def definition(self, n: int) -> Definition:
        """The definition of an input."""
        return self.source.scope.definition("".join(self.node.inputs[n : n + 1]))

    def constant(self, n: int) -> np.ndarray | None:
        """An input, if the file tells its numbers."""
        source = self.definition(n)
        value = self.of.constants.value(source.scope, source.name)
        return value if isinstance(value, np.ndarray) else None

    def tensor(self, n: int, axes: int) -> str:
        """The name of an input that is a kernel, a bias or a table."""
        value = self.constant(n)
        if value is None or value.ndim != axes or numpy_dtype(value.dtype).kind != "f":
            raise NotFollowed
        name = self.definition(n).name
        self.of.arrays[name] = widened(value)
        return name

    def numbers(self, attribute: str, n: int) -> list[int]:
        """The integers of an attribute, or of an input that is constant."""
        value = self.node.attributes.get(attribute)
        if value is None:
            value = self.constant(n)
        if isinstance(value, np.ndarray) and value.size <= MOST_NUMBERS:
            return [int(number) for number in value.ravel()]
        if not isinstance(value, list):
            raise NotFollowed
        return value

    def followed(self) -> list[str]:
        """The inputs that an LSTM may make; of an entry of a Concat all that it joins."""
        inputs = self.node.inputs
        joined = self.definition(0).node
        if self.node.op == "Gather" and joined is not None and joined.op == "Concat":
            return joined.inputs
        if self.node.op == "Concat":
            return inputs
        if self.node.op == "Add" and self.constant(0) is not None:
            return inputs[1:]
        return inputs[:1]


def _reshaped(step: _Step, flow: Flow) -> Flow:
    shape = step.definition(1).node
    if shape is not None and shape.op == "Concat" and step.constant(1) is None:
        return flow.reshaped(len(shape.inputs), None)
    sizes = step.numbers("shape", 1)
    return flow.reshaped(len(sizes), sizes[-1] if sizes else None)


def _gathered(step: _Step, *flows: Flow) -> Flow:
    index = step.constant(1)
    if index is None or index.size != 1:
        raise NotFollowed
    axis, entry = step.node.attributes.get("axis", 0), int(index.flat[0])
    flow = flows[0]
    if len(flows) > 1:  # of the last states of several layers
        _stacked(flows, axis)
        directions = 2 if flow.axes[0] == DIRECTIONS else 1
        flow = flows[entry // directions]
        entry %= directions
    return flow.taken(axis, entry, keeps=index.ndim > 0)


def _stacked(flows: Sequence[Flow], axis: int) -> Flow:
    """The last states of several layers, of which no layer takes all."""
    if axis or any(flow.layers or flow.axes != flows[0].axes for flow in flows):
        raise NotFollowed
    if flows[0].axes[0] not in (ONE, DIRECTIONS):
        raise NotFollowed
    return flows[0]._replace(axes=(CELLS,))


def _joined(step: _Step, *flows: Flow) -> Flow:
    axis = step.node.attributes.get("axis", 0)
    if axis and len(flows) == 2:
        return flows[0].joined(flows[1], axis)
    return _stacked(flows, axis)


def _sliced(step: _Step, flow: Flow) -> Flow:
    starts, ends = step.numbers("starts", 1), step.numbers("ends", 2)
    axes = step.numbers("axes", 3)
    every = step.constant(4)
    if not len(starts) == len(ends) == len(axes) == 1 or (
        every is not None and every != 1
    ):
        raise NotFollowed
    start, end, axis = starts[0], ends[0], axes[0]
    is_last = start == -1 and end > END
    if not is_last and end != start + 1:
        raise NotFollowed
    return flow.taken(axis, start, keeps=True)


def _pooled(step: _Step, flow: Flow) -> Flow:
    keeps = step.node.attributes.get("keepdims", 1) != 0
    return flow.pooled(step.numbers("axes", 1), POOLED[step.node.op], keeps=keeps)


def _multiplied(step: _Step, flow: Flow) -> Flow:
    attributes = step.node.attributes
    if any(attributes.get(name, 1) != 1 for name in ("alpha", "beta")):
        raise NotFollowed
    if attributes.get("transA"):
        raise NotFollowed
    kernel = step.tensor(1, axes=2)
    is_transposed = attributes.get("transB") == 1
    bias = ""
    if len(step.node.inputs) > 2 and step.node.inputs[2]:
        bias = step.tensor(2, axes=1)
    width = step.of.arrays[kernel].shape[0 if is_transposed else 1]
    layer = HeadLayer(kernel, kernel, bias, is_transposed=is_transposed)
    return flow.dense(layer, width)


def _added(step: _Step, flow: Flow) -> Flow:
    n = 1 if step.constant(0) is None else 0
    return flow.biased(step.tensor(n, axes=1))


def _activated(step: _Step, flow: Flow) -> Flow:
    node = step.node
    numbers = []
    for name, default in ACTIVATIONS[node.op].items():
        numbers.append(str(np.float32(node.attributes.get(name, default))))
    return flow.activated(node.name or node.op, f"{node.op}({','.join(numbers)})")


def _softmax(step: _Step, flow: Flow) -> Flow:
    node = step.node
    usual = -1 if step.source.scope.opset >= SOFTMAX_OF_ONE_AXIS else 1
    axis = node.attributes.get("axis", usual)
    if axis not in (-1, len(flow.axes) - 1):
        raise NotFollowed
    return flow.activated(node.name or node.op, SOFTMAX[node.op])


STEPS: dict[str, Callable[..., Flow]] = {
    **dict.fromkeys(SAME, lambda step, flow: flow),
    **dict.fromkeys(POOLED, _pooled),
    **dict.fromkeys(ACTIVATIONS, _activated),
    **dict.fromkeys(SOFTMAX, _softmax),
    "Add": _added,
    "Concat": _joined,
    "Gather": _gathered,
    "Gemm": _multiplied,
    "MatMul": _multiplied,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Squeeze": lambda step, flow: flow.squeezed(step.numbers("axes", 1)),
    "Transpose": lambda step, flow: flow.transposed(step.numbers("perm", 1)),
}


def is_batch_first(node: Node) -> bool:
    """Return whether the batch is the first axis of X and Y."""
    return node.attributes.get("layout") == 1


def _outputs_of(node: Node, output: int) -> Flow:
    """The axes of Y, Y_h or Y_c."""
    direction = node.attributes.get("direction", b"forward")
    width = node.attributes.get("hidden_size", 0)
    directions, units = ONE, OUTPUTS
    if direction == b"bidirectional":
        directions, units = DIRECTIONS, UNITS
    if output == 2:
        units = CELLS
    axes: tuple[str, ...]
    if output == 0 and is_batch_first(node):
        axes = (BATCH, TIME, directions, units)
    elif output == 0:
        axes = (TIME, directions, BATCH, units)
    elif is_batch_first(node):
        axes = (BATCH, directions, units)
    else:
        axes = (directions, BATCH, units)
    steps = EACH
    if output:
        steps = LAST if direction == b"forward" else STATES
    return Flow(axes, width, steps=steps)


def _through(source: Definition) -> tuple[Definition, bool]:
    """The name that this one is a copy of, and whether batch and time are exchanged."""
    exchanged = False
    for _ in range(MOST_STEPS):
        node = source.node
        if node is None or node.domain or not node.inputs:
            break
        if node.op == "Transpose" and node.attributes.get("perm") in EXCHANGED:
            exchanged = not exchanged
        elif node.op not in SAME:
            break
        source = source.scope.definition(node.inputs[0])
    return source, exchanged
