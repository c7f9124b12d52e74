"""Pictures in the PNG format, with a palette."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from lstmcli.core.model.arrays import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(pixels: Array, palette: Sequence[tuple[int, int, int]]) -> bytes:
    """The file of a picture (rows, columns) of numbers of colours."""
    rows, columns = pixels.shape
    header = struct.pack(">II", columns, rows) + bytes([8, 3, 0, 0, 0])  # 3: numbers of a palette
    colors = bytes(part for color in palette for part in color)
    filtered = np.pad(pixels.astype(np.uint8), ((0, 0), (1, 0)))  # each row begins with a filter: 0
    data = zlib.compress(filtered.tobytes(), 9)
    parts = {b"IHDR": header, b"PLTE": colors, b"IDAT": data, b"IEND": b""}
    return SIGNATURE + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts.items()
    )
