"""Mistakes of ports with a padded batch: each is named, with the command that gives its outputs.

Outputs are those of `reference`, a sequence by itself where padding is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lstmcli.api.explain import explain
from lstmcli.api.load import load
from lstmcli.api.run import run
from lstmcli.core.explain.clues import clues
from lstmcli.core.explain.verify import Agreement
from lstmcli.core.explain.wording import text_of
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.model.model import Inputs
from lstmcli.engines import find_engine
from lstmcli.errors import UserError
from lstmcli.views.explain import title as explanation_title
from tests.core.explain.asking import found
from tests.core.explain.networks import AS_STORED, network, write
from tests.core.explain.reference import random_net
from tests.recorded import GOLDEN, recorded

Array = np.ndarray[Any, Any]
B, T, I, H = 4, 9, 3, 5
LENGTHS = np.array([9, 4, 6, 7])
STEPS, ITEMS = np.arange(T), np.arange(B)
VALID = LENGTHS[:, None] > STEPS  # (B, T)
OTHERS = LENGTHS[[2, 0, 3, 1]]
LONGER = np.minimum(LENGTHS + 2, T)
FIRST = (
    STEPS - (T - LENGTHS)[:, None]
) % T  # the step that stands at each, padded at the start

Run = Callable[..., Array]
"""From inputs (B, T, I) to outputs (B, T, K), with ``reverse`` of a single direction."""


def _within(run: Run, x: Array, valid: Array, **how: Any) -> Array:
    """The outputs of each sequence's valid steps by themselves, zeros at the others."""
    h = np.zeros((*valid.shape, run(x).shape[-1]))
    for n, counts in enumerate(valid):
        if counts.any():
            h[n, counts] = run(x[n : n + 1, counts], **how)[0]
    return h


class Port(NamedTuple):
    """The outputs of a port, and the change to be found."""

    outputs: Callable[[Run, Array], Array]
    changes: dict[str, Any]
    command: str = ""
    note: str = ""
    sides: int = 1
    verdict: str = "found"


def _padded_first(x: Array) -> Array:
    return np.take_along_axis(x, FIRST[..., None], axis=1)


IGNORED = {"lengths": "ignored"}, "--set lengths=ignored"
PORTS = {
    "runs over padding": Port(lambda run, x: run(x), *IGNORED, sides=2),
    "takes the last step": Port(lambda run, x: run(x)[:, -1], *IGNORED),
    "starts backward in the padding": Port(
        lambda run, x: np.where(VALID[..., None], run(x), 0), *IGNORED, "At padded steps", 2
    ),
    "goes on for 2 steps": Port(
        lambda run, x: run(x)[ITEMS, LONGER - 1], {"lengths": tuple(LONGER)},
        "--lengths 9,6,8,9",
    ),
    "lengths of other sequences": Port(
        lambda run, x: _within(run, x, OTHERS[:, None] > STEPS), {"lengths": tuple(OTHERS)},
        "--lengths 6,9,7,4",
    ),
    "last states of other sequences": Port(
        lambda run, x: run(x)[ITEMS, OTHERS - 1], {"lengths": tuple(OTHERS)},
        "--lengths 6,9,7,4",
    ),
    "a mask of the wrong polarity": Port(
        lambda run, x: _within(run, x, ~VALID), {"lengths": "inverted"}, "--set lengths=inverted",
    ),
    "reversed within lengths": Port(
        lambda run, x: _within(run, x, VALID, reverse=True), {"reverse": True}, "--reverse",
    ),
    "reversed as a whole": Port(
        lambda run, x: run(x, reverse=True), {"reverse": True, **IGNORED[0]}, "--reverse",
    ),
    "padded at the start": Port(
        lambda run, x: run(_padded_first(x)), {"edit": "inputs.padding_first"},
        "--edit inputs.padding_first", "at the start, --mask does",
    ),
    "padded at the start, and masked": Port(
        lambda run, x: _within(run, _padded_first(x), VALID[:, ::-1]),
        {"edit": "inputs.padding_first=masked"}, "--edit inputs.padding_first=masked", sides=2,
    ),
    "other numbers past the ends": Port(
        lambda run, x: np.where(VALID[..., None], run(x), 7.0), {}, "",
        "At padded steps EXPECTED has other values", verdict="agrees",
    ),
}  # fmt: skip


ASKED = [  # edits are tried once settings do not fit
    pytest.param(name, marks=pytest.mark.slow if "edit" in port.changes else ())
    for name, port in PORTS.items()
]


@pytest.mark.parametrize("name", ASKED)
def test_a_port_s_mistake_with_padding_is_named(name: str, tmp_path: Path) -> None:
    port, rng = PORTS[name], np.random.default_rng(46)
    nets = [random_net(rng, I, H) for _ in range(port.sides)]
    weights = write(
        dict(zip(("l0", "l0_reverse"), nets, strict=False)), tmp_path / "w.npz"
    )
    x = rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64)
    x[~VALID] = 0

    def run(x: Array, **how: Any) -> Array:
        return network(nets, x, how, np.float64, port.sides)[0]

    expected = port.outputs(run, x).astype(np.float32)
    answer = explain(weights, x, expected, lengths=LENGTHS, layout="batch", **AS_STORED)
    assert (answer.verdict, found(answer)) == (port.verdict, port.changes)
    assert port.command in answer.command
    assert any(port.note in text for text in answer.notes) or not port.note


# ---- a mask that one layer forgets, as Keras ran it

PARTS: dict[str, Callable[[Array, Array], Array]] = {
    "whole": lambda h, mask: h,
    "last steps": lambda h, mask: h[:, -1],
    "last valid steps": lambda h, mask: h[np.arange(len(h)), mask.sum(axis=1) - 1],
}
SECOND_FORGETS = {"layer1.lengths": "ignored"}
BOTH_FORGET = {**SECOND_FORGETS, "layer1_reverse.lengths": "ignored"}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("case", ["forgotten", "forgotten_both"])
def test_a_mask_that_the_second_layer_forgets_is_named(case: str, part: str) -> None:
    path, one = (
        f"{GOLDEN}/keras_masking/{case}.keras",
        recorded(f"keras_masking/{case}"),
    )
    expected = PARTS[part](one.arrays["forgotten"], one.arrays["mask"])
    answer = explain(path, one.arrays["inputs"], expected)
    truth = SECOND_FORGETS if case == "forgotten" else BOTH_FORGET
    if (case, part) == ("forgotten", "last valid steps"):  # which do not show it
        truth = {}
    assert (answer.found, found(answer)) == (True, truth)
    assert all(f"--set {name}=ignored" in answer.command for name in truth)


@pytest.mark.parametrize(
    ("case", "truth"), [("forgotten", SECOND_FORGETS), ("forgotten_both", BOTH_FORGET)]
)
def test_a_run_in_which_the_second_layer_forgets_the_mask(
    case: str, truth: dict[str, Any]
) -> None:
    path, one = (
        f"{GOLDEN}/keras_masking/{case}.keras",
        recorded(f"keras_masking/{case}"),
    )
    trace = run(load(path, **truth), one.arrays["inputs"])
    np.testing.assert_allclose(trace.h, one.arrays["forgotten"], atol=1e-6)
    assert {k: v for k, v in trace.settings.items() if k in truth} == truth


def test_other_values_at_padded_steps_alone_are_the_headline(tmp_path: Path) -> None:
    path, one = (
        f"{GOLDEN}/keras_masking/forgotten.keras",
        recorded("keras_masking/forgotten"),
    )
    expected = np.where(one.arrays["mask"][..., None], one.arrays["h"], 7).astype("f4")
    port = str(tmp_path / "port.npy")
    np.save(port, expected)
    answer = explain(path, one.arrays["inputs"], port)
    assert (answer.verdict, answer.changes) == ("none", ())
    assert explanation_title(answer, "port.npy") == (
        "port.npy differs at padded steps, and nowhere else."
    )
    assert answer.next.endswith(f"-f npy -q | lstm diff - {port}")


@pytest.mark.parametrize(
    ("padded", "words"), [([1, 2], "which are those that are padded"), ([2], "carried")]
)
def test_sequences_that_differ_and_are_the_padded_ones_are_called_so(
    padded: list[int], words: str
) -> None:
    # last states of three sequences, of which the first agrees
    loaded = Agreement(9.0, 0.4, 0.2, 2, 6, None, items=(True, False, False))
    (hint,) = clues(loaded, padded=padded)
    assert words in text_of(hint)


def test_lengths_of_a_layer_are_a_word() -> None:
    path = f"{GOLDEN}/keras_masking/forgotten.keras"
    with pytest.raises(UserError, match="given, ignored or inverted"):
        load(path, **{"layer1.lengths": [7, 3, 5, 1]})


def test_lengths_of_a_layer_are_a_member_of_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    nets = {"l0": random_net(rng, I, H), "l1": random_net(rng, H, H)}
    arrays: dict[str, Any] = dict(np.load(write(nets, tmp_path / "w.npz")))
    arrays["layer1.lengths"] = "ignored"
    np.savez(tmp_path / "m.npz", **arrays)
    cells = load(str(tmp_path / "m.npz")).cells
    assert [cell.behaviour.lengths for _, cell in cells] == ["given", "ignored"]


def test_a_layer_inverts_the_mask_that_the_other_layer_uses(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    nets = [random_net(rng, I, H), random_net(rng, H, H)]
    x = rng.normal(size=(B, T, I))

    def run_of(net: Any) -> Run:
        return lambda x: network([net], x, {}, np.float64, 1)[0]

    first = _within(run_of(nets[0]), x, VALID)
    second = _within(run_of(nets[1]), first, ~VALID)
    weights = write(dict(zip(("l0", "l1"), nets, strict=True)), tmp_path / "w.npz")
    model = load(weights, dtype="float64", layout="batch", **AS_STORED,
                 **{"layer1.lengths": "inverted"})  # fmt: skip
    np.testing.assert_allclose(run(model, x, lengths=LENGTHS).h, second, atol=1e-12)


def test_an_engine_refuses_a_mask_that_some_layers_do_not_use() -> None:
    path, one = (
        f"{GOLDEN}/keras_masking/forgotten.keras",
        recorded("keras_masking/forgotten"),
    )
    inputs = Inputs(one.arrays["inputs"], "batch", mask=one.arrays["mask"])
    engine = find_engine("keras")
    _, of_all = engine.network(prepare(load(path), inputs))
    _, of_one = engine.network(prepare(load(path, **SECOND_FORGETS), inputs))
    assert (of_all, of_one) == ([], ["lengths or a mask that some layers do not use"])
