"""EXPECTED may be any part of a run: every reading of as few changes that gives it is told.

The oracle tries all: it runs the plain cell of `reference` under every set of up to two changes and
holds each place of each run against EXPECTED.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import explain
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.explanation import Changed, Explanation
from tests.core.explain import networks
from tests.core.explain.asking import Cell, found, printed, write
from tests.core.explain.reference import outputs, random_net

Array = np.ndarray[Any, Any]
Reading = frozenset[tuple[str, Any]]

SINGLES: list[tuple[str, Any]] = [
    *(("gates", order) for order in ("ifgo", "iofg", "ifog", "gifo", "figo", "gfoi")),
    ("kernel_gates", "ifgo"), ("recurrent_gates", "iofg"), ("bias_gates", "ifgo"),
    ("interleaved", True), ("rows", "hx"),
    *(("transposed", one) for one in ("kernel", "recurrent", "both")),
    ("bias", "twice"), ("bias", "none"), ("forget_bias", 0.0),
    ("recurrent_activation", "hard_sigmoid_0.2"), ("recurrent_activation", "hard_sigmoid_1_6"),
    ("activation", "relu"), ("output_activation", "identity"),
    ("coupled", "f=1-i"), ("coupled", "i=1-f"), ("layout", "time"), ("reverse", True),
    ("flip_output", True), ("state", "reset"), *(("array", name) for name in "cifgo"),
]  # fmt: skip


class Field:
    """A net and its inputs (B, T, I), run under every set of at most two changes."""

    def __init__(self, folder: Path, size: tuple[int, int, int, int], seed: int) -> None:
        B, T, I, H = size
        self.rng = np.random.default_rng([seed, *size])
        net = random_net(self.rng, I, H)
        self.x = self.rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64)
        self.weights = write(net, folder / "w.npz", I)
        pairs = ({*both} for both in combinations(SINGLES, 2) if both[0][0] != both[1][0])
        sets: list[set[tuple[str, Any]]] = [set(), *({one} for one in SINGLES), *pairs]
        self.runs: dict[Reading, Array] = {}  # the array that is shown, (T, B, H) of the loop
        for changes in sets:
            truth = dict(changes)
            shown = outputs(net, self.x, truth)[truth.pop("array", "h")]
            timely = truth.get("layout") == "time"
            self.runs[frozenset(changes)] = shown if timely else shown.swapaxes(0, 1)

    def fewest(self, expected: Array) -> list[Reading]:
        """The readings of as few changes as possible that give EXPECTED in some place."""
        slack = 1.3e-6 + 2e-6 * np.abs(expected).max()
        giving = [
            reading
            for reading, run in self.runs.items()
            if any(np.abs(part - expected).max() <= slack for part in _parts(run, expected.shape))
        ]
        least = min(map(len, giving))
        return [reading for reading in giving if len(reading) == least]


def _parts(run: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Every part of a run (T, B, H) that has a shape: a row, a step, the whole."""
    T, B, _ = run.shape
    if len(shape) == 3:
        p, q = shape[:2]
        if p <= T and q <= B:
            yield run[:p, :q]
        if p <= B and q <= T:
            yield run[:q, :p].swapaxes(0, 1)
        return
    n = shape[0] if len(shape) == 2 else 1
    found = [run[:n, row] for row in range(B)] if n <= T else []
    found += [*run] if n == B else []
    found += [run[-1, :n]] if n <= B else []
    found += [run[-1, row : row + 1] for row in range(B)] if n == 1 else []
    yield from (part if len(shape) == 2 else part[0] for part in found)


def _questions(run: Array) -> dict[str, Array]:
    """Parts of a run (T, B, H) that people save."""
    last = run.shape[1] - 1
    return {
        "a row": run[:, last], "a first row": run[:, 0], "first steps": run[:2], "all": run,
        "first steps of a row": run[:3, last], "a last step": run[-1], "a first step": run[0],
        "a middle step": run[1], "a last step of a row": run[-1, last],
        "a first step of a row": run[0, last],
    }  # fmt: skip


def _told(changes: tuple[Changed, ...]) -> Reading:
    """Changes as single settings: Keras' go_backwards is two of them."""
    settings = {name: value for change in changes for name, value in change.settings.items()}
    if settings.pop("go_backwards", False):
        settings |= {"reverse": True, "flip_output": True}
    return frozenset(settings.items())


def _unlisted(explanation: Explanation, fewest: list[Reading]) -> list[Reading]:
    """The readings that are neither the answer, nor its equals, nor said not to be seen."""
    own = _told(explanation.changes)
    told = {own, *map(_told, explanation.equivalent)}
    return [
        reading
        for reading in fewest
        if reading not in told and not {name for name, _ in reading - own} & {*explanation.unseen}
    ]


@pytest.mark.wide
@pytest.mark.parametrize(
    ("size", "seed"),
    [((3, 5, 4, 6), 7), ((5, 3, 4, 6), 8), ((4, 4, 3, 5), 7), ((2, 4, 3, 3), 8)],
    ids=str,
)
def test_every_reading_of_as_few_changes_is_told(
    size: tuple[int, int, int, int], seed: int, tmp_path: Path
) -> None:
    field = Field(tmp_path, size, seed)
    readings = sorted(field.runs, key=lambda reading: (len(reading), sorted(map(str, reading))))
    some = field.rng.choice(len(readings), 8, replace=False)
    asked = 0
    for reading in [readings[n] for n in some]:
        for name, part in _questions(field.runs[reading]).items():
            expected = part.astype(np.float32)
            if not expected.any():
                continue  # any weights would give that, and explain says so
            fewest = field.fewest(expected)
            explanation = explain(field.weights, field.x, expected)
            asked += 1
            assert explanation.verdict != "none", (reading, name)
            if explanation.found:
                assert len(_told(explanation.changes)) == len(fewest[0]), (reading, name)
            assert not _unlisted(explanation, fewest), (reading, name)
    assert asked > 60


@pytest.fixture
def asked(tmp_path: Path) -> Cell:
    """A net of 6 units with 3 sequences of 5 steps."""
    return Cell(tmp_path, 11, units=6, steps=5)


def _equals(explanation: Explanation) -> list[dict[str, Any]]:
    return [{c.setting: c.found for c in other} for other in explanation.equivalent]


@pytest.mark.parametrize("truth", [{"layout": "time"}, {"state": "reset"}])
def test_a_first_step_of_other_axes_may_be_a_reset_row(truth: dict[str, Any], asked: Cell) -> None:
    explanation = asked.explain(asked.run(truth)["h"][0])
    assert found(explanation) == {"state": "reset"}
    assert _equals(explanation) == [{"layout": "time"}]
    assert explanation.taken == "EXPECTED is interpreted as sequence 0 of 3"
    (remark,) = explanation.notes
    assert remark.endswith("(T, B, I): EXPECTED is interpreted as step 0 of 3.")
    assert explanation.decide == "all steps and sequences of EXPECTED"


@pytest.mark.slow
def test_as_few_changes_win_in_every_place(asked: Cell) -> None:
    explanation = asked.explain(asked.run({"state": "reset", "gates": "ifgo"})["h"][:, -1])
    assert found(explanation) == {"gates": "ifgo", "state": "reset"}
    assert _equals(explanation) == [{"gates": "ifgo", "reverse": True}]


@pytest.mark.parametrize("gate", ["i", "f", "g", "o"])
@pytest.mark.slow
def test_a_last_step_may_be_a_gate(gate: str, asked: Cell) -> None:
    explanation = asked.explain(asked.run()[gate][:, -1])
    assert found(explanation) == {"array": gate}
    assert explanation.taken == "EXPECTED is interpreted as the last step"


@pytest.mark.parametrize(
    "truth", [{"gates": "iofg", "rows": "hx"}, {"gates": "iofg", "rows": "hx", "forget_bias": 0.0}]
)
@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.sampled(3)
def test_several_changes_of_one_row(row: int, truth: dict[str, Any], asked: Cell) -> None:
    explanation = asked.explain(asked.run(truth)["h"][row])
    assert found(explanation) == truth
    assert explanation.taken == f"EXPECTED is interpreted as sequence {row} of 3"


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
    asked.x = np.random.default_rng(3).normal(size=(1, 8, 4)).astype(np.float32).astype(float)
    explanation = asked.explain(asked.run(truth)["h"][0, :6, :4])
    assert found(explanation) == truth
    assert explanation.taken.endswith("the first 6 of 8 steps, the first 4 of 6 units")


@pytest.mark.slow
def test_axes_in_another_order_are_understood(asked: Cell) -> None:
    h = asked.run({"gates": "ifgo"})["h"]
    for array in (h.transpose(0, 2, 1), h.transpose(1, 2, 0), h.ravel(), h.ravel(order="F")):
        assert found(asked.explain(array)) == {"gates": "ifgo"}


@pytest.mark.parametrize("order", ["ifgo", "igfo"], ids=["as a trace", "as the kernel"])
def test_gates_side_by_side_are_taken_apart(order: str, asked: Cell) -> None:
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


PARTS_OF_BOTH: dict[str, tuple[int, Any]] = {  # the sequences of the batch, and a part of (B, T, K)
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
    "the first 2 of 3 units": (3, lambda h: h[..., [0, 1, 3, 4]]),
}


@pytest.mark.parametrize("text", PARTS_OF_BOTH)
@pytest.mark.sampled(3)
def test_a_part_of_two_directions_needs_no_change(text: str, tmp_path: Path) -> None:
    asked = networks.Asked(tmp_path, 0, "parts of both")
    sequences, part = PARTS_OF_BOTH[text]
    asked.x = asked.x[:sequences]
    explanation = asked.explain(part(asked.expected(networks.AS_STORED)))
    assert explanation.verdict == "agrees"
    assert explanation.taken == f"EXPECTED is interpreted as {text.removesuffix(', a vector')}"


def test_printed_units_of_both_directions_need_no_change(tmp_path: Path) -> None:
    asked = networks.Asked(tmp_path, 0, "parts of both")
    for count in (2, 5):
        part = asked.run(networks.AS_STORED)[1, 2, :count]
        explanation = asked.explain(printed(part, 8, tmp_path / "expected.txt"))
        assert explanation.verdict == "agrees"
        assert explanation.taken.endswith(f"sequence 1 of 3, the first {count} of 6 units")


@pytest.mark.slow
def test_the_shape_of_fewest_changes_wins(tmp_path: Path) -> None:
    """A vector of both directions at one step, of two sequences: no last states in a row."""
    asked = networks.Asked(tmp_path, 0, "parts of both")
    asked.x = asked.x[:2]
    truth = {**networks.AS_STORED, "gates": "ifgo"}
    h = asked.run(truth)
    assert found(asked.explain(h[0, 0])) == {"gates": "ifgo"}
    ends = np.concatenate([h[:, -1, :3], h[:, 0, 3:]]).ravel()  # last states of both, in a row
    explanation = asked.explain(ends)
    assert found(explanation) == {"gates": "ifgo"}
    assert "are taken in a row as (2, 2, 3)" in explanation.notes[0]
