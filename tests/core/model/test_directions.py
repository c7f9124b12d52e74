"""Directions on an axis of their own: where they are, by the shape and by the layout."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.forward.excerpt import Excerpt
from lstmcli.core.model.directions import axes_of_run, possible_axes, side_by_side
from lstmcli.core.model.model import Trace
from tests.networks import normal

T, B, H = 5, 3, 4


@pytest.mark.parametrize(
    ("shape", "layout", "axes"),
    [
        ((T, 2, B, H), "time", [1]),
        ((T, 2, 2, H), "time", [1, 2]),
        ((B, T, 2, H), "batch", [2]),
        ((B, 2, T, H), "batch", [1]),
        ((B, 2, 2, H), "batch", [2, 1]),
        ((T, B, H), "time", []),
        ((2, T, B, H), None, []),
    ],
)
def test_axes_that_may_be_of_directions(
    shape: tuple[int, ...], layout: str | None, axes: list[int]
) -> None:
    assert possible_axes(shape, layout) == axes


@pytest.mark.parametrize(
    ("ndim", "layout", "states", "axes"),
    [
        (3, "steps", "time", (0, None)),
        (3, "time", "time", (0, 1)),
        (4, "time", "time", (0, 2)),  # (T, D, B, H)
        (3, "batch", "time", (1, 0)),
        (4, "batch", "time", (1, 0)),  # (B, T, D, H)
        (4, "batch", "batch", (2, 0)),  # (B, D, T, H)
    ],
)
def test_axes_of_steps_and_batch_items(
    ndim: int, layout: str, states: str, axes: tuple[int, int | None]
) -> None:
    assert axes_of_run(ndim, layout, states) == axes


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_directions_side_by_side(axis: int) -> None:
    h = normal(T, B, 2 * H)
    stacked = np.moveaxis(h.reshape(T, B, 2, H), 2, axis)
    assert np.array_equal(side_by_side(stacked, axis), h)


@pytest.mark.parametrize(
    ("layout", "order"),
    [("time", (0, 2, 1, 3)), ("batch", (1, 0, 2, 3)), ("batch", (1, 2, 0, 3))],
)
def test_an_excerpt_has_directions_side_by_side(
    layout: str, order: tuple[int, ...]
) -> None:
    """As ONNX has them with either layout, and as an edit of PyTorch's outputs."""
    h = normal(T, B, 2 * H)
    stacked = h.reshape(T, B, 2, H).transpose(order)
    trace = Trace({"h": stacked}, h[0], h[0], layout)
    assert trace.steps == T
    assert np.array_equal(Excerpt.of_trace(trace).arrays["h"], h)
