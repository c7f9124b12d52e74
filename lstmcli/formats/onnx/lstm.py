"""One LSTM node of an ONNX graph: its tensors and attributes.

The shapes of W, R, B, P and the states are those of LSTM in
github.com/onnx/onnx/blob/v1.23.2/docs/Operators.md#LSTM, and of
DynamicQuantizeLSTM in onnxruntime's docs/ContribOperators.md (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from lstmcli.formats.document import Arrays, Shape
from lstmcli.formats.onnx.folding import ConstantFolder, Repeated, Value
from lstmcli.formats.onnx.graph import Node, Scope, numpy_dtype, widened

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
STATES = ("initial_h", "initial_c")
SCALES = {
    "W": (8, 9),
    "R": (10, 11),
}  # inputs of DynamicQuantizeLSTM: scale, zero point
OPERATORS = {"LSTM": "", "DynamicQuantizeLSTM": "com.microsoft"}  # and their domains

ATTRIBUTES = {
    "activation_alpha": float,
    "activation_beta": float,
    "activations": bytes,
    "clip": float,
    "direction": bytes,
    "hidden_size": int,
    "input_forget": int,
    "layout": int,
}
LISTS = ("activation_alpha", "activation_beta", "activations")


class UnreadableNode(Exception):
    """The tensors of a node cannot be read; the text is the reason."""


@dataclass(eq=False, repr=False)
class LstmNode:
    """The tensors and attributes of a node."""

    name: str
    arrays: Arrays  # W (D, 4H, I), R (D, 4H, H), B (D, 8H), P (D, 3H), states
    attributes: dict[str, Any]
    remarks: list[str] = field(default_factory=list)

    def key(self) -> tuple[Any, ...]:
        """A key that nodes of equal numbers and attributes share."""
        attributes = sorted(
            (k, v) for k, v in self.attributes.items() if k != "cell_width"
        )
        return repr(attributes), *(
            (name, array.shape, array.dtype.name, sha256(array.tobytes()).digest())
            for name, array in self.arrays.items()
        )


def is_lstm(node: Node) -> bool:
    """Return whether a node is an LSTM by its operator."""
    return OPERATORS.get(node.op) == node.domain


class NodeReader:
    """A node in its graph, with the name that the LSTM gets."""

    def __init__(
        self, node: Node, scope: Scope, constants: ConstantFolder, name: str
    ) -> None:
        self.node, self.scope, self.constants = node, scope, constants
        self.lstm_name = name

    def read(self) -> LstmNode:
        """The tensors and attributes of the node, with remarks for the user."""
        weights = [role for role in "WRBP" if role in "WR" or self._name(role)]
        arrays = {role: self._weight(role) for role in weights}
        _check(arrays)
        values = {role: self._value(role) for role in STATES if self._name(role)}
        attributes = _attributes(self.node.attributes)
        attributes |= {"directions": len(arrays["R"]), "units": arrays["R"].shape[2]}
        if self.node.domain:
            attributes["quantized"] = True
        cell = values.get("initial_c")
        widths = (
            (cell.width,) if isinstance(cell, Repeated) else getattr(cell, "shape", ())
        )
        if widths and widths[-1] is not None:
            attributes["cell_width"] = widths[-1]
        arrays |= self._states(values, arrays["R"])
        steps = self._value("sequence_lens")
        if isinstance(steps, np.ndarray):
            attributes["sequence_lens"] = steps.ravel().tolist()
        elif name := self._name("sequence_lens"):
            attributes["lengths_from"] = self.constants.origin(self.scope, name)
        return LstmNode(self.lstm_name, arrays, attributes, self._remarks(values))

    def _name(self, role: str) -> str:
        n = INPUTS.index(role)
        return self.node.inputs[n] if n < len(self.node.inputs) else ""

    def _value(self, role: str) -> Value:
        name = self._name(role)
        return self.constants.value(self.scope, name) if name else None

    def _constant(self, name: str, role: str) -> np.ndarray:
        if not name:
            raise UnreadableNode(f"it has no {role}")
        value = self.constants.value(self.scope, name)
        if not isinstance(value, np.ndarray):
            origin = self.constants.origin(self.scope, name)
            raise UnreadableNode(
                f"its {role} comes from {origin}; the file does not contain it"
            )
        return value

    def _weight(self, role: str) -> np.ndarray:
        array = self._constant(self._name(role), role)
        if self.node.domain and role in SCALES:
            array = self._dequantized(array, role)
        dtype = numpy_dtype(array.dtype)
        if dtype.kind != "f":
            raise UnreadableNode(f"its {role} is {dtype}")
        self.constants.count(array.size * dtype.itemsize)
        return widened(array)

    def _dequantized(self, array: np.ndarray, role: str) -> np.ndarray:
        """(D, I, 4H) of 8 bits -> (D, 4H, I); scales by direction, or also by row."""
        names = (
            self.node.inputs[n] if n < len(self.node.inputs) else ""
            for n in SCALES[role]
        )
        scale, zero = (self._constant(name, f"scale of {role}") for name in names)
        fits = scale.shape == zero.shape and scale.shape[:1] == array.shape[:1]
        if array.ndim != 3 or not fits:
            raise UnreadableNode(
                f"its {role} is {array.shape}, with scales {scale.shape}"
            )
        self.constants.count(4 * array.size)
        scale, zero = (a.reshape(len(a), 1, -1) for a in (scale, zero))
        number = (array.astype("i2") - zero.astype("i2")).astype("f4")
        return np.asarray(number * scale).swapaxes(1, 2)

    def _states(self, values: dict[str, Value], recurrent: np.ndarray) -> Arrays:
        """Constant initial states (D, B, H), B = 1 if all items are equal; none if all are 0."""
        found = {
            role: self._state(role, value, recurrent) for role, value in values.items()
        }
        states = {role: state for role, state in found.items() if state is not None}
        if not states:
            return {}
        zero = np.zeros((len(recurrent), 1, recurrent.shape[2]), recurrent.dtype)
        return {role: states.get(role, zero) for role in STATES}

    def _state(
        self, role: str, value: Value, recurrent: np.ndarray
    ) -> np.ndarray | None:
        array = value.array if isinstance(value, Repeated) else value
        if array is None or not array.any():  # a wrong width is refused from cell_width
            return None
        if self.node.attributes.get("layout") == 1 and array.ndim == 3:  # (B, D, H)
            array = array.swapaxes(0, 1)
        directions, _, units = recurrent.shape
        if isinstance(value, Repeated) and array.size in (1, units, directions * units):
            array = np.broadcast_to(array, (directions, 1, units))
        if array.ndim != 3 or (len(array), array.shape[2]) != (directions, units):
            raise UnreadableNode(f"its {role} is {array.shape}; R is {recurrent.shape}")
        self.constants.count(array.nbytes)
        same_for_all = (array == array[:, :1]).all()
        return widened(array[:, :1] if same_for_all else array)

    def _remarks(self, values: dict[str, Value]) -> list[str]:
        remarks = []
        if self.node.domain:
            remarks.append(
                "its weights are of 8 bits, and inputs and h are rounded to 8 bits, as onnxruntime "
                "does on one thread; --arithmetic float rounds neither"
            )
        if unknown := [role for role, value in values.items() if value is None]:
            each = (
                self.constants.origin(self.scope, self._name(role)) for role in unknown
            )
            origins = " and ".join(dict.fromkeys(each))
            what = " and ".join(unknown)
            remarks.append(f"{what} come from {origins}: zero, or --initial-state")
        return [f"{self.lstm_name}: {text}." for text in remarks]


def _check(arrays: Arrays) -> None:
    shapes = {role: array.shape for role, array in arrays.items()}
    directions, _, units = shapes["R"] if len(shapes["R"]) == 3 else (0, 0, 0)
    inputs = shapes["W"][-1] if shapes["W"] else 0
    expected: dict[str, Shape] = {"W": (4 * units, inputs), "R": (4 * units, units)}
    expected |= {"B": (8 * units,), "P": (3 * units,)}
    fits = all(shape == (directions, *expected[role]) for role, shape in shapes.items())
    if not fits or directions not in (1, 2) or not units or not inputs:
        found = ", ".join(f"{role} {shape}" for role, shape in shapes.items())
        raise UnreadableNode(f"its shapes do not fit each other: {found}")


def _attributes(raw: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, kind in ATTRIBUTES.items():
        if name not in raw:
            continue
        value = raw[name]
        items = value if isinstance(value, list) else [value]
        fits = all(isinstance(item, kind) for item in items)
        if not fits or (name in LISTS) != isinstance(value, list):
            raise UnreadableNode(f"its {name} has no value of the operator's type")
        if kind is bytes:
            items = [item.decode("utf-8", "backslashreplace") for item in items]
        attributes[name] = items if name in LISTS else items[0]
    return attributes
