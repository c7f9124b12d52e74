"""The same forward pass by others: each a function from weights and inputs to a call to time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

import lstmcli
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.model import Cell, Model

Array = Any
Call = Callable[[], Any]


class Shape(NamedTuple):
    """Steps, rows, inputs, units."""

    T: int
    B: int
    I: int
    H: int


class Case(NamedTuple):
    """The arguments of every contender."""

    x: Array  # (B, T, I)
    kernel: Array  # (4H, I), gates i f g o
    recurrent: Array  # (4H, H)
    bias: Array  # (4H,)
    threads: int


def case(shape: Shape, dtype: str, threads: int) -> Case:
    rng = np.random.default_rng(0)
    T, B, I, H = shape

    def scaled(*size: int) -> Array:
        return (rng.standard_normal(size) / np.sqrt(H)).astype(dtype)

    x = rng.standard_normal((B, T, I)).astype(dtype)
    return Case(x, scaled(4 * H, I), scaled(4 * H, H), scaled(4 * H), threads)


def model_of(given: Case) -> Model:
    H = given.recurrent.shape[1]
    cell = Cell(
        given.kernel.reshape(4, H, -1),
        given.recurrent.reshape(4, H, H),
        given.bias.reshape(4, H),
        CONVENTIONS["keras"],
    )
    return Model(((cell,),), {"kernel": given.kernel.shape})


def ours(given: Case, keep: Any = "h") -> Call:
    model = model_of(given)
    if given.threads == 1:
        return lambda: lstmcli.run(model, given.x, keep).arrays["h"]
    from lstmcli.core.forward.batch import workers

    held = workers(given.threads)
    pool = held.__enter__()  # as the command does: made once

    def call(_: Any = held) -> Array:  # the pool lives as long as the call
        return lstmcli.run(model, given.x, keep, executor=pool).arrays["h"]

    return call


def all_gates(given: Case) -> Call:
    return ours(given, ("h", "c", "i", "f", "g", "o"))


def naive(given: Case) -> Call:
    """A first port of the equations, as its writers leave it."""
    kernel = np.concatenate(
        [given.kernel, given.recurrent], axis=1
    ).T.copy()  # (I + H, 4H)
    B, T, _ = given.x.shape
    H = given.recurrent.shape[1]

    def sigmoid(z: Array) -> Array:
        return 1 / (1 + np.exp(-z))

    def call() -> Array:
        h = np.zeros((B, H), kernel.dtype)
        c = np.zeros((B, H), kernel.dtype)
        outputs = []
        for t in range(T):
            z = np.concatenate([given.x[:, t], h], axis=1) @ kernel + given.bias
            i, f, g, o = np.split(z, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            outputs.append(h)
        return np.stack(outputs, axis=1)

    return call


def products(given: Case) -> Call:
    """A limit: the matrix products of the steps alone, as one block."""
    B, T, _ = given.x.shape
    bias = given.bias[:, None]
    K = np.concatenate([given.kernel, given.recurrent, bias], axis=1)  # (4H, N)
    operand = np.ones((K.shape[1], B), K.dtype)
    out = np.empty((len(K), B), K.dtype)

    def call() -> Array:
        for _ in range(T):
            K.dot(operand, out)
        return None

    return call


def torch(given: Case) -> Call:
    library: Any = import_module("torch")
    library.set_num_threads(given.threads)
    H, I = given.recurrent.shape[1], given.x.shape[2]
    lstm = library.nn.LSTM(
        I, H, batch_first=True, dtype=library.from_numpy(given.x).dtype
    )
    state = {
        "weight_ih_l0": given.kernel, "weight_hh_l0": given.recurrent,
        "bias_ih_l0": given.bias, "bias_hh_l0": np.zeros_like(given.bias),
    }  # fmt: skip
    lstm.load_state_dict({k: library.from_numpy(v) for k, v in state.items()})
    x = library.from_numpy(given.x)

    def call() -> Array:
        with library.inference_mode():
            return lstm(x)[0].numpy()

    return call


def onnx_model(given: Case) -> bytes:
    """An operator LSTM of ONNX alone, of X (T, B, I), which it takes in no other axes."""
    onnx: Any = import_module("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    H = given.recurrent.shape[1]
    iofg = np.r_[0:H, 3 * H : 4 * H, H : 2 * H, 2 * H : 3 * H]
    tensors = {
        "W": given.kernel[None, iofg], "R": given.recurrent[None, iofg],
        "B": np.concatenate([given.bias[iofg], np.zeros_like(given.bias)])[None],
    }  # fmt: skip
    kind = helper.np_dtype_to_tensor_dtype(given.x.dtype)
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=H)
    B, T, I = given.x.shape
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("X", kind, (T, B, I))],
        [helper.make_tensor_value_info("Y", kind, (T, 1, B, H))],
        [numpy_helper.from_array(a, name) for name, a in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=8
    ).SerializeToString()
    return model


def onnxruntime(given: Case) -> Call:
    library: Any = import_module("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = library.InferenceSession(onnx_model(given), options)
    x = np.ascontiguousarray(given.x.swapaxes(0, 1))
    return lambda: session.run(None, {"X": x})[0][:, 0].swapaxes(0, 1)


def openvino(given: Case) -> Call:
    library: Any = import_module("openvino")
    if given.x.dtype != np.float32:
        raise TypeError("its CPU computes in float32")
    core = library.Core()
    network = core.read_model(onnx_model(given), b"")
    threads = {"INFERENCE_NUM_THREADS": given.threads}
    compiled = core.compile_model(
        network, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **threads}
    )
    request = compiled.create_infer_request()
    x = np.ascontiguousarray(given.x.swapaxes(0, 1))

    def call() -> Array:
        request.infer({"X": x}, share_inputs=True, share_outputs=True)
        return np.array(request.get_output_tensor().data)[:, 0].swapaxes(0, 1)

    return call


OTHERS: dict[str, Callable[[Case], Call]] = {
    "naive": naive, "torch": torch, "onnxruntime": onnxruntime, "openvino": openvino,
    "products": products,
}  # fmt: skip
