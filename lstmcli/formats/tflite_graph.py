"""The front of an LSTM of a TensorFlow Lite model, and the way to an output of the model.

Options of operators are numbered as in the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.surroundings import EACH, FrontOfFile, HeadLayer
from lstmcli.formats.document import Arrays
from lstmcli.formats.surroundings import (
    BATCH,
    MOST_STEPS,
    OUTPUTS,
    TIME,
    UNITS,
    UNREAD,
    Flow,
    NotFollowed,
)
from lstmcli.formats.wire.flatbuffer import Table

SAME = ("CAST", "DEQUANTIZE", "QUANTIZE")
POOLED = {"MEAN": "mean", "REDUCE_MAX": "max"}
ACTIVATIONS = {
    "LOGISTIC": "sigmoid",
    "LOG_SOFTMAX": "log_softmax",
    "RELU": "relu",
    "SOFTMAX": "softmax",
    "TANH": "tanh",
}
FUSED = ("identity", "relu", "RELU_N1_TO_1", "RELU6", "tanh", "SIGN_BIT")
ROWS = {"GATHER": (0, 1), "EMBEDDING_LOOKUP": (1, 0)}  # inputs: the table, the indices


class Operator(NamedTuple):
    """An operator; -1 is an input that is left out."""

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Table | None

    def option(self, field: int, kind: str) -> Any:
        """A scalar of its options; ``kind`` is its letter in the struct module."""
        return self.options.number(field, kind) if self.options else 0

    @property
    def output(self) -> int:
        """The first of its outputs, or -1."""
        return self.outputs[0] if self.outputs else -1

    def input(self, n: int) -> int:
        """The tensor at this place, or -1."""
        return self.inputs[n] if n < len(self.inputs) else -1


class Tensors(NamedTuple):
    """The tensors of a graph by number: their shapes, names and constant numbers."""

    shape: Callable[[int], list[int]]
    name: Callable[[int], str]
    integers: Callable[[int], list[int]]  # NotFollowed if they are not constant
    numbers: Callable[[int], np.ndarray]


class Ways:
    """The ways between operators, and the tensors of the layers on them."""

    def __init__(self, tensors: Tensors, operators: Sequence[Operator]) -> None:
        self.tensors = tensors
        self.made_by: dict[int, Operator] = {}
        for operator in operators:
            self.made_by |= dict.fromkeys(operator.outputs, operator)
        self.lstms: dict[int, tuple[str, Mapping[str, Any]]] = {}  # by first output
        self.arrays: Arrays = {}

    # ---- before

    def fronts(self) -> list[FrontOfFile]:
        """The table before each LSTM, or what stands there instead of inputs or an LSTM."""
        fronts = []
        for output, (lstm, _) in self.lstms.items():
            front = self._front(self.made_by[output], lstm)
            if front is not None:
                fronts.append(front)
        return fronts

    def _front(self, operator: Operator, lstm: str) -> FrontOfFile | None:
        source = self._through(operator.input(0), (*SAME, "REVERSE_V2"))
        before = self.made_by.get(source)
        if before is None or before.output in self.lstms:
            return None
        obstacle = FrontOfFile(lstm, obstacle=self.words(source))
        if before.name not in ROWS or before.option(0, "i") or before.option(1, "i"):
            return obstacle
        table, indices = map(before.input, ROWS[before.name])
        if self._through(indices, SAME) in self.made_by:
            return obstacle
        try:
            name = self._tensor(table, 2)
        except UNREAD:
            return obstacle
        return FrontOfFile(lstm, name, name)

    def fed_by(self) -> dict[str, str]:
        """The LSTM whose outputs of all steps an LSTM takes."""
        found = {}
        for output, (lstm, attributes) in self.lstms.items():
            try:
                flow = self.flow(self.made_by[output].input(0))
            except UNREAD:
                continue
            steps = _steps_of(attributes)
            if (flow.axes, flow.layers, flow.steps) == ((*steps, OUTPUTS), (), EACH):
                found[lstm] = flow.lstm
        return found

    def _through(self, source: int, passed: Sequence[str]) -> int:
        for _ in range(MOST_STEPS):
            operator = self.made_by.get(source)
            if operator is None or operator.name not in passed:
                break
            source = operator.input(0)
        return source

    def _tensor(self, number: int, axes: int) -> str:
        """The name of a tensor that is a kernel, a bias or a table."""
        array = self.tensors.numbers(number)
        if array.ndim != axes:
            raise NotFollowed
        name = self.tensors.name(number)
        self.arrays[name] = array
        return name

    # ---- behind

    def flow(self, source: int, left: int = MOST_STEPS) -> Flow:
        """The numbers of this tensor, from an LSTM on."""
        operator = self.made_by.get(source)
        if operator is None or not left:
            raise NotFollowed(self.words(source))
        try:
            if operator.output in self.lstms:
                return self._outputs_of(operator, source)
            if operator.name == "CONCATENATION":
                flows = [self.flow(n, left - 1) for n in operator.inputs]
                if len(flows) != 2:
                    raise NotFollowed
                return flows[0].joined(flows[1], operator.option(0, "i"))
            if operator.name not in STEPS:
                raise NotFollowed
            flow = self.flow(operator.input(0), left - 1)
            return STEPS[operator.name](self, operator, flow)
        except UNREAD as reason:
            words = str(reason) if isinstance(reason, NotFollowed) else ""
            raise NotFollowed(words or self.words(source)) from None

    def words(self, source: int) -> str:
        """The operator that computes a tensor, and the tensor's name."""
        operator = self.made_by.get(source)
        name = self.tensors.name(source)
        return name if operator is None else f"{operator.name} ({name})"

    def lstms_before(self, source: int) -> Iterator[str]:
        """The LSTMs that a tensor depends on, without another LSTM between."""
        pending, seen = [source], {-1}
        while pending:
            number = pending.pop()
            if number in seen:
                continue
            seen.add(number)
            operator = self.made_by.get(number)
            if operator is not None and operator.output in self.lstms:
                yield self.lstms[operator.output][0]
            elif operator is not None:
                pending += operator.inputs

    def _outputs_of(self, operator: Operator, source: int) -> Flow:
        name, attributes = self.lstms[operator.output]
        if operator.name == "LSTM":  # of one step
            raise NotFollowed
        steps = _steps_of(attributes)
        width = self.tensors.shape(source)[-1]
        if attributes.get("merge_outputs", True):
            return Flow((*steps, OUTPUTS), width, name)
        direction = list(operator.outputs).index(source)
        return Flow((*steps, UNITS), width, name, direction=direction)

    def _dense(self, operator: Operator, flow: Flow) -> Flow:
        made = self.tensors.shape(operator.output)
        if len(made) != len(flow.axes):
            flow = flow.reshaped(len(made), flow.width)
        if operator.option(1, "b"):  # shuffled weights
            raise NotFollowed
        kernel = self._tensor(operator.input(1), 2)
        bias = ""
        if operator.input(2) >= 0:
            bias = self._tensor(operator.input(2), 1)
        activation = FUSED[operator.option(0, "b")]
        layer = HeadLayer(kernel, kernel, bias, activation, is_transposed=True)
        return flow.dense(layer, made[-1])

    def _activated(self, operator: Operator, flow: Flow) -> Flow:
        name = ACTIVATIONS[operator.name]
        if name == "softmax" and operator.option(0, "f") != 1:  # beta
            raise NotFollowed
        return flow.activated(self.tensors.name(operator.output), name)

    def _reshaped(self, operator: Operator, flow: Flow) -> Flow:
        shape = self.tensors.shape(operator.output)
        return flow.reshaped(len(shape), shape[-1] if shape else None)

    def _pooled(self, operator: Operator, flow: Flow) -> Flow:
        axes = self.tensors.integers(operator.input(1))
        keeps = bool(operator.option(0, "?"))
        return flow.pooled(axes, POOLED[operator.name], keeps=keeps)

    def _transposed(self, operator: Operator, flow: Flow) -> Flow:
        return flow.transposed(self.tensors.integers(operator.input(1)))

    def _sliced(self, operator: Operator, flow: Flow) -> Flow:
        """One entry of one axis, of which ``[:, -1]`` is the last step."""
        shape = self.tensors.shape(operator.input(0))
        begin, end, strides = map(self.tensors.integers, operator.inputs[1:4])
        adds_axes, drops = operator.option(3, "i"), operator.option(4, "i")
        if not len(begin) == len(end) == len(shape) or {*strides} != {1} or adds_axes:
            raise NotFollowed
        places = []
        for axis, size in enumerate(shape):
            if operator.option(0, "i") & 1 << axis:
                begin[axis] = 0
            if operator.option(1, "i") & 1 << axis:
                end[axis] = size
            if drops & 1 << axis or (begin[axis], end[axis]) != (0, size):
                places.append(axis)
        if len(places) != 1:
            raise NotFollowed
        axis = places[0]
        start, size = begin[axis], shape[axis]
        if not drops and end[axis] not in (start + 1, start + 1 + size):
            raise NotFollowed
        if start == size - 1:
            start = -1
        return flow.taken(axis, start, keeps=not drops)


def _steps_of(attributes: Mapping[str, Any]) -> tuple[str, str]:
    """The first two axes of the inputs and outputs of an LSTM."""
    if attributes.get("time_major"):
        return TIME, BATCH
    return BATCH, TIME


STEPS: dict[str, Callable[[Ways, Operator, Flow], Flow]] = {
    **dict.fromkeys(SAME, lambda ways, operator, flow: flow),
    **dict.fromkeys(POOLED, Ways._pooled),
    **dict.fromkeys(ACTIVATIONS, Ways._activated),
    "FULLY_CONNECTED": Ways._dense,
    "RESHAPE": Ways._reshaped,
    "STRIDED_SLICE": Ways._sliced,
    "TRANSPOSE": Ways._transposed,
}
