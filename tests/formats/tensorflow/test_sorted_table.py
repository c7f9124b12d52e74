"""The table: sealed blocks of sorted entries, and whatever contradicts itself."""

from __future__ import annotations

import io

import pytest

from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.tensorflow.bundle import LONGEST_KEY, MOST_KEYS, SortedTable
from tests.formats.protobuf import varint
from tests.formats.tensorflow.forge import block, content, footer, handle, table


def entries(data: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (key, bytes(value)) for key, value in SortedTable(io.BytesIO(data), len(data)).entries()
    ]


def of_blocks(*contents: bytes, index: bytes | None = None) -> bytes:
    """A table of these blocks, with an index of them unless another is given."""
    data = b""
    handles: list[tuple[bytes, bytes]] = []
    for one in contents:
        handles.append((varint(len(handles)), handle(len(data), len(one))))
        data += block(one)
    listed = index if index is not None else content(handles)
    return data + block(listed) + footer(handle(len(data), len(listed)))


def test_entries_come_in_order() -> None:
    assert entries(table({b"": b"1", b"a": b"", b"ab": b"22"})) == [
        (b"", b"1"), (b"a", b""), (b"ab", b"22"),
    ]  # fmt: skip


def test_a_key_shares_the_start_of_the_one_before() -> None:
    shared = varint(0) + varint(3) + varint(1) + b"abcX" + varint(2) + varint(1) + varint(1) + b"dY"
    data = of_blocks(shared + bytes(4) + b"\1\0\0\0")
    assert entries(data) == [(b"abc", b"X"), (b"abd", b"Y")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends before byte"),
        (bytes(48), "does not end as a table does"),
        (table({b"a": b"1"}, kind=1), "compressed by Snappy"),
        (table({b"a": b"1"}, kind=9), "compressed by method 9"),
        (table({b"a": b"1"}).replace(b"a", b"b"), "checksum of the block at byte 0 is wrong"),
        (of_blocks(content([(b"b", b""), (b"a", b"")])), "out of order"),
        (of_blocks(content([(b"b", b"")]), content([(b"b", b"")])), "out of order"),
        (of_blocks(b"\7\0\0\0"), "shorter than it declares"),
        (of_blocks(varint(1) + varint(1) + varint(0) + b"a" + bytes(4) + b"\1\0\0\0"), "reaches"),
        (of_blocks(varint(0) + varint(9) + varint(0) + b"a" + bytes(4) + b"\1\0\0\0"), "reaches"),
        (of_blocks(index=content([(b"z", handle(1 << 50, 8))])), "ends before byte"),
        (of_blocks(index=content([(b"z", handle(0, 1 << 50))])), "ends before byte"),
        (footer(handle(1 << 60, 1 << 60)), "ends before byte"),
        (footer(handle(0, 48)), "ends before byte"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        entries(data)


def test_blocks_are_read_once() -> None:
    """A handle that comes twice would let a small file be read for ever."""
    first = content([(b"a", b"1")])
    index = content([(b"a", handle(0, len(first))), (b"b", handle(0, len(first)))])
    with pytest.raises(Damaged, match="overlap"):
        entries(of_blocks(first, index=index))


def test_keys_that_grow_are_bounded() -> None:
    grown = b"".join(varint(n) + varint(1) + varint(0) + b"a" for n in range(LONGEST_KEY + 1))
    with pytest.raises(Damaged, match="reaches past"):
        entries(of_blocks(grown + bytes(4) + b"\1\0\0\0"))
    count = MOST_KEYS // LONGEST_KEY
    many = varint(0) + varint(LONGEST_KEY - 2) + varint(0) + b"a" * (LONGEST_KEY - 2)
    many += b"".join(
        varint(LONGEST_KEY - 2) + varint(2) + varint(0) + n.to_bytes(2, "big") for n in range(count)
    )
    with pytest.raises(Damaged, match="names take more than"):
        entries(of_blocks(many + bytes(4) + b"\1\0\0\0"))
