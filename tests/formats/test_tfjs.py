"""model.json and its shards: what TensorFlow.js wrote is in tests/golden/tfjs_files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.load import load
from lstmcli.errors import UserError
from lstmcli.formats.files import limits
from tests.paths import TESTS

GOLDEN = TESTS / "golden" / "tfjs_files"

Json = dict[str, Any]


@pytest.fixture(params=["shards", "uint8", "cells"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a recorded model, to damage."""
    shutil.copytree(GOLDEN / request.param, tmp_path / "model")
    return tmp_path / "model" / "model.json"


def changed(path: Path, change: Any) -> str:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return str(path)


def test_weights_without_a_topology_assume_the_library_s_gates(model: Path) -> None:
    path = changed(model, lambda value: value.pop("modelTopology"))
    found = load(path, layer="0")
    assert found.convention.behaviour.recurrent_activation == "hard_sigmoid_0.2"
    (text,) = found.assumed
    run_by = "merge concat" if "backward" in "".join(found.tensors) else "forward"
    assert text == (
        f"hard_sigmoid_0.2 gates, tanh, {run_by} (its config is not in the file; "
        "--recurrent-activation sigmoid for sigmoid)"
    )


def test_a_graph_says_that_its_settings_were_not_read() -> None:
    document = formats.read(str(GOLDEN / "graph/model.json"))
    assert document.format == "tfjs-graph"
    assert "is a graph" in document.remarks[0]


def test_other_numbers_and_what_is_none(tmp_path: Path) -> None:
    """Quantized int32 rounds as JavaScript does; complex numbers are left out and named."""
    weights = [
        {"name": "i", "shape": [3], "dtype": "int32",
         "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "z", "shape": [1], "dtype": "complex64"},
        {"name": "b", "shape": [2], "dtype": "bool"},
        {"name": "n", "shape": [1], "dtype": "int32"},
    ]  # fmt: skip
    data = (
        bytes([0, 1, 5]) + bytes(8) + b"\1\0" + (-7).to_bytes(4, "little", signed=True)
    )
    (tmp_path / "w.bin").write_bytes(data)
    path = tmp_path / "model.json"
    path.write_text(
        json.dumps({"weightsManifest": [{"paths": ["w.bin"], "weights": weights}]})
    )
    document = formats.read(str(path))
    assert {k: v.tolist() for k, v in document.arrays.items()} == {
        "i": [-1, 0, 2], "b": [True, False], "n": [-7],
    }  # fmt: skip
    assert document.arrays["i"].dtype == np.int32
    assert "z left out" in document.remarks[0]


def test_quantized_weights_without_a_scale_are_damaged(tmp_path: Path) -> None:
    tensor = {
        "name": "k",
        "shape": [2],
        "dtype": "float32",
        "quantization": {"dtype": "uint8"},
    }
    (tmp_path / "w.bin").write_bytes(b"\1\2")
    path = tmp_path / "model.json"
    path.write_text(
        json.dumps({"weightsManifest": [{"paths": ["w.bin"], "weights": [tensor]}]})
    )
    with pytest.raises(UserError, match="it lacks 'scale'"):
        formats.read(str(path))


def _weights(value: Json) -> list[Any]:
    return value["weightsManifest"][0]["weights"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(weightsManifest=3), "interpreted as a model.json"),
        (lambda v: v["weightsManifest"][0].pop("paths"), "it lacks 'paths'"),
        (lambda v: _weights(v)[0].pop("dtype"), "it lacks 'dtype'|needs"),
        (lambda v: _weights(v)[0].update(name="\ud800"), "not a valid text"),
        (
            lambda v: _weights(v)[1].update(name=_weights(v)[0]["name"]),
            "two tensors have the name",
        ),
        (
            lambda v: _weights(v)[0].update(name=["a"]),
            "the name of a tensor is not text",
        ),
        (
            lambda v: _weights(v).insert(0, ["a"]),
            "a member of weights is not an object",
        ),
        (lambda v: v.update(modelTopology=[1]), "modelTopology is not an object"),
        (lambda v: _weights(v)[0].update(shape=[-1]), "corrupt"),
        (lambda v: _weights(v)[0].update(shape=[1 << 40, 1 << 40]), "max_bytes="),
        (lambda v: _weights(v)[0].update(shape=[1.5]), "a shape is"),
        (lambda v: _weights(v)[0].update(shape=[1]), "needs .* there are more"),
        (
            lambda v: v["weightsManifest"][0]["paths"].append("../../w.bin"),
            "not in its folder|more",
        ),
        (lambda v: v["weightsManifest"][0].update(paths=["/etc/passwd"]), "'passwd'"),
        (
            lambda v: v["weightsManifest"].append(v["weightsManifest"][0]),
            "is named twice",
        ),
        (
            lambda v: v["weightsManifest"][0].update(paths=["x.bin", "a/x.bin"]),
            "is named twice",
        ),
        (
            lambda v: _weights(v)[0].update(dtype="string", quantization=None),
            "'string', not num",
        ),
    ],
)
def test_a_wrong_description_is_refused(model: Path, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        formats.read(changed(model, change))


def test_an_activation_that_is_not_run_is_named(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "plain", tmp_path / "m")

    def selu(value: Json) -> None:
        layer = value["modelTopology"]["config"]["layers"][0]
        layer["config"]["activation"] = "selu"

    with pytest.raises(UserError, match="activation 'selu'"):
        load(changed(tmp_path / "m/model.json", selu))


def test_the_limit_of_bytes_is_the_tensors_after_widening(model: Path) -> None:
    with limits.raised_to(40), pytest.raises(UserError, match="max_bytes="):
        formats.read(str(model))
