"""The config of a Keras layer as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.dialects import Told, Words
from lstmcli.core.names import ACTIVATION_NAMES
from lstmcli.errors import UserError

ACTIVATIONS = {  # Keras' names of activations that have another one here
    "linear": "identity",
    None: "identity",
}
KEYS = ("activation", "recurrent_activation")
MERGES = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "ave", None: "stack"}


def read(words: Words) -> Told:
    """The settings in the configs around an LSTM's tensors, the innermost layer's last.

    The words are ``class_name`` and ``config`` of each layer; ``keras_version`` of the file tells
    which of two hard sigmoids is meant.

    Raises
    ------
    UserError
        An activation that cannot be run; cells stacked in one layer that runs backwards.
    """
    settings: dict[str, Any] = {}
    version = next((str(group["keras_version"]) for group in words if "keras_version" in group), "")
    wrapped = False
    for group in words:
        kind, config = group.get("class_name"), group.get("config")
        if not isinstance(config, Mapping):
            continue
        if kind == "Bidirectional":
            wrapped = True
            settings |= _of_wrapper(config, version)
        elif kind == "RNN":
            settings |= _of_run(config, wrapped)
        elif kind in ("LSTM", "LSTMCell", "CuDNNLSTM"):
            settings |= _of_layer(config, version, wrapped)
    return Told(settings)


def _of_wrapper(config: Mapping[str, Any], version: str) -> dict[str, Any]:
    """A Bidirectional layer's merge, and what the layer in it says."""
    settings: dict[str, Any] = {}
    inner = config.get("layer")
    if isinstance(inner, Mapping) and isinstance(inner.get("config"), Mapping):
        settings |= _of_layer(inner["config"], version, wrapped=True)
    mode = config.get("merge_mode", "concat")
    if mode in MERGES:
        settings["merge"] = MERGES[mode]
    return settings


def _of_run(config: Mapping[str, Any], wrapped: bool) -> dict[str, Any]:
    """The settings of an RNN layer, which its cells do not have."""
    cell = config.get("cell")
    stacked = cell.get("config", {}).get("cells") if isinstance(cell, Mapping) else None
    if config.get("go_backwards") and isinstance(stacked, list) and len(stacked) > 1:
        raise UserError(
            f"{config.get('name', 'the layer')} runs {len(stacked)} cells backwards at once; "
            "this version runs one such cell."
        )
    return _of_time(config, wrapped)


def _of_layer(config: Mapping[str, Any], version: str, wrapped: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        key: _activation(config[key], version, str(config.get("name", "the LSTM")))
        for key in KEYS
        if key in config
    }
    return settings | _of_time(config, wrapped)


def _of_time(config: Mapping[str, Any], wrapped: bool) -> dict[str, Any]:
    """In which order and layout a layer runs; inside a wrapper, the wrapper's affair."""
    settings: dict[str, Any] = {}
    if config.get("go_backwards") and not wrapped:
        settings["go_backwards"] = True
    if config.get("time_major"):
        settings["layout"] = "time"
    if config.get("zero_output_for_mask") and not wrapped:
        settings["masked_output"] = "zero"
    return settings


def _activation(name: Any, version: str, layer: str) -> str:
    if name == "hard_sigmoid":
        return "hard_sigmoid_1_6" if version.startswith("3") else "hard_sigmoid_0.2"
    known = ACTIVATIONS.get(name, name) if isinstance(name, (str, type(None))) else ""
    if known not in ACTIVATION_NAMES:
        raise UserError(
            f"{layer} has the activation {name!a}, which this version does not run; it runs "
            f"{', '.join(ACTIVATION_NAMES)}."
        )
    return str(known)
