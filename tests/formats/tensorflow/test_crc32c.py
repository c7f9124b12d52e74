"""The checksum, against the values of RFC 3720."""

from __future__ import annotations

import pytest

from lstmcli.formats.tensorflow import bundle
from lstmcli.formats.tensorflow.bundle import PIECE, has_checksum
from tests.formats.tensorflow.forge import masked

VALUES = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.mark.parametrize(("data", "value"), VALUES)
def test_a_stored_checksum_is_compared(data: bytes, value: int) -> None:
    stored = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert has_checksum(data, stored) is True
    assert has_checksum(memoryview(data), stored ^ 1) is False


def test_long_data_are_handed_over_in_pieces() -> None:
    data = bytes(range(256)) * (PIECE // 256) + b"more"
    assert has_checksum(data, masked(data)) is True


def test_without_the_library_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "checksum_library", lambda: None)
    assert has_checksum(b"123456789", 0) is None
