"""Checkpoints of TensorFlow's second format: an index, and the tensors end to end in shards.

``PREFIX.index`` is a table of entries that tell where each tensor lies in
``PREFIX.data-0000K-of-0000N``. The messages are those of
tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.companions import beside, contents
from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.files.source import opened
from lstmcli.formats.tensorflow import crc32c
from lstmcli.formats.tensorflow.slices import Slice, joined, key_of, part_shape, slice_of
from lstmcli.formats.tensorflow.tensors import KINDS, STRING, Kind, finished, shape_of
from lstmcli.formats.wire.protobuf import Message, varint

INDEX = ".index"
MOST_SHARDS = 100_000  # five digits


class Entry(NamedTuple):
    """Where a tensor, or a part of one, lies: a BundleEntryProto."""

    kind: Kind
    shard: int
    offset: int
    size: int
    checksum: int
    parts: tuple[Slice, ...]


class Bundle:
    """The tensors behind an index, by their keys.

    Raises
    ------
    Damaged
        An index that contradicts itself or its shards.
    UserError
        A shard that is missing or leads elsewhere; big-endian numbers.
    """

    def __init__(self, entries: Mapping[bytes, memoryview], path: str) -> None:
        self._path = path
        header = Message(entries[b""])
        self._count = header.number(1)
        if header.number(2):
            raise UserError(
                f"{path} was written on a big-endian machine, and TensorFlow itself reads such a "
                "checkpoint there only. Save its arrays there with numpy.savez."
            )
        if not 0 < self._count < MOST_SHARDS:
            raise Damaged(f"it has {self._count:,} shards")
        self._entries = {key: _entry(Message(value)) for key, value in entries.items() if key}
        self._shards: dict[int, np.ndarray] = {}
        self._refuse_overlaps()
        self.unchecked: list[str] = []  # keys of tensors whose checksum takes the library

    def keys(self) -> list[str]:
        """The names of all tensors, in the order of the index; parts have none."""
        return [str(key, "utf-8") for key in self._entries if not key.startswith(b"\0")]

    def readable(self, key: str) -> bool:
        """Whether NumPy has the kind of a tensor."""
        return self._entries[key.encode()].kind.number in KINDS

    def tensor(self, key: str) -> np.ndarray:
        """A tensor of numbers, joined from its parts if it was saved in parts."""
        entry, where = self._entries[key.encode()], f"{self._path}: {key}"
        if not entry.parts:
            return self._numbers(entry, key, where)
        parts = []
        for part in entry.parts:
            held = self._entries.get(key_of(key, part))
            if held is None or held.kind.number != entry.kind.number:
                raise Damaged(f"a part of {key} is missing")
            if held.kind.shape != part_shape(part, entry.kind.shape):
                raise Damaged(f"a part of {key} has another shape than it should")
            parts.append((part, self._numbers(held, key, where)))
        return joined(parts, entry.kind.shape, where)

    def string(self, key: str) -> memoryview | None:
        """The bytes of a scalar string, or None: its length, four bytes for that, itself."""
        entry = self._entries.get(key.encode())
        if entry is None or entry.kind != (STRING, ()):
            return None
        check_size((entry.size,), 1, f"{self._path}: {key}")
        data = self._bytes(entry).data
        length, at = varint(data, 0)
        if len(data) - at - 4 != length:
            raise Damaged(f"{key} has not the length that it says")
        return data[at + 4 :]

    def _numbers(self, entry: Entry, key: str, where: str) -> np.ndarray:
        dtype = entry.kind.dtype
        if check_size(entry.kind.shape, dtype.itemsize, where) * dtype.itemsize != entry.size:
            raise Damaged(f"{key} has {entry.size:,} bytes for the shape {entry.kind.shape}")
        data = self._bytes(entry)  # (size,)
        if crc32c.library() is None:
            self.unchecked.append(key)
        elif not crc32c.is_right(data.data, entry.checksum):
            raise Damaged(f"the checksum of {key} is wrong")
        return finished(data.view(dtype).reshape(entry.kind.shape), entry.kind.number)

    def _bytes(self, entry: Entry) -> np.ndarray:
        """The bytes of an entry, a view of its shard."""
        shard = self._shard(entry.shard)
        if entry.offset + entry.size > len(shard):
            raise Damaged(f"its shard {entry.shard} ends before byte {entry.offset + entry.size:,}")
        return shard[entry.offset : entry.offset + entry.size]

    def _shard(self, number: int) -> np.ndarray:
        if number not in self._shards:
            name = f"{self._prefix}.data-{number:05}-of-{self._count:05}"
            path = beside(self._path, name)
            if path is None:
                raise UserError(f"{self._path} has its tensors in {name}, which is not beside it.")
            with opened(path) as file:
                self._shards[number] = np.frombuffer(contents(file), np.uint8)
        return self._shards[number]

    @property
    def _prefix(self) -> str:
        name = self._path.replace("\\", "/").rpartition("/")[2]
        return name.removesuffix(INDEX)

    def _refuse_overlaps(self) -> None:
        """No two tensors share bytes, so that together they are no larger than their shards."""
        ends: dict[int, int] = {}
        for entry in sorted(self._entries.values(), key=lambda entry: entry.offset):
            if not 0 <= entry.shard < self._count:
                raise Damaged(f"there is no shard {entry.shard} of {self._count}")
            if entry.offset < ends.get(entry.shard, 0) and entry.size:
                raise Damaged("two of its tensors overlap")
            ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.size)


def _entry(message: Message) -> Entry:
    return Entry(
        Kind(message.number(1), shape_of(message.message(2))),
        message.number(3),
        message.number(4),
        message.number(5),
        message.number(6),
        tuple(slice_of(part) for part in message.messages(7)),
    )
