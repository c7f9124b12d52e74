"""EXPECTED that no configuration gives is refused: a false cause is worse than none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import Explanation, explain
from lstmcli.api.load import load
from lstmcli.api.run import run
from lstmcli.errors import UserError
from tests.core.explain import reference
from tests.core.explain.asking import Asking, Cell, printed, write
from tests.core.explain.reference import outputs, random_net
from tests.paths import TESTS

Array = np.ndarray[Any, Any]

KINDS = (
    "random",
    "near miss",
    "zoneout",
    "dropout",
    "other net",
    "zeros",
    "one number wrong",
)


def spoiled(kind: str, h: Array, x: Array, rng: np.random.Generator) -> Array:
    """Outputs (B, T, H) of a right run, made into something that no reading gives."""
    if kind == "random":
        noise: Array = np.tanh(rng.normal(0, 0.5, h.shape))
        return noise
    if kind == "near miss":
        return h + rng.normal(0, 1e-3, h.shape)
    if kind == "dropout":
        kept = np.asarray(rng.random(h.shape) > 0.2)
        kept[0, 0, 0] = False
        dropped: Array = h * kept / 0.8
        return dropped * rng.normal(1, 0.05, h.shape)  # with one factor it is an edit
    if kind == "zoneout":  # some units keep their last h
        h = h.copy()
        for t in range(1, h.shape[1]):
            held = rng.random(h.shape[2]) < 0.3
            held[t % h.shape[2]] = True
            h[:, t, held] = h[:, t - 1, held]
        return h
    if kind == "other net":
        return outputs(random_net(rng, x.shape[2], h.shape[2]), x, {})["h"]
    if kind == "one number wrong":
        h = h.copy()
        h[-1, -1, -1] += 0.1
        return h
    return np.zeros_like(h)


def ask(
    kind: str,
    folder: Path,
    seed: int,
    units: int = 3,
    steps: int = 7,
    form: str = "float32",
) -> Explanation:
    return asking(kind, folder, seed, units, steps, form).explain()


def asking(
    kind: str,
    folder: Path,
    seed: int,
    units: int = 3,
    steps: int = 7,
    form: str = "float32",
) -> Asking:
    cell = Cell(folder, [seed, units, steps], units, steps, 2 if units > 1 else 1)
    expected: Any = spoiled(kind, cell.run()["h"], cell.x, cell.rng).astype(np.float32)
    if form == "4 digits":
        expected = printed(expected, 4, folder / "expected.txt")
    return cell.asking(expected)


@pytest.mark.parametrize("kind", ["random", "dropout", "one number wrong", "zeros"])
@pytest.mark.usefixtures("without_edits")
@pytest.mark.sampled(3)
def test_unrelated_or_damaged_outputs_are_not_explained(
    kind: str, tmp_path: Path
) -> None:
    explanation = ask(kind, tmp_path, 0)
    assert explanation.verdict == "none"
    assert not explanation.found
    assert not explanation.changes
    assert not explanation.command
    assert explanation.measured is not None
    if kind == "one number wrong":
        assert explanation.measured.agreeing == explanation.measured.total - 1
    if kind != "zeros":
        assert (
            explanation.tried > 30_000
        )  # all pairs, and triples of what frameworks do
        assert any("no framework uses" in one for one in explanation.not_tried)
        assert explanation.nearest
        assert explanation.not_tried


@pytest.mark.slow
def test_zeros_and_rows_hint_at_what_happened(tmp_path: Path) -> None:
    explanation = ask("dropout", tmp_path, 0)
    assert any("exact zeros" in remark for remark in explanation.notes)
    assert not any(
        "exact zeros" in remark for remark in ask("random", tmp_path, 0).notes
    )


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    cell = Cell(tmp_path, 0)
    h = cell.run()["h"]
    cell.net.bias[0] = np.inf
    with pytest.raises(
        UserError, match="the bias of layer0 has NaN or infinite values, 1 in all"
    ):
        cell.explain(h)


@pytest.mark.usefixtures("without_edits")
def test_every_member_of_expected_is_compared_or_named(tmp_path: Path) -> None:
    cell = Cell(tmp_path, 0)
    h = cell.run()["h"]
    with pytest.raises(
        UserError, match=r"layer0\.h.*\n.*\n  Its arrays have to be of one run"
    ):
        cell.explain({"h": h, "layer0.h": h + 1})
    assert cell.explain({"layer0.h": np.cumsum(h, axis=1)}).verdict == "none"
    explanation = cell.explain({"h": h, "logits": h[..., 0], "layer1.h": h})
    assert explanation.verdict == "agrees"
    assert explanation.notes[0].endswith("were not compared: layer1.h and logits.")


def test_thorough_is_true_or_false() -> None:
    with pytest.raises(UserError, match="thorough is a str; it takes True or False"):
        explain("w.npz", None, "expected.npy", thorough="yes")  # type: ignore[arg-type]


def near_tanh(z: Array) -> Array:
    """tanh as a continued fraction, cut short, and bounded where no program bounds it."""
    z = np.clip(z, -2.7, 2.7)
    quotient: Array = z * (945 + 105 * z**2 + z**4) / (945 + 420 * z**2 + 15 * z**4)
    return quotient


@pytest.mark.parametrize(
    "truth", [{}, {"forget_bias": 0.0}, {"recurrent_gates": "ifgo"}]
)
@pytest.mark.slow
def test_an_approximated_tanh_is_not_a_setting(
    truth: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A usual mistake of a port to C."""
    monkeypatch.setitem(reference.ACTIVATIONS, "tanh", near_tanh)
    cell = Cell(tmp_path, 3, scale=0.8)
    explanation = cell.explain(cell.run(truth)["h"])
    assert explanation.verdict == "none"
    (remark,) = (
        one for one in explanation.notes if "an approximated tanh or exp" in one
    )
    read = {c.setting: c.found for c in explanation.nearest[0].changes}
    assert read == truth
    assert remark.startswith("With" if truth else "As loaded")
    assert not any("from sequence to sequence" in one for one in explanation.notes)


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (3e-6, "within_tolerance"),
        (1e-3, "size_of_half_precision"),
        (1e-2, "noise"),
        (0.3, "layout_assumed"),
    ],
)
@pytest.mark.slow
def test_noise_on_the_outputs_of_the_right_weights(
    size: float, code: str, tmp_path: Path
) -> None:
    """Neither a layout nor a setting is doubted where the outputs are off by little everywhere."""
    cell = Cell(tmp_path, [4, int(size * 1e4)])
    h = cell.run()["h"]
    off = cell.rng.normal(0, size, h.shape)
    explanation = cell.explain((h + off).astype(np.float32))
    assert explanation.verdict == "none"
    (remark,) = explanation.remarks
    assert remark.code == code
    assert ("noise" in remark.text) == (code in ("size_of_half_precision", "noise"))
    if code == "noise":
        decibels = 10 * np.log10(np.square(h + off).sum() / np.square(off).sum())
        assert remark.facts["decibels"] == pytest.approx(decibels, abs=0.01)


@pytest.mark.slow
def test_an_array_that_is_all_wrong_is_not_noise_next_to_one_that_is_near(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(6)
    net = random_net(rng, 4, 5)
    net.bias[:] += np.repeat([5.0, 5.0, 5.0, 0.0], 5)  # i, g and f are open: c grows
    x = rng.normal(0, 0.3, size=(2, 60, 4)).astype(np.float32).astype(np.float64)
    arrays = outputs(net, x, {}, dtype=np.float32)
    c = arrays["c"] + rng.normal(0, 0.1, arrays["c"].shape)
    h = rng.normal(0, 0.3, c.shape)
    weights = write(net, tmp_path / "w.npz", 4)
    for expected, is_noise in (({"c": c}, True), ({"h": h, "c": c}, False)):
        explanation = explain(weights, x, expected)
        assert explanation.verdict == "none"
        assert ("noise" in [one.code for one in explanation.remarks]) == is_noise


def noisy(h: Array, where: Any, rng: np.random.Generator) -> Array:
    """Outputs with noise at some steps and sequences."""
    noisy = h.copy()
    noisy[where] += rng.normal(0, 0.01, noisy[where].shape).astype(np.float32)
    return noisy


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ((slice(None), slice(4, None)), "Steps 0 to 3 agree, steps 4 to 6 do not."),
        ((slice(None), 2), "Steps 0, 1, 3, 4, 5, 6 agree, step 2 does not."),
        ((slice(1, None), slice(3, None)), "from step 3 on: are they padded?"),
    ],
    ids=["from a step on", "one step", "sequences that go wrong"],
)
@pytest.mark.slow
def test_the_part_of_outputs_that_agrees_is_named(
    where: Any, said: str, tmp_path: Path
) -> None:
    cell = Cell(tmp_path, 0, units=3)
    explanation = cell.explain(noisy(cell.run()["h"], where, cell.rng))
    assert any(note.endswith(said) for note in explanation.notes), explanation.notes
    assert not any("carried" in note for note in explanation.notes)


BOTH = str(TESTS / "golden" / "onnxruntime" / "bidirectional.weights.npz")


def of_both(
    rng: np.random.Generator, steps: int, rows: int, **settings: Any
) -> tuple[Array, dict[str, Array]]:
    """Inputs, and h of each of two directions under settings."""
    x = rng.normal(size=(steps, rows, load(BOTH).cell.inputs))
    trace = run(load(BOTH, **settings), x, layout="time")
    return x, {
        name: trace.time_major(name) for name in ("layer0.h", "layer0_reverse.h")
    }


@pytest.mark.slow
def test_the_direction_that_agrees_is_named() -> None:
    """The figures are of the whole output: nothing comes nearer to the other direction."""
    rng = np.random.default_rng(0)
    x, h = of_both(rng, 9, 3)
    h["layer0_reverse.h"] = h["layer0_reverse.h"] + rng.normal(
        0, 0.01, h["layer0.h"].shape
    )
    explanation = explain(BOTH, x, h, layout="time")
    assert explanation.verdict == "none"
    assert explanation.measured is not None
    assert explanation.measured.first is not None
    assert explanation.measured.first.array == "layer0_reverse.h"
    half = h["layer0.h"].size
    assert (explanation.measured.agreeing, explanation.measured.total) == (
        half,
        2 * half,
    )
    assert [near.changes for near in explanation.nearest] == [()]


@pytest.mark.parametrize("size", [0.02, 0.3])
@pytest.mark.slow
def test_noise_on_both_directions_has_no_nearest(size: float) -> None:
    """Figures are of the full output, and what is nearer by chance is not named."""
    rng = np.random.default_rng(4)
    x, h = of_both(rng, 3, 1)
    h = {name: array + rng.normal(0, size, array.shape) for name, array in h.items()}
    explanation = explain(BOTH, x, h, layout="time")
    assert explanation.verdict == "none"
    assert explanation.measured is not None
    assert explanation.measured.total == sum(array.size for array in h.values())
    assert [near.changes for near in explanation.nearest] == [()]


@pytest.mark.slow
def test_clearly_nearer_rearrangements_have_figures_of_the_full_array() -> None:
    """A forget bias in both directions, and noise beside it."""
    rng = np.random.default_rng(4)
    x, h = of_both(rng, 5, 2, forget_bias=2.0)
    h = {name: array + rng.normal(0, 0.01, array.shape) for name, array in h.items()}
    (nearest, loaded) = explain(BOTH, x, h, layout="time").nearest
    assert {c.setting: c.found for c in nearest.changes} == {"forget_bias": 1.0}
    assert (
        nearest.comparison.total
        == loaded.comparison.total
        == sum(a.size for a in h.values())
    )
    assert nearest.comparison.rms < 0.5 * loaded.comparison.rms


@pytest.mark.slow
def test_a_step_of_zeros_is_not_dropout(tmp_path: Path) -> None:
    """The first step of EXPECTED was never written."""
    cell = Cell(tmp_path, 0, units=3)
    h = cell.run()["h"]
    h[:, 0] = 0
    explanation = cell.explain(h)
    assert explanation.verdict == "none"
    assert "Steps 1 to 6 agree, step 0 does not." in explanation.notes
    assert not any("dropout" in note for note in explanation.notes)


@pytest.mark.slow
def test_the_nearest_are_listed_with_where_they_leave(tmp_path: Path) -> None:
    explanation = ask("near miss", tmp_path, 2)
    first = explanation.nearest[0]
    assert not first.changes, "the truth itself comes nearest"
    assert first.comparison.rms < 2e-3
    assert first.comparison.first is not None
    assert first.comparison.first.step == 0
