"""Weights that are drawn have the spread that each initializer promises."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from lstmcli.core.weights.initializers import draw_weights
from lstmcli.errors import UserError

INPUTS, UNITS = 200, 100
ROWS, COLUMNS = INPUTS + UNITS, 4 * UNITS


def kernel(initializer: str) -> np.ndarray:
    """A kernel (ROWS, COLUMNS): 120,000 numbers, whose deviation is within 1 % of that drawn."""
    found = draw_weights(INPUTS, UNITS, 0, steps=None, batch=1, initializer=initializer)
    assert not found["bias"].any()
    assert found["kernel"].shape == (ROWS, COLUMNS)
    return found["kernel"]


@pytest.mark.parametrize(
    ("initializer", "limit"),
    [
        ("glorot_uniform", sqrt(6 / (ROWS + COLUMNS))),
        ("uniform", 1 / sqrt(UNITS)),  # reset_parameters of torch.nn.LSTM
    ],
)
def test_uniform_numbers_fill_the_range_up_to_a_limit(
    initializer: str, limit: float
) -> None:
    drawn = kernel(initializer)
    assert 0.999 * limit < drawn.max() <= limit
    assert -limit <= drawn.min() < -0.999 * limit
    assert drawn.std() == pytest.approx(limit / sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [("glorot_normal", sqrt(2 / (ROWS + COLUMNS))), ("normal", 0.05)],
)
def test_normal_numbers_have_their_deviation(
    initializer: str, deviation: float
) -> None:
    drawn = kernel(initializer)
    assert drawn.std() == pytest.approx(deviation, rel=0.01)
    assert np.abs(drawn).max() > 4 * deviation  # no limit cuts them
    assert abs(drawn.mean()) < 0.01 * deviation


@pytest.mark.slow
def test_an_orthogonal_kernel_keeps_lengths() -> None:
    drawn = kernel("orthogonal")
    np.testing.assert_allclose(drawn @ drawn.T, np.eye(ROWS), atol=1e-12)


def test_zeros_are_zeros() -> None:
    assert not kernel("zeros").any()


def test_an_unknown_initializer_is_named() -> None:
    with pytest.raises(
        UserError, match="initializer='he_normal': one of glorot_uniform, "
    ):
        kernel("he_normal")
