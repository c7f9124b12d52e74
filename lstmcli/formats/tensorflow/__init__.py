"""TensorFlow's files: checkpoints of both formats, SavedModels, graphs with their constants.

A checkpoint's names are those of its graph or, if it was made of objects, of its variables. What
lies beside it is used: the graph in ``PREFIX.meta`` or ``saved_model.pb``, and the settings of
Keras' layers in ``keras_metadata.pb``. `Document.groups` has what they say: of a variable, the
row of ops that its values go through; of a layer, its class and config.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.companions import beside, contents
from lstmcli.formats.files.errors import Damaged, damage_reported
from lstmcli.formats.files.source import Opened, opened
from lstmcli.formats.tensorflow.bundle import INDEX, Bundle
from lstmcli.formats.tensorflow.first_format import FirstFormat
from lstmcli.formats.tensorflow.graph import Graph, graph_in
from lstmcli.formats.tensorflow.keras_metadata import Layers, layers
from lstmcli.formats.tensorflow.objects import KEY, Objects, renamed
from lstmcli.formats.tensorflow.table import MAGIC, Table
from lstmcli.formats.tensorflow.tensors import Budget

FORMAT = "tensorflow"
SHARD = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
LIST = 0x0A  # how the first entry of a checkpoint of the first format begins
IN_SAVED_MODEL = os.path.join("variables", "variables.index")
LARGEST = 512 << 20  # bytes of a file beside a checkpoint that is looked into

Groups = dict[str, dict[str, Any]]


def read(source: Opened) -> Document:
    """All numeric tensors of a checkpoint, or the constants of a graph.

    Raises
    ------
    UserError
        A damaged file, a missing or misleading shard, more than may be allocated.
    """
    with damage_reported(source.source):
        return _read(source)


def _read(source: Opened) -> Document:
    source.stream.seek(max(0, source.size - len(MAGIC)))
    if source.stream.read() != MAGIC:
        return _of_graph(source)
    entries = Table(source.stream, source.size).entries()
    key, first = next(entries, (b"?", memoryview(b"")))
    if key or not len(first):
        raise Damaged("its first entry does not describe it")
    if first[0] == LIST:
        return _of_first_format(source)
    return _of_bundle(source, {key: first, **dict(entries)})


def _of_bundle(source: Opened, entries: dict[bytes, memoryview]) -> Document:
    if source.path is None:
        raise UserError(
            f"{source.source} is the index of a TensorFlow checkpoint; its tensors lie in files "
            "beside it. Give its path."
        )
    bundle = Bundle(entries, source.path)
    keys = bundle.keys()
    arrays = {key: bundle.tensor(key) for key in keys if bundle.readable(key)}
    remarks = _left_out(source, [key for key in keys if not bundle.readable(key) and key != KEY])
    remarks += _unchecked(source, len(bundle.unchecked), "tensors")
    if (graph := bundle.string(KEY)) is None:
        return _in_graph(source, arrays, remarks)
    objects = Objects(graph)
    groups, in_turn = _keras_layers(source.path, objects, remarks)
    arrays = renamed(arrays, objects.variables())
    return Document(
        source.source, FORMAT, arrays, groups=groups, in_turn=in_turn, remarks=tuple(remarks)
    )


def _of_first_format(source: Opened) -> Document:
    checkpoint = FirstFormat(Budget(source.size))
    shard = SHARD.fullmatch(os.path.basename(source.path or ""))
    if shard is None or source.path is None:
        tables = [Table(source.stream, source.size)]
        checkpoint.add(tables[0].entries())
    else:
        tables = []
        for number in range(int(shard["count"])):
            name = f"{shard['prefix']}-{number:05}-of-{shard['count']}"
            path = beside(source.path, name)
            if path is None:
                raise UserError(f"{source.source} is one of several shards; {name} is missing.")
            with opened(path) as file:
                tables.append(Table(file.stream, file.size))
                checkpoint.add(tables[-1].entries())
    arrays = dict(checkpoint.tensors(source.source))
    remarks = _left_out(source, checkpoint.left_out)
    remarks += _unchecked(source, sum(table.unchecked for table in tables), "blocks")
    return _in_graph(source, arrays, remarks)


def _unchecked(source: Opened, count: int, what: str) -> list[str]:
    if not count:
        return []
    return [
        f"{source.source}: the checksums of {count} {what} were not checked; that needs a library: "
        "pip install 'lstmcli[crc32c]'"
    ]


def _left_out(source: Opened, names: Iterable[str]) -> list[str]:
    return [f"{source.source}: {name} holds no numbers; it is left out." for name in names]


# ---- graphs


def _of_graph(source: Opened) -> Document:
    graph = Graph(graph_in(contents(source)))
    arrays = dict(graph.constants(Budget(source.size), source.source))
    return Document(source.source, FORMAT, arrays, groups=_told(graph, arrays, source.source))


def _in_graph(source: Opened, arrays: dict[str, np.ndarray], remarks: list[str]) -> Document:
    """The variables in the order of the graph beside them, with what it says of them."""
    path, groups = _graph_beside(source.path), Groups()
    if path is not None and (data := _small(path, remarks)) is not None:
        try:
            graph = Graph(graph_in(data))
            order = {name: place for place, name in enumerate(graph.variables)}
            arrays = dict(sorted(arrays.items(), key=lambda one: order.get(one[0], len(order))))
            groups = _told(graph, arrays, path)
        except Damaged as error:
            remarks.append(f"{path} is damaged and was not used: {error}.")
    return Document(source.source, FORMAT, arrays, groups=groups, remarks=tuple(remarks))


def _graph_beside(path: str | None) -> str | None:
    if path is None:
        return None
    name = os.path.basename(path).removesuffix(INDEX)
    prefix = shard["prefix"] if (shard := SHARD.fullmatch(name)) else name
    return beside(path, f"{prefix}.meta") or _in_saved_model(path, "saved_model.pb")


def _told(graph: Graph, arrays: dict[str, np.ndarray], path: str) -> Groups:
    """What becomes of each variable in a graph, by the folder of its name and the one above."""
    groups = Groups()
    for name, array in arrays.items():
        if array.ndim > 1 and (fate := graph.fate(name)):
            folder, is_reversed = os.path.dirname(name), graph.is_reversed(name)
            for above in {folder, os.path.dirname(folder)}:
                own = name[len(above) :].lstrip("/")
                group = groups.setdefault(above, {"graph": path, "folder": above})
                group[own] = fate
                if is_reversed is not None:
                    group["reversed"] = is_reversed
    return groups


# ---- SavedModels


def _keras_layers(path: str, objects: Objects, remarks: list[str]) -> Layers:
    metadata = _in_saved_model(path, "keras_metadata.pb")
    if metadata is None or (data := _small(metadata, remarks)) is None:
        return Layers({}, ())
    try:
        return layers(data, objects)
    except Damaged as error:
        remarks.append(f"{metadata} is damaged and was not used: {error}.")
        return Layers({}, ())


def _in_saved_model(path: str, name: str) -> str | None:
    """A file of the SavedModel whose variables the path is the index of."""
    folder = os.path.dirname(path)
    return (
        beside(folder, name) if os.path.dirname(folder) and path.endswith(IN_SAVED_MODEL) else None
    )


def _small(path: str, remarks: list[str]) -> memoryview | None:
    """The bytes of a file beside a checkpoint, unless they are too many."""
    with opened(path) as file:
        if file.size <= LARGEST:
            return contents(file)
    remarks.append(f"{path} was not used: it is larger than {LARGEST:,} bytes.")
    return None
