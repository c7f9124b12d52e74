"""From files to an explanation, and from an explanation to the command that gives EXPECTED."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.api.explain import asked_of, explain, question_of
from lstmcli.api.job import InputOptions
from lstmcli.core.explain.setups import setups
from tests.core.explain.asking import found
from tests.core.explain.reference import Net, outputs
from tests.networks import normal, pytorch
from tests.paths import TOP

SAMPLE = TOP / "samples" / "forget-bias"
WEIGHTS, INPUTS = str(SAMPLE / "weights.npz"), str(SAMPLE / "inputs.npy")


def test_settings_that_were_given_stay_in_the_command(tmp_path: Path) -> None:
    model = lstmcli.load(WEIGHTS, gates="iofg", activation="relu")
    trace = lstmcli.run(model, np.load(INPUTS))
    np.save(tmp_path / "e.npy", trace.h)
    given: Any = {"gates": "ifgo", "output_activation": "tanh"}
    explanation = explain(WEIGHTS, INPUTS, str(tmp_path / "e.npy"), **given)
    assert found(explanation) == {"gates": "iofg", "activation": "relu"}
    for words in ("--gates iofg", "--activation relu", "--output-activation relu"):
        assert words in explanation.command


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ((INPUTS, WEIGHTS, "numpy.txt"), f"({WEIGHTS!r}, {INPUTS!r}, 'numpy.txt')"),
        ((INPUTS, WEIGHTS, np.ones(3)), f"({WEIGHTS!r}, {INPUTS!r}, expected)"),
        ((WEIGHTS, None, np.ones(3)), f"({WEIGHTS!r}, inputs, expected)"),
    ],
    ids=["exchanged", "exchanged, an array", "no inputs"],
)
def test_files_in_the_wrong_place_are_typed_for_explain(given: Any, typed: str) -> None:
    with pytest.raises(lstmcli.UserError) as raised:
        lstmcli.explain(*given)
    assert str(raised.value).splitlines()[-1] == f"  explain{typed}"


def test_lengths_of_many_sequences_are_written_into_the_file_that_the_run_takes() -> (
    None
):
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(40, 7, 4)), rng.integers(2, 8, 40)
    h = lstmcli.run(lstmcli.load(WEIGHTS), x, layout="batch", lengths=lengths).h
    explanation = lstmcli.explain(WEIGHTS, x, h, layout="batch")
    assert explanation.found
    assert explanation.command.endswith("--lengths lengths.npy")
    assert f"numpy.save('lengths.npy', {lengths.tolist()})" in explanation.next.replace(
        "'\"'\"'", "'"
    )


@pytest.mark.parametrize("shape", [(7, 4), (8, 3), (2, 7, 3), (3, 3, 3, 3)])
def test_shapes_that_a_run_cannot_give_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(lstmcli.UserError, match="gives 3 values of h a step"):
        lstmcli.explain(WEIGHTS, np.load(INPUTS), np.ones(shape))


@pytest.mark.parametrize("settings", [{}, {"gates": "ifgo"}], ids=str)
def test_expected_with_nan_is_not_explained(settings: dict[str, Any]) -> None:
    """Show the settings of the finite values, and the command that looks at the first NaN."""
    x = np.load(INPUTS)
    expected = lstmcli.run(lstmcli.load(WEIGHTS, **settings), x).h.copy()
    expected[0, 3:, 1], expected[0, 5, 2] = np.nan, np.inf
    explanation = lstmcli.explain(WEIGHTS, x, expected)
    assert (explanation.verdict, explanation.found) == ("not_finite", False)
    assert found(explanation) == settings
    assert explanation.notes[0] == (
        "5 of 21 values of EXPECTED are NaN or infinite, from step 3 on."
    )
    assert "derive" in explanation.next
    assert "--steps 3 --units 1" in explanation.next
    expected[0, 2] += 0.1
    assert lstmcli.explain(WEIGHTS, x, expected, thorough=False).verdict == "none"


@pytest.mark.parametrize("directions", [1, 2])
def test_a_print_in_another_order_of_axes_agrees(
    directions: int, tmp_path: Path
) -> None:
    """ONNX's axes: (20, 2, 8, 16) of both directions; a sequence of one, (20, 1, 1, 16)."""
    weights = pytorch(3, 16, directions=directions)
    x = normal(8, 20, 3)
    h = np.asarray(lstmcli.run(weights, x, layout="batch").h).swapaxes(0, 1)
    shown = np.stack(np.split(h, directions, axis=-1), axis=1)[
        :, :, : 8 if directions > 1 else 1
    ]
    (tmp_path / "y.txt").write_text(f"{np.array2string(shown, threshold=10)}\n")
    found = lstmcli.explain(weights, x, tmp_path / "y.txt", layout="batch")
    assert found.verdict == "agrees"


@pytest.mark.parametrize("layout", ["batch", None])
def test_a_layout_makes_two_axes_of_expected_sequences(layout: str | None) -> None:
    """Of 6 sequences and 6 steps; without the layout it is one sequence first."""
    last, given = normal(6, 5), {"layout": layout} if layout else {}
    options = InputOptions(None, None, None)
    asked = asked_of(pytorch(3, 5), normal(6, 6, 3), last, options, given)
    setup = next(setups(question_of(asked.job, asked.side)))
    first, *_ = setup.located()[0]
    assert first.first.is_of_steps == (layout is None)


def test_a_setting_of_one_cell(tmp_path: Path) -> None:
    weights = str(TOP / "tests/golden/torch/two_layers.weights.npz")
    model = lstmcli.load(weights, **{"layer1.forget_bias": 2.0})
    assert [cell.convention.behaviour.forget_bias for _, cell in model.cells] == [
        0.0,
        2.0,
    ]
    assert model.settings()["layer1.forget_bias"] == 2.0
    with pytest.raises(
        lstmcli.UserError, match="there is no cell layer2; there is layer0, layer1"
    ):
        lstmcli.load(weights, **{"layer2.forget_bias": 2.0})
    with pytest.raises(
        lstmcli.UserError, match="layout is a setting of the model, not of layer1"
    ):
        lstmcli.load(weights, **{"layer1.layout": "time"})
    with pytest.raises(lstmcli.UserError, match="unknown setting"):
        lstmcli.load(weights, **{"layer1.forgetbias": 1.0})


@pytest.mark.parametrize("order", ["xh", "hx"])
def test_settings_that_weights_leave_open_are_searched(order: str) -> None:
    """Matrices of single gates [x; h] or [h; x], which no name or shape tells apart."""
    rng = np.random.default_rng(5)
    H, I, T = 3, 7, 6
    weights = {f"W{gate}": rng.normal(0, 0.5, (I + H, H)) for gate in "fico"}
    weights |= {f"b{gate}": rng.normal(0, 0.2, H) for gate in "fico"}
    x = rng.normal(size=(T, I))
    kernel, bias = (
        np.concatenate([weights[f"{k}{g}"] for g in "ifco"], axis=-1) for k in "Wb"
    )
    truth = {"gates": "ifgo", "forget_bias": 0.0, "rows": order}
    (expected,) = outputs(Net(kernel, bias), x[None], truth)["h"]
    explanation = lstmcli.explain(weights, x, expected)
    assert explanation.verdict == ("agrees" if order == "hx" else "found")
    assert [(c.setting, c.found) for c in explanation.changes] == [("rows", "xh")] * (
        order == "xh"
    )
    assert explanation.notes[0].endswith(
        "assumed and searched: row order of the kernel [h; x]."
    )
    assert explanation.command.endswith(f"--rows {order}")
    given = lstmcli.explain(weights, x, expected, rows=order)
    assert given.verdict == "agrees"
    assert not any("assumed and searched" in note for note in given.notes)


def test_progress_has_words_before_the_search_begins() -> None:
    """Of many placements, the weights as loaded alone may take seconds."""
    told: list[tuple[float, str]] = []
    expected = str(SAMPLE / "numpy.txt")
    explain(WEIGHTS, INPUTS, expected, progress=lambda *now: told.append(now))
    shares, words = zip(*told, strict=True)
    assert [*dict.fromkeys(words)] == ["weights as loaded", "one change"]
    assert 0 == shares[0] < shares[-1] <= 1
    assert [*shares] == sorted(shares)


def test_a_step_that_the_run_lacks_is_refused(tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text('{"step": 7, "h": [0.1, 0.2, 0.3]}\n')
    with pytest.raises(
        lstmcli.UserError, match=r"h contains steps 7:8; this run is \(7, 1, 3\)"
    ):
        lstmcli.explain(WEIGHTS, INPUTS, part)
