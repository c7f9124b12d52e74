"""Files that TensorFlow wrote: what it has besides its tensors, and which path means which file.

``tests/golden/record/tensorflow*_files.py`` made them with six versions of TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli import formats, run
from lstmcli.api.inspect import inspect_files
from lstmcli.api.load import load
from lstmcli.errors import UserError
from lstmcli.formats.tensorflow import bundle
from tests.recorded import cases, recorded

CASES = cases("tensorflow_files/*")


def unpacked(case: str, folder: Path) -> Path:
    """The case's files in a folder; the path that its record says to give."""
    (path,) = recorded(f"tensorflow_files/{case}").paths(folder)
    return Path(path)


BY_NAME = "bw backward (from the tensor names; --set {}=false)"
STACKED = {"layer0.forget_bias": 0.3, "layer1.forget_bias": 2.0}


@pytest.mark.parametrize(
    ("case", "settings", "assumed"),
    [
        ("bidirectional_stacks_fw", STACKED, ()),
        ("bidirectional_stacks_bw", STACKED, ("reverse",)),
        ("bidirectional_scope", {}, ("layer0_reverse.reverse",)),
        (
            "bidirectional_layers",
            STACKED
            | {"layer0_reverse.forget_bias": 0.3, "layer1_reverse.forget_bias": 2.0},
            (),
        ),
        ("bidirectional_not", {"layer0_reverse.reverse": False}, ()),
    ],
)
def test_without_the_graph_the_scope_bw_is_backward_and_reported_as_assumed(
    case: str, settings: dict[str, Any], assumed: tuple[str, ...], tmp_path: Path
) -> None:
    path = unpacked(f"tf1.15_{case}", tmp_path)
    (tmp_path / "model.ckpt.meta").unlink()
    _, record, arrays = recorded(f"tensorflow_files/tf1.15_{case}")
    settings |= {name: record[name] for name in ("layer",) if name in record}
    model = load(str(path), **settings)
    said = [text for text in model.assumed if text.startswith("bw ")]
    assert said == [BY_NAME.format(setting) for setting in assumed]
    trace = run(model, arrays["inputs"], layout="batch")
    np.testing.assert_allclose(trace.h, arrays["h"], rtol=1e-6, atol=1e-6)


def test_the_graph_goes_before_the_scope(tmp_path: Path) -> None:
    model = load(str(unpacked("tf1.15_bidirectional_not", tmp_path)))
    assert any(
        "settings of bw/rnn/lstm_cell in" in r and "forward" in r for r in model.remarks
    )
    assert not any(text.startswith("bw ") for text in model.assumed)


@pytest.mark.parametrize(
    ("case", "has_lengths"),
    [
        ("tf1.15_bidirectional", True),
        ("tf2.21_bidirectional", True),
        ("tf2.21_functional_loop_backward", True),
        ("tf2.21_functional_loop", False),
        ("tf1.15_bidirectional_scope", False),
    ],
)
def test_the_sequence_length_of_a_graph_is_assumed_not_to_matter(
    case: str, has_lengths: bool, tmp_path: Path
) -> None:
    _, record, arrays = recorded(f"tensorflow_files/{case}")
    settings = {name: record[name] for name in ("layer",) if name in record}
    model = load(str(unpacked(case, tmp_path)), **settings)
    said = [
        one for one in model.assumed if one.startswith("sequence_length not applied")
    ]
    assert len(said) == has_lengths
    assert all(one.endswith("the graph in model.ckpt.meta; --lengths)") for one in said)
    trace = run(model, arrays["inputs"], layout="batch", lengths=[6, 2, 4])
    assert not trace.h[1, 2:].any()


@pytest.mark.parametrize("case", ["tf1.15_gru", "tf1.15_gru_frozen"])
def test_a_gru_is_called_one(case: str, tmp_path: Path) -> None:
    path = str(unpacked(case, tmp_path))
    says = "gru_cell/gates/kernel and rnn/gru_cell/candidate/kernel are a GRU of TensorFlow 1"
    with pytest.raises(UserError, match=says):
        load(path)
    with pytest.raises(UserError, match=says):
        load(path, convention="tf1")
    inspection = inspect_files([path], {})
    assert not inspection.lstms
    assert not inspection.unread
    assert says in inspection.missing[0]


@pytest.mark.parametrize(
    "case", [one.split("/")[1] for one in CASES if "tf1.15_every" in one]
)
@pytest.mark.parametrize("given", ["", "checkpoint", "model.ckpt", "model.ckpt.meta"])
def test_a_checkpoint_goes_by_its_folder_and_by_any_of_its_files(
    case: str, given: str, tmp_path: Path
) -> None:
    model = load(str(unpacked(case, tmp_path).parent / given))
    assert model.convention.behaviour.cell_clip == 0.5


@pytest.mark.parametrize(
    "given", ["model.ckpt.index", "model.ckpt.data-00000-of-00002"]
)
def test_the_second_format_goes_by_its_index_and_its_shards(
    given: str, tmp_path: Path
) -> None:
    unpacked("tf2.21_two_shards_v2", tmp_path)
    document = formats.read(str(tmp_path / given))
    assert document.source == str(tmp_path / "model.ckpt.index")
    assert "elsewhere" in document.arrays


@pytest.mark.parametrize(
    "given", ["", "saved_model.pb", "variables", "variables/variables"]
)
def test_a_saved_model_goes_by_its_folder(given: str, tmp_path: Path) -> None:
    path = unpacked("tf1.15_saved_model", tmp_path)
    assert load(str(path / given)).convention.behaviour.forget_bias == 0.6


def test_the_file_that_gives_a_setting_is_reported(tmp_path: Path) -> None:
    model = load(str(unpacked("tf1.15_everything_v2", tmp_path)))
    (remark,) = model.remarks
    assert remark == (
        f"settings of rnn/lstm_cell in {tmp_path / 'model.ckpt.meta'}: "
        "forget bias 0.6, cell clip 0.5, projection clip 0.2."
    )
    assert not any("forget bias" in one for one in model.assumed)


def test_a_setting_that_is_given_goes_before_the_graph_s(tmp_path: Path) -> None:
    path = unpacked("tf1.15_everything_v2", tmp_path)
    assert (
        lstmcli.load(str(path), forget_bias=-2).convention.behaviour.forget_bias == -2
    )


def test_without_the_graph_the_forget_bias_is_assumed_and_reported(
    tmp_path: Path,
) -> None:
    path = unpacked("tf1.15_everything_v2", tmp_path)
    (tmp_path / "model.ckpt.meta").unlink()
    model = load(str(path))
    assert model.convention.behaviour.forget_bias == 1
    assert any("forget bias" in one for one in model.assumed)
    assert not model.remarks


def test_variables_come_in_the_order_in_which_the_graph_made_them(
    tmp_path: Path,
) -> None:
    names = list(formats.read(str(unpacked("tf1.15_two_shards_v2", tmp_path))).arrays)
    assert names == ["elsewhere", "rnn/lstm_cell/kernel", "rnn/lstm_cell/bias"]


def test_without_the_library_one_line_says_that_checksums_were_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "checksum_library", lambda: None)
    document = formats.read(str(unpacked("tf1.0_dtypes_v2", tmp_path)))
    said = [remark for remark in document.remarks if "were not checked" in remark]
    assert len(said) == 1
    assert "pip install 'google-crc32c>=1.6'" in said[0]
