"""States of several cells: on an axis of their own, or side by side where their widths differ."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.api.load import load
from lstmcli.core.forward.run import run
from tests.test_golden import GOLDEN

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
