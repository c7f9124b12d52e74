"""Plain pickles of PaddlePaddle, Haiku and PyTorch against their own loaders and outputs.

``tests/golden/record/pickle_files.py`` recorded them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.core.run import run
from lstmcli.loading import load

FOLDER = Path(__file__).parent / "golden" / "pickle_files"
CONVENTIONS = {"paddle": "paddle", "haiku": "haiku", "torch": "pytorch"}


@pytest.mark.parametrize("case", CONVENTIONS)
def test_tensors_bit_for_bit_and_outputs(case: str) -> None:
    with np.load(FOLDER / f"{case}.npz") as members:
        expected = dict(members)
    path = str(FOLDER / json.loads(str(expected.pop("case")))["file"])
    ours = formats.read(path).arrays
    theirs = {k.removeprefix("tensors/"): a for k, a in expected.items() if k[:8] == "tensors/"}
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        assert ours[name].tobytes() == array.tobytes(), name

    model = load(path)
    assert model.convention.name == CONVENTIONS[case]
    trace = run(model, expected["inputs"], layout="batch")
    for name in ("h", "final_h", "final_c"):
        array = trace.members()[name].reshape(expected[name].shape)
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, atol=1e-6, err_msg=name)
