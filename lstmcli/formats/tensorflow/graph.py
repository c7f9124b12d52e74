"""TensorFlow's graphs: their constants, and the operations applied to a variable's values.

A GraphDef is a list of nodes and a library of functions. A frozen ``.pb`` is one; a ``.meta`` file
and ``saved_model.pb`` contain one within other messages.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from struct import unpack
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files.limits import Damaged, check_size, check_total
from lstmcli.formats.tensorflow import tensors as schema
from lstmcli.formats.tensorflow.tensors import DTYPES, declared_spec, decode
from lstmcli.formats.wire.protobuf import Message, fields, text

PASSING = frozenset({  # operations that return the values of their input
    "Identity", "Enter", "RefEnter", "RefIdentity", "ReadVariableOp", "Switch", "RefSwitch",
    "Cast", "Concat", "ConcatV2",
})  # fmt: skip
CALLING = {  # operations that pass their inputs to a function -> the attribute that names it
    "While": "body", "StatelessWhile": "body", "PartitionedCall": "f",
    "StatefulPartitionedCall": "f",
}  # fmt: skip
PRODUCTS = ("MatMul", "LSTMBlockCell", "BlockLSTM", "BlockLSTMV2")
ALL_STEPS = {"BlockLSTM": 1, "BlockLSTMV2": 1}  # operations that run all steps -> their input x
REVERSING = ("ReverseSequence", "ReverseV2", "Reverse")
IN_ORDER = ("Identity", "Transpose", "Cast", "ReadVariableOp")  # do not change the order of steps
ENTERING = ("Enter", "RefEnter")  # through which values enter a loop
ENDS = frozenset({"NextIteration", "Assign", "AssignVariableOp"})
VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
MOST_STEPS = 10  # operations between a variable and one that is reported
MOST_VISITS = 200_000  # nodes visited for all variables together
MOST_NODES = 200_000  # of a graph: parsing them takes some seconds
OPERATION = re.compile(rb"[A-Z_][A-Za-z0-9_>]*")

NodeKey = tuple[str, str]  # the function ("" is the graph itself) and the name of a node


class GraphNode(NamedTuple):
    """A NodeDef; its attributes are parsed when they are asked for."""

    name: str
    op: str
    inputs: list[str]
    data: memoryview

    @classmethod
    def parse(cls, data: memoryview) -> GraphNode:
        """The node in a NodeDef."""
        numbers = (schema.NodeDef.name, schema.NodeDef.op, schema.NodeDef.input)
        texts: dict[int, list[str]] = {number: [] for number in numbers}
        for number, _, value in fields(data):
            if number in texts and not isinstance(value, int):
                texts[number].append(text(value))
        names, ops, inputs = texts.values()
        return cls(names[-1] if names else "", ops[-1] if ops else "", inputs, data)

    @property
    def attributes(self) -> list[Message]:
        """The entries of the map of attributes, each a name and an AttrValue."""
        return Message(self.data).messages(schema.NodeDef.attr)

    def attribute(self, name: str) -> Message:
        """An AttrValue; an empty one if there is none of that name."""
        for entry in self.attributes:
            if entry.bytes(schema.AttrEntry.key) == name.encode():
                return entry.message(schema.AttrEntry.value)
        return Message(b"")

    @property
    def called_function(self) -> str:
        """The function that a node of `CALLING` calls."""
        function = self.attribute(CALLING[self.op]).message(schema.AttrValue.func)
        return function.text(schema.NameAttrList.name)


def find_graph(data: memoryview) -> memoryview:
    """The first GraphDef in a file's bytes: all of them, or a part of a larger message.

    Damaged if the bytes are those of no file that contains a graph.
    """
    message = Message(data)
    version = schema.SavedModel.schema_version
    if version in message and isinstance(message.first(version), int):
        message = Message(message.first_bytes(schema.SavedModel.meta_graphs))
    elif _is_node(Message(message.first_bytes(schema.GraphDef.node))):
        return data
    graph = message.first_bytes(schema.MetaGraphDef.graph_def)
    if not len(graph) or not _is_node(Message(Message(graph).first_bytes(schema.GraphDef.node))):
        raise Damaged("it has no graph")
    return graph


def _is_node(message: Message) -> bool:
    return bool(OPERATION.fullmatch(message.first_bytes(schema.NodeDef.op)))


class TensorFlowGraph:
    """The nodes of a graph and of its functions."""

    def __init__(self, definition: memoryview) -> None:
        self._nodes: dict[NodeKey, GraphNode] = {}
        self._arguments: dict[str, list[str]] = {}
        self._consumers: dict[NodeKey, list[tuple[GraphNode, int, int]]] = {}
        self._visits = MOST_VISITS
        graph = Message(definition)
        self._add("", graph.each(schema.GraphDef.node))
        library = graph.message(schema.GraphDef.library)
        for function in library.messages(schema.FunctionDefLibrary.function):
            signature = function.message(schema.FunctionDef.signature)
            name = signature.text(schema.OpDef.name)
            arguments = signature.messages(schema.OpDef.input_arg)
            self._arguments[name] = [argument.text(schema.ArgDef.name) for argument in arguments]
            self._add(name, function.each(schema.FunctionDef.node_def))

    def _add(self, function: str, definitions: list[memoryview]) -> None:
        if len(self._nodes) + len(definitions) > MOST_NODES:
            raise Damaged(f"its graph has more than {MOST_NODES:,} nodes")
        for definition in definitions:
            node = GraphNode.parse(definition)
            self._nodes[function, node.name] = node
            for position, reference in enumerate(node.inputs):
                if not reference.startswith("^"):  # that is an order of execution, no value
                    name, port = _source(reference)
                    consumers = self._consumers.setdefault((function, name), [])
                    consumers.append((node, port, position))

    @property
    def variables(self) -> list[str]:
        """The names of the variables in the order in which the graph made them."""
        return [
            name
            for (function, name), node in self._nodes.items()
            if not function and node.op in VARIABLES
        ]

    def constants(self, source: str, file_size: int) -> Iterator[tuple[str, np.ndarray]]:
        """The numeric constants of the graph itself, with their names."""
        total = 0
        for (function, name), node in self._nodes.items():
            if function or node.op != "Const":
                continue
            tensor = node.attribute("value").message(schema.AttrValue.tensor)
            spec, where = declared_spec(tensor), f"{source}: {name}"
            if spec.data_type in DTYPES:
                total += check_size(spec.shape, spec.dtype.itemsize, where) * spec.dtype.itemsize
                check_total(total, file_size, source)
                yield name, decode(tensor, spec, where)

    def applied_to(self, variable: str) -> dict[str, Any]:
        """The operations applied to a variable's values -> the constant that is their other input.

        ``MatMul/BiasAdd/Split:2/Add`` is 1.0 where 1.0 is added to the third part of a split sum.
        An operation without a number has None, one with numbers as attributes a dict of them.
        Operations of `PASSING` are left out; of several paths to an operation the shortest counts.
        """
        numbers: dict[str, Any] = {}
        first = ("", variable)
        waiting = deque([(first, "", 0)] if first in self._nodes else [])
        seen = {first}
        while waiting and self._visits > 0:
            key, path, steps = waiting.popleft()
            for node, port, position in self._consumers.get(key, ()):
                self._visits -= 1
                after = self._entered(key[0], node, position)
                if after in seen or node.op in ENDS:
                    continue
                seen.add(after)
                if node.op in PASSING or node.op in CALLING:
                    waiting.append((after, path, steps))
                elif steps < MOST_STEPS:
                    start = f"{path}:{port}" if path.endswith("Split") else path
                    longer = f"{start}/{node.op}".lstrip("/")
                    numbers.setdefault(longer, self._number(key[0], node, position))
                    waiting.append((after, longer, steps + 1))
        return numbers

    def is_reversed(self, variable: str) -> bool | None:
        """Whether the cell with this kernel runs backwards over the inputs' steps.

        It does if the values that enter its loop come from an operation of `REVERSING`. None if the
        graph has no loop, or the variable is no kernel.
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
            if node.op not in IN_ORDER:
                return False
            steps = steps[0], _source(node.inputs[0])[0]
        return None

    def _product(self, variable: str) -> NodeKey | None:
        """The node that multiplies by a variable, or the fused cell that has it as an input."""
        waiting: deque[NodeKey] = deque([("", variable)])
        seen = set(waiting)
        while waiting and self._visits > 0:
            key = waiting.popleft()
            for node, _, position in self._consumers.get(key, ()):
                self._visits -= 1
                after = self._entered(key[0], node, position)
                if node.op in PRODUCTS:
                    return after
                if after not in seen and (node.op in PASSING or node.op in CALLING):
                    seen.add(after)
                    waiting.append(after)
        return None

    def _steps(self, product: NodeKey) -> NodeKey | None:
        """The node whose values the loop around a product takes step by step."""
        cell = self._nodes[product]
        if cell.op in ALL_STEPS:
            return product[0], _source(cell.inputs[ALL_STEPS[cell.op]])[0]
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
            for reference in node.inputs:
                self._visits -= 1
                before = (function, _source(reference)[0])
                if before not in seen and not reference.startswith("^"):
                    seen.add(before)
                    waiting.append(before)
        return None

    def _written(self, function: str, read: GraphNode) -> NodeKey | None:
        """The values that were written into the array that a node reads."""
        key = function, _source(read.inputs[-1])[0]
        while (node := self._nodes.get(key)) is not None and node.inputs:
            if node.op.startswith("TensorArrayScatter"):
                return function, _source(node.inputs[2])[0]
            if node.op not in PASSING:
                return None
            key = function, _source(node.inputs[0])[0]
        return None

    def _passed(self, function: str, argument: str) -> NodeKey | None:
        """The values of the list that the loop with this body is given as an argument."""
        arguments = self._arguments.get(function, [])
        if argument not in arguments:
            return None
        position = arguments.index(argument)
        for (caller, _), node in self._nodes.items():
            if node.op not in CALLING or node.called_function != function:
                continue
            if position >= len(node.inputs):
                return None
            key = caller, _source(node.inputs[position])[0]
            made = self._nodes.get(key)
            if made is None:  # passed on to a loop in a function
                return self._passed(caller, key[1])
            is_list = made.op == "TensorListFromTensor"
            return (caller, _source(made.inputs[0])[0]) if is_list else None
        return None

    def _entered(self, function: str, node: GraphNode, position: int) -> NodeKey:
        """The node that takes the values: this one, or an argument of the function it calls."""
        if node.op in CALLING:
            called = node.called_function
            arguments = self._arguments.get(called, [])
            if position < len(arguments):
                return called, arguments[position]
        return function, node.name

    def _number(self, function: str, node: GraphNode, position: int) -> Any:
        """The numbers among a node's attributes; else the scalar that is another input of it."""
        if numbers := _numbers(node):
            return numbers
        for other, reference in enumerate(node.inputs):
            if other != position and (scalar := self._scalar(function, reference)) is not None:
                return scalar
        return None

    def _scalar(self, function: str, reference: str) -> float | None:
        for _ in range(MOST_STEPS):
            node = self._nodes.get((function, _source(reference)[0]))
            if node is None:
                return None
            if node.op == "Const":
                return _scalar_of(node)
            if node.op not in PASSING or not node.inputs:
                return None
            reference = node.inputs[0]
        return None


def _source(reference: str) -> tuple[str, int]:
    """The node and the output that an input refers to: ``a``, ``a:1``, or ``a:output:1``."""
    name, _, rest = reference.partition(":")
    port = rest.rpartition(":")[2]
    return name, int(port) if port.isdecimal() and len(port) < 6 else 0


def _scalar_of(node: GraphNode) -> float | None:
    tensor = node.attribute("value").message(schema.AttrValue.tensor)
    spec = declared_spec(tensor)
    if spec.shape or spec.data_type not in DTYPES or spec.dtype.kind == "c":
        return None
    value = decode(tensor, spec, node.name)
    if value.dtype == np.float32:  # 0.6 as it was written, not 0.60000002384185791
        return float(str(value))
    return float(value)


def _numbers(node: GraphNode) -> dict[str, float]:
    """The attributes of a node that are floating-point numbers."""
    numbers = {}
    for entry in node.attributes:
        raw = entry.message(schema.AttrEntry.value).fixed(schema.AttrValue.f, 4)
        if len(raw) == 4:
            (value,) = unpack("<f", raw)
            numbers[entry.text(schema.AttrEntry.key)] = float(str(np.float32(value)))
    return numbers
