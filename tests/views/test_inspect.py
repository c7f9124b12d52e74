"""Sheets of inspections: what they say, and that they fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.inspect import inspect_files
from lstmcli.views.inspect import inspection_sheet
from lstmcli.views.sheet import Width
from tests.recorded import GOLDEN

CASES = ("torch/two_layers_bidirectional", "keras/stacked", "haiku/deep", "chainer/lstm",
         "tensorflow1/lstm_cell", "tensorflow1/block_lstm_peepholes", "tflite/coupled",
         "paddle/cell_projection", "onnxruntime/no_bias")  # fmt: skip


def sheet(
    path: str, width: int | None, show_all: bool = False, **given: Any
) -> list[str]:
    inspection = inspect_files([path], given)
    return list(
        inspection_sheet(
            inspection, [path], given, width=Width.of(width), show_all=show_all
        ).rows()
    )


def save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def golden(case: str) -> str:
    return str(GOLDEN / f"{case}.weights.npz")


@pytest.mark.parametrize("case", CASES)
def test_80_columns_are_enough(case: str) -> None:
    for row in sheet(golden(case), 80):
        shown = row.rpartition("  ")[
            0
        ]  # commands, paths and names of tensors are not cut
        assert len(row) <= 80 or len(shown) < 60, row


def test_without_an_lstm_tensors_are_listed_those_that_sound_like_one_first(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.npz"
    arrays = {f"block{n}/thing": np.zeros((3, n + 1)) for n in range(40)}
    save(path, {"kernel": np.ones((5, 8)), "bias": np.repeat([0.0, 0.0, 1.0, 0.0], 2)})
    assert any(row.startswith("hint ") for row in sheet(str(path), 80))
    save(
        path,
        arrays
        | {"out/kernel": np.zeros(3), "rnn/x": np.zeros(2), "my_lstm/y": np.zeros(1)},
    )
    rows = sheet(str(path), 80)
    first = next(n for n, row in enumerate(rows) if row.startswith("shape"))
    names = [row.split()[-1] for row in rows[first + 1 : first + 5]]
    assert names == ["my_lstm/y", "rnn/x", "out/kernel", "block0/thing"]
    assert "...  19 more tensors, 1,767 numbers: --all lists them" in rows


def test_a_mask_that_run_applies_to_a_stack_is_of_each_of_its_lstms() -> None:
    path = f"{GOLDEN}/keras_masking/forgotten.keras"
    models = [lstm.model for lstm in inspect_files([path], {}).lstms]
    masks = [str(model.masking) for model in models]
    assert masks == ["Masking(0.0)", "Masking(0.0)"]
    assert not any("mask of" in text for model in models for text in model.assumed)
    (second,) = inspect_files([path], {"layer": "1"}).lstms  # whose inputs show no mask
    assert "Masking with other layers between" in " ".join(second.model.assumed)
