"""Inspections, compared with the arrays of files that real frameworks wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.api.inspect import inspect_files
from lstmcli.core.weights.inspection import Inspection, gate_near_one, missing_parts
from tests.recorded import CASES, GOLDEN, held

Arrays = dict[str, Any]


def inspect_golden(case: str, **given: Any) -> Inspection:
    return inspect_files([str(GOLDEN / f"{case}.weights.npz")], given)


def inspect_arrays(path: Path, arrays: Arrays, **given: Any) -> Inspection:
    np.savez(path / "w.npz", **arrays)
    return inspect_files([str(path / "w.npz")], given)


def codes(inspection: Inspection) -> list[str]:
    return [hint.code for lstm in inspection.lstms for hint in lstm.hints]


@pytest.mark.parametrize(
    ("case", "convention", "sizes"),
    [
        # inputs, units, outputs, layers, directions
        ("torch/two_layers_bidirectional", "pytorch", [(5, 3, 3, 2, 2)]),
        ("torch/bidirectional_projection", "pytorch", [(5, 3, 2, 1, 2)]),
        ("keras/stacked", "keras", [(5, 3, 3, 1, 1), (3, 3, 3, 1, 1)]),
        ("haiku/deep", "haiku", [(5, 3, 3, 1, 1), (3, 3, 3, 1, 1)]),
        ("chainer/lstm", "chainer", [(5, 3, 3, 1, 1)]),
        ("tensorflow1/lstm_cell", "tf1", [(5, 3, 3, 1, 1)]),
        ("tflite/bidirectional", "tflite", [(5, 3, 3, 1, 2)]),
    ],
)
def test_sizes_are_those_that_were_recorded(
    case: str, convention: str, sizes: list[tuple[int, ...]]
) -> None:
    told = [lstm.to_json() for lstm in inspect_golden(case).lstms]
    names = ("inputs", "units", "outputs", "layers", "directions")
    assert [tuple(lstm[name] for name in names) for lstm in told] == sizes
    assert {lstm["convention"] for lstm in told} == {convention}
    assert sum(lstm["parameters"] for lstm in told) == sum(
        array.size for array in held(f"{case}.weights").values()
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.sampled(4)
def test_every_file_can_be_inspected(case: str) -> None:
    inspection = inspect_golden(case)
    never_guessed = case.startswith("jax/flat")
    assert bool(inspection.lstms or inspection.unread) is not never_guessed
    assert {name: t.shape for name, t in inspection.tensors.items()} == {
        name: array.shape for name, array in held(f"{case}.weights").items()
    }
    json.dumps(inspection.to_json(), allow_nan=False)


def test_gate_numbers_of_alternating_gates() -> None:
    weights = held("chainer/lstm.weights")
    (lstm,) = inspect_golden("chainer/lstm").lstms
    for n, gate in enumerate("gifo"):
        numbers = lstm.gates()["layer0"][gate]
        assert numbers.kernel_mean == pytest.approx(
            weights["upward/W"][n::4].mean(), abs=1e-6
        )
        assert numbers.recurrent_std == pytest.approx(
            weights["lateral/W"][n::4].std(), abs=1e-6
        )
        assert numbers.bias_mean == pytest.approx(
            weights["upward/b"][n::4].mean(), abs=1e-6
        )


def test_a_coupled_gate_has_no_numbers() -> None:
    (lstm,) = inspect_golden("tflite/coupled").lstms
    assert list(lstm.gates()["layer0"]) == ["f", "g", "o"]


def test_why_and_also_name_the_conventions_that_fit() -> None:
    (keras,) = inspect_golden("keras/plain").lstms
    assert keras.why == "names kernel, recurrent_kernel, bias"
    assert keras.also == ("tfjs",)
    (block,) = inspect_golden("tensorflow1/block_lstm_peepholes").lstms
    assert block.rivals == ("tf-block-v2",)
    (asked,) = inspect_golden("tensorflow1/block_lstm", convention="tf-block-v2").lstms
    assert asked.why.startswith("asked for")
    assert not asked.rivals


def test_settings_found_in_a_file_are_distinguished_from_those_assumed(
    tmp_path: Path,
) -> None:
    weights = {"lstm_cell/kernel": np.ones((5, 8)), "lstm_cell/bias": np.zeros(8)}
    (bare,) = inspect_arrays(tmp_path, weights).lstms
    assert bare.found == {}
    assert "forget bias +1" in bare.model.assumed[0]
    (told,) = inspect_arrays(tmp_path, weights | {"forget_bias": np.array(0.5)}).lstms
    assert told.found == {"forget_bias": 0.5}
    assert not told.model.assumed
    assert told.to_json()["settings"]["forget_bias"] == 0.5


# ---- hints


def tf1(order: str, near: str, noise: float = 0.0, H: int = 6) -> Arrays:
    """A TF1 cell whose bias is near 1 where ``order`` has ``near``, and near 0 elsewhere."""
    random = np.random.RandomState(3)
    bias = np.concatenate([np.full(H, float(gate == near)) for gate in order])
    return {
        "kernel": random.normal(size=(5 + H, 4 * H)),
        "bias": bias + noise * random.normal(size=4 * H),
    }


def test_f_near_1_where_it_is_read_and_added_again(tmp_path: Path) -> None:
    inspection = inspect_arrays(tmp_path, tf1("igfo", "f", 0.05))
    assert codes(inspection) == ["forget_bias_near_1", "forget_bias_twice"]
    without = inspect_arrays(tmp_path, tf1("igfo", "f", 0.05), forget_bias=0.0)
    assert codes(without) == ["forget_bias_near_1"]


def test_another_block_near_1_gives_no_hint(tmp_path: Path) -> None:
    assert codes(inspect_arrays(tmp_path, tf1("ifgo", "f", 0.05))) == []


def test_biases_without_information_give_no_hint(tmp_path: Path) -> None:
    zero = tf1("igfo", "none")
    assert codes(inspect_arrays(tmp_path, zero)) == []
    ones = zero | {"bias": np.ones(24)}
    assert codes(inspect_arrays(tmp_path, ones)) == []


def test_a_hint_names_the_cells_that_show_it() -> None:
    (lstm,) = inspect_golden("paddle/two_layers_bidirectional").lstms
    assert [
        h.text.split(":")[0] for h in lstm.hints if h.code == "forget_bias_near_1"
    ] == ["layer1"]


@given(
    st.permutations("ifgo"),
    st.lists(st.floats(-0.2, 0.2), min_size=20, max_size=20),
)
def test_the_gate_near_1_is_found_in_any_position(
    order: list[str], noise: list[float]
) -> None:
    blocks = np.array(noise).reshape(4, 5)
    biases = dict(zip(order, blocks, strict=True))
    assert gate_near_one(biases) is None
    for gate in order:
        assert gate_near_one(biases | {gate: biases[gate] + 1}) == gate
        assert gate_near_one(biases | {gate: biases[gate] - 1}) is None


def test_scattered_numbers_with_a_mean_of_1_are_not_a_sign() -> None:
    zero = np.zeros(4)
    assert (
        gate_near_one(
            {"i": zero, "f": np.array([-1.0, 3.0, 2.0, 0.0]), "g": zero, "o": zero}
        )
        is None
    )


# ---- what is no LSTM


def test_a_gru_is_named(tmp_path: Path) -> None:
    torch = {"weight_ih_l0": np.ones((15, 3)), "weight_hh_l0": np.ones((15, 5))}
    inspection = inspect_arrays(tmp_path, torch)
    assert not inspection.lstms
    assert "a GRU" in inspection.unread[0].error.lines[0]
    keras = {
        "gru/kernel": np.ones((3, 15)),
        "gru/recurrent_kernel": np.ones((5, 15)),
        "gru/bias": np.ones((2, 15)),
    }
    assert "a GRU" in inspect_arrays(tmp_path, keras).unread[0].error.lines[0]


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    tensors = {"enc.weight_ih_l0": np.ones((20, 3)), "enc.bias_ih_l0": np.ones(20)}
    (missing,) = inspect_arrays(tmp_path, tensors).missing
    assert (
        missing == "pytorch: weight_hh_l0 is missing; enc.weight_ih_l0 is there"
    )  # as run says
    assert missing_parts(["foo", "conv/w"]) == []
    assert "GRU" in missing_parts(["rnn/GRUCell_0/hr/kernel"])[0]


def test_a_convention_that_takes_more_of_the_tensors_is_named() -> None:
    (unread,) = inspect_golden("paddle/cell_projection").unread
    assert unread.also == ("paddle",)


def test_numbers_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    weights = tf1("igfo", "f")
    weights["kernel"][0, :2] = np.nan, np.inf
    inspection = inspect_arrays(tmp_path, weights)
    assert inspection.tensors["kernel"].not_finite == 2
    told = inspection.to_json()["tensors"]
    assert told["kernel"] == {"shape": [11, 24], "dtype": "float64", "not_finite": 2}
    assert told["bias"] == {"shape": [24], "dtype": "float64"}
    assert np.isnan(inspection.lstms[0].gates()["layer0"]["i"].kernel_mean)
