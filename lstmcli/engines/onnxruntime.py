"""onnxruntime: LSTM operators of ONNX on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from lstmcli._version import __version__
from lstmcli.core.model.arrays import Array
from lstmcli.core.weights.stored import INITIAL
from lstmcli.engines.engine import Engine, Network, Prepared, Result, library
from lstmcli.engines.export import graph_of, serialised

Feeds = Mapping[str, Array]
"""The inputs of a graph by name."""

Session = Callable[[], Sequence[Array]]
"""Returns the outputs of a graph, in its order."""


def session(model: bytes, feeds: Feeds) -> Session:
    """A model of ONNX, ready to run."""
    opened = library("onnxruntime").InferenceSession(
        model, providers=["CPUExecutionProvider"]
    )
    return lambda: opened.run(None, dict(feeds))


def prepare(
    network: Network, open_session: Callable[[bytes, Feeds], Session] = session
) -> Prepared:
    """A session of the model that `lstm convert` writes; its state has no default, for OpenVINO."""
    padded = network.lengths is not None
    graph = graph_of(network.layers, padded=padded, defaults=False)
    feeds = _feeds(network)
    opened = open_session(serialised(graph, __version__), feeds)

    def run() -> Result:
        y, y_h, y_c = opened()
        steps, directions, batch, units = y.shape
        joined = y.transpose(0, 2, 1, 3).reshape(steps, batch, directions * units)
        widths = [cell.units for cell in network.cells]
        if len(set(widths)) == 1:
            return Result(joined, list(zip(y_h, y_c, strict=True)))
        cuts = np.cumsum(widths)[:-1]
        ends = [np.split(array, cuts, axis=1) for array in (y_h, y_c)]
        return Result(joined, list(zip(*ends, strict=True)))

    return run


def _feeds(network: Network) -> dict[str, Array]:
    """The inputs of the graph; states of cells of different widths are side by side."""
    feeds = {"X": np.ascontiguousarray(network.x)}
    for name, states in zip(INITIAL, zip(*network.states, strict=True), strict=True):
        if len({state.shape for state in states}) > 1:
            feeds[name] = np.concatenate(states, axis=1)
        else:
            feeds[name] = np.stack(states)
    if network.lengths is not None:
        feeds["sequence_lens"] = np.asarray(network.lengths, np.int32)
    return feeds


def notes(network: Network) -> Iterator[str]:
    """Where onnxruntime, ONNX's text and the other frameworks differ."""
    if network.convention.behaviour.gate_clip is not None:
        yield (
            "the text of ONNX bounds every input of an activation by clip, and c is one on its "
            "way out; onnxruntime bounds only the pre-activations of the gates, as our "
            "gate_clip does (measured with 1.32)"
        )
    yield from empty_sequences(network, "onnxruntime", "1.32")


def empty_sequences(network: Network, name: str, version: str) -> Iterator[str]:
    """The final state of a sequence without steps, in both runtimes of ONNX."""
    if network.lengths is not None and (network.lengths == 0).any():
        yield (
            f"a sequence of length 0 ends in a zero state in {name}, whatever it started from; "
            "the ONNX specification leaves that open, and the other frameworks return the initial "
            f"state (measured with {version})"
        )


ENGINE = Engine(
    "onnxruntime",
    "ONNX LSTM",
    "onnx",
    ("onnxruntime", "onnx"),
    prepare,
    dtypes=("float32",),
    notes=notes,
)
