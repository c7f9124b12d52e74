"""A graph of ONNX operators as data, and the `.onnx` file that the library `onnx` makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.errors import import_extra

OPSET = 17  # of early 2022: runtimes since then read it
IR_VERSION = 8  # the file format that goes with it


class Operator(NamedTuple):
    """A node: its operator, inputs, outputs and attributes; "" is an input that is left out."""

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any] = {}


class ValueInfo(NamedTuple):
    """An input or an output; an axis of any length has a name."""

    name: str
    dtype: np.dtype[Any]
    shape: Sequence[int | str]


class OnnxGraph(NamedTuple):
    """Nodes in the order of computation, and the constants that they take."""

    name: str
    inputs: Sequence[ValueInfo]
    outputs: Sequence[ValueInfo]
    nodes: Sequence[Operator]
    constants: Mapping[str, np.ndarray]


def serialised(graph: OnnxGraph, producer: str, version: str) -> bytes:
    """The bytes of the model, checked by the library: types and shapes are inferred throughout.

    A constant of an input's name is that input's default.
    """
    onnx = import_extra("onnx", "writing .onnx", "onnx")
    make = onnx.helper
    model = make.make_model(
        _graph(onnx, graph),
        opset_imports=[make.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=producer,
        producer_version=version,
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def _graph(onnx: Any, graph: OnnxGraph) -> Any:
    return onnx.helper.make_graph(
        [
            onnx.helper.make_node(node.op, node.inputs, node.outputs, **node.attributes)
            for node in graph.nodes
        ],
        graph.name,
        [_value_info(onnx, value) for value in graph.inputs],
        [_value_info(onnx, value) for value in graph.outputs],
        [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()],
    )


def _value_info(onnx: Any, value: ValueInfo) -> Any:
    data_type = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    return onnx.helper.make_tensor_value_info(value.name, data_type, value.shape)
