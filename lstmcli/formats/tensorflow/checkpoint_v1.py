"""Checkpoints of TensorFlow's first format: tensors in a table, or in one table per shard.

The first entry lists the tensors, every further one has a slice of a tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size, check_total
from lstmcli.formats.tensorflow import schema
from lstmcli.formats.tensorflow.slices import Slice, join, parse_slice, slice_shape
from lstmcli.formats.tensorflow.tensors import DTYPES, TensorSpec, decode, parse_shape
from lstmcli.formats.wire.protobuf import Message

Entries = Iterable[tuple[bytes, memoryview]]


class CheckpointV1:
    """The tensors of one checkpoint, collected table by table.

    The slices together take at most a hundred times ``file_size``, if that is much: a message can
    repeat an element.
    """

    def __init__(self, source: str, file_size: int) -> None:
        self._source, self._file_size = source, file_size
        self._bytes = 0
        self._specs: dict[str, TensorSpec] = {}
        self._slices: dict[str, list[tuple[Slice, np.ndarray]]] = {}
        self.unsupported: set[str] = set()  # tensors of a data type that NumPy lacks

    def add(self, entries: Entries) -> None:
        """Add the tensors and slices of a table."""
        for key, value in entries:
            message = Message(value)
            if key:
                self._add_slice(message.message(schema.SavedTensorSlices.data))
            else:
                self._add_list(message.message(schema.SavedTensorSlices.meta))

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every tensor with its name, in the order of the lists."""
        for name, spec in self._specs.items():
            if name not in self.unsupported:
                where = f"{self._source}: {name}"
                yield name, join(self._slices.get(name, ()), spec.shape, where)

    def _add_list(self, meta: Message) -> None:
        for entry in meta.messages(schema.SavedTensorSliceMeta.tensor):
            name, shape = (
                entry.text(schema.SavedSliceMeta.name),
                entry.message(schema.SavedSliceMeta.shape),
            )
            spec = TensorSpec(entry.number(schema.SavedSliceMeta.type), parse_shape(shape))
            if self._specs.setdefault(name, spec) != spec:
                raise Damaged(f"{name} has two shapes or two kinds")
            if spec.data_type not in DTYPES:
                self.unsupported.add(name)

    def _add_slice(self, saved: Message) -> None:
        name = saved.text(schema.SavedSlice.name)
        extents = parse_slice(saved.message(schema.SavedSlice.slice))
        if name not in self._specs:
            raise Damaged(f"{name} is not in its list")
        if name in self.unsupported:
            return
        tensor = self._specs[name]
        spec = TensorSpec(tensor.data_type, slice_shape(extents, tensor.shape))
        itemsize = spec.dtype.itemsize
        self._bytes += check_size(spec.shape, itemsize, f"{self._source}: {name}") * itemsize
        check_total(self._bytes, self._file_size, self._source)
        values = decode(saved.message(schema.SavedSlice.data), spec, name)
        self._slices.setdefault(name, []).append((extents, values))
