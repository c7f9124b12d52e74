"""The product of a step in pieces: all rows of K once, the same numbers, no more than it allows."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstmcli.core.forward import blas, matmul
from lstmcli.core.forward.matmul import (
    GRAIN,
    LINE,
    MULTIPLES,
    ROWS,
    SMALL_BATCH,
    UNPACKED,
    Ahead,
    aligned_empty,
    piece,
    product,
    product_of_few,
    product_of_one,
    rows_ahead,
    rows_alike,
    saves_packing,
    sequences_first,
)
from lstmcli.core.forward.plan import NAMES
from lstmcli.core.forward.run import run
from tests.core.judge import model_of, random_net


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
    alone = np.empty((length, 1), dtype)
    function, out = product_of_one(K.T.copy(), alone)
    function(operand[:, 0].copy(), out)
    assert (np.abs(alone[:, 0] - exact[:, 0]) <= bound[:, 0]).all()


@pytest.mark.parametrize("batch", [3, 256])
def test_a_product_that_is_not_cut_is_the_product_too(batch: int) -> None:
    """Of a target that is small, and of one so large that `dot` would take time to clear it."""
    rng = np.random.default_rng(batch)
    K, operand = rng.normal(size=(96, 5)), rng.normal(size=(5, batch))
    z = np.full((96, batch), np.nan)
    function, out = product(K, z)
    function(operand, out)
    np.testing.assert_allclose(z, K @ operand, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "units"), [(2, 150), (7, 64), (12, 70)])
def test_a_product_of_few_is_the_product(batch: int, units: int, dtype: str) -> None:
    rng = np.random.default_rng(batch)
    K = rng.normal(size=(4 * units, 1030)).astype(dtype)
    operand = rng.normal(size=(1030, batch)).astype(dtype)
    assert sequences_first(K.shape, batch, K.dtype)
    z = np.full((4, batch, units), np.nan, dtype).swapaxes(1, 2)
    function, out = product_of_few(K, z)
    function(operand.T.copy(), out)
    exact = K.astype(np.longdouble).dot(operand.astype(np.longdouble))
    bound: Any = 1030 * np.finfo(dtype).eps * (np.abs(K) @ np.abs(operand))
    assert (np.abs(z.reshape(4 * units, batch) - exact) <= bound).all()


def test_sequences_come_first_where_a_small_batch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    f4 = np.dtype("f4")
    assert sequences_first((1024, 513), 8, f4)
    assert not sequences_first((256, 129), 8, f4)
    assert not sequences_first((1024, 513), 1, f4)
    assert not sequences_first((1024, 513), SMALL_BATCH + 1, f4)
    assert not sequences_first((1024, 513), 8, np.dtype("longdouble"))
    assert not sequences_first((40, 100_000), 12, f4)  # not one vector fits what they take
    monkeypatch.setattr(blas, "has_unpacked_kernels", lambda: False)
    assert not sequences_first((1024, 513), 8, f4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 512), (131, 520), (300, 244), (400, 400), (9, 20)])
def test_rows_are_summed_alike_where_the_probe_says_so(shape: tuple[int, int], dtype: str) -> None:
    """Of other numbers, at other places, for every number of rows that a run may have."""
    rng = np.random.default_rng(1)
    K, x = rng.normal(size=shape).astype(dtype), rng.normal(size=(ROWS, shape[0])).astype(dtype)

    def alike(multiple: int) -> bool:
        return all(
            np.array_equal(np.matmul(x[first : first + rows], K), full[first : first + rows])
            for rows in range(multiple, ROWS, multiple)
            for first in (0, (ROWS - rows) // 2, ROWS - rows)
        )

    with blas.one_thread():
        full = np.matmul(x, K)
        assert rows_alike(shape, np.dtype(dtype)) == next(filter(alike, MULTIPLES), 0)


@pytest.mark.parametrize("batch", [1, 2, 7, 12])
def test_inputs_ahead_are_their_products(batch: int) -> None:
    rng = np.random.default_rng(batch)
    K, x = rng.normal(size=(9, 20)), rng.normal(size=(ROWS // batch, batch, 9))
    ahead = Ahead(K, batch, 4)
    assert ahead.by_step.shape == (ROWS // batch, 4, 5, batch)
    for steps in (ROWS // batch, 1, 3):
        ahead.multiply(x[-steps:])
        expected = (x[-steps:] @ K).swapaxes(1, 2).reshape(steps, 4, 5, batch)
        np.testing.assert_allclose(ahead.by_step[:steps], expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("settings", [{}, {"cell_clip": 0.4}])
def test_inputs_ahead_change_a_run_by_rounding_alone(
    settings: dict[str, Any], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    model = model_of(random_net(rng, 6, 5), **settings)
    if settings:  # a cell with every part
        cell = replace(
            model.cell,
            recurrent_kernel=rng.normal(size=(4, 5, 3)),
            projection=rng.normal(size=(3, 5)),
            peephole=rng.normal(size=(3, 5)),
        )
        model = replace(model, layers=((cell,),))
    x = rng.normal(size=(batch, 70, 6))
    monkeypatch.setattr(matmul, "rows_alike", lambda *_: 4)
    runs = []
    for limit in (0, np.inf):
        monkeypatch.setattr(matmul, "AHEAD", limit)
        monkeypatch.setattr(matmul, "AHEAD_OF_ONE", limit)
        runs.append(run(model, x, NAMES, layout="batch").members())
    for name, array in runs[0].items():
        np.testing.assert_allclose(array, runs[1][name], rtol=0, atol=1e-12, err_msg=name)


def test_few_sequences_of_large_cells_have_their_inputs_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matmul, "rows_alike", lambda *_: 4)
    f4, f8, longdouble = (np.dtype(name) for name in ("f4", "f8", "longdouble"))
    assert rows_ahead((128, 512), f4, 1)
    assert not rows_ahead((64, 256), f4, 1)
    assert rows_ahead((64, 256), f8, 1)
    assert not rows_ahead((256, 1024), f4, 2)
    assert rows_ahead((384, 1536), f4, 2)
    assert not rows_ahead((512, 2048), f4, 8)
    assert rows_ahead((1024, 4096), f4, SMALL_BATCH)
    assert not rows_ahead((1024, 4096), f4, SMALL_BATCH + 1)
    assert not rows_ahead((512, 2048), longdouble, 1)


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
