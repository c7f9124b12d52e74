"""The front and the head of a model, beside the same in plain NumPy; every way through a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from lstmcli import run, save
from lstmcli.core.forward import batch
from lstmcli.core.forward import run as forward_run
from lstmcli.core.forward.head import activated
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell, Inputs, Model
from lstmcli.core.model.surroundings import STEPS, Dense, Embedding, Head
from lstmcli.errors import UserError
from tests.networks import model_of, random_net

I, H, K, T, B = 3, 5, 4, 9, 6
LENGTHS = [9, 4, 1, 7, 9, 0]

rng = np.random.default_rng(5)
KERNELS = rng.normal(size=(H, 7)), rng.normal(size=(7, K))
BIAS = rng.normal(size=K)
X = rng.normal(size=(B, T, I))
TABLE = rng.normal(size=(8, I))
INDICES = rng.integers(0, 8, (B, T))


@pytest.fixture(scope="module")
def other_process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def softmax(x: Array) -> Array:
    powers = np.exp(x)
    result: Array = powers / powers.sum(axis=-1, keepdims=True)
    return result


def plain_head(h: Array) -> Array:
    return softmax(np.maximum(h @ KERNELS[0], 0) @ KERNELS[1] + BIAS)


def model(steps: str, directions: int = 1) -> Model:
    """One layer with a head of two dense layers, the first without a bias."""
    cells: list[Cell] = []
    for _ in range(directions):
        cells.append(model_of(random_net(np.random.default_rng(1), I, H)).cell)
    if directions == 2:
        of_sum = [
            replace(cell, convention=cell.convention.with_behaviour(merge="sum"))
            for cell in cells
        ]
        cells = of_sum
    layers = (
        Dense("one", KERNELS[0], None, "relu"),
        Dense("two", KERNELS[1], BIAS),
        Dense("probabilities", activation="softmax"),
    )
    return Model((tuple(cells),), {}, head=Head(layers, steps))


def last_valid(h: Array) -> Array:
    found = [h[b, n - 1] if n else np.zeros(H) for b, n in enumerate(LENGTHS)]
    return np.array(found)


POOLED: dict[str, Callable[[Array], Array]] = {
    "last": last_valid,
    "states": last_valid,
    "mean": lambda h: np.array([h[b, : max(n, 1)].mean(0) for b, n in enumerate(LENGTHS)]),
    "max": lambda h: np.array([h[b, : max(n, 1)].max(0) for b, n in enumerate(LENGTHS)]),
}  # fmt: skip


def test_y_of_each_step() -> None:
    trace = run(model("each"), X, layout="batch")
    np.testing.assert_allclose(trace.y, plain_head(trace.h), rtol=0, atol=1e-13)
    assert trace.final_y is None


@pytest.mark.parametrize("steps", [steps for steps in STEPS if steps != "each"])
def test_one_output_a_sequence_takes_its_valid_steps(steps: str) -> None:
    """A sequence without a step has the largest of nothing, which is no number."""
    trace = run(model(steps), X, layout="batch", lengths=LENGTHS)
    expected = plain_head(POOLED[steps](trace.h))
    assert trace.final_y is not None
    some = 5 if steps == "max" else 6
    np.testing.assert_allclose(
        trace.final_y[:some], expected[:some], rtol=0, atol=1e-13
    )
    assert "y" not in trace.arrays


def test_both_last_states_are_joined_as_the_outputs_are() -> None:
    trace = run(model("states", 2), X, layout="batch")
    expected = plain_head(trace.final_h.sum(axis=0))
    assert trace.final_y is not None
    np.testing.assert_allclose(trace.final_y, expected, rtol=0, atol=1e-13)


def test_the_last_step_of_two_directions_is_no_last_state() -> None:
    trace = run(model("last", 2), X, layout="batch")
    expected = plain_head(trace.h[:, -1])
    assert trace.final_y is not None
    np.testing.assert_allclose(trace.final_y, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("directions", [1, 2])
def test_every_way_through_a_run_has_the_same_bits(
    steps: str,
    directions: int,
    other_process: ProcessPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "WORTH", 0)
    monkeypatch.setattr(forward_run, "PIECE", 1)  # the least steps at a time
    x = np.random.default_rng(0).normal(size=(131, 40, I))
    of_model = model(steps, directions)
    whole = run(of_model, x, layout="batch")
    plan = prepare(of_model, Inputs(x, "batch"), ("h", "y"))
    in_pieces = run_plan(plan, plan.select())
    with ThreadPoolExecutor(2) as pool:
        in_threads = run(of_model, x, layout="batch", executor=pool)
    elsewhere = run(of_model, x, layout="batch", executor=other_process)
    name = of_model.head.output if of_model.head else ""
    for trace in (in_pieces, in_threads, elsewhere):
        np.testing.assert_array_equal(trace.members()[name], whole.members()[name])


@pytest.mark.parametrize("steps", ["each", "mean"])
def test_y_is_kept_by_default_and_left_out_on_request(
    steps: str, tmp_path: Path
) -> None:
    of_model = model(steps)
    assert {"y", "final_y"} & {*run(of_model, X, layout="batch").members()}
    alone = run(of_model, X, layout="batch", keep="h")
    assert not {"y", "final_y"} & {*alone.members()}
    trace = run(of_model, X, layout="batch", keep="y")
    assert {*trace.arrays} <= {"y"}
    save(trace, tmp_path / "y.npy", only="y")
    of_trace = trace.y if steps == "each" else trace.final_y
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), of_trace)


def test_a_model_without_a_head_has_no_y() -> None:
    with pytest.raises(UserError, match="a trace has no 'y'"):
        run(replace(model("each"), head=None), X, layout="batch", keep="y")


def test_log_softmax_of_large_numbers() -> None:
    x = np.array([[1000.0, 998.0]])
    expected = np.array([[0.0, -2.0]]) - np.log1p(np.exp(-2.0))
    np.testing.assert_allclose(activated("log_softmax", x), expected, atol=1e-13)
    np.testing.assert_allclose(activated("softmax", x), np.exp(expected), atol=1e-13)


# ---- the front


def with_table(masks_zero: bool = False) -> Model:
    return replace(model("each"), front=Embedding("emb", TABLE, masks_zero))


@pytest.mark.parametrize("indices", [INDICES, INDICES.astype(float), INDICES[0]])
def test_indices_become_rows_of_the_table(indices: Array) -> None:
    found = run(with_table(), indices, layout="batch")
    looked_up = run(model("each"), TABLE[indices.astype(int)], layout="batch")
    np.testing.assert_array_equal(found.y, looked_up.y)


def test_the_inputs_of_the_lstm_pass_the_front_over() -> None:
    for x in (X, X[0], X[0].round() - 0.5):
        found = run(with_table(), x, layout="batch")
        np.testing.assert_array_equal(found.h, run(model("each"), x, layout="batch").h)


def test_whole_numbers_of_the_table_are_indices_where_both_fit() -> None:
    """(T, I) of them, of a batch of T sequences of I steps."""
    indices = INDICES[:, :I]
    found = run(with_table(), indices, layout="batch")
    assert found.h.shape == (B, I, H)
    own = run(with_table(), indices + 100.0, layout="batch")
    assert own.h.shape == (B, H)


@pytest.mark.parametrize(
    ("indices", "found"),
    [
        ([0, 8, 1], r"has 8 at step 1; emb \(8, 3\) takes indices from 0 to 7"),
        ([0, -1], "has -1 at step 1"),
        ([0.5, 1], "has 0.5 at step 0"),
        ([[0, 1], [2, 9]], r"has 9 at \[1, 1\]"),
    ],
)
def test_what_is_no_index_is_refused(indices: list[float], found: str) -> None:
    with pytest.raises(UserError, match=found):
        run(with_table(), np.array(indices), layout="batch")
