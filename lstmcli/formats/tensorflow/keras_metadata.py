"""`keras_metadata.pb`: the configs of layers that Keras 2 wrote into a SavedModel.

The message SavedMetadata lists nodes of the graph of objects by their numbers, each with a JSON
text that has the class and the config of a layer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.keras.chain import lstm_chain
from lstmcli.formats.tensorflow.object_graph import ObjectGraph
from lstmcli.formats.tensorflow.schema import SavedMetadata, SavedObject
from lstmcli.formats.wire.protobuf import Message

CONFIG_KEYS = ("class_name", "config")
ROOT = "root"  # the path of the model itself


Groups = dict[str, dict[str, Any]]
"""The configs of layers, by the start of the names of a layer's variables."""


def parse_layers(data: memoryview, objects: ObjectGraph) -> tuple[Groups, tuple[str, ...]]:
    """The class and config of each layer, and the groups of LSTMs that run one after the other.

    At "" is the version of Keras.
    """
    groups: dict[str, dict[str, Any]] = {}
    lstms: tuple[str, ...] = ()
    for node in Message(data).messages(SavedMetadata.nodes):
        metadata = _parse_json(node.text(SavedObject.metadata))
        if "keras_version" in metadata:
            groups.setdefault("", {})["keras_version"] = str(metadata["keras_version"])
        if node.text(SavedObject.node_path) == ROOT:
            lstms = lstm_chain(metadata)
        names = objects.names_below(node.number(SavedObject.node_id))
        folder = _layer_folder(names, str(metadata.get("name")))
        if folder and isinstance(metadata.get("config"), dict):
            groups.setdefault(folder, {key: metadata.get(key) for key in CONFIG_KEYS})
    return groups, _folders(lstms, groups)


def _folders(names: Sequence[str], groups: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups of layers of these names; none of them if one is ambiguous."""
    found = [[key for key in groups if key.rpartition("/")[2] == name] for name in names]
    return tuple(keys[0] for keys in found) if all(len(keys) == 1 for keys in found) else ()


def _parse_json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise Damaged("the text of a layer is no JSON") from None
    return value if isinstance(value, dict) else {}


def _layer_folder(names: list[str], layer: str) -> str:
    """The path of a layer that starts all of its variables' names; "" if the layer is not in it."""
    levels = zip(*(os.path.dirname(name).split("/") for name in names), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len({*level}) == 1, levels)]
    return "/".join(shared[: shared.index(layer) + 1]) if layer in shared else ""
