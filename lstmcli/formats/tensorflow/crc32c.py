"""CRC-32C, the checksum of TensorFlow's files, by NumPy alone.

Without its inversions the checksum is linear over bits: that of A followed by B is that of A,
carried over as many zero bytes as B has, plus (exclusive or) that of B. So the bytes are cut into
lanes that are stepped through side by side, and the lanes are joined pair by pair.
RFC 3720, appendix B.4 has values to test it by.
"""

from __future__ import annotations

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # of Castagnoli, bits reversed
ONES = 0xFFFFFFFF
LANE_BITS = 8  # a lane has 2**8 bytes
PIECE = 1 << 22  # bytes taken at once
FEW = 2048  # bytes up to which a plain loop is quicker

Words = np.ndarray  # of uint32


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """The checksum of some bytes."""
    flat = np.frombuffer(data, np.uint8)
    if len(flat) <= FEW:
        return _by_bytes(flat.tobytes())
    value = np.array([ONES], np.uint32)
    for start in range(0, len(flat), PIECE):
        piece = flat[start : start + PIECE]
        value = _carried(value, len(piece)) ^ _lanes_joined(piece)
    return int(value[0]) ^ ONES


def unmasked(stored: int) -> int:
    """The checksum that was stored: TensorFlow turns and shifts it, as LevelDB does."""
    turned = (stored - 0xA282EAD8) & ONES
    return (turned >> 17 | turned << 15) & ONES


def _by_bytes(data: bytes) -> int:
    table = _table_as_list()
    value = ONES
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ ONES


@cache
def _table() -> Words:
    """What one byte does to the checksum, (256,)."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ POLYNOMIAL, values >> 1).astype(np.uint32)
    return values


@cache
def _table_as_list() -> list[int]:
    numbers: list[int] = _table().tolist()
    return numbers


def _lanes_joined(piece: np.ndarray) -> Words:
    """The linear checksum of a piece, (1,). Zero bytes before it change nothing."""
    lanes = 1 << max(0, (len(piece) - 1 >> LANE_BITS).bit_length())
    padded = np.zeros(lanes << LANE_BITS, np.uint8)
    padded[len(padded) - len(piece) :] = piece
    table = _table()
    values = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, -1).T):  # (2**8, lanes)
        values = table[(values ^ column) & 255] ^ values >> 8
    level = LANE_BITS
    while len(values) > 1:
        values = _applied(_zero_bytes(level), values[::2]) ^ values[1::2]
        level += 1
    return values


def _carried(values: Words, count: int) -> Words:
    """Checksums carried over so many zero bytes."""
    for level in range(count.bit_length()):
        if count >> level & 1:
            values = _applied(_zero_bytes(level), values)
    return values


@cache
def _zero_bytes(level: int) -> Words:
    """What 2**level zero bytes do to each of the 32 bits, (32,)."""
    if level:
        half = _zero_bytes(level - 1)
        return _applied(half, half)
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result: Words = _table()[bits & 255] ^ bits >> 8
    return result


def _applied(operator: Words, values: Words) -> Words:
    """A linear map, given by what it does to each bit, to each of the values."""
    bits = values[:, None] >> np.arange(32, dtype=np.uint32) & 1  # (N, 32)
    result: Words = np.bitwise_xor.reduce(np.where(bits, operator, np.uint32(0)), axis=1)
    return result
