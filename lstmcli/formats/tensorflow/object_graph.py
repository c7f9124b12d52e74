"""The graph of objects in a checkpoint, which gives the names of the variables.

The keys of such a checkpoint are paths of attributes and numbers. Its TrackableObjectGraph has the
name that each variable had in the program. In a SavedModel of Keras 2, `keras_metadata.pb` lists
nodes of that graph by their numbers, each with a JSON text of a layer's class and config.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import takewhile
from typing import Any

import numpy as np

from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.keras.layers import lstm_chain, masks_before
from lstmcli.formats.tensorflow import graph as schema
from lstmcli.formats.tensorflow.graph import SavedMetadata, SavedObject
from lstmcli.formats.wire.protobuf import Message

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
MOST_VISITS = 1_000_000  # of objects, over all calls for one checkpoint
ATTRIBUTES = "/.ATTRIBUTES/"
ESCAPES = {".S": "/", "..": "."}  # in names of attributes


class ObjectGraph:
    """The objects of a checkpoint, numbered, and the variables among them."""

    def __init__(self, graph: memoryview) -> None:
        self._children: list[list[int]] = []
        self._variables: list[list[tuple[str, str]]] = []  # of each object: (key, name)
        for node in Message(graph).messages(schema.TrackableObjectGraph.nodes):
            children = node.messages(schema.TrackableObject.children)
            tensors = node.messages(schema.TrackableObject.attributes)
            self._children.append([c.number(schema.ObjectReference.node_id) for c in children])
            key, name = schema.SerializedTensor.checkpoint_key, schema.SerializedTensor.full_name
            self._variables.append([(t.text(key), t.text(name)) for t in tensors])
        self._visits = MOST_VISITS

    def variables(self) -> dict[str, str]:
        """The name of each variable by its key, in the order of the model; "" if it has none.

        Objects are visited depth first from the root, each once, so that the variables of a layer
        are adjacent; then objects that cannot be reached from the root.
        """
        names: dict[str, str] = {}
        for number in (*self._below(0), *range(len(self._variables))):
            for key, name in self._variables[number]:
                names.setdefault(key, name)
        return names

    def names_below(self, number: int) -> list[str]:
        """The names of the variables of an object and of the objects that it refers to."""
        return [name for node in self._below(number) for _, name in self._variables[node] if name]

    def _below(self, number: int) -> Iterator[int]:
        seen: set[int] = set()
        waiting = [number]
        while waiting and self._visits > 0:
            number = waiting.pop()
            if number in seen or number >= len(self._variables):
                continue
            seen.add(number)
            self._visits -= 1
            yield number
            waiting += reversed(self._children[number])


def rename(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The arrays by their variables' names, in the order of the model.

    A variable that was saved under two keys with the same elements is returned once. Variables
    that share a name are named by their keys.
    """
    order = {key: n for n, key in enumerate(names)}
    keys = sorted(arrays, key=lambda key: order.get(key, len(order)))
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(names.get(key) or attribute_path(key), []).append(key)
    new_names: dict[str, str] = {}
    for name, same_name in by_name.items():
        distinct = _distinct(same_name, arrays)
        new_names |= {key: name if len(distinct) == 1 else attribute_path(key) for key in distinct}
    return {new_names[key]: arrays[key] for key in keys if key in new_names}


def _distinct(keys: list[str], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The keys without those whose tensor equals that of an earlier key."""
    if len(keys) == 1:
        return keys
    seen: dict[tuple[object, ...], str] = {}
    for key in keys:
        array = arrays[key]
        seen.setdefault((array.dtype, array.shape, sha256(array.tobytes()).digest()), key)
    return list(seen.values())


def attribute_path(key: str) -> str:
    """The path of attributes that a key encodes."""
    path = key.partition(ATTRIBUTES)[0]
    return re.sub(r"\.[.S]", lambda pair: ESCAPES[pair[0]], path)


# ---- configs of layers in a SavedModel


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
    masks: Groups = {}
    for node in Message(data).messages(SavedMetadata.nodes):
        metadata = _parse_json(node.text(SavedObject.metadata))
        if "keras_version" in metadata:
            groups.setdefault("", {})["keras_version"] = str(metadata["keras_version"])
        if node.text(SavedObject.node_path) == ROOT:
            lstms, masks = lstm_chain(metadata), masks_before(metadata)
        names = objects.names_below(node.number(SavedObject.node_id))
        folder = _layer_folder(names, str(metadata.get("name")))
        if folder and isinstance(metadata.get("config"), dict):
            groups.setdefault(folder, {key: metadata.get(key) for key in CONFIG_KEYS})
    for key, group in groups.items():
        group["masked_by"] = masks.get(key.rpartition("/")[2])
    found = [[key for key in groups if key.rpartition("/")[2] == name] for name in lstms]
    unique = all(len(keys) == 1 for keys in found)
    return groups, tuple(keys[0] for keys in found) if unique else ()


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
