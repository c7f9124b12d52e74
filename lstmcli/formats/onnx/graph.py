"""The graphs of an ONNX file: nodes at any depth, and where each name they take comes from.

A graph lies in a model, in an attribute of a node (If, Loop, Scan) or is the body of a function;
a name that a graph does not give comes from the graph around it, that of a function's input from
the node that calls it. The fields are those of
github.com/onnx/onnx/blob/v1.23.2/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from struct import unpack
from typing import Any, NamedTuple

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.onnx.tensors import NAME
from lstmcli.formats.wire.protobuf import Message, signed, text

MOST_DEPTH = 32  # graphs within graphs and functions within functions
MOST_NODES = 1 << 17  # in all, those of a function at every call
MOST_FIELDS = 1 << 21  # of all messages; a few seconds' work

MODEL_GRAPH, MODEL_OPSETS, MODEL_FUNCTIONS = 7, 8, 25
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_NODES, GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_SPARSE = 1, 5, 11, 15
NODE_INPUTS, NODE_OUTPUTS, NODE_NAME, NODE_OP, NODE_ATTRIBUTES, NODE_DOMAIN = 1, 2, 3, 4, 5, 7
FUNCTION_NAME, FUNCTION_INPUTS, FUNCTION_NODES = 1, 4, 7
FUNCTION_OPSETS, FUNCTION_DOMAIN, FUNCTION_ATTRIBUTES = 9, 10, 11
ATTRIBUTE_NAME, ATTRIBUTE_TYPE, ATTRIBUTE_REFERENCE = 1, 20, 21
STANDARD = ("", "ai.onnx")
NESTING = ("If", "Loop", "Scan", "SequenceMap")  # operations with graphs in their attributes


class Budget:
    """Opens messages until they hold more fields than any model has."""

    def __init__(self) -> None:
        self._fields, self._nodes = MOST_FIELDS, MOST_NODES

    def message(self, data: memoryview) -> Message:
        """The message in some bytes."""
        message = Message(data)
        self._fields -= message.count
        if self._fields < 0:
            raise Damaged(f"it has more than {MOST_FIELDS:,} fields")
        return message

    def visit(self) -> None:
        """Count a node that is looked at."""
        self._nodes -= 1
        if self._nodes < 0:
            raise Damaged(f"it has more than {MOST_NODES:,} nodes")


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A node: an operation, the names it takes and the names it gives."""

    message: Message
    budget: Budget
    attributes_given: Mapping[str, Any]  # those of the function's call that it lies in

    @cached_property
    def op(self) -> str:
        """The operation."""
        return self.message.text(NODE_OP)

    @cached_property
    def domain(self) -> str:
        """Whose operation it is; "" is ONNX itself."""
        domain = self.message.text(NODE_DOMAIN)
        return "" if domain in STANDARD else domain

    @cached_property
    def name(self) -> str:
        """Its name, often empty."""
        return self.message.text(NODE_NAME)

    @cached_property
    def inputs(self) -> list[str]:
        """The names it takes; "" is an optional one left out."""
        return [text(one) for one in self.message.each(NODE_INPUTS)]

    @cached_property
    def outputs(self) -> list[str]:
        """The names it gives."""
        return [text(one) for one in self.message.each(NODE_OUTPUTS)]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Numbers, bytes, lists of both, tensors as messages, graphs as bytes."""
        return _attributes(self.message.each(NODE_ATTRIBUTES), self.budget, self.attributes_given)


def _attributes(
    raw: Sequence[memoryview], budget: Budget, given: Mapping[str, Any]
) -> dict[str, Any]:
    found = {}
    for data in raw:
        message = budget.message(data)
        name = message.text(ATTRIBUTE_NAME)
        if reference := message.text(ATTRIBUTE_REFERENCE):
            if reference in given:
                found[name] = given[reference]
        else:
            found[name] = _value(message)
    return found


_READERS: dict[
    int, tuple[int, Callable[[Message], Any]]
] = {  # type of an attribute -> its field and how it is read
    1: (2, lambda m: (_floats(m, 2) or [0.0])[-1]),
    2: (3, lambda m: signed(m.number(3))),
    3: (4, lambda m: bytes(m.bytes(4))),
    4: (5, lambda m: m.message(5)),
    5: (6, lambda m: m.bytes(6)),
    6: (7, lambda m: _floats(m, 7)),
    7: (8, lambda m: [signed(n) for n in m.numbers(8)]),
    8: (9, lambda m: [bytes(one) for one in m.each(9)]),
    10: (11, lambda m: m.each(11)),
}


def _value(message: Message) -> Any:
    """An attribute's value; by the field that is there, where the file does not say its type."""
    kind = message.number(ATTRIBUTE_TYPE)
    if kind in _READERS:
        return _READERS[kind][1](message)
    return next((read(message) for field, read in _READERS.values() if field in message), None)


def _floats(message: Message, number: int) -> list[float]:
    data = message.fixed(number, 4)
    if len(data) % 4:
        raise Damaged("a list in it ends within a number")
    return list(unpack(f"<{len(data) // 4}f", data))


# ---- scopes


class Place(NamedTuple):
    """Where a name comes from: a node, a tensor of the file, or an input that the file lacks."""

    scope: Scope
    name: str
    node: Node | None = None
    tensor: Message | None = None
    sparse: bool = False
    input: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Scope:
    """One graph, or one call of a function, with what surrounds it."""

    nodes: Sequence[Node]
    opset: int
    tensors: Mapping[str, Message] = field(default_factory=dict)
    sparse: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    outer: Scope | None = None  # of a graph in an attribute
    bound: Mapping[str, tuple[Scope, str]] = field(default_factory=dict)  # of a function's inputs
    within: str = ""  # the operation whose attribute it is

    @cached_property
    def makers(self) -> dict[str, Node]:
        """The node that gives each name."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    def place(self, name: str) -> Place:
        """Where a name comes from, here or in the graphs around."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.tensors:
                return Place(scope, name, tensor=scope.tensors[name])
            if name in scope.sparse:
                return Place(scope, name, sparse=True)
            if name in scope.makers:
                return Place(scope, name, node=scope.makers[name])
            if name in scope.bound:
                scope, name = scope.bound[name]
            elif name in scope.inputs:
                return Place(scope, name, input=True)
            else:
                scope = scope.outer
        return Place(self, name)


class Function(NamedTuple):
    """A function of a model: a graph that nodes call by its name."""

    nodes: Sequence[Message]
    inputs: Sequence[str]
    attributes: Mapping[str, Any]  # those that a call may leave out
    opset: int


class Model:
    """A model: its graph, the functions it calls, and the version of the operations."""

    def __init__(self, data: memoryview) -> None:
        self.budget = Budget()
        self.message = self.budget.message(data)
        self._functions: dict[tuple[str, str], Function] = {}
        for raw in self.message.each(MODEL_FUNCTIONS):
            message = self.budget.message(raw)
            key = (_domain(message, FUNCTION_DOMAIN), message.text(FUNCTION_NAME))
            self._functions[key] = Function(
                self._messages(message.each(FUNCTION_NODES)),
                [text(one) for one in message.each(FUNCTION_INPUTS)],
                _attributes(message.each(FUNCTION_ATTRIBUTES), self.budget, {}),
                _opset(message, FUNCTION_OPSETS),
            )

    def nodes(self) -> Iterator[tuple[Node, Scope]]:
        """Every node with the graph it lies in, in their order; those within a node follow it."""
        graph = self.budget.message(self.message.bytes(MODEL_GRAPH))
        yield from self._within(self._scope(graph, _opset(self.message, MODEL_OPSETS)), 0)

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
                    if isinstance(raw, memoryview):
                        graph = self.budget.message(raw)
                        yield self._scope(graph, scope.opset, scope, node)

    def _scope(
        self,
        graph: Message,
        opset: int,
        outer: Scope | None = None,
        node: Node | None = None,
    ) -> Scope:
        tensors = {}
        for raw in graph.each(GRAPH_TENSORS):
            tensor = self.budget.message(raw)
            tensors[tensor.text(NAME)] = tensor
        sparse = (self.budget.message(raw).message(1) for raw in graph.each(GRAPH_SPARSE))
        return Scope(
            self._nodes(
                self._messages(graph.each(GRAPH_NODES)), node.attributes_given if node else {}
            ),
            opset,
            tensors,
            frozenset(values.text(NAME) for values in sparse),
            frozenset(self.budget.message(raw).text(1) for raw in graph.each(GRAPH_INPUTS)),
            outer,
            within=node.op if node else "",
        )

    def _messages(self, raw: Sequence[memoryview]) -> list[Message]:
        return [self.budget.message(one) for one in raw]

    def _nodes(self, messages: Sequence[Message], given: Mapping[str, Any]) -> list[Node]:
        return [Node(message, self.budget, given) for message in messages]

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
    """The version of ONNX's own operations that a model or function asks for."""
    for opset in message.messages(number):
        if _domain(opset, OPSET_DOMAIN) == "":
            return opset.number(OPSET_VERSION)
    return 1
