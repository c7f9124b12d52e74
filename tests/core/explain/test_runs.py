"""Right weights that the other side ran otherwise: in chunks, from a left-over state, padded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.api.explain import Explanation, explain
from lstmcli.errors import UserError
from lstmcli.views.explain import details, title
from tests.core.explain.asking import write
from tests.core.explain.reference import Net, outputs, random_net

Array = np.ndarray[Any, Any]
B, T, I, H = 3, 9, 4, 5
LENGTHS = (9, 4, 6)


def _net() -> tuple[Net, Array, Array]:
    rng = np.random.default_rng(17)
    net = random_net(rng, I, H)
    x = rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64)
    return net, x, outputs(net, x, {})["h"]


def _asked(
    folder: Path, net: Net, x: Array, expected: Array, **given: Any
) -> Explanation:
    return explain(
        write(net, folder / "w.npz", I), x, expected.astype(np.float32), **given
    )


def _chunks(net: Net, x: Array, starts: tuple[int, ...], carried: str) -> Array:
    """Runs from each start to the next; of the state only what is named is carried on."""
    parts, state = [], {"h": np.zeros((B, H)), "c": np.zeros((B, H))}
    for start, end in zip((0, *starts), (*starts, T), strict=True):
        got = outputs(net, x[:, start:end], {}, (state["h"], state["c"]))
        parts.append(got["h"])
        last: Mapping[str, Array] = {k: got[k][:, -1] for k in "hc"}
        state = {k: last[k] if k in carried else np.zeros((B, H)) for k in "hc"}
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    ("starts", "carried", "edit"),
    [
        ((4, 8), "", "state.chunks=4"),
        ((3, 6), "h", "state.chunks.c=3"),
        ((5,), "c", "state.chunks.h=5"),
        ((2, 7), "", "state.anew=2,7"),
    ],
)
def test_a_state_that_is_not_carried_from_chunk_to_chunk_is_found(
    starts: tuple[int, ...], carried: str, edit: str, tmp_path: Path
) -> None:
    net, x, _ = _net()
    expected = _chunks(net, x, starts, carried)
    found = _asked(tmp_path, net, x, expected)
    assert (found.edits, found.remarks[-1].code) == ((edit,), "chunks")
    model = lstmcli.load(tmp_path / "w.npz", edits=[edit])
    np.testing.assert_allclose(lstmcli.run(model, x).h, expected, atol=2e-6)
    if not carried and starts[-1] < T - 1:  # of the last state, the last start shows
        last = _asked(tmp_path, net, x, expected[:, -1])
        assert last.edits == (f"state.anew={starts[-1]}",)


@pytest.mark.slow
def test_a_state_that_another_run_left_is_found(tmp_path: Path) -> None:
    net, x, _ = _net()
    first = outputs(net, x, {})
    again = outputs(net, x, {}, (first["h"][:, -1], first["c"][:, -1]))["h"]
    found = _asked(tmp_path, net, x, again)
    assert (found.edits, found.remarks[-1].code) == (("state.kept",), "resumed")


def _with_the_last(h: Array) -> Array:
    at = np.minimum(np.arange(T), np.array(LENGTHS)[:, None] - 1)  # (B, T)
    return np.take_along_axis(h, at[:, :, None], axis=1)


@pytest.mark.slow
def test_lengths_are_solved_for_if_each_sequence_has_numbers_enough(
    tmp_path: Path,
) -> None:
    net, x, h = _net()
    last = h[np.arange(B), np.array(LENGTHS) - 1]  # (B, H)
    last[1] += 0.01  # met by no step
    assert _asked(tmp_path, net, x, last, layout="batch").verdict == "none"


def test_values_past_a_length_are_assumed_as_for_lengths(tmp_path: Path) -> None:
    net, x, h = _net()
    names = {
        "kernel": net.kernel[:I],
        "recurrent_kernel": net.kernel[I:],
        "bias": net.bias,
    }
    held: dict[str, Any] = {
        name: array.astype(np.float32) for name, array in names.items()
    }
    np.savez(tmp_path / "keras.npz", **held)
    expected = _with_the_last(h).astype(np.float32)
    given: dict[str, Any] = {"gates": "igfo", "forget_bias": 1.0, "lengths": LENGTHS}
    found = explain(str(tmp_path / "keras.npz"), x, expected, **given)
    (change,) = found.changes  # keras repeats where a mask is given
    assert (change.setting, change.assumed, change.found) == (
        "masked_output",
        "zero",
        "repeat",
    )


@pytest.mark.slow
@pytest.mark.parametrize("start", [0.5, 0.0])
def test_an_error_that_fades_is_another_initial_state(
    start: float, tmp_path: Path
) -> None:
    net, x, _ = _net()
    net.kernel[I:] *= 0.5  # the state is soon forgotten
    state = np.full((B, H), 0.5), np.full((B, H), -0.5)
    expected = (
        outputs(net, x, {}, state)["h"] if start else outputs(net, x + 0.1, {})["h"]
    )
    found = _asked(tmp_path, net, x, expected, layout="batch")
    assert found.edits == (
        ("state.array=@state.npz",) if start else ("inputs.offset=0.1",)
    )
    expected = expected + np.random.default_rng(0).normal(0, 2e-5, expected.shape)
    found = _asked(tmp_path, net, x, expected, layout="batch")
    assert found.verdict == "none"
    assert any("initial states" in text for text in found.not_tried)


@pytest.mark.parametrize(
    ("units", "said"),
    [
        pytest.param([1, 2, 3], "units 1 to 3", marks=pytest.mark.slow),
        ([3, 1], "units 3, 1"),
        pytest.param([2, 4, 3], "units 2, 4, 3", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("without_edits")
def test_units_that_are_not_the_first_are_proved(
    units: list[int], said: str, tmp_path: Path
) -> None:
    net, x, h = _net()
    found = _asked(tmp_path, net, x, h[..., units], layout="batch")
    assert found.notes == (
        f"As {said} of the run, all {27 * len(units)} values of EXPECTED agree.",
    )
    first = f"EXPECTED as other units than the first {len(units)}"
    assert first not in found.not_tried
    assert not any((found.words.taken, found.nearest, found.measured, found.next))
    assert title(found, "e.npy").endswith(" e.npy was run or arranged otherwise.")
    assert details(found, "e.npy") == [*found.notes]
    wrong = _asked(tmp_path, net, x, 0.9 * h[..., units], layout="batch")
    assert first in wrong.not_tried
    assert not any("As units" in text for text in wrong.notes)


@pytest.mark.parametrize("truth", [{}, {"forget_bias": 0.0}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.slow
def test_outputs_that_were_rounded_to_some_digits(
    truth: dict[str, Any], dtype: type, tmp_path: Path
) -> None:
    net, x, _ = _net()
    h: np.ndarray[Any, Any] = np.round(outputs(net, x, truth)["h"].astype(dtype), 4)
    found = explain(write(net, tmp_path / "w.npz", I), x, h, layout="batch")
    assert found.found
    assert {c.setting: c.found for c in found.changes} == truth
    assert found.notes[0].startswith("EXPECTED has at most 4 decimal places")
    h[1, 2, 3] += 0.0002
    wrong = explain(write(net, tmp_path / "w.npz", I), x, h, layout="batch")
    assert wrong.verdict == "none"


def test_axes_that_are_exchanged_are_reported(tmp_path: Path) -> None:
    net, x, h = _net()
    plain = _asked(tmp_path, net, x, h, layout="batch")
    assert (plain.notes, plain.words.taken) == ((), "")
    for expected in (h, outputs(net, x, {"forget_bias": 0.0})["h"]):
        found = _asked(tmp_path, net, x, expected.swapaxes(0, 1), layout="batch")
        assert found.found
        assert found.words.taken == "EXPECTED is interpreted as (steps, batch, units)"


def test_nothing_but_nan_is_refused_as_that(tmp_path: Path) -> None:
    net, x, h = _net()
    with pytest.raises(UserError, match="every number is NaN or infinite"):
        _asked(tmp_path, net, x, h * np.nan)


@pytest.mark.parametrize(
    ("arranged", "said"),
    [
        pytest.param(
            lambda h: h[[1, 2, 0]], "the sequences of", marks=pytest.mark.slow
        ),
        pytest.param(
            lambda h: h[..., [4, 2, 0, 1, 3, 5]], "the units of", marks=pytest.mark.slow
        ),
        (
            lambda h: np.concatenate([0 * h[:, :1], h[:, :-1]], axis=1),
            "shifted by one step",
        ),
    ],
)
@pytest.mark.usefixtures("without_edits")
def test_outputs_arranged_otherwise_are_what_diff_proves(
    arranged: Callable[[Array], Array], said: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(17)
    net, x = (
        random_net(rng, I, 6),
        rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64),
    )
    weights, run = write(net, tmp_path / "w.npz", I), outputs(net, x, {})
    for name in "hc":
        found = explain(weights, x, {name: arranged(run[name])}, layout="batch")
        assert found.verdict == "none"
        (remark,) = [one for one in found.remarks if one.code == "rearranged"]
        assert said in remark.text
        assert remark.facts["complete"]


@pytest.mark.usefixtures("without_edits")
def test_an_arrangement_of_one_array_does_not_explain_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    net, x = (
        random_net(rng, I, 6),
        rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64),
    )
    np.savez(
        tmp_path / "y.npz", h=2 * outputs(net, x, {})["h"], c=rng.normal(size=(B, T, 6))
    )
    weights = write(net, tmp_path / "w.npz", I)
    found = explain(weights, x, str(tmp_path / "y.npz"), layout="batch")
    (remark,) = [one for one in found.remarks if one.code == "rearranged"]
    assert not remark.facts["complete"]


@pytest.mark.parametrize("constant", [False, True])
def test_inputs_of_one_feature_show_no_lengths(tmp_path: Path, constant: bool) -> None:
    rng = np.random.default_rng(5)
    net = random_net(rng, 1, H)
    x = np.ones((1, T, 1)) if constant else rng.normal(size=(1, T, 1))
    late = np.concatenate([np.zeros((1, 1, 1)), x[:, :-1]], axis=1)
    found = explain(write(net, tmp_path / "w.npz", 1), x, outputs(net, late, {})["h"])
    assert found.edits == ("inputs.late=1",)
