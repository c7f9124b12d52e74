"""Checkpoints with wrong positions of their tensors."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import Damaged, raised_to
from lstmcli.formats.files.source import Opened
from lstmcli.formats.tensorflow import bundle
from lstmcli.formats.tensorflow.bundle import (
    LONGEST_KEY,
    MOST_KEYS,
    PIECE,
    has_checksum,
    table_entries,
)
from tests.formats.helpers import piped
from tests.formats.protobuf import message, varint
from tests.formats.tensorflow import forge
from tests.formats.tensorflow.forge import (
    block,
    checkpoint,
    content,
    entry,
    fixed32,
    footer,
    handle,
    masked,
    shape,
    table,
)

ONE = np.arange(6, dtype=np.float32).reshape(2, 3)
DATA = ONE.tobytes()
HUGE = 1 << 50


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC040, 0x7F80], "<u2").tobytes()  # 1, -3, infinity
    stored = message((1, 14), (2, shape(3)), (5, 6)) + fixed32(6, masked(bits))
    array = formats.read(str(checkpoint(tmp_path, {b"a": stored}, bits))).arrays["a"]
    assert array.dtype == np.float32
    assert array.tolist() == [1, -3, np.inf]


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (message((1, 1), (2, shape(2, 3)), (4, HUGE), (5, 24)), "-00000-of-00001 ends before byte"),
        (message((1, 1), (2, shape(2, 3)), (4, (1 << 64) - 8), (5, 24)), "ends before byte"),
        (message((1, 1), (2, shape(2, 3)), (5, HUGE)), "bytes for the shape"),
        (message((1, 1), (2, shape(HUGE, 3)), (5, 24)), "max_bytes="),
        (message((1, 1), (2, shape(HUGE, HUGE, HUGE)), (5, 24)), "max_bytes="),
        (message((1, 1), (2, shape(-2, -3)), (5, 24)), "has the shape"),
        (message((1, 1), (2, message((3, 1))), (5, 24)), "has the shape"),
        (message((1, 1), (2, shape(*[1] * 33)), (5, 4)), "33 axes"),
        (message((1, 1), (2, shape(2, 3)), (3, 7), (5, 24)), "no shard 7 of 1"),
        (message((1, 1), (2, shape(2, 3)), (5, 24)), "the checksum of a is wrong"),
        (message((1, 1), (2, shape(2, 3)), (5, 24), (7, b"")), "a is a partitioned variable"),
        (message((1, 1), (2, b"\x12\xff"), (5, 24)), "corrupt or truncated"),
        (message((1, 1), (2, 5), (5, 24)), "a number where bytes should be"),
    ],
)  # fmt: skip
def test_an_entry_that_contradicts_its_shard_is_refused(
    stored: bytes, reason: str, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path, {b"a": stored}, DATA)
    with pytest.raises(UserError, match=reason) as caught:
        formats.read(str(path))
    assert str(path) in str(caught.value)


def test_tensors_that_share_bytes(tmp_path: Path) -> None:
    entries = {key: entry(ONE, offset) for key, offset in ((b"a", 0), (b"b", 8))}
    with pytest.raises(UserError, match="two of its tensors overlap"):
        formats.read(str(checkpoint(tmp_path, entries, DATA + DATA)))


def test_a_kind_that_numpy_lacks_is_left_out_and_reported(tmp_path: Path) -> None:
    entries = {
        b"a": entry(ONE, 0),
        b"q": message((1, 20), (2, shape(2)), (4, 24), (5, 2)),
    }
    document = formats.read(str(checkpoint(tmp_path, entries, DATA + b"ab")))
    assert list(document.arrays) == ["a"]
    assert document.remarks == (
        f"{document.source}: q has no numbers; it is left out.",
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (message((1, 1), (2, 1)), "big-endian"),
        (message((1, 0)), "corrupt or truncated"),
        (message((1, HUGE)), "it has 1,125,899,906,842,624 shards"),
        (b"", "does not describe it"),
    ],
)
def test_an_unusable_header_is_refused(
    header: bytes, reason: str, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path, {b"": header, b"a": entry(ONE, 0)}, DATA)
    with pytest.raises(UserError, match=reason):
        formats.read(str(path))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {b"a": entry(ONE, 0)}, DATA)
    (tmp_path / "c.data-00000-of-00001").unlink()
    with pytest.raises(
        UserError, match=r"c\.data-00000-of-00001, which is not in the same folder"
    ):
        formats.read(str(path))


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_a_shard_that_is_not_a_file_of_the_folder(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    path = checkpoint(folder, {b"a": entry(ONE, 0)}, DATA)
    shard = folder / "c.data-00000-of-00001"
    shard.rename(tmp_path / "elsewhere")
    if kind == "pipe":
        os.mkfifo(shard)
    elif kind == "folder":
        shard.mkdir()
    else:
        shard.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "nowhere"))
    with pytest.raises(
        UserError, match=r"c\.data-00000-of-00001 is (a link out of|not a regular)"
    ):
        formats.read(str(path))


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {b"a": entry(ONE, 0)}, DATA)
    shard = tmp_path / "c.data-00000-of-00001"
    shard.rename(tmp_path / "blob")
    shard.symlink_to("blob")
    np.testing.assert_array_equal(formats.read(str(path)).arrays["a"], ONE)


def test_standard_input_has_no_shards(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {b"a": entry(ONE, 0)}, DATA)
    with pytest.raises(UserError, match="Give its path"):
        piped(path.read_bytes())


def objects(*nodes: bytes) -> dict[bytes, bytes]:
    graph = forge.string(message(*((1, node) for node in nodes)))
    stored = message((1, 7), (4, len(DATA)), (5, len(graph))) + fixed32(
        6, masked(graph)
    )
    return {
        b"_CHECKPOINTABLE_OBJECT_GRAPH": stored,
        b"a": entry(ONE, 0),
        b"graph": graph,
    }


def test_a_graph_of_objects_may_have_cycles_and_children_that_are_not_there(
    tmp_path: Path,
) -> None:
    child = [message((1, message((1, n), (2, b"x")))) for n in (1, 0, 999, HUGE)]
    variable = message(
        (2, message((1, b"VARIABLE_VALUE"), (2, b"lstm/kernel"), (3, b"a")))
    )
    entries = objects(child[0] + child[2], child[1] + child[3] + variable)
    data = DATA + entries.pop(b"graph")
    document = formats.read(str(checkpoint(tmp_path, entries, data)))
    np.testing.assert_array_equal(document.arrays["lstm/kernel"], ONE)


def test_a_graph_of_objects_of_another_length_than_it_says(tmp_path: Path) -> None:
    entries = objects(b"")
    data = bytearray(DATA + entries.pop(b"graph"))
    data[len(DATA)] = 9
    with pytest.raises(UserError, match="does not have the length"):
        formats.read(str(checkpoint(tmp_path, entries, bytes(data))))


def test_a_graph_of_objects_is_within_the_limit_of_one_tensor(tmp_path: Path) -> None:
    """A sparse shard, which takes no room on a disk, may claim any length for it."""
    variable = message(
        (2, message((1, b"VARIABLE_VALUE"), (2, b"lstm/kernel"), (3, b"a")))
    )
    entries = objects(variable)
    graph = entries.pop(b"graph")
    path = str(checkpoint(tmp_path, entries, DATA + graph))
    with raised_to(len(graph)):
        assert list(formats.read(path).arrays) == ["lstm/kernel"]
    with (
        raised_to(len(graph) - 1),
        pytest.raises(UserError, match=rf"max_bytes={len(graph)}$"),
    ):
        formats.read(path)


# ---- the checksum, against the values of RFC 3720


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


def test_without_the_library_nothing_is_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle, "checksum_library", lambda: None)
    assert has_checksum(b"123456789", 0) is None


# ---- the table: sealed blocks of sorted entries, and whatever contradicts itself


def entries(data: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (key, bytes(value))
        for key, value in table_entries(Opened("t", io.BytesIO(data), len(data)))
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


def test_a_key_shares_the_start_of_the_one_before() -> None:
    shared = (
        varint(0)
        + varint(3)
        + varint(1)
        + b"abcX"
        + varint(2)
        + varint(1)
        + varint(1)
        + b"dY"
    )
    data = of_blocks(shared + bytes(4) + b"\1\0\0\0")
    assert entries(data) == [(b"abc", b"X"), (b"abd", b"Y")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends before byte"),
        (table({b"a": b"1"}, kind=1), "compressed by method 1"),
        (table({b"a": b"1"}, kind=9), "compressed by method 9"),
        (
            table({b"a": b"1"}).replace(b"a", b"b"),
            "checksum of the block at byte 0 is wrong",
        ),
        (of_blocks(content([(b"b", b""), (b"a", b"")])), "out of order"),
        (of_blocks(content([(b"b", b"")]), content([(b"b", b"")])), "out of order"),
        (of_blocks(b"\7\0\0\0"), "shorter than it declares"),
        (
            of_blocks(
                varint(1) + varint(1) + varint(0) + b"a" + bytes(4) + b"\1\0\0\0"
            ),
            "reaches",
        ),
        (
            of_blocks(
                varint(0) + varint(9) + varint(0) + b"a" + bytes(4) + b"\1\0\0\0"
            ),
            "reaches",
        ),
        (of_blocks(index=content([(b"z", handle(1 << 50, 8))])), "ends before byte"),
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
    grown = b"".join(
        varint(n) + varint(1) + varint(0) + b"a" for n in range(LONGEST_KEY + 1)
    )
    with pytest.raises(Damaged, match="reaches past"):
        entries(of_blocks(grown + bytes(4) + b"\1\0\0\0"))
    count = MOST_KEYS // LONGEST_KEY
    many = varint(0) + varint(LONGEST_KEY - 2) + varint(0) + b"a" * (LONGEST_KEY - 2)
    many += b"".join(
        varint(LONGEST_KEY - 2) + varint(2) + varint(0) + n.to_bytes(2, "big")
        for n in range(count)
    )
    with pytest.raises(Damaged, match="names take more than"):
        entries(of_blocks(many + bytes(4) + b"\1\0\0\0"))
