"""The graph of objects in a checkpoint, which gives the names of the variables.

The keys of such a checkpoint are paths of attributes and numbers. Its TrackableObjectGraph has the
name that each variable had in the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256

import numpy as np

from lstmcli.formats.tensorflow import schema
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
