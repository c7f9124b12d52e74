"""Edits of how layers are run together, against small loops with each mistake in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import lstmcli
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import EDITS
from tests.core.forward.test_edits import (
    DEEP,
    W2,
    B,
    H,
    W,
    Weights,
    X,
    lstm,
    random_weights,
    tensors,
)
from tests.core.forward.test_schedules import one_step

UPPER, UPPER_BACK, LOWER_BACK = (
    random_weights(2 * H, H), random_weights(2 * H, H), random_weights()
)  # fmt: skip


def both(forward: Weights, back: Weights) -> Weights:
    return tensors(forward) | {f"{k}_reverse": a for k, a in tensors(back).items()}


def of_layer(number: int, weights: Weights) -> Weights:
    return {name.replace("l0", f"l{number}"): a for name, a in weights.items()}


STACKED = both(W, LOWER_BACK) | of_layer(1, both(UPPER, UPPER_BACK))


def one_by_one() -> Array:
    """One h and one c, which the layers take in turn."""
    h, c = np.zeros((B, H)), np.zeros((B, H))
    out = []
    for x in X:
        for w in (W, W2):
            h, c = one_step(x, h, c, w)
            x = h
        out.append(h)
    return np.array(out)


def normalised(h: Array) -> Array:
    deviation = np.sqrt(h.var(axis=2, keepdims=True) + 1e-3)
    normal: Array = (h - h.mean(axis=2, keepdims=True)) / deviation
    return normal


def two_directions(x: Array, forward: Weights, back: Weights) -> tuple[Array, Array]:
    return lstm(x, forward).h, lstm(x[::-1], back).h[::-1]


def joined_backward_first() -> Array:
    lower = two_directions(X, W, LOWER_BACK)
    x = np.concatenate(lower[::-1], axis=2)
    return np.concatenate(two_directions(x, UPPER, UPPER_BACK), axis=2)


def with_forward_weights() -> Array:
    lower = two_directions(X, W, W)
    upper = two_directions(np.concatenate(lower, axis=2), UPPER, UPPER)
    return np.concatenate(upper, axis=2)


late = np.concatenate([np.zeros((1, B, H)), lstm().h[:-1]])
ROWS: dict[str, tuple[Weights, Callable[[], Array]]] = {
    "layers.shared": (DEEP, one_by_one),
    "layers.late=1": (DEEP, lambda: lstm(late, W2).h),
    "layers.start=0": (DEEP, lambda: lstm(lstm().h, W2, h=lstm().h[-1], c=lstm().c).h),
    "layers.norm=0.001": (DEEP, lambda: lstm(normalised(lstm().h), W2).h),
    "layers.merge=0": (STACKED, joined_backward_first),
    "weights.directions=forward": (STACKED, with_forward_weights),
}


@pytest.mark.parametrize("text", ROWS)
def test_layers_are_run_as_a_program_with_that_mistake_does(text: str) -> None:
    weights, expected = ROWS[text]
    trace = lstmcli.run(weights, X, "h", layout="time", edits=[text])
    np.testing.assert_allclose(trace.h, expected(), atol=1e-12)


@pytest.mark.parametrize("text", ROWS)
def test_what_layers_do_is_named(text: str) -> None:
    weights, expected = ROWS[text]
    found = lstmcli.explain(weights, X, expected().astype(np.float32), layout="time")
    assert found.edits == (text,)
    assert found.verdict == "found"


def test_each_layer_of_a_shared_state_has_all_arrays() -> None:
    trace = lstmcli.run(DEEP, X, layout="time", edits=["layers.shared"])
    h, c = one_step(X[0], np.zeros((B, H)), np.zeros((B, H)), W)
    np.testing.assert_allclose(trace.arrays["layer0.h"][0], h, atol=1e-12)
    np.testing.assert_allclose(trace.arrays["layer0.c"][0], c, atol=1e-12)
    h, c = one_step(h, h, c, W2)
    np.testing.assert_allclose(trace.arrays["layer1.c"][0], c, atol=1e-12)
    gate = trace.arrays["layer1.f"]
    assert gate.shape == (len(X), B, H)
    assert ((gate > 0) & (gate < 1)).all()


def test_the_outputs_are_normalised() -> None:
    trace = lstmcli.run(
        tensors(W), X, "h", layout="time", edits=["outputs.layer_norm=0.001"]
    )
    np.testing.assert_allclose(trace.h, normalised(lstm().h), atol=1e-12)


@pytest.mark.parametrize(
    "text", ["layers.shared", "layers.late=2", "layers.start=1", "layers.merge=0"]
)
def test_an_edit_of_layers_that_does_not_fit_is_refused(text: str) -> None:
    weights = tensors(W, random_weights(H, H + 1)) if text == "layers.shared" else DEEP
    with pytest.raises(lstmcli.UserError, match="layers"):
        lstmcli.run(weights, X, layout="time", edits=[text])


def test_every_edit_of_layers_is_looked_at_here() -> None:
    names = {text.partition("=")[0] for text in ROWS}
    assert {name for name in EDITS if name.startswith("layers.")} <= names
