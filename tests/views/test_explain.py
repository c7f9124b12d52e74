"""Screens of explanations: nothing cut, full columns left out, every finding in words."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.explain.causes import COLUMNS
from lstmcli.core.explain.explanation import Alternatives, Changed, Explanation
from lstmcli.core.explain.wording import change_text, value_of
from lstmcli.views.explain import explanation_sheet
from lstmcli.views.sheet import Width
from tests.networks import pytorch
from tests.paths import TOP

SAMPLE = TOP / "samples" / "forget-bias"


def asked(expected: Any, **settings: Any) -> Explanation:
    return lstmcli.explain(
        str(SAMPLE / "weights.npz"),
        np.load(SAMPLE / "inputs.npy"),
        expected,
        **settings,
    )


@cache
def sample(name: str = "numpy.txt") -> Explanation:
    """The answer to the question of the sample."""
    return asked(str(SAMPLE / name))


def lines(explanation: Explanation, width: int | None = 80) -> list[str]:
    return list(explanation_sheet(explanation, "e.npy", width=Width.of(width)).rows())


@pytest.mark.parametrize("setting", COLUMNS)
def test_every_value_has_words(setting: str) -> None:
    for value in COLUMNS[setting]:
        shown = 0.5 if value == "solve" else value
        assert "{" not in change_text(Changed(setting, None, shown))
        assert value_of(setting, shown) != ""


def equivalent(explanation: Explanation) -> str:
    """The screen's line on configurations that fit as well."""
    text = " ".join(line.strip() for line in lines(explanation, None))
    return text.partition("other fits")[2]


@pytest.mark.parametrize("further", [{}, {"bias": "none"}], ids=str)
@pytest.mark.parametrize("start", [{}, {"h": 0.3, "c": 0.4}], ids=str)
def test_step_0_is_called_matching_only_where_it_matches(
    further: dict[str, Any], start: dict[str, float]
) -> None:
    """A forget bias hides behind a zero state, unless another change or a state shows there."""
    rng = np.random.default_rng(1)
    weights, x = pytorch(4, 3, scale=0.6, seed=1), rng.normal(size=(7, 4))
    state = {name: np.full(3, value) for name, value in start.items()} or None
    truth = {"forget_bias": 1.0, **further}
    h, loaded = (
        lstmcli.run(weights, x, initial_state=state, **settings).arrays["h"]
        for settings in (truth, {})
    )
    explanation = lstmcli.explain(weights, x, h, initial_state=state)
    assert {c.setting: c.found for c in explanation.changes} == truth
    said = [
        line for line in lines(explanation) if line.startswith("why step 0 matches")
    ]
    assert len(said) == bool(np.allclose(h[0], loaded[0]))
    assert ("state is zero" in explanation.words.hidden) == bool(said)


def test_a_gate_that_is_shut_has_any_forget_bias_below() -> None:
    explanation = sample()
    (change,) = explanation.changes
    shut = replace(change, found=-40.0)
    assert "any forget bias" in equivalent(replace(explanation, changes=(shut,)))
    assert "any forget bias" not in equivalent(explanation)


def test_no_data_are_asked_for_the_gates_of_a_bias_that_is_left_out() -> None:
    explanation = sample()
    (change,) = explanation.changes
    without = replace(change, setting="bias", found="none")
    unseen = Alternatives(unseen=("bias_gates",))
    alone = replace(explanation, changes=(without,), alternatives=unseen)
    assert explanation.words.decide
    assert not [
        line for line in lines(alone) if line.startswith(("to decide", "not testable"))
    ]
    equal = replace(unseen, equivalent=((change,),))
    for open_yet in ({"alternatives": equal}, {"verdict": "unproven"}):
        labels = [line[:9] for line in lines(replace(alone, **open_yet))]
        assert "to decide" in labels


def test_an_answer_in_half_precision_claims_no_uniqueness() -> None:
    explanation = sample()
    (change,) = explanation.changes
    half = replace(change, setting="dtype", found="bfloat16")
    unseen = Alternatives(unseen=("bias",))
    hidden = replace(explanation, changes=(half,), alternatives=unseen)
    assert "none with this number of changes" in equivalent(hidden)


def test_no_configuration_is_called_the_only_one() -> None:
    explanation = sample()
    assert explanation.unseen  # its biases are zero
    assert equivalent(explanation).startswith(
        "          none among those tested not testable here"
    )
    assert "none among those tested" in equivalent(
        replace(explanation, alternatives=Alternatives())
    )
