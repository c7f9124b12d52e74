"""The config of a Keras layer as settings.

A group is a layer as Keras serialises it: ``class_name`` and ``config``; that
of the file has ``keras_version``. Source: the layers' ``get_config`` in Keras
1.2.2, 2.2.5, tf_keras 2.21 and Keras 3.15; the defaults are those of their
``recurrent.py`` and ``lstm.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lstmcli.core.model.model import Masking
from lstmcli.core.model.settings import Assumption
from lstmcli.core.model.vocabulary import (
    NEW_HARD_SIGMOID,
    OLD_HARD_SIGMOID,
    hard_sigmoid_of_keras,
    keras_activation_name,
    read_activation_name,
)
from lstmcli.core.weights.metadata import Groups, MetadataSettings
from lstmcli.errors import UserError

Config = Mapping[str, Any]

MERGED = {"concat": "concat", "sum": "sum", "mul": "mul", "ave": "ave"}
ACTIVATIONS = {  # key -> setting; the last one is Keras 1's
    "activation": "activation",
    "recurrent_activation": "recurrent_activation",
    "inner_activation": "recurrent_activation",
}
RECURRENT = ("recurrent_activation", "inner_activation")  # keys of every LSTM's config
OWN = ("LSTM", "CuDNNLSTM", "LSTMCell", "PeepholeLSTMCell")  # Keras' classes of an LSTM
WRAPPERS = ("Bidirectional", "RNN", "StackedRNNCells")  # its classes that run one
MODELS = ("Sequential", "Functional", "Model")  # whose config is not a layer's
MOST_DEPTH = 32  # of nested configs
RUN_LEVEL = {  # keys of a layer that runs a cell -> settings
    "go_backwards": ("go_backwards", True),
    "time_major": ("layout", "time"),
    "zero_output_for_mask": ("masked_output", "zero"),
}


def read(around: Groups) -> MetadataSettings:
    """The settings of one LSTM, and remarks on its layer."""
    version = next(
        (str(g["keras_version"]) for g in around if g.get("keras_version")), ""
    )
    layers = [group for group in around if _config(group)]
    if not layers:
        return _without_config(version)
    notes = _LayerSettings(version)
    for layer in layers:
        notes.layer(_kind(layer), _config(layer))
    notes.wrapped_layer(_kind(layers[-1]), _config(layers[-1]))
    return notes.result()._replace(masking=_masking(layers))


def _masking(layers: Groups) -> Masking | None:
    """The layer that masks the steps of the innermost of these layers that has one."""
    masked = next((one for one in reversed(layers) if one.get("masked_by")), None)
    if masked is None:
        return None
    mask = masked["masked_by"]
    name, kind, config = str(mask["name"]), _kind(mask), _config(mask)
    value = config.get("mask_value", 0.0) if kind == "Masking" else None
    direct = mask["unchanged"] and "layers" not in _config(masked)  # that is a model
    if not direct or not isinstance(value, int | float):
        return Masking(name, kind)
    policy = config.get("dtype")
    dtype = str(_config(policy).get("name") if isinstance(policy, dict) else policy)
    dtype = dtype.removeprefix("mixed_")
    return Masking(name, kind, float(value), dtype if dtype in _DTYPES else "float32")


_DTYPES = ("float16", "float64")  # of a Masking layer, besides float32


def read_tensorflow_js(groups: Groups) -> MetadataSettings:
    """As `read`, of a layer of TensorFlow.js.

    Its hard sigmoid is clip(0.2 x + 0.5), whichever version of Keras wrote the
    config.
    """
    return read(groups)._replace(assumed={})  # they have no version


def _kind(group: Config) -> str:
    """The class without the module that it is registered under: ``mine>LSTM``."""
    return re.split("[>.]", str(group.get("class_name") or ""))[-1]


def _config(part: Any) -> Config:
    config = part.get("config") if isinstance(part, Mapping) else None
    return config if isinstance(config, dict) else {}


def _runs_a_cell(kind: str, config: Config) -> bool:
    """Return whether a config is an LSTM's, a cell's, or that of a layer that runs one."""
    words = (*RECURRENT, "cell")
    return (
        "LSTM" in kind
        or kind == "Bidirectional"
        or any(word in config for word in words)
    )


def _inner_layers(part: Any, depth: int = 0) -> Iterator[Config]:
    """The layers in a config that run an LSTM's cell; a GRU has the same words."""
    if isinstance(part, dict):
        kind, config = _kind(part), _config(part)
        if kind == "Bidirectional" and not any(_inner_layers(config)):
            return
        if _runs_a_cell(kind, config) and ("GRU" not in kind or "LSTM" in kind):
            yield part
            return
        part = [*part.values()]
    for one in part if isinstance(part, list) and depth < MOST_DEPTH else ():
        yield from _inner_layers(one, depth + 1)


def _without_config(version: str) -> MetadataSettings:
    numbers, form = _numbers(version), OLD_HARD_SIGMOID
    of = f"default of Keras {version}"
    if version == "2.2.4-tf":
        form = "sigmoid"
        of = f"default of TensorFlow 2.0 and 2.1, {OLD_HARD_SIGMOID} of 1.13 to 1.15"
    elif not numbers or numbers >= (2, 3):
        return MetadataSettings()
    name = RECURRENT[0]
    text = Assumption(f"{form} gates", of, "--recurrent-activation")
    return MetadataSettings({name: form}, assumed={name: text})


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d{1,9}(\.\d{1,9})*", version)
    return tuple(int(n) for n in match[0].split(".")[:3]) if match else ()


class _LayerSettings:
    def __init__(self, version: str) -> None:
        self.version, self.name = version, ""
        self.settings: dict[str, Any] = {}
        self.unknown: dict[str, str] = {}
        self.remarks: list[str] = []
        self.assumed: dict[str, str] = {}
        self.classes: list[str] = []  # a text on each of the model's author
        self.last_step = False
        self.wrapped = False  # in a Bidirectional, which turns and masks

    def result(self) -> MetadataSettings:
        return MetadataSettings(
            self.settings,
            tuple(self.remarks),
            self.assumed,
            self.unknown,
            self.last_step,
            classes=tuple(dict.fromkeys(self.classes)),
        )

    def layer(self, kind: str, config: Config) -> None:
        """Add those of a layer, a wrapper with one, or a cell; models have none."""
        self.name = str(config.get("name", self.name))
        if kind == "Bidirectional":
            self._bidirectional(config)
        elif _runs_a_cell(kind, config):
            if "layers" not in config:  # those of a model have separate groups
                self._class(kind)
            self._runs(config)
            self._activations(config)

    def wrapped_layer(self, kind: str, config: Config) -> None:
        """The one LSTM in the config of an innermost layer that is a wrapper."""
        if kind in MODELS or _runs_a_cell(kind, config):
            return
        name, within = self.name, [*_inner_layers(config)]
        if len(within) == 1:
            self.layer(_kind(within[0]), _config(within[0]))
            self.name = name
        if kind == "TimeDistributed":
            self.remarks.append(
                f"{name} (TimeDistributed) runs its LSTM along each entry of another axis in the "
                "model; here each batch item of the inputs is one entry."
            )

    def _class(self, kind: str) -> None:
        """Note a class that is not part of Keras; refuse that of another layer."""
        if any(other in kind for other in ("GRU", "ConvLSTM")):
            raise self._cannot(f"is of class {kind}")
        if kind and kind not in (*OWN, *WRAPPERS):
            text = f"class {kind} is not part of Keras; it is computed as keras.layers.LSTM"
            self.classes.append(text)

    def _bidirectional(self, config: Config) -> None:
        for part in (config.get("layer"), config.get("backward_layer")):
            if isinstance(part, dict):
                self._class(_kind(part))
        forward = _config(config.get("layer"))
        backward = _config(config.get("backward_layer")) or forward
        if "cells" in _config(forward.get("cell")):
            raise self._cannot("runs a stack of cells in both directions")
        if forward.get("go_backwards"):
            raise self._cannot("wraps a layer that runs backwards itself")
        for word in (
            "activation",
            "inner_activation",
            "recurrent_activation",
            "use_bias",
        ):
            if forward.get(word) != backward.get(word):
                raise self._cannot(f"has another {word} in each direction")
        mode = config.get("merge_mode", "concat")
        if mode is not None and str(mode) not in MERGED:
            raise self._cannot(f"merges by {mode!r}")
        self.settings["merge"] = "stack" if mode is None else MERGED[str(mode)]
        self.wrapped = True
        self._runs(forward)
        self._activations(forward)

    def _runs(self, config: Config) -> None:
        for word, (setting, value) in RUN_LEVEL.items():
            if config.get(word) is True and (setting == "layout" or not self.wrapped):
                self.settings[setting] = value
        if config.get("go_backwards") is False and not self.wrapped:
            self.settings["go_backwards"] = False
        if config.get("stateful") is True:
            self.remarks.append(
                f"{self.name} is stateful: Keras goes on from the last batch's state; "
                "here a run starts from --initial-state, or zero."
            )
        if "return_sequences" in config:
            self.last_step = config["return_sequences"] is False
        part = config.get("cell")
        if isinstance(part, dict):
            self._class(_kind(part))
        cell = _config(part)
        cells = cell.get("cells")
        if config.get("go_backwards") and isinstance(cells, list) and len(cells) > 1:
            raise self._cannot(f"runs {len(cells)} cells backwards at once")
        self._activations(cell)

    def _activations(self, config: Config) -> None:
        for word, setting in ACTIVATIONS.items():
            if word in config:
                self._activation(setting, config[word])
        if config.get("use_bias") is False:
            self.settings["bias"] = "none"

    def _activation(self, setting: str, value: Any) -> None:
        name = keras_activation_name(value)
        if name == "hard_sigmoid":
            name = self._hard_sigmoid(setting)
        try:
            self.settings[setting] = read_activation_name(name)
        except ValueError:
            option = setting.replace("_", "-")
            self.unknown[setting] = (
                f"{self.name} has the {setting.replace('_', ' ')} {name!a}, which is not "
                f"supported. --{option} sets another."
            )

    def _hard_sigmoid(self, setting: str) -> str:
        """Keras 3 gave the name to another function."""
        form = hard_sigmoid_of_keras(self.version)
        if not _numbers(self.version):
            what, option = (
                f"{form}, that of Keras 1 and 2",
                f"--{setting.replace('_', '-')}",
            )
            self.assumed[setting] = Assumption(
                what, "", option, f"{NEW_HARD_SIGMOID} is Keras 3's"
            )
        return form

    def _cannot(self, what: str) -> UserError:
        return UserError(f"{self.name} {what}; a run cannot do that.")
