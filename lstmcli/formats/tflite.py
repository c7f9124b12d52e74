"""`.tflite`: the tensors of a model's LSTM operators, under the names of the kernels' source.

An operator's inputs go by position. The schema is
tensorflow/compiler/mlir/lite/schema/ schema.fbs, the positions are those of
tensorflow/lite/kernels/{lstm,unidirectional_sequence_lstm,
bidirectional_sequence_lstm}.cc (2.21). Quantized weights are widened to
float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from types import SimpleNamespace as Fields
from typing import Any, NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Groups, dequantized
from lstmcli.formats.files.limits import (
    Damaged,
    check_size,
    check_total,
    damage_reported,
)
from lstmcli.formats.files.source import Opened

_LAYOUTS = {
    kind: Struct(f"<{kind}") for kind in "bBhHiIqQf?"
}  # letters of the struct module


class Table(NamedTuple):
    """A table in a buffer; fields that are not there have their default."""

    data: memoryview
    at: int

    def number(self, field: int, kind: str, default: Any = 0) -> Any:
        """A scalar; ``kind`` is its letter in the struct module."""
        place = self._place(field)
        return default if place is None else _number(self.data, place, kind)

    def table(self, field: int) -> Table | None:
        """A table in the table."""
        place = self._place(field)
        return None if place is None else Table(self.data, _ahead(self.data, place))

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        places = self._elements(field, 4)
        return [Table(self.data, _ahead(self.data, place)) for place in places]

    def vector(self, field: int, dtype: str) -> np.ndarray:
        """A vector of scalars: a read-only view of the buffer."""
        return np.frombuffer(self.octets(field, np.dtype(dtype).itemsize), dtype)

    def octets(self, field: int, size: int = 1) -> memoryview:
        """The bytes of a vector of scalars that take ``size`` each."""
        places = self._elements(field, size)
        return self.data[places.start : places.stop]

    def _place(self, field: int) -> int | None:
        vtable, within = self.at - _number(self.data, self.at, "i"), 4 + 2 * field
        is_there = within + 2 <= _number(self.data, vtable, "H")
        offset = _number(self.data, vtable + within, "H") if is_there else 0
        return self.at + offset if offset else None

    def _elements(self, field: int, size: int) -> range:
        """The positions of a vector's elements, all of them within the buffer."""
        place = self._place(field)
        if place is None:
            return range(0)
        start = _ahead(self.data, place)
        first, count = start + 4, _number(self.data, start, "I")
        if count * size > len(self.data) - first:
            raise Damaged(f"a list of {count:,} elements reaches past its end")
        return range(first, first + count * size, size)


def root(data: bytes) -> Table:
    """The outermost table; Damaged, here and in it, for what lies past the end."""
    view = memoryview(data)
    return Table(view, _ahead(view, 0))


def _ahead(data: memoryview, at: int) -> int:
    return at + int(_number(data, at, "I"))


def _number(data: memoryview, at: int, kind: str) -> Any:
    layout = _LAYOUTS[kind]
    if at < 0 or at + layout.size > len(data):
        raise Damaged(f"it has no byte {at:,}")
    return layout.unpack_from(data, at)[0]


# ---- field numbers of the schema's tables, where read

ModelTable = Fields(operator_codes=1, subgraphs=2, buffers=4)
OperatorCodeTable = Fields(deprecated_builtin_code=0, builtin_code=3)
SubGraphTable = Fields(tensors=0, operators=3)
OperatorTable = Fields(opcode_index=0, inputs=1, outputs=2, builtin_options=4)
LstmOptionsTable = Fields(fused_activation_function=0, cell_clip=1, proj_clip=2)
TensorTable = Fields(shape=0, type=1, buffer=2, quantization=4, sparsity=6)
FLOAT32, INT8 = 0, 9  # of its type
QuantizationTable = Fields(scale=2, zero_point=3, quantized_dimension=6)
BufferTable = Fields(data=0, offset=1, size=2)

# ---- operators and their inputs

GATES = ("input", "forget", "cell", "output")
WEIGHTS = (  # from input 1 on
    *(f"input_to_{gate}_weights" for gate in GATES),
    *(f"recurrent_to_{gate}_weights" for gate in GATES),
    *(f"cell_to_{gate}_weights" for gate in GATES if gate != "cell"),
    *(f"{gate}_gate_bias" for gate in GATES),
    "projection_weights",
    "projection_bias",
)
NORMS = tuple(f"{gate}_layer_norm_coefficients" for gate in GATES)
UNIDIRECTIONAL = dict(enumerate(WEIGHTS, 1)) | dict(enumerate(NORMS, 20))
BIDIRECTIONAL = {
    n: f"{direction}/{name}"
    for direction, first in (("fw", 1), ("bw", 1 + len(WEIGHTS)))
    for n, name in enumerate(WEIGHTS, first)
}
BASIC = {2: "weights", 3: "bias"}
GATE_WITH_WEIGHTS = 2  # input_to_forget_weights, in all variants
AUXILIARY = 39  # a bidirectional operator's second input

OPTIONS: dict[
    str, dict[str, tuple[int, str, Any]]
] = {  # name -> field, scalar type, default
    "LSTM": {"kernel_type": (3, "b", 0), "asymmetric_quantize_inputs": (4, "?", False)},
    "UNIDIRECTIONAL_SEQUENCE_LSTM": {
        "time_major": (3, "?", False),
        "asymmetric_quantize_inputs": (4, "?", False),
        "diagonal_recurrent_tensors": (5, "?", False),
    },
    "BIDIRECTIONAL_SEQUENCE_LSTM": {
        "merge_outputs": (3, "?", False),
        "time_major": (4, "?", True),
        "asymmetric_quantize_inputs": (5, "?", False),
    },
}
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
OPERATORS = {
    6: "DEQUANTIZE",
    16: "LSTM",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM",
    105: "REVERSE_V2",
}
DTYPES = {
    0: "<f4",
    1: "<f2",
    2: "<i4",
    3: "u1",
    7: "<i2",
    9: "i1",
    10: "<f8",
}


def read(file: Opened) -> Document:
    """The tensors of each LSTM operator as ``lstm_0/input_to_input_weights``, ..."""
    with damage_reported(f"{file.source}, a TensorFlow Lite model,"):
        return _ModelReader(file).document()


class _SubGraph(NamedTuple):
    """A subgraph: tensors, operators with their names, and inputs of two of these."""

    tensors: list[Table]
    operators: list[tuple[str, Table]]
    quantized: dict[int, int]  # output of DEQUANTIZE -> its input
    in_order: dict[int, int]  # output of REVERSE_V2 -> its input


class _ModelReader:
    def __init__(self, file: Opened) -> None:
        self._source = file.source
        self._data = file.contents()
        model, fields = root(self._data), OperatorCodeTable
        numbers = ((fields.deprecated_builtin_code, "b"), (fields.builtin_code, "i"))
        codes = [
            max(code.number(*number) for number in numbers)
            for code in model.tables(ModelTable.operator_codes)
        ]
        self._buffers = model.tables(ModelTable.buffers)
        self._graphs = [
            self._graph(table, codes) for table in model.tables(ModelTable.subgraphs)
        ]
        self._bytes = 0  # of all arrays; tensors can share a buffer
        self._quantized_dtypes: set[str] = set()

    def _graph(self, table: Table, codes: list[int]) -> _SubGraph:
        operators = [
            (
                OPERATORS.get(
                    codes[operator.number(OperatorTable.opcode_index, "I")], ""
                ),
                operator,
            )
            for operator in table.tables(SubGraphTable.operators)
        ]
        inputs = (
            _inputs_by_output(name, operators) for name in ("DEQUANTIZE", "REVERSE_V2")
        )
        return _SubGraph(table.tables(SubGraphTable.tensors), operators, *inputs)

    def document(self) -> Document:
        arrays: Arrays = {}
        groups: Groups = {}
        remarks = []
        lstms = ((g, *operator) for g in self._graphs for operator in g.operators)
        for graph, name, operator in lstms:
            if name in OPTIONS:
                prefix = f"lstm_{len(groups)}"
                groups[prefix] = group = _attributes(name, operator)
                inputs = operator.vector(OperatorTable.inputs, "<i4").tolist()
                arrays |= self._weights(prefix, graph, group, inputs)
                for remark in _remarks(graph, group, inputs):
                    remarks.append(f"{self._source}: {prefix} {remark}.")
        is_known = all("arithmetic" in group for group in groups.values())
        if self._quantized_dtypes and not is_known:
            dtypes = " and ".join(sorted(self._quantized_dtypes))
            remarks.append(
                f"{self._source} has weights in {dtypes}. The run takes their values and rounds "
                "nothing else; TensorFlow Lite may round more."
            )
        if not groups:
            raise UserError(
                f"{self._source} is a TensorFlow Lite model without an LSTM operator; one may be "
                "spelled out in basic operators. Give the model that it was converted from."
            )
        return Document(
            self._source, "tflite", arrays, groups=groups, remarks=tuple(remarks)
        )

    # ---- tensors

    def _weights(
        self, prefix: str, graph: _SubGraph, group: dict[str, Any], inputs: list[int]
    ) -> Arrays:
        """The named inputs that the operator has; -1 stands for one that is left out.

        Adds to the group what they tell of the cell.
        """
        both = group["operator"].startswith("BI")
        names = BIDIRECTIONAL if both else UNIDIRECTIONAL
        arrays = {}
        for position, name in (BASIC if _is_basic(group) else names).items():
            if (index := _at(inputs, position)) >= 0:
                path = f"{prefix}/{name}"
                stored = graph.quantized.get(index, index)
                arrays[path] = self._array(
                    graph.tensors, stored, f"{self._source}: {path}"
                )
        group["projected"] = any(path.endswith("projection_weights") for path in arrays)
        group["auxiliary"] = both and _at(inputs, AUXILIARY) >= 0
        return arrays

    def _array(self, tensors: list[Table], index: int, where: str) -> np.ndarray:
        if not 0 <= index < len(tensors):
            raise Damaged(f"there is no tensor {index:,}")
        tensor = tensors[index]
        shape = tensor.vector(TensorTable.shape, "<i4").tolist()
        tensor_type = tensor.number(TensorTable.type, "b")
        known = tensor_type in DTYPES
        if not known or tensor.table(TensorTable.sparsity) is not None:
            problem = (
                "is sparse" if known else f"contains numbers of the kind {tensor_type}"
            )
            raise UserError(f"{where} {problem}, which this version does not read.")
        dtype = np.dtype(DTYPES[tensor_type])
        itemsize = max(dtype.itemsize, 4)  # of the array
        count = check_size(shape, itemsize, where)
        self._bytes += count * itemsize
        check_total(self._bytes, len(self._data), self._source)
        data = self._buffer(tensor.number(TensorTable.buffer, "I"))
        if len(data) != count * dtype.itemsize:
            raise UserError(
                f"{where} is {tuple(shape)} and has {len(data):,} bytes instead of "
                f"{count * dtype.itemsize:,}: it is not a constant, or the file is damaged."
            )
        array = np.frombuffer(data, dtype).reshape(shape)
        if dtype.kind == "f":
            return np.array(array, np.float64 if dtype.itemsize == 8 else np.float32)
        self._quantized_dtypes.add(dtype.name)
        return _dequantized(array, tensor.table(TensorTable.quantization), where)

    def _buffer(self, number: int) -> memoryview:
        """A buffer's bytes: in its table, or, in a large model, after all tables."""
        buffer = self._buffers[number]
        offset = buffer.number(BufferTable.offset, "Q")
        if offset > 1:
            size = buffer.number(BufferTable.size, "Q")
            return memoryview(self._data)[offset : offset + size]
        return buffer.octets(BufferTable.data)


def _inputs_by_output(name: str, operators: list[tuple[str, Table]]) -> dict[int, int]:
    ends = (OperatorTable.outputs, OperatorTable.inputs)
    vectors = [
        [operator.vector(field, "<i4").tolist() for field in ends]
        for operator_name, operator in operators
        if operator_name == name
    ]
    return {outputs[0]: inputs[0] for outputs, inputs in vectors if outputs and inputs}


def _is_basic(group: dict[str, Any]) -> bool:
    return group.get("kernel_type") == 1


def _remarks(
    graph: _SubGraph, group: dict[str, Any], inputs: list[int]
) -> Iterator[str]:
    """Remarks on one operator, whose arithmetic is added to its group."""
    places = (_at(inputs, 0), _at(inputs, GATE_WITH_WEIGHTS))
    there = [graph.tensors[n] for n in places if 0 <= n < len(graph.tensors)]
    kinds = [tensor.number(TensorTable.type, "b") for tensor in there]
    if not _is_basic(group) and kinds == [FLOAT32, INT8]:  # which nothing dequantizes
        asymmetric = group["asymmetric_quantize_inputs"]
        group["arithmetic"] = "hybrid_asymmetric" if asymmetric else "hybrid"
        yield (
            "has weights in int8 and rounds inputs and h to 8 bits, as TensorFlow Lite does; "
            "--arithmetic float rounds neither"
        )
    if places[0] in graph.in_order:
        yield (
            "takes its input reversed, as the backward half of a bidirectional layer does; "
            "--reverse runs it so"
        )


def _at(inputs: list[int], position: int) -> int:
    return int(inputs[position]) if position < len(inputs) else -1


def _attributes(name: str, operator: Table) -> dict[str, Any]:
    options = operator.table(OperatorTable.builtin_options)
    fields = {  # as in `OPTIONS`
        "fused_activation_function": (
            LstmOptionsTable.fused_activation_function,
            "B",
            0,
        ),
        "cell_clip": (LstmOptionsTable.cell_clip, "f", 0.0),
        "proj_clip": (LstmOptionsTable.proj_clip, "f", 0.0),
    } | OPTIONS[name]
    attributes = {k: options.number(*f) if options else f[2] for k, f in fields.items()}
    function = ACTIVATIONS[attributes["fused_activation_function"]]
    return attributes | {"operator": name, "fused_activation_function": function}


def _dequantized(array: np.ndarray, parameters: Table | None, where: str) -> np.ndarray:
    """The numbers of a tensor with one scale and zero point, or those of an axis."""
    fields = QuantizationTable
    scale = parameters.vector(fields.scale, "<f4") if parameters else np.empty(0, "<f4")
    if parameters is None or not len(scale):
        raise UserError(f"{where} is {array.dtype.name} without a scale.")
    zero = parameters.vector(fields.zero_point, "<i8")
    zero = np.broadcast_to(zero if len(zero) else np.int64(0), scale.shape)
    axis = (
        parameters.number(fields.quantized_dimension, "i") if len(scale) > 1 else None
    )
    return dequantized(array, scale, zero, axis)
