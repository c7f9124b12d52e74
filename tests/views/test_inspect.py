"""Sheets of inspections: what they say, and that they fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.inspect import inspect_files
from lstmcli.core.model.conventions import CONVENTIONS
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


def test_a_cell_of_tensorflow_1() -> None:
    rows = sheet(golden("tensorflow1/lstm_cell"), None)
    assert "(8, 12)  float32  rnn/lstm_cell/kernel  kernel [x; h]" in rows
    assert f"lstm      rnn_lstm_cell   tf1   {CONVENTIONS['tf1'].title}"[:60] in "\n".join(rows)
    assert "sizes     5 inputs -> 3 units   1 layer   1 direction   108 parameters" in rows
    assert "assumed   forget bias +1.0 (not stored in the weights; --forget-bias)" in rows


def test_what_is_still_to_be_said_is_listed_a_line_each_and_typed_next(tmp_path: Path) -> None:
    gates = {f"W{gate}": np.ones((8, 3)) for gate in "ifco"}
    save(tmp_path / "gates.npz", gates | {f"b{gate}": np.ones(3) for gate in "ifco"})
    rows = sheet(str(tmp_path / "gates.npz"), 80)
    at = next(n for n, row in enumerate(rows) if "is to be read:" in row)
    assert rows[at + 1].split() == ["--rows", "hx", "[h;", "x]:", "h", "comes", "first"]
    assert rows[-1] == f"next      lstm run {tmp_path / 'gates.npz'} inputs.npy --rows hx"
    save(tmp_path / "square.npz", {"W": np.ones((16, 16)), "b": np.ones(16)})
    rows = sheet(str(tmp_path / "square.npz"), 80)
    assert "no lstm   W is (16, 16); along which axis are the gates?" in rows
    assert rows[-1].endswith("square.npz inputs.npy --convention tf1")
    save(tmp_path / "V.npz", {"W": np.ones((8, 16)), "V": np.ones((4, 16)), "b": np.ones(16)})
    path = tmp_path / "V.npz"
    assert sheet(str(path), 80)[-1] == f"next      lstm run kernel={path}:W bias={path}:b INPUTS"
    save(tmp_path / "shape.npz", {"lstm/kernel": np.ones((3, 12)), "lstm/bias": np.ones(12)})
    rows = sheet(str(tmp_path / "shape.npz"), 80)
    assert not any("\\n" in row for row in rows)
    assert rows[-1] == "next      lstm conventions tf1"


def test_the_last_line_is_what_to_type_next(tmp_path: Path) -> None:
    one = golden("chainer/lstm")
    assert sheet(one, None)[-1] == f"next      lstm run {one} inputs.npy"
    two = golden("haiku/deep")
    assert sheet(two, None)[-1] == f"next      lstm run {two} inputs.npy --layer lstm"
    rivals = golden("tensorflow1/block_lstm_peepholes")
    assert sheet(rivals, 80)[-1].endswith(" --convention tf-block")
    changed = sheet(one, None, forget_bias=1.0, interleaved=False)[-1]
    assert changed.endswith(" --forget-bias 1 --set interleaved=false")
    spaced = tmp_path / "a file.npz"
    np.savez(spaced, kernel=np.ones((5, 8)), bias=np.ones(8), inputs=np.ones((2, 3)))
    assert sheet(str(spaced), None)[-1] == f"next      lstm run '{spaced}'"


def test_many_tensors_are_summed_up(tmp_path: Path) -> None:
    others = {f"conv{n}/filters": np.ones((3, 7)) for n in range(40)}
    lstm = {"lstm/kernel": np.ones((3, 8)), "lstm/recurrent_kernel": np.ones((2, 8))}
    save(tmp_path / "w.npz", others | lstm)
    path = str(tmp_path / "w.npz")
    short, whole = sheet(path, 80), sheet(path, 80, show_all=True)
    assert "...  40 more tensors, 840 numbers: --all lists them" in short
    assert not any("filters" in row for row in short)
    assert sum("filters" in row for row in whole) == 40
    heading = next(n for n, row in enumerate(short) if row.startswith("shape"))
    assert "lstm/kernel" in short[heading + 1]  # those of the LSTM come first


def test_without_an_lstm_tensors_are_listed_those_that_sound_like_one_first(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    arrays = {f"block{n}/thing": np.zeros((3, n + 1)) for n in range(40)}
    save(path, arrays | {"out/kernel": np.zeros(3), "rnn/x": np.zeros(2), "my_lstm/y": np.zeros(1)})
    rows = sheet(str(path), 80)
    first = next(n for n, row in enumerate(rows) if row.startswith("shape"))
    names = [row.split()[-1] for row in rows[first + 1 : first + 5]]
    assert names == ["my_lstm/y", "rnn/x", "out/kernel", "block0/thing"]
    assert "...  19 more tensors, 1,767 numbers: --all lists them" in rows


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


def test_conventions_to_choose_from_are_listed() -> None:
    rows = sheet(golden("tensorflow1/block_lstm_peepholes"), None)
    assert any("--convention tf-block-v2" in row for row in rows)


def test_no_lstm(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", foo=np.ones((3, 4)), bar=np.array([1.0, np.nan]))
    rows = sheet(str(tmp_path / "w.npz"), None)
    assert "(3, 4)  float64  foo" in rows
    assert "NaN, inf  bar: 1 of 2 numbers" in rows
    assert "no lstm   no LSTM recognised in these names" in rows
    assert rows[-1].startswith("next      lstm conventions")


def test_what_is_not_read_is_reported_once(tmp_path: Path) -> None:
    gru = {"weight_ih_l0": np.ones((15, 3)), "weight_hh_l0": np.ones((15, 5))}
    layers = {f"{part}.{name}": array for part in "abcdefg" for name, array in gru.items()}
    save(tmp_path / "w.npz", layers)
    told = [row for row in sheet(str(tmp_path / "w.npz"), None) if row.startswith("no lstm")]
    assert len(told) == 1
    assert "a, b, c, d and 3 more" in told[0]
