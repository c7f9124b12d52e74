"""Checkpoints with wrong positions of their tensors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import raised_to
from tests.formats.helpers import piped
from tests.formats.protobuf import message
from tests.formats.tensorflow import forge
from tests.formats.tensorflow.forge import checkpoint, entry, fixed32, masked, shape

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
        (message((1, 1), (2, shape(2, 3)), (4, HUGE), (5, 24)), "shard 0 ends before byte"),
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
        (message((1, 1), (2, b"\x12\xff"), (5, 24)), "damaged or cut short"),
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
    entries = {b"a": entry(ONE, 0), b"q": message((1, 20), (2, shape(2)), (4, 24), (5, 2))}
    document = formats.read(str(checkpoint(tmp_path, entries, DATA + b"ab")))
    assert list(document.arrays) == ["a"]
    assert document.remarks == (f"{document.source}: q has no numbers; it is left out.",)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (message((1, 1), (2, 1)), "big-endian"),
        (message((1, 0)), "damaged or cut short"),
        (message((1, HUGE)), "it has 1,125,899,906,842,624 shards"),
        (b"", "does not describe it"),
    ],
)
def test_an_unusable_header_is_refused(header: bytes, reason: str, tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {b"": header, b"a": entry(ONE, 0)}, DATA)
    with pytest.raises(UserError, match=reason):
        formats.read(str(path))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, {b"a": entry(ONE, 0)}, DATA)
    (tmp_path / "c.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match=r"c\.data-00000-of-00001, which is not in the same folder"):
        formats.read(str(path))


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_a_shard_that_is_no_file_of_the_folder(kind: str, tmp_path: Path) -> None:
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
    with pytest.raises(UserError, match=r"c\.data-00000-of-00001 is (a link out of|no regular)"):
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
    stored = message((1, 7), (4, len(DATA)), (5, len(graph))) + fixed32(6, masked(graph))
    return {b"_CHECKPOINTABLE_OBJECT_GRAPH": stored, b"a": entry(ONE, 0), b"graph": graph}


def test_a_graph_of_objects_may_have_cycles_and_children_that_are_not_there(tmp_path: Path) -> None:
    child = [message((1, message((1, n), (2, b"x")))) for n in (1, 0, 999, HUGE)]
    variable = message((2, message((1, b"VARIABLE_VALUE"), (2, b"lstm/kernel"), (3, b"a"))))
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
    variable = message((2, message((1, b"VARIABLE_VALUE"), (2, b"lstm/kernel"), (3, b"a"))))
    entries = objects(variable)
    graph = entries.pop(b"graph")
    path = str(checkpoint(tmp_path, entries, DATA + graph))
    with raised_to(len(graph)):
        assert list(formats.read(path).arrays) == ["lstm/kernel"]
    with raised_to(len(graph) - 1), pytest.raises(UserError, match=rf"max_bytes={len(graph)}$"):
        formats.read(path)
