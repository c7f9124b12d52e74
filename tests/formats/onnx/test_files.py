"""`.onnx` against the onnx package and onnxruntime, on files that exporters wrote."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.inspect import inspect_files
from lstmcli.api.load import load
from lstmcli.errors import UserError
from tests.paths import TESTS

GOLDEN = TESTS / "golden" / "onnx_files"
CASES = sorted(path.stem for path in GOLDEN.glob("*.npz"))
REFUSED = {
    "refused_no_weights": "its W comes from the input 'onnx::LSTM",
    "refused_projection": "proj_size",
    "refused_projection_dynamic": "proj_size",
    "refused_sparse": "its W comes from the sparse tensor 'W', which is not read",
    "refused_strings": "the tensor 'W' has the data type STRING, which is not read",
    "refused_operation": "its W comes from the operation 'TopK'",
    "refused_hidden_size": "hidden_size is 4, but R has 3",
    "refused_keras_mask": "an LSTM is spelled out as a Loop of basic operations",
    "refused_keras_hard_sigmoid": "an LSTM is spelled out as a Loop of basic operations",
    "refused_keras_unrolled": "an LSTM is spelled out as basic operations",
    "refused_gru": "has no LSTM node; it has 1 GRU",
}
ROUNDED = ("quantized", "quantized_rows")  # by onnxruntime, to 8 bits
STATES = ("initial_h", "initial_c")


def recorded(case: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(GOLDEN / f"{case}.npz") as members:
        arrays = dict(members)
    return json.loads(str(arrays.pop("case"))), arrays


def nodes(arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """What each LSTM node was given, by role."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        if name.startswith("nodes/"):
            _, number, role = name.split("/")
            found.setdefault(number, {})[role] = array
    return list(found.values())


@pytest.mark.parametrize("case", [case for case in CASES if case not in ROUNDED])
@pytest.mark.sampled(3)
def test_every_constant_is_the_onnx_package_s(case: str) -> None:
    record, arrays = recorded(case)
    document = formats.read(str(GOLDEN / f"{case}.onnx"))
    expected = nodes(arrays)
    assert (
        list(dict.fromkeys(name.rpartition("/")[0] for name in document.arrays))
        == list(document.groups)
        or not expected
    )
    assert len(document.groups) == len(expected)
    for name, roles in zip(document.groups, expected, strict=True):
        ours = {key.rpartition("/")[2]: a for key, a in document.arrays.items()
                if key.startswith(f"{name}/")}  # fmt: skip
        weights = {role: a for role, a in roles.items() if role in "WRBP"}
        assert {role for role in ours if role in "WRBP"} == set(weights)
        for role, array in weights.items():
            assert ours[role].dtype == array.dtype
            np.testing.assert_array_equal(ours[role], array)
        if record.get("initial_state") == "constant":
            for role in STATES:
                full = np.broadcast_to(ours[role], roles[role].shape)
                np.testing.assert_array_equal(full, roles[role])
        else:
            assert not set(STATES) & set(ours)


@pytest.mark.parametrize("case", [case for case in CASES if "h" in recorded(case)[1]])
def test_runs_give_onnxruntime_s_outputs(case: str) -> None:
    record, expected = recorded(case)
    options = {key: record[key] for key in ("layer",) if key in record}
    options |= record.get("settings", {})
    model = load(str(GOLDEN / f"{case}.onnx"), **options)
    state = {k: expected[f"initial_state.{k}"] for k in "hc" if f"initial_state.{k}" in expected}
    x = expected["inputs"]
    assert model.lengths == tuple(record.get("lengths", ()))
    trace = run(model, x, initial_state=state, lengths=expected.get("lengths"),
                layout=record.get("layout", model.given.get("layout")))  # fmt: skip
    tolerance = record.get("tolerance", 2e-6)
    for name in ("h", "final_h", "final_c"):
        if name in expected:
            ours, theirs = trace.members()[name], expected[name]
            if name == "h" and ours.ndim == 4 and theirs.ndim == 3 and trace.layout == "time":
                ours = ours.swapaxes(1, 2)  # the directions' outputs side by side, as PyTorch's
            np.testing.assert_allclose(
                ours.reshape(theirs.shape), theirs, rtol=tolerance, atol=tolerance, err_msg=name
            )
    for text in record.get("remarks", ()):
        assert any(text in remark for remark in model.remarks), (text, model.remarks)
    if "remarks" not in record:
        assert model.remarks == ()


@pytest.mark.parametrize("case", ROUNDED)
def test_weights_of_8_bits_are_the_ones_they_stand_for(case: str) -> None:
    _, expected = recorded(case)
    arrays = formats.read(str(GOLDEN / f"{case}.onnx")).arrays
    for role in "WRBP":
        theirs = expected[f"plain/{role}"]
        step = np.abs(theirs).max() / 127 if role in "WR" else 0
        np.testing.assert_allclose(arrays[f"rnn_quant/{role}"], theirs, rtol=0, atol=step)


def test_the_tensors_of_a_gru_are_handed_on_with_a_remark() -> None:
    path = str(GOLDEN / "refused_gru.onnx")
    document = formats.read(path)
    assert {name: array.shape for name, array in document.arrays.items()} == {
        "W": (1, 9, 5),
        "R": (1, 9, 3),
    }
    assert document.remarks == (f"{path} has no LSTM node; it has 1 GRU.",)
    inspection = inspect_files([path], {})
    assert set(inspection.tensors) == {"W", "R"}
    assert not inspection.lstms
    assert [str(one.error) for one in inspection.unread] == ["it has no LSTM node; it has 1 GRU."]
    with pytest.raises(UserError, match=r"^\S+: it has no LSTM node; it has 1 GRU\.$"):
        load(path, convention="onnx")


def test_every_recorded_refusal_is_tested() -> None:
    assert set(REFUSED) == {path.stem for path in GOLDEN.glob("refused_*.onnx")}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_had_is_refused_by_name(case: str) -> None:
    with pytest.raises(UserError, match=REFUSED[case]):
        load(str(GOLDEN / f"{case}.onnx"))
