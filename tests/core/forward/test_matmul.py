"""The product of a step in pieces: all rows of K once, the same numbers, no more than it allows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from threading import Lock, Semaphore
from typing import Any

import numpy as np
import pytest

from lstmcli import run, threads
from lstmcli.core.forward import matmul
from lstmcli.core.forward.matmul import (
    GRAIN,
    LINE,
    MULTIPLES,
    ROWS,
    SMALL_BATCH,
    UNPACKED,
    InputProducts,
    aligned_empty,
    piece,
    product,
    product_of_batch,
    product_of_one,
    rows_ahead,
    rows_alike,
    sequences_first,
    tile,
)
from lstmcli.core.forward.packing import Packed
from lstmcli.core.forward.plan import NAMES
from tests.networks import model_of, random_net
from tests.processes import HANGING, python


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this BLAS had kernels that pack nothing."""
    monkeypatch.setattr(threads, "has_unpacked_kernels", lambda: True)


@pytest.mark.parametrize("batch", [2, 7, 12, 13, 31, 50, 64, 256, 1000])
@pytest.mark.parametrize(
    "shape", [(512, 257), (1030, 301), (4096, 2049), (8, 3), (128, 49)]
)
def test_pieces_are_small_enough_for_the_kernels(
    shape: tuple[int, int], batch: int
) -> None:
    size = piece(shape, batch)
    if size < shape[0]:
        assert size * shape[1] * batch <= UNPACKED
        assert batch <= SMALL_BATCH or size % GRAIN == 0
    else:
        least = 1 if batch <= SMALL_BATCH else GRAIN
        whole, smallest = (n * shape[1] * batch for n in (shape[0], least))
        assert whole <= UNPACKED or smallest > UNPACKED


def check_product(z: Any, K: Any, operand: Any) -> None:
    """As near to K @ operand as sums in any order are."""
    exact = K.astype(np.longdouble).dot(operand.astype(np.longdouble))
    bound = K.shape[1] * np.finfo(K.dtype).eps * (np.abs(K) @ np.abs(operand))
    assert (np.abs(z - exact) <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
@pytest.mark.parametrize(
    ("batch", "shape"),
    [
        (2, (2500, 211)),
        *((n, (500, 211)) for n in (13, 33, 64, 256)),
        (3, (96, 5)),
        (256, (96, 5)),
    ],
)
@pytest.mark.sampled(4)
def test_a_product_in_pieces_or_whole_is_the_product(
    batch: int, shape: tuple[int, int], dtype: str
) -> None:
    rng = np.random.default_rng(batch)
    length, width = shape
    K = rng.normal(size=shape).astype(dtype)
    operand = rng.normal(size=(width, batch)).astype(dtype)
    z = np.full((length, batch), np.nan, dtype)
    assert (piece(K.shape, batch) < length) == (width == 211)
    function, out = product(K, z)
    function(operand, out)
    check_product(z, K, operand)
    alone = np.empty((length, 1), dtype)
    function, out = product_of_one(K.T.copy(), alone)
    function(operand[:, 0].copy(), out)
    check_product(alone, K, operand[:, :1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "units"), [(2, 150), (7, 64), (12, 70)])
def test_the_product_of_a_small_batch_is_the_product(
    batch: int, units: int, dtype: str
) -> None:
    rng = np.random.default_rng(batch)
    K = rng.normal(size=(4 * units, 1030)).astype(dtype)
    operand = rng.normal(size=(1030, batch)).astype(dtype)
    assert sequences_first(K.shape, batch, K.dtype)
    z = np.full((4, batch, units), np.nan, dtype).swapaxes(1, 2)
    function, out = product_of_batch(K, z)
    function(operand.T.copy(), out)
    check_product(z.reshape(4 * units, batch), K, operand)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [GRAIN, ROWS])
@pytest.mark.parametrize(
    "shape",
    [(40, 64), (131, 26), (300, 61), (700, 32), (9, 20), (67, 5), (203, 11), (17, 3)],
)
@pytest.mark.sampled(5)
def test_rows_are_summed_alike_where_the_probe_says_so(
    shape: tuple[int, int], rows: int, dtype: str
) -> None:
    """Of other numbers, at every place, for every number of rows that a product may have."""
    rng = np.random.default_rng(1)
    K, x = (
        rng.normal(size=shape).astype(dtype),
        rng.normal(size=(rows, shape[0])).astype(dtype),
    )

    def alike(multiple: int) -> bool:
        return all(
            np.array_equal(
                np.matmul(np.roll(x, shift, axis=0)[:size], K),
                np.roll(full, shift, axis=0)[:size],
            )
            for size in range(multiple, rows + 1, multiple)
            for shift in range(rows)
        )

    with threads.one_thread():
        full = np.matmul(x, K)
        expected = next(filter(alike, MULTIPLES), 0)
        assert rows_alike(rows, shape[0], (shape[1],), np.dtype(dtype)) == expected


def test_threads_that_start_together_probe_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting, probes, held = Semaphore(0), list[int](), Lock()

    @cache
    def probe(*_: Any) -> int:
        probes.append(1)
        for _asking in range(4):
            assert waiting.acquire(timeout=HANGING)
        return 4

    class Probing:
        def __enter__(self) -> None:
            waiting.release()
            held.acquire()

        def __exit__(self, *_: object) -> None:
            held.release()

    def ask(_: int) -> int:
        return rows_ahead((512, 2048), np.dtype("f4"), 1)

    monkeypatch.setattr(matmul, "_probing", Probing())
    monkeypatch.setattr(matmul, "rows_alike", probe)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [4] * 4
    assert probes == [1]


def test_pieces_are_small_enough_for_the_kernels_that_pack_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    f4, f8 = np.dtype("f4"), np.dtype("f8")
    for inputs in (128, 500, 1024, 2048, 3906):
        for dtype in (f4, f8):
            rows, columns = tile((inputs, 4096), dtype)
            assert rows == GRAIN
            assert rows * columns * inputs <= UNPACKED
    assert tile((512, 2048), f4) == (GRAIN, 64)
    assert tile((512, 2048), f8) == (GRAIN, 32)
    assert tile((3907, 4096), f4) == (ROWS, 64)  # not one vector fits
    monkeypatch.setattr(threads, "has_unpacked_kernels", lambda: False)
    assert tile((512, 2048), f4) == (ROWS, 64)


@pytest.mark.parametrize("batch", [1, 2, 7, 12])
@pytest.mark.parametrize(("units", "rows"), [(5, 16), (64, 64), (70, 16)])
def test_inputs_ahead_are_their_products(units: int, rows: int, batch: int) -> None:
    """Of units that are less than a piece, two pieces, and two pieces and a rest."""
    rng = np.random.default_rng(batch)
    net = random_net(rng, 9, units)
    packed = Packed(model_of(net).cell)
    x = rng.normal(size=(ROWS // batch, batch, 9))
    ahead = InputProducts(packed.input_pieces(), batch, rows, 4)
    assert ahead.by_step.shape == (ROWS // batch, 4, units, batch)
    kernel = packed.cell.kernel[[1, 0, 3, 2]] * np.array([-1, -1, -1, 1])[:, None, None]
    for steps in (ROWS // batch, 1, 3):
        ahead.multiply(x[-steps:])
        expected = np.einsum("sri,ghi->sghr", x[-steps:], kernel)
        np.testing.assert_allclose(
            ahead.by_step[:steps], expected, rtol=1e-13, atol=1e-12
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("units", [5, 70])
@pytest.mark.parametrize("settings", [{}, {"cell_clip": 0.4}])
def test_multiplying_inputs_ahead_changes_a_run_only_by_rounding(
    settings: dict[str, Any],
    units: int,
    batch: int,
    dtype: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also under kernels where the probe says no; of units with and without a full piece."""
    rng = np.random.default_rng(2)
    model = model_of(random_net(rng, 6, units, dtype), **settings)
    outputs = 3 if settings else units
    draw = partial(
        small_random, rng, dtype
    )  # so small that rounding does not grow with the steps
    cell = replace(model.cell, recurrent_kernel=draw(4, units, outputs))
    if settings:  # a cell with every part
        cell = replace(cell, projection=draw(outputs, units), peephole=draw(3, units))
    model = replace(model, layers=((cell,),))
    x = rng.normal(size=(batch, 70, 6)).astype(dtype)
    monkeypatch.setattr(matmul, "rows_alike", lambda *_: 4)
    runs = []
    for limit in (0, np.inf):
        monkeypatch.setattr(matmul, "AHEAD", limit)
        monkeypatch.setattr(matmul, "AHEAD_OF_ONE", limit)
        runs.append(run(model, x, NAMES, layout="batch").members())
    bound = 1e-12 if dtype is np.float64 else 5e-6
    for name, array in runs[0].items():
        assert array.dtype == dtype
        np.testing.assert_allclose(
            array, runs[1][name], rtol=0, atol=bound, err_msg=name
        )


def small_random(rng: np.random.Generator, dtype: Any, *shape: int) -> Any:
    return (0.4 * rng.normal(size=shape) / np.sqrt(shape[-1])).astype(dtype)


def test_older_kernels_are_detected_by_their_names() -> None:
    code = "from lstmcli import threads; print(threads.has_unpacked_kernels())"
    assert python("-c", code, OPENBLAS_CORETYPE="Haswell").stdout == "False\n"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shape", [(0, 3), (1,), (7, 5, 3), (300, 1000)])
def test_an_aligned_array_is_contiguous_and_writable(
    shape: tuple[int, ...], dtype: Any
) -> None:
    array = aligned_empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.size == 0 or array.__array_interface__["data"][0] % LINE == 0
    array[...] = 3
    np.testing.assert_array_equal(array, np.full(shape, 3, dtype))
