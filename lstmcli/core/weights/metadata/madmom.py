"""What the functions of a layer of madmom mean for a run.

Every gate has its function (madmom/ml/nn/layers.py, activations.py; 0.16.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.weights.metadata.metadata_settings import MetadataSettings

LSTM = "madmom.ml.nn.layers.LSTMLayer"
SETTINGS = {  # words of a layer -> settings
    "input_gate": "recurrent_activation", "forget_gate": "recurrent_activation",
    "output_gate": "recurrent_activation", "cell": "activation",
    "activation_fn": "output_activation",
}  # fmt: skip
NAMES = {"linear": "identity"} | {name: name for name in ("tanh", "sigmoid", "relu", "elu")}


def read(layer: Mapping[str, Any]) -> MetadataSettings:
    """The activations of a layer; those that are not supported are unknown."""
    settings: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for word, setting in SETTINGS.items():
        function = layer.get(word)
        if not isinstance(function, str):
            continue
        name = NAMES.get(function.rpartition(".")[2], "")
        option = f"--{setting.replace('_', '-')}"
        if not name:
            unknown[setting] = (
                f"the {word} has the function {function!a}, which is not supported. "
                f"{option} sets another."
            )
        elif settings.setdefault(setting, name) != name:
            unknown[setting] = (
                f"the gates have the functions {settings[setting]} and {name}; a run has one. "
                f"{option} takes one for all of them."
            )
    return MetadataSettings(settings, unknown=unknown)
