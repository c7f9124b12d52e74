"""`.tflite`: the tensors of a model's LSTM operators, under the names of the kernels' source.

An operator's inputs go by position. The schema is
tensorflow/compiler/mlir/lite/schema/ schema.fbs, the positions are those of
tensorflow/lite/kernels/{lstm,unidirectional_sequence_lstm,
bidirectional_sequence_lstm}.cc (2.21). Quantized weights are widened to
float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from types import SimpleNamespace as Fields
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.surroundings import FrontOfFile, HeadOfFile
from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Groups, dequantized
from lstmcli.formats.files.limits import (
    MOST_AXES,
    Damaged,
    check_size,
    check_total,
    damage_reported,
)
from lstmcli.formats.files.source import Opened
from lstmcli.formats.surroundings import (
    NotFollowed,
    heads_at,
    longest_chain,
    tensors_of,
)
from lstmcli.formats.tflite_graph import Operator, Tensors, Ways
from lstmcli.formats.wire.flatbuffer import Table, root

# ---- field numbers of the schema's tables, where read

ModelTable = Fields(operator_codes=1, subgraphs=2, buffers=4)
OperatorCodeTable = Fields(deprecated_builtin_code=0, builtin_code=3)
SubGraphTable = Fields(tensors=0, inputs=1, outputs=2, operators=3)
OperatorTable = Fields(opcode_index=0, inputs=1, outputs=2, builtin_options=4)
LstmOptionsTable = Fields(fused_activation_function=0, cell_clip=1, proj_clip=2)
TensorTable = Fields(shape=0, type=1, buffer=2, name=3, quantization=4, sparsity=6)
FLOAT32, INT32, INT8 = 0, 2, 9  # of its type
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
    0: "ADD",
    2: "CONCATENATION",
    6: "DEQUANTIZE",
    7: "EMBEDDING_LOOKUP",
    9: "FULLY_CONNECTED",
    14: "LOGISTIC",
    16: "LSTM",
    18: "MUL",
    19: "RELU",
    22: "RESHAPE",
    25: "SOFTMAX",
    28: "TANH",
    36: "GATHER",
    39: "TRANSPOSE",
    40: "MEAN",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    45: "STRIDED_SLICE",
    50: "LOG_SOFTMAX",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM",
    53: "CAST",
    82: "REDUCE_MAX",
    105: "REVERSE_V2",
    114: "QUANTIZE",
    126: "BATCH_MATMUL",
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
    operators: list[Operator]
    outputs: list[int]
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
        operators = []
        for one in table.tables(SubGraphTable.operators):
            code = codes[one.number(OperatorTable.opcode_index, "I")]
            operators.append(
                Operator(
                    OPERATORS.get(code, f"operator {code}"),
                    one.vector(OperatorTable.inputs, "<i4").tolist(),
                    one.vector(OperatorTable.outputs, "<i4").tolist(),
                    one.table(OperatorTable.builtin_options),
                )
            )
        return _SubGraph(
            table.tables(SubGraphTable.tensors),
            operators,
            table.vector(SubGraphTable.outputs, "<i4").tolist(),
            _inputs_by_output("DEQUANTIZE", operators),
            _inputs_by_output("REVERSE_V2", operators),
        )

    def document(self) -> Document:
        arrays: Arrays = {}
        groups: Groups = {}
        remarks = []
        heads: list[HeadOfFile] = []
        fronts: list[FrontOfFile] = []
        fed_by: dict[str, str] = {}
        for graph in self._graphs:
            ways = Ways(self._tensors(graph), graph.operators)
            for operator in graph.operators:
                if operator.name in OPTIONS:
                    prefix = f"lstm_{len(groups)}"
                    groups[prefix] = group = _attributes(operator)
                    arrays |= self._weights(prefix, graph, group, operator)
                    if operator.outputs:
                        ways.lstms[operator.output] = prefix, group
                    for remark in _remarks(graph, group, operator):
                        remarks.append(f"{self._source}: {prefix} {remark}.")
            of_graph = heads_at(graph.outputs, ways), ways.fronts()
            fed_by |= ways.fed_by()
            heads += of_graph[0]
            fronts += of_graph[1]
            arrays |= {name: ways.arrays[name] for name in tensors_of(*of_graph)}
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
            self._source,
            "tflite",
            arrays,
            groups=groups,
            in_turn=longest_chain(groups, fed_by),
            has_graph=True,
            heads=tuple(heads),
            fronts=tuple(fronts),
            remarks=tuple(remarks),
        )

    # ---- tensors

    def _weights(
        self, prefix: str, graph: _SubGraph, group: dict[str, Any], operator: Operator
    ) -> Arrays:
        """The named inputs that the operator has; -1 stands for one that is left out.

        Adds to the group what they tell of the cell.
        """
        both = group["operator"].startswith("BI")
        names = BIDIRECTIONAL if both else UNIDIRECTIONAL
        arrays = {}
        for position, name in (BASIC if _is_basic(group) else names).items():
            if (index := operator.input(position)) >= 0:
                path = f"{prefix}/{name}"
                stored = graph.quantized.get(index, index)
                arrays[path] = self._array(
                    graph.tensors, stored, f"{self._source}: {path}"
                )
        group["projected"] = any(path.endswith("projection_weights") for path in arrays)
        group["auxiliary"] = both and operator.input(AUXILIARY) >= 0
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

    def _tensors(self, graph: _SubGraph) -> Tensors:
        def field(number: int, name: int, dtype: str) -> list[int]:
            if not 0 <= number < len(graph.tensors):
                return []
            values: list[int] = graph.tensors[number].vector(name, dtype).tolist()
            return values

        def name(number: int) -> str:
            text = bytes(field(number, TensorTable.name, "u1")).decode(
                "utf-8", "replace"
            )
            return text or f"tensor_{number}"

        def integers(number: int) -> list[int]:
            count = prod(field(number, TensorTable.shape, "<i4"))
            if (
                number < 0
                or graph.tensors[number].number(TensorTable.type, "b") != INT32
            ):
                raise NotFollowed
            buffer = graph.tensors[number].number(TensorTable.buffer, "I")
            data = self._buffer(buffer)
            if len(data) != 4 * count or count > MOST_AXES:
                raise NotFollowed
            values: list[int] = np.frombuffer(data, "<i4").tolist()
            return values

        def numbers(number: int) -> np.ndarray:
            stored = graph.quantized.get(number, number)
            return self._array(graph.tensors, stored, f"{self._source}: {name(number)}")

        return Tensors(
            lambda number: field(number, TensorTable.shape, "<i4"),
            name,
            integers,
            numbers,
        )

    def _buffer(self, number: int) -> memoryview:
        """A buffer's bytes: in its table, or, in a large model, after all tables."""
        buffer = self._buffers[number]
        offset = buffer.number(BufferTable.offset, "Q")
        if offset > 1:
            size = buffer.number(BufferTable.size, "Q")
            return memoryview(self._data)[offset : offset + size]
        return buffer.octets(BufferTable.data)


def _inputs_by_output(name: str, operators: list[Operator]) -> dict[int, int]:
    return {
        operator.output: operator.input(0)
        for operator in operators
        if operator.name == name and operator.inputs and operator.outputs
    }


def _is_basic(group: dict[str, Any]) -> bool:
    return group.get("kernel_type") == 1


def _remarks(
    graph: _SubGraph, group: dict[str, Any], operator: Operator
) -> Iterator[str]:
    """Remarks on one operator, whose arithmetic is added to its group."""
    places = (operator.input(0), operator.input(GATE_WITH_WEIGHTS))
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


def _attributes(operator: Operator) -> dict[str, Any]:
    options = operator.options
    fields = {  # as in `OPTIONS`
        "fused_activation_function": (
            LstmOptionsTable.fused_activation_function,
            "B",
            0,
        ),
        "cell_clip": (LstmOptionsTable.cell_clip, "f", 0.0),
        "proj_clip": (LstmOptionsTable.proj_clip, "f", 0.0),
    } | OPTIONS[operator.name]
    attributes = {k: options.number(*f) if options else f[2] for k, f in fields.items()}
    function = ACTIVATIONS[attributes["fused_activation_function"]]
    return attributes | {
        "operator": operator.name,
        "fused_activation_function": function,
    }


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
