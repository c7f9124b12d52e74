"""The graph of objects in a checkpoint: what the variables behind its keys are called.

A checkpoint of objects numbers its variables or names them by attributes; the graph beside them
(tensorflow/core/protobuf/trackable_object_graph.proto) has the variables' own names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from lstmcli.formats.wire.protobuf import Message

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
MOST_VISITS = 1_000_000  # of objects, for all questions together
ATTRIBUTES = "/.ATTRIBUTES/"
ESCAPES = {".S": "/", "..": "."}  # in names of attributes


class Objects:
    """The objects of a checkpoint and the variables among them."""

    def __init__(self, graph: memoryview) -> None:
        nodes = Message(graph).messages(1)
        self._children = [[child.number(1) for child in node.messages(1)] for node in nodes]
        self._held = [
            [(attribute.text(3), attribute.text(2)) for attribute in node.messages(2)]
            for node in nodes
        ]
        self._visits = MOST_VISITS

    def variables(self) -> dict[str, str]:
        """Each variable's own name by its key, in the order of the model; "" where it has none.

        Objects are visited depth first from the root, each once, so that a layer's variables
        stand together; then those that hang on nothing.
        """
        names: dict[str, str] = {}
        for number in (*self._below(0), *range(len(self._held))):
            for key, name in self._held[number]:
                names.setdefault(key, name)
        return names

    def names_below(self, number: int) -> list[str]:
        """The names of the variables that hang on an object."""
        return [name for one in self._below(number) for _, name in self._held[one] if name]

    def _below(self, number: int) -> Iterator[int]:
        seen: set[int] = set()
        waiting = [number]
        while waiting and self._visits > 0:
            number = waiting.pop()
            if number in seen or number >= len(self._held):
                continue
            seen.add(number)
            self._visits -= 1
            yield number
            waiting += reversed(self._children[number])


def renamed(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The arrays by their variables' names, in the order of the model.

    A variable may be kept under two keys; one is enough if the elements are the same. Variables
    that share a name go by their keys.
    """
    order = {key: place for place, key in enumerate(names)}
    keys = sorted(arrays, key=lambda key: order.get(key, len(order)))
    bearers: dict[str, list[str]] = {}
    for key in keys:
        bearers.setdefault(names.get(key) or readable(key), []).append(key)
    called: dict[str, str] = {}
    for name, held in bearers.items():
        unlike = _unlike(held, arrays)
        called |= {key: name if len(unlike) == 1 else readable(key) for key in unlike}
    return {called[key]: arrays[key] for key in keys if key in called}


def _unlike(keys: list[str], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The first key of each of the tensors that differ."""
    if len(keys) == 1:
        return keys
    from hashlib import sha256

    seen: dict[tuple[object, ...], str] = {}
    for key in keys:
        array = arrays[key]
        seen.setdefault((array.dtype, array.shape, sha256(array.tobytes()).digest()), key)
    return list(seen.values())


def readable(key: str) -> str:
    """A key as the path of attributes that it stands for."""
    path = key.partition(ATTRIBUTES)[0]
    return re.sub(r"\.[.S]", lambda pair: ESCAPES[pair[0]], path)
