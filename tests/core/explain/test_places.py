"""EXPECTED may be any part of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.explain import verify
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.explanation import Explanation
from tests.core.explain import networks
from tests.core.explain.asking import Cell, found, printed

Array = np.ndarray[Any, Any]


@pytest.fixture
def asked(tmp_path: Path) -> Cell:
    """A net of 6 units with 3 sequences of 5 steps."""
    return Cell(tmp_path, 11, units=6, steps=5)


def _equals(explanation: Explanation) -> list[dict[str, Any]]:
    return [{c.setting: c.found for c in other} for other in explanation.equivalent]


@pytest.mark.slow
def test_pairs_are_the_same_where_placements_share_runs(
    asked: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = {"bias": "none", "state": "reset"}
    last = asked.run(truth)["h"][:, -1]
    shared = asked.explain(last)
    monkeypatch.setattr(verify, "ROOM", 0)
    alone = asked.explain(last)
    assert found(shared) == found(alone) == truth
    assert _equals(shared) == _equals(alone)
    assert shared.tried >= alone.tried  # of shared runs the work is done once


@pytest.mark.parametrize("truth", [{"layout": "time"}, {"state": "reset"}])
def test_a_first_step_of_other_axes_may_be_a_reset_row(
    truth: dict[str, Any], asked: Cell
) -> None:
    explanation = asked.explain(asked.run(truth)["h"][0])
    assert found(explanation) == {"state": "reset"}
    assert _equals(explanation) == [{"layout": "time"}]
    assert explanation.words.taken == "EXPECTED is interpreted as sequence 0 of 3"
    (remark,) = explanation.notes
    assert remark.endswith("(T, B, I): EXPECTED is interpreted as step 0 of 3.")
    assert explanation.words.decide == "all steps and sequences of EXPECTED"


@pytest.mark.slow
def test_placements_with_equally_many_changes_are_all_listed(asked: Cell) -> None:
    explanation = asked.explain(
        asked.run({"state": "reset", "gates": "ifgo"})["h"][:, -1]
    )
    assert found(explanation) == {"gates": "ifgo", "state": "reset"}
    assert _equals(explanation) == [{"gates": "ifgo", "reverse": True}]


@pytest.mark.parametrize("gate", ["i", "f", "g", "o"])
@pytest.mark.slow
def test_a_last_step_may_be_a_gate(gate: str, asked: Cell) -> None:
    explanation = asked.explain(asked.run()[gate][:, -1])
    assert found(explanation) == {"array": gate}
    assert explanation.words.taken == "EXPECTED is interpreted as the last step"


@pytest.mark.parametrize(
    "truth",
    [
        {"gates": "iofg", "rows": "hx"},
        {"gates": "iofg", "rows": "hx", "forget_bias": 0.0},
    ],
)
@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.sampled(3)
def test_several_changes_of_one_row(
    row: int, truth: dict[str, Any], asked: Cell
) -> None:
    explanation = asked.explain(asked.run(truth)["h"][row])
    assert found(explanation) == truth
    assert explanation.words.taken == f"EXPECTED is interpreted as sequence {row} of 3"


def test_first_steps_may_lie_otherwise_than_one_row_of_inputs(asked: Cell) -> None:
    asked.x = asked.x[:1]
    h = asked.run({"gates": "ifgo"})["h"]  # (1, T, H)
    for part in (h.swapaxes(0, 1), h.swapaxes(0, 1)[:2]):
        assert found(asked.explain(part)) == {"gates": "ifgo"}


# ---- other parts of a run


@pytest.mark.parametrize("truth", [{"gates": "ifgo"}, {"bias": "none"}], ids=str)
def test_first_units_of_as_many_steps_as_there_are_units(
    truth: dict[str, Any], tmp_path: Path
) -> None:
    """(6, 4) of a net of 6 units: six steps of the first four, or all units of four steps."""
    asked = Cell(tmp_path, 11, units=6, steps=5)
    asked.x = (
        np.random.default_rng(3).normal(size=(1, 8, 4)).astype(np.float32).astype(float)
    )
    explanation = asked.explain(asked.run(truth)["h"][0, :6, :4])
    assert found(explanation) == truth
    assert explanation.words.taken.endswith(
        "the first 6 of 8 steps, the first 4 of 6 units"
    )


@pytest.mark.slow
def test_axes_in_another_order_are_understood(asked: Cell) -> None:
    h = asked.run({"gates": "ifgo"})["h"]
    for array in (
        h.transpose(0, 2, 1),
        h.transpose(1, 2, 0),
        h.ravel(),
        h.ravel(order="F"),
    ):
        assert found(asked.explain(array)) == {"gates": "ifgo"}


@pytest.mark.parametrize("order", ["ifgo", "igfo"], ids=["as a trace", "as the kernel"])
def test_gates_side_by_side_are_split(order: str, asked: Cell) -> None:
    arrays = asked.run({"gates": "ifgo", "forget_bias": 0.0})
    gates = np.concatenate([arrays[gate] for gate in order], axis=-1)
    assert found(asked.explain(gates)) == {"gates": "ifgo", "forget_bias": 0.0}


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "are_too_many"), [(600, False), (1000, True)])
def test_windows_that_a_budget_leaves_out_are_counted(
    steps: int, are_too_many: bool, asked: Cell
) -> None:
    """(3, 6) of one sequence: all 6 units of 3 steps, or the first 3 units of 6 steps."""
    rng = np.random.default_rng(8)
    asked.x = rng.normal(size=(1, steps, 4)).astype(np.float32).astype(np.float64)
    windows = [
        (count, stride, first)
        for count in (3, 6)
        for stride in range(1, steps)
        for first in range(steps - stride * (count - 1))
        if stride == 1 or first in (0, stride - 1, steps - 1 - stride * (count - 1))
    ]
    explanation = asked.explain(rng.normal(0, 0.4, (3, 6)))
    assert explanation.verdict == "none"
    said = [one for one in explanation.not_tried if "more windows" in one]
    left = len(windows) - Budget.NUMBERS // (steps * 6)
    assert (left > 0) == are_too_many
    assert said == [f"EXPECTED as {left:,} more windows of the steps"] * are_too_many


# ---- parts of which another reading needs changes


PARTS_OF_BOTH: dict[
    str, tuple[int, Any]
] = {  # the sequences of the batch, and a part of (B, T, K)
    "the last step": (1, lambda h: h[:, -1]),
    "the last step, a vector": (1, lambda h: h[0, -1]),
    "step 0 of 7": (1, lambda h: h[:, 0]),
    "step 0 of 7, a vector": (1, lambda h: h[0, 0]),
    "step 0 of 7, sequence 0 of 2": (2, lambda h: h[0, 0]),
    "the last step of sequence 1": (2, lambda h: h[1, -1]),
    "step 3 of 7, sequence 1 of 2": (2, lambda h: h[1, 3]),
    "step 0 of 7, the first 2 of 3 sequences": (3, lambda h: h[:2, 0]),
    "step 4 of 7, the first 2 of 3 sequences": (3, lambda h: h[:2, 4]),
    "the last step of the first 2 of 3 sequences": (3, lambda h: h[:2, -1]),
    "step 0 of 7, sequence 0 of 3, the first 2 of 6 units": (3, lambda h: h[0, 0, :2]),
    "step 0 of 7, sequence 0 of 3, the first 5 of 6 units": (3, lambda h: h[0, 0, :5]),
    "the last step, the first 4 of 6 units": (3, lambda h: h[:, -1, :4]),
    "the first 5 of 6 units": (3, lambda h: h[..., :5]),
}


@pytest.mark.parametrize("text", PARTS_OF_BOTH)
@pytest.mark.sampled(3)
def test_a_part_of_two_directions_needs_no_change(text: str, tmp_path: Path) -> None:
    asked = networks.Asked(tmp_path, 0, "parts of both")
    sequences, part = PARTS_OF_BOTH[text]
    asked.x = asked.x[:sequences]
    explanation = asked.explain(part(asked.expected(networks.AS_STORED)))
    assert explanation.verdict == "agrees"
    assert (
        explanation.words.taken
        == f"EXPECTED is interpreted as {text.removesuffix(', a vector')}"
    )


def test_printed_units_of_both_directions_need_no_change(tmp_path: Path) -> None:
    asked = networks.Asked(tmp_path, 0, "parts of both")
    for count in (2, 5):
        part = asked.run(networks.AS_STORED)[1, 2, :count]
        explanation = asked.explain(printed(part, 8, tmp_path / "expected.txt"))
        assert explanation.verdict == "agrees"
        assert explanation.words.taken.endswith(
            f"sequence 1 of 3, the first {count} of 6 units"
        )


@pytest.mark.slow
def test_the_shape_of_fewest_changes_wins(tmp_path: Path) -> None:
    """A vector of both directions at one step, of two sequences: no last states in a row."""
    asked = networks.Asked(tmp_path, 0, "parts of both")
    asked.x = asked.x[:2]
    truth = {**networks.AS_STORED, "gates": "ifgo"}
    h = asked.run(truth)
    assert found(asked.explain(h[0, 0])) == {"gates": "ifgo"}
    ends = np.concatenate(
        [h[:, -1, :3], h[:, 0, 3:]]
    ).ravel()  # last states of both, in a row
    explanation = asked.explain(ends)
    assert found(explanation) == {"gates": "ifgo"}
    assert explanation.words.taken.endswith("as the last state of each cell")
