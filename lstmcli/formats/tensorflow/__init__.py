"""TensorFlow's files: checkpoints since 0.12, SavedModels, graphs with their constants.

A checkpoint's names are those of its graph or, if it was made of objects, of
its variables. Other files of its folder are read too: the graph in
``PREFIX.meta`` or ``saved_model.pb``, the configs of Keras' layers in
``keras_metadata.pb``. `Document.groups` has the operations on each variable
(`TensorFlowGraph.applied_to`), the class and config of a layer.
"""

from __future__ import annotations

import os
import re

from lstmcli.errors import UserError, install_command
from lstmcli.formats.detect import TABLE_END
from lstmcli.formats.document import Arrays, Document, Groups
from lstmcli.formats.files.limits import MOST_PARSED, Damaged, damage_reported
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import Opened, opened
from lstmcli.formats.keras.surroundings import surroundings_of
from lstmcli.formats.tensorflow import bundle as checkpoint
from lstmcli.formats.tensorflow.bundle import (
    INDEX,
    OBJECT_GRAPH_KEY,
    Bundle,
    KerasLayers,
    ObjectGraph,
    how_to_save,
    parse_layers,
    rename,
    table_entries,
)
from lstmcli.formats.tensorflow.graph import TensorFlowGraph, find_graph

FORMAT = "tensorflow"
V1_LIST = 0x0A  # the first entry's first byte before TensorFlow 0.12
V1_SHARD = re.compile(r"-\d{5}-of-(?=\d{5}$)")
INDEX_IN_SAVED_MODEL = os.path.join("variables", "variables.index")


def read(file: Opened) -> Document:
    """All numeric tensors of a checkpoint, or the constants of a graph."""
    with damage_reported(file.source):
        return _read(file)


def _read(file: Opened) -> Document:
    if file.tail() != TABLE_END:
        graph = TensorFlowGraph(find_graph(memoryview(file.contents())))
        arrays = dict(graph.constants(file.source, file.size))
        groups = _operations(graph, arrays, file.source)
        return Document(file.source, FORMAT, arrays, groups=groups)
    entries = table_entries(file)
    key, first = next(entries, (b"?", memoryview(b"")))
    if key or not len(first):
        raise Damaged("its first entry does not describe it")
    if first[0] == V1_LIST:
        raise UserError(
            f"{file.source} is a checkpoint in TensorFlow's V1 format (before 0.12), which this "
            "version does not read. "
            + how_to_save(V1_SHARD.sub("-?????-of-", file.source))
        )
    return _read_bundle(file, {key: first, **dict(entries)})


def _read_bundle(file: Opened, entries: dict[bytes, memoryview]) -> Document:
    if file.path is None:
        raise UserError(
            f"{file.source} is the index of a TensorFlow checkpoint; its tensors are in other "
            "files of its folder. Give its path."
        )
    bundle = Bundle(entries, file.path)
    keys = bundle.keys()
    arrays = {key: bundle.tensor(key) for key in keys if bundle.is_numeric(key)}
    remarks = [
        f"{file.source}: {key} has no numbers; it is left out."
        for key in keys
        if key not in arrays and key != OBJECT_GRAPH_KEY
    ]
    if not checkpoint.checksum_library():
        command = install_command("crc32c")
        unchecked = f"the checksums of tensors were not checked; that needs: {command}"
        remarks.append(f"{file.source}: {unchecked}")
    if (graph := bundle.string(OBJECT_GRAPH_KEY)) is None:
        return _with_graph(file.path, arrays, remarks)
    objects = ObjectGraph(graph)
    keras = _keras_layers(file.path, objects, remarks)
    arrays = rename(arrays, objects.variables())
    heads, fronts = surroundings_of(keras.model, arrays, keras.groups)
    return Document(
        file.source,
        FORMAT,
        arrays,
        groups=keras.groups,
        in_turn=keras.in_turn,
        has_graph=keras.model is not None,
        heads=heads,
        fronts=fronts,
        remarks=tuple(remarks),
    )


# ---- graphs


def _with_graph(index: str, arrays: Arrays, remarks: list[str]) -> Document:
    name, groups = os.path.basename(index).removesuffix(INDEX), Groups()
    path = sidecar_path(index, f"{name}.meta") or _in_saved_model(
        index, "saved_model.pb"
    )
    if path is not None:
        try:
            graph = TensorFlowGraph(find_graph(_sidecar_bytes(path)))
            order = {name: n for n, name in enumerate(graph.variables)}
            names = sorted(arrays, key=lambda name: order.get(name, len(order)))
            arrays = {name: arrays[name] for name in names}
            groups = _operations(graph, arrays, path)
        except Damaged as error:
            remarks.append(f"{path} was not used: {error}.")
    return Document(index, FORMAT, arrays, groups=groups, remarks=tuple(remarks))


def _operations(graph: TensorFlowGraph, arrays: Arrays, path: str) -> Groups:
    """The operations on each variable, by its name's folder and the one above."""
    groups = Groups()
    for name, array in arrays.items():
        if array.ndim > 1 and (operations := graph.applied_to(name)):
            folder, is_reversed = os.path.dirname(name), graph.is_reversed(name)
            for above in {folder, os.path.dirname(folder)}:
                group = groups.setdefault(above, {"graph": path, "folder": above})
                group[name[len(above) :].lstrip("/")] = operations
                if is_reversed is not None:
                    group["reversed"] = is_reversed
    return groups


# ---- SavedModels


def _keras_layers(path: str, objects: ObjectGraph, remarks: list[str]) -> KerasLayers:
    metadata = _in_saved_model(path, "keras_metadata.pb")
    if metadata is None:
        return KerasLayers({}, (), None)
    try:
        return parse_layers(_sidecar_bytes(metadata), objects)
    except Damaged as error:
        remarks.append(f"{metadata} was not used: {error}.")
        return KerasLayers({}, (), None)


def _in_saved_model(path: str, name: str) -> str | None:
    folder = os.path.dirname(path)
    is_index = os.path.dirname(folder) and path.endswith(INDEX_IN_SAVED_MODEL)
    return sidecar_path(folder, name) if is_index else None


def _sidecar_bytes(path: str) -> memoryview:
    """The bytes of another file of the folder; Damaged if they are too many."""
    with opened(path) as file:
        if file.size > MOST_PARSED:
            raise Damaged(f"it is larger than {MOST_PARSED:,} bytes")
        return memoryview(file.contents())
