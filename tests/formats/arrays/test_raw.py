"""Raw little-endian numbers by their type and shape: ``h.bin:f32:7x3``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import raised_to


@pytest.mark.parametrize(("form", "dtype"), [("f16", "<f2"), ("f32", "<f4"), ("f64", "<f8")])
def test_numbers_of_each_type(tmp_path: Path, form: str, dtype: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(7, 3)).astype(dtype)
    path = tmp_path / "h.bin"
    path.write_bytes(numbers.tobytes())
    (array,) = formats.read(f"{path}:{form}:7x3").arrays.values()
    assert array.dtype == numbers.dtype
    np.testing.assert_array_equal(array, numbers)
    (array,) = formats.read(f"{path}:{form}:1x7x3").arrays.values()
    assert array.shape == (1, 7, 3)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path: Path) -> None:
    numbers = np.array([1.5, -0.15625, 3e38], "<f4")
    upper = (numbers.view("<u4") >> 16).astype("<u2")
    (tmp_path / "h.bin").write_bytes(upper.tobytes())
    (array,) = formats.read(f"{tmp_path / 'h.bin'}:bf16:3").arrays.values()
    np.testing.assert_allclose(array, numbers, rtol=2**-7)


def test_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.bin"
    path.write_bytes(np.arange(20, dtype="<f4").tobytes())
    with pytest.raises(UserError) as error:
        formats.read(f"{path}:f32:7x3")
    assert str(error.value) == (f"{path} has 80 bytes; f32:7x3 takes 84, 21 numbers of 4 bytes.")


def test_a_file_of_a_known_kind_has_members(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{"f32:7x3": np.ones(2)})  # type: ignore[arg-type]
    (array,) = formats.read(f"{tmp_path / 'w.npz'}:f32:7x3").arrays.values()
    assert array.tolist() == [1, 1]
    (tmp_path / "h.txt").write_text("0.1 0.2 0.3\n")
    with pytest.raises(UserError, match="one array, without a name"):
        formats.read(f"{tmp_path / 'h.txt'}:f32:3")


def test_more_than_one_tensor_may_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.bin"
    path.write_bytes(bytes(84))
    with raised_to(83), pytest.raises(UserError, match="max_bytes=84"):
        formats.read(f"{path}:f32:7x3")
