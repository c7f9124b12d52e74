"""Constant folding: the values of names in an ONNX graph that can be computed from the file.

Exporters rearrange weights by operators in the graph: slices of a matrix in another order, two
biases concatenated. `operations` has these operators. An initial state is often an array that is
repeated for each item of a batch, whose size is only known in a run: `Repeated` has the array, and
those lengths of the shape that the graph contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size, check_total
from lstmcli.formats.files.source import Opened
from lstmcli.formats.onnx.graph import Definition, Node, Scope
from lstmcli.formats.onnx.operations import (
    MOVING,
    OPERATIONS,
    Operation,
    OperatorCall,
    fill,
    integers,
)
from lstmcli.formats.onnx.tensors import decode
from lstmcli.formats.wire.protobuf import Message

MOST_HOPS = 1000  # from a name to the input that it depends on


class Repeated(NamedTuple):
    """An array that is repeated to fill a shape that is only known in a run."""

    array: np.ndarray
    lengths: tuple[int | None, ...] = ()  # of the last axes; None is unknown
    complete: bool = False  # these are all axes


Value = np.ndarray | Repeated | None  # None: it depends on an input, or on an unknown operator


class ConstantFolder:
    """The values of names, each computed once; all together within the limit of one tensor."""

    def __init__(self, source: Opened) -> None:
        self._source = source
        self._known: dict[tuple[Scope, str], Value] = {}
        self._bytes = 0
        self._stored = self._computed = 0  # bytes read of tensors, and bytes computed from them

    def value(self, scope: Scope, name: str) -> Value:
        """The value of a name in a graph.

        Raises
        ------
        UserError
            for a tensor of the file that cannot be read, or results that would be too large.
        Damaged
            where an operator cannot be computed, or a name depends on itself.
        """
        definition = scope.definition(name)
        pending, entered = [definition], set()
        while pending:
            current = pending[-1]
            key = current.scope, current.name
            if key in self._known:
                pending.pop()
                continue
            inputs = [current.scope.definition(n) for n in _inputs(current) if n]
            missing = [p for p in inputs if (p.scope, p.name) not in self._known]
            if missing and key in entered:
                raise Damaged(f"{current.name!a} in its graph depends on itself")
            entered.add(key)
            pending += missing
            if not missing:
                self._known[key] = self._value_of(current, inputs)
        return self._known[definition.scope, definition.name]

    def origin(self, scope: Scope, name: str) -> str:
        """The input or operator that a name depends on, as text for a message."""
        source = scope.definition(name)
        for _ in range(MOST_HOPS):
            unknown = [n for n in _inputs(source) if n and self.value(source.scope, n) is None]
            if not unknown:
                break
            source = source.scope.definition(unknown[0])
        if source.node is not None:
            return f"the operation {source.node.op!a}"
        if source.sparse:
            return f"the sparse tensor {source.name!a}, which is not read"
        if source.input:
            return f"the input {source.name!a}"
        return f"{source.name!a}, which is not there"

    def count(self, size: int) -> None:
        """Count bytes of results towards the limit of one tensor; UserError beyond it."""
        self._bytes += size
        check_size((self._bytes,), 1, f"{self._source.source}: what its graph computes")

    def _value_of(self, definition: Definition, inputs: Sequence[Definition]) -> Value:
        """The value of a name, once those of the inputs of its node are known."""
        if definition.tensor is not None:
            stored = decode(definition.tensor, self._source, definition.name)
            self._stored += stored.nbytes
            return self._counted(stored)
        node = definition.node
        if node is None or (operation := _operation(node)) is None:
            return None
        known = iter([self._known[d.scope, d.name] for d in inputs])
        values = [next(known) if name else None for name in node.inputs]
        arrays = [value if isinstance(value, np.ndarray) else None for value in values]
        call = OperatorCall(
            node.attributes,
            arrays,
            len(node.outputs),
            definition.scope.opset,
            self._read,
            self._check_size,
        )
        if any(name and a is None for name, a in zip(node.inputs, arrays, strict=True)):
            return self._of_unknown_shape(definition, node, values, call)
        outputs = _computed(operation, node, call)
        if outputs is None:
            return None
        n = node.outputs.index(definition.name)
        if n >= len(outputs):
            raise Damaged(f"a {node.op} in its graph gives more than it can")
        if any(a is not None and np.may_share_memory(outputs[n], a) for a in arrays):
            return outputs[n]
        self._computed += outputs[n].nbytes
        return self._counted(outputs[n])

    def _read(self, tensor: Message) -> np.ndarray:
        return decode(tensor, self._source, "value")

    def _check_size(self, shape: Sequence[int], itemsize: int) -> None:
        size = check_size(shape, itemsize, f"{self._source.source}: a constant of its graph")
        total = self._computed + size * itemsize
        check_total(total, self._source.size + self._stored, self._source.source)

    def _counted(self, array: np.ndarray) -> np.ndarray:
        self.count(array.nbytes)
        return array

    # ---- shapes that are only known in a run

    def _of_unknown_shape(
        self, definition: Definition, node: Node, values: Sequence[Value], call: OperatorCall
    ) -> Value:
        x, scope = values[0] if values else None, definition.scope
        if node.op == "ConstantOfShape":
            return Repeated(fill(call), *self._lengths(scope, node.inputs[0]))
        if node.op == "Concat":
            zero = all(self._is_zero(value) for value in values)
            return Repeated(np.zeros(1, "f4")) if zero else None
        if x is None:
            return None
        repeated = x if isinstance(x, Repeated) else Repeated(x)
        if node.op == "Expand":
            return Repeated(repeated.array, *self._lengths(scope, node.inputs[1]))
        if node.op == "Identity":
            return x
        if node.op == "Shape":
            return _shape(repeated, node)
        axes = {"Slice": call.integers("axes", 3), "Split": [call.integer("axis", 0)]}
        output = node.outputs.index(definition.name)
        if axes.get(node.op) == [0] and (part := _first_axis_cut(repeated, node, call, output)):
            return part
        return Repeated(np.zeros(1, "f4")) if node.op in MOVING and self._is_zero(x) else None

    def _is_zero(self, value: Value) -> bool:
        array = value.array if isinstance(value, Repeated) else value
        if array is None:
            return False
        once = tuple(slice(0, 1 if stride == 0 else None) for stride in array.strides)
        return not self._counted(array[once]).any()

    def _lengths(self, scope: Scope, name: str) -> tuple[tuple[int | None, ...], bool]:
        """The last lengths of a shape that a Concat computes, and whether they are all."""
        shape = scope.definition(name)
        if shape.node is None or shape.node.op != "Concat" or shape.node.domain:
            return (), False
        lengths: list[int | None] = []
        complete = True
        for piece in shape.node.inputs:
            value = self.value(shape.scope, piece)
            if isinstance(value, np.ndarray):
                lengths += integers(value)
            elif count := self._count_of(shape.scope.definition(piece)):
                lengths += [None] * count
            else:
                lengths, complete = [], False
        return tuple(lengths), complete

    def _count_of(self, lengths: Definition) -> int | None:
        """How many lengths of a shape a name stands for, if the operators before it show that."""
        for _ in range(MOST_HOPS):
            node = lengths.node
            if node is None or node.domain or not node.inputs:
                return None
            if node.op == "Shape":
                start, end = node.attributes.get("start", 0), node.attributes.get("end", 0)
                return end - start if 0 <= start < end <= MOST_HOPS else None
            if node.op == "Gather":
                indices = self.value(lengths.scope, node.inputs[1])
                return indices.size if isinstance(indices, np.ndarray) else None
            if node.op == "Slice" and len(node.inputs) > 2:
                bounds = [self.value(lengths.scope, name) for name in node.inputs[1:3]]
                start, end = (
                    int(bound.flat[0]) if isinstance(bound, np.ndarray) and bound.size else -1
                    for bound in bounds
                )
                return end - start if 0 <= start < end <= MOST_HOPS else None
            if node.op not in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
                return None
            lengths = lengths.scope.definition(node.inputs[0])
        return None


def _shape(repeated: Repeated, node: Node) -> np.ndarray | None:
    lengths = repeated.lengths[node.attributes.get("start", 0) : node.attributes.get("end")]
    if not repeated.complete or None in lengths:
        return None
    return np.array(lengths, np.int64)


def _first_axis_cut(
    repeated: Repeated, node: Node, call: OperatorCall, output: int
) -> Repeated | None:
    """A part along the first axis, as the states of several layers are separated."""
    array, lengths, complete = repeated
    if array.size == 1:
        return Repeated(array, (None, *lengths[1:]) if complete else lengths, complete)
    if not complete or array.ndim != len(lengths) or len(array) != lengths[0]:
        return None
    result = OPERATIONS[node.op](call._replace(inputs=[array, *call.inputs[1:]]))
    part = result[output] if isinstance(result, list) else result
    return None if part is None else Repeated(part, (len(part), *lengths[1:]), True)


def _operation(node: Node) -> Operation | None:
    return None if node.domain else OPERATIONS.get(node.op)


def _inputs(definition: Definition) -> list[str]:
    """The names of the inputs of a known operator."""
    node = definition.node
    return node.inputs if node and _operation(node) else []


def _computed(operation: Operation, node: Node, call: OperatorCall) -> list[np.ndarray] | None:
    try:
        result = operation(call)
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise Damaged(f"the {node.op} that gives {node.outputs} fails: {error}") from None
    return [result] if isinstance(result, np.ndarray) else result
