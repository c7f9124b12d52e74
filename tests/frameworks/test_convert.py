"""Files that `lstm convert` writes, loaded by the framework itself: outputs equal ours, and
those that the source's framework recorded.

Each framework is looked for when its test runs; without it, the test is skipped and says so.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api import load
from lstmcli.api.convert import convert
from lstmcli.core.model.model import Cell, Model, Trace
from lstmcli.errors import UserError
from tests.engines.test_export import STACK, STACKS, mixed, uneven
from tests.recorded import CASES, TOLERANCE, recorded

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("default"),  # of the frameworks' own making
]

Array = np.ndarray[Any, Any]
LENGTHS = ("lengths", "mask")  # how they are given is each framework's own affair


def framework(name: str) -> Any:
    if name == "keras":
        os.environ.setdefault("KERAS_BACKEND", "torch")
        framework("torch")
    return pytest.importorskip(name, reason=f"{name} is not installed")


class Case:
    """A recorded case: its weights as converted, its inputs with time first, what to expect."""

    def __init__(self, case: str, target: Path, to: str) -> None:
        one = recorded(case)
        self.case, self.record, self.recorded = one
        settings: dict[str, Any] = {"dtype": "float32"}  # onnxruntime runs no other
        self.model: Model = one.load(**settings)
        convert(one.paths(target), str(target), to, one.options() | settings)
        layout, x = self.record["layout"], self.recorded["inputs"]
        x = x[:, None] if layout == "steps" else x
        self.x = np.ascontiguousarray(
            x if layout != "batch" else x.swapaxes(0, 1), np.float32
        )
        rng = np.random.default_rng(len(case))
        cells = [cell for _, cell in self.model.cells]
        rows = self.x.shape[1]
        self.h = rng.normal(size=(len(cells), rows, cells[0].outputs)).astype(
            np.float32
        )
        self.c = rng.normal(size=(len(cells), rows, cells[0].units)).astype(np.float32)
        self.target = target

    def ours(self, given: bool = True) -> Trace:
        """Our run of the source, its states in the axes (cells, B, H)."""

        def alike(cell: Cell) -> Cell:
            merge = cell.convention.behaviour.merge
            how = {"states": "cells", "initial_state": "given", "layout": "batch"}
            how |= {"merge": "concat"} if merge == "stack" else {}
            return replace(cell, convention=cell.convention.with_behaviour(**how))

        state = {"h": self.h, "c": self.c} if given else {}
        layers = tuple(tuple(map(alike, layer)) for layer in self.model.layers)
        model = replace(self.model, layers=layers, lengths=())
        return run(model, self.x, ("h",), layout="time", initial_state=state)

    def check(self, h: Array, final_h: Array, final_c: Array) -> None:
        """h (T, B, D H), and the last states (cells, B, H), from the states `h` and `c`."""
        trace = self.ours()
        cells = (len(self.model.cells), self.x.shape[1], -1)
        close(self.case, h, trace.h)
        close(self.case, final_h, trace.final_h.reshape(cells))
        close(self.case, final_c, trace.final_c.reshape(cells))

    def check_recorded(self, h: Array) -> None:
        """h (T, B, D H) from a zero state, against what the source's framework recorded."""
        if set(LENGTHS) & set(self.recorded) or "initial_state.h" in self.recorded:
            return
        theirs = self.recorded["h"]
        if self.record["layout"] == "batch":
            h = h.swapaxes(0, 1)
        if (
            theirs.ndim == 4
        ):  # directions on an axis of their own, in one framework's places
            return
        close(self.case, h.reshape(theirs.shape), theirs)

    def initial(self) -> tuple[Array, ...] | None:
        """The recorded initial state as (cells, B, H), where it has those axes already."""
        if set(LENGTHS) & set(self.recorded) or "initial_state.h" not in self.recorded:
            return None
        h, c = (self.recorded[f"initial_state.{k}"] for k in "hc")
        if (
            len(self.model.cells) > 1
            and self.model.convention.behaviour.states != "cells"
        ):
            return None
        shapes = self.h.shape, self.c.shape
        return tuple(
            a.reshape(s).astype(np.float32) for a, s in zip((h, c), shapes, strict=True)
        )


def close(case: str, theirs: Array, ours: Array) -> None:
    tolerance = TOLERANCE.get(case, 2e-6)
    np.testing.assert_allclose(theirs, ours, rtol=tolerance, atol=tolerance)


def prepared(case: str, target: Path, to: str) -> Case:
    try:
        return Case(case, target, to)
    except UserError as error:
        reason = str(error)
    assert f"{to} cannot store" in reason
    pytest.skip(reason.splitlines()[0])


# ---- PyTorch


@pytest.mark.parametrize("case", CASES)
def test_pytorch_loads_the_state_dict(case: str, tmp_path: Path) -> None:
    torch = framework("torch")
    load_file = framework("safetensors.torch").load_file
    one = prepared(case, tmp_path / "net.safetensors", "pytorch")
    cell = one.model.cell
    lstm = torch.nn.LSTM(
        cell.inputs, cell.units, len(one.model.layers), bidirectional=one.model.bidirectional,
        proj_size=cell.outputs if cell.projection is not None else 0,
    )  # fmt: skip
    lstm.load_state_dict(load_file(str(one.target)), strict=True)
    runs_as_ours(
        one, lambda *given: [a.numpy() for a in torch_run(torch, lstm, *given)]
    )


def torch_run(torch: Any, lstm: Any, x: Array, *state: Array) -> tuple[Any, Any, Any]:
    with torch.no_grad():
        given = tuple(torch.from_numpy(a) for a in state)
        h, (final_h, final_c) = lstm(torch.from_numpy(x), given or None)
    return h, final_h, final_c


def runs_as_ours(one: Case, framework_run: Any) -> None:
    """Compare a framework's run with ours and, from the recorded state, with the record."""
    one.check(*framework_run(one.x, one.h, one.c))
    initial = one.initial()
    if initial is not None:
        theirs, h = one.recorded["h"], framework_run(one.x, *initial)[0]
        if theirs.ndim < 4 and not one.model.convention.behaviour.flip_output:
            h = h.swapaxes(0, 1) if one.record["layout"] == "batch" else h
            close(one.case, h.reshape(theirs.shape), theirs)
    else:
        one.check_recorded(framework_run(one.x)[0])


# ---- onnxruntime


@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_runs_the_model(case: str, tmp_path: Path) -> None:
    ort = framework("onnxruntime")
    framework("onnx")
    one = prepared(case, tmp_path / "net.onnx", "onnx")
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns that an input has a default
    session = ort.InferenceSession(
        str(one.target), options, providers=["CPUExecutionProvider"]
    )

    def outputs(x: Array, *state: Array) -> list[Array]:
        given = dict(zip(("initial_h", "initial_c"), state, strict=False))
        y, y_h, y_c = session.run(None, {"X": x, **given})
        steps, ways, rows, units = y.shape
        return [y.transpose(0, 2, 1, 3).reshape(steps, rows, ways * units), y_h, y_c]

    runs_as_ours(one, outputs)


@pytest.mark.parametrize("stack", [None, *STACKS], ids=str)
def test_onnxruntime_runs_layers_of_other_sizes(tmp_path: Path, stack: Any) -> None:
    """States of different widths are side by side, on the way in and on the way out."""
    ort = framework("onnxruntime")
    framework("onnx")
    source, in_turn = (
        mixed(tmp_path, stack) if stack else (uneven(tmp_path, "f4"), STACK)
    )
    target = str(tmp_path / "net.onnx")
    convert([source], target, "onnx", in_turn)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # it warns that an input has a default
    session = ort.InferenceSession(target, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(2)
    model = load.load(source, **in_turn)
    x = rng.normal(size=(7, 3, 5)).astype("f4")
    shape = run(model, x, layout="time").final_h.shape
    h, c = (rng.normal(size=shape).astype("f4") for _ in "hc")
    for given in ({}, {"h": h, "c": c}):
        state = {f"initial_{name}": array for name, array in given.items()}
        y, y_h, y_c = session.run(None, {"X": x, **state})
        trace = run(model, x, layout="time", initial_state=given)
        close("", y.transpose(0, 2, 1, 3).reshape(trace.h.shape), trace.h)
        close("", y_h, trace.final_h)
        close("", y_c, trace.final_c)


# ---- Keras


@pytest.mark.parametrize("case", CASES)
def test_keras_sets_the_weights(case: str, tmp_path: Path) -> None:
    keras = framework("keras")
    one = prepared(case, tmp_path / "net.npz", "keras")
    if one.model.cell.peephole is not None:
        pytest.skip("Keras 3 has no cell with peepholes")
    with np.load(one.target) as members:
        told = {k: members[k].item() for k in members if members[k].ndim == 0}
        tensors = [members[k] for k in members if members[k].ndim]
    layers = [keras_layer(keras, layer, told) for layer in one.model.layers]
    ways = len(one.model.layers[0])
    width = one.x.shape[2]
    for n, layer in enumerate(layers):
        layer.build((None, None, width))
        layer.set_weights(tensors[3 * ways * n : 3 * ways * (n + 1)])
        width = one.model.layers[n][0].outputs * (
            ways if told.get("merge", "concat") == "concat" else 1
        )

    def outputs(x: Array, *state: Array) -> list[Array]:
        y, last = x.swapaxes(0, 1), []
        for n, layer in enumerate(layers):
            cells = range(
                n * ways, (n + 1) * ways
            )  # h and c of one cell after the other
            given = [keras.ops.convert_to_tensor(a[k]) for k in cells for a in state]
            y, *states = layer(y, initial_state=given or None)
            last += states
        h, c = (
            np.array([keras.ops.convert_to_numpy(a) for a in last[k::2]])
            for k in (0, 1)
        )
        return [keras.ops.convert_to_numpy(y).swapaxes(0, 1), h, c]

    runs_as_ours(one, outputs)


def keras_layer(keras: Any, layer: Any, told: dict[str, Any]) -> Any:
    """A layer with the settings that the file tells."""
    lstm = keras.layers.LSTM(
        layer[0].units,
        activation=keras_activation(keras, told.get("activation", "tanh")),
        recurrent_activation=keras_activation(keras, told["recurrent_activation"]),
        go_backwards=bool(told.get("go_backwards", False)),
        return_sequences=True,
        return_state=True,
    )
    if len(layer) == 1:
        return lstm
    return keras.layers.Bidirectional(lstm, merge_mode=told.get("merge", "concat"))


def keras_activation(keras: Any, name: str) -> Any:
    """Keras' own of that name, or the function: its hard sigmoid is the one of slope 1/6."""
    own = {"hard_sigmoid_1_6": "hard_sigmoid", "identity": "linear"}
    family, _, rest = name.partition("(")
    if name == "hard_sigmoid_0.2" or family == "hard_sigmoid":
        numbers = [float(p) for p in rest.rstrip(")").split(",") if p] or [0.2, 0.5]
        return hard_sigmoid(keras, *numbers)
    return own.get(name, name)


def hard_sigmoid(keras: Any, slope: float, offset: float) -> Any:
    @keras.saving.register_keras_serializable(name=f"hard_sigmoid_{slope}_{offset}")  # type: ignore
    def activate(z: Any) -> Any:
        return keras.ops.clip(slope * z + offset, 0.0, 1.0)

    return activate
