"""Edits of when the state advances against a loop of single steps, written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import lstmcli
from lstmcli.core.model.arrays import Array
from tests.core.forward.test_edits import B, H, N, W, Weights, X, s, tensors


class At(NamedTuple):
    """What a program does at a step."""

    zeros: int = 0  # steps of zeros before it
    runs: int = 1
    drops: bool = False  # the state after it

    def __bool__(self) -> bool:
        return self != At()


def one_step(x: Array, h: Array, c: Array, w: Weights = W) -> tuple[Array, Array]:
    i, f, g, o = (x @ w["K"][k] + h @ w["R"][k] + w["b"][k] for k in range(4))
    c = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(c), c


def by_steps(
    x: Array, done: dict[int, At], w: Weights = W, zeros: int = 0
) -> tuple[Array, Array, Array]:
    """The outputs (T, H) of one sequence (T, I), and the last h and c."""
    units = w["b"].shape[1]
    h, c = np.zeros(units), np.zeros(units)
    nothing = np.zeros(x.shape[1])
    for _ in range(zeros):
        h, c = one_step(nothing, h, c, w)
    shown, outputs = h, []
    for t, x_t in enumerate(x):
        at = done.get(t, At())
        for _ in range(at.zeros):
            h, c = one_step(nothing, h, c, w)
        kept = h, c
        for _ in range(at.runs):
            h, c = one_step(x_t, h, c, w)
            shown = h
        outputs.append(shown)
        if at.drops:
            h, c = kept
    return np.array(outputs), h, c


SCHEDULES = {
    "state.repeated=2:2,5:3": {2: At(runs=2), 5: At(runs=3)},
    "state.held=1,2,6": {t: At(drops=True) for t in (1, 2, 6)},
    "state.inserted=3:2,4:1": {3: At(zeros=2), 4: At(zeros=1)},
    "state.skipped=0,3,4": {t: At(runs=0) for t in (0, 3, 4)},
}


@pytest.mark.parametrize("text", SCHEDULES)
def test_a_schedule_is_what_single_steps_give(text: str) -> None:
    trace = lstmcli.run(tensors(W), X, layout="time", edits=[text])
    for b in range(B):
        outputs, h, c = by_steps(X[:, b], SCHEDULES[text])
        np.testing.assert_allclose(trace.h[:, b], outputs, atol=1e-12)
        np.testing.assert_allclose(trace.final_h[b], h, atol=1e-12)
        np.testing.assert_allclose(trace.final_c[b], c, atol=1e-12)


def test_schedules_go_together() -> None:
    edits = [
        "state.repeated=2:3",
        "state.held=4",
        "state.inserted=5:1",
        "state.skipped=6",
    ]
    done = {2: At(runs=3), 4: At(drops=True), 5: At(zeros=1), 6: At(runs=0)}
    trace = lstmcli.run(tensors(W), X, "h", layout="time", edits=edits)
    for b in range(B):
        np.testing.assert_allclose(
            trace.h[:, b], by_steps(X[:, b], done)[0], atol=1e-12
        )


def test_each_sequence_of_a_file_has_a_schedule(tmp_path: Path) -> None:
    each = [{2: At(runs=2), 3: At(drops=True)}, {1: At(runs=0), 5: At(zeros=2)}]
    arrays: dict[str, Any] = {
        "runs": [[1, 1, 2, 1, 1, 1, 1], [1, 0, 1, 1, 1, 1, 1]],
        "held": [[0, 0, 0, 1, 0, 0, 0], [0] * 7],
        "zeros": [[0] * 7, [0, 0, 0, 0, 0, 2, 0]],
    }
    np.savez(tmp_path / "s.npz", **arrays)
    edit = f"state.repeated=@{tmp_path / 's.npz'}"
    trace = lstmcli.run(tensors(W), X, "h", layout="time", edits=[edit])
    for b in range(B):
        np.testing.assert_allclose(
            trace.h[:, b], by_steps(X[:, b], each[b])[0], atol=1e-12
        )
    with pytest.raises(lstmcli.UserError, match="there is no step 6; the last is 5"):
        lstmcli.run(tensors(W), X[:6], layout="time", edits=[edit])
    with pytest.raises(lstmcli.UserError, match="it does not fit"):
        lstmcli.run(tensors(W), X[:, :1], layout="time", edits=[edit])


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("state.held=3,7", {}, "there is no step 7; the last is 6"),
        ("state.repeated=2", {}, "takes steps and how often each is run"),
        ("state.repeated=2:0", {}, "takes steps and how often each is run"),
        ("state.held=1", {"lengths": [7, 4]}, "does not go with lengths"),
        ("state.held=1", {"state": "reset"}, "no state is handed on"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(
    text: str, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(lstmcli.UserError, match=message):
        lstmcli.run(tensors(W), X, layout="time", edits=[text], **how)


def test_a_schedule_of_a_wide_batch_has_all_its_blocks() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 700, N))
    edits = ["state.held=1", "state.repeated=2:2"]
    trace = lstmcli.run(tensors(W), x, "h", layout="time", edits=edits)
    done = {1: At(drops=True), 2: At(runs=2)}
    for b in (0, 350, 699):
        np.testing.assert_allclose(
            trace.h[:, b], by_steps(x[:, b], done)[0], atol=1e-12
        )
    assert trace.h.shape == (4, 700, H)
