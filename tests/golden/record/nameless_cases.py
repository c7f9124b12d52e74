"""Weights without names: what Keras and PyTorch hand out, and initializers of PyTorch's exporter.

Recorded with keras 3.15.1 (on its torch backend), torch 2.13.0, onnx 1.23.2, safetensors 0.8.0.

    pip install keras==3.15.1 torch==2.13.0 onnx==1.23.2 onnxscript safetensors
    python tests/golden/record/nameless_cases.py
"""

from __future__ import annotations

import io
import os

os.environ["KERAS_BACKEND"] = "torch"

import warnings
from typing import Any

import keras
import numpy as np
import onnx
import safetensors.numpy
import torch
from common import GOLDEN, B, T, numbers, save, uneven

warnings.filterwarnings("ignore")
SCRIPT = "nameless_cases.py"
TORCH = f"torch {torch.__version__.split('+')[0]}"


def keras_weights(
    case: str, seed: int, inputs: int, units: int, *, bias: bool = True
) -> None:
    """``numpy.savez(*layer.get_weights())`` of a layer."""
    rng = numbers(seed)
    x = uneven(rng, B, T, inputs)
    layer = keras.layers.LSTM(
        units, return_sequences=True, return_state=True, use_bias=bias
    )
    layer.build(x.shape)
    layer.set_weights([uneven(rng, *w.shape) for w in layer.get_weights()])
    h, final_h, final_c = (np.asarray(a.detach().cpu()) for a in layer(x))
    weights = {
        f"arr_{n}": a for n, a in enumerate(layer.get_weights())
    }  # as savez names them
    buffer = io.BytesIO()
    np.savez(buffer, *layer.get_weights())
    assert list(np.load(io.BytesIO(buffer.getvalue()))) == list(weights)
    save(
        "keras", case, weights, x, {"h": h, "final_h": final_h, "final_c": final_c},
        convention="keras", version=f"keras {keras.__version__}", script=SCRIPT, layout="batch",
        note="numpy.savez(*layer.get_weights())",
    )  # fmt: skip


def keras_both_ways(case: str, seed: int, inputs: int, units: int) -> None:
    """``numpy.savez(*layer.get_weights())`` of a layer of two directions."""
    rng = numbers(seed)
    x = uneven(rng, B, T, inputs)
    layer = keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))
    layer.build(x.shape)
    layer.set_weights([uneven(rng, *w.shape) for w in layer.get_weights()])
    h = layer(x).detach().cpu().numpy()
    weights = {f"arr_{n}": a for n, a in enumerate(layer.get_weights())}
    save(
        "keras", case, weights, x, {"h": h}, convention="keras",
        version=f"keras {keras.__version__}", script=SCRIPT, layout="batch",
        note="numpy.savez(*layer.get_weights()) of keras.layers.Bidirectional",
    )  # fmt: skip


def random_lstm(rng: np.random.Generator, *sizes: int, **options: Any) -> torch.nn.LSTM:
    """A PyTorch LSTM with uneven weights."""
    lstm = torch.nn.LSTM(*sizes, **options)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(torch.tensor(uneven(rng, *parameter.shape, scale=0.4)))
    return lstm


def torch_parameters(
    case: str, seed: int, inputs: int, units: int, *, both_ways: bool = False
) -> None:
    """``numpy.savez(*parameters)`` of an LSTM of one layer."""
    rng = numbers(seed)
    x = uneven(rng, T, B, inputs)
    lstm = random_lstm(rng, inputs, units, bidirectional=both_ways)
    with torch.no_grad():
        h, (final_h, final_c) = lstm(torch.tensor(x))
    if not both_ways:
        final_h, final_c = final_h[0], final_c[0]
    weights = {f"arr_{n}": p.detach().numpy() for n, p in enumerate(lstm.parameters())}
    save(
        "torch", case, weights, x,
        {"h": h.numpy(), "final_h": final_h.numpy(), "final_c": final_c.numpy()},
        convention="pytorch" if both_ways else "pytorch-cell", version=TORCH, script=SCRIPT,
        layout="time",
        note="numpy.savez(*(p.detach().numpy() for p in lstm.parameters()))",
    )  # fmt: skip


def initializers(
    case: str, seed: int, *sizes: int, prefix: str = "", **options: Any
) -> None:
    """The initializers of an exported graph, as ports take them out of it."""
    rng = numbers(seed)
    x, lstm = uneven(rng, T, B, sizes[0]), random_lstm(rng, *sizes, **options)
    with torch.no_grad():
        h, (final_h, final_c) = lstm(torch.tensor(x))
    stream = io.BytesIO()
    torch.onnx.export(lstm, (torch.tensor(x),), stream, dynamo=False, opset_version=14)
    graph = onnx.load_from_string(stream.getvalue()).graph
    tensors = {
        prefix + tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.name.startswith("onnx::LSTM_")
    }
    file = ""
    if prefix:  # a name before, as CrispASR's converter puts it there
        file = f"{case}.safetensors"
        safetensors.numpy.save_file(
            {name: np.ascontiguousarray(a) for name, a in tensors.items()},
            GOLDEN / "torch" / file,
        )
    save(
        "torch", case, tensors, x,
        {"h": h.numpy(), "final_h": final_h.numpy(), "final_c": final_c.numpy()},
        convention="onnx", version=TORCH, script=SCRIPT, layout="time", file=file,
        note=f"initializers of torch.onnx.export(dynamo=False), onnx {onnx.__version__}",
    )  # fmt: skip


if __name__ == "__main__":
    keras_weights("get_weights", 811, 5, 3)
    keras_weights("get_weights_square", 812, 4, 4)
    keras_weights("get_weights_no_bias", 813, 5, 3, bias=False)
    keras_both_ways("get_weights_both_ways", 814, 5, 3)
    torch_parameters("parameters", 821, 5, 3)
    torch_parameters("parameters_square", 822, 3, 3)
    torch_parameters("parameters_both_ways", 823, 5, 3, both_ways=True)
    initializers("initializers", 831, 5, 3)
    initializers("initializers_square", 832, 4, 4, num_layers=3)
    initializers("initializers_both_ways", 833, 5, 3, num_layers=2, bidirectional=True)
    initializers(
        "initializers_deep", 834, 4, 4, num_layers=4, bidirectional=True, prefix="net."
    )
    initializers("initializers_no_bias", 835, 4, 4, num_layers=2, bias=False)
