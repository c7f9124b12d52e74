"""onnxruntime: LSTM operators of ONNX on the CPU; a Scan for gates and other cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from lstmcli._version import __version__
from lstmcli.core.model.arrays import Array
from lstmcli.core.weights.encode import INITIAL
from lstmcli.engines import scan
from lstmcli.engines.engine import Engine, Network, Prepared, Result, different_sizes
from lstmcli.engines.export import graph_of
from lstmcli.engines.libraries import library
from lstmcli.formats.onnx import writer

Feeds = Mapping[str, Array]
"""The inputs of a graph by name."""

Session = Callable[[], Sequence[Array]]
"""Returns the outputs of a graph, in its order."""


def session(model: bytes, feeds: Feeds) -> Session:
    """A model of ONNX, ready to run."""
    opened = library("onnxruntime").InferenceSession(model, providers=["CPUExecutionProvider"])
    return lambda: opened.run(None, dict(feeds))


def prepare(
    network: Network, open_session: Callable[[bytes, Feeds], Session] = session
) -> Prepared:
    """A session of the model that `lstm convert` writes, or of a Scan.

    The initial state is an input without a default, as OpenVINO needs it.
    """
    if network.basic_operations:
        run_scan = _scan_session(network, open_session)
        return lambda: scan.result_of(network, run_scan())
    padded = network.lengths is not None
    graph = graph_of(network.layers, padded=padded)
    constants = {name: a for name, a in graph.constants.items() if name not in INITIAL}
    h, c = network.stacked
    feeds = {"X": np.ascontiguousarray(network.x), "initial_h": h, "initial_c": c}
    if padded:
        feeds["sequence_lens"] = np.asarray(network.lengths, np.int32)
    opened = open_session(_serialised(graph._replace(constants=constants)), feeds)

    def run() -> Result:
        y, y_h, y_c = opened()
        steps, directions, batch, units = y.shape
        joined = y.transpose(0, 2, 1, 3).reshape(steps, batch, directions * units)
        return Result(joined, list(zip(y_h, y_c, strict=True)), {})

    return run


def gates(
    network: Network, open_session: Callable[[bytes, Feeds], Session] = session
) -> Mapping[str, Array]:
    """c, i, f, g and o of a single cell, by a Scan."""
    return scan.result_of(network, _scan_session(network, open_session)()).gates


def _scan_session(network: Network, open_session: Callable[[bytes, Feeds], Session]) -> Session:
    return open_session(
        _serialised(scan.scan_graph(network)), {"X": np.ascontiguousarray(network.x)}
    )


def _serialised(graph: writer.OnnxGraph) -> bytes:
    return writer.serialised(graph, "lstmcli", __version__)


def unsupported(network: Network) -> Iterator[str]:
    """Layers of different sizes, or what a Scan cannot express."""
    yield from scan.unsupported(network) if network.basic_operations else different_sizes(network)


def notes(network: Network) -> Iterator[str]:
    """Where onnxruntime, the text of ONNX and the other frameworks differ."""
    yield from origin(network)
    if network.basic_operations:
        return
    if network.convention.behaviour.gate_clip is not None:
        yield (
            "the text of ONNX bounds every input of an activation by clip, and c is one on its "
            "way out; onnxruntime bounds only the pre-activations of the gates, as our "
            "gate_clip does (measured with 1.32)"
        )
    yield from empty_sequences(network, "onnxruntime", "1.32")


def origin(network: Network) -> Iterator[str]:
    """Which arrays come from LSTM operators, and which from a Scan."""
    if network.basic_operations:
        yield (
            "LSTM of ONNX cannot run this network; it ran as a Scan of single operations "
            "(MatMul, Sigmoid, ...)"
        )
    elif len(network.cells) == 1:
        yield "LSTM of ONNX gives h and the last state; c and the gates are those of a Scan"


def empty_sequences(network: Network, name: str, version: str) -> Iterator[str]:
    """The final state of a sequence without steps, in both runtimes of ONNX."""
    if network.lengths is not None and (network.lengths == 0).any():
        yield (
            f"a sequence of length 0 ends in a zero state in {name}, whatever it started from; "
            "the text of ONNX does not say so, and the other frameworks hand back the initial "
            f"state (measured with {version})"
        )


ENGINE = Engine(
    "onnxruntime",
    "ONNX LSTM or Scan",
    "onnx",
    ("onnxruntime", "onnx"),
    prepare,
    dtypes=("float32",),
    arrays=scan.ARRAYS,
    gates=gates,
    unsupported=unsupported,
    notes=notes,
)
