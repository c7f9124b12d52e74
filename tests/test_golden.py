"""Every recorded case of every framework: its file, read as a user's, gives its outputs.

``tests/golden/record`` has the scripts that made the cases, with the frameworks' versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.core.model.conventions import CONVENTIONS
from tests.recorded import (
    CASES,
    FILES,
    GOLDEN,
    NUMBERED,
    OLDER,
    ROWS,
    TOLERANCE,
    members,
    recorded,
)

NOT_ALONE = (
    "gru",
    "gru_frozen",
    "madmom_apart",
)  # no LSTM, and two between which a layer is
RECORDS = [
    case for case in (*CASES, *FILES, *OLDER, *NUMBERED) if not case.endswith(NOT_ALONE)
]
RUN = [case for case in RECORDS if "h" in members(case)]

TEXTS = (".json", ".nam")  # their numbers are read as float64
MORE = ("gguf/", "tflite_files/", "tfjs_files/", "nam/", "torch_files/frozen")


def some(cases: list[str]) -> list[Any]:
    """Cases, of which two of three archives of TensorFlow are slow tests."""
    archives = [case for case in cases if case.startswith("tensorflow_files")]
    slow = {case for number, case in enumerate(archives) if number % 3}
    return [
        pytest.param(case, marks=pytest.mark.slow if case in slow else ())
        for case in cases
    ]


def test_each_record_names_its_script_and_the_versions_that_it_ran_on() -> None:
    records = 0
    for path in GOLDEN.rglob("*.npz"):
        with np.load(path) as members:
            if "case" not in members.files:
                continue
            record = json.loads(str(members["case"]))
        records += 1
        assert (GOLDEN / "record" / record["script"]).is_file(), path
        assert record.get("version") or record.get("torch") or record.get("keras"), path
    assert records >= 500


@pytest.mark.parametrize("case", some(RUN))
def test_the_framework_s_outputs(case: str, tmp_path: Path) -> None:
    one = recorded(case)
    model = one.load(tmp_path)
    row = (
        one.about.get("convention") or ROWS.get(one.folder) or ROWS.get(Path(case).name)
    )
    assert row in (model.convention.name, None)
    assert row or one.folder in ("onnx_files", "pickle_files")
    if one.folder == "tensorflow_files":
        for name, value in one.about.get("settings", {}).items():
            assert model.convention.setting(name) == value
    if "lengths" in one.about:
        assert model.lengths == tuple(one.about["lengths"])
    remarks = one.about.get("remarks", ())
    told = (*model.remarks, *model.assumed)
    assert all(any(text in line for line in told) for text in remarks), told
    assert remarks or one.folder != "onnx_files" or model.remarks == ()
    trace = one.run(model)
    compared = [name for name in trace.members() if name in one.arrays]
    assert compared[0] == "h"
    tolerance = one.about.get("tolerance", TOLERANCE.get(case, 1e-6))
    for name in compared:
        ours, theirs = trace.members()[name], one.arrays[name]
        if (
            name == "h"
            and ours.ndim == 4
            and theirs.ndim == 3
            and trace.layout == "time"
        ):
            ours = ours.swapaxes(
                1, 2
            )  # the directions' outputs side by side, as PyTorch's
        if "madmom" in case and name != "h":
            ours = ours.reshape(-1)[-theirs.size :]  # of the last layer
        np.testing.assert_allclose(
            ours.reshape(theirs.shape),
            theirs,
            rtol=tolerance,
            atol=tolerance,
            err_msg=name,
        )


@pytest.mark.parametrize("case", some([*FILES, *OLDER]))
def test_the_framework_s_files_give_its_tensors_bit_for_bit(
    case: str, tmp_path: Path
) -> None:
    one = recorded(case)
    (path,) = one.paths(tmp_path)
    arrays, expected = formats.read(path).arrays, one.tensors
    assert expected or not arrays
    assert set(expected) <= set(arrays)
    assert (
        set(expected) == set(arrays) or case.startswith(MORE) or case.endswith("frozen")
    )
    for name, array in expected.items():
        ours = arrays[name]
        assert ours.dtype in (
            array.dtype,
            np.float64 if path.endswith(TEXTS) else array.dtype,
        )
        assert ours.shape == array.shape, name
        assert ours.astype(array.dtype).tobytes() == array.tobytes(), name


def test_every_row_has_its_case_or_says_that_it_was_never_run() -> None:
    ran = {recorded(case).about.get("convention", "keras") for case in RUN}
    assert ran <= set(CONVENTIONS)
    for name, row in CONVENTIONS.items():
        assert (name in ran) == bool(row.verified), name
        assert row.source, name
