"""EXPECTED of a model's head: where it lies, and the causes behind and in front of the LSTM.

What is expected was recorded from frameworks, or is NumPy of
``tests/core/forward/test_head_edits.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli import formats
from lstmcli.api import load
from lstmcli.api.explain import Explanation, asked_of, explained
from lstmcli.api.job import InputOptions
from lstmcli.core.explain import comparison, report
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.comparison import Comparison
from lstmcli.core.explain.network_simulator import NetworkSimulator
from lstmcli.core.forward.head import head_output
from lstmcli.core.weights.surroundings import Surroundings
from tests.core.explain.whole_models import is_named, questions
from tests.core.forward.test_head_edits import (
    EACH,
    INDICES,
    TABLE,
    TENSORS,
    both,
    direction,
    head,
    softmax,
)
from tests.golden_models import recorded

CASES = (
    "keras_dense",
    "keras_directions_each",
    "keras_directions_last",
    "keras_masking",
    "keras_max_pooling",
    "keras_mean_pooling",
    "tf_keras_embedding_softmax",
    "torch_classifier_pt",
)


def asked(case: str, **given: Any) -> Explanation:
    weights, arrays, settings = recorded(case)
    y = arrays["y"] if "y" in arrays else arrays["final_y"]
    every = {"layout": "batch", **settings, **given}
    return lstmcli.explain(weights, arrays["inputs"], y, **every)


def changes(found: Explanation) -> dict[str, Any]:
    return {change.setting: change.found for change in found.changes}


@pytest.mark.parametrize("case", CASES)
def test_the_output_of_a_framework_agrees(case: str) -> None:
    assert asked(case).verdict == "agrees"


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting_of_the_cell_is_found_by_the_output(case: str) -> None:
    found = asked(case, forget_bias=1.0)
    assert found.verdict == "found"
    assert changes(found) == {"forget_bias": 0.0}


@pytest.mark.parametrize(
    ("case", "wrong", "right"),
    [
        ("torch_classifier_pt", "fc", "fc:softmax"),
        ("keras_two_dense", "dense_6,dense_7:softmax", "dense_6:relu,dense_7:softmax"),
    ],
)
def test_another_activation_is_the_setting_head(
    case: str, wrong: str, right: str
) -> None:
    assert changes(asked(case, head=wrong)) == {"head": right}
    both = asked(case, head=wrong, forget_bias=1.0)
    assert changes(both) == {"head": right, "forget_bias": 0.0}


def test_the_layout_of_inputs_with_a_mask_is_found() -> None:
    """A model's mask lies as its inputs do, so that it is right in either layout."""
    found = asked("keras_masking", layout="time")
    assert found.verdict == "found"
    assert changes(found) == {"layout": "batch"}


def test_lengths_are_searched_for_behind_two_directions_on_an_axis() -> None:
    """ONNX has h (T, 2, B, P): a head takes both last states side by side."""
    assert changes(asked("onnx_last_states", gates="ifog")) == {"gates": "iofg"}


@pytest.mark.parametrize(
    ("case", "edit"),
    [
        ("torch_last_states_pt", "head.step=states"),
        ("torch_pooled_pt", "outputs.pooled=mean"),
    ],
)
def test_the_steps_that_no_state_dict_tells_are_an_edit(case: str, edit: str) -> None:
    assert asked(case).edits == (edit,)


@pytest.mark.parametrize("edit", [one for one in EACH if "step=" not in one])
def test_a_cause_of_head_or_front_is_named(edit: str) -> None:
    expected = EACH[edit]().astype(np.float32)
    found = lstmcli.explain(TENSORS, INDICES, expected, layout="batch")
    assert found.verdict == "found"
    assert found.edits == (edit,)


def test_a_softmax_applied_twice_is_named() -> None:
    expected = softmax(softmax(head(both()))).astype(np.float32)
    found = lstmcli.explain(
        TENSORS, INDICES, expected, layout="batch", head="fc:softmax"
    )
    assert found.edits == ("head.softmax=twice",)


def in_float64(case: str) -> tuple[dict[str, Any], Any]:
    """The recorded weights of a PyTorch module and its inputs."""
    weights, arrays, _ = recorded(case)
    tensors = {}
    for name, array in formats.read(weights).arrays.items():
        tensors[name] = np.asarray(array, np.float64)
    return tensors, arrays["inputs"]


CLASSIFIER, WORDS = in_float64("torch_classifier_npz")
TAGGER, SERIES = in_float64("torch_tagger_pt")


def classified(
    x: Any = None, bias: float = 1.0, kernel: Any = None, of: int = 0
) -> Any:
    """What the classifier's layer gives at each step, before its softmax."""
    x = CLASSIFIER["emb.weight"][WORDS] if x is None else x
    kernel = CLASSIFIER["fc.weight"].T if kernel is None else kernel
    taken = direction(x, "", CLASSIFIER)[of]
    return head(taken, kernel, bias * CLASSIFIER["fc.bias"])


def pooled(h: Any) -> Any:
    return softmax(head(h, CLASSIFIER["fc.weight"].T, CLASSIFIER["fc.bias"]))


def embedded(indices: Any) -> Any:
    return softmax(classified(CLASSIFIER["emb.weight"][indices]))


def classifier_h() -> Any:
    return direction(CLASSIFIER["emb.weight"][WORDS], "", CLASSIFIER)[0]


OF_CLASSIFIER: dict[str, Callable[[], Any]] = {
    "head.softmax=twice": lambda: softmax(softmax(classified())),
    "head.softmax=time": lambda: softmax(classified(), 1),
    "head.softmax=batch": lambda: softmax(classified(), 0),
    "head.bias=none": lambda: softmax(classified(bias=0)),
    "head.kernel=transposed": lambda: softmax(
        classified(kernel=CLASSIFIER["fc.weight"].reshape(3, 9))
    ),
    "head.on=c": lambda: softmax(classified(of=1)),
    "outputs.pooled=mean": lambda: pooled(classifier_h().mean(axis=1)),
    "outputs.pooled=max": lambda: pooled(classifier_h().max(axis=1)),
    "front.index=1": lambda: embedded(np.minimum(WORDS + 1, 10)),
    "front.index=-1": lambda: embedded(WORDS - 1),
    "front.late=1": lambda: embedded(np.pad(WORDS, ((0, 0), (1, 0)))[:, :-1]),
    "front.scale=sqrt": lambda: softmax(
        classified(CLASSIFIER["emb.weight"][WORDS] * np.sqrt(8))
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", OF_CLASSIFIER)
def test_a_cause_is_named_with_recorded_weights(edit: str) -> None:
    weights, arrays, settings = recorded("torch_classifier_npz")
    expected = OF_CLASSIFIER[edit]().astype(np.float32)
    given = {"layout": "batch", **settings}
    found = lstmcli.explain(weights, arrays["inputs"], expected, **given)
    assert found.verdict == "found"
    assert found.edits == (edit,)


def test_another_activation_is_named_with_recorded_weights() -> None:
    weights, arrays, _ = recorded("torch_classifier_npz")
    expected = softmax(classified()).astype(np.float32)
    found = lstmcli.explain(
        weights, arrays["inputs"], expected, layout="batch", head="fc"
    )
    assert changes(found) == {"head": "fc:softmax"}


def tagged(forward: Any, backward: Any) -> Any:
    """What the tagger's two layers make of the h of both directions."""
    h = np.concatenate([forward, backward], axis=-1)
    first, second = "classifier.0", "classifier.3"
    inner = head(h, TAGGER[f"{first}.weight"].T, TAGGER[f"{first}.bias"])
    outer = TAGGER[f"{second}.weight"].T
    return head(np.maximum(inner, 0), outer, TAGGER[f"{second}.bias"])


OF_TAGGER: dict[str, Callable[[Any, Any], Any]] = {
    "head.on=forward": lambda forward, backward: tagged(forward, 0 * backward),
    "head.on=backward": lambda forward, backward: tagged(0 * forward, backward),
    "head.on=exchanged": lambda forward, backward: tagged(backward, forward),
    "head.step=states": lambda forward, backward: tagged(
        forward[:, -1], backward[:, 0]
    ),
}


@pytest.mark.parametrize("edit", OF_TAGGER)
def test_a_cause_of_two_directions_is_named_with_recorded_weights(edit: str) -> None:
    weights, arrays, settings = recorded("torch_tagger_pt")
    each = [direction(SERIES, end, TAGGER)[0] for end in ("", "_reverse")]
    expected = OF_TAGGER[edit](*each).astype(np.float32)
    given = {"layout": "batch", **settings}
    found = lstmcli.explain(weights, arrays["inputs"], expected, **given)
    assert found.edits == (edit,)


def past_ends() -> Any:
    """A y of each sequence, of which the first alone is not padded: h is 0 past an end."""
    y = np.tile(softmax(CLASSIFIER["fc.bias"]), (len(WORDS), 1))
    y[0] = pooled(classifier_h()[0, -1])
    return y


OF_GRAPH: dict[str, tuple[Callable[[], Any], Any]] = {
    "head.step=first": (lambda: pooled(classifier_h()[:, 0]), None),
    "head.step=each": (lambda: pooled(classifier_h()), None),
    "head.step=past_end": (past_ends, [7, 3, 5, 2]),
}
"""By edit, y of the same weights in a graph that takes the last step; and lengths."""


@pytest.mark.parametrize("edit", OF_GRAPH)
def test_other_steps_than_those_of_a_graph_are_named(edit: str) -> None:
    weights, arrays, _ = recorded("onnx_classifier")
    of_edit, lengths = OF_GRAPH[edit]
    expected = of_edit().astype(np.float32)
    given = {"layout": "batch", "lengths": lengths}
    found = lstmcli.explain(weights, arrays["inputs"], expected, **given)
    assert found.edits == (edit,)


def test_a_step_past_the_end_is_named_of_two_directions() -> None:
    """Of a graph that takes both last states, where a program has ``out[:, -1]``."""
    tensors, series = in_float64("torch_last_states_pt")
    each = [direction(series, end, tensors)[0][0, -1] for end in ("", "_reverse")]
    bias = tensors["fc.bias"]
    expected = np.tile(bias, (len(series), 1))  # h is 0 past an end
    expected[0] = head(np.concatenate(each), tensors["fc.weight"].T, bias)
    weights, arrays, _ = recorded("onnx_last_states")
    found = lstmcli.explain(
        weights,
        arrays["inputs"],
        expected.astype(np.float32),
        layout="batch",
        lengths=[7, 3, 5, 2],
    )
    assert found.edits == ("head.step=past_end",)


@pytest.mark.parametrize("name", ["y", "logits", "predictions", "output_0", "y_val"])
def test_the_output_has_the_names_of_programs(name: str, tmp_path: Path) -> None:
    expected = head(both()).astype(np.float32)
    members: Any = {name: expected}
    np.savez(tmp_path / "y.npz", **members)
    found = lstmcli.explain(TENSORS, INDICES, tmp_path / "y.npz", layout="batch")
    assert found.verdict == "agrees"
    assert found.compared.expected is not None
    assert [*found.compared.expected.arrays] == ["y"]


SQUARE = {
    "lstm.weight_ih_l0": TENSORS["lstm.weight_ih_l0"],
    "lstm.weight_hh_l0": TENSORS["lstm.weight_hh_l0"],
    "lstm.bias_ih_l0": TENSORS["lstm.bias_ih_l0"],
    "lstm.bias_hh_l0": TENSORS["lstm.bias_hh_l0"],
    "fc.weight": TENSORS["fc.weight"][:3, :3],
    "fc.bias": TENSORS["fc.bias"][:3],
}


def test_where_h_is_as_wide_as_y_it_is_either() -> None:
    x = TENSORS["emb.weight"][INDICES]
    h, _ = direction(x, "")
    y = head(h, SQUARE["fc.weight"].T, SQUARE["fc.bias"])
    for name, array in (("h", h), ("y", y)):
        found = lstmcli.explain(
            SQUARE, x, array.astype(np.float32), layout="batch", head="fc"
        )
        assert found.verdict == "agrees"
        assert found.compared.expected is not None
        assert [*found.compared.expected.arrays] == [name]


def test_what_no_output_shows_is_not_testable() -> None:
    """A head that leaves out a part of h shows nothing of what makes it."""
    expected = np.broadcast_to(TENSORS["fc.bias"], (4, 7, 6))
    of_none = {k: array for k, array in TENSORS.items() if "reverse" not in k}
    of_none["fc.weight"] = np.zeros((6, 3))
    found = lstmcli.explain(of_none, INDICES, expected, layout="batch")
    assert found.verdict == "agrees"
    assert {"gates", "forget_bias", "reverse", "state"} <= {*found.unseen}
    kernel = TENSORS["fc.weight"].copy()
    kernel[:, 3:] = 0  # the backward direction
    forward, _ = direction(TENSORS["emb.weight"][INDICES], "")
    y = head(forward, kernel[:, :3].T, TENSORS["fc.bias"])
    of_forward = {**TENSORS, "fc.weight": kernel}
    found = lstmcli.explain(of_forward, INDICES, y, layout="batch", forget_bias=1.0)
    assert changes(found) == {"forget_bias": 0.0}
    assert found.unseen == ("layer0_reverse",)


@pytest.mark.parametrize("case", ["torch_forecaster_pt", "onnx_forecaster"])
def test_one_number_of_each_sequence_proves_together(case: str) -> None:
    """Each of the four by itself is too few, among a hundred configurations."""
    found = asked(case, forget_bias=1.0)
    assert found.verdict == "found"
    assert changes(found) == {"forget_bias": 0.0}
    both = asked(case, forget_bias=1.0, bias="none")
    assert both.verdict == "found"
    assert len(changes(both)) == 2


@pytest.mark.parametrize("wrong", [{"layout": "time"}, {"forget_bias": 1.0}])
def test_numbers_that_are_sure_are_not_asked_for_other_fits(
    wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each other fit is a full run: of hundreds, these took longer than the search."""
    asked_for: list[Any] = []

    def rivals(*given: Any) -> tuple[()]:
        asked_for.append(given)
        return ()

    monkeypatch.setattr(report, "rivals", rivals)
    found = asked("tf_keras_embedding_softmax", **wrong)
    assert found.verdict == "found"
    assert not asked_for


@pytest.mark.parametrize("shape", [(4,), (7,), (28,)])
def test_numbers_of_one_output_are_not_a_part_of_h(shape: tuple[int, ...]) -> None:
    """As many as sequences, or as steps, and not as units: of h there are 3."""
    one = {**TENSORS, "fc.weight": TENSORS["fc.weight"][:1], "fc.bias": np.zeros(1)}
    noise = np.random.default_rng(3).normal(size=shape)
    given = {"layout": "batch"}
    question = asked_of(one, INDICES, noise, InputOptions(), given)
    found = explained(question, WorkDone(0.01))
    assert found.verdict == "none"
    assert found.compared.expected is not None
    assert [*found.compared.expected.arrays] == ["y"]
    # of a head that no file tells, the activation may be another
    assert "head_assumed" in [one.code for one in found.remarks]


def test_without_a_head_an_array_of_its_name_is_h(tmp_path: Path) -> None:
    cell = {name: array for name, array in SQUARE.items() if "lstm" in name}
    x = TENSORS["emb.weight"][INDICES]
    h, _ = direction(x, "")
    np.savez(tmp_path / "y.npz", y=h.astype(np.float32))
    found = lstmcli.explain(cell, x, tmp_path / "y.npz", layout="batch")
    assert found.verdict == "agrees"
    assert found.compared.expected is not None
    assert [*found.compared.expected.arrays] == ["h"]


def test_a_file_of_an_lstm_alone_is_not_searched_for_a_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`explain` reads a model again for each configuration."""
    searched: list[Any] = []

    def searched_for(chain: Any, given: Any) -> Surroundings:
        searched.append(chain)
        return Surroundings()

    monkeypatch.setattr(load, "find_surroundings", searched_for)
    cell = {name: array for name, array in SQUARE.items() if "lstm" in name}
    x = TABLE[INDICES]
    h, _ = direction(x, "")
    found = lstmcli.explain(cell, x, h, layout="batch", forget_bias=1.0)
    assert changes(found) == {"forget_bias": 0.0}
    assert not searched


def test_the_head_is_applied_to_distinct_runs_at_compared_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not to each hypothesis at each step: it would take longer than the steps themselves.

    EXPECTED is (4, 9): of 4 sequences, or the steps of one of them; a run has 7.
    """
    most: list[int] = []  # rows of h that a comparison needs
    taken: list[int] = []  # rows of h that it gave to the head
    of_head = Comparison._of_head
    off_from_last = NetworkSimulator._off_from_last
    output = head_output

    def compared(self: Any, runs: Any, target: Any) -> Any:
        which = [runs[name][1].tolist() for name in self.layers[-1]]
        distinct_runs = len({*zip(*which, strict=True)})
        most.append(distinct_runs * len({*target.at[0].tolist()}))
        taken.append(0)
        return of_head(self, runs, target)

    def from_last(self: Any, sets: Any, steps: int, *of_sets: Any) -> Any:
        most.append(len(sets) * steps)
        taken.append(0)
        return off_from_last(self, sets, steps, *of_sets)

    def counted(given: Any, h: Any) -> Any:
        if taken and h.ndim == 3:
            taken[-1] += h.shape[0] * h.shape[1]
        return output(given, h)

    monkeypatch.setattr(Comparison, "_of_head", compared)
    monkeypatch.setattr(NetworkSimulator, "_off_from_last", from_last)
    monkeypatch.setattr(comparison, "head_output", counted)
    found = asked("torch_classifier_pt", forget_bias=1.0)  # the last step of each
    assert changes(found) == {"forget_bias": 0.0}
    assert max(taken) > 0
    assert all(rows <= needed for rows, needed in zip(taken, most, strict=True))


def test_words_read_backwards_are_one_change() -> None:
    """Of the same model over reversed words, as recorded, which processes them in that order."""
    weights, arrays, settings = recorded("keras_embedding_softmax")
    x, y = arrays["inputs"], arrays["final_y"]
    found = lstmcli.explain(weights, x[:, ::-1], y, layout="batch", **settings)
    assert found.verdict == "found"
    assert changes(found) == {"go_backwards": True}


@pytest.mark.parametrize("case", ["keras_embedding_softmax", "torch_tagger_pt"])
def test_a_transposed_output_is_found(case: str) -> None:
    """(K, B) or (B, K, T), as of a program that has the outputs before the rest."""
    weights, arrays, settings = recorded(case)
    y = arrays["y"] if "y" in arrays else arrays["final_y"]
    found = lstmcli.explain(
        weights, arrays["inputs"], np.swapaxes(y, -1, -2), layout="batch", **settings
    )
    assert found.verdict == "agrees"


@pytest.mark.slow
@pytest.mark.parametrize("case", ["keras_stack_time_distributed", "keras_masking"])
def test_mistakes_of_recorded_models_are_named(case: str) -> None:
    """Each single one, whole and printed; `whole_models` counts pairs and all models."""
    for question in questions(case, most=1):
        for digits in (None, 6):
            answer = question.ask(digits)
            # of lengths, edits of the padding fit as well where numbers are few
            kinds = {mistake.name for mistake in question.mistakes}
            is_open = kinds == {"lengths"} and answer.verdict == "unproven"
            named = is_open or is_named(question, answer)
            assert named, (question.mistakes, digits, answer)


OF_TWO_DIRECTIONS = [
    ("bias", "late"),
    ("layout", "carried"),
    ("late", "carried"),
    ("late", "state"),
]


@pytest.mark.slow
@pytest.mark.parametrize("names", OF_TWO_DIRECTIONS)
def test_two_mistakes_are_named_of_two_directions(names: tuple[str, str]) -> None:
    """A late input or a carried state is found next to a setting, a layout or another edit."""
    every = questions("keras_directions_each", most=2, least=2)
    asked_ones = [one for one in every if tuple(m.name for m in one.mistakes) == names]
    assert [is_named(one, one.ask()) for one in asked_ones] == [True]
