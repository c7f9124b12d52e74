"""``lstm convert`` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstmcli.api.convert import COMMON
from lstmcli.core.model.conventions import CONVENTIONS
from tests.cli.conftest import SAMPLE, Lstm

WEIGHTS = SAMPLE / "weights.npz"


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
