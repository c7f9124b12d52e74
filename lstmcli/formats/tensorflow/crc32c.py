"""CRC-32C, the checksum of TensorFlow's files, computed by google-crc32c.

RFC 3720, appendix B.4 has values to test it by.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

PIECE = 1 << 20  # bytes handed to the library at once: it takes `bytes`, which are a copy


def is_right(data: bytes | memoryview, stored: int) -> bool | None:
    """Whether data has the stored checksum; None without the library."""
    extend = library()
    if extend is None:
        return None
    value = 0
    for start in range(0, len(data), PIECE):
        value = extend(value, bytes(data[start : start + PIECE]))
    return value == unmasked(stored)


@cache
def library() -> Callable[[int, bytes], int] | None:
    """google-crc32c's function of a checksum and the bytes that follow it, or None."""
    try:
        extend: Callable[[int, bytes], int] = import_module("google_crc32c").extend
    except ImportError:
        return None
    return extend


def unmasked(stored: int) -> int:
    """The checksum of a stored value, which TensorFlow masks as LevelDB does: rotate, add."""
    rotated = (stored - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF
