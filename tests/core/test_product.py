"""The product of a step in pieces: all rows of K once, the same numbers, no more than it allows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lstmcli.core import blas
from lstmcli.core.product import LEAST, UNPACKED, pieces, product, product_of_one, saves_packing


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this BLAS had kernels that pack nothing."""
    monkeypatch.setattr(blas, "has_unpacked_kernels", lambda: True)


@pytest.mark.parametrize("rows", [2, 7, 12, 13, 31, 50, 64])
@pytest.mark.parametrize("shape", [(512, 257), (1030, 301), (4096, 2049), (8, 3)])
def test_pieces_are_all_rows_in_order_and_small_enough(shape: tuple[int, int], rows: int) -> None:
    cuts = pieces(shape, rows)
    assert [n for cut in cuts for n in range(shape[0])[cut]] == list(range(shape[0]))
    if len(cuts) > 1:
        sizes = [cut.stop - cut.start for cut in cuts]
        assert max(sizes) * shape[1] * rows <= UNPACKED
        assert rows <= 12 or min(sizes[:-1]) >= LEAST


def test_small_products_large_batches_and_other_kernels_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(pieces((512, 257), 32)) > 1
    assert len(pieces((512, 257), 65)) == 1
    assert len(pieces((64, 20), 32)) == 1
    monkeypatch.setattr(blas, "has_unpacked_kernels", lambda: False)
    assert len(pieces((512, 257), 32)) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [2, 13, 33, 64])
def test_a_product_in_pieces_is_the_product(rows: int, dtype: str) -> None:
    rng = np.random.default_rng(rows)
    K = rng.normal(size=(2500, 211)).astype(dtype)
    operand = rng.normal(size=(211, rows)).astype(dtype)
    z = np.full((2500, rows), np.nan, dtype)
    assert len(pieces(K.shape, rows)) > 1
    function, out = product(K, z)
    function(operand, out)
    exact = K.astype(np.longdouble) @ operand.astype(np.longdouble)
    bound: Any = 211 * np.finfo(dtype).eps * (np.abs(K) @ np.abs(operand))
    assert (np.abs(z - exact) <= bound).all()
    product_of_one(K)(operand[:, 0].copy(), alone := np.empty(2500, dtype))
    assert (np.abs(alone - exact[:, 0]) <= bound[:, 0]).all()


def test_blocks_are_merged_unless_only_they_pack_nothing() -> None:
    K = np.empty((1024, 513), np.float32)
    halves = [slice(0, 32), slice(32, 64)]
    assert len(pieces(K.shape, 32)) > 1
    assert len(pieces(K.shape, 64)) == 1
    assert not saves_packing(K, 64, halves)
    assert saves_packing(np.empty((4096, 2049), np.float32), 64, halves)
    assert saves_packing(np.empty((512, 257), np.float32), 32, [slice(0, 16), slice(16, 32)])


def test_older_kernels_are_told_by_their_names() -> None:
    code = "from lstmcli.core import blas; print(blas.has_unpacked_kernels())"
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"OPENBLAS_CORETYPE": "Haswell"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "False\n"
