"""The sorted table of names and values that a TensorFlow checkpoint is: LevelDB's layout.

Blocks of sorted entries, an index of the blocks, a footer. Every block has a checksum, CRC-32C by
google-crc32c. The layout is that of tensorflow/core/lib/io/table_builder.cc and format.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import BinaryIO

from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.wire.protobuf import varint

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")  # the last bytes of a table
FOOTER = 48  # bytes
TRAILER = 5  # bytes after a block: how it is compressed, its checksum
COMPRESSIONS = {1: "Snappy", 2: "Zstandard"}
MOST_KEYS = 64 << 20  # bytes of all keys; each may share the start of the one before
LONGEST_KEY = 1 << 13  # bytes


class SortedTable:
    """The entries of a table in a seekable stream of ``size`` bytes."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size

    def entries(self) -> Iterator[tuple[bytes, memoryview]]:
        """Every key with its value, in the order of the keys.

        Damaged if the file ends early, a checksum is wrong, or blocks or keys are out of order.
        """
        left, last, end = MOST_KEYS, None, 0
        for _, handle in _entries(self._index()):
            start, length, _ = _handle(handle)
            if start < end:
                raise Damaged("its blocks overlap")
            end = start + length
            for key, value in _entries(self._block(start, length)):
                if last is not None and key <= last:
                    raise Damaged("its keys are out of order")
                left -= len(key) + 16
                if left < 0:
                    raise Damaged(f"its names take more than {MOST_KEYS:,} bytes")
                last = key
                yield key, value

    def _index(self) -> memoryview:
        """The block with the positions of the others."""
        footer = memoryview(self._bytes(self._size - FOOTER, FOOTER))
        if footer[-len(MAGIC) :] != MAGIC:
            raise Damaged("it does not end as a table does")
        _, _, at = _handle(footer)
        start, length, _ = _handle(footer, at)
        return self._block(start, length)

    def _block(self, start: int, length: int) -> memoryview:
        data = memoryview(self._bytes(start, length + TRAILER))
        kind = data[length]
        stored = int.from_bytes(data[length + 1 :], "little")
        if has_checksum(data[: length + 1], stored) is False:
            raise Damaged(f"the checksum of the block at byte {start:,} is wrong")
        if kind:
            name = COMPRESSIONS.get(kind, f"method {kind}")
            raise Damaged(f"a block is compressed by {name}; TensorFlow writes none that are")
        return data[:length]

    def _bytes(self, start: int, count: int) -> bytes:
        if start < 0 or start + count > self._size:
            raise Damaged(f"it ends before byte {max(start, 0) + count:,}")
        self._stream.seek(start)
        data = self._stream.read(count)
        if len(data) != count:
            raise Damaged("it became shorter while it was read")
        return data


def _handle(data: memoryview, at: int = 0) -> tuple[int, int, int]:
    """The start of a block, its length, and the position after these two numbers."""
    start, at = varint(data, at)
    length, at = varint(data, at)
    return start, length, at


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The entries of a block; each key is stored without what it shares with the one before."""
    at, end, key = 0, _end_of_entries(block), b""
    while at < end:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or shared + unshared > LONGEST_KEY or unshared + length > end - at:
            raise Damaged("an entry of a block reaches past its end")
        key = key[:shared] + bytes(block[at : at + unshared])
        at += unshared
        yield key, block[at : at + length]
        at += length


def _end_of_entries(block: memoryview) -> int:
    """The end of a block's entries: positions for binary search and their count follow them."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if end < 0:
        raise Damaged("a block is shorter than it declares")
    return end


# ---- checksums


PIECE = 1 << 20  # bytes handed to the library at once: it takes `bytes`, which are a copy


def has_checksum(data: bytes | memoryview, stored: int) -> bool | None:
    """Whether data has the stored checksum; None without the library."""
    extend = checksum_library()
    if extend is None:
        return None
    value = 0
    for start in range(0, len(data), PIECE):
        value = extend(value, bytes(data[start : start + PIECE]))
    return value == unmasked(stored)


@cache
def checksum_library() -> Callable[[int, bytes], int] | None:
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
