"""Edits of the head and the front against NumPy written here: a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError

T, B, N, H, K, V = 7, 4, 3, 3, 6, 9
RNG = np.random.default_rng(56)
INDICES = RNG.integers(0, V, (B, T))
LENGTHS = np.array([7, 4, 6, 2])


def random(*shape: int) -> Array:
    return RNG.normal(size=shape)


TABLE = random(V, N)
TENSORS = {
    "emb.weight": TABLE,
    **{
        f"lstm.{kind}_l0{end}": random(*shape)
        for end in ("", "_reverse")
        for kind, shape in (
            ("weight_ih", (4 * H, N)),
            ("weight_hh", (4 * H, H)),
            ("bias_ih", (4 * H,)),
            ("bias_hh", (4 * H,)),
        )
    },
    "fc.weight": random(K, 2 * H),
    "fc.bias": random(K),
}
KERNEL, BIAS = TENSORS["fc.weight"].T, TENSORS["fc.bias"]


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def softmax(z: Array, axis: int = -1) -> Array:
    powers = np.exp(z)
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def direction(
    x: Array, end: str, tensors: Mapping[str, Array] = TENSORS
) -> tuple[Array, Array]:
    """The h and c (B, T, H) of one direction."""
    w = {name.split("_l0")[0]: tensors[name] for name in tensors if "lstm" in name}
    for name in w:
        w[name] = tensors[f"{name}_l0{end}"]
    h = c = np.zeros((len(x), w["lstm.weight_hh"].shape[1]))
    steps = []
    for x_t in np.moveaxis(x[:, ::-1] if end else x, 1, 0):
        z = x_t @ w["lstm.weight_ih"].T + h @ w["lstm.weight_hh"].T
        i, f, g, o = np.split(z + w["lstm.bias_ih"] + w["lstm.bias_hh"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        steps.append((h, c))
    hs, cs = (np.stack(each, axis=1) for each in zip(*steps, strict=True))
    return (hs[:, ::-1], cs[:, ::-1]) if end else (hs, cs)


def both(x: Array | None = None, of: int = 0) -> Array:
    """The h (B, T, 2 H) of both directions, or their c."""
    x = TABLE[INDICES] if x is None else x
    return np.concatenate([direction(x, end)[of] for end in ("", "_reverse")], axis=2)


def head(h: Array, kernel: Array = KERNEL, bias: Any = BIAS) -> Array:
    return np.asarray(h @ kernel + bias)


def ends(h: Array) -> Array:
    return np.concatenate([h[:, -1, :H], h[:, 0, H:]], axis=1)


def halves(forward: float, backward: float) -> Array:
    return np.repeat([forward, backward], H)


EACH: dict[str, Callable[[], Array]] = {
    "head.step=last": lambda: head(both()[:, -1]),
    "head.step=first": lambda: head(both()[:, 0]),
    "head.step=states": lambda: head(ends(both())),
    "outputs.pooled=mean": lambda: head(both().mean(axis=1)),
    "outputs.pooled=max": lambda: head(both().max(axis=1)),
    "head.softmax=time": lambda: softmax(head(both()), 1),
    "head.softmax=batch": lambda: softmax(head(both()), 0),
    "head.bias=none": lambda: head(both(), bias=0),
    "head.kernel=transposed": lambda: head(both(), TENSORS["fc.weight"]),
    "head.on=c": lambda: head(both(of=1)),
    "head.on=forward": lambda: head(both() * halves(1, 0)),
    "head.on=backward": lambda: head(both() * halves(0, 1)),
    "head.on=exchanged": lambda: head(np.roll(both(), H, axis=2)),
    "front.index=1": lambda: head(both(TABLE[np.minimum(INDICES + 1, V - 1)])),
    "front.index=-1": lambda: head(both(TABLE[INDICES - 1])),
    "front.late=1": lambda: head(both(TABLE[np.pad(INDICES, ((0, 0), (1, 0)))[:, :-1]])),
    "front.scale=sqrt": lambda: head(both(TABLE[INDICES] * np.sqrt(N))),
}  # fmt: skip
"""By edit, the output of a model that takes each step."""


def model(**settings: Any) -> Model:
    return lstmcli.load(TENSORS, **settings)


def output(model: Model, *edits: str, **how: Any) -> Array:
    """What the head makes, by its own name."""
    trace = lstmcli.run(model, INDICES, layout="batch", edits=[*edits], **how)
    y = trace.y if trace.final_y is None else trace.final_y
    assert y is not None
    return np.asarray(y)


@pytest.mark.parametrize("edit", EACH)
def test_an_edit_of_the_head_or_the_front(edit: str) -> None:
    np.testing.assert_allclose(output(model(), edit), EACH[edit](), atol=1e-12)


def test_a_softmax_applied_twice() -> None:
    found = output(model(head="fc:softmax"), "head.softmax=twice")
    np.testing.assert_allclose(found, softmax(softmax(head(both()))), atol=1e-12)


def test_steps_of_a_head_of_one_output() -> None:
    loaded = model()
    assert loaded.head is not None
    last = replace(loaded, head=replace(loaded.head, steps="last"))
    np.testing.assert_allclose(output(last, "head.step=each"), head(both()), atol=1e-12)
    past = output(last, "head.step=past_end", lengths=LENGTHS)
    padded = [head(np.zeros(2 * H))] * B  # h past an end is 0
    of_whole = head(both()[:1, -1])[0]
    padded[0] = of_whole
    np.testing.assert_allclose(past, padded, atol=1e-12)


def test_the_settings_of_a_run_have_the_head_as_loaded() -> None:
    trace = lstmcli.run(
        model(head="fc:softmax"), INDICES, edits=["head.softmax=twice"], layout="batch"
    )
    assert trace.settings["head"] == "fc:softmax"


REFUSED = {
    "head.step=each": "head.step=each.*the head takes h of each step",
    "head.softmax=twice": "applied twice",
    "front.late=9": "indices of shape .7, 4. .steps, batch",
    "head.on=layer": "takes c, forward, backward or exchanged",
}


@pytest.mark.parametrize("edit", REFUSED)
def test_an_edit_that_does_not_fit_is_refused(edit: str) -> None:
    with pytest.raises(UserError, match=REFUSED[edit]):
        output(model(), edit)


def test_a_front_is_edited_of_indices_alone() -> None:
    with pytest.raises(UserError, match="the inputs are not indices of a front"):
        lstmcli.run(model(), TABLE[INDICES], edits=["front.index=1"], layout="batch")


def test_a_model_without_a_head_has_no_edits_of_it() -> None:
    with pytest.raises(UserError, match="the model has no head"):
        lstmcli.run(model(head="none"), INDICES, edits=["head.bias=none"])
