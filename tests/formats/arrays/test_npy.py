"""Large .npy files, of which blocks are read; strings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.core.model.arrays import iterate_blocks
from lstmcli.errors import UserError
from lstmcli.formats.arrays import npy
from lstmcli.formats.arrays.blocks import FileArray
from lstmcli.formats.files.limits import raised_to


def in_blocks(path: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> FileArray:
    monkeypatch.setattr(npy, "IN_BLOCKS_FROM", 0)
    np.save(path, array)
    found: object = formats.read(str(path), in_blocks=True).arrays[""]
    assert isinstance(found, FileArray)
    return found


@pytest.mark.parametrize("preadv", [True, False])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "i1", ">i4", "?"])
def test_slices_of_an_array_in_a_file_are_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, preadv: bool
) -> None:
    if not preadv:
        monkeypatch.delattr("os.preadv")
    whole = (9 * np.random.default_rng(0).normal(size=(7, 11, 3))).astype(dtype)
    for array in (whole, whole[0]):
        found = in_blocks(tmp_path / "x.npy", array, monkeypatch)
        assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("="))
        for index in (slice(2, 5), (slice(None), slice(1, 3)), (slice(1, 99), slice(0, 0))):
            np.testing.assert_array_equal(found[index], array[index])
        np.testing.assert_array_equal(np.asarray(found), array)


@pytest.mark.parametrize("size", [1, 10, 40, 10_000])
def test_blocks_are_all_numbers_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = np.arange(7 * 11 * 3.0).reshape(7, 11, 3)
    found = list(iterate_blocks(in_blocks(tmp_path / "x.npy", whole, monkeypatch), size))
    assert np.concatenate([block.ravel() for _, block in found]).tolist() == whole.ravel().tolist()
    assert all(whole[tuple(start)][0] == block.flat[0] for start, block in found)
    assert max(block.size for _, block in found) <= max(size, 3)


def test_a_file_that_became_shorter_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = in_blocks(tmp_path / "x.npy", np.zeros((70, 40, 9)), monkeypatch)
    os.truncate(tmp_path / "x.npy", 100_000)
    assert found[:5].shape == (5, 40, 9)
    with pytest.raises(
        UserError, match=r"x\.npy is cut short: it became shorter while it was read"
    ):
        found[30:40]


def test_what_is_read_in_blocks_is_not_bounded_until_the_full_array_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raised_to(100):
        found = in_blocks(tmp_path / "x.npy", np.zeros((70, 40, 9)), monkeypatch)
        assert found[3:4].size == 360
        with pytest.raises(UserError, match="max_bytes=201600"):
            np.asarray(found)
        with pytest.raises(UserError, match="max_bytes=201600"):
            formats.read(str(tmp_path / "x.npy"))


@pytest.mark.parametrize("point", [0x110000, 0xFFFFFFFF, 0xD800])
@pytest.mark.parametrize("order", "<>")
def test_strings_of_what_is_no_character_are_refused(
    tmp_path: Path, point: int, order: str
) -> None:
    points = np.array([[0x61, point]], f"{order}u4")
    np.save(tmp_path / "x.npy", points.view(f"{order}U2"))
    with pytest.raises(UserError, match="contains strings that are no Unicode text"):
        formats.read(str(tmp_path / "x.npy"))


def test_a_version_for_names_of_fields_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as stream:
        np.lib.format.write_array(stream, np.ones(3), version=(3, 0))
    with pytest.raises(UserError, match=r"version 3\.0; 1\.0 and 2\.0 contain plain arrays"):
        formats.read(str(tmp_path / "a.npy"))


def test_a_header_of_many_backslashes_never_reaches_the_parser(tmp_path: Path) -> None:
    """NumPy's second parser, for headers of Python 2, takes more than a second for this one."""
    text = b"'\\" * 4_995
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(UserError, match=r"x\.npy: the \.npy header is broken \(a backslash"):
        formats.read(str(path))
