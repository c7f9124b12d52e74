"""The tensors and the settings that files contain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.settings import SETTINGS, read_setting
from lstmcli.core.weights.decode import fold_weight_norm
from lstmcli.core.weights.metadata import METADATA_FORMATS
from lstmcli.errors import UserError, did_you_mean
from lstmcli.formats import Document

INPUT_NAMES = ("inputs", "x")
STATE = "initial_state."
MAX_TENSORS = 1 << 15  # of all files together; to recognise and show each takes up to .2 ms
MAX_NAME = 1000  # characters: patterns of names are tried at every one
MAX_COMPARED = 1000  # attributes; of each, 0.2 ms go into looking whether it is nearly a setting
_NOT_WEIGHTS = (*INPUT_NAMES, "lengths", "mask")


def is_weight(name: str) -> bool:
    """Whether an array of this name is a weight, not an input or a state."""
    return name not in _NOT_WEIGHTS and not name.startswith(STATE)


def tensors_in(documents: Sequence[Document]) -> dict[str, Array]:
    """The tensors of all documents by name, without those that are inputs or state."""
    tensors: dict[str, Array] = {}
    origin: dict[str, str] = {}
    for document in documents:
        for name, array in document.arrays.items():
            if not is_weight(name):
                continue
            if name in tensors:
                raise UserError(f"{name} is in both {origin[name]} and {document.source}.")
            if len(name) > MAX_NAME or len(tensors) == MAX_TENSORS:
                raise UserError(_too_large(name, document.source))
            tensors[name], origin[name] = array, document.source
    return fold_weight_norm(tensors)


def _too_large(name: str, source: str) -> str:
    if len(name) > MAX_NAME:
        length = f"{len(name):,} characters; names have {MAX_NAME:,} at most"
        return f"{source}: the name of a tensor, {name[:20]!a}..., has {length}."
    return f"{source} has more than {MAX_TENSORS:,} tensors. Save only those of the LSTM."


def settings_in(*documents: Document) -> dict[str, Any]:
    """The settings among the attributes of documents, checked; later ones win.

    A name that is nearly a setting's is a mistake; any other attribute is ignored.
    """
    settings: dict[str, Any] = {}
    for document in documents:
        settings |= _settings_in(document)
    return settings


def _settings_in(document: Document) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if (dialect := METADATA_FORMATS.get(document.format)) and dialect.convention:
        settings["convention"] = dialect.convention
    compared = len(document.attributes) <= MAX_COMPARED
    for name, value in document.attributes.items():
        if name in SETTINGS or name == "layer":
            where = document.source
            settings[name] = value if name == "layer" else read_setting(name, value, where)
        elif name in ("kernel", "recurrent_kernel", "bias"):
            raise UserError(f"{document.source}: {name} is {value!r}, not an array of numbers.")
        elif compared and (near := did_you_mean(name, SETTINGS)):
            raise UserError(f"{document.source}: {name!r} is no setting.{near}")
    return settings
