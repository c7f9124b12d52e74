"""A graph as data becomes a model that the library reads and its evaluator runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lstmcli.engines.export import OnnxGraph, Operator, ValueInfo, serialised

onnx: Any = pytest.importorskip("onnx", reason="needs lstmcli[onnx]")

FLOAT = np.dtype(np.float32)
GRAPH = OnnxGraph(
    "sum",
    [ValueInfo("x", FLOAT, ("rows", 2)), ValueInfo("more", FLOAT, ("rows_or_1", 2))],
    [ValueInfo("y", FLOAT, ("rows", 2))],
    [Operator("Add", ["x", "more"], ["s"]), Operator("LeakyRelu", ["s"], ["y"], {"alpha": 0.5})],
    {"more": np.array([[1, -3]], np.float32)},
)


def test_a_model_runs_with_an_input_left_out() -> None:
    model = onnx.load_from_string(serialised(GRAPH, "somebody", "1.2"))
    assert (model.producer_name, model.producer_version) == ("somebody", "1.2")
    assert [d.dim_param or d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] \
        == ["rows", 2]  # fmt: skip
    from onnx.reference import ReferenceEvaluator  # type: ignore[import-not-found,unused-ignore]

    x = np.array([[1, 2], [3, 4]], np.float32)
    session = ReferenceEvaluator(model)
    (y,) = session.run(None, {"x": x, "more": np.zeros((1, 2), np.float32)})
    np.testing.assert_array_equal(y, x)


def test_a_graph_that_is_none_is_never_written() -> None:
    broken = GRAPH._replace(nodes=[Operator("Add", ["x", "nothing"], ["y"])])
    with pytest.raises(onnx.checker.ValidationError):
        serialised(broken, "somebody", "1.2")
