"""The graphs of an ONNX file: nodes at any depth, tensors, the definition of each name they take.

A graph is part of a model, of an attribute of a node (If, Loop, Scan), or the
body of a function. A name that it does not define comes from the graph around
it, of a function's input from the node that calls it. The library onnx parses
the file and decodes its tensors; graphs are followed here, since functions
that call each other may be more nodes than there is memory for, and external
data are opened here, from the model's folder only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import Damaged, check_size
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import Opened, opened

MOST_DEPTH = 32  # graphs within graphs and functions within functions
MOST_PARTS = 1 << 17  # nodes, tensors and inputs in all; of a function at every call

STANDARD = ("", "ai.onnx")
NESTING = (
    "If",
    "Loop",
    "Scan",
    "SequenceMap",
)  # operators with graphs in their attributes


class Node:
    """A NodeProto: operator, names of inputs and outputs, attributes."""

    def __init__(self, proto: Any, call_attributes: Mapping[str, Any]) -> None:
        self.op = text(proto.op_type)
        self.domain = _domain(proto.domain)  # "" is ONNX itself
        self.name = text(proto.name)  # often empty
        self.inputs = [
            text(name) for name in proto.input
        ]  # "" is an optional one left out
        self.outputs = [text(name) for name in proto.output]
        self.call_attributes = call_attributes  # of the call of its function
        self._attributes = proto.attribute

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Numbers, bytes, lists of both, TensorProtos and GraphProtos by name."""
        return _attributes(self._attributes, self.call_attributes)


def _attributes(
    protos: Iterable[Any], call_attributes: Mapping[str, Any]
) -> dict[str, Any]:
    found = {}
    for proto in protos:
        name = text(proto.name)
        if proto.ref_attr_name:
            if proto.ref_attr_name in call_attributes:
                found[name] = call_attributes[proto.ref_attr_name]
        else:
            found[name] = import_module("onnx").helper.get_attribute_value(proto)
    return found


# ---- scopes


class Definition(NamedTuple):
    """The definition of a name: a node, a tensor, or an input that the file lacks."""

    scope: Scope
    name: str
    node: Node | None = None
    tensor: Any = None  # a TensorProto
    sparse: bool = False
    input: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Scope:
    """One graph, or one call of a function, with the graph around it."""

    nodes: Sequence[Node]
    opset: int
    tensors: Mapping[str, Any] = field(default_factory=dict)
    sparse: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    outputs: Sequence[str] = ()  # of a function they are those of its call
    outer: Scope | None = None  # of a graph in an attribute
    bound: Mapping[str, tuple[Scope, str]] = field(
        default_factory=dict
    )  # of a function's inputs
    within: str = ""  # the operator whose attribute it is

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that has each name as an output."""
        return {
            output: node for node in self.nodes for output in node.outputs if output
        }

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


class OnnxModel:
    """A ModelProto: its graph, its functions, and the version of the operators."""

    def __init__(self, data: bytes) -> None:
        broken: type[Exception] = import_module("google.protobuf.message").DecodeError
        try:
            self.proto = import_module("onnx").ModelProto.FromString(data)
        except broken as error:
            raise Damaged(f"the library onnx: {error}") from None
        self.has_graph = self.proto.HasField("graph")
        self._parts = MOST_PARTS
        self._functions = {
            (_domain(f.domain), text(f.name)): f for f in self.proto.functions
        }

    def nodes(self) -> Iterator[tuple[Node, Scope]]:
        """Every node with its graph, in order; those within a node follow it."""
        scope = self._scope(self.proto.graph, _opset(self.proto.opset_import))
        yield from self._within(scope, 0)

    def _within(self, scope: Scope, depth: int) -> Iterator[tuple[Node, Scope]]:
        if depth > MOST_DEPTH:
            raise Damaged(f"its graphs nest deeper than {MOST_DEPTH}")
        for node in scope.nodes:
            yield node, scope
            for inner in self._inner(node, scope):
                yield from self._within(inner, depth + 1)

    def _inner(self, node: Node, scope: Scope) -> Iterator[Scope]:
        """The graphs in a node's attributes, or the body of a function that it calls."""
        if function := self._functions.get((node.domain, node.op)):
            yield self._call(function, node, scope)
        elif node.op in NESTING and not node.domain:
            for value in node.attributes.values():
                for graph in value if isinstance(value, list) else [value]:
                    if isinstance(graph, type(self.proto.graph)):
                        yield self._scope(graph, scope.opset, scope, node)

    def _scope(
        self,
        graph: Any,
        opset: int,
        outer: Scope | None = None,
        node: Node | None = None,
    ) -> Scope:
        self._count(
            graph.node, graph.initializer, graph.sparse_initializer, graph.input
        )
        return Scope(
            [Node(one, node.call_attributes if node else {}) for one in graph.node],
            opset,
            {text(tensor.name): tensor for tensor in graph.initializer},
            frozenset(text(tensor.values.name) for tensor in graph.sparse_initializer),
            frozenset(text(value.name) for value in graph.input),
            [text(value.name) for value in graph.output],
            outer,
            within=node.op if node else "",
        )

    def _call(self, function: Any, node: Node, scope: Scope) -> Scope:
        self._count(function.node)
        defaults = _attributes(function.attribute_proto, {})
        pairs = zip(function.input, node.inputs, strict=False)
        attributes = {**defaults, **node.attributes}
        return Scope(
            [Node(one, attributes) for one in function.node],
            _opset(function.opset_import),
            bound={inner: (scope, name) for inner, name in pairs},
        )

    def _count(self, *parts: Sequence[Any]) -> None:
        self._parts -= sum(map(len, parts))
        if self._parts < 0:
            raise Damaged(
                f"its graphs have more than {MOST_PARTS:,} nodes, tensors and inputs"
            )


def _domain(domain: str | bytes) -> str:
    return "" if domain in STANDARD else text(domain)


def _opset(imports: Iterable[Any]) -> int:
    return next((int(one.version) for one in imports if _domain(one.domain) == ""), 1)


# ---- tensors


EXTERNAL = 1  # a data_location: in another file
WIDENED = {  # the library's dtypes that NumPy lacks
    "bfloat16": "f4",
    "float8_e4m3fn": "f4",
    "float8_e4m3fnuz": "f4",
    "float8_e5m2": "f4",
    "float8_e5m2fnuz": "f4",
    "int4": "i1",
    "uint4": "u1",
}
TWO_A_BYTE = ("int4", "uint4")


def is_numeric(tensor: Any) -> bool:
    """Return whether `decode` reads the data type of a TensorProto."""
    return _dtype(tensor) is not None


def decode(tensor: Any, file: Opened, name: str) -> np.ndarray:
    """The array of a TensorProto, in the dtype of the library, which NumPy may lack.

    Damaged for more or fewer bytes than the shape needs.
    """
    where = f"{file.source}: the tensor {name!a}"
    dtype = _dtype(tensor)
    if dtype is None:
        types = import_module("onnx").TensorProto.DataType
        kind = tensor.data_type
        named = types.Name(kind) if kind in types.values() else kind
        raise UserError(f"{where} has the data type {named}, which is not read.")
    shape = tuple(tensor.dims)
    count = check_size(shape, numpy_dtype(dtype).itemsize, where)
    if tensor.data_location == EXTERNAL:
        size = -(-count // 2) if dtype.name in TWO_A_BYTE else count * dtype.itemsize
        data = _external(tensor, file, size, where)
        tensor = type(tensor)(dims=shape, data_type=tensor.data_type, raw_data=data)
    try:
        array: np.ndarray = import_module("onnx").numpy_helper.to_array(tensor)
    except ValueError as error:
        raise Damaged(f"the tensor {name!a} {shape}: {error}") from None
    return array


def numpy_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype itself, or NumPy's with all its values."""
    return np.dtype(WIDENED.get(dtype.name, dtype))


def widened(array: np.ndarray) -> np.ndarray:
    """A copy in a dtype that NumPy has."""
    return array.astype(numpy_dtype(array.dtype), order="C")


def text(name: str | bytes) -> str:
    """A string of the file; Damaged if protobuf gives bytes, not text."""
    if isinstance(name, bytes):
        raise Damaged("a name in it is not text")
    return name


def _dtype(tensor: Any) -> np.dtype[Any] | None:
    try:
        dtype = np.dtype(
            import_module("onnx").helper.tensor_dtype_to_np_dtype(tensor.data_type)
        )
    except KeyError:  # of a later version, or none
        return None
    return dtype if dtype.kind in "fiub" or dtype.name in WIDENED else None


def _external(tensor: Any, file: Opened, size: int, where: str) -> bytes:
    entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
    name = entries.get("location", "").removeprefix("./")
    if file.path is None:
        raise UserError(
            f"{where} is in another file, {name!a}: give the path of the model."
        )
    path = sidecar_path(file.path, name)
    if path is None:
        raise UserError(
            f"{where} is in {name!a}, which is not in the folder of the model."
        )
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
    if length != size:
        raise Damaged(f"{where} needs {size:,} bytes and declares {length:,}")
    with opened(path) as part:
        if offset + size > part.size:
            raise UserError(f"{where} reaches past the end of {part.source}.")
        return part.part(offset, size)
