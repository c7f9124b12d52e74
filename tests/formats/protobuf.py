"""Messages of protocol buffers put together by field, so that they may be wrong in any way."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A number as protocol buffers write it."""
    number &= (1 << 64) - 1
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


def message(*fields: tuple[int, int | bytes | str]) -> bytes:
    """A message of numbers, and of texts and messages with their lengths."""
    data = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            data += varint(number << 3) + varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            data += varint(number << 3 | 2) + varint(len(content)) + content
    return bytes(data)
