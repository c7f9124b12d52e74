"""Sheets of inspections: what they say, and that they fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.inspect import inspect_files
from lstmcli.core.model.selection import format_number
from lstmcli.views.inspect import inspection_sheet
from lstmcli.views.sheet import Width
from tests.paths import TESTS

GOLDEN = TESTS / "golden"
CASES = ("torch/two_layers_bidirectional", "keras/stacked", "haiku/deep", "chainer/lstm",
         "tensorflow1/lstm_cell", "tensorflow1/block_lstm_peepholes", "tflite/coupled",
         "paddle/cell_projection", "onnxruntime/no_bias")  # fmt: skip


def sheet(path: str, width: int | None, show_all: bool = False, **given: Any) -> list[str]:
    inspection = inspect_files([path], given)
    return list(
        inspection_sheet(inspection, [path], given, width=Width.of(width), show_all=show_all).rows()
    )


def save(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def golden(case: str) -> str:
    return str(GOLDEN / f"{case}.weights.npz")


@pytest.mark.parametrize("case", CASES)
def test_80_columns_are_enough(case: str) -> None:
    for row in sheet(golden(case), 80):
        assert len(row) <= 80 or row.startswith(("next", "file"))  # commands and paths stay whole


@pytest.mark.parametrize("width", [None, 80, 50])
def test_no_number_is_cut(width: int | None) -> None:
    path = golden("torch/two_layers_bidirectional")
    text = "\n".join(sheet(path, width))
    (lstm,) = inspect_files([path], {}).lstms
    for gates in lstm.gates().values():
        for numbers in gates.values():
            shown = (numbers.kernel_mean, numbers.recurrent_mean, numbers.bias_mean)
            spreads = (numbers.kernel_std, numbers.recurrent_std) if width != 50 else ()
            for value in (*shown, *spreads):
                assert re.search(rf"(?<![\d.-]){re.escape(format_number(value, 4))}(?!\d)", text)
    assert ("hidden columns: spread" in text) == (width == 50)


def test_the_role_of_a_tensor_has_room_however_long_its_name(tmp_path: Path) -> None:
    names = [
        f"model/{part}/sequence_to_sequence/attention_{part}" for part in ("encoder", "decoder")
    ]
    roles = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
    save(tmp_path / "w.npz", {f"{n}/{r}": np.ones(s) for n in names for r, s in roles.items()})
    path = str(tmp_path / "w.npz")
    for width in (60, 80, 100):
        rows = sheet(path, width)
        first = next(n for n, row in enumerate(rows) if row.startswith("shape"))
        assert rows[first].split() == ["shape", "tensor", "role", "of"]
        for row in rows[first : first + 8]:
            assert len(row) <= width
        assert re.fullmatch(r"\(2, 8\) +…\S*nt_kernel  recurrent kernel  \S*_encoder",
                            rows[first + 2])  # fmt: skip
        hidden = " ".join(rows[first + 7 : first + 9]).strip()
        assert hidden.startswith("hidden columns: dtype, starts of names (terminal too narrow; ")
    whole = "\n".join(sheet(path, None))
    assert all(f"float64  {name}/kernel " in whole for name in names)
    assert "hidden" not in whole
