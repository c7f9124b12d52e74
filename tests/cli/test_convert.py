"""``lstm convert`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstmcli.api.convert import COMMON
from lstmcli.core.model.conventions import CONVENTIONS
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS = SAMPLE / "weights.npz"


def test_json_for_programs(lstm: Lstm) -> None:
    _, out, _ = lstm("convert", WEIGHTS, "net.json", "--to", "tf1", "--to-set", "forget_bias=0",
                     "-f", "json")  # fmt: skip
    told = json.loads(out)
    assert told["to"]["convention"] == "tf1"
    assert told["to"]["forget_bias"] == 0
    assert told["settings"] == {"forget_bias": 0.0}
    assert told["tensors"]["rnn/lstm_cell/kernel"] == [7, 12]
    assert {step["what"] for step in told["recipe"]} >= {"gates", "kernels", "bias"}
    assert told["proof"]["difference"] == 0


def test_the_choices_named_without_to_are_conventions() -> None:
    assert set(COMMON) <= set(CONVENTIONS)


def test_a_missing_library_is_named(
    lstm: Lstm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package, target, name in (
        ("safetensors.numpy", "net.safetensors", "pytorch-cell"), ("onnx", "net.onnx", "onnx"),
    ):  # fmt: skip
        monkeypatch.setitem(__import__("sys").modules, package, None)
        status, _, err = lstm("convert", WEIGHTS, target, "--to", name)
        assert status == 2
        assert f"pip install '{package.partition('.')[0]}>=" in err
    assert list(tmp_path.iterdir()) == []
