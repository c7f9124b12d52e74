"""The model's output y beside h: by its names in programs, by its width, and where it differs."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.operand import Side
from lstmcli.core.model.arrays import Array
from tests.networks import normal

B, T, H, K = 3, 5, 4, 7
RUN = {"h": normal(B, T, H), "y": normal(B, T, K)}
LAST = {"h": normal(B, T, H), "final_y": normal(B, K)}
SQUARE = {"h": normal(B, T, H), "y": normal(B, T, H)}


def compared(a: dict[str, Array], b: dict[str, Array]) -> Difference:
    return compare(Side("a", a, "batch"), Side("b", b))


def names(comparison: Difference) -> list[str]:
    return [*comparison.arrays]


@pytest.mark.parametrize("name", ["logits", "probs", "y_pred", "output_0", "pred", ""])
@pytest.mark.parametrize("run", [RUN, LAST])
def test_an_output_by_another_name_is_y(run: dict[str, Array], name: str) -> None:
    (y,) = run.keys() - {"h"}
    for sides in ((run, {name: run[y]}), ({name: run[y]}, run)):
        found = compared(*sides)
        assert found.equal
        assert names(found) == [y]
        assert any("interpreted as" in hint.text for hint in found.assumed)


def test_y_of_one_output_a_sequence_is_final_y() -> None:
    found = compared(LAST, {"y": LAST["final_y"]})
    assert found.equal
    assert names(found) == ["final_y"]


def test_an_array_without_a_name_is_h_if_it_can_be() -> None:
    assert names(compared(SQUARE, {"": SQUARE["h"]})) == ["h"]
    assert names(compared({"y": RUN["y"]}, {"": RUN["y"]})) == ["h"]


def test_what_a_run_saved_as_y_is_y() -> None:
    run = Side("a", {"y": RUN["y"]}, "batch", settings={"layout": "batch"})
    for name in ("", "pred"):
        assert names(compare(run, Side("b", {name: RUN["y"]}))) == ["y"]


def test_where_h_agrees_and_y_does_not_it_is_the_head() -> None:
    for run, name in ((RUN, "y"), (LAST, "final_y")):
        found = compared(run, {**run, name: run[name] * 1.1})
        assert [hint.code for hint in found.hints] == ["head"]
        other = {name: array * 1.1 for name, array in run.items()}
        assert "head" not in [hint.code for hint in compared(run, other).hints]


def test_y_comes_behind_h_where_the_first_difference_is_looked_for() -> None:
    found = compared(RUN, {name: array + 1 for name, array in RUN.items()})
    assert found.first_divergence is not None
    assert found.first_divergence.array == "h"


@pytest.mark.parametrize("other", ["Y", "anything"])
def test_an_array_next_to_h_with_the_shape_of_y_is_y(other: str) -> None:
    right = compared(RUN, {"h": RUN["h"], other: RUN["y"]})
    assert names(right) == ["h", "y"]
    assert right.equal
    assert any(f"{other} of b is interpreted as y" in one.text for one in right.assumed)
    assert not compared(RUN, {"h": RUN["h"], other: RUN["y"] + 1}).equal


@pytest.mark.parametrize("name", ["", "y"])
def test_an_axis_of_one_output_may_be_left_out(name: str) -> None:
    y = normal(B, T, 1)
    run = {"h": RUN["h"], "y": y}
    right = compared(run, {name: y[..., 0]})
    assert names(right) == ["y"]
    assert right.equal
    assert compared(run, {"": y[:, -1, 0]}).equal
    wrong = compared(run, {"": y[..., 0] + 1})
    assert not wrong.equal
    assert wrong.arrays["y"].pair.placed


@pytest.mark.parametrize("name", ["", "y"])
def test_one_output_of_each_step_may_lie_by_steps_or_in_a_row(name: str) -> None:
    y = normal(B, T, 1)
    run = {"h": RUN["h"], "y": y}
    for array in (y[..., 0].T, y.ravel()):
        assert names(compared(run, {name: array})) == ["y"]
        assert compared(run, {name: array}).equal
        assert not compared(run, {name: array + 1}).equal


def test_as_wide_as_h_it_is_h_rather_than_y_by_steps() -> None:
    h, y = normal(B, T, B), normal(B, T, 1)
    run = {"h": h, "y": y}
    assert names(compared(run, {"": h[0]})) == ["h"]


@pytest.mark.parametrize("file", ["y.npy", "out/logits.txt", "y_port.npy"])
def test_files_without_a_name_have_that_of_y_if_they_are_called_so(file: str) -> None:
    a, b = Side("a/y.npy", {"": RUN["y"]}), Side(file, {"": RUN["y"]})
    assert names(compare(a, b)) == ["y"]
    assert names(compare(a, Side("h.npy", {"": RUN["y"]}))) == ["h"]
    assert names(compare(a, Side("years.npy", {"": RUN["y"]}))) == ["h"]


def test_one_output_a_sequence_may_lie_in_a_row() -> None:
    y = normal(B, 1)
    assert compared({"h": RUN["h"], "final_y": y}, {"": y[:, 0]}).equal


def test_rows_that_sum_to_one_are_not_suspected_as_h() -> None:
    powers = np.exp(normal(2, B, K))
    one, other = powers / powers.sum(axis=-1, keepdims=True)
    codes = [hint.code for hint in compared({"": one}, {"": other}).hints]
    assert codes == ["probabilities"]
    assert "probabilities" not in [
        hint.code for hint in compared({"": one}, {"": other + 0.1}).hints
    ]
