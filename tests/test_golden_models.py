"""Every recorded whole model: its file, read as a user's, gives the model's output.

``tests/golden/record/models_keras.py`` and ``models_torch.py`` made them.
"""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli import run
from tests.golden_models import MODELS, recorded

TOLERANCE = 1e-6

APART = ("torch_last_states_pt",)
"""Both last states, of no step: which h a head takes stands in no state dict."""

DIRECTIONS = ("tflite_directions_each", "tflite_directions_last")
"""TensorFlow Lite has an LSTM for each direction, of which `layer` chooses one."""


RUN = [case for case in MODELS if case not in (*APART, *DIRECTIONS)]


@pytest.mark.parametrize("case", RUN)
def test_y_is_that_of_the_framework(case: str) -> None:
    """A head of a state dict is of each step; the recorded models take the last, or the mean."""
    weights, arrays, settings = recorded(case)
    trace = run(weights, arrays["inputs"], layout="batch", **settings)
    found = trace.members()
    if case.startswith("torch_") and "final_y" in arrays:
        y = found["y"].mean(axis=1) if "pooled" in case else found["y"][:, -1]
        found = {"final_y": y}
    name = "y" if "y" in arrays else "final_y"
    np.testing.assert_allclose(found[name], arrays[name], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("case", RUN)
def test_layouts_of_the_inputs_are_those_of_y(case: str) -> None:
    """Time first, and one sequence by itself; the outputs of a batch are compared above."""
    weights, arrays, settings = recorded(case)
    x = arrays["inputs"]
    batch = run(weights, x, layout="batch", **settings).members()
    time_first = run(weights, np.swapaxes(x, 0, 1), layout="time", **settings)
    rows = [run(weights, row, **settings).members() for row in x]
    name = "y" if "y" in batch else "final_y"
    y = batch[name]
    of_time = time_first.members()[name]
    if name == "y":
        of_time = np.swapaxes(of_time, 0, 1)
    np.testing.assert_allclose(of_time, y, rtol=0, atol=TOLERANCE)
    alone = np.stack([row[name] for row in rows])
    np.testing.assert_allclose(alone, y, rtol=0, atol=TOLERANCE)


def test_there_are_models_of_each_framework() -> None:
    found = {case.partition("_")[0] for case in MODELS}
    assert found == {"keras", "tf", "tflite", "torch", "onnx", "saved"}
