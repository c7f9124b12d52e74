"""Parts of a tensor: TensorFlow saves a partitioned variable as slices that make it up together.

The messages are TensorSliceProto of tensorflow/core/framework/tensor_slice.proto; the encoding of
their keys is that of tensorflow/core/lib/strings/ordered_code.cc.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lstmcli.formats.files.errors import Damaged
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.wire.protobuf import Message, signed

Extent = tuple[int, int]  # start and length; a length of -1 is the whole axis
Slice = tuple[Extent, ...]

WHOLE = -1


def slice_of(message: Message) -> Slice:
    """A TensorSliceProto: an extent for each axis. An absent length means the whole axis."""
    return tuple(
        (signed(extent.number(1)), signed(extent.number(2)) if 2 in extent else WHOLE)
        for extent in message.messages(1)
    )


def within(part: Slice, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The places of a part in its tensor; Damaged if it reaches out of it."""
    if len(part) != len(shape):
        raise Damaged(f"a part has {len(part)} axes, its tensor {len(shape)}")
    places = []
    for (start, length), size in zip(part, shape, strict=True):
        stop = size if length == WHOLE else start + length
        if not 0 <= start <= stop <= size:
            raise Damaged(f"a part reaches out of its tensor of shape {shape}")
        places.append(slice(start, stop))
    return tuple(places)


def part_shape(part: Slice, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a part of a tensor."""
    return tuple(place.stop - place.start for place in within(part, shape))


def joined(
    parts: Iterable[tuple[Slice, np.ndarray]], shape: tuple[int, ...], where: str
) -> np.ndarray:
    """The tensor that its parts make up; Damaged unless they cover every element once."""
    held = list(parts)
    if not held:
        raise Damaged(f"{where} has no parts")
    dtype = held[0][1].dtype
    count = check_size(shape, dtype.itemsize, where)
    whole = all(start == 0 and length == WHOLE for start, length in held[0][0])
    if len(held) == 1 and whole and held[0][1].shape == shape:
        return held[0][1]
    if sum(array.size for _, array in held) != count:
        raise Damaged(f"the parts of {where} are not as many as its elements")
    tensor = np.empty(shape, dtype)
    covered = np.zeros(shape, bool)
    for part, array in held:
        places = within(part, shape)
        tensor[places] = array
        covered[places] = True
    if not covered.all():
        raise Damaged(f"the parts of {where} overlap")
    return tensor


def key_of(name: str, part: Slice) -> bytes:
    """The key of a part in the index of a checkpoint."""
    key = _number(0) + _string(name.encode()) + _number(len(part))
    return key + b"".join(_signed(start) + _signed(length) for start, length in part)


def _number(value: int) -> bytes:
    """A number from 0 on: the count of its bytes, then these, the highest first."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _string(text: bytes) -> bytes:
    """Zero bytes and bytes of ones are marked, so that 00 01 can end the text."""
    return text.replace(b"\xff", b"\xff\0").replace(b"\0", b"\0\xff") + b"\0\x01"


def _signed(value: int) -> bytes:
    """A number with its sign: a header of ones as long as the number, then the number.

    N bytes hold 7 N - 1 bits: the header takes N bits and the sign one. A negative number has
    all bits of that of its complement inverted.
    """
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    header = (1 << size) - 1 << 7 * size  # N ones in front of 7 N bits
    code = (header | magnitude).to_bytes(size, "big")
    return bytes(byte ^ 0xFF for byte in code) if value < 0 else code
