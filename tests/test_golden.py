"""Every recorded case of every framework: its weights file, read as a user's, gives its outputs.

``tests/golden/record`` has the scripts that made the cases, with the frameworks' versions.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.load import load
from lstmcli.core.model.conventions import CONVENTIONS
from tests.paths import TESTS

GOLDEN = TESTS / "golden"


def cases(ending: str) -> list[str]:
    paths = GOLDEN.glob(f"*/*{ending}")
    return sorted(str(path.relative_to(GOLDEN)).removesuffix(ending) for path in paths)


CASES, FILES = cases(".weights.npz"), cases(".tensors.npz")  # see record/common.py

ASKED = {  # rows and cases that no name tells apart from another; the user says which
    "tinygrad", "tfjs", "coreml", "flax-nnx", "tf-block", "tf-block-v2",
    "cudnn-flat", "paddle/cell", "paddle/cell_no_bias", "paddle/cell_projection",
    "equinox/no_bias", "onnxruntime/no_bias",
}  # fmt: skip
SEVERAL = {  # files that hold more than one LSTM: the --layer that runs them in turn
    "haiku/deep": "0,1", "keras/stacked": "0,1",
}  # fmt: skip
TOLERANCE = {  # frameworks that round every step to float16, as their notes say
    "torch/float16_run": 2e-3, "keras/float16": 4e-3,
}  # fmt: skip
TEXTS = (".json", ".nam")  # their numbers are read as float64


def read(case: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    with np.load(GOLDEN / f"{case}.npz") as members:
        arrays = dict(members)
    return json.loads(str(arrays.pop("case"))), arrays


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


@pytest.mark.parametrize("case", CASES + FILES)
def test_the_framework_s_outputs(case: str) -> None:
    record, expected = read(case)
    settings = dict(record["settings"])
    path = GOLDEN / f"{case}.weights.npz"
    if file := record.get("file"):
        path = path.parent / file
    elif {record["convention"], case} & ASKED:
        settings["convention"] = record["convention"]
    if case in SEVERAL:
        settings["layer"] = SEVERAL[case]
    if case == "torch/float16_weights":  # kept in float16, run in float64
        settings["dtype"] = "float64"
    model = load(str(path), **settings)
    assert model.convention.name == record["convention"]
    state = {k: expected[f"initial_state.{k}"] for k in "hc" if f"initial_state.{k}" in expected}
    trace = run(
        model,
        expected["inputs"],
        layout=None if record["layout"] == "steps" else record["layout"],
        initial_state=state,
        lengths=expected.get("lengths"),
        mask=expected.get("mask"),
    )
    compared = [name for name in trace.members() if name in expected]
    assert compared[0] == "h"
    tolerance = TOLERANCE.get(case, 1e-6)
    for name in compared:
        ours, theirs = trace.members()[name], expected[name]
        np.testing.assert_allclose(
            ours.reshape(theirs.shape), theirs, rtol=tolerance, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("case", FILES)
def test_the_framework_s_files_give_its_tensors_bit_for_bit(case: str) -> None:
    path = (GOLDEN / case).parent / read(case)[0]["file"]
    arrays = formats.read(str(path)).arrays
    with np.load(GOLDEN / f"{case}.tensors.npz") as members:
        expected = dict(members)
    assert set(expected) <= set(arrays)
    for name, array in expected.items():
        ours = arrays[name]
        assert ours.dtype in (array.dtype, np.float64 if path.suffix in TEXTS else array.dtype)
        np.testing.assert_array_equal(ours, array, err_msg=name)
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(array), err_msg=name)


def test_every_row_has_its_case_or_says_that_it_was_never_run() -> None:
    files = ("tensorflow_files/*.npz", "keras_files/*/*.npz", "pickle_files/madmom_*.npz")
    paths = [path for pattern in files for path in GOLDEN.glob(pattern)]
    others = [str(path.relative_to(GOLDEN))[:-4] for path in paths]
    ran = {read(case)[0].get("convention", "keras") for case in (*CASES, *FILES, *others)}
    assert ran <= set(CONVENTIONS)
    for name, row in CONVENTIONS.items():
        assert (name in ran) == bool(row.verified), name
        assert row.source, name
