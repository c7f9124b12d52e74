"""What a question of many units, many steps or large numbers takes, in counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.explain import tensors as kept_tensors
from lstmcli.core.explain.question import SharingReader
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.model.edits import EDITS, RunSizes

RNG = np.random.default_rng(54)


def weights(inputs: int, units: int) -> dict[str, Any]:
    return {
        "kernel": RNG.normal(size=(inputs, 4 * units)),
        "recurrent_kernel": RNG.normal(size=(units, 4 * units)) / units,
        "bias": RNG.normal(size=4 * units),
    }


def test_models_of_a_question_share_what_is_equal() -> None:
    """Of 200 units a recurrent kernel has 1.3 MB; each changed setting had one of its own."""
    tensors = weights(2, 200)
    first = lstmcli.load(tensors, dtype="float64")
    read = SharingReader(lambda given: lstmcli.load(tensors, **given), first)
    kept = {
        id(read({"dtype": "float64", "forget_bias": float(n)}).cell.recurrent_kernel)
        for n in range(3)
    }
    assert kept == {id(first.cell.recurrent_kernel)}


def test_no_more_tensors_are_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_tensors, "ROOM", 1000)
    assert kept_tensors.most_kept(300, 1) == 3
    assert kept_tensors.most_kept(10_000, 1) == 1


def test_hypotheses_take_no_more_steps_of_a_longer_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reversed outputs are compared from the last step, which their run gives first."""
    taken: list[int] = []
    step = Simulator.step

    def counted(self: Simulator, t: int, *of_step: Any, **kept: Any) -> Any:
        taken.append(t)
        return step(self, t, *of_step, **kept)

    monkeypatch.setattr(Simulator, "step", counted)
    tensors = weights(2, 3)
    counts = set()
    for steps in (400, 1600):
        taken.clear()
        x, h = RNG.normal(size=(1, steps, 2)), RNG.normal(size=(1, steps, 3))
        found = lstmcli.explain(tensors, x, h, layout="batch")
        assert found.verdict == "none"
        assert max(taken) < 20
        counts.add(len(taken))
    assert max(counts) < 2 * min(counts)


@pytest.mark.parametrize("steps", [100, 100_000])
def test_inputs_of_one_step_are_tried_at_the_steps_that_may_be_wrong(
    steps: int,
) -> None:
    model = lstmcli.load(weights(2, 3))
    sizes = RunSizes(model, model.cell, steps, [0, 7, steps - 1])
    tried = [*EDITS["inputs.step"].values_for(sizes)]
    assert tried == [(0, 1), (7, 6), (7, 8), (steps - 1, steps - 2)]


def test_weights_that_overflow_have_an_answer() -> None:
    """Of h that is NaN no dense layer can be solved for."""
    tensors = {**weights(2, 3), "kernel": np.full((2, 12), 1e308)}
    found = lstmcli.explain(tensors, RNG.normal(size=(8, 2)), RNG.normal(size=(8, 3)))
    assert found.verdict == "none"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("edit", ["inputs.factor=1e308", "weights.factor=1e308"])
def test_an_edit_that_overflows_warns_of_nothing(edit: str) -> None:
    model = lstmcli.load(weights(2, 3), edits=[edit])
    assert lstmcli.run(model, np.full((4, 2), 100.0)).h.shape == (4, 3)
