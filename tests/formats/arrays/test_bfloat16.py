"""bfloat16 as JAX and safetensors write it, and what else other tools leave in npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.load import load
from lstmcli.errors import UserError
from lstmcli.formats.arrays import npy
from lstmcli.formats.files import limits
from tests.paths import TESTS

GOLDEN = TESTS / "golden" / "bfloat16"


def bits(array: np.ndarray) -> list[object]:
    assert array.dtype == np.float32
    return array.view(np.uint32).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("file", ["jax.npz", "jax.safetensors"])
def test_bfloat16_is_widened_bit_for_bit(file: str) -> None:
    if file.endswith(".safetensors"):
        pytest.importorskip("safetensors", reason="needs lstmcli[formats]")
    arrays = formats.read(str(GOLDEN / file)).arrays
    with np.load(GOLDEN / "float32.npz") as expected:
        assert set(arrays) == set(expected)
        for name, array in expected.items():
            assert bits(arrays[name]) == bits(array), name
    assert load(str(GOLDEN / file)).convention.name == "keras"


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_single_array_in_fortran_s_order(
    in_blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npy, "IN_BLOCKS_FROM", 0)
    (array,) = formats.read(str(GOLDEN / "fortran.npy"), in_blocks=in_blocks).arrays.values()
    with np.load(GOLDEN / "float32.npz") as expected:
        assert bits(array) == bits(expected["kernel"])


def test_blocks_are_widened_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "IN_BLOCKS_FROM", 0)
    halves = np.arange(0x3F80, 0x3F80 + 12, dtype="<u2").reshape(3, 4)  # upper halves of float32
    np.save(tmp_path / "x.npy", halves.view("V2"))
    array = formats.read(str(tmp_path / "x.npy"), in_blocks=True).arrays[""]
    assert array.dtype == np.float32
    found = array[1:].view(np.uint32)
    np.testing.assert_array_equal(found, halves[1:].astype(np.uint32) << 16)


def test_what_numpy_has_no_type_for_is_left_out_and_named() -> None:
    pytest.importorskip("safetensors", reason="needs lstmcli[formats]")
    (remark,) = formats.read(str(GOLDEN / "jax.safetensors")).remarks
    assert "scales (F8_E4M3)" in remark


def test_the_limit_of_bytes_is_that_of_the_widened_tensor() -> None:
    pytest.importorskip("safetensors", reason="needs lstmcli[formats]")
    with limits.raised_to(239), pytest.raises(UserError, match="max_bytes=240"):
        formats.read(str(GOLDEN / "jax.safetensors"))


def test_objects_are_left_out_and_named(tmp_path: Path) -> None:
    """Chainer saves a parameter without a value as None, beside the others."""
    rng = np.random.default_rng(0)
    weights = {
        "l/upward/W": np.asfortranarray(rng.normal(size=(12, 4))),
        "l/lateral/W": rng.normal(size=(12, 3)).astype(">f8"),
        "l/upward/b": rng.normal(size=12).astype(">f4"),
    }
    objects = {"out/W": None, "out/b": np.array([None, 1])}
    np.savez(tmp_path / "c.npz", **weights, **objects)  # type: ignore[arg-type]
    document = formats.read(str(tmp_path / "c.npz"))
    assert document.remarks[0].endswith("out/W, out/b left out: Python objects are never loaded.")
    for name, array in weights.items():
        np.testing.assert_array_equal(document.arrays[name], array)
        assert document.arrays[name].dtype.isnative
        assert document.arrays[name].flags.c_contiguous
    model = load(str(tmp_path / "c.npz"))
    assert model.convention.name == "chainer"
    assert any("never loaded" in remark for remark in model.remarks)
