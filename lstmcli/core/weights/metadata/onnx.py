"""Attributes of an ONNX node LSTM, as settings of a run.

github.com/onnx/onnx/blob/v1.23.2/docs/Operators.md#LSTM; what that leaves open
as onnxruntime 1.32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstmcli.core.model.model import Masking
from lstmcli.core.model.vocabulary import (
    ACTIVATION_NAMES,
    shortest_decimal,
    split_activation,
)
from lstmcli.core.weights.metadata import Attributes, Groups, MetadataSettings
from lstmcli.errors import UserError

ONNX_NAMES = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "identity": "Affine",
    "hard_sigmoid": "HardSigmoid",
    "affine": "Affine",
    "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu",
    "scaled_tanh": "ScaledTanh",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
ACTIVATIONS = {
    name.lower(): ours for ours, name in ONNX_NAMES.items() if ours != "identity"
}
DISPUTED = {"affine", "thresholdedrelu", "scaledtanh"}  # onnxruntime's defaults are 0
FIXED = {  # named hard sigmoids, by alpha and beta in float32
    (np.float32(0.2), 0.5): "hard_sigmoid_0.2",
    (np.float32(1 / 6), 0.5): "hard_sigmoid_1_6",
}
USUAL = ("Sigmoid", "Tanh", "Tanh")
ROLES = (
    "recurrent_activation",
    "activation",
    "output_activation",
)  # f, g, h of the operator
NUMBERS = ("activation_alpha", "activation_beta")
LAYOUTS = ("time", "batch")
DIRECTIONS = ("forward", "reverse", "bidirectional")


def read(around: Groups) -> MetadataSettings:
    """The settings in a node's attributes; UserError for what cannot be run."""
    attributes: dict[str, Any] = {}
    for group in around:
        attributes.update(group)
    _refuse_sizes(attributes)
    forward, backward = _activations(attributes)
    settings: dict[str, Any] = dict(zip(ROLES, forward, strict=True))
    if _direction(attributes) == "reverse":
        settings["reverse"] = True
    layout = attributes.get("layout", 0)
    if layout not in (0, 1):
        raise UserError(f"the node's layout is {layout}; ONNX has 0 and 1.")
    as_fed = layout ^ attributes.get("transposed", False)
    settings["layout"] = LAYOUTS[as_fed]
    if attributes.get("input_forget"):
        settings["coupled"] = "f=1-i"
    if attributes.get("quantized"):  # DynamicQuantizeLSTM
        settings["arithmetic"] = "8bit"
    settings["gate_clip"] = _clip(attributes)
    origin = attributes.get("lengths_from")
    return MetadataSettings(
        settings,
        tuple(_remarks(attributes)),
        lengths=tuple(attributes.get("sequence_lens", ())),
        masking=Masking(origin, "sequence_lens") if origin else None,
        backward=dict(zip(ROLES, backward, strict=True)) if backward != forward else {},
    )


def _refuse_sizes(attributes: Attributes) -> None:
    """Refuse a node whose tensors differ in their numbers of units."""
    units = attributes["units"]
    cell = attributes.get("cell_width", units)
    if cell != units:
        raise UserError(
            f"the node's initial_c has {cell} units and its R {units}. PyTorch's exporter writes "
            "an LSTM with a projection (proj_size) so, which ONNX cannot store; the weights in the "
            "file are incomplete.",
            '  Give PyTorch\'s state dict: torch.save(model.state_dict(), "model.pt")',
        )
    size = attributes.get("hidden_size", units)
    if size != units:
        raise UserError(f"the node's hidden_size is {size}, but R has {units}.")


def _clip(attributes: Attributes) -> float | None:
    clip = attributes.get("clip")
    if clip is None:
        return None
    if not 0 < clip < float("inf"):
        raise UserError(
            f"the node's clip is {clip}; a finite number above 0 is needed."
        )
    return _shortest(clip)


def _direction(attributes: Attributes) -> str:
    direction = attributes.get("direction", "forward")
    if direction not in DIRECTIONS:
        raise UserError(
            f"the node's direction is {direction!a}; ONNX has {', '.join(DIRECTIONS)}."
        )
    expected = 2 if direction == "bidirectional" else 1
    if attributes["directions"] != expected:
        found = f"W, R have {attributes['directions']} of {expected}"
        raise UserError(f"the node's direction is {direction}, but {found}.")
    return str(direction)


def _activations(attributes: Attributes) -> tuple[list[str], list[str]]:
    names = attributes.get("activations") or USUAL * attributes["directions"]
    if len(names) != 3 * attributes["directions"]:
        listed = ", ".join(map(str, names))
        raise UserError(
            f"the node's activations are {listed}; each direction has three."
        )
    alphas, betas = (iter(attributes.get(name, ())) for name in NUMBERS)
    read = [_activation(str(name), alphas, betas) for name in names]
    return read[:3], read[-3:]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> str:
    """Ours for the operator's, which takes alpha and beta in turn, if it has them."""
    low = name.lower()
    if low not in ACTIVATIONS:
        raise UserError(f"the node's activation {name!a} is none that ONNX lists.")
    ours = ACTIVATIONS[low]
    usual = ACTIVATION_NAMES[ours]
    pairs = zip((alphas, betas), usual, strict=False)
    given = [float(next(numbers, default)) for numbers, default in pairs]
    if not given:
        return ours
    if ours == "hard_sigmoid":
        fixed = FIXED.get((np.float32(given[0]), given[1]))
        if fixed:
            return fixed
    texts = [shortest_decimal(_shortest(number)) for number in given]
    return f"{ours}({','.join(texts)})"


def _shortest(number: float) -> float:
    """The shortest decimal that is this number in float32, as attributes are."""
    return float(str(np.float32(number)))


def _remarks(attributes: Attributes) -> Iterator[str]:
    named = [str(name).lower() for name in attributes.get("activations", ())]
    expected = sum(len(ACTIVATION_NAMES[ACTIVATIONS[name]]) > 0 for name in named)
    odd = sorted(DISPUTED & {*named})
    if odd and expected > len(attributes.get(NUMBERS[0], ())):
        taken = ", ".join(
            f"{name} {ACTIVATION_NAMES[ACTIVATIONS[name]]}" for name in odd
        )
        yield f"the node lacks numbers of its activations: {taken} here; onnxruntime takes 0."


def activation_attributes(names: Sequence[str]) -> dict[str, Any]:
    """``activations``, ``activation_alpha`` and ``activation_beta`` of an ONNX node.

    A list has numbers only of the activations that take one, in their order.
    """
    parts = [
        split_activation("affine" if name == "identity" else name) for name in names
    ]
    attributes: dict[str, Any] = {
        "activations": [ONNX_NAMES[family] for family, _ in parts]
    }
    for position, attribute in enumerate(NUMBERS):
        values = [numbers[position] for _, numbers in parts if len(numbers) > position]
        if values:
            attributes[attribute] = values
    return attributes
