"""The order of steps against a loop that takes one sequence at a time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lstmcli.core.model.steps import StepOrder, processed_steps

T = 5


def one_sequence(reverse: bool, go_backwards: bool, flip: bool, valid: list[bool]) -> tuple[
    list[int], list[int]
]:  # fmt: skip
    """The steps of inputs that count in the order in which they are read, and where h goes."""
    read = [*range(T)][:: -1 if reverse or go_backwards else 1]
    written = [*range(T)][:: -1 if (reverse and not go_backwards) != flip else 1]
    count = [at for at, t in enumerate(read) if valid[t]]
    return [read[at] for at in count], [written[at] for at in count]


@pytest.mark.parametrize(
    ("reverse", "go_backwards", "flip"), [*product([False, True], repeat=3)]
)
def test_the_order_of_one_cell(reverse: bool, go_backwards: bool, flip: bool) -> None:
    order = StepOrder.of(reverse, go_backwards, flip)
    inputs, outputs = processed_steps(order, T)
    expected = one_sequence(reverse, go_backwards, flip, [True] * T)
    assert (inputs[:, 0].tolist(), outputs[:, 0].tolist()) == expected
    masks = [
        [True] * T,
        [True, True, True, False, False],
        [False, True, False, True, True],
    ]
    inputs, outputs = processed_steps(order, T, np.array(masks).T)
    for item, valid in enumerate(masks):
        read, written = one_sequence(reverse, go_backwards, flip, valid)
        assert inputs[: len(read), item].tolist() == read
        assert outputs[: len(written), item].tolist() == written
        assert sorted(inputs[:, item]) == [*range(T)]


def test_the_order_of_many_cells_at_once() -> None:
    cells = np.array([*product([False, True], repeat=3)])
    at_once = StepOrder.of(*cells.T)
    for n, settings in enumerate(cells.tolist()):
        one = StepOrder.of(*settings)
        assert (at_once.runs_back[n], at_once.outputs_reversed[n]) == one
