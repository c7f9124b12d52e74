"""Files that PyTorch wrote, 1.0 to 2.13, against its own loader and its own outputs.

``tests/golden/record/torch_files.py`` recorded them.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.load import load
from tests.paths import TESTS

FOLDER = TESTS / "golden" / "torch_files"
CASES = sorted(path.stem for path in FOLDER.glob("*.npz"))


def read(case: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    with np.load(FOLDER / f"{case}.npz") as members:
        arrays = dict(members)
    return json.loads(str(arrays.pop("case"))), arrays


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_bit_for_bit(case: str) -> None:
    record, expected = read(case)
    ours = formats.read(str(FOLDER / record["file"])).arrays
    theirs = {k.removeprefix("tensors/"): a for k, a in expected.items() if k[:8] == "tensors/"}
    constants = {name for name in ours if name.startswith("constants.")}  # beside a frozen LSTM
    assert set(ours) - constants == set(theirs)
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype, name
        assert ours[name].shape == array.shape, name
        assert ours[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("case", [case for case in CASES if "inputs" in read(case)[1]])
def test_the_outputs(case: str) -> None:
    """Where the file says how inputs lie, nothing else is told; else it is told here."""
    record, expected = read(case)
    settings = {} if record["told"] else {"layout": "batch"}
    model = load(str(FOLDER / record["file"]), **settings)
    assert model.convention.name == "pytorch"
    assert model.convention.behaviour.layout == ("time" if "time_major" in case else "batch")
    trace = run(model, expected["inputs"])
    for name in ("h", "final_h", "final_c"):
        ours = trace.members()[name].reshape(expected[name].shape)
        np.testing.assert_allclose(ours, expected[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_names_lead_to_a_layer_with_and_without_the_wrappers() -> None:
    for case in ("parallel", "compiled", "checkpoint", "nested"):
        model = load(str(FOLDER / f"{case}-2.13.0.pt"), layer="rnn")
        assert all("rnn.weight" in name or "rnn.bias" in name for name in model.tensors)


def test_a_frozen_module_has_names_by_the_call_and_says_so() -> None:
    model = load(str(FOLDER / "frozen_projection-2.13.0.pt"))
    assert model.cell.projection is not None
    assert model.bidirectional
    assert len(model.layers) == 2
    assert "frozen TorchScript keeps no names" in model.remarks[0]
    cell = load(str(FOLDER / "frozen_cell-2.13.0.pt"))
    assert cell.convention.name == "pytorch-cell"


def test_what_is_left_out_is_reported() -> None:
    document = formats.read(str(FOLDER / "dynamic-2.13.0.pt"))
    assert list(document.arrays) == ["out.weight", "out.bias"]
    assert "packed, as dynamic quantisation keeps weights" in document.remarks[0]
