"""The checksum, against the values of RFC 3720, with the library and without."""

from __future__ import annotations

import pytest

from lstmcli.formats.tensorflow import crc32c
from lstmcli.formats.tensorflow.crc32c import LONGEST_IN_LOOP, is_right
from tests.formats.tensorflow.forge import masked

VALUES = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


@pytest.fixture(params=["library", "loop"])
def _either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "loop":
        monkeypatch.setattr(crc32c, "library", lambda: None)
    else:
        pytest.importorskip("google_crc32c")


@pytest.mark.parametrize(("data", "value"), VALUES)
def test_the_loop_gives_the_values_of_the_rfc(data: bytes, value: int) -> None:
    assert crc32c.crc32c(data) == value


@pytest.mark.usefixtures("_either")
@pytest.mark.parametrize(("data", "value"), VALUES)
def test_a_stored_checksum_is_compared(data: bytes, value: int) -> None:
    stored = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert is_right(data, stored) is True
    assert is_right(memoryview(data), stored ^ 1) is False


def test_long_data_takes_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(LONGEST_IN_LOOP + 1)
    monkeypatch.setattr(crc32c, "library", lambda: None)
    assert is_right(data, 0) is None
    assert is_right(data[1:], masked(data[1:])) is True
