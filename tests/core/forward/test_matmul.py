"""The product of a step in pieces: all rows of K once, the same numbers, no more than it allows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lstmcli.core.forward import blas
from lstmcli.core.forward.matmul import (
    GRAIN,
    LINE,
    SMALL_BATCH,
    UNPACKED,
    aligned_empty,
    piece,
    product,
    product_of_one,
    saves_packing,
)


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this BLAS had kernels that pack nothing."""
    monkeypatch.setattr(blas, "has_unpacked_kernels", lambda: True)


@pytest.mark.parametrize("batch", [2, 7, 12, 13, 31, 50, 64, 256, 1000])
@pytest.mark.parametrize("shape", [(512, 257), (1030, 301), (4096, 2049), (8, 3), (128, 49)])
def test_pieces_are_small_enough_for_the_kernels(shape: tuple[int, int], batch: int) -> None:
    size = piece(shape, batch)
    if size < shape[0]:
        assert size * shape[1] * batch <= UNPACKED
        assert batch <= SMALL_BATCH or size % GRAIN == 0
    else:
        least = 1 if batch <= SMALL_BATCH else GRAIN
        whole, smallest = (n * shape[1] * batch for n in (shape[0], least))
        assert whole <= UNPACKED or smallest > UNPACKED


def test_small_products_large_batches_and_other_kernels_are_not_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert piece((512, 257), 32) == 112
    assert piece((512, 257), 300) == 512
    assert piece((64, 20), 32) == 64
    monkeypatch.setattr(blas, "has_unpacked_kernels", lambda: False)
    assert piece((512, 257), 32) == 512


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
@pytest.mark.parametrize("batch", [2, 13, 33, 64, 256])
def test_a_product_in_pieces_is_the_product(batch: int, dtype: str) -> None:
    rng = np.random.default_rng(batch)
    length = 2500 if batch == 2 else 500
    K = rng.normal(size=(length, 211)).astype(dtype)
    operand = rng.normal(size=(211, batch)).astype(dtype)
    z = np.full((length, batch), np.nan, dtype)
    assert piece(K.shape, batch) < length
    function, out = product(K, z)
    function(operand, out)
    exact = K.astype(np.longdouble).dot(operand.astype(np.longdouble))
    bound: Any = 211 * np.finfo(dtype).eps * (np.abs(K) @ np.abs(operand))
    assert (np.abs(z - exact) <= bound).all()
    product_of_one(K)(operand[:, 0].copy(), alone := np.empty(length, dtype))
    assert (np.abs(alone - exact[:, 0]) <= bound[:, 0]).all()


@pytest.mark.parametrize("batch", [3, 256])
def test_a_product_that_is_not_cut_is_the_product_too(batch: int) -> None:
    """Of a target that is small, and of one so large that `dot` would take time to clear it."""
    rng = np.random.default_rng(batch)
    K, operand = rng.normal(size=(96, 5)), rng.normal(size=(5, batch))
    z = np.full((96, batch), np.nan)
    function, out = product(K, z)
    function(operand, out)
    np.testing.assert_allclose(z, K @ operand, rtol=1e-13, atol=1e-13)


def test_blocks_are_merged_unless_only_they_pack_nothing() -> None:
    K = np.empty((2048, 513), np.float32)
    halves = [slice(0, 64), slice(64, 128)]
    assert piece(K.shape, 64) == 16
    assert piece(K.shape, 128) == 2048
    assert not saves_packing(K, 128, halves)
    assert saves_packing(np.empty((4096, 2049), np.float32), 128, halves)
    assert saves_packing(np.empty((512, 257), np.float32), 32, [slice(0, 16), slice(16, 32)])


def test_older_kernels_are_detected_by_their_names() -> None:
    code = "from lstmcli.core.forward import blas; print(blas.has_unpacked_kernels())"
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"OPENBLAS_CORETYPE": "Haswell"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "False\n"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (7, 5, 3), (300, 1000)])
def test_an_aligned_array_is_contiguous_and_writable(shape: tuple[int, ...], dtype: Any) -> None:
    array = aligned_empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.size == 0 or array.__array_interface__["data"][0] % LINE == 0
    array[...] = 3
    np.testing.assert_array_equal(array, np.full(shape, 3, dtype))
