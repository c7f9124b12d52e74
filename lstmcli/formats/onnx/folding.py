"""Constant folding: the values of names in an ONNX graph that can be computed from the file.

Exporters rearrange weights by operators: slices of a matrix in another order,
two biases concatenated. The reference implementation of the library onnx
computes `OPERATORS`, and allocates whatever it is asked for: so the size of a
result is checked before. An initial state is often an array `Repeated` for
each item of a batch, whose size only a run knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files.limits import (
    LONGEST_REASON,
    Damaged,
    check_size,
    check_total,
)
from lstmcli.formats.files.source import Opened
from lstmcli.formats.onnx.graph import Definition, Node, Scope, decode

Shape = Sequence[int]


class OperatorCall(NamedTuple):
    """A node with the arrays that it is applied to."""

    op: str
    attributes: Mapping[str, Any]
    inputs: Sequence[np.ndarray | None]  # None: an optional one left out
    outputs: int  # how many it has
    opset: int

    @property
    def arrays(self) -> list[np.ndarray]:
        """The inputs that are there."""
        return [array for array in self.inputs if array is not None]

    def integers(self, name: str, n: int) -> list[int] | None:
        """The integers of the attribute ``name``, or of input n."""
        if name in self.attributes:
            return list(self.attributes[name])
        array = self.inputs[n] if n < len(self.inputs) else None
        return None if array is None else [int(number) for number in array.ravel()]


def _broadcast(call: OperatorCall) -> Shape:
    return np.broadcast_shapes(*(array.shape for array in call.arrays))


def _gathered(call: OperatorCall) -> Shape:
    x, indices = call.arrays
    axis = range(x.ndim)[call.attributes.get("axis", 0)]
    return (indices.size, *x.shape[:axis], *x.shape[axis + 1 :])


class KnownOperator(NamedTuple):
    """The parts of a node that the library gets, and how large the result may be."""

    attributes: Sequence[str] = ()  # whose values are integers
    # of at least as many elements as the result
    shape: Callable[[OperatorCall], Shape] = lambda call: call.arrays[0].shape
    itemsize: int = 0  # bytes of an element, if not the inputs'
    since: int = 1  # the operator's first version in the library


OPERATORS = {
    "Add": KnownOperator(shape=_broadcast),
    "Cast": KnownOperator(("to",), itemsize=8),
    "Concat": KnownOperator(
        ("axis",), lambda call: (sum(a.size for a in call.arrays),)
    ),
    "DequantizeLinear": KnownOperator(("axis", "block_size"), itemsize=8, since=19),
    "Div": KnownOperator(shape=_broadcast),
    "Equal": KnownOperator(shape=_broadcast),
    "Gather": KnownOperator(("axis",), _gathered),
    "Mul": KnownOperator(shape=_broadcast),
    "Reshape": KnownOperator(("allowzero",)),
    "Shape": KnownOperator(("start", "end")),
    "Slice": KnownOperator(("axes", "starts", "ends")),
    "Split": KnownOperator(("axis", "split")),
    "Squeeze": KnownOperator(("axes",)),
    "Sub": KnownOperator(shape=_broadcast),
    "Transpose": KnownOperator(("perm",)),
    "Unsqueeze": KnownOperator(("axes",)),
    "Where": KnownOperator(shape=_broadcast),
}

MOVING = {  # operators that only move elements of the first input
    "Cast",
    "Expand",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}


def computed(
    call: OperatorCall, check_size: Callable[[Shape, int], object]
) -> list[np.ndarray]:
    """The outputs of an operator of `OPERATORS`; Damaged if it cannot be applied to these inputs.

    ``check_size`` refuses a large result.
    """
    operator = OPERATORS[call.op]
    attributes = {
        name: call.attributes[name]
        for name in operator.attributes
        if name in call.attributes
    }
    for value in attributes.values():  # a graph would be run, and may open any file
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(number, int) for number in numbers):
            raise Damaged(f"an attribute of a {call.op} in its graph is not an integer")
    itemsize = operator.itemsize or max(array.itemsize for array in call.arrays)
    check_size(operator.shape(call), itemsize)
    version = max(call.opset, operator.since)
    try:
        implementation = import_module("onnx.reference.ops").load_op(
            "", call.op, version
        )
        result = implementation.eval(*call.inputs, n_outputs=call.outputs, **attributes)
    except MemoryError:
        raise
    except Exception as error:  # of nearly every class, for unfit inputs
        reason = str(error).split("\n")[0][:LONGEST_REASON]
        raise Damaged(f"the {call.op} in its graph fails: {reason}") from None
    return [
        np.asarray(one) for one in (result if isinstance(result, tuple) else [result])
    ]


MOST_HOPS = 1000  # from a name to the input that it depends on
STATE_AXES = 3  # of the states of several layers: layers, batch, units
KNOWN = {*OPERATORS, "Constant", "ConstantOfShape", "Expand", "Identity"}


class Repeated(NamedTuple):
    """An array that fills, repeated, a shape that only a run knows."""

    array: np.ndarray
    width: int | None = None  # the length of the shape's last axis, if known


Value = np.ndarray | Repeated | None  # None: of an input, or of an unknown operator


class ConstantFolder:
    """The values of names, each computed once; together within the limit of one tensor."""

    def __init__(self, file: Opened) -> None:
        self._file = file
        self._known: dict[tuple[Scope, str], Value] = {}
        self._bytes = 0
        self._stored = self._computed = 0  # bytes of tensors, and computed from them

    def value(self, scope: Scope, name: str) -> Value:
        """The value of a name in a graph; Damaged if it depends on itself, or fails."""
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
        """The input or operator that a name depends on, for a message."""
        source = scope.definition(name)
        for _ in range(MOST_HOPS):
            unknown = [
                n for n in _inputs(source) if n and self.value(source.scope, n) is None
            ]
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
        """Count bytes towards the limit of one tensor; UserError beyond it."""
        self._bytes += size
        check_size((self._bytes,), 1, f"{self._file.source}: what its graph computes")

    def _value_of(self, definition: Definition, inputs: Sequence[Definition]) -> Value:
        if definition.tensor is not None:
            return self._stored_array(definition.tensor, definition.name)
        node = definition.node
        if node is None or not _is_known(node):
            return None
        known = iter([self._known[d.scope, d.name] for d in inputs])
        values = [next(known) if name else None for name in node.inputs]
        if node.op == "Constant":
            return self._constant(node)
        if node.op == "Identity":
            return values[0]
        arrays = [value if isinstance(value, np.ndarray) else None for value in values]
        call = OperatorCall(
            node.op, node.attributes, arrays, len(node.outputs), definition.scope.opset
        )
        if any(name and a is None for name, a in zip(node.inputs, arrays, strict=True)):
            return self._of_unknown_shape(definition, values, call)
        if node.op == "ConstantOfShape":
            return self._filled(self._fill(node), call.integers("", 0) or [])
        if node.op == "Expand":
            shape = np.broadcast_shapes(
                call.arrays[0].shape, call.integers("", 1) or ()
            )
            return self._filled(call.arrays[0], shape)
        result = computed(call, self._check_size)[node.outputs.index(definition.name)]
        if any(np.may_share_memory(result, array) for array in call.arrays):
            return result
        return self._computed_array(result)

    def _constant(self, node: Node) -> np.ndarray | None:
        if "value" in node.attributes:
            return self._stored_array(_tensor(node.attributes["value"]), "value")
        for name, dtype in (("value_float", "f4"), ("value_int", "i8")):
            for key in (name, f"{name}s"):
                if key in node.attributes:
                    return np.array(node.attributes[key], dtype)
        return None  # strings, a sparse tensor

    def _fill(self, node: Node) -> np.ndarray:
        value = node.attributes.get("value")
        if value is None:
            return np.zeros((), "f4")
        return self._stored_array(_tensor(value), "value").reshape(())

    def _filled(self, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """A view of repeated numbers, counted as if they were copied."""
        self._check_size(shape, array.itemsize)
        return self._computed_array(np.broadcast_to(array, shape))

    def _check_size(self, shape: Sequence[int], itemsize: int) -> None:
        size = check_size(
            shape, itemsize, f"{self._file.source}: a constant of its graph"
        )
        total = self._computed + size * itemsize
        check_total(total, self._file.size + self._stored, self._file.source)

    def _stored_array(self, tensor: Any, name: str) -> np.ndarray:
        array = decode(tensor, self._file, name)
        self._stored += array.nbytes
        self.count(array.nbytes)
        return array

    def _computed_array(self, array: np.ndarray) -> np.ndarray:
        self._computed += array.nbytes
        self.count(array.nbytes)
        return array

    # ---- shapes that only a run knows

    def _of_unknown_shape(
        self, definition: Definition, values: Sequence[Value], call: OperatorCall
    ) -> Value:
        node, x = definition.node, values[0]
        assert node is not None
        if call.op == "ConstantOfShape":
            return Repeated(
                self._fill(node), self._last_length(definition.scope, node.inputs[0])
            )
        if call.op == "Concat":
            zero = all(self._is_zero(value) for value in values)
            return Repeated(np.zeros(1, "f4")) if zero else None
        if x is None:
            return None
        repeated = x if isinstance(x, Repeated) else Repeated(x)
        if call.op == "Expand":
            width = self._last_length(definition.scope, node.inputs[1])
            return Repeated(repeated.array, width)
        if call.op == "Shape" and repeated.width is not None:
            start, end = (call.attributes.get(name) for name in ("start", "end"))
            is_last = list(range(STATE_AXES)[start:end]) == [STATE_AXES - 1]
            return np.array([repeated.width]) if is_last else None
        axes = {
            "Slice": call.integers("axes", 3),
            "Split": [call.attributes.get("axis", 0)],
        }
        if axes.get(call.op) == [0]:
            return self._first_axis_cut(
                repeated, call, node.outputs.index(definition.name)
            )
        return (
            Repeated(np.zeros(1, "f4"))
            if call.op in MOVING and self._is_zero(x)
            else None
        )

    def _is_zero(self, value: Value) -> bool:
        array = value.array if isinstance(value, Repeated) else value
        if array is None:
            return False
        once = array[
            tuple(slice(0, 1 if stride == 0 else None) for stride in array.strides)
        ]
        self.count(once.nbytes)
        return not once.any()

    def _last_length(self, scope: Scope, name: str) -> int | None:
        shape = scope.definition(name)
        if shape.node is None or shape.node.op != "Concat" or shape.node.domain:
            return None
        last = self.value(shape.scope, shape.node.inputs[-1])
        return (
            int(last.flat[-1]) if isinstance(last, np.ndarray) and last.size else None
        )

    def _first_axis_cut(
        self, x: Repeated, call: OperatorCall, output: int
    ) -> Repeated | None:
        """A part along the first of three axes, which separates the states of layers."""
        if len(x.array.shape) < STATE_AXES or len(x.array) == 1:
            return x  # all parts are equal
        if any(array is None for array in call.inputs[1:]):
            return None
        parts = computed(
            call._replace(inputs=[x.array, *call.inputs[1:]]), self._check_size
        )
        return Repeated(parts[output], x.width)


def _tensor(value: Any) -> Any:
    if not hasattr(value, "data_type"):
        raise Damaged("the value of a node in its graph is not a tensor")
    return value


def _is_known(node: Node | None) -> bool:
    return node is not None and not node.domain and node.op in KNOWN


def _inputs(definition: Definition) -> list[str]:
    return (
        definition.node.inputs if definition.node and _is_known(definition.node) else []
    )
