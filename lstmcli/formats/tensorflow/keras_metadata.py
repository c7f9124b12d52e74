"""`keras_metadata.pb`: what Keras 2 wrote of its layers into a SavedModel.

The message is SavedMetadata of keras/protobuf/saved_metadata.proto (2.15): nodes of the graph of
objects by their numbers, each with a JSON text that has the class and the config of a layer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.keras.chain import in_turn
from lstmcli.formats.tensorflow.objects import Objects
from lstmcli.formats.wire.protobuf import Message

WORDS = ("class_name", "config")
ROOT = "root"  # the path of the model itself


class Layers(NamedTuple):
    """What Keras wrote of a model."""

    groups: dict[str, dict[str, Any]]  # of each layer, by what its variables' names start with
    in_turn: tuple[str, ...]  # the groups of LSTMs that the model runs one after the other


def layers(data: memoryview, objects: Objects) -> Layers:
    """The class and config of each layer; at "" the version of Keras.

    Raises
    ------
    Damaged
        Bytes that are no such message, or a text that is no JSON.
    """
    groups: dict[str, dict[str, Any]] = {}
    row: tuple[str, ...] = ()
    for node in Message(data).messages(1):
        told = _decoded(node.text(5))
        if "keras_version" in told:
            groups.setdefault("", {})["keras_version"] = str(told["keras_version"])
        if node.text(3) == ROOT:
            row = in_turn(told)
        names = objects.names_below(node.number(2))
        folder = _folder(names, str(told.get("name")))
        if folder and isinstance(told.get("config"), dict):
            groups.setdefault(folder, {word: told.get(word) for word in WORDS})
    return Layers(groups, _folders(row, groups))


def _folders(names: Sequence[str], groups: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups of layers of these names; none of them if one's is not plain."""
    found = [[key for key in groups if key.rpartition("/")[2] == name] for name in names]
    return tuple(keys[0] for keys in found) if all(len(keys) == 1 for keys in found) else ()


def _decoded(text: str) -> Mapping[str, Any]:
    import json

    try:
        told = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise Damaged("the text of a layer is no JSON") from None
    return told if isinstance(told, dict) else {}


def _folder(names: list[str], layer: str) -> str:
    """The path of a layer that all of its variables lie below; "" for one that is not in it."""
    levels = zip(*(os.path.dirname(name).split("/") for name in names), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len({*level}) == 1, levels)]
    return "/".join(shared[: shared.index(layer) + 1]) if layer in shared else ""
