"""ONNX files of the exporter and the backend node tests at hand, read and run without them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.load import load

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("default"),  # of the frameworks' own making
]

OUTPUTS = {"Y": "h", "Y_h": "final_h", "Y_c": "final_c"}


@pytest.mark.parametrize("folding", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_models_of_torch_give_its_h(
    tmp_path: Path, folding: bool, bidirectional: bool
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    torch.manual_seed(1)
    lstm = torch.nn.LSTM(5, 3, 2, batch_first=True, bidirectional=bidirectional).eval()
    x = torch.randn(4, 7, 5)
    path = str(tmp_path / "m.onnx")
    torch.onnx.export(lstm, (x,), path, dynamo=False, do_constant_folding=folding)
    with torch.no_grad():
        h, (final_h, final_c) = lstm(x)
    trace = run(load(path), x.numpy())
    np.testing.assert_allclose(trace.h.reshape(h.shape), h, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(trace.final_h, final_h, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(trace.final_c, final_c, rtol=2e-6, atol=2e-6)


@pytest.mark.wide
def test_the_backend_node_tests(tmp_path: Path) -> None:
    """Their weights are inputs of the graph: they become its initializers."""
    onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed")
    collect: Any = pytest.importorskip("onnx.backend.test.case.node").collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = [t for t in collect("LSTM") if t.name.startswith("test_lstm_")]
    assert len(tests) >= 4
    for test in tests:
        given, answers = test.data_sets[0]
        graph = test.model.graph
        held = dict(zip([one.name for one in graph.input], given, strict=True))
        x = held.pop("X")
        del graph.input[1:]
        graph.initializer.extend(
            onnx.numpy_helper.from_array(a, n) for n, a in held.items()
        )
        onnx.save(test.model, tmp_path / "m.onnx")
        trace = run(
            load(str(tmp_path / "m.onnx")), x, lengths=held.get("sequence_lens")
        )
        for output, answer in zip(graph.output, answers, strict=True):
            ours = trace.members()[OUTPUTS[output.name]].reshape(answer.shape)
            np.testing.assert_allclose(ours, answer, rtol=test.rtol, atol=test.atol)
