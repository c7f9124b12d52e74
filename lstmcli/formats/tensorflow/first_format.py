"""Checkpoints of TensorFlow's first format: tensors in a table, or in a table for each shard.

The first entry lists the tensors and their parts, every further one holds a part. The messages
are those of tensorflow/core/util/saved_tensor_slice.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.tensorflow.slices import Slice, joined, part_shape, slice_of
from lstmcli.formats.tensorflow.tensors import KINDS, Budget, Kind, shape_of, tensor
from lstmcli.formats.wire.protobuf import Message

Entries = Iterable[tuple[bytes, memoryview]]


class FirstFormat:
    """The tensors of the tables of one checkpoint, gathered table by table."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._kinds: dict[str, Kind] = {}
        self._parts: dict[str, list[tuple[Slice, np.ndarray]]] = {}
        self.left_out: set[str] = set()  # of a kind that NumPy lacks

    def add(self, entries: Entries) -> None:
        """Take in a table, whose first entry is its list."""
        for key, value in entries:
            message = Message(value)
            if key:
                self._add_part(message.message(2))
            else:
                self._add_list(message.message(1))

    def tensors(self, where: str) -> Iterator[tuple[str, np.ndarray]]:
        """Every tensor with its name, in the order of the lists.

        Raises
        ------
        Damaged
            Parts that are missing or do not make up their tensor.
        """
        for name, kind in self._kinds.items():
            if name not in self.left_out:
                yield name, joined(self._parts.get(name, ()), kind.shape, f"{where}: {name}")

    def _add_list(self, meta: Message) -> None:
        for listed in meta.messages(1):
            name, kind = listed.text(1), Kind(listed.number(3), shape_of(listed.message(2)))
            if self._kinds.setdefault(name, kind) != kind:
                raise Damaged(f"{name} has two shapes or two kinds")
            if kind.number not in KINDS:
                self.left_out.add(name)

    def _add_part(self, saved: Message) -> None:
        name, part = saved.text(1), slice_of(saved.message(2))
        if name not in self._kinds:
            raise Damaged(f"{name} is not in its list")
        if name in self.left_out:
            return
        whole = self._kinds[name]
        kind = Kind(whole.number, part_shape(part, whole.shape))
        self._budget.take(kind, name)
        self._parts.setdefault(name, []).append((part, tensor(saved.message(3), kind, name)))
