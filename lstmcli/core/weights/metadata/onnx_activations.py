"""Activations as ONNX attributes: names, and the lists of alpha and beta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstmcli.core.model.vocabulary import ACTIVATION_NAMES

ONNX_NAMES = {
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "identity": "Affine",
    "hard_sigmoid": "HardSigmoid", "affine": "Affine", "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu", "scaled_tanh": "ScaledTanh", "elu": "Elu",
    "softsign": "Softsign", "softplus": "Softplus",
}  # fmt: skip
_SAME_AS = {
    "identity": ("identity", (1.0, 0.0)),
    "hard_sigmoid_0.2": ("hard_sigmoid", (0.2, 0.5)),
    "hard_sigmoid_1_6": ("hard_sigmoid", (1 / 6, 0.5)),
}


def activation_attributes(names: Sequence[str]) -> dict[str, Any]:
    """``activations``, ``activation_alpha`` and ``activation_beta`` of an ONNX node.

    An operator takes a number from a list only for an activation that has one, in the order of
    the activations.
    """
    parts = [split_activation(name) for name in names]
    attributes: dict[str, Any] = {"activations": [ONNX_NAMES[family] for family, _ in parts]}
    for position, attribute in enumerate(("activation_alpha", "activation_beta")):
        if values := [numbers[position] for _, numbers in parts if len(numbers) > position]:
            attributes[attribute] = values
    return attributes


def split_activation(name: str) -> tuple[str, tuple[float, ...]]:
    """An activation's family and its numbers: ``elu(0.8)`` is ``elu``, (0.8,)."""
    if name in _SAME_AS:
        return _SAME_AS[name]
    family, _, rest = name.partition("(")
    given = tuple(float(p) for p in rest.rstrip(")").split(",") if p)
    return family, given or ACTIVATION_NAMES[family]
