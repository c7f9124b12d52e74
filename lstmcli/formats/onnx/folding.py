"""What names in an ONNX graph stand for, where that follows from the file alone.

Exporters rearrange weights by operations within the graph: slices of a matrix in another order,
two biases side by side. `operations` has those that such rearrangements use. Initial states
are often a few numbers repeated for each row of a batch, whose size only a run tells: of them
what is repeated is known here, and as much of the shape as the graph holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size, check_total
from lstmcli.formats.files.source import Opened
from lstmcli.formats.onnx.graph import Node, Place, Scope
from lstmcli.formats.onnx.operations import MOVING, OPERATIONS, Call, Operation, fill, numbers_of
from lstmcli.formats.onnx.tensors import decode
from lstmcli.formats.wire.protobuf import Message

MOST_HOPS = 1000  # from a name to the input that it depends on


class Repeated(NamedTuple):
    """An array that fills, over and over, a shape that only a run tells."""

    array: np.ndarray
    lengths: tuple[int | None, ...] = ()  # of the last axes; None is unknown
    whole: bool = False  # these are all axes


Value = np.ndarray | Repeated | None  # None: it depends on an input, or on an unknown operation


class Constants:
    """The values of names, each computed once, within the limit of one tensor in all."""

    def __init__(self, source: Opened) -> None:
        self._source = source
        self._known: dict[tuple[Scope, str], Value] = {}
        self._bytes = 0
        self._stored = self._made = 0  # bytes read of tensors, and bytes computed from them

    def value(self, scope: Scope, name: str) -> Value:
        """The value of a name in a graph.

        Raises
        ------
        UserError
            for a tensor of the file that cannot be read, or results that would be too large.
        Damaged
            where an operation cannot be done, or a name depends on itself.
        """
        wanted = scope.place(name)
        pending, entered = [wanted], set()
        while pending:
            place = pending[-1]
            key = place.scope, place.name
            if key in self._known:
                pending.pop()
                continue
            needed = [place.scope.place(n) for n in _inputs(place) if n]
            lacking = [p for p in needed if (p.scope, p.name) not in self._known]
            if lacking and key in entered:
                raise Damaged(f"{place.name!a} in its graph depends on itself")
            entered.add(key)
            pending += lacking
            if not lacking:
                self._known[key] = self._of(place, needed)
        return self._known[wanted.scope, wanted.name]

    def origin(self, scope: Scope, name: str) -> str:
        """What a name that is no constant depends on, in words."""
        place = scope.place(name)
        for _ in range(MOST_HOPS):
            unknown = [n for n in _inputs(place) if n and self.value(place.scope, n) is None]
            if not unknown:
                break
            place = place.scope.place(unknown[0])
        if place.node is not None:
            return f"the operation {place.node.op!a}"
        if place.sparse:
            return f"the sparse tensor {place.name!a}, which is not read"
        return f"the input {place.name!a}" if place.input else f"{place.name!a}, which is not there"

    def count(self, size: int) -> None:
        """Count bytes that are made of the file towards the limit; UserError beyond it."""
        self._bytes += size
        check_size((self._bytes,), 1, f"{self._source.source}: what its graph computes")

    def _of(self, place: Place, needed: Sequence[Place]) -> Value:
        if place.tensor is not None:
            stored = decode(place.tensor, self._source, place.name)
            self._stored += stored.nbytes
            return self._counted(stored)
        if place.node is None or (operation := _operation(place.node)) is None:
            return None
        node, values = place.node, iter([self._known[p.scope, p.name] for p in needed])
        inputs = [next(values) if name else None for name in node.inputs]
        arrays = [value if isinstance(value, np.ndarray) else None for value in inputs]
        call = Call(
            node.attributes, arrays, len(node.outputs), place.scope.opset, self._read, self._room
        )
        if any(name and a is None for name, a in zip(node.inputs, arrays, strict=True)):
            return self._of_unknown_shape(place, node, inputs, call)
        outputs = _computed(operation, node, call)
        if outputs is None:
            return None
        place_of = node.outputs.index(place.name)
        if place_of >= len(outputs):
            raise Damaged(f"a {node.op} in its graph gives more than it can")
        made = outputs[place_of]
        shared = any(a is not None and np.may_share_memory(made, a) for a in arrays)
        if shared:
            return made
        self._made += made.nbytes
        return self._counted(made)

    def _read(self, tensor: Message) -> np.ndarray:
        return decode(tensor, self._source, "value")

    def _room(self, shape: Sequence[int], itemsize: int) -> None:
        size = check_size(shape, itemsize, f"{self._source.source}: a constant of its graph")
        total = self._made + size * itemsize
        check_total(total, self._source.size + self._stored, self._source.source)

    def _counted(self, array: np.ndarray) -> np.ndarray:
        self.count(array.nbytes)
        return array

    # ---- shapes that only a run tells

    def _of_unknown_shape(
        self, place: Place, node: Node, inputs: Sequence[Value], call: Call
    ) -> Value:
        x, scope = inputs[0] if inputs else None, place.scope
        if node.op == "ConstantOfShape":
            return Repeated(fill(call), *self._lengths(scope, node.inputs[0]))
        if node.op == "Concat":
            zero = all(self._is_zero(value) for value in inputs)
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
        axes = {"Slice": call.numbers("axes", 3), "Split": [call.number("axis", 0)]}
        if axes.get(node.op) == [0] and (
            part := _first_axis_cut(repeated, node, call, node.outputs.index(place.name))
        ):
            return part
        return Repeated(np.zeros(1, "f4")) if node.op in MOVING and self._is_zero(x) else None

    def _is_zero(self, value: Value) -> bool:
        array = value.array if isinstance(value, Repeated) else value
        if array is None:
            return False
        once = tuple(slice(0, 1 if stride == 0 else None) for stride in array.strides)
        return not self._counted(array[once]).any()

    def _lengths(self, scope: Scope, name: str) -> tuple[tuple[int | None, ...], bool]:
        """What is known of a shape that is put together: its last lengths, and if they are all."""
        place = scope.place(name)
        if place.node is None or place.node.op != "Concat" or place.node.domain:
            return (), False
        lengths: list[int | None] = []
        whole = True
        for piece in place.node.inputs:
            value = self.value(place.scope, piece)
            if isinstance(value, np.ndarray):
                lengths += numbers_of(value)
            elif count := self._numbers_in(place.scope.place(piece)):
                lengths += [None] * count
            else:
                lengths, whole = [], False
        return tuple(lengths), whole

    def _numbers_in(self, place: Place) -> int | None:
        """How many lengths are taken of a shape, if the operations between tell."""
        for _ in range(MOST_HOPS):
            node = place.node
            if node is None or node.domain or not node.inputs:
                return None
            if node.op == "Shape":
                start, end = node.attributes.get("start", 0), node.attributes.get("end", 0)
                return end - start if 0 <= start < end <= MOST_HOPS else None
            if node.op == "Gather":
                indices = self.value(place.scope, node.inputs[1])
                return indices.size if isinstance(indices, np.ndarray) else None
            if node.op == "Slice" and len(node.inputs) > 2:
                bounds = [self.value(place.scope, name) for name in node.inputs[1:3]]
                start, end = (int(b.flat[0]) if isinstance(b, np.ndarray) and b.size else -1
                              for b in bounds)  # fmt: skip
                return end - start if 0 <= start < end <= MOST_HOPS else None
            if node.op not in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
                return None
            place = place.scope.place(node.inputs[0])
        return None


def _shape(repeated: Repeated, node: Node) -> np.ndarray | None:
    wanted = repeated.lengths[node.attributes.get("start", 0) : node.attributes.get("end")]
    if not repeated.whole or None in wanted:
        return None
    return np.array(wanted, np.int64)


def _first_axis_cut(repeated: Repeated, node: Node, call: Call, output: int) -> Repeated | None:
    """A part along the first axis, as states of several layers are taken apart."""
    array, lengths, whole = repeated
    if array.size == 1:
        return Repeated(array, (None, *lengths[1:]) if whole else lengths, whole)
    if not whole or array.ndim != len(lengths) or len(array) != lengths[0]:
        return None
    made = OPERATIONS[node.op](call._replace(inputs=[array, *call.inputs[1:]]))
    part = made[output] if isinstance(made, list) else made
    return None if part is None else Repeated(part, (len(part), *lengths[1:]), True)


def _operation(node: Node) -> Operation | None:
    return None if node.domain else OPERATIONS.get(node.op)


def _inputs(place: Place) -> list[str]:
    """The names that a known operation takes."""
    return place.node.inputs if place.node and _operation(place.node) else []


def _computed(operation: Operation, node: Node, call: Call) -> list[np.ndarray] | None:
    try:
        made = operation(call)
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise Damaged(f"the {node.op} that gives {node.outputs} fails: {error}") from None
    return [made] if isinstance(made, np.ndarray) else made
