"""A mapped .npy: parts of it are read, and its memory given back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats import npy


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_a_part_of_a_mapped_file_is_taken_out_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    monkeypatch.setattr(npy, "MAP_FROM", 0)
    whole = np.random.default_rng(0).normal(size=(70, 400, 9)).astype(np.float32)
    np.save(tmp_path / "x.npy", whole)
    array = formats.read(str(tmp_path / "x.npy")).arrays[""]
    part = (slice(3, 50), slice(20, 390))
    taken = npy.taken_out(array[part].transpose(order))
    np.testing.assert_array_equal(taken, whole[part].transpose(order))
    assert npy._file_of(taken) is None
    assert npy._file_of(array) is not None
    npy.release(array[::-1])  # turned round, it is still the same bytes
    np.testing.assert_array_equal(array, whole)
    assert npy.taken_out(whole) is whole


@pytest.mark.parametrize("point", [0x110000, 0xFFFFFFFF, 0xD800])
@pytest.mark.parametrize("order", "<>")
def test_strings_of_what_is_no_character_are_refused(
    tmp_path: Path, point: int, order: str
) -> None:
    points = np.array([[0x61, point]], f"{order}u4")
    np.save(tmp_path / "x.npy", points.view(f"{order}U2"))
    with pytest.raises(UserError, match="holds strings that are no Unicode text"):
        formats.read(str(tmp_path / "x.npy"))
