"""Pickles of a few kilobytes that would take minutes or gigabytes: each is refused at once.

A pickle names a part as often as it likes: what is done with a part is done for every mention.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.torch import state_dict
from lstmcli.formats.wire.protobuf import (
    BYTES,
    FIXED32,
    VARINT,
    Field,
    Message,
    fields,
    signed,
)
from tests.formats.helpers import zipped
from tests.formats.protobuf import varint
from tests.fuzz import guard
from tests.fuzz.guard import withstand

START = b"\x80\x02"
DOUBLED = b"]" + b"2\x86" * 40  # a list; then 40 times a tuple of the one before, twice
NAME = b"X\x01\x00\x00\x000"


def many(pieces: str, count: int) -> bytes:
    """So many texts of six digits, each with what comes behind it."""
    behind = pieces.encode("latin-1")
    return b"".join(b"X\x06\x00\x00\x00%06d" % n + behind for n in range(count))


def storage(key: bytes, word: bytes = b"X\x07\x00\x00\x00storage") -> bytes:
    return (
        b"(" + word + b"ctorch\nFloatStorage\n" + key + b"X\x03\x00\x00\x00cpuK\x04tQ"
    )


def tensor(of: bytes, size: bytes, stride: bytes) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + of
        + b"K\x00"
        + size
        + stride
        + b"\x89NtR"
    )


ENDLESS = b"(\x8a\x05\x00\x00\x00\x00\x10t"  # one axis of 2**36
AXES = b"(" + b"J\xff\xff\xff\x7f" * 400_000 + b"t"
SHARED = b"(" + b"N" * 100_000 + b"tq\x01("

PICKLES = {
    "the text of a storage's name": (
        tensor(storage(DOUBLED), b"(K\x04t", b"(K\x01t"),
        "a name that is a tuple",
    ),
    "the text of what is referred to": (storage(NAME, DOUBLED), "something else than a storage"),
    "the text of an encoding": (
        b"c_codecs\nencode\nX\x01\x00\x00\x00a" + DOUBLED + b"\x86R",
        "an encoding that is not latin1",
    ),
    "a product of many axes": (tensor(storage(NAME), AXES, AXES), "32 axes"),
    "a product of many axes of NumPy": (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + AXES
        + b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x01atb",
        "a shape that is none",
    ),
    "a size that many tensors share": (
        b"(" + b"K\x01" * 100_000 + b"tq\x01("
        + tensor(storage(NAME), b"h\x01", b"h\x01") * 20_000 + b"l",
        "32 axes",
    ),
    "a call of what a call made": (b"ca\nb\n" + b")R" * 800_000, "no tensors"),
    "arguments that many calls share": (
        SHARED + b"ccollections\ndefaultdict\nh\x01R" * 100_000 + b"l",
        "opcodes",
    ),
    "arguments that many objects keep": (SHARED + b"ca\nb\nh\x01}\x92" * 100_000 + b"l", "opcodes"),
    "a state that many objects share": (
        b"(" + many("K\x01", 20_000) + b"dq\x02(" + b"cd\ne\n)Rh\x02b" * 20_000 + b"l",
        "entries in its containers",
    ),
    "parameters that many modules share": (
        b"(X\x0b\x00\x00\x00_parameters(" + many("K\x01", 20_000) + b"ddq\x02("
        + b"cd\ne\n)Rh\x02b" * 20_000 + b"l",
        "entries in its containers",
    ),
    "buffers that do not persist": (
        b"cd\ne\n)R(X\x08\x00\x00\x00_buffers(" + many("K\x01", 100_000)
        + b"dX\x1b\x00\x00\x00_non_persistent_buffers_set(" + many("", 100_000) + b"ldb",
        "no tensors",
    ),
    "a name of a megabyte, over and over": (
        b"X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"q\x01(" + b"h\x01h\x01\x93" * 3000 + b"l",
        "a name of more than 1000 characters",
    ),
    "scales of another size than the tensor": (
        b"ctorch._utils\n_rebuild_qtensor\n(" + storage(NAME) + b"K\x00(K\x04t(K\x01t"
        b"(ctorch\nper_channel_affine\n" + tensor(storage(NAME), ENDLESS, b"(K\x00t") * 2
        + b"K\x00tNNtR",
        "not one for each on an axis",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PICKLES)
@pytest.mark.slow
def test_endless_repetition_in_a_pickle_is_refused(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SECONDS", 5)  # none takes one
    monkeypatch.setattr(state_dict, "MOST_OBJECTS", 300_000)
    body, message = PICKLES[what]
    data = zipped({"a/data.pkl": START + body + b".", "a/data/0": bytes(16)})
    assert message in withstand(tmp_path / "a.pt", data)


def test_a_key_without_a_value_is_reported_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(START + b"}(K\x01K\x02K\x03u.")
    with pytest.raises(UserError, match="a key without a value"):
        formats.read(str(path))


# ---- messages without a schema, against bytes of the encoding's own documentation


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
def test_bytes_that_are_not_a_message(data: str, words: str) -> None:
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
    packed = bytes(1_000_001)
    message = Message(b"\x0a" + varint(len(packed)) + packed)
    with pytest.raises(Damaged, match="more than 1,000,000 numbers in a list"):
        message.numbers(1)
