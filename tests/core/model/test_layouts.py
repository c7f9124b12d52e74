"""Every form of an array of a run is among its arrangements, and likelier ones come first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lstmcli.core.model.layouts import (
    Arrangement,
    AxisRange,
    RunShape,
    arrangements,
    words,
)

Array = npt.NDArray[Any]

# Of a run (T, B, K): the array, and the rank that its arrangement has at most.
FORMS: dict[str, tuple[Callable[[Array], Array], int]] = {
    "all": (lambda h: h, 0),
    "batch first": (lambda h: h.swapaxes(0, 1), 0),
    "one sequence": (lambda h: h[:, 1 % h.shape[1]], 1),
    "one sequence of three axes": (lambda h: h[:, 1 % h.shape[1]][:, None], 1),
    "first steps": (lambda h: h[:3], 0),
    "first steps of a sequence": (lambda h: h[:3, 1 % h.shape[1]], 2),
    "first step": (lambda h: h[0], 4),
    "last step": (lambda h: h[-1], 0),
    "last step of three axes": (lambda h: h[-1:], 0),
    "last step of a sequence": (lambda h: h[-1, 1 % h.shape[1]], 1),
    "last steps of a sequence": (lambda h: h[-3:, 1 % h.shape[1]], 6),
    "window": (lambda h: h[2:5, 1 % h.shape[1]], 39),
    "every second step": (lambda h: h[::2, 1 % h.shape[1]], 7),
    "every third step from 2": (lambda h: h[2::3, 1 % h.shape[1]], 25),
    "first units": (lambda h: h[:, :, :4], 0),
    "first units of a step": (lambda h: h[0, 0, :4], 3),
    "units before steps": (lambda h: h[:, 1 % h.shape[1]].T, 1),
    "units between": (lambda h: h.transpose(1, 2, 0), 0),
    "in a row": (lambda h: h.ravel(), 0),
    "in a row, batch first": (lambda h: h.swapaxes(0, 1).ravel(), 2),
    "in a row by columns": (lambda h: h.ravel(order="F"), 1),
    "one sequence in a row": (lambda h: h[:, 1 % h.shape[1]].ravel(), 3),
    "rows of all steps": (lambda h: h.reshape(-1, h.shape[2]), 0),
    "column vectors": (lambda h: h[..., None], 0),
    "first sequences": (lambda h: h[:, :2], 0),
    "first sequences of the last step": (lambda h: h[-1, :2], 3),
    "another step": (lambda h: h[4], 11),
    "another step of a sequence": (lambda h: h[4, 1 % h.shape[1]], 16),
}


def rank(array: Array, run: RunShape, h: Array) -> tuple[int | None, Arrangement]:
    """The position of the first arrangement in which an array has the numbers of h (T, B, D, K)."""
    for n, one in enumerate(arrangements(array.shape, run)):
        if np.array_equal(one.read(array), h[one.place]):
            return n, one
    raise AssertionError(f"{array.shape} is nowhere on {run}")


@pytest.mark.parametrize("size", [(9, 3, 6), (7, 1, 5)])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found_and_likelier_ones_come_first(
    form: str, size: tuple[int, int, int]
) -> None:
    h = np.random.default_rng(0).normal(size=size)
    of, at_most = FORMS[form]
    array = of(h)
    found, one = rank(array, RunShape(*size), h[:, :, None])
    assert found is not None
    assert found <= at_most
    assert one.read(array).size == array.size


@pytest.mark.parametrize("layout", ["time", "batch"])
@pytest.mark.parametrize("stacked", [None, 0, 1, 2])
@pytest.mark.parametrize("order", [*permutations("tbd")])
def test_directions_on_any_axis_are_found_first_where_all_lengths_differ(
    order: tuple[str, ...], layout: str, stacked: int | None
) -> None:
    h = np.random.default_rng(0).normal(size=(7, 4, 2, 5))
    run = RunShape(7, 4, 5, 2, layout, stacked)
    array = h.transpose(*["tbd".index(axis) for axis in order], 3)
    found, one = rank(array, run, h)
    assert (found, one.axes, one.is_all) == (0, f"{''.join(order)}k", True)
    assert (one.cost == 0) == (one.axes == run.axes)
    for axes in ("tb", "bt"):
        beside = h.transpose(*["tb".index(axis) for axis in axes], 2, 3).reshape(
            *({"t": 7, "b": 4}[axis] for axis in axes), 10
        )
        found, one = rank(beside, run, h)
        assert (found, one.axes, one.is_all) == (0, f"{axes}w", True)
        assert one.exchanged == (one.axes[:2] != run.axes.replace("d", "")[:2])


def test_parts_of_both_directions() -> None:
    h = np.random.default_rng(0).normal(size=(7, 4, 2, 5))
    run = RunShape(7, 4, 5, 2)
    for array, axes, said in (
        (h[:, :, 1], "tbk", "the backward direction"),
        (h[-1].reshape(4, 10), "bw", "the last step"),
        (h[:, 2].reshape(7, 10).T, "wt", "units before steps, sequence 2 of 4"),
        (
            h[:, 1].swapaxes(0, 1)[:, None],
            "dtk",
            "directions on axis 0, sequence 1 of 4",
        ),
        (h.reshape(28, 10), "tbw", "numbers in a row"),
    ):
        _, one = rank(array, run, h)
        assert (one.axes, words(one)) == (axes, said)


def test_the_last_states_of_cells_are_a_run_of_one_step() -> None:
    """(cells, B, H) of PyTorch, and (B, cells, H)."""
    states = np.random.default_rng(0).normal(size=(1, 4, 3, 5))
    for stacked, layout in ((0, "time"), (1, "batch")):
        run = RunShape(1, 4, 5, 3, layout, stacked)
        for array in (states[0].swapaxes(0, 1), states[0]):
            found, one = rank(array, run, states)
            assert (found, one.is_all) == (0, True)


def test_an_axis_of_one_tells_which_axis_the_other_one_is() -> None:
    run = RunShape(6, 6, 5)
    for shape, axes in (((6, 1, 5), "tk"), ((1, 6, 5), "bk")):
        assert next(arrangements(shape, run)).axes == axes
        batch_first = next(arrangements(shape, run._replace(layout="batch")))
        assert batch_first.axes == axes.translate(str.maketrans("tb", "bt"))


@pytest.mark.parametrize("shape", [(8, 3, 5), (2, 7, 3, 5), (7, 3, 6), (7, 11)])
def test_arrays_longer_than_the_run_have_no_arrangement(shape: tuple[int, ...]) -> None:
    assert [*arrangements(shape, RunShape(7, 3, 5))] == []


def test_costs_never_fall_and_a_long_run_is_not_enumerated() -> None:
    costs = [one.cost for one in arrangements((3, 5), RunShape(40, 3, 5))]
    assert costs == sorted(costs)
    assert len([*islice(arrangements((3, 5), RunShape(10**7, 10**5, 5)), 10)]) == 10


def test_words() -> None:
    run = RunShape(7, 4, 5)
    said = {
        (7, 4, 5): "",
        (4, 7, 5): "(batch, steps, units)",
        (3, 4, 5): "the first 3 of 7 steps",
        (7, 5): "sequence 0 of 4",
        (4, 5): "the last step",
        (2, 5): "the first 2 of 7 steps, sequence 0 of 4",
        (7, 3, 5): "the first 3 of 4 sequences",
        (7, 4, 3): "the first 3 of 5 units",
        (140,): "numbers in a row",
        (5, 7): "units before steps, sequence 0 of 4",
    }
    assert {shape: words(next(arrangements(shape, run))) for shape in said} == said
    assert (
        AxisRange(20, 3, 70, stride=21).words("step") == "every 21 steps from 20 to 62"
    )
    others = {words(one) for one in arrangements((3, 5), run)}
    assert {"steps 2 to 4 of 7, sequence 3 of 4", "every second step from 0 to 4, sequence 1 of 4",
            "the last 3 of 7 steps, sequence 2 of 4", "step 0 of 7, the first 3 of 4 sequences",
            "the last step of the first 3 of 4 sequences"} <= others  # fmt: skip
