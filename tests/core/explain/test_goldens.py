"""Real frameworks' weights and outputs, read under a wrong setting: the right one is found.

The expected arrays are those of ``tests/golden``, recorded from the frameworks themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import Explanation
from lstmcli.core.model.model import Model
from lstmcli.errors import UserError
from lstmcli.formats import Document
from tests.core.explain.asking import Asking, found
from tests.recorded import read, recorded

Settings = dict[str, Any]
Arrays = dict[str, np.ndarray[Any, Any]]


def ask(
    case: str,
    wrong: Settings,
    only: tuple[str, ...] = (),
    instead: Arrays | None = None,
) -> tuple[Explanation, Model]:
    """The explanation of a case under wrong settings, and the model as it should be read."""
    return asking(case, wrong, only, instead).explain(), recorded(case).load()


def asking(
    case: str,
    wrong: Settings,
    only: tuple[str, ...] = (),
    instead: Arrays | None = None,
) -> Asking:
    """The question about a case under wrong settings.

    EXPECTED is the members of the case, those of ``only``, or ``instead``, which tells no layout.
    """
    one = recorded(case)
    expected = {
        name: array
        for name, array in one.arrays.items()
        if name not in ("inputs", "lengths", "mask")
        and not name.startswith("initial_state")
        and (not only or name in only)
    }
    layout = one.about["layout"]
    given = one.options() | wrong | one.started
    if layout != "steps":
        given["layout"] = layout
    side = Document(
        "EXPECTED", "npz", instead or expected, layout=None if instead else layout
    )
    return Asking(one.paths(Path())[0], one.arrays["inputs"], side, given)


def mistakes(model: Model) -> list[Settings]:
    how = model.convention
    soft = how.behaviour.recurrent_activation == "sigmoid"
    wrong: list[Settings] = [
        {"forget_bias": how.behaviour.forget_bias + 1},
        {"recurrent_activation": "hard_sigmoid_0.2" if soft else "sigmoid"},
    ]
    if len(how.storage.gates) == 4:
        wrong.append({"gates": "figo" if how.storage.gates != "figo" else "iofg"})
    return wrong


@pytest.mark.parametrize("members", [("h",), ("h", "final_h", "final_c")])
def test_a_backward_direction_that_was_not_reversed(members: tuple[str, ...]) -> None:
    explanation, _ = ask(
        "onnxruntime/bidirectional", {"layer0_reverse.reverse": False}, members
    )
    assert found(explanation) == {"layer0_reverse.reverse": True}
    assert [row.used_by for row in explanation.words.rows] == ["every framework"]


def test_last_states_of_only_the_top_layer_are_reported_as_such() -> None:
    """Y_h of the last ONNX node of two."""
    case = "torch/two_layers_bidirectional"
    explanation, _ = ask(case, {}, instead={"": read(case)[1]["final_h"][-2:]})
    assert explanation.verdict == "agrees"
    assert explanation.words.taken.endswith(
        "the last state of layer1 and layer1_reverse"
    )


@pytest.mark.slow
def test_widths_that_do_not_fit_both_directions_are_reported() -> None:
    _, arrays = read("torch/two_layers_bidirectional")
    width = arrays["h"].shape[-1] // 2
    forward, backward = arrays["h"][..., :width], arrays["h"][..., width:]
    explanation, _ = ask(
        "torch/two_layers_bidirectional", {}, instead={"": forward + backward}
    )
    assert explanation.verdict == "none", (
        "a sum is as wide as one direction, and is neither"
    )
    wider = np.concatenate([arrays["h"], forward[..., :1]], axis=-1)
    with pytest.raises(UserError) as told:
        ask("torch/two_layers_bidirectional", {}, instead={"": wider})
    assert "layer 1 takes" not in str(told.value)


@pytest.mark.parametrize("wrong", [{}, {"forget_bias": 0.6}])
@pytest.mark.sampled(2)
def test_halves_of_keras_in_the_other_order(wrong: Settings) -> None:
    h = read("keras/bidirectional_concat")[1]["h"]
    swapped = np.roll(h, h.shape[-1] // 2, axis=-1)
    explanation, _ = ask("keras/bidirectional_concat", wrong, instead={"h": swapped})
    assert found(explanation) == {
        "merge": "concat_swapped",
        **dict.fromkeys(wrong, 0.0),
    }
    assert any("halves swapped" in change.text for change in explanation.changes)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["full", "last valid", "final"])
@pytest.mark.parametrize(
    ("case", "ending"),
    [
        ("keras/mask", "repeat"),
        ("keras/bidirectional_mask", ""),
        ("paddle/lengths", ""),
        ("torch/packed_two_layers_bidirectional", ""),
    ],
)
def test_lengths_that_a_framework_was_given_are_found(
    case: str, ending: str, part: str
) -> None:
    _, arrays = read(case)
    h, lengths = arrays["h"], np.array([7, 3, 5, 1])
    finals = arrays["final_h"]
    finals = np.concatenate([*finals[-2:]], axis=-1) if finals.ndim == 3 else finals
    expected = {"full": h, "last valid": h[np.arange(4), lengths - 1], "final": finals}[
        part
    ]
    one = asking(case, {"gates": "figo"}, instead={"h": expected})
    given = {k: v for k, v in one.given.items() if k not in ("lengths", "mask")}
    explanation = one._replace(given=given | {"layout": "batch"}).explain()
    past_end = {"masked_output": ending} if ending and part == "full" else {}
    assert found(explanation) == {"gates": "ifgo", "lengths": (7, 3, 5, 1), **past_end}
