"""`.tflite`: the tensors of a model's LSTM operators, under the names of the kernels' source.

Operators know their inputs by place. The schema is tensorflow/compiler/mlir/lite/schema/
schema.fbs, the places are those of tensorflow/lite/kernels/{lstm,unidirectional_sequence_lstm,
bidirectional_sequence_lstm}.cc (2.21). Weights in fewer bits are widened to float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.errors import Damaged, damage_reported
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.source import Opened
from lstmcli.formats.wire.flatbuffer import Table, root

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
ONE_WAY = dict(enumerate(WEIGHTS, 1)) | dict(enumerate(NORMS, 20))
BOTH_WAYS = {
    n: f"{way}/{name}"
    for way, first in (("fw", 1), ("bw", 1 + len(WEIGHTS)))
    for n, name in enumerate(WEIGHTS, first)
}
BASIC = {2: "weights", 3: "bias"}
AUXILIARY = 39  # the input of a bidirectional operator that takes a second one

OPTIONS: dict[str, dict[str, tuple[int, str, Any]]] = {  # word -> field, kind, default
    "LSTM": {"kernel_type": (3, "b", 0)},
    "UNIDIRECTIONAL_SEQUENCE_LSTM": {
        "time_major": (3, "?", False),
        "diagonal_recurrent_tensors": (5, "?", False),
    },
    "BIDIRECTIONAL_SEQUENCE_LSTM": {
        "merge_outputs": (3, "?", False),
        "time_major": (4, "?", True),
    },
}
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
OPERATORS = {
    6: "DEQUANTIZE", 14: "LOGISTIC", 16: "LSTM", 28: "TANH", 44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM", 105: "REVERSE_V2", 119: "WHILE",
}  # fmt: skip
DTYPES = {
    0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 7: "<i2", 9: "i1", 10: "<f8",
}  # fmt: skip
MOST_SHARING = 64  # times the size of the file that its tensors, widened, may take together


def read(source: Opened) -> Document:
    """The tensors of each LSTM operator as ``lstm_0/input_to_input_weights``, ...

    Raises
    ------
    UserError
        A broken file, one without an LSTM operator, one with weights of a kind that is not read.
    """
    with damage_reported(f"{source.source}, a TensorFlow Lite model,"):
        return _Model(source).document()


class _Graph(NamedTuple):
    """A subgraph: its tensors, its operators with their names, and what two of these make."""

    tensors: list[Table]
    operators: list[tuple[str, Table]]
    narrow: dict[int, int]  # tensor that DEQUANTIZE gives -> the one in fewer bits
    turned: dict[int, int]  # tensor that REVERSE_V2 gives -> the one in the order of time


class _Model:
    def __init__(self, source: Opened) -> None:
        self._source = source.source
        self._data = source.stream.read()
        model = root(self._data)
        codes = [max(c.number(0, "b"), c.number(3, "i")) for c in model.tables(1)]
        self._buffers = model.tables(4)
        self._graphs = [self._graph(table, codes) for table in model.tables(2)]
        self._room = MOST_SHARING * len(self._data)
        self._quantised: set[str] = set()

    def _graph(self, table: Table, codes: list[int]) -> _Graph:
        operators = []
        for operator in table.tables(3):
            index = operator.number(0, "I")
            if index >= len(codes):
                raise Damaged(f"an operator has the kind {index:,} of {len(codes)}")
            operators.append((OPERATORS.get(codes[index], ""), operator))
        ends = (_made_by(operator, operators) for operator in ("DEQUANTIZE", "REVERSE_V2"))
        return _Graph(table.tables(0), operators, *ends)

    def document(self) -> Document:
        arrays: dict[str, np.ndarray] = {}
        groups: dict[str, dict[str, Any]] = {}
        remarks = []
        for graph, name, operator in self._lstms():
            prefix = f"lstm_{len(groups)}"
            inputs = operator.vector(1, "<i4").tolist()
            words = groups[prefix] = _words(name, operator)
            held = self._weights(prefix, graph, _places(name, words), inputs)
            arrays |= held
            words["projected"] = f"{prefix}/projection_weights" in held or any(
                f"{prefix}/{way}/projection_weights" in held for way in ("fw", "bw")
            )
            words["auxiliary"] = name.startswith("BI") and _at(inputs, AUXILIARY) >= 0
            if _at(inputs, 0) in graph.turned:
                remarks.append(
                    f"{self._source}: {prefix} takes its input reversed, as the backward half of a "
                    "bidirectional layer does; --reverse runs it so."
                )
        if self._quantised:
            kinds = " and ".join(sorted(self._quantised))
            remarks.append(
                f"{self._source} has weights in {kinds}. The run takes their values and rounds "
                "nothing else; TensorFlow Lite may round more."
            )
        if not groups:
            raise UserError(self._no_lstm())
        return Document(self._source, "tflite", arrays, groups=groups, remarks=tuple(remarks))

    def _lstms(self) -> Iterator[tuple[_Graph, str, Table]]:
        for graph in self._graphs:
            for name, operator in graph.operators:
                if name in OPTIONS:
                    yield graph, name, operator

    def _no_lstm(self) -> str:
        names = [name for graph in self._graphs for name, _ in graph.operators]
        message = f"{self._source} is a TensorFlow Lite model without an LSTM operator"
        way_out = "Give the model that it was converted from."
        if "WHILE" in names:
            return f"{message}; it has a WHILE loop, as LSTMs become that do not fit it. {way_out}"
        if names.count("TANH") >= 2 and names.count("LOGISTIC") >= 3:
            return f"{message}; an unrolled one is spelled out in basic operators. {way_out}"
        return f"{message}."

    # ---- tensors

    def _weights(
        self, prefix: str, graph: _Graph, places: Mapping[int, str], inputs: list[int]
    ) -> dict[str, np.ndarray]:
        """The inputs that are there; an absent one has the number -1."""
        arrays = {}
        for place, name in places.items():
            index = _at(inputs, place)
            if index >= 0:
                where = f"{self._source}: {prefix}/{name}"
                array = self._array(graph.tensors, graph.narrow.get(index, index), where)
                arrays[f"{prefix}/{name}"] = array
        return arrays

    def _array(self, tensors: list[Table], index: int, where: str) -> np.ndarray:
        """The values of a tensor, float32 unless it is float64."""
        if not 0 <= index < len(tensors):
            raise Damaged(f"there is no tensor {index:,}")
        tensor = tensors[index]
        shape, kind = tensor.vector(0, "<i4").tolist(), tensor.number(1, "b")
        if kind not in DTYPES or tensor.table(6) is not None:
            what = "is sparse" if kind in DTYPES else f"holds numbers of the kind {kind}"
            raise UserError(f"{where} {what}, which this version does not read.")
        dtype = np.dtype(DTYPES[kind])
        count = check_size(shape, max(dtype.itemsize, 4), where)
        self._room -= count * max(dtype.itemsize, 4)
        if self._room < 0:
            raise Damaged("its tensors share their bytes too often")
        data = self._bytes(tensor.number(2, "I"))
        if len(data) != count * dtype.itemsize:
            raise UserError(
                f"{where} is {tuple(shape)} and has {len(data):,} bytes instead of "
                f"{count * dtype.itemsize:,}: it is no constant, or the file is damaged."
            )
        array = np.frombuffer(data, dtype).reshape(shape)
        if dtype.kind == "f":
            return np.array(array, np.float64 if dtype.itemsize == 8 else np.float32)
        self._quantised.add(dtype.name)
        return _widened(array, tensor.table(4), where)

    def _bytes(self, number: int) -> memoryview:
        """A buffer's bytes: in it, or of a large model behind the rest of the file."""
        if number >= len(self._buffers):
            raise Damaged(f"there is no buffer {number:,}")
        buffer = self._buffers[number]
        offset, size = buffer.number(1, "Q"), buffer.number(2, "Q")
        if offset > 1:
            if offset + size > len(self._data):
                raise Damaged(f"buffer {number:,} reaches past its end")
            return memoryview(self._data)[offset : offset + size]
        return buffer.octets(0)


def _made_by(kind: str, operators: list[tuple[str, Table]]) -> dict[int, int]:
    """The first input of each operator of a kind, by its first output."""
    found = {}
    for name, operator in operators:
        if name == kind:
            given, made = operator.vector(1, "<i4"), operator.vector(2, "<i4")
            if len(given) and len(made):
                found[int(made[0])] = int(given[0])
    return found


def _at(inputs: list[int], place: int) -> int:
    return int(inputs[place]) if place < len(inputs) else -1


def _places(operator: str, words: Mapping[str, Any]) -> Mapping[int, str]:
    if operator.startswith("BI"):
        return BOTH_WAYS
    return BASIC if words.get("kernel_type") == 1 else ONE_WAY


def _words(name: str, operator: Table) -> dict[str, Any]:
    """The attributes of an operator in the schema's words."""
    options = operator.table(4)
    fields = {"cell_clip": (1, "f", 0.0), "proj_clip": (2, "f", 0.0)} | OPTIONS[name]
    words: dict[str, Any] = {"operator": name, "fused_activation_function": "NONE"}
    for word, (field, kind, default) in fields.items():
        words[word] = default if options is None else options.number(field, kind, default)
    number = options.number(0, "b") if options else 0
    if not 0 <= number < len(ACTIVATIONS):
        raise Damaged(f"there is no activation {number}")
    return words | {"fused_activation_function": ACTIVATIONS[number]}


def _widened(array: np.ndarray, how: Table | None, where: str) -> np.ndarray:
    """(q - zero point) * scale, the two of the whole tensor or of each row of an axis; float32."""
    scale = how.vector(2, "<f4") if how else np.empty(0, "<f4")
    zero = how.vector(3, "<i8") if how else np.empty(0, "<i8")
    axis = how.number(6, "i") if how else 0
    if not len(scale):
        raise UserError(f"{where} holds {array.dtype.name} without a scale.")
    if len(scale) > 1 and (not 0 <= axis < array.ndim or len(scale) != array.shape[axis]):
        raise Damaged(f"{len(scale):,} scales do not fit the shape {array.shape}")
    if len(zero) not in (0, 1, len(scale)):
        raise Damaged(f"{len(scale):,} scales and {len(zero):,} zero points do not go together")
    along = [1] * array.ndim
    if len(scale) > 1:
        along[axis] = -1
    zero = zero.reshape(along if len(zero) > 1 else [1] * array.ndim) if len(zero) else zero.sum()
    with np.errstate(all="ignore"):
        steps = (array.astype(np.int64) - zero).astype(np.float32)
        return np.asarray(steps * scale.reshape(along), np.float32)
