"""A graph of ONNX operators as data, and the `.onnx` file that the library `onnx` makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lstmcli.errors import MissingExtra

OPSET = 17  # of early 2022: what has run LSTMs since runs these files
IR_VERSION = 8  # the file format that goes with it


class Node(NamedTuple):
    """One operator: "" is an input that is left out."""

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any] = {}


class Port(NamedTuple):
    """An input or an output: a name for an axis of any length."""

    name: str
    dtype: np.dtype[Any]
    shape: Sequence[int | str]


class Graph(NamedTuple):
    """Nodes in the order of computation, and the constants that they take."""

    name: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    nodes: Sequence[Node]
    constants: Mapping[str, np.ndarray]


def serialised(graph: Graph, producer: str, version: str) -> bytes:
    """The bytes of the model, checked by the library: types and shapes are inferred throughout.

    A constant of an input's name is what that input is when nobody gives it.

    Raises
    ------
    UserError
        without the library, or for a number type that ONNX does not have.
    """
    try:
        onnx: Any = import_module("onnx")
    except ImportError:
        raise MissingExtra("writing .onnx", "onnx", "onnx") from None
    make = onnx.helper
    made = make.make_graph(
        [make.make_node(n.op, n.inputs, n.outputs, **n.attributes) for n in graph.nodes],
        graph.name,
        [_port(onnx, port) for port in graph.inputs],
        [_port(onnx, port) for port in graph.outputs],
        [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()],
    )
    model = make.make_model(
        made,
        opset_imports=[make.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=producer,
        producer_version=version,
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def write(stream: BinaryIO, graph: Graph, producer: str, version: str) -> None:
    """Write the model to an open stream."""
    stream.write(serialised(graph, producer, version))


def _port(onnx: Any, port: Port) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(port.dtype)
    return onnx.helper.make_tensor_value_info(port.name, kind, port.shape)
