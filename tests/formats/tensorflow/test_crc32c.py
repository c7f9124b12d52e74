"""The checksum, against the values of RFC 3720 and the plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.formats.tensorflow.crc32c import FEW, PIECE, _by_bytes, crc32c, unmasked


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_values_of_the_rfc(data: bytes, value: int) -> None:
    assert crc32c(data) == value


@pytest.mark.parametrize("length", [FEW, FEW + 1, FEW + 255, 4096, 5000, PIECE, PIECE + 1])
def test_lanes_give_what_a_loop_gives(length: int) -> None:
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    assert crc32c(data) == _by_bytes(data)


def test_a_stored_checksum_is_turned_back() -> None:
    value = 0x12345678
    stored = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert unmasked(stored) == value
