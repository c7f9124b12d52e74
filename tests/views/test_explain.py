"""What an explanation looks like: nothing cut, whole columns left out, every finding in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.explain.causes import COLUMNS
from lstmcli.core.explain.explanation import Changed, Explanation
from lstmcli.core.explain.wording import change_text, value_of
from lstmcli.views.explain import explanation_sheet, markdown
from lstmcli.views.sheet import Width
from tests.paths import TOP

SAMPLE = TOP / "samples" / "forget-bias"


def asked(expected: Any, **settings: Any) -> Explanation:
    return lstmcli.explain(
        str(SAMPLE / "weights.npz"), np.load(SAMPLE / "inputs.npy"), expected, **settings
    )


def lines(explanation: Explanation, width: int | None = 80) -> list[str]:
    return list(explanation_sheet(explanation, "e.npy", width=Width.of(width)).rows())


def test_found() -> None:
    shown = lines(asked(str(SAMPLE / "numpy.txt")))
    assert shown[0] == "✔ One change explains it: forget bias: 0, not +1"
    assert shown[1].startswith("  With this change, all 21 values of e.npy agree (printed to 8 ")
    labels = [line[:21].strip() for line in shown if line[:1].isalpha()]
    assert labels[2:] == [
        "why step 0 matches", "same as", "tested", "equivalent", "not testable here", "reproduce"
    ]  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_nothing_is_wider_than_the_terminal_but_the_command(width: int) -> None:
    for expected in (str(SAMPLE / "numpy.txt"), np.linspace(-0.5, 0.5, 21).reshape(7, 3)):
        for line in lines(asked(expected), width):
            if not line.startswith(("reproduce", "next")) and "nearest configurations" not in line:
                assert len(line) <= max(width, 62), line


def test_used_by_is_never_dropped() -> None:
    explanation = asked(str(SAMPLE / "numpy.txt"))
    who = explanation.rows[0].used_by
    for width in (40, 60, 80):
        assert who in " ".join(" ".join(lines(explanation, width)).split())


def test_what_is_assumed_goes_below_where_a_table_is_too_narrow() -> None:
    weights = str(TOP / "tests/golden/torch/two_layers_bidirectional.weights.npz")
    model = lstmcli.load(weights, **{"layer1_reverse.flip_output": True})
    x = np.random.default_rng(0).normal(size=(6, model.cell.inputs))
    explanation = lstmcli.explain(weights, x, lstmcli.run(model, x).h)
    shown = lines(explanation, 60)
    assert max(len(line) for line in shown if not line.startswith("reproduce")) <= 60
    assert "assumed  in the order of time" in shown
    assert explanation.rows[0].used_by in " ".join(" ".join(shown).split())


def test_two_changes_are_two_lines() -> None:
    model = lstmcli.load(str(SAMPLE / "weights.npz"), gates="ifgo", forget_bias=0.0)
    explanation = asked(lstmcli.run(model, np.load(SAMPLE / "inputs.npy")).h)
    shown = lines(explanation, None)
    assert shown[0].startswith(
        "✔ Two changes explain it: gates: i f g o, not i g f o; forget bias: 0"
    )
    assert any(line.startswith("gates         i g f o (tf1)") for line in shown)
    assert "keras" in " ".join(shown)
    text = markdown(explanation, "e.npy")
    assert "| gates | i g f o (tf1) | i f g o |" in text
    assert text.count("```") == 2


def test_none_says_what_was_tried_and_what_not() -> None:
    shown = " ".join(lines(asked(np.linspace(-0.5, 0.5, 21).reshape(7, 3))))
    assert "configurations tried gives e.npy." in shown
    assert "one, two or three changes at once" in shown
    assert "dropout and zoneout" in shown


def test_all_zero() -> None:
    shown = " ".join(lines(asked(np.zeros((7, 3)))))
    assert "zero throughout" in shown


@pytest.mark.parametrize("setting", COLUMNS)
def test_every_value_has_words(setting: str) -> None:
    for value in COLUMNS[setting]:
        shown = 0.5 if value == "solve" else value
        assert "{" not in change_text(Changed(setting, None, shown))
        assert value_of(setting, shown) != ""


def equivalent(explanation: Explanation) -> str:
    """What the screen says of configurations that fit as well, on one line."""
    text = " ".join(line.strip() for line in lines(explanation, None))
    return text.partition("equivalent")[2]


@pytest.mark.parametrize("further", [{}, {"bias": "none"}], ids=str)
@pytest.mark.parametrize("start", [{}, {"h": 0.3, "c": 0.4}], ids=str)
def test_step_0_is_said_to_match_only_where_it_does(
    further: dict[str, Any], start: dict[str, float]
) -> None:
    """A forget bias hides behind a zero state, unless another change or a state shows there."""
    rng = np.random.default_rng(1)
    shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (12, 4), "weight_hh_l0": (12, 3)}
    shapes |= {"bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    weights = {name: rng.normal(0, 0.6, shape) for name, shape in shapes.items()}
    x = rng.normal(size=(7, 4))
    state = {name: np.full(3, value) for name, value in start.items()} or None
    truth = {"forget_bias": 1.0, **further}
    h, loaded = (
        lstmcli.run(weights, x, initial_state=state, **settings).arrays["h"]
        for settings in (truth, {})
    )
    explanation = lstmcli.explain(weights, x, h, initial_state=state)
    assert {c.setting: c.found for c in explanation.changes} == truth
    said = [line for line in lines(explanation) if line.startswith("why step 0 matches")]
    assert len(said) == bool(np.allclose(h[0], loaded[0]))
    assert ("state is zero" in explanation.hidden) == bool(said)


def test_a_gate_that_is_shut_has_any_forget_bias_below() -> None:
    explanation = asked(str(SAMPLE / "numpy.txt"))
    (change,) = explanation.changes
    shut = replace(change, found=-40.0, sense="shut")
    assert "any forget bias" in equivalent(replace(explanation, changes=(shut,)))
    assert "any forget bias" not in equivalent(explanation)


def test_no_data_are_asked_for_the_gates_of_a_bias_that_is_left_out() -> None:
    explanation = asked(str(SAMPLE / "numpy.txt"))
    (change,) = explanation.changes
    without = replace(change, setting="bias", found="none")
    alone = replace(explanation, changes=(without,), unseen=("bias_gates",))
    assert explanation.decide
    assert not [line for line in lines(alone) if line.startswith(("to decide", "not testable"))]
    for open_yet in ({"equivalent": ((change,),)}, {"verdict": "unproven"}):
        labels = [line[:9] for line in lines(replace(alone, **open_yet))]
        assert "to decide" in labels


def test_no_configuration_is_called_the_only_one_where_some_cannot_be_tested() -> None:
    explanation = asked(str(SAMPLE / "numpy.txt"))
    assert explanation.unseen  # its biases are zero
    assert equivalent(explanation).startswith("           none of those tested not testable here")
    (change,) = explanation.changes
    of_no_bias = replace(change, setting="bias", found="none")
    alone = replace(explanation, changes=(of_no_bias,), unseen=("bias_gates",))
    assert "none of those tested" in equivalent(alone)


def test_weights_that_agree_as_loaded_say_what_was_assumed() -> None:
    shown = " ".join(lines(asked(str(SAMPLE / "tensorflow.txt")), None))
    assert "assumed              convention tf1 (--convention); forget bias +1.0" in shown
    assert "layout batch (--layout)" in shown
    known = asked(str(SAMPLE / "tensorflow.txt"), layout="batch", convention="tf1", forget_bias=1.0)
    assert not any(line.startswith("assumed") for line in lines(known))


def test_a_number_type_that_does_not_give_expected_is_no_agreement_as_loaded() -> None:
    expected = lstmcli.run(SAMPLE / "weights.npz", SAMPLE / "inputs.npy").h
    head = lines(asked(expected, dtype="float16"))[0]
    assert head.startswith("✔ Nothing has to be changed but the number type: in float64,")
    assert lines(asked(expected))[0].startswith("✔ Nothing has to be changed: as loaded,")


def test_of_other_units_than_the_first_nothing_is_said_as_loaded() -> None:
    h = lstmcli.run(str(SAMPLE / "weights.npz"), np.load(SAMPLE / "inputs.npy")).h
    found = asked(h[..., [2, 0]])
    shown = lines(found, width=None)
    assert shown[1] == f"  {found.notes[0]}"
    assert "Taken as units 2, 0 of the run" in shown[1]
    assert not any("as loaded" in line for line in shown)


def test_what_half_precision_hides_is_not_singled_out() -> None:
    explanation = asked(str(SAMPLE / "numpy.txt"))
    (change,) = explanation.changes
    assert "none of those tested" in equivalent(replace(explanation, unseen=()))
    half = replace(change, setting="dtype", found="bfloat16")
    hidden = replace(explanation, changes=(half,), unseen=("bias",))
    assert "none with as few changes" in equivalent(hidden)
