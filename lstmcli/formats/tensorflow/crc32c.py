"""CRC-32C, the checksum of TensorFlow's files: by google-crc32c, or a plain loop without it.

The loop takes 0.1 s a MiB (measured on CPython 3.11), which is fast enough for the index of a
checkpoint and too slow for its tensors. RFC 3720, appendix B.4 has values to test it by.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

POLYNOMIAL = 0x82F63B78  # of Castagnoli, bits reversed
ONES = 0xFFFFFFFF

PIECE = 1 << 20  # bytes handed to the library at once: it takes `bytes`, which are a copy
LONGEST_IN_LOOP = 1 << 20  # bytes: 0.1 s; an index has blocks of a quarter of it


def is_right(data: bytes | memoryview, stored: int) -> bool | None:
    """Whether data has the stored checksum; None if it is too long to check without the library."""
    if extend := library():
        value = 0
        for start in range(0, len(data), PIECE):
            value = extend(value, bytes(data[start : start + PIECE]))
        return value == unmasked(stored)
    if len(data) > LONGEST_IN_LOOP:
        return None
    return crc32c(data) == unmasked(stored)


@cache
def library() -> Callable[[int, bytes], int] | None:
    """google-crc32c's function of a checksum and the bytes that follow it, or None."""
    try:
        extend: Callable[[int, bytes], int] = import_module("google_crc32c").extend
    except ImportError:
        return None
    return extend


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of some bytes, byte by byte."""
    table = _table()
    value = ONES
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ ONES


def unmasked(stored: int) -> int:
    """The checksum of a stored value, which TensorFlow masks as LevelDB does: rotate, add."""
    rotated = (stored - 0xA282EAD8) & ONES
    return (rotated >> 17 | rotated << 15) & ONES


@cache
def _table() -> list[int]:
    """The value that each of the 256 bytes contributes to the checksum."""
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return values
