"""One LSTM node of an ONNX graph: its tensors and attributes, as far as the file holds them.

The operator LSTM is that of github.com/onnx/onnx/blob/v1.23.2/docs/Operators.md#LSTM,
DynamicQuantizeLSTM that of onnxruntime's docs/ContribOperators.md (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from lstmcli.formats.onnx.folding import Constants, Repeated, Value
from lstmcli.formats.onnx.graph import Node, Scope

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
STATES = ("initial_h", "initial_c")
SCALES = {"W": (8, 9), "R": (10, 11)}  # inputs of DynamicQuantizeLSTM: scale, zero point
OPERATIONS = {"LSTM": "", "DynamicQuantizeLSTM": "com.microsoft"}  # and their domains

ATTRIBUTES = {
    "activation_alpha": float, "activation_beta": float, "activations": bytes, "clip": float,
    "direction": bytes, "hidden_size": int, "input_forget": int, "layout": int,
}  # fmt: skip
LISTS = ("activation_alpha", "activation_beta", "activations")


class NotRead(Exception):
    """Why a node's tensors cannot be had."""


@dataclass(eq=False, repr=False)
class Lstm:
    """What a node holds."""

    name: str
    arrays: dict[str, np.ndarray]  # W (D, 4H, I), R (D, 4H, H), B (D, 8H), P (D, 3H), states
    words: dict[str, Any]
    remarks: list[str] = field(default_factory=list)

    def key(self) -> tuple[Any, ...]:
        """Equal for nodes that hold the same numbers and attributes."""
        words = sorted((k, v) for k, v in self.words.items() if k != "cell_width")
        return repr(words), *(
            (name, array.shape, array.dtype.name, sha256(array.tobytes()).digest())
            for name, array in self.arrays.items()
        )


def is_lstm(node: Node) -> bool:
    """Whether a node is an LSTM by its operation."""
    return OPERATIONS.get(node.op) == node.domain


def read_node(node: Node, scope: Scope, constants: Constants, name: str) -> Lstm:
    """The tensors of a node, its attributes in its own words, and what to know of them.

    Raises
    ------
    NotRead
        when a weight is no constant, or shapes do not fit the operator.
    """
    return _Node(node, scope, constants, name).lstm()


class _Node:
    def __init__(self, node: Node, scope: Scope, constants: Constants, name: str) -> None:
        self.node, self.scope, self.constants = node, scope, constants
        self.lstm_name = name

    def lstm(self) -> Lstm:
        weights = [role for role in "WRBP" if role in "WR" or self._name(role)]
        arrays = {role: self._weight(role) for role in weights}
        _check(arrays)
        values = {role: self._value(role) for role in STATES if self._name(role)}
        words = _words(self.node.attributes)
        words |= {"directions": len(arrays["R"]), "units": arrays["R"].shape[2]}
        cell = values.get("initial_c")
        lengths = cell.lengths if isinstance(cell, Repeated) else getattr(cell, "shape", ())
        if lengths and lengths[-1] is not None:
            words["cell_width"] = lengths[-1]
        arrays |= self._states(values, arrays["R"])
        steps = self._value("sequence_lens")
        if isinstance(steps, np.ndarray):
            words["sequence_lens"] = steps.ravel().tolist()
        return Lstm(self.lstm_name, arrays, words, [*self._remarks(values)])

    def _name(self, role: str) -> str:
        """The name that an input has in the graph; "" where it is left out."""
        place = INPUTS.index(role)
        return self.node.inputs[place] if place < len(self.node.inputs) else ""

    def _value(self, role: str) -> Value:
        name = self._name(role)
        return self.constants.value(self.scope, name) if name else None

    def _constant(self, name: str, role: str) -> np.ndarray:
        if not name:
            raise NotRead(f"it has no {role}")
        value = self.constants.value(self.scope, name)
        if not isinstance(value, np.ndarray):
            origin = self.constants.origin(self.scope, name)
            raise NotRead(f"its {role} comes from {origin}; the file does not hold it")
        return value

    def _weight(self, role: str) -> np.ndarray:
        array = self._constant(self._name(role), role)
        if self.node.domain and role in SCALES:
            array = self._dequantized(array, role)
        if array.dtype.kind != "f":
            raise NotRead(f"its {role} holds {array.dtype}")
        self.constants.count(array.nbytes)
        return np.array(array, order="C")

    def _dequantized(self, array: np.ndarray, role: str) -> np.ndarray:
        """(D, I, 4H) of 8 bits -> (D, 4H, I); a scale for each direction, or each row too."""
        names = (self.node.inputs[n] if n < len(self.node.inputs) else "" for n in SCALES[role])
        scale, zero = (self._constant(name, f"scale of {role}") for name in names)
        if array.ndim != 3 or scale.shape != zero.shape or scale.shape[:1] != array.shape[:1]:
            raise NotRead(f"its {role} is {array.shape}, with scales {scale.shape}")
        self.constants.count(4 * array.size)
        scale, zero = (a.reshape(len(a), 1, -1) for a in (scale, zero))
        number = (array.astype("i2") - zero.astype("i2")).astype("f4")
        return np.asarray(number * scale).swapaxes(1, 2)

    def _states(self, values: dict[str, Value], recurrent: np.ndarray) -> dict[str, np.ndarray]:
        """Constant initial states (D, B, H), B = 1 where all rows are alike; none if all are 0."""
        held = {role: self._state(role, a, recurrent) for role, a in values.items()}
        states = {role: a for role, a in held.items() if a is not None}
        if not states:
            return {}
        zero = np.zeros((len(recurrent), 1, recurrent.shape[2]), recurrent.dtype)
        return {role: states.get(role, zero) for role in STATES}

    def _state(self, role: str, value: Value, recurrent: np.ndarray) -> np.ndarray | None:
        array = value.array if isinstance(value, Repeated) else value
        if array is None or not array.any():  # of another width, the dialect tells
            return None
        if self.node.attributes.get("layout") == 1 and array.ndim == 3:  # (B, D, H)
            array = array.swapaxes(0, 1)
        directions, _, units = recurrent.shape
        if isinstance(value, Repeated) and array.size in (1, units, directions * units):
            array = np.broadcast_to(array, (directions, 1, units))
        if array.ndim != 3 or (len(array), array.shape[2]) != (directions, units):
            raise NotRead(f"its {role} is {array.shape}; R is {recurrent.shape}")
        self.constants.count(array.nbytes)
        alike = (array == array[:, :1]).all()
        return np.array(array[:, :1] if alike else array, order="C")

    def _remarks(self, values: dict[str, Value]) -> list[str]:
        said = []
        if self.node.domain:
            said.append(
                "its 8-bit weights are read as the numbers they stand for; onnxruntime rounds "
                "inputs and h to 8 bits as well, so its results differ a little"
            )
        if unknown := [role for role, value in values.items() if value is None]:
            origins = dict.fromkeys(
                self.constants.origin(self.scope, self._name(role)) for role in unknown
            )
            what = " and ".join(unknown)
            said.append(f"{what} come from {' and '.join(origins)}: zero, or --initial-state")
        if self._name("sequence_lens") and self._value("sequence_lens") is None:
            origin = self.constants.origin(self.scope, self._name("sequence_lens"))
            said.append(f"its lengths come from {origin}: all steps, or --lengths")
        return [f"{self.lstm_name}: {text}." for text in said]


def _check(arrays: dict[str, np.ndarray]) -> None:
    """Refuse shapes that are not the operator's."""
    shape = {role: array.shape for role, array in arrays.items()}
    if len(shape["R"]) == 3 and shape["R"][1] == 4 * shape["R"][2] and shape["R"][0] in (1, 2):
        directions, rows, units = shape["R"]
        wanted = {"R": shape["R"], "B": (directions, 8 * units), "P": (directions, 3 * units)}
        if len(shape["W"]) == 3 and shape["W"][:2] == (directions, rows) and 0 not in shape["W"]:
            wanted["W"] = shape["W"]
            if all(wanted[role] == one for role, one in shape.items()):
                return
    told = ", ".join(f"{role} {one}" for role, one in shape.items())
    raise NotRead(f"its shapes do not fit each other: {told}")


def _words(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The operator's attributes as numbers, texts and lists of both."""
    words: dict[str, Any] = {}
    for name, kind in ATTRIBUTES.items():
        if name not in attributes:
            continue
        value = attributes[name]
        parts = value if isinstance(value, list) else [value]
        if (name in LISTS) != isinstance(value, list) or not all(
            isinstance(p, kind) for p in parts
        ):
            raise NotRead(f"its {name} is of another kind than the operator's")
        told = [p.decode("utf-8", "backslashreplace") if kind is bytes else p for p in parts]
        words[name] = told if name in LISTS else told[0]
    return words
