"""Slices of a tensor, as which TensorFlow saves a partitioned variable.

The encoding of their keys is that of tensorflow/core/lib/strings/ordered_code.cc.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.tensorflow.schema import Extent, TensorSliceProto
from lstmcli.formats.wire.protobuf import Message, signed

Slice = tuple[tuple[int, int], ...]  # start and length on each axis

FULL_AXIS = -1  # as a length


def parse_slice(message: Message) -> Slice:
    """The extents of a TensorSliceProto; an absent length means the full axis."""
    return tuple(
        (
            signed(extent.number(Extent.start)),
            signed(extent.number(Extent.length)) if Extent.length in extent else FULL_AXIS,
        )
        for extent in message.messages(TensorSliceProto.extent)
    )


def index_of(extents: Slice, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The NumPy index of a slice in a tensor of that shape; Damaged if it leaves the tensor."""
    if len(extents) != len(shape):
        raise Damaged(f"a part has {len(extents)} axes, its tensor {len(shape)}")
    index = []
    for (start, length), size in zip(extents, shape, strict=True):
        stop = size if length == FULL_AXIS else start + length
        if not 0 <= start <= stop <= size:
            raise Damaged(f"a part reaches out of its tensor of shape {shape}")
        index.append(slice(start, stop))
    return tuple(index)


def slice_shape(extents: Slice, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a slice of a tensor."""
    return tuple(axis.stop - axis.start for axis in index_of(extents, shape))


def join(
    slices: Iterable[tuple[Slice, np.ndarray]], shape: tuple[int, ...], where: str
) -> np.ndarray:
    """The tensor of its slices; Damaged unless they cover every element once."""
    slices = list(slices)
    if not slices:
        raise Damaged(f"{where} has no parts")
    extents, array = slices[0]
    count = check_size(shape, array.dtype.itemsize, where)
    full = all(axis == (0, FULL_AXIS) for axis in extents)
    if len(slices) == 1 and full and array.shape == shape:
        return array
    if sum(array.size for _, array in slices) != count:
        raise Damaged(f"the parts of {where} are not as many as its elements")
    tensor = np.empty(shape, array.dtype)
    covered = np.zeros(shape, bool)
    for extents, array in slices:
        index = index_of(extents, shape)
        tensor[index] = array
        covered[index] = True
    if not covered.all():
        raise Damaged(f"the parts of {where} overlap")
    return tensor


def slice_key(name: str, extents: Slice) -> bytes:
    """The key of a slice in the index of a checkpoint."""
    key = _number(0) + _string(name.encode()) + _number(len(extents))
    return key + b"".join(_signed(start) + _signed(length) for start, length in extents)


def _number(value: int) -> bytes:
    """A number >= 0: the count of its bytes, then the bytes, the most significant first."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _string(text: bytes) -> bytes:
    """A string: bytes 00 and ff are escaped, so that 00 01 can end it."""
    return text.replace(b"\xff", b"\xff\0").replace(b"\0", b"\0\xff") + b"\0\x01"


def _signed(value: int) -> bytes:
    """A signed number: N one bits as a header for N bytes, then the number.

    N bytes have room for 7 N - 1 bits: the header takes N bits and the sign one. For a negative
    number all bits of its complement's code are inverted.
    """
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    header = (1 << size) - 1 << 7 * size  # N ones in front of 7 N bits
    code = (header | magnitude).to_bytes(size, "big")
    return bytes(byte ^ 0xFF for byte in code) if value < 0 else code
