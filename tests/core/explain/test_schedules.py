"""When the state advances: `explain` names what single steps, written in the tests, give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.model.arrays import Array
from lstmcli.views.explain import explanation_sheet
from lstmcli.views.sheet import Width
from tests.core.forward.test_edits import Weights, tensors
from tests.core.forward.test_schedules import At, by_steps

SIZES = [(5, 10, 1), (12, 30, 3), (32, 60, 3)]  # units, steps, batch
REPEATED = {2: At(runs=2), 5: At(runs=4)}
HELD = {t: At(drops=True) for t in (3, 4, 8)}
MIXED = {2: At(runs=3), 5: At(drops=True), 7: At(zeros=2), 8: At(runs=0)}
PLANTED: dict[str, tuple[dict[int, At], int, tuple[str, ...]]] = {
    "repeated": (REPEATED, 0, ("state.repeated=2:2,5:4",)),
    "held": (HELD, 0, ("state.held=3,4,8",)),
    "inserted": ({7: At(zeros=1)}, 0, ("state.inserted=7:1",)),
    "skipped": ({3: At(runs=0), 4: At(runs=0)}, 0, ("state.skipped=3,4",)),
    "mixed": (MIXED, 0, ("state.repeated=2:3", "state.skipped=8", "state.held=5",
                         "state.inserted=7:2")),
    "zeros": ({}, 19, ("state.zero_steps=19",)),
}  # fmt: skip


class Net:
    """A net of one cell, and inputs (T, B, I)."""

    def __init__(self, units: int, steps: int, batch: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shapes = {"K": (4, 4, units), "R": (4, units, units), "b": (4, units)}
        size = 1 / np.sqrt(units)
        self.w: Weights = {}
        for name, shape in shapes.items():
            self.w[name] = rng.uniform(-2 * size, 2 * size, size=shape)
        self.x = rng.normal(size=(steps, batch, 4))

    def outputs(self, *each: dict[int, At], zeros: int = 0) -> Array:
        """h (T, B, H), with one schedule of all sequences or that of each."""
        columns = []
        for b in range(self.x.shape[1]):
            done = each[b % len(each)]
            columns.append(by_steps(self.x[:, b], done, self.w, zeros)[0])
        return np.stack(columns, axis=1)

    def explain(self, expected: Array, **how: Any) -> Explanation:
        return lstmcli.explain(tensors(self.w), self.x, expected, layout="time", **how)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PLANTED)
def test_a_schedule_is_named(name: str, size: tuple[int, int, int]) -> None:
    done, zeros, edits = PLANTED[name]
    net = Net(*size, seed=40)
    expected = net.outputs(done, zeros=zeros)
    for given in (expected.astype(np.float32), np.round(expected, 6)):
        found = net.explain(given)
        assert found.verdict == "found"
        assert found.edits == edits


def test_the_counts_of_a_schedule_are_in_python_and_json() -> None:
    net = Net(6, 12, 2, seed=41)
    found = net.explain(net.outputs(MIXED).astype(np.float32))
    runs = [1, 1, 3, 1, 1, 1, 1, 1, 0, 1, 1, 1]
    assert found.schedule is not None
    assert found.schedule.tolist() == runs
    assert found.to_json()["schedule"] == runs
    each = net.explain(net.outputs({2: At(runs=2)}, {4: At(runs=3)}).astype(np.float32))
    assert each.edits == ("state.repeated=@schedule.npz",)
    assert each.to_json()["schedule"] == [
        [1, 1, 2, *[1] * 9],
        [1, 1, 1, 1, 3, *[1] * 7],
    ]
    as_loaded = net.explain(net.outputs({}).astype(np.float32))
    assert as_loaded.verdict == "agrees"
    assert as_loaded.to_json()["schedule"] is None


def test_a_schedule_is_drawn_as_lines_of_steps() -> None:
    net = Net(6, 30, 2, seed=42)
    found = net.explain(net.outputs(MIXED).astype(np.float32))
    screen = explanation_sheet(found, "e.npy", width=Width(80, 80)).plain()
    assert "step                  0   1   2   3   4   5   6   7   8   9" in screen
    assert "runs                  1   1   3   1   1   1   1   1   0   1" in screen
    assert "state dropped after   0   0   0   0   0   1   0   0   0   0" in screen
    assert "zeros before          0   0   0   0   0   0   0   2   0   0" in screen
    assert "\nstep                 15  16" in screen  # the rest below
    each = net.explain(net.outputs({2: At(runs=2)}, {4: At(runs=3)}).astype(np.float32))
    screen = explanation_sheet(each, "e.npy", width=Width(80, 80)).plain()
    assert "runs, batch 0   1   1   2   1   1" in screen
    assert "runs, batch 1   1   1   1   1   3" in screen


def test_a_schedule_is_named_next_to_a_setting() -> None:
    net = Net(8, 20, 2, seed=43)
    expected = net.outputs({6: At(runs=2)}).astype(np.float32)
    other = {**net.w, "b": net.w["b"] - [[0], [1], [0], [0]]}  # of which f gets 1 more
    found = lstmcli.explain(tensors(other), net.x, expected, layout="time")
    assert found.edits == ("state.repeated=6:2",)
    assert found.settings["forget_bias"] == 1


def test_a_long_run_of_zeros_is_named_by_where_it_has_settled() -> None:
    net = Net(8, 20, 3, seed=44)
    expected = net.outputs({}, zeros=3000).astype(np.float32)
    found = net.explain(expected)
    (edit,) = found.edits
    name, _, count = edit.partition("=")
    assert name == "state.zero_steps"
    assert 20 < int(count) <= 3000
    again = lstmcli.run(tensors(net.w), net.x, "h", layout="time", edits=[edit]).h
    np.testing.assert_allclose(again, expected, atol=2e-6)


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1.0])
def test_noise_has_no_schedule(size: float) -> None:
    net = Net(6, 20, 1, seed=45)
    noise = np.random.default_rng(46).normal(size=(20, 1, 6)) * size
    expected = (net.outputs(REPEATED) + noise).astype(np.float32)
    found = net.explain(expected)
    assert found.verdict == "none"
