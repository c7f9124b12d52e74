"""TensorFlow's tensors: their kinds, shapes, and the messages that hold their elements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.wire.bfloat16 import widened
from lstmcli.formats.wire.protobuf import Message, signed

KINDS = {  # DataType of tensorflow/core/framework/types.proto -> little-endian NumPy dtypes
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 8: "<c8", 9: "<i8", 10: "?",
    11: "i1", 12: "u1", 13: "<i4", 14: "<u2", 15: "<i2", 16: "<u2", 17: "<u2", 18: "<c16",
    19: "<f2", 22: "<u4", 23: "<u8",
}  # fmt: skip
STRING, BFLOAT16 = 7, 14

LARGE = 256 << 20  # bytes up to which no file is suspected of being a bomb
MOST_TIMES = 100

LISTS = {  # the field of TensorProto that keeps the elements of a kind
    1: 5, 2: 6, 3: 7, 4: 7, 5: 7, 6: 7, 8: 9, 9: 10, 10: 11, 11: 7, 12: 7, 13: 7, 14: 13, 15: 7,
    16: 7, 17: 7, 18: 12, 19: 13, 22: 16, 23: 17,
}  # fmt: skip
AS_THEY_ARE = {1: 4, 2: 8, 8: 4, 18: 8}  # kinds kept as fixed numbers of so many bytes
BITS = 19  # float16 is kept as the number that its bits are


class Kind(NamedTuple):
    """The dtype and shape of a tensor as a message declares them."""

    number: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """How the elements lie in a file; Damaged for a kind that NumPy lacks."""
        if self.number not in KINDS:
            raise Damaged(f"a tensor is of the unknown kind {self.number}")
        return np.dtype(KINDS[self.number])


class Budget:
    """How many bytes the tensors of a file may take together, for messages can repeat an element.

    No more than a hundred times the file, if that is much.
    """

    def __init__(self, size: int) -> None:
        self._left = max(LARGE, MOST_TIMES * size)

    def take(self, kind: Kind, where: str) -> None:
        """Take a tensor's bytes from it.

        Raises
        ------
        Damaged
            There are not enough left.
        UserError
            The tensor alone is larger than is allowed; ``where`` starts the message.
        """
        size = kind.dtype.itemsize
        self._left -= check_size(kind.shape, size, where) * size
        if self._left < 0:
            raise Damaged("its tensors claim to be far larger than the file")


def shape_of(message: Message) -> tuple[int, ...]:
    """A TensorShapeProto as a tuple; Damaged for an unknown length."""
    sizes = tuple(signed(dim.number(1)) for dim in message.messages(2))
    if message.number(3) or any(size < 0 for size in sizes):
        raise Damaged(f"a tensor has the shape {sizes}")
    if len(sizes) > 32:  # the most that every NumPy has
        raise Damaged(f"a tensor has {len(sizes)} axes")
    return sizes


def finished(values: np.ndarray, kind: int) -> np.ndarray:
    """Elements as they lay in a file in this machine's order; bfloat16 widened to float32."""
    if kind == BFLOAT16:
        return np.asarray(widened(values))  # of a scalar NumPy makes no array
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def tensor(message: Message, kind: Kind, where: str) -> np.ndarray:
    """The elements of a TensorProto, whose own dtype and shape may be missing.

    Its list may be shorter than the tensor: the last element then fills the rest.
    """
    count = check_size(kind.shape, kind.dtype.itemsize, where)
    raw: np.ndarray = np.frombuffer(message.bytes(4), np.uint8)
    if len(raw):
        if len(raw) != count * kind.dtype.itemsize:
            raise Damaged(f"{where} has {len(raw):,} bytes for the shape {kind.shape}")
        return finished(raw.view(kind.dtype).reshape(kind.shape), kind.number)
    listed = _listed(message, kind)
    if len(listed) > count:
        raise Damaged(f"{where} has {len(listed):,} elements for the shape {kind.shape}")
    values = np.zeros(count, kind.dtype)  # (count,)
    values[: len(listed)] = listed
    if len(listed):
        values[len(listed) :] = listed[-1]
    return finished(values.reshape(kind.shape), kind.number)


def _listed(message: Message, kind: Kind) -> np.ndarray:
    field = LISTS[kind.number]
    if size := AS_THEY_ARE.get(kind.number):
        packed = message.fixed(field, size)
        if len(packed) % kind.dtype.itemsize:
            raise Damaged("a list of numbers ends within one")
        return np.frombuffer(packed, kind.dtype)
    numbers = np.array(message.numbers(field), np.uint64)
    if kind.number == BITS:
        return numbers.astype(np.uint16).view(np.float16)
    return numbers.astype(kind.dtype)  # a negative number keeps its low bits
