"""Checkpoints of TensorFlow since 0.12: an index, and the tensors end to end in shards.

``PREFIX.index`` is a table with the position of each tensor in
``PREFIX.data-0000K-of-0000N``: LevelDB's table of sorted names and values, in
blocks, with an index of the blocks and a footer
(tensorflow/core/lib/io/table_builder.cc and format.h). Every block and tensor
has a checksum, CRC-32C by google-crc32c.

The keys of a checkpoint of objects are paths of attributes and numbers: its
TrackableObjectGraph has the name of each variable in the program. In a
SavedModel of Keras 2, `keras_metadata.pb` lists nodes of that graph by number,
each with a JSON text of a layer's class and config.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib import import_module
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Groups, native
from lstmcli.formats.files.limits import Damaged, check_size
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import Opened, opened
from lstmcli.formats.keras.layers import lstm_chain, masks_before
from lstmcli.formats.tensorflow.graph import (
    DTYPES,
    STRING,
    BundleEntryProto,
    BundleHeaderProto,
    ObjectReference,
    SavedMetadata,
    SavedObject,
    SerializedTensor,
    TensorSpec,
    TrackableObject,
    TrackableObjectGraph,
    parse_shape,
)
from lstmcli.formats.wire.protobuf import Message, varint

FOOTER = 48  # bytes
TRAILER = 5  # bytes after a block: how it is compressed, its checksum
MOST_KEYS = 64 << 20  # bytes of all keys; each may share the last one's start
LONGEST_KEY = 1 << 13  # bytes


def table_entries(file: Opened) -> Iterator[tuple[bytes, memoryview]]:
    """Every key of a table with its value, in the order of the keys.

    Damaged if the file ends early, a checksum is wrong, or blocks or keys are
    out of order.
    """
    footer = memoryview(file.part(file.size - FOOTER, FOOTER))
    start, length, _ = _handle(footer, _handle(footer)[2])
    left, last, end = MOST_KEYS, None, 0
    for _, handle in _entries(_block(file, start, length)):
        start, length, _ = _handle(handle)
        if start < end:
            raise Damaged("its blocks overlap")
        end = start + length
        for key, value in _entries(_block(file, start, length)):
            if last is not None and key <= last:
                raise Damaged("its keys are out of order")
            left -= len(key) + 16
            if left < 0:
                raise Damaged(f"its names take more than {MOST_KEYS:,} bytes")
            last = key
            yield key, value


def _block(file: Opened, start: int, length: int) -> memoryview:
    data = memoryview(file.part(start, length + TRAILER))
    kind = data[length]
    stored = int.from_bytes(data[length + 1 :], "little")
    if has_checksum(data[: length + 1], stored) is False:
        raise Damaged(f"the checksum of the block at byte {start:,} is wrong")
    if kind:
        raise Damaged(
            f"a block is compressed by method {kind}, which TensorFlow never does"
        )
    return data[:length]


def _handle(data: memoryview, at: int = 0) -> tuple[int, int, int]:
    """The start of a block, its length, and the position after both."""
    start, at = varint(data, at)
    length, at = varint(data, at)
    return start, length, at


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The entries of a block; a key is stored without what it shares with the last."""
    at, key = 0, b""
    end = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)
    if end < 0:
        raise Damaged("a block is shorter than it declares")
    while at < end:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        length, at = varint(block, at)
        if (
            shared > len(key)
            or shared + unshared > LONGEST_KEY
            or unshared + length > end - at
        ):
            raise Damaged("an entry of a block reaches past its end")
        key = key[:shared] + bytes(block[at : at + unshared])
        at += unshared
        yield key, block[at : at + length]
        at += length


# ---- checksums


PIECE = 1 << 20  # bytes given to the library at once: `bytes`, a copy


def has_checksum(data: bytes | memoryview, stored: int) -> bool | None:
    """Return whether data has the stored checksum; None without the library."""
    extend = checksum_library()
    if extend is None:
        return None
    value = 0
    for start in range(0, len(data), PIECE):
        value = extend(value, bytes(data[start : start + PIECE]))
    rotated = (stored - 0xA282EAD8) & 0xFFFFFFFF  # TensorFlow masks it as LevelDB does
    return value == (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


@cache
def checksum_library() -> Callable[[int, bytes], int] | None:
    """google-crc32c's function of a checksum and the bytes that follow, or None."""
    try:
        extend: Callable[[int, bytes], int] = import_module("google_crc32c").extend
    except ImportError:
        return None
    return extend


INDEX = ".index"
MOST_SHARDS = 100_000  # five digits


def how_to_save(prefix: str) -> str:
    """How to save the arrays of a checkpoint, ``prefix``, in TensorFlow."""
    return (
        f"Save its arrays in TensorFlow: r = tf.train.load_checkpoint({prefix!r}); "
        "numpy.savez('weights.npz', "
        "**{n: r.get_tensor(n) for n in r.get_variable_to_shape_map()})"
    )


class BundleEntry(NamedTuple):
    """The position of a tensor in the shards."""

    spec: TensorSpec
    shard: int
    offset: int
    size: int
    checksum: int
    is_partitioned: bool  # stored in slices, which have separate entries

    @classmethod
    def parse(cls, message: Message) -> BundleEntry:
        """The entry in a BundleEntryProto."""
        fields = BundleEntryProto
        shape = parse_shape(message.message(fields.shape))
        return cls(
            TensorSpec(message.number(fields.dtype), shape),
            message.number(fields.shard_id),
            message.number(fields.offset),
            message.number(fields.size),
            message.number(fields.crc32c),
            fields.slices in message,
        )


class Bundle:
    """The tensors of a checkpoint, by their keys in its index.

    Damaged for entries that do not fit each other or the shards. UserError for
    a shard that is missing or outside the folder, big-endian numbers, or
    partitioned variables.
    """

    def __init__(self, entries: Mapping[bytes, memoryview], path: str) -> None:
        self._path = path
        header = Message(entries[b""])
        self._count = header.number(BundleHeaderProto.num_shards)
        if header.number(BundleHeaderProto.endianness):
            raise UserError(
                f"{path} was written on a big-endian machine, and TensorFlow itself reads such a "
                "checkpoint there only. Save its arrays there with numpy.savez."
            )
        if not 0 < self._count < MOST_SHARDS:
            raise Damaged(f"it has {self._count:,} shards")
        self._entries = {
            key: BundleEntry.parse(Message(value))
            for key, value in entries.items()
            if key
        }
        ends: dict[int, int] = {}
        for entry in sorted(self._entries.values(), key=lambda entry: entry.offset):
            if not 0 <= entry.shard < self._count:
                raise Damaged(f"there is no shard {entry.shard} of {self._count}")
            if entry.offset < ends.get(entry.shard, 0) and entry.size:
                raise Damaged("two of its tensors overlap")
            ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.size)

    def keys(self) -> list[str]:
        """The names of all tensors, in the order of the index; slices have none."""
        return [str(key, "utf-8") for key in self._entries if not key.startswith(b"\0")]

    def is_numeric(self, key: str) -> bool:
        """Return whether NumPy has the data type of a tensor."""
        return self._entries[key.encode()].spec.data_type in DTYPES

    def tensor(self, key: str) -> np.ndarray:
        """A tensor of numbers."""
        entry, where = self._entries[key.encode()], f"{self._path}: {key}"
        if entry.is_partitioned:
            raise UserError(
                f"{where} is a partitioned variable, which this version does not read. "
                + how_to_save(self._path.removesuffix(INDEX))
            )
        shape, dtype = entry.spec.shape, entry.spec.dtype
        if check_size(shape, dtype.itemsize, where) * dtype.itemsize != entry.size:
            raise Damaged(f"{key} has {entry.size:,} bytes for the shape {shape}")
        data = self._bytes(entry)
        if has_checksum(data, entry.checksum) is False:
            raise Damaged(f"the checksum of {key} is wrong")
        return native(np.frombuffer(data, dtype).reshape(shape))

    def string(self, key: str) -> memoryview | None:
        """The bytes of a scalar string, or None; its length and a checksum come before."""
        entry = self._entries.get(key.encode())
        if entry is None or entry.spec != (STRING, ()):
            return None
        check_size((entry.size,), 1, f"{self._path}: {key}")
        data = memoryview(self._bytes(entry))
        length, at = varint(data, 0)
        if len(data) - at - 4 != length:
            raise Damaged(f"{key} does not have the length that it declares")
        return data[at + 4 :]

    def _bytes(self, entry: BundleEntry) -> bytes:
        with opened(self._shard(entry.shard)) as shard:
            return shard.part(entry.offset, entry.size)

    def _shard(self, number: int) -> str:
        prefix = self._path.replace("\\", "/").rpartition("/")[2].removesuffix(INDEX)
        name = f"{prefix}.data-{number:05}-of-{self._count:05}"
        path = sidecar_path(self._path, name)
        if path is None:
            raise UserError(
                f"{self._path} has its tensors in {name}, which is not in the same folder."
            )
        return path


# ---- the graph of objects, with the names of the variables


OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
MOST_VISITS = 1_000_000  # of objects, over all calls for one checkpoint
ATTRIBUTES = "/.ATTRIBUTES/"
ESCAPES = {".S": "/", "..": "."}  # in names of attributes


class ObjectGraph:
    """The objects of a checkpoint, numbered, and their variables."""

    def __init__(self, graph: memoryview) -> None:
        self._children: list[list[int]] = []
        self._variables: list[list[tuple[str, str]]] = []  # of each object: (key, name)
        key, name = SerializedTensor.checkpoint_key, SerializedTensor.full_name
        for node in Message(graph).messages(TrackableObjectGraph.nodes):
            children = node.messages(TrackableObject.children)
            tensors = node.messages(TrackableObject.attributes)
            self._children.append([c.number(ObjectReference.node_id) for c in children])
            self._variables.append([(t.text(key), t.text(name)) for t in tensors])
        self._visits = MOST_VISITS

    def variables(self) -> dict[str, str]:
        """The name of each variable by its key, in the order of the model; "" if it has none.

        Objects are visited depth first from the root, each once, so that a
        layer's variables are adjacent; then those that the root does not
        reach.
        """
        names: dict[str, str] = {}
        for number in (*self._below(0), *range(len(self._variables))):
            for key, name in self._variables[number]:
                names.setdefault(key, name)
        return names

    def names_below(self, number: int) -> list[str]:
        """The names of the variables of an object and of those that it refers to."""
        return [
            name
            for node in self._below(number)
            for _, name in self._variables[node]
            if name
        ]

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


def rename(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> Arrays:
    """The arrays by their variables' names, in the order of the model.

    One that was saved under two keys with the same elements is returned once;
    variables of one name are named by their keys.
    """
    order = {key: n for n, key in enumerate(names)}
    keys = sorted(arrays, key=lambda key: order.get(key, len(order)))
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(names.get(key) or attribute_path(key), []).append(key)
    new_names: dict[str, str] = {}
    for name, same_name in by_name.items():
        distinct = _distinct(same_name, arrays)
        new_names |= {
            key: name if len(distinct) == 1 else attribute_path(key) for key in distinct
        }
    return {new_names[key]: arrays[key] for key in keys if key in new_names}


def _distinct(keys: list[str], arrays: Mapping[str, np.ndarray]) -> list[str]:
    if len(keys) == 1:
        return keys
    seen: dict[tuple[object, ...], str] = {}
    for key in keys:
        array = arrays[key]
        seen.setdefault(
            (array.dtype, array.shape, sha256(array.tobytes()).digest()), key
        )
    return list(seen.values())


def attribute_path(key: str) -> str:
    """The path of attributes that a key encodes."""
    path = key.partition(ATTRIBUTES)[0]
    return re.sub(r"\.[.S]", lambda pair: ESCAPES[pair[0]], path)


# ---- configs of layers in a SavedModel


CONFIG_KEYS = ("class_name", "config")
ROOT = "root"  # the path of the model itself


class KerasLayers(NamedTuple):
    """The config of a model in `keras_metadata.pb`."""

    groups: Groups  # the class and config of each layer, at "" Keras' version
    in_turn: tuple[str, ...]  # the LSTMs, if each feeds the next
    model: Mapping[str, Any] | None  # as Keras serializes it


def parse_layers(data: memoryview, objects: ObjectGraph) -> KerasLayers:
    """The layers of the model, and the model."""
    groups, masks = Groups(), Groups()
    lstms: tuple[str, ...] = ()
    model = None
    for node in Message(data).messages(SavedMetadata.nodes):
        metadata = _parse_json(node.text(SavedObject.metadata))
        if "keras_version" in metadata:
            groups.setdefault("", {})["keras_version"] = str(metadata["keras_version"])
        if node.text(SavedObject.node_path) == ROOT:
            model = metadata
            lstms, masks = lstm_chain(metadata), masks_before(metadata)
        names = objects.names_below(node.number(SavedObject.node_id))
        folder = _layer_folder(names, str(metadata.get("name")))
        if folder and isinstance(metadata.get("config"), dict):
            groups.setdefault(folder, {key: metadata.get(key) for key in CONFIG_KEYS})
    for key, group in groups.items():
        group["masked_by"] = masks.get(key.rpartition("/")[2])
    found = [
        [key for key in groups if key.rpartition("/")[2] == name] for name in lstms
    ]
    unique = all(len(keys) == 1 for keys in found)
    in_turn = tuple(keys[0] for keys in found) if unique else ()
    return KerasLayers(groups, in_turn, model)


def _parse_json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise Damaged("the text of a layer is no JSON") from None
    return value if isinstance(value, dict) else {}


def _layer_folder(names: list[str], layer: str) -> str:
    """The path of a layer that starts all of its variables' names; "" without."""
    levels = zip(*(os.path.dirname(name).split("/") for name in names), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len({*level}) == 1, levels)]
    return "/".join(shared[: shared.index(layer) + 1]) if layer in shared else ""
