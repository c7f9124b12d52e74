"""States of several cells: on an axis of their own, or side by side where their widths differ."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.load import load
from lstmcli.core.model.arrays import Array
from lstmcli.errors import UserError
from tests.recorded import GOLDEN

STACKED = str(GOLDEN / "onnx_files" / "keras_stacked.onnx")  # 5 -> 3 -> 4


@pytest.mark.parametrize("rows", [0, 2])
def test_layers_of_different_widths_have_their_states_side_by_side(rows: int) -> None:
    model = load(STACKED)
    shape = (rows, 7, 5) if rows else (7, 5)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    whole = run(model, x)
    assert whole.final_h.shape == whole.final_c.shape == ((rows, 7) if rows else (7,))
    np.testing.assert_array_equal(whole.final_h[..., 3:], whole.h[..., -1, :])
    first = run(model, x[..., :3, :])
    state = {"h": first.final_h, "c": first.final_c}
    rest = run(model, x[..., 3:, :], initial_state=state)
    np.testing.assert_array_equal(rest.final_c, whole.final_c)


CORE_ML = {
    f"weight_{name}{mark}": np.ones((12, width))
    for name, width in (("ih", 4), ("hh", 3))
    for mark in ("", "_back")
}
ON_AN_AXIS = {"W": np.ones((2, 12, 4)), "R": np.ones((2, 12, 3))}


@pytest.mark.parametrize(
    ("tensors", "convention", "needed"),
    [
        (CORE_ML, "coreml", "(2, 6)"),  # the units of both directions side by side
        (ON_AN_AXIS, "openvino", "(2, 2, 3)"),
        (ON_AN_AXIS, "onnx", "(2, 2, 3)"),
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (7,), (2, 7), (3, 2, 3), (2, 2, 2, 3)])
def test_states_of_two_cells_that_do_not_fit_are_refused(
    tensors: dict[str, Array], convention: str, needed: str, shape: tuple[int, ...]
) -> None:
    model = load(tensors, convention=convention)
    state = {"h": np.zeros(shape), "c": np.zeros(shape)}
    with pytest.raises(UserError, match=re.escape("the initial h is ")) as error:
        run(model, np.ones((2, 5, 4)), layout="batch", initial_state=state)
    if "cells" in str(error.value):
        assert f"need h {needed} and c {needed}" in str(error.value)


def test_states_of_two_groups_of_sequences_are_not_one_batch() -> None:
    model = load({"kernel": np.ones((7, 12)), "bias": np.ones(12)})
    state = {"h": np.zeros((2, 2, 3)), "c": np.zeros((2, 2, 3))}
    with pytest.raises(UserError, match=r"the initial h is \(2, 2, 3\); batch size 4"):
        run(model, np.ones((4, 5, 4)), layout="batch", initial_state=state)
