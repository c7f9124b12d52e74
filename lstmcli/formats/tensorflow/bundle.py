"""Checkpoints of TensorFlow since 0.12: an index, and the tensors end to end in shards.

``PREFIX.index`` is a table with the position of each tensor in ``PREFIX.data-0000K-of-0000N``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.arrays.blocks import native
from lstmcli.formats.files.limits import Damaged, check_size
from lstmcli.formats.files.sidecars import sidecar_path
from lstmcli.formats.files.source import opened
from lstmcli.formats.tensorflow.sorted_table import has_checksum
from lstmcli.formats.tensorflow.tensors import (
    BFLOAT16,
    DTYPES,
    STRING,
    BundleEntryProto,
    BundleHeaderProto,
    TensorSpec,
    parse_shape,
)
from lstmcli.formats.wire.protobuf import Message, varint

INDEX = ".index"
MOST_SHARDS = 100_000  # five digits


def how_to_save(prefix: str) -> str:
    """How to save the arrays of a checkpoint in TensorFlow; ``prefix`` is what it calls it."""
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
    is_partitioned: bool  # stored in slices, which have entries of their own

    @classmethod
    def parse(cls, message: Message) -> BundleEntry:
        """The entry in a BundleEntryProto."""
        fields = BundleEntryProto
        return cls(
            TensorSpec(message.number(fields.dtype), parse_shape(message.message(fields.shape))),
            message.number(fields.shard_id),
            message.number(fields.offset),
            message.number(fields.size),
            message.number(fields.crc32c),
            fields.slices in message,
        )


class Bundle:
    """The tensors of a checkpoint, by their keys in its index.

    Damaged for entries of the index that do not fit each other or the shards. UserError for a shard
    that is missing or outside the folder, big-endian numbers, or partitioned variables.
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
            key: BundleEntry.parse(Message(value)) for key, value in entries.items() if key
        }
        self._shards: dict[int, str] = {}  # paths
        self._refuse_overlaps()

    def keys(self) -> list[str]:
        """The names of all tensors, in the order of the index; slices have none."""
        return [str(key, "utf-8") for key in self._entries if not key.startswith(b"\0")]

    def is_numeric(self, key: str) -> bool:
        """Whether NumPy has the data type of a tensor."""
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
        is_bfloat16 = entry.spec.data_type == BFLOAT16
        return native(np.frombuffer(data, dtype).reshape(shape), is_bfloat16)

    def string(self, key: str) -> memoryview | None:
        """The bytes of a scalar string, or None.

        A string is stored as its length, a checksum of that in four bytes, and its bytes.
        """
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
        end = entry.offset + entry.size
        with opened(self._shard(entry.shard)) as shard:
            if end > shard.size:
                raise Damaged(f"its shard {entry.shard} ends before byte {end:,}")
            return shard.part(entry.offset, entry.size)

    def _shard(self, number: int) -> str:
        if number not in self._shards:
            prefix = self._path.replace("\\", "/").rpartition("/")[2].removesuffix(INDEX)
            name = f"{prefix}.data-{number:05}-of-{self._count:05}"
            path = sidecar_path(self._path, name)
            if path is None:
                raise UserError(
                    f"{self._path} has its tensors in {name}, which is not in the same folder."
                )
            self._shards[number] = path
        return self._shards[number]

    def _refuse_overlaps(self) -> None:
        """Raise Damaged if two tensors share bytes; together they may not exceed the shards."""
        ends: dict[int, int] = {}
        for entry in sorted(self._entries.values(), key=lambda entry: entry.offset):
            if not 0 <= entry.shard < self._count:
                raise Damaged(f"there is no shard {entry.shard} of {self._count}")
            if entry.offset < ends.get(entry.shard, 0) and entry.size:
                raise Damaged("two of its tensors overlap")
            ends[entry.shard] = max(ends.get(entry.shard, 0), entry.offset + entry.size)
