"""onnxruntime: LSTM operators of ONNX on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstmcli._version import __version__
from lstmcli.engines.engine import Engine, Network, Prepared, Result, same_sizes
from lstmcli.engines.export import graph_of
from lstmcli.engines.libraries import library
from lstmcli.formats.onnx import writer


def prepare(network: Network) -> Prepared:
    """A session of the model that `lstm convert` writes, with the lengths where there are any."""
    ort = library("onnxruntime")
    padded = network.lengths is not None
    graph = graph_of(network.layers, padded=padded)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns that an input has a default
    session = ort.InferenceSession(
        writer.serialised(graph, "lstmcli", __version__),
        options,
        providers=["CPUExecutionProvider"],
    )
    h, c = network.stacked
    feeds = {"X": np.ascontiguousarray(network.x), "initial_h": h, "initial_c": c}
    if padded:
        feeds["sequence_lens"] = np.asarray(network.lengths, np.int32)

    def run() -> Result:
        y, y_h, y_c = session.run(None, feeds)
        steps, ways, rows, units = y.shape
        joined = y.transpose(0, 2, 1, 3).reshape(steps, rows, ways * units)
        return Result(joined, list(zip(y_h, y_c, strict=True)), {})

    return run


def notes(network: Network) -> Iterator[str]:
    """Where onnxruntime, the text of ONNX and the other frameworks part."""
    if network.how.behaviour.gate_clip is not None:
        yield (
            "the text of ONNX bounds every input of an activation by clip, and c is one on its "
            "way out; onnxruntime bounds only the pre-activations of the gates, as our "
            "gate_clip does (measured with 1.32)"
        )
    if network.lengths is not None and (network.lengths == 0).any():
        yield (
            "a sequence of length 0 ends in a zero state in onnxruntime, whatever it started from; "
            "the text of ONNX does not say so, and the other frameworks hand back the initial "
            "state (measured with 1.32)"
        )


ENGINE = Engine(
    "onnxruntime",
    "ONNX LSTM",
    "onnx",
    ("onnxruntime", "onnx"),
    prepare,
    dtypes=("float32",),
    lacks=same_sizes,
    notes=notes,
)
