"""Protocol buffers without their schema: the fields of a message, believing nothing unchecked.

ONNX models, TensorFlow graphs and the indexes of checkpoints are such messages. The encoding is
that of protobuf.dev/programming-guides/encoding; groups, which it deprecates, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LONGEST_VARINT = 10  # bytes
MOST_DEPTH = 100  # messages within messages, as the library of protobuf itself allows

_FIXED = {FIXED64: Struct("<Q"), FIXED32: Struct("<L")}


class Damaged(Exception):
    """The bytes are no message; the text says how."""


class Field(NamedTuple):
    """One field of a message: its number, and its value as it lies there."""

    number: int
    wire: int
    value: int | memoryview  # BYTES: a view; else the unsigned number


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number that starts at a place, and the place after it.

    Raises
    ------
    Damaged
        The bytes end within it, or it is longer than 64 bits.
    """
    number = 0
    for n in range(LONGEST_VARINT):
        if at + n >= len(data):
            raise Damaged("it ends within a number")
        byte = data[at + n]
        number |= (byte & 127) << 7 * n
        if byte < 128:
            return number & (1 << 64) - 1, at + n + 1
    raise Damaged("a number has more than 64 bits")


def fields(data: bytes | memoryview) -> Iterator[Field]:
    """The fields of a message in the order of the file.

    Raises
    ------
    Damaged
        when the bytes do not add up, as the iteration gets there.
    """
    data, at = memoryview(data), 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == VARINT:
            value, at = varint(data, at)
        elif wire == BYTES:
            length, at = varint(data, at)
            if length > len(data) - at:
                raise Damaged(f"a field of {length:,} bytes reaches past its end")
            value, at = data[at : at + length], at + length
        elif wire in _FIXED:
            size = _FIXED[wire].size
            if size > len(data) - at:
                raise Damaged("it ends within a number")
            (value,) = _FIXED[wire].unpack_from(data, at)
            at += size
        else:
            raise Damaged(f"it has a field of the unknown kind {wire}")
        if not number:
            raise Damaged("it has a field without a number")
        yield Field(number, wire, value)


def signed(number: int) -> int:
    """An int32 or int64 as it was meant: varints are unsigned."""
    return number - (1 << 64) if number >> 63 else number
