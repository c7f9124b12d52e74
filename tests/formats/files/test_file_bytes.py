"""Bytes that stay in their file give what they give in memory, and a message once they are gone."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files import file_bytes
from lstmcli.formats.files.file_bytes import FileBytes, PositionedFile, to_memoryview
from lstmcli.formats.files.source import opened
from tests.formats.onnx.helpers import node, tensor
from tests.formats.protobuf import message
from tests.formats.tensorflow import forge
from tests.paths import TESTS

TENSORFLOW = sorted((TESTS / "golden/tensorflow_files").glob("*.zip"))


@pytest.fixture
def in_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model stays in its file, and only a few bytes are read at once."""
    monkeypatch.setattr(file_bytes, "IN_BLOCKS_FROM", 0)
    monkeypatch.setattr(file_bytes, "WINDOW", 24)


@pytest.mark.parametrize("window", [1, 5, 24, 1000])
def test_slices_are_those_of_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(file_bytes, "WINDOW", window)
    data = bytes(np.random.default_rng(0).integers(0, 256, 100, np.uint8))
    (tmp_path / "a").write_bytes(data)
    with opened(str(tmp_path / "a")) as file:
        whole = FileBytes(PositionedFile(file.stream, "a"), 10, 80)
    assert len(whole) == 80
    assert bytes(to_memoryview(whole)) == data[10:90]
    assert [whole[n] for n in (79, 0, 30)] == [data[89], data[10], data[40]]
    for start in range(0, 80, 7):
        for stop in range(start, 81):
            part = whole[start:stop]
            assert isinstance(part, FileBytes) == (stop - start > window)
            assert bytes(to_memoryview(part)) == data[10 + start : 10 + stop]
            assert bytes(to_memoryview(part[1:3])) == data[10 + start : 10 + stop][1:3]


def same(found: formats.Document, expected: formats.Document) -> None:
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert found.groups == expected.groups
    assert found.remarks == expected.remarks
    assert found.in_turn == expected.in_turn


@pytest.mark.parametrize("archive", TENSORFLOW, ids=[path.stem for path in TENSORFLOW])
@pytest.mark.sampled(6)
def test_a_tensorflow_model_is_read_from_its_files(
    archive: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with zipfile.ZipFile(archive) as members:
        members.extractall(tmp_path)
    path = tmp_path if not (found := [*tmp_path.rglob("*frozen*.pb")]) else found[0]
    if (tmp_path / "model").is_dir():
        path = tmp_path / "model"
    expected = formats.read(str(path))
    request.getfixturevalue("in_file")
    same(formats.read(str(path)), expected)


def cut_at(monkeypatch: pytest.MonkeyPatch, path: Path, size: int, call: int) -> None:
    """Cut a file to a size when it is read for the nth time."""
    read, calls = PositionedFile._read_once, 0

    def read_once(file: PositionedFile, view: memoryview, at: int) -> int:
        nonlocal calls
        calls += 1
        if calls == call:
            os.truncate(path, size)
        return read(file, view, at)

    monkeypatch.setattr(PositionedFile, "_read_once", read_once)


BECAME_SHORTER = r"^\S+ is cut short: it became shorter while it was read .*Run again"


def test_external_data_that_become_shorter_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [message((1, "location"), (2, "w.bin"))]
    external = tensor("w", (4, 8), 1, *((13, one) for one in entries), (14, 1))
    graph = message((1, node("MatMul", ["x", "w"], ["y"])), (5, external))
    (tmp_path / "a.onnx").write_bytes(message((1, 8), (7, graph)))
    (tmp_path / "w.bin").write_bytes(bytes(128))
    assert formats.read(str(tmp_path / "a.onnx")).arrays["w"].shape == (4, 8)
    cut_at(monkeypatch, tmp_path / "w.bin", 50, 1)
    with pytest.raises(UserError, match=BECAME_SHORTER):
        formats.read(str(tmp_path / "a.onnx"))


def test_a_shard_that_becomes_shorter_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = np.arange(64, dtype="<f4")
    index = forge.checkpoint(tmp_path, {b"w": forge.entry(array, 0)}, array.tobytes())
    np.testing.assert_array_equal(formats.read(str(index)).arrays["w"], array)
    cut_at(monkeypatch, tmp_path / "c.data-00000-of-00001", 50, 1)
    with pytest.raises(UserError, match=BECAME_SHORTER):
        formats.read(str(index))
