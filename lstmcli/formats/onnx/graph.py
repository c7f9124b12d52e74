"""The graphs of an ONNX file: nodes at any depth, and the definition of each name they take.

A graph is part of a model, of an attribute of a node (If, Loop, Scan) or the body of a function. A
name that a graph does not define comes from the graph around it, that of a function's input from
the node that calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from struct import unpack
from typing import Any, NamedTuple

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.file_bytes import Bytes, to_memoryview
from lstmcli.formats.onnx.schema import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
)
from lstmcli.formats.wire.protobuf import Message, signed, text

MOST_DEPTH = 32  # graphs within graphs and functions within functions
MOST_NODES = 1 << 17  # in all; those of a function count at every call
MOST_FIELDS = 1 << 21  # of all messages; they take a few seconds

STANDARD = ("", "ai.onnx")
NESTING = ("If", "Loop", "Scan", "SequenceMap")  # operators with graphs in their attributes


class ParseBudget:
    """A parser of messages that limits the fields and nodes of all of them together."""

    def __init__(self) -> None:
        self._fields, self._nodes = MOST_FIELDS, MOST_NODES

    def message(self, data: Bytes) -> Message:
        """The message in some bytes."""
        message = Message(data)
        self._fields -= message.count
        if self._fields < 0:
            raise Damaged(f"it has more than {MOST_FIELDS:,} fields")
        return message

    def visit(self) -> None:
        """Count a node; Damaged if there are too many."""
        self._nodes -= 1
        if self._nodes < 0:
            raise Damaged(f"it has more than {MOST_NODES:,} nodes")


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A NodeProto: an operator, the names of its inputs and outputs, its attributes."""

    message: Message
    budget: ParseBudget
    call_attributes: Mapping[str, Any]  # of the call of the function that contains it

    @cached_property
    def op(self) -> str:
        """The name of the operator."""
        return self.message.text(NodeProto.op_type)

    @cached_property
    def domain(self) -> str:
        """The domain of the operator; "" is ONNX itself."""
        return _domain(self.message, NodeProto.domain)

    @cached_property
    def name(self) -> str:
        """Its name, often empty."""
        return self.message.text(NodeProto.name)

    @cached_property
    def inputs(self) -> list[str]:
        """The names of its inputs; "" is an optional one left out."""
        return [text(name) for name in self.message.each(NodeProto.input)]

    @cached_property
    def outputs(self) -> list[str]:
        """The names of its outputs."""
        return [text(name) for name in self.message.each(NodeProto.output)]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Numbers, bytes, lists of both, tensors as messages, graphs as bytes."""
        raw = self.message.each(NodeProto.attribute)
        return _attributes(raw, self.budget, self.call_attributes)


def _attributes(
    raw: Sequence[Bytes], budget: ParseBudget, call_attributes: Mapping[str, Any]
) -> dict[str, Any]:
    found = {}
    for data in raw:
        message = budget.message(data)
        name = message.text(AttributeProto.name)
        if reference := message.text(AttributeProto.ref_attr_name):
            if reference in call_attributes:
                found[name] = call_attributes[reference]
        else:
            found[name] = _value(message)
    return found


_READERS: dict[int, tuple[int, Callable[[Message, int], Any]]] = {
    # AttributeProto.AttributeType -> the field of the value and a function that reads it
    1: (AttributeProto.f, lambda m, field: (_floats(m, field) or [0.0])[-1]),
    2: (AttributeProto.i, lambda m, field: signed(m.number(field))),
    3: (AttributeProto.s, lambda m, field: bytes(to_memoryview(m.bytes(field)))),
    4: (AttributeProto.t, lambda m, field: m.message(field)),
    5: (AttributeProto.g, lambda m, field: m.bytes(field)),
    6: (AttributeProto.floats, lambda m, field: _floats(m, field)),
    7: (AttributeProto.ints, lambda m, field: [signed(n) for n in m.numbers(field)]),
    8: (
        AttributeProto.strings,
        lambda m, field: [bytes(to_memoryview(text)) for text in m.each(field)],
    ),
    10: (AttributeProto.graphs, lambda m, field: m.each(field)),
}


def _value(message: Message) -> Any:
    """An attribute's value; if the file declares no type, that of the first field that it has."""
    attribute_type = message.number(AttributeProto.type)
    if attribute_type in _READERS:
        field, read = _READERS[attribute_type]
        return read(message, field)
    return next(
        (read(message, field) for field, read in _READERS.values() if field in message), None
    )


def _floats(message: Message, number: int) -> list[float]:
    data = message.fixed(number, 4)
    if len(data) % 4:
        raise Damaged("a list in it ends within a number")
    return list(unpack(f"<{len(data) // 4}f", data))


# ---- scopes


class Definition(NamedTuple):
    """What defines a name: a node, a tensor of the file, or an input that the file lacks."""

    scope: Scope
    name: str
    node: Node | None = None
    tensor: Message | None = None
    sparse: bool = False
    input: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Scope:
    """One graph, or one call of a function, with the graph around it."""

    nodes: Sequence[Node]
    opset: int
    tensors: Mapping[str, Message] = field(default_factory=dict)
    sparse: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    outer: Scope | None = None  # of a graph in an attribute
    bound: Mapping[str, tuple[Scope, str]] = field(default_factory=dict)  # of a function's inputs
    within: str = ""  # the operator whose attribute it is

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that has each name as an output."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    def definition(self, name: str) -> Definition:
        """The definition of a name, here or in the graphs around."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.tensors:
                return Definition(scope, name, tensor=scope.tensors[name])
            if name in scope.sparse:
                return Definition(scope, name, sparse=True)
            if name in scope.producers:
                return Definition(scope, name, node=scope.producers[name])
            if name in scope.bound:
                scope, name = scope.bound[name]
            elif name in scope.inputs:
                return Definition(scope, name, input=True)
            else:
                scope = scope.outer
        return Definition(self, name)


class Function(NamedTuple):
    """A FunctionProto: a graph that nodes call by its name."""

    nodes: Sequence[Message]
    inputs: Sequence[str]
    attributes: Mapping[str, Any]  # the defaults of those that a call may leave out
    opset: int


class OnnxModel:
    """A ModelProto: its graph, the functions it calls, and the version of the operators."""

    def __init__(self, data: Bytes) -> None:
        self.budget = ParseBudget()
        self.message = self.budget.message(data)
        self._functions: dict[tuple[str, str], Function] = {}
        for raw in self.message.each(ModelProto.functions):
            message = self.budget.message(raw)
            key = (_domain(message, FunctionProto.domain), message.text(FunctionProto.name))
            self._functions[key] = Function(
                self._messages(message.each(FunctionProto.node)),
                [text(name) for name in message.each(FunctionProto.input)],
                _attributes(message.each(FunctionProto.attribute_proto), self.budget, {}),
                _opset(message, FunctionProto.opset_import),
            )

    def nodes(self) -> Iterator[tuple[Node, Scope]]:
        """Every node with its graph, in their order; those within a node follow it."""
        graph = self.budget.message(self.message.bytes(ModelProto.graph))
        yield from self._within(
            self._scope(graph, _opset(self.message, ModelProto.opset_import)), 0
        )

    def _within(self, scope: Scope, depth: int) -> Iterator[tuple[Node, Scope]]:
        if depth > MOST_DEPTH:
            raise Damaged(f"its graphs nest deeper than {MOST_DEPTH}")
        for node in scope.nodes:
            self.budget.visit()
            yield node, scope
            for inner in self._inner(node, scope):
                yield from self._within(inner, depth + 1)

    def _inner(self, node: Node, scope: Scope) -> Iterator[Scope]:
        """The graphs in a node's attributes, or the body of the function that it calls."""
        if function := self._functions.get((node.domain, node.op)):
            yield self._call(function, node, scope)
        elif node.op in NESTING and not node.domain:
            for value in node.attributes.values():
                for raw in value if isinstance(value, list) else [value]:
                    if isinstance(raw, Bytes):
                        graph = self.budget.message(raw)
                        yield self._scope(graph, scope.opset, scope, node)

    def _scope(
        self,
        graph: Message,
        opset: int,
        outer: Scope | None = None,
        node: Node | None = None,
    ) -> Scope:
        """The scope of a GraphProto; ``node`` is the one that it is an attribute of."""
        tensors = {}
        for tensor in self._messages(graph.each(GraphProto.initializer)):
            tensors[tensor.text(TensorProto.name)] = tensor
        sparse = self._messages(graph.each(GraphProto.sparse_initializer))
        values = [tensor.message(SparseTensorProto.values) for tensor in sparse]
        inputs = self._messages(graph.each(GraphProto.input))
        nodes = self._messages(graph.each(GraphProto.node))
        return Scope(
            self._nodes(nodes, node.call_attributes if node else {}),
            opset,
            tensors,
            frozenset(tensor.text(TensorProto.name) for tensor in values),
            frozenset(value.text(ValueInfoProto.name) for value in inputs),
            outer,
            within=node.op if node else "",
        )

    def _messages(self, raw: Sequence[Bytes]) -> list[Message]:
        return [self.budget.message(data) for data in raw]

    def _nodes(self, messages: Sequence[Message], call_attributes: Mapping[str, Any]) -> list[Node]:
        return [Node(message, self.budget, call_attributes) for message in messages]

    def _call(self, function: Function, node: Node, scope: Scope) -> Scope:
        """The body of a function as one node calls it."""
        pairs = zip(function.inputs, node.inputs, strict=False)
        return Scope(
            self._nodes(function.nodes, {**function.attributes, **node.attributes}),
            function.opset,
            bound={inner: (scope, name) for inner, name in pairs},
        )


def _domain(message: Message, number: int) -> str:
    domain = message.text(number)
    return "" if domain in STANDARD else domain


def _opset(message: Message, number: int) -> int:
    """The version of ONNX's operators that a model or function asks for."""
    for opset in message.messages(number):
        if _domain(opset, OperatorSetIdProto.domain) == "":
            return opset.number(OperatorSetIdProto.version)
    return 1
