"""TensorFlow's messages and graphs: constants, and the operations on a variable's values.

A GraphDef is a list of nodes and a library of functions. A frozen ``.pb`` is
one; ``.meta`` files and ``saved_model.pb`` contain one in other messages.

Sources, of TensorFlow 2.21: tensorflow/core/framework/{graph, node_def,
function, op_def, attr_value, tensor, tensor_shape, types}.proto;
tensorflow/core/protobuf/{meta_graph, saved_model, tensor_bundle,
trackable_object_graph}.proto. SavedMetadata is that of
keras/protobuf/saved_metadata.proto (2.15). Only fields that are read are
listed.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from struct import unpack
from types import SimpleNamespace as Fields
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.document import Shape, native
from lstmcli.formats.files.limits import Damaged, check_size, check_total
from lstmcli.formats.wire.protobuf import Message, signed, text

# ---- graphs

SavedModel = Fields(schema_version=1, meta_graphs=2)
MetaGraphDef = Fields(meta_info_def=1, graph_def=2)
GraphDef = Fields(node=1, library=2)
FunctionDefLibrary = Fields(function=1)
FunctionDef = Fields(signature=1, node_def=3)
OpDef = Fields(name=1, input_arg=2)
ArgDef = Fields(name=1)
NodeDef = Fields(name=1, op=2, input=3, attr=5)
AttrEntry = Fields(key=1, value=2)
AttrValue = Fields(f=4, tensor=8, func=10)
NameAttrList = Fields(name=1)

# ---- tensors

TensorProto = Fields(
    dtype=1,
    tensor_shape=2,
    tensor_content=4,
    float_val=5,
    double_val=6,
    int_val=7,
    scomplex_val=9,
    int64_val=10,
    bool_val=11,
    dcomplex_val=12,
    half_val=13,
    uint32_val=16,
    uint64_val=17,
)
TensorShapeProto = Fields(dim=2, unknown_rank=3)
Dim = Fields(size=1)

# ---- checkpoints

BundleHeaderProto = Fields(num_shards=1, endianness=2)
BundleEntryProto = Fields(
    dtype=1, shape=2, shard_id=3, offset=4, size=5, crc32c=6, slices=7
)
TrackableObjectGraph = Fields(nodes=1)
TrackableObject = Fields(children=1, attributes=2)
ObjectReference = Fields(node_id=1)
SerializedTensor = Fields(full_name=2, checkpoint_key=3)
SavedMetadata = Fields(nodes=1)
SavedObject = Fields(node_id=2, node_path=3, metadata=5)


STRING, BFLOAT16, HALF = 7, 14, 19

DTYPES = {  # data type -> little-endian NumPy dtype
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    8: "<c8",
    9: "<i8",
    10: "?",
    11: "i1",
    12: "u1",
    13: "<i4",
    14: "V2",
    15: "<i2",
    16: "<u2",
    17: "<u2",
    18: "<c16",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}

VALUE_FIELDS = {  # data type -> the list of its elements in a TensorProto, else int_val
    1: TensorProto.float_val,
    2: TensorProto.double_val,
    8: TensorProto.scomplex_val,
    9: TensorProto.int64_val,
    10: TensorProto.bool_val,
    14: TensorProto.half_val,
    18: TensorProto.dcomplex_val,
    19: TensorProto.half_val,
    22: TensorProto.uint32_val,
    23: TensorProto.uint64_val,
}
FIXED_SIZES = {1: 4, 2: 8, 8: 4, 18: 8}  # data types in lists of fixed size -> bytes


class TensorSpec(NamedTuple):
    """The data type and shape that a message declares for a tensor."""

    data_type: int
    shape: Shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The NumPy dtype of the elements; Damaged for a type that NumPy lacks."""
        if self.data_type not in DTYPES:
            raise Damaged(f"a tensor is of the unknown kind {self.data_type}")
        return np.dtype(DTYPES[self.data_type])


def declared_spec(tensor: Message) -> TensorSpec:
    """The data type and shape that a TensorProto declares."""
    shape = parse_shape(tensor.message(TensorProto.tensor_shape))
    return TensorSpec(tensor.number(TensorProto.dtype), shape)


def parse_shape(message: Message) -> Shape:
    """A TensorShapeProto as a tuple; Damaged for an unknown length."""
    dims = message.messages(TensorShapeProto.dim)
    shape = tuple(signed(dim.number(Dim.size)) for dim in dims)
    if message.number(TensorShapeProto.unknown_rank) or any(size < 0 for size in shape):
        raise Damaged(f"a tensor has the shape {shape}")
    return shape


def decode(message: Message, spec: TensorSpec, where: str) -> np.ndarray:
    """The elements of a TensorProto; the last one of a short list fills the rest."""
    count = check_size(spec.shape, spec.dtype.itemsize, where)
    content = message.bytes(TensorProto.tensor_content)
    if len(content):
        if len(content) != count * spec.dtype.itemsize:
            raise Damaged(
                f"{where} has {len(content):,} bytes for the shape {spec.shape}"
            )
        return native(np.frombuffer(content, spec.dtype).reshape(spec.shape))
    listed = _listed(message, spec)
    if len(listed) > count:
        raise Damaged(
            f"{where} has {len(listed):,} elements for the shape {spec.shape}"
        )
    values = np.zeros(count, spec.dtype)
    values[: len(listed)] = listed
    if len(listed):
        values[len(listed) :] = listed[-1]
    return native(values.reshape(spec.shape))


def _listed(message: Message, spec: TensorSpec) -> np.ndarray:
    field = VALUE_FIELDS.get(spec.data_type, TensorProto.int_val)
    if size := FIXED_SIZES.get(spec.data_type):
        packed = message.fixed(field, size)
        if len(packed) % spec.dtype.itemsize:
            raise Damaged("a list of numbers ends within one")
        return np.frombuffer(packed, spec.dtype)
    numbers = np.array(message.numbers(field), np.uint64)
    if spec.data_type in (HALF, BFLOAT16):  # stored as the integer with the same bits
        return numbers.astype(np.uint16).view(spec.dtype)
    return numbers.astype(spec.dtype)  # a negative number keeps its low bits


PASSING = frozenset(
    {  # operations that return the values of their input
        "Identity",
        "Enter",
        "RefEnter",
        "RefIdentity",
        "ReadVariableOp",
        "Switch",
        "RefSwitch",
        "Cast",
        "Concat",
        "ConcatV2",
    }
)
CALLING = {  # operations that call a function -> the attribute that names it
    "While": "body",
    "StatelessWhile": "body",
    "PartitionedCall": "f",
    "StatefulPartitionedCall": "f",
}
PRODUCTS = ("MatMul", "LSTMBlockCell", "BlockLSTM", "BlockLSTMV2")
ALL_STEPS = {
    "BlockLSTM": 1,
    "BlockLSTMV2": 1,
}  # operations that run all steps -> their input x
REVERSING = ("ReverseSequence", "ReverseV2", "Reverse")
IN_ORDER = (
    "Identity",
    "Transpose",
    "Cast",
    "ReadVariableOp",
)  # do not change the order of steps
ENTERING = ("Enter", "RefEnter")  # through which values enter a loop
ENDS = frozenset({"NextIteration", "Assign", "AssignVariableOp"})
VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
MOST_STEPS = 10  # operations between a variable and a reported one
MOST_VISITS = 200_000  # nodes visited for all variables together
MOST_NODES = 200_000  # of a graph: seconds to parse
OPERATION = re.compile(rb"[A-Z_][A-Za-z0-9_>]*")

NodeKey = tuple[
    str, str
]  # the function ("" is the graph itself) and the name of a node


class GraphNode(NamedTuple):
    """A NodeDef; its attributes are parsed when asked for."""

    name: str
    op: str
    inputs: list[str]
    data: memoryview

    @classmethod
    def parse(cls, data: memoryview) -> GraphNode:
        """The node in a NodeDef."""
        node = Message(data)
        inputs = list(map(text, node.each(NodeDef.input)))
        return cls(node.text(NodeDef.name), node.text(NodeDef.op), inputs, data)

    @property
    def attributes(self) -> list[Message]:
        """The entries of the map of attributes, each a name and an AttrValue."""
        return Message(self.data).messages(NodeDef.attr)

    def attribute(self, name: str) -> Message:
        """An AttrValue; an empty one if there is none of that name."""
        for entry in self.attributes:
            if entry.bytes(AttrEntry.key) == name.encode():
                return entry.message(AttrEntry.value)
        return Message(b"")

    @property
    def called_function(self) -> str:
        """The function that a node of `CALLING` calls."""
        function = self.attribute(CALLING[self.op]).message(AttrValue.func)
        return function.text(NameAttrList.name)


def find_graph(data: memoryview) -> memoryview:
    """The first GraphDef in a file's bytes, all or a part; Damaged without one."""
    message = Message(data)
    if isinstance(message.first(SavedModel.schema_version), int):
        message = Message(message.first_bytes(SavedModel.meta_graphs))
    elif _is_node(Message(message.first_bytes(GraphDef.node))):
        return data
    graph = message.first_bytes(MetaGraphDef.graph_def)
    if not len(graph) or not _is_node(
        Message(Message(graph).first_bytes(GraphDef.node))
    ):
        raise Damaged("it has no graph")
    return graph


def _is_node(message: Message) -> bool:
    return bool(OPERATION.fullmatch(message.first_bytes(NodeDef.op)))


class TensorFlowGraph:
    """The nodes of a graph and of its functions."""

    def __init__(self, definition: memoryview) -> None:
        self._nodes: dict[NodeKey, GraphNode] = {}
        self._arguments: dict[str, list[str]] = {}
        self._consumers: dict[NodeKey, list[tuple[GraphNode, str, int]]] = {}
        self._visits = MOST_VISITS
        graph = Message(definition)
        self._add("", graph.each(GraphDef.node))
        library = graph.message(GraphDef.library)
        for function in library.messages(FunctionDefLibrary.function):
            signature = function.message(FunctionDef.signature)
            name = signature.text(OpDef.name)
            arguments = signature.messages(OpDef.input_arg)
            self._arguments[name] = [
                argument.text(ArgDef.name) for argument in arguments
            ]
            self._add(name, function.each(FunctionDef.node_def))

    def _add(self, function: str, definitions: list[memoryview]) -> None:
        if len(self._nodes) + len(definitions) > MOST_NODES:
            raise Damaged(f"its graph has more than {MOST_NODES:,} nodes")
        for definition in definitions:
            node = GraphNode.parse(definition)
            self._nodes[function, node.name] = node
            for position, reference in enumerate(node.inputs):
                if not reference.startswith(
                    "^"
                ):  # that is an order of execution, no value
                    port = reference.rpartition(":")[2] if ":" in reference else "0"
                    key = function, _name(reference)
                    self._consumers.setdefault(key, []).append((node, port, position))

    @property
    def variables(self) -> list[str]:
        """The names of the variables in the order in which the graph made them."""
        nodes = self._nodes.items()
        return [
            name
            for (function, name), node in nodes
            if not function and node.op in VARIABLES
        ]

    def constants(
        self, source: str, file_size: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """The numeric constants of the graph itself, with their names."""
        total = 0
        for (function, name), node in self._nodes.items():
            if function or node.op != "Const":
                continue
            tensor = node.attribute("value").message(AttrValue.tensor)
            spec, where = declared_spec(tensor), f"{source}: {name}"
            if spec.data_type in DTYPES:
                total += (
                    check_size(spec.shape, spec.dtype.itemsize, where)
                    * spec.dtype.itemsize
                )
                check_total(total, file_size, source)
                yield name, decode(tensor, spec, where)

    def applied_to(self, variable: str) -> dict[str, Any]:
        """The operations on a variable's values -> the constant that is their other input.

        ``MatMul/BiasAdd/Split:2/Add`` is 1.0 if that is added to the third
        part of a split sum; None without a number, a dict of numbers that are
        attributes. Operations of `PASSING` are left out; of several paths to
        an operation the shortest counts.
        """
        numbers: dict[str, Any] = {}
        for path, (function, _), node, position in self._operations(
            variable, MOST_STEPS
        ):
            numbers.setdefault(path, self._number(function, node, position))
        return numbers

    def _operations(
        self, variable: str, most: int
    ) -> Iterator[tuple[str, NodeKey, GraphNode, int]]:
        """The operations on a variable's values, nearest first, at most this many in a row.

        Each with the path to it, the node whose values it takes, and which of
        its inputs they are.
        """
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
                elif steps < most:
                    start = f"{path}:{port}" if path.endswith("Split") else path
                    longer = f"{start}/{node.op}".lstrip("/")
                    yield longer, key, node, position
                    waiting.append((after, longer, steps + 1))

    def is_reversed(self, variable: str) -> bool | None:
        """Return whether the cell with this kernel runs backwards over the inputs' steps.

        It does if what enters its loop comes from one of `REVERSING`. None
        without a loop, or of no kernel.
        """
        products = (  # by the variable, or fused cells with it as an input
            (function, node.name)
            for _, (function, _), node, _ in self._operations(variable, 1)
            if node.op in PRODUCTS
        )
        product = next(products, None)
        steps = self._steps(product) if product else None
        if steps is None:
            return None
        node = self._origin(*steps, IN_ORDER)
        return node is not None and node.op in REVERSING

    def _origin(
        self, function: str, reference: str, passing: Collection[str]
    ) -> GraphNode | None:
        """The node of a reference or, if it is one of ``passing``, the origin of its input."""
        node = self._nodes.get((function, _name(reference)))
        while (
            node is not None and node.op in passing and node.inputs and self._visits > 0
        ):
            self._visits -= 1
            node = self._nodes.get((function, _name(node.inputs[0])))
        return node

    def _steps(self, product: NodeKey) -> NodeKey | None:
        cell = self._nodes[product]
        if cell.op in ALL_STEPS:
            return product[0], _name(cell.inputs[ALL_STEPS[cell.op]])
        waiting, seen = deque([product]), {product}
        while waiting and self._visits > 0:
            function, name = waiting.popleft()
            node = self._nodes.get((function, name))
            if node is None or node.op in ENTERING:
                continue
            if node.op.startswith("TensorArrayRead"):
                return self._written(function, node)
            if node.op == "TensorListGetItem":
                return self._passed(function, _name(node.inputs[0]))
            for reference in node.inputs:
                self._visits -= 1
                before = (function, _name(reference))
                if before not in seen and not reference.startswith("^"):
                    seen.add(before)
                    waiting.append(before)
        return None

    def _written(self, function: str, read: GraphNode) -> NodeKey | None:
        node = self._origin(function, read.inputs[-1], PASSING)
        if node is None or not node.op.startswith("TensorArrayScatter"):
            return None
        return function, _name(node.inputs[2])

    def _passed(self, function: str, argument: str) -> NodeKey | None:
        """The values of the list that is this argument of a loop's body."""
        arguments = self._arguments.get(function, [])
        if argument not in arguments:
            return None
        position = arguments.index(argument)
        for (caller, _), node in self._nodes.items():
            if node.op not in CALLING or node.called_function != function:
                continue
            if position >= len(node.inputs):
                return None
            key = caller, _name(node.inputs[position])
            made = self._nodes.get(key)
            if made is None:  # passed on to a loop in a function
                return self._passed(caller, key[1])
            is_list = made.op == "TensorListFromTensor"
            return (caller, _name(made.inputs[0])) if is_list else None
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
        if numbers := _numbers(node):
            return numbers
        for other, reference in enumerate(node.inputs):
            made = (
                self._origin(function, reference, PASSING)
                if other != position
                else None
            )
            scalar = _scalar_of(made) if made and made.op == "Const" else None
            if scalar is not None:
                return scalar
        return None


def _name(reference: str) -> str:
    """The node of an input: ``a``, or an output of it, ``a:1`` or ``a:output:1``."""
    return reference.partition(":")[0]


def _scalar_of(node: GraphNode) -> float | None:
    tensor = node.attribute("value").message(AttrValue.tensor)
    spec = declared_spec(tensor)
    if spec.shape or spec.data_type not in DTYPES or spec.dtype.kind == "c":
        return None
    value = decode(tensor, spec, node.name)
    # 0.6 as it was written, not 0.60000002384185791
    return float(str(value)) if value.dtype == np.float32 else float(value)


def _numbers(node: GraphNode) -> dict[str, float]:
    numbers = {}
    for entry in node.attributes:
        raw = entry.message(AttrEntry.value).fixed(AttrValue.f, 4)
        if len(raw) == 4:
            (value,) = unpack("<f", raw)
            numbers[entry.text(AttrEntry.key)] = float(str(np.float32(value)))
    return numbers
