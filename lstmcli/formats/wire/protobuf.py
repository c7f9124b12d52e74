"""Protocol buffers without their schema: the fields of a message, with all lengths checked.

TensorFlow graphs and indexes of checkpoints are such messages. The encoding is
that of protobuf.dev/programming-guides/encoding; groups, which it deprecates,
are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from lstmcli.formats.files.limits import MOST_PARTS, Damaged

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
LONGEST_VARINT = 10  # bytes

_FIXED_WIRES = {4: FIXED32, 8: FIXED64}
_FIXED = {FIXED64: Struct("<Q"), FIXED32: Struct("<L")}


class Field(NamedTuple):
    """One field of a message: its number, and its value undecoded."""

    number: int
    wire: int
    value: int | memoryview  # BYTES: a view; else the unsigned number


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number at a position, and the position after it.

    Damaged if the bytes end within it, or it is longer than 64 bits.
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
    """The fields of a message in the order of the file; Damaged, meanwhile, for a broken one."""
    data, at, end = memoryview(data), 0, len(data)
    while at < end:
        key, at = (
            (data[at], at + 1) if data[at] < 128 else varint(data, at)
        )  # most are short
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == VARINT:
            value, at = varint(data, at)
        elif wire == BYTES:
            length, at = (
                (data[at], at + 1) if at < end and data[at] < 128 else varint(data, at)
            )
            if length > end - at:
                raise Damaged(f"a field of {length:,} bytes reaches past its end")
            value, at = data[at : at + length], at + length
        elif wire in _FIXED:
            size = _FIXED[wire].size
            if size > len(data) - at:
                raise Damaged("it ends within a number")
            (value,) = _FIXED[wire].unpack(data[at : at + size])
            at += size
        else:
            raise Damaged(f"it has a field of the unknown kind {wire}")
        if not number:
            raise Damaged("it has a field without a number")
        yield Field(number, wire, value)


def signed(number: int) -> int:
    """The int32 or int64 that a varint, which is unsigned, encodes."""
    return number - (1 << 64) if number >> 63 else number


class Message:
    """The fields of a message by number; an absent one is 0 or empty, as in protobuf.

    Damaged for bytes that are not a message, or a field of another kind than
    is asked for.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._fields: dict[int, list[Field]] = {}
        self.count = 0  # of all its fields
        for field in fields(data):
            self.count += 1
            if self.count > MOST_PARTS:
                raise Damaged(f"a message in it has more than {MOST_PARTS:,} fields")
            self._fields.setdefault(field.number, []).append(field)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def first(self, number: int) -> int | memoryview:
        """The first field of a number, undecoded; empty without one."""
        found = self._fields.get(number)
        return found[0].value if found else memoryview(b"")

    def first_bytes(self, number: int) -> memoryview:
        """The bytes of the first field of a number."""
        found = self._fields.get(number)
        return self._bytes(found[0]) if found else memoryview(b"")

    def number(self, number: int) -> int:
        """An unsigned number; of several the last, as in protobuf."""
        return (self.numbers(number) or [0])[-1]

    def numbers(self, number: int) -> list[int]:
        """Repeated varints, packed or not."""
        found = []
        for field in self._fields.get(number, ()):
            if isinstance(field.value, int):
                found.append(field.value)
            else:
                found += _decoded(field.value)
        return found

    def fixed(self, number: int, size: int) -> bytes:
        """Repeated numbers of ``size`` bytes, packed or not, end to end."""
        return b"".join(
            field.value.to_bytes(size, "little")
            if isinstance(field.value, int) and field.wire == _FIXED_WIRES[size]
            else self._bytes(field)
            for field in self._fields.get(number, ())
        )

    def bytes(self, number: int) -> memoryview:
        """The bytes of a field; of several the last."""
        return (self.each(number) or [memoryview(b"")])[-1]

    def each(self, number: int) -> list[memoryview]:
        """The bytes of a repeated field."""
        return [self._bytes(field) for field in self._fields.get(number, ())]

    def text(self, number: int) -> str:
        """The text of a field; of several the last."""
        return text(self.bytes(number))

    def messages(self, number: int) -> list[Message]:
        """The messages of a repeated field."""
        return [Message(data) for data in self.each(number)]

    def message(self, number: int) -> Message:
        """The message in a field; an empty one if it is absent."""
        return Message(self.bytes(number))

    @staticmethod
    def _bytes(field: Field) -> memoryview:
        if isinstance(field.value, int):
            raise Damaged(f"its field {field.number} is a number where bytes should be")
        return field.value


def text(data: memoryview) -> str:
    """A string field as text; Damaged if it is none."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise Damaged("a name in it is not text") from None


def _decoded(data: memoryview) -> Iterator[int]:
    at = count = 0
    while at < len(data):
        number, at = varint(data, at)
        count += 1
        if count > MOST_PARTS:
            raise Damaged(f"it has more than {MOST_PARTS:,} numbers in a list")
        yield number
