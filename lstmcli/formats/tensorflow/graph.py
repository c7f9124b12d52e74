"""TensorFlow's graphs: their constants, and what becomes of a variable's values.

A graph is a list of nodes (tensorflow/core/framework/graph.proto, function.proto). It lies in a
frozen ``.pb`` alone, in a ``.meta`` file and in ``saved_model.pb`` within other messages
(tensorflow/core/protobuf/meta_graph.proto, saved_model.proto).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from struct import unpack
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.tensorflow.tensors import KINDS, Budget, Kind, shape_of, tensor
from lstmcli.formats.wire.protobuf import Message, fields, text

PASSING = frozenset({  # ops that hand on the values that they take
    "Identity", "Enter", "RefEnter", "RefIdentity", "ReadVariableOp", "Switch", "RefSwitch",
    "Cast", "Concat", "ConcatV2",
})  # fmt: skip
CALLING = {  # ops that hand their inputs to a function -> the attribute that names it
    "While": "body", "StatelessWhile": "body", "PartitionedCall": "f",
    "StatefulPartitionedCall": "f",
}  # fmt: skip
PRODUCTS = ("MatMul", "LSTMBlockCell", "BlockLSTM", "BlockLSTMV2")
WHOLE_LOOPS = {"BlockLSTM": 1, "BlockLSTMV2": 1}  # ops that run all steps -> their input x
REVERSING = ("ReverseSequence", "ReverseV2", "Reverse")
MOVING = ("Identity", "Transpose", "Cast", "ReadVariableOp")  # ops that leave the steps in order
ENTERING = ("Enter", "RefEnter")  # ops through which values come into a loop
ENDS = frozenset({"NextIteration", "Assign", "AssignVariableOp"})
MOST_STEPS = 10  # ops between a variable and what is told of it
MOST_VISITS = 200_000  # nodes looked at for all variables together
MOST_NODES = 200_000  # some seconds
OPERATION = re.compile(rb"[A-Z_][A-Za-z0-9_>]*")

Place = tuple[str, str]  # the function ("" is the graph itself) and the name of a node


class Node(NamedTuple):
    """A NodeDef."""

    name: str
    op: str
    inputs: list[str]
    data: memoryview

    @property
    def attributes(self) -> list[Message]:
        """The entries of the map of attributes, each a name and an AttrValue."""
        return Message(self.data).messages(5)

    def attribute(self, name: str) -> Message:
        """An AttrValue; an empty one if there is none of that name."""
        for entry in self.attributes:
            if entry.bytes(1) == name.encode():
                return entry.message(2)
        return Message(b"")


def graph_in(data: memoryview) -> memoryview:
    """The first GraphDef in a file's bytes: all of them, or a part of a larger message.

    Raises
    ------
    Damaged
        The bytes are none of the files that hold a graph.
    """
    whole = Message(data)
    if 1 in whole and isinstance(whole.first(1), int):  # a SavedModel begins with its version
        whole = Message(whole.first_bytes(2))
    elif _is_node(Message(whole.first_bytes(1))):
        return data
    graph = whole.first_bytes(2)  # of a MetaGraphDef
    if not len(graph) or not _is_node(Message(Message(graph).first_bytes(1))):
        raise Damaged("it holds no graph")
    return graph


def _is_node(message: Message) -> bool:
    return bool(OPERATION.fullmatch(message.first_bytes(2)))


class Graph:
    """The nodes of a graph and of its functions."""

    def __init__(self, definition: memoryview) -> None:
        self._nodes: dict[Place, Node] = {}
        self._arguments: dict[str, list[str]] = {}
        self._consumers: dict[Place, list[tuple[Node, int, int]]] = {}
        self._visits = MOST_VISITS
        whole = Message(definition)
        self._add("", whole.each(1))
        for function in whole.message(2).messages(1):
            signature = function.message(1)
            name = signature.text(1)
            self._arguments[name] = [argument.text(1) for argument in signature.messages(2)]
            self._add(name, function.each(3))

    def _add(self, function: str, definitions: list[memoryview]) -> None:
        if len(self._nodes) + len(definitions) > MOST_NODES:
            raise Damaged(f"its graph has more than {MOST_NODES:,} nodes")
        for definition in definitions:
            node = _node(definition)
            self._nodes[function, node.name] = node
            for place, word in enumerate(node.inputs):
                if not word.startswith("^"):  # that is an order of execution, no value
                    name, port = _source(word)
                    self._consumers.setdefault((function, name), []).append((node, port, place))

    @property
    def variables(self) -> list[str]:
        """The names of the variables in the order in which the graph made them."""
        kinds = ("Variable", "VariableV2", "VarHandleOp")
        return [name for (function, name), node in self._nodes.items()
                if not function and node.op in kinds]  # fmt: skip

    def constants(self, budget: Budget, where: str) -> Iterator[tuple[str, np.ndarray]]:
        """The numeric constants of the graph itself, with their names.

        Raises
        ------
        Damaged
            A constant that is not what it says.
        """
        for (function, name), node in self._nodes.items():
            if function or node.op != "Const":
                continue
            message = node.attribute("value").message(8)
            kind = Kind(message.number(1), shape_of(message.message(2)))
            if kind.number in KINDS:
                budget.take(kind, f"{where}: {name}")
                yield name, tensor(message, kind, f"{where}: {name}")

    def fate(self, variable: str) -> dict[str, Any]:
        """What becomes of a variable's values: ops in a row -> a number beside them.

        ``MatMul/BiasAdd/Split:2/Add`` is 1.0 where 1.0 is added to the third part of a split sum.
        An op without a number has None, one with numbers as attributes has a dict of them. Ops
        that only hand on are left out; the shortest row to an op counts.
        """
        rows: dict[str, Any] = {}
        starts = [("", name) for name in (variable, *self._parts(variable))]
        waiting = deque((start, "", 0) for start in starts if start in self._nodes)
        seen = set(starts)
        while waiting and self._visits > 0:
            place, row, steps = waiting.popleft()
            for node, port, at in self._consumers.get(place, ()):
                self._visits -= 1
                after = self._entered(place[0], node, at)
                if after in seen or node.op in ENDS:
                    continue
                seen.add(after)
                if node.op in PASSING or node.op in CALLING:
                    waiting.append((after, row, steps))
                elif steps < MOST_STEPS:
                    taken = f"{row}:{port}" if row.endswith("Split") else row
                    longer = f"{taken}/{node.op}".lstrip("/")
                    rows.setdefault(longer, self._number(place[0], node, at))
                    waiting.append((after, longer, steps + 1))
        return rows

    def is_reversed(self, variable: str) -> bool | None:
        """Whether the steps that a cell with this kernel takes are the inputs' in reverse.

        They are if what goes into its loop comes from an op that reverses. None if the graph
        does not show it: without a loop, or for a variable that is no kernel.
        """
        product = self._product(variable)
        steps = self._steps(product) if product else None
        while steps is not None and self._visits > 0:
            self._visits -= 1
            node = self._nodes.get(steps)
            if node is None or not node.inputs:
                return False
            if node.op in REVERSING:
                return True
            if node.op not in MOVING:
                return False
            steps = steps[0], _source(node.inputs[0])[0]
        return None

    def _product(self, variable: str) -> Place | None:
        """The node that multiplies by a variable, or is a whole cell with it."""
        waiting = deque(("", name) for name in (variable, *self._parts(variable)))
        seen = set(waiting)
        while waiting and self._visits > 0:
            place = waiting.popleft()
            for node, _, at in self._consumers.get(place, ()):
                self._visits -= 1
                after = self._entered(place[0], node, at)
                if node.op in PRODUCTS:
                    return after
                if after not in seen and (node.op in PASSING or node.op in CALLING):
                    seen.add(after)
                    waiting.append(after)
        return None

    def _steps(self, product: Place) -> Place | None:
        """The node whose values a loop takes step by step on the way to a product in it."""
        cell = self._nodes[product]
        if cell.op in WHOLE_LOOPS:
            return product[0], _source(cell.inputs[WHOLE_LOOPS[cell.op]])[0]
        waiting, seen = deque([product]), {product}
        while waiting and self._visits > 0:
            function, name = waiting.popleft()
            node = self._nodes.get((function, name))
            if node is None or node.op in ENTERING:
                continue
            if node.op.startswith("TensorArrayRead"):
                return self._written(function, node)
            if node.op == "TensorListGetItem":
                return self._passed(function, _source(node.inputs[0])[0])
            for word in node.inputs:
                self._visits -= 1
                before = (function, _source(word)[0])
                if before not in seen and not word.startswith("^"):
                    seen.add(before)
                    waiting.append(before)
        return None

    def _written(self, function: str, read: Node) -> Place | None:
        """The values that were put into the array that a node reads from."""
        place = function, _source(read.inputs[-1])[0]
        while (node := self._nodes.get(place)) is not None and node.inputs:
            if node.op.startswith("TensorArrayScatter"):
                return function, _source(node.inputs[2])[0]
            if node.op not in PASSING:
                return None
            place = function, _source(node.inputs[0])[0]
        return None

    def _passed(self, function: str, argument: str) -> Place | None:
        """The values of the list that the loop with this body is given as an argument."""
        arguments = self._arguments.get(function, [])
        for (caller, _), node in self._nodes.items():
            body = node.attribute(CALLING[node.op]) if node.op in CALLING else None
            if body is None or argument not in arguments:
                continue
            if str(body.message(10).bytes(1), "utf-8") == function:
                at = arguments.index(argument)
                if at >= len(node.inputs):
                    return None
                place = caller, _source(node.inputs[at])[0]
                made = self._nodes.get(place)
                if made is None:  # handed on to a loop in a function
                    return self._passed(caller, place[1])
                is_list = made.op == "TensorListFromTensor"
                return (caller, _source(made.inputs[0])[0]) if is_list else None
        return None

    def _parts(self, variable: str) -> Iterator[str]:
        """The parts of a partitioned variable."""
        number = 0
        while ("", name := f"{variable}/part_{number}") in self._nodes:
            yield name
            number += 1

    def _entered(self, function: str, node: Node, at: int) -> Place:
        """Where the values go on: at the node, or as an argument of the function it calls."""
        if node.op in CALLING:
            called = str(node.attribute(CALLING[node.op]).message(10).bytes(1), "utf-8")
            arguments = self._arguments.get(called, [])
            if at < len(arguments):
                return called, arguments[at]
        return function, node.name

    def _number(self, function: str, node: Node, at: int) -> Any:
        """The scalar that a node takes beside its input ``at``; before that its own numbers."""
        if numbers := _numbers(node):
            return numbers
        for place, word in enumerate(node.inputs):
            if place != at and (scalar := self._scalar(function, word)) is not None:
                return scalar
        return None

    def _scalar(self, function: str, word: str) -> float | None:
        for _ in range(MOST_STEPS):
            node = self._nodes.get((function, _source(word)[0]))
            if node is None:
                return None
            if node.op == "Const":
                return _scalar_of(node)
            if node.op not in PASSING or not node.inputs:
                return None
            word = node.inputs[0]
        return None


def _node(data: memoryview) -> Node:
    words: dict[int, list[str]] = {1: [""], 2: [""], 3: []}
    for number, _, value in fields(data):
        if number in words and not isinstance(value, int):
            words[number].append(text(value))
    return Node(words[1][-1], words[2][-1], words[3], data)


def _source(word: str) -> tuple[str, int]:
    """The node and the output that an input names: ``a``, ``a:1``, or ``a:output:1``."""
    name, _, rest = word.partition(":")
    port = rest.rpartition(":")[2]
    return name, int(port) if port.isdecimal() and len(port) < 6 else 0


def _scalar_of(node: Node) -> float | None:
    message = node.attribute("value").message(8)
    kind = Kind(message.number(1), shape_of(message.message(2)))
    if kind.shape or kind.number not in KINDS or kind.dtype.kind == "c":
        return None
    value = tensor(message, kind, node.name)
    if value.dtype == np.float32:  # 0.6 as it was written, not 0.60000002384185791
        return float(str(value))
    return float(value)


def _numbers(node: Node) -> dict[str, float]:
    """The attributes of a node that are floating-point numbers."""
    numbers = {}
    for entry in node.attributes:
        raw = entry.message(2).fixed(4, 4)
        if len(raw) == 4:
            (value,) = unpack("<f", raw)
            numbers[entry.text(1)] = float(str(np.float32(value)))
    return numbers
