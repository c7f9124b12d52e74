"""Messages without a schema, against bytes of the encoding's own documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.wire.protobuf import (
    BYTES,
    FIXED32,
    VARINT,
    Field,
    Message,
    fields,
    signed,
)
from tests.formats.protobuf import varint


def test_the_examples_of_the_documentation() -> None:
    assert list(fields(bytes.fromhex("089601"))) == [Field(1, VARINT, 150)]
    ((number, wire, value),) = fields(bytes.fromhex("120774657374696e67"))
    assert not isinstance(value, int)
    assert (number, wire, bytes(value)) == (2, BYTES, b"testing")
    assert list(fields(bytes.fromhex("0d00000001"))) == [Field(1, FIXED32, 1 << 24)]


def test_a_negative_number_fills_ten_bytes() -> None:
    ((_, _, value),) = fields(bytes.fromhex("08" + "fe" + "ff" * 8 + "01"))
    assert isinstance(value, int)
    assert signed(value) == -2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("08", "ends within a number"),
        ("0880", "ends within a number"),
        ("08" + "80" * 10 + "00", "more than 64 bits"),
        ("1205aa", "a field of 5 bytes reaches past its end"),
        ("0d000000", "ends within a number"),
        ("0b", "unknown kind 3"),
        ("0000", "without a number"),
    ],
)
def test_bytes_that_are_no_message(data: str, words: str) -> None:
    with pytest.raises(Damaged, match=words):
        list(fields(bytes.fromhex(data)))


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_damaged(data: bytes) -> None:
    try:
        for field in fields(data):
            assert field.number > 0
    except Damaged:
        pass


@pytest.mark.slow
def test_a_message_of_more_fields_or_numbers_than_there_is_memory_for() -> None:
    """As objects of Python they take up to a hundred times what they take in a file."""
    assert Message(b"\x08\x01" * 10_000).count == 10_000
    with pytest.raises(Damaged, match="more than 1,000,000 fields"):
        Message(b"\x08\x01" * 1_000_001)
    packed = bytes(3_000_001)
    message = Message(b"\x0a" + varint(len(packed)) + packed)
    with pytest.raises(Damaged, match="3,000,001 numbers where at most 3,000,000 should be"):
        message.numbers(1)
