"""Attributes of PyTorch's modules and of madmom's layers as settings."""

from __future__ import annotations

from typing import Any

from lstmcli.core.weights.metadata import Attributes, Groups, MetadataSettings

MADMOM_LSTM = "madmom.ml.nn.layers.LSTMLayer"
MADMOM_SETTINGS = {  # words of madmom (nn/layers.py, activations.py; 0.16.1) -> settings
    "input_gate": "recurrent_activation",
    "forget_gate": "recurrent_activation",
    "output_gate": "recurrent_activation",
    "cell": "activation",
    "activation_fn": "output_activation",
}
MADMOM_NAMES = {"linear": "identity"} | {
    name: name for name in ("tanh", "sigmoid", "relu", "elu")
}


def _madmom(layer: Attributes) -> MetadataSettings:
    settings: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for word, setting in MADMOM_SETTINGS.items():
        function = layer.get(word)
        if not isinstance(function, str):
            continue
        name = MADMOM_NAMES.get(function.rpartition(".")[2], "")
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


def read(around: Groups) -> MetadataSettings:
    """Of nn.LSTM's attributes, only ``batch_first`` is in no tensor; madmom's layers."""
    for words in reversed(around):
        if words.get("class") == MADMOM_LSTM:
            return _madmom(words)
        if isinstance(words.get("batch_first"), bool) and "num_layers" in words:
            return MetadataSettings(
                {"layout": "batch" if words["batch_first"] else "time"}
            )
    return MetadataSettings()
