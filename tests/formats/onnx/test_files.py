"""`.onnx` against the onnx package and onnxruntime, on files that exporters wrote."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.inspect import inspect_files
from lstmcli.api.load import load
from lstmcli.errors import UserError
from tests.recorded import GOLDEN, cases, recorded

FOLDER = GOLDEN / "onnx_files"
CASES = cases("onnx_files/*")
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


@pytest.mark.parametrize("case", [case for case in CASES if not case.endswith(ROUNDED)])
@pytest.mark.sampled(3)
def test_every_constant_is_the_onnx_package_s(case: str) -> None:
    one = recorded(case)
    document = formats.read(str(GOLDEN / f"{case}.onnx"))
    expected = [*one.numbered("nodes").values()]
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
        if one.about.get("initial_state") == "constant":
            for role in STATES:
                full = np.broadcast_to(ours[role], roles[role].shape)
                np.testing.assert_array_equal(full, roles[role])
        else:
            assert not set(STATES) & set(ours)


def test_the_tensors_of_a_gru_are_handed_on_with_a_remark() -> None:
    path = str(FOLDER / "refused_gru.onnx")
    document = formats.read(path)
    assert {name: array.shape for name, array in document.arrays.items()} == {
        "W": (1, 9, 5),
        "R": (1, 9, 3),
    }
    assert document.remarks == (f"{path} has no LSTM node; it has 1 GRU.",)
    inspection = inspect_files([path], {})
    assert set(inspection.tensors) == {"W", "R"}
    assert not inspection.lstms
    assert [str(one.error) for one in inspection.unread] == [
        "it has no LSTM node; it has 1 GRU."
    ]
    with pytest.raises(UserError, match=r"^\S+: it has no LSTM node; it has 1 GRU\.$"):
        load(path, convention="onnx")


def test_every_recorded_refusal_is_tested() -> None:
    assert set(REFUSED) == {path.stem for path in FOLDER.glob("refused_*.onnx")}


@pytest.mark.parametrize("case", REFUSED)
def test_onnx_features_that_cannot_be_run_are_rejected(case: str) -> None:
    with pytest.raises(UserError, match=REFUSED[case]):
        load(str(FOLDER / f"{case}.onnx"))


def test_the_tensor_of_inputs_that_the_graph_computes_is_named() -> None:
    onnx = pytest.importorskip("onnx")
    path = str(FOLDER / "packed.onnx")
    node = next(one for one in onnx.load(path).graph.node if one.op_type == "LSTM")
    text = f"add the tensor {node.input[0]!a} to the outputs of the graph."
    assert any(remark.endswith(text) for remark in formats.read(path).remarks)
