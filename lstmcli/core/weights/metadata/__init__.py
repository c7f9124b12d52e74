"""Settings of an LSTM from the metadata of its file.

A reader returns metadata as the file has it: the config of a Keras layer, the attributes of an
ONNX node. A row of the table below translates those of one format to the settings of
`core.model.settings`, and names the convention of its files where tensor names do not decide it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from lstmcli.core.weights.metadata.settings import Groups, MetadataSettings

MADMOM_LSTM = "madmom.ml.nn.layers.LSTMLayer"
MADMOM_SETTINGS = {  # words of a layer of madmom (nn/layers.py, activations.py; 0.16.1) -> settings
    "input_gate": "recurrent_activation", "forget_gate": "recurrent_activation",
    "output_gate": "recurrent_activation", "cell": "activation",
    "activation_fn": "output_activation",
}  # fmt: skip
MADMOM_NAMES = {"linear": "identity"} | {name: name for name in ("tanh", "sigmoid", "relu", "elu")}


def _madmom(layer: Mapping[str, Any]) -> MetadataSettings:
    """The activations of a layer of madmom; those that are not supported are unknown."""
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


class MetadataFormat(NamedTuple):
    """One row: the parser of a format's metadata, and the convention of its files."""

    read: Callable[[Groups], MetadataSettings]
    convention: str | None = None  # None: by the names of the tensors
    layers: bool = False  # groups are layers, and LSTMs go by their names


def _torch(around: Groups) -> MetadataSettings:
    """PyTorch: of the attributes of nn.LSTM only ``batch_first`` is in no tensor."""
    for words in reversed(around):
        if isinstance(words.get("batch_first"), bool) and "num_layers" in words:
            return MetadataSettings({"layout": "batch" if words["batch_first"] else "time"})
    return MetadataSettings()


def _pickle(around: Groups) -> MetadataSettings:
    """Pickles: networks of madmom, and PyTorch's modules."""
    for words in reversed(around):
        if words.get("class") == MADMOM_LSTM:
            return _madmom(words)
    return _torch(around)


def _by(module: str, function: str = "read") -> Callable[[Groups], MetadataSettings]:
    """A reader of this package, which is imported when it is used."""

    def read(around: Groups) -> MetadataSettings:
        reader = getattr(import_module(f"{__name__}.{module}"), function)
        found: MetadataSettings = reader(around)
        return found

    return read


METADATA_FORMATS: Mapping[str, MetadataFormat] = {
    "onnx": MetadataFormat(_by("onnx"), convention="onnx"),
    "torch": MetadataFormat(_torch),
    "pickle": MetadataFormat(_pickle),
    "tensorflow": MetadataFormat(_by("tensorflow")),
    "tfjs": MetadataFormat(_by("keras", "read_tensorflow_js"), "tfjs"),
    "tflite": MetadataFormat(_by("tensorflow", "read_tflite")),
    "keras": MetadataFormat(_by("keras"), layers=True),
}
"""The rows by the name of the format."""


def read_metadata(
    format: str, groups: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> MetadataSettings:
    """The settings of the cell with tensors of these names."""
    dialect = METADATA_FORMATS.get(format)
    if dialect is None:
        return MetadataSettings()
    return dialect.read([groups[key] for key in _around(groups, names)])


def _around(groups: Iterable[str], names: Sequence[str]) -> list[str]:
    """The groups that contain all tensors of these names, the outermost first."""
    ordered = sorted(groups, key=len)
    return [key for key in ordered if all(is_in_group(name, key) for name in names)]


def layer_name(format: str, groups: Iterable[str], names: Sequence[str]) -> str:
    """The innermost layer that contains tensors of these names; "" without one."""
    dialect = METADATA_FORMATS.get(format)
    if dialect is None or not dialect.layers:
        return ""
    return next(reversed(_around(groups, names)), "")


def is_dense(groups: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> bool:
    """Whether the layer with tensors of these names is a Keras Dense layer by its metadata.

    Its kernel may have the shape of a fused one, [x; h], and TensorFlow 1 calls that so too.
    """
    innermost = next(reversed(_around(groups, names)), "")
    return bool(innermost) and groups[innermost].get("class_name") == "Dense"


def is_in_group(name: str, key: str) -> bool:
    """Whether a tensor is one of a group's; "" is the group of all."""
    return not key or (name.startswith(key) and name[len(key) : len(key) + 1] in ("", "/", "."))
