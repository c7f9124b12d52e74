"""OpenVINO: the same ONNX graphs as onnxruntime, compiled for the CPU in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.weights.compatibility import fit
from lstmcli.engines import onnxruntime
from lstmcli.engines.engine import Engine, Network, library
from lstmcli.engines.onnxruntime import Feeds, Session


def session(model: bytes, feeds: Feeds) -> Session:
    """A model of ONNX, compiled for its inputs' shapes, in float32 on bfloat16 CPUs too."""
    core = library("openvino").Core()
    network = core.read_model(model, b"")
    network.reshape({name: list(array.shape) for name, array in feeds.items()})
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run() -> Sequence[Array]:
        outputs = compiled(dict(feeds))
        return [outputs[k].copy() for k in range(len(compiled.outputs))]

    return run


def unsupported(network: Network) -> Iterator[str]:
    """Peepholes, coupled gates and most activations."""
    yield from fit(network.layers, CONVENTIONS["openvino"])[1]


def notes(network: Network) -> Iterator[str]:
    """Where OpenVINO differs from others, or from itself for inputs of any shape."""
    yield from onnxruntime.empty_sequences(network, "OpenVINO", "2026.4")
    if network.lengths is not None:
        yield (
            "compiled for inputs of any shape, OpenVINO runs past sequence_lens as if every "
            "sequence were full; here it is compiled for the shape of the inputs (measured with "
            "2026.4)"
        )


ENGINE = Engine(
    "openvino",
    "ONNX LSTM",
    "onnx",
    ("openvino", "onnx"),
    partial(onnxruntime.prepare, open_session=session),
    dtypes=("float32",),
    unsupported=unsupported,
    notes=notes,
)
