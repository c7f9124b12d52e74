"""Large .npy files, of which blocks are read; strings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.load import load
from lstmcli.core.model.arrays import iterate_blocks
from lstmcli.errors import UserError
from lstmcli.formats import npy
from lstmcli.formats.files import limits
from lstmcli.formats.files.limits import raised_to
from lstmcli.formats.npy import FileArray
from tests.paths import TESTS
from tests.recorded import held


def in_blocks(
    path: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> FileArray:
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
        assert (found.shape, found.dtype) == (
            array.shape,
            array.dtype.newbyteorder("="),
        )
        for index in (
            slice(2, 5),
            (slice(None), slice(1, 3)),
            (slice(1, 99), slice(0, 0)),
        ):
            np.testing.assert_array_equal(found[index], array[index])
        np.testing.assert_array_equal(np.asarray(found), array)


@pytest.mark.parametrize("size", [1, 10, 40, 10_000])
def test_blocks_are_all_numbers_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = np.arange(7 * 11 * 3.0).reshape(7, 11, 3)
    found = list(
        iterate_blocks(in_blocks(tmp_path / "x.npy", whole, monkeypatch), size)
    )
    assert (
        np.concatenate([block.ravel() for _, block in found]).tolist()
        == whole.ravel().tolist()
    )
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


def test_arrays_read_in_blocks_are_bounded_only_when_loaded_in_full(
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
def test_strings_of_what_is_not_a_character_are_refused(
    tmp_path: Path, point: int, order: str
) -> None:
    points = np.array([[0x61, point]], f"{order}u4")
    np.save(tmp_path / "x.npy", points.view(f"{order}U2"))
    with pytest.raises(UserError, match="contains strings that are not Unicode text"):
        formats.read(str(tmp_path / "x.npy"))


def test_a_version_for_names_of_fields_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "a.npy", "wb") as stream:
        np.lib.format.write_array(stream, np.ones(3), version=(3, 0))
    with pytest.raises(
        UserError, match=r"version 3\.0; 1\.0 and 2\.0 contain plain arrays"
    ):
        formats.read(str(tmp_path / "a.npy"))


def test_a_header_of_many_backslashes_never_reaches_the_parser(tmp_path: Path) -> None:
    """NumPy's second parser, for headers of Python 2, takes more than a second for this one."""
    text = b"'\\" * 4_995
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(
        UserError, match=r"x\.npy: the \.npy header is broken \(a backslash"
    ):
        formats.read(str(path))


# ---- raw little-endian numbers by their type and shape: ``h.bin:f32:7x3``


@pytest.mark.parametrize(
    ("form", "dtype"), [("f16", "<f2"), ("f32", "<f4"), ("f64", "<f8")]
)
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
    assert str(error.value) == (
        f"{path} has 80 bytes; f32:7x3 takes 84, 21 numbers of 4 bytes."
    )


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


# ---- bfloat16 as JAX and safetensors write it, and what else other tools leave in npz files


GOLDEN = TESTS / "golden" / "bfloat16"


def bits(array: np.ndarray) -> list[object]:
    assert array.dtype == np.float32
    return array.view(np.uint32).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", ["jax.npz", "jax.safetensors"])
def test_bfloat16_is_widened_bit_for_bit(file: str) -> None:
    if file.endswith(".safetensors"):
        pytest.importorskip("safetensors", reason="needs lstmcli[formats]")
    arrays = formats.read(str(GOLDEN / file)).arrays
    expected = held("bfloat16/float32")
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        assert bits(arrays[name]) == bits(array), name
    assert load(str(GOLDEN / file)).convention.name == "keras"


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_single_array_in_fortran_s_order(
    in_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npy, "IN_BLOCKS_FROM", 0)
    (array,) = formats.read(
        str(GOLDEN / "fortran.npy"), in_blocks=in_blocks
    ).arrays.values()
    assert bits(array) == bits(held("bfloat16/float32")["kernel"])


def test_blocks_are_widened_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npy, "IN_BLOCKS_FROM", 0)
    halves = np.arange(0x3F80, 0x3F80 + 12, dtype="<u2").reshape(
        3, 4
    )  # upper halves of float32
    np.save(tmp_path / "x.npy", halves.view("V2"))
    array = formats.read(str(tmp_path / "x.npy"), in_blocks=True).arrays[""]
    assert array.dtype == np.float32
    found = array[1:].view(np.uint32)
    np.testing.assert_array_equal(found, halves[1:].astype(np.uint32) << 16)


def test_tensors_of_types_that_numpy_lacks_are_left_out_and_named() -> None:
    pytest.importorskip("safetensors", reason="needs lstmcli[formats]")
    (remark,) = formats.read(str(GOLDEN / "jax.safetensors")).remarks
    assert "scales (F8_E4M3)" in remark


def test_the_limit_of_bytes_is_that_of_the_widened_tensor() -> None:
    pytest.importorskip("safetensors", reason="needs lstmcli[formats]")
    with limits.raised_to(239), pytest.raises(UserError, match="max_bytes=240"):
        formats.read(str(GOLDEN / "jax.safetensors"))


def test_objects_are_left_out_and_named(tmp_path: Path) -> None:
    """Chainer saves a parameter without a value as None, next to the others."""
    rng = np.random.default_rng(0)
    weights = {
        "l/upward/W": np.asfortranarray(rng.normal(size=(12, 4))),
        "l/lateral/W": rng.normal(size=(12, 3)).astype(">f8"),
        "l/upward/b": rng.normal(size=12).astype(">f4"),
    }
    objects = {"out/W": None, "out/b": np.array([None, 1])}
    np.savez(tmp_path / "c.npz", **weights, **objects)  # type: ignore[arg-type]
    document = formats.read(str(tmp_path / "c.npz"))
    assert document.remarks[0].endswith(
        "out/W, out/b left out: Python objects are never loaded."
    )
    for name, array in weights.items():
        np.testing.assert_array_equal(document.arrays[name], array)
        assert document.arrays[name].dtype.isnative
        assert document.arrays[name].flags.c_contiguous
    model = load(str(tmp_path / "c.npz"))
    assert model.convention.name == "chainer"
    assert any("never loaded" in remark for remark in model.remarks)
