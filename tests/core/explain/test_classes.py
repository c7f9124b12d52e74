"""Settings that the data cannot distinguish are listed; EXPECTED may be a part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import Explanation, explain
from tests.core.explain.asking import Cell, found, whole, write
from tests.core.explain.reference import outputs, random_net

Array = np.ndarray[Any, Any]


def cell(
    folder: Path, units: int = 3, steps: int = 7, rows: int = 1, **net: Any
) -> Cell:
    return Cell(folder, [units, steps, rows], units, steps, rows, **net)


def asked(
    one: Cell,
    truth: dict[str, Any],
    part: Callable[[Array], Any] = whole,
    **assumed: Any,
) -> Explanation:
    return one.explain(part(one.run(truth)["h"]), **assumed)


@pytest.mark.parametrize("truth", [{}, {"gates": "ifgo"}], ids=str)
@pytest.mark.parametrize(
    "reached", [0, 2], ids=["in the first sequence", "in the last"]
)
@pytest.mark.sampled(4)
def test_a_clip_that_one_sequence_reaches(
    reached: int, truth: dict[str, Any], tmp_path: Path
) -> None:
    one = cell(tmp_path, rows=3)
    one.net.bias /= 8
    for row in range(3):  # small inputs keep c small
        one.x[row] *= 1 if row == reached else 1 / 64
    c = np.abs(outputs(one.net, one.x, truth)["c"]).max(axis=(1, 2))
    clip = round(float(c[reached] + np.delete(c, reached).max()) / 2, 2)
    assert (c > clip).tolist() == [row == reached for row in range(3)]
    explanation = asked(one, {**truth, "cell_clip": clip})
    assert explanation.verdict == "found"
    assert found(explanation) == pytest.approx({**truth, "cell_clip": clip})


# ---- hypotheses that cannot be distinguished


def test_with_a_sigmoid_candidate_i_and_g_may_be_exchanged(tmp_path: Path) -> None:
    explanation = asked(
        cell(tmp_path), {"activation": "sigmoid", "output_activation": "tanh"}
    )
    assert found(explanation) == {"activation": "sigmoid"}
    (change,) = explanation.changes
    assert change.settings == {"activation": "sigmoid", "output_activation": "tanh"}
    assert change.text == "activation of the candidate is sigmoid, not tanh"
    assert "gates" in explanation.unseen


# ---- in the words of those who make the mistake


def test_outputs_in_processing_order_are_go_backwards(tmp_path: Path) -> None:
    explanation = asked(cell(tmp_path), {"reverse": True, "flip_output": True})
    assert found(explanation) == {"go_backwards": True}
    assert explanation.command.endswith("--go-backwards")
    assert "Keras" in explanation.words.rows[0].used_by


def test_a_large_forget_bias_says_what_the_gate_is(tmp_path: Path) -> None:
    explanation = asked(cell(tmp_path, rows=2), {"forget_bias": -40.0})
    (change,) = explanation.changes
    assert change.setting == "forget_bias"
    assert change.text.endswith(": f is 0, and c is never carried on")
    (small,) = asked(cell(tmp_path, rows=2), {"forget_bias": -3.0}).changes
    assert small.text.startswith("forget bias is -3, not ")
    assert "carried" not in small.text


@pytest.mark.wide
@pytest.mark.parametrize(
    ("truth", "like"),
    [
        ({"state": "reset"}, ()),
        ({"reverse": True}, ()),
        ({"initial_state": "zero"}, ()),
        ({"array": "c"}, ()),
        ({"layout": "time", "gates": "ifgo", "forget_bias": 0.0}, ("pytorch",)),
    ],
)
def test_only_what_does_all_of_it_runs_weights_just_so(
    truth: dict[str, Any], like: tuple[str, ...], tmp_path: Path
) -> None:
    one = cell(tmp_path, rows=2)
    weights = write(one.net, tmp_path / "w.npz", 4)
    rng = np.random.default_rng(0)
    state = {"h": rng.normal(0, 0.5, (2, 3)), "c": rng.normal(0, 0.8, (2, 3))}
    if "initial_state" not in truth:
        state = {}
    settings = {k: v for k, v in truth.items() if k != "array"}
    given = (state["h"], state["c"]) if state else None
    expected = outputs(one.net, one.x, settings, given, np.float32)[
        truth.get("array", "h")
    ]
    assumed: dict[str, Any] = {"gates": "ifgo", "forget_bias": 0.0}
    explanation = explain(
        weights, one.x, expected, initial_state=state or None, **assumed
    )
    assert explanation.found
    assert set(like) <= set(explanation.alternatives.like)
    assert bool(explanation.alternatives.like) == bool(like)


# ---- rounding


@pytest.mark.slow
def test_float64_outputs_of_a_float32_run_agree_as_float32_does(tmp_path: Path) -> None:
    explanation = asked(
        cell(tmp_path), {"forget_bias": 0.0}, lambda h: h.astype(np.float64) + 1e-12
    )
    assert found(explanation) == {"forget_bias": 0.0}
    assert any("to float32 precision" in remark for remark in explanation.notes)


@pytest.mark.slow
def test_a_layout_that_is_not_given_is_one_of_three_mistakes(tmp_path: Path) -> None:
    """PyTorch's weights are read as batch_first=False; that counts among three changes at most.

    So two settings may be wrong beside it, and three where the layout is said.
    """
    rng = np.random.default_rng(5)
    net = random_net(rng, 4, 5)
    net.recurrent_bias = rng.normal(0, 0.5, 20).astype(np.float32).astype(np.float64)
    x = rng.normal(size=(3, 7, 4)).astype(np.float32).astype(np.float64)
    weights = write(net, tmp_path / "w.npz", 4)
    two = {"gates": "iofg", "bias": "input_only"}
    three = {**two, "forget_bias": 1.0}
    right = {"forget_bias": 0.0}  # as PyTorch's weights are read; the reference adds 1
    h = outputs(net, x, {**right, **two}, dtype=np.float32)["h"]
    of_three = outputs(net, x, three, dtype=np.float32)["h"]
    assert found(explain(weights, x, h)) == {**two, "layout": "batch"}
    assert found(explain(weights, x, of_three, layout="batch")) == three
    assert explain(weights, x, of_three, layout="time").verdict == "none", (
        "these are four"
    )


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1), (-1, 5)], ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_numbers_in_a_row_lie_as_the_run_does(
    shape: tuple[int, ...], turned: bool, tmp_path: Path
) -> None:
    """Output of a port in C: no axes, or a line for each step of each sequence."""
    one = cell(tmp_path, units=5, steps=7, rows=3)

    def flat(h: Array) -> Array:
        return (h.swapaxes(0, 1) if turned else h).reshape(shape)

    explanation = asked(one, {"forget_bias": 0.0}, flat, layout="batch")
    assert found(explanation) == {"forget_bias": 0.0}
    laid = (7, 3, 5) if turned else (3, 7, 5)
    taken = f"EXPECTED is interpreted as numbers in a row of {laid}"
    assert explanation.words.taken.startswith(taken)
