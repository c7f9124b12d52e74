"""What files say about an LSTM beside its tensors, put into settings.

A file's format hands on what it holds in its own words: the config of a Keras layer, the
attributes of an ONNX node. A dialect is a row of the table below: it knows what these words mean
for the settings of `core.settings`, and which row of the table of conventions its files follow
where names alone would not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple


class MetadataSettings(NamedTuple):
    """What a file says about one LSTM."""

    settings: Mapping[str, Any] = {}
    remarks: tuple[str, ...] = ()
    assumed: Mapping[str, str] = {}  # setting that the file leaves open -> how it was taken
    unknown: Mapping[str, str] = {}  # setting that a run cannot have as the file says -> message
    last_step: bool = False  # in its network, only the last step goes on to what follows
    lengths: tuple[int, ...] = ()  # valid steps of each sequence, where the file holds them
    backward: Mapping[str, Any] = {}  # settings of the backward cell of tensors that hold both

    def of_convention(self, takes: Collection[str]) -> MetadataSettings:
        """Without the assumed values of settings that the convention does not take.

        A version's default gates are those of its LSTM; its CuDNNLSTM has no such setting.
        """
        fixed = self.assumed.keys() - set(takes)
        settings = {name: value for name, value in self.settings.items() if name not in fixed}
        assumed = {name: text for name, text in self.assumed.items() if name not in fixed}
        return self._replace(settings=settings, assumed=assumed)


Groups = Sequence[Mapping[str, Any]]
"""The groups that a cell's tensors lie in, from the outermost to its own."""


class MetadataFormat(NamedTuple):
    """One row: how the words of a format are read, and the convention that goes with it."""

    read: Callable[[Groups], MetadataSettings]
    convention: str | None = None  # None: the names of the tensors tell
    layers: bool = False  # groups are layers, and LSTMs go by their names


def _torch(around: Groups) -> MetadataSettings:
    """PyTorch: of the attributes of nn.LSTM only ``batch_first`` is in no tensor."""
    for words in reversed(around):
        if isinstance(words.get("batch_first"), bool) and "num_layers" in words:
            return MetadataSettings({"layout": "batch" if words["batch_first"] else "time"})
    return MetadataSettings()


def _pickle(around: Groups) -> MetadataSettings:
    """Pickles: networks of madmom, and PyTorch's modules."""
    from lstmcli.core.weights.metadata import madmom

    for words in reversed(around):
        if words.get("class") == madmom.LSTM:
            return madmom.read(words)
    return _torch(around)


def _of(module: str, function: str = "read") -> Callable[[Groups], MetadataSettings]:
    """A function of a module of this package, imported when it is first needed."""

    def read(words: Groups) -> MetadataSettings:
        told: MetadataSettings = getattr(import_module(f"{__name__}.{module}"), function)(words)
        return told

    return read


METADATA_FORMATS: Mapping[str, MetadataFormat] = {
    "onnx": MetadataFormat(_of("onnx"), convention="onnx"),
    "torch": MetadataFormat(_torch),
    "pickle": MetadataFormat(_pickle),
    "tensorflow": MetadataFormat(_of("tensorflow")),
    "tfjs": MetadataFormat(_of("keras", "read_tensorflow_js"), "tfjs"),
    "tflite": MetadataFormat(_of("tflite")),
    "keras": MetadataFormat(_of("keras"), layers=True),
}
"""The rows by the name of the format."""


def read_metadata(
    format: str, groups: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> MetadataSettings:
    """What a file says about the cell with tensors of these names.

    Raises
    ------
    UserError
        for what the run cannot do as the file says it.
    """
    dialect = METADATA_FORMATS.get(format)
    if dialect is None:
        return MetadataSettings()
    around = [
        groups[key]
        for key in sorted(groups, key=len)
        if all(is_in_group(name, key) for name in names)
    ]
    return dialect.read(around)


def layer_name(format: str, groups: Iterable[str], names: Sequence[str]) -> str:
    """The innermost layer that an LSTM with tensors of these names lies in; "" where none is."""
    dialect = METADATA_FORMATS.get(format)
    if dialect is None or not dialect.layers:
        return ""
    around = (key for key in groups if all(is_in_group(name, key) for name in names))
    return max(around, key=len, default="")


def is_dense(groups: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> bool:
    """Whether a file says of the layer with tensors of these names that it is Keras' Dense.

    Its kernel may have the shape of a fused one, [x; h], and TensorFlow 1 calls that so too.
    """
    around = (key for key in groups if key and all(is_in_group(name, key) for name in names))
    return groups.get(max(around, key=len, default=""), {}).get("class_name") == "Dense"


def is_in_group(name: str, key: str) -> bool:
    """Whether a tensor is one of a group's; "" is the group of all."""
    return not key or (name.startswith(key) and name[len(key) : len(key) + 1] in ("", "/", "."))
