"""A batch in pieces is the full one, bit for bit: threads, processes, blocks, several cells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

from lstmcli import run, threads
from lstmcli.core.forward import batch, matmul
from lstmcli.core.forward.batch import (
    Runner,
    batch_blocks,
    batch_chunks,
    workers,
    worth_threads,
)
from lstmcli.core.forward.matmul import is_same_in_one_block
from lstmcli.core.forward.packing import Packed
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import InMemory, run_to
from lstmcli.core.model.model import Cell, Inputs, Model, Trace
from tests.networks import model_of, random_net
from tests.processes import HANGING, python


@pytest.fixture
def any_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are used for blocks of any size."""
    monkeypatch.setattr(batch, "WORTH", 0)


def network(rng: np.random.Generator, inputs: int, H: int, **how: Any) -> Model:
    """Two layers in both directions."""
    layers = []
    for _ in range(2):
        cells: list[Cell] = []
        for _ in range(2):
            cell = model_of(random_net(rng, inputs, H, np.float32)).cell
            cells.append(
                replace(cell, convention=cell.convention.with_behaviour(**how))
            )
        layers.append(tuple(cells))
        inputs = H if how.get("merge") == "sum" else 2 * H
    return Model(tuple(layers), {})


def equal(one: Trace, other: Trace) -> None:
    assert one.members().keys() == other.members().keys()
    for name, array in one.members().items():
        np.testing.assert_array_equal(array, other.members()[name], err_msg=name)
        assert array.dtype == other.members()[name].dtype


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize("merge", ["concat", "stack", "sum"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.sampled(4)
def test_a_network_in_threads(merge: str, threads: int) -> None:
    rng = np.random.default_rng(threads)
    model = network(rng, 7, 66, merge=merge)
    x, lengths = rng.normal(size=(131, 13, 7)), rng.integers(0, 14, 131)
    assert len(batch_chunks(131, model)) > 1
    alone = run(model, x, lengths=lengths)
    with ThreadPoolExecutor(threads) as pool:
        equal(run(model, x, lengths=lengths, executor=pool), alone)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_runner_may_return_other_arrays_at_every_call(
    batch: int, dtype: Any, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over pieces of all lengths around the slots; a lone row leaves its gates in slots."""
    for limit in ("AHEAD", "AHEAD_OF_ONE"):
        monkeypatch.setattr(matmul, limit, 0 if ahead else np.inf)
    rng = np.random.default_rng(8)
    net = random_net(rng, 9, 5, dtype)
    packed, x = (
        Packed(model_of(net).cell),
        rng.normal(size=(200, batch, 9)).astype(dtype),
    )
    state = (
        rng.normal(size=(batch, 5)).astype(dtype),
        rng.normal(size=(batch, 5)).astype(dtype),
    )
    every = ("h", "c", "i", "f", "g", "o", "z")
    whole = Runner(packed, [slice(0, batch)], state).advance(x, every)
    pieces = Runner(packed, [slice(0, batch)], state)
    keeps = [
        ("h",),
        ("h", "c"),
        ("i", "g"),
        ("h", "c", "i", "f", "g", "o"),
        every,
        ("o",),
    ]
    first = 0
    for keep, steps in zip(
        keeps * 2, (1, 2, 63, 20, 3, 5, 64, 7, 1, 30, 3, 1), strict=True
    ):
        for name, array in pieces.advance(x[first : first + steps], keep).items():
            np.testing.assert_array_equal(
                array, whole[name][first : first + steps], name
            )
        first += steps
    assert first == len(x)
    h, c = pieces.state
    np.testing.assert_array_equal(h, whole["h"][-1])
    np.testing.assert_array_equal(c, whole["c"][-1])


@pytest.mark.usefixtures("any_threads")
def test_a_state_that_is_reset_is_never_cut() -> None:
    rng = np.random.default_rng(6)
    model, x = (
        model_of(random_net(rng, 9, 66), state="reset"),
        rng.normal(size=(131, 11, 9)),
    )
    with ThreadPoolExecutor(2) as pool:
        equal(run(model, x, executor=pool), run(model, x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("B", "I", "H"), [(100, 20, 64), (131, 9, 66), (70, 40, 128), (48, 150, 128)]
)
def test_one_block_is_taken_only_where_it_changes_nothing(
    B: int, I: int, H: int, dtype: Any
) -> None:
    """The result of the probe is that of a run: full or in blocks, equal bits or not."""
    rng = np.random.default_rng(B)
    model, x = (
        model_of(random_net(rng, I, H, dtype)),
        rng.normal(size=(B, 20, I)).astype(dtype),
    )
    packed, blocks = Packed(model.cell), batch_blocks(B, model.cell)
    assert len(blocks) > 1
    zero = np.zeros((B, H), dtype), np.zeros((B, H), dtype)
    with threads.one_thread():
        whole, cut = (
            Runner(packed, b, zero).advance(x.swapaxes(0, 1))["h"]
            for b in ([slice(0, B)], blocks)
        )
        assert np.array_equal(whole, cut) == is_same_in_one_block(
            packed.matrix(), B, blocks
        )
    np.testing.assert_array_equal(
        run(model, x, "h", layout="batch").h.swapaxes(0, 1), cut
    )


@pytest.mark.usefixtures("any_threads")
def test_a_last_block_of_few_sequences_is_never_merged() -> None:
    """It is multiplied in another way, and its inputs may be ahead."""
    rng = np.random.default_rng(3)
    model, x = (
        model_of(random_net(rng, 40, 200, np.float32)),
        rng.normal(size=(134, 20, 40)),
    )
    blocks = batch_blocks(134, model.cell)
    assert blocks[-1] == slice(128, 134)
    assert not is_same_in_one_block(Packed(model.cell).matrix(), 134, blocks)
    with ThreadPoolExecutor(2) as pool:
        equal(run(model, x, executor=pool), run(model, x))


@pytest.mark.parametrize("batch", [1, 31, 32, 100, 129, 300, 1024, 5000])
@pytest.mark.parametrize("H", [4, 64, 300])
def test_blocks_are_all_sequences_in_order_and_of_a_size(batch: int, H: int) -> None:
    cell = model_of(random_net(np.random.default_rng(0), 5, H, np.float32)).cell
    blocks = batch_blocks(batch, cell)
    assert [n for block in blocks for n in range(batch)[block]] == list(range(batch))
    sizes = [block.stop - block.start for block in blocks]
    assert len(blocks) == 1 or (sizes[0] % 16 == 0 and 1 < sizes[-1] <= sizes[0] + 1)


def test_threads_are_worth_it_only_where_every_block_has_enough_to_do() -> None:
    rng = np.random.default_rng(0)
    small, large = (model_of(random_net(rng, 5, H, np.float32)) for H in (8, 256))
    assert not worth_threads(512, small)
    assert worth_threads(512, large)
    assert not worth_threads(512, Model((*small.layers, *large.layers), small.tensors))


def test_small_blocks_are_not_handed_to_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    model, x = (
        model_of(random_net(rng, 5, 66, np.float32)),
        rng.normal(size=(131, 3, 5)),
    )
    with ThreadPoolExecutor(2) as pool:
        handed, own = list[Any](), pool.submit

        def heard(*given: Any) -> Any:
            handed.append(given)
            return own(*given)

        monkeypatch.setattr(pool, "submit", heard)
        alone = run(model, x, executor=pool)
        assert not handed
        monkeypatch.setattr(batch, "WORTH", 0)
        equal(run(model, x, executor=pool), alone)
        assert handed


KERNELS = ("Haswell", "Sandybridge", "SkylakeX", "Zen")
EVERYWHERE = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from lstmcli.core.forward import batch
from lstmcli.core.forward.matmul import rows_ahead
from lstmcli import run
from tests.networks import model_of, random_net
batch.WORTH = 0
AHEAD = [(1, 300, 61), (1, 131, 130), (1, 700, 300), (3, 900, 301), (8, 260, 130), (12, 1000, 800)]
for dtype in (np.float32, np.float64):
    print(*sorted({rows_ahead((I, 4 * H), np.dtype(dtype), 1) > 0 for _, I, H in AHEAD}))
for dtype in (np.float32, np.float64):
    for B, I, H in [(1, 4, 3), (2, 30, 200), (17, 5, 9), (33, 9, 130), (100, 20, 64), (600, 3, 40),
                    *AHEAD]:
        rng = np.random.default_rng(B)
        model, x = model_of(random_net(rng, I, H, dtype)), rng.normal(size=(B, 18, I))
        whole = run(model, x, "h")
        for threads in (1, 2, 3):
            with ThreadPoolExecutor(threads) as pool:
                assert np.array_equal(run(model, x, executor=pool).h, whole.h), (B, threads)
        state = None
        for cut in (slice(0, 1), slice(1, 8), slice(8, 9), slice(9, 18)):
            part = run(model, x[:, cut], ("h", "f"), initial_state=state)
            assert np.array_equal(part.h, whole.h[:, cut]), (B, cut)
            state = {"h": part.final_h, "c": part.final_c}
"""


@pytest.mark.wide
@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_and_chunks_change_nothing_under_any_kernel(kernel: str) -> None:
    done = python("-c", EVERYWHERE, OPENBLAS_CORETYPE=kernel)
    if done.returncode < 0:
        pytest.skip(f"this processor does not run OpenBLAS' kernel {kernel}")
    assert done.returncode == 0, done.stderr
    in_float32 = kernel not in (
        "Haswell",
        "Zen",
    )  # whose last rows are summed otherwise
    assert done.stdout.split() == [
        str(in_float32),
        "True",
    ]  # whether inputs are multiplied ahead


# ---- threads


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threads._libraries().info()]


@pytest.fixture
def two_blas_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    with threads._libraries().limit(limits=2):
        if not blas_threads() or set(blas_threads()) != {2}:
            pytest.skip("this BLAS takes no number of threads")
        yield


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_has_one_thread_within_runs_that_overlap() -> None:
    with threads.one_thread():
        assert set(blas_threads()) == {1}
        with threads.one_thread():
            pass
        assert set(blas_threads()) == {1}  # the outer run still needs it
    assert set(blas_threads()) == {2}


@pytest.mark.usefixtures("two_blas_threads")
def test_a_number_in_the_environment_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(threads.VARIABLE, "2")
    with threads.one_thread():
        assert set(blas_threads()) == {2}


def test_a_command_loads_numpy_with_one_blas_thread() -> None:
    code = (
        "from lstmcli.cli import invoke\n"
        "invoke(['run', 'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'])\n"
        "import sys; assert 'threadpoolctl' not in sys.modules\n"
        "from threadpoolctl import threadpool_info\n"
        "assert {b['num_threads'] for b in threadpool_info() if b['user_api'] == 'blas'} <= {1}"
    )
    done = python("-c", code, without=threads.VARIABLE)
    assert done.returncode == 0, done.stderr


def test_each_worker_has_a_core() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("only Linux tells the cores of a thread")
    own = os.sched_getaffinity(0)
    with workers(len(own)) as pool:
        from threading import Barrier

        together = Barrier(len(own))

        def seen(_: int) -> frozenset[int]:
            together.wait(HANGING)
            return frozenset(os.sched_getaffinity(0))

        held = list(pool.map(seen, range(len(own))))
    assert len(set(held)) == len(own)
    assert all(len(cores) == 1 for cores in held)
    assert os.sched_getaffinity(0) == own


def test_a_meter_counts_every_block_that_arrives() -> None:
    """From other processes, in a run and in a sweep."""
    rng = np.random.default_rng(7)
    model, x = network(rng, 7, 66), rng.normal(size=(131, 11, 7))
    told: list[list[int]] = [[], []]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        run(model, x, executor=pool, meter=told[0].append)
        plan = prepare(model, Inputs(x), "h")
        run_to(plan, InMemory(plan, plan.select()), pool, told[1].append)
    blocks = [(chunk.stop - chunk.start) * 11 * 4 for chunk in batch_chunks(131, model)]
    assert len(blocks) > 1
    assert told == [blocks, blocks]


def test_a_meter_counts_every_sequence_and_step() -> None:
    rng = np.random.default_rng(0)
    model, heard = network(rng, 7, 5), list[int]()
    run(model, rng.normal(size=(3, 100, 7)), "h", meter=heard.append)
    assert sum(heard) == 4 * 3 * 100
    assert len(heard) > 4
