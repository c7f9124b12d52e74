"""Settings of an LSTM from the metadata of its file.

A reader returns metadata as in the file: the config of a Keras layer, the
attributes of an ONNX node. A row of the table below translates those of one
format to the settings of `core.model.settings`, and names its convention if
tensor names do not decide it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, cast

from lstmcli.core.model.model import Masking

Attributes = Mapping[str, Any]  # of a group, by the words of its format
Groups = Sequence[Attributes]
"""The metadata groups that contain a cell's tensors, the outermost first."""


class MetadataSettings(NamedTuple):
    """The settings of an LSTM in the metadata of a file; the missing and unsupported."""

    settings: Mapping[str, Any] = {}
    remarks: tuple[str, ...] = ()
    assumed: Mapping[str, str] = {}  # setting that the file leaves open -> assumption
    unknown: Mapping[str, str] = {}  # setting of an unsupported value -> message
    last_step: bool = False  # in its network, only the last step goes on
    lengths: tuple[int, ...] = ()  # valid steps of each sequence, from the file
    backward: Mapping[str, Any] = {}  # of the backward cell, if one tensor stores both
    masking: Masking | None = None  # the layer of its network that masks its steps
    classes: tuple[str, ...] = ()  # the assumptions about classes of the model's author

    def of_convention(self, takes: Collection[str]) -> MetadataSettings:
        """Without the assumed values of settings that the convention does not take.

        A version's default gates are those of its LSTM; its CuDNNLSTM has no
        such setting.
        """
        fixed = self.assumed.keys() - set(takes)
        settings = {
            name: value for name, value in self.settings.items() if name not in fixed
        }
        assumed = {
            name: text for name, text in self.assumed.items() if name not in fixed
        }
        return self._replace(settings=settings, assumed=assumed)


def merge_metadata(per_file: Sequence[MetadataSettings]) -> MetadataSettings:
    """The metadata of all files on a cell; what one has is not assumed for another."""
    known = {
        name for one in per_file for name in one.settings.keys() - one.assumed.keys()
    }
    by_setting = ("settings", "assumed", "unknown", "backward")
    merged: dict[str, dict[str, Any]] = {name: {} for name in by_setting}
    for one in per_file:
        replaced = known & one.assumed.keys()
        for name, values in merged.items():
            of_file = getattr(one, name)
            left_out = replaced if name in ("settings", "assumed") else ()
            values |= {k: v for k, v in of_file.items() if k not in left_out}
    return MetadataSettings(
        remarks=tuple(remark for one in per_file for remark in one.remarks),
        last_step=any(one.last_step for one in per_file),
        lengths=next((one.lengths for one in per_file if one.lengths), ()),
        masking=next((one.masking for one in per_file if one.masking), None),
        classes=tuple(dict.fromkeys(text for one in per_file for text in one.classes)),
        **merged,
    )


class MetadataFormat(NamedTuple):
    """One row: the parser of a format's metadata, its files' convention."""

    module: str  # of this package
    function: str = "read"
    convention: str | None = None  # None: by the names of the tensors
    layers: bool = False  # groups are layers, and LSTMs go by their names


METADATA_FORMATS: Mapping[str, MetadataFormat] = {
    "onnx": MetadataFormat("onnx", convention="onnx"),
    "torch": MetadataFormat("torch"),
    "pickle": MetadataFormat("torch"),
    "tensorflow": MetadataFormat("tensorflow"),
    "tfjs": MetadataFormat("keras", "read_tensorflow_js", convention="tfjs"),
    "tflite": MetadataFormat("tensorflow", "read_tflite"),
    "keras": MetadataFormat("keras", layers=True),
}
"""The rows by the name of the format."""


def read_metadata(
    format: str, groups: Mapping[str, Attributes], names: Sequence[str]
) -> MetadataSettings:
    """The settings of the cell with tensors of these names."""
    dialect = METADATA_FORMATS.get(format)
    if dialect is None:
        return MetadataSettings()
    read = getattr(import_module(f"{__name__}.{dialect.module}"), dialect.function)
    return cast(MetadataSettings, read([groups[key] for key in _around(groups, names)]))


def _around(groups: Iterable[str], names: Sequence[str]) -> list[str]:
    """The groups with all tensors of these names, the outermost first."""
    ordered = sorted(groups, key=len)
    return [key for key in ordered if all(is_in_group(name, key) for name in names)]


def layer_name(format: str, groups: Iterable[str], names: Sequence[str]) -> str:
    """The innermost layer with tensors of these names, or ""."""
    dialect = METADATA_FORMATS.get(format)
    if dialect is None or not dialect.layers:
        return ""
    return next(reversed(_around(groups, names)), "")


def is_dense(groups: Mapping[str, Attributes], names: Sequence[str]) -> bool:
    """Return whether the layer with tensors of these names is a Keras Dense layer by its metadata.

    Its kernel may have the shape of a fused one, [x; h], and TensorFlow 1's
    name.
    """
    innermost = next(reversed(_around(groups, names)), "")
    return bool(innermost) and groups[innermost].get("class_name") == "Dense"


def is_in_group(name: str, key: str) -> bool:
    """Return whether a tensor is in a group; "" is the group of all."""
    return not key or name == key or name.startswith((f"{key}/", f"{key}."))
