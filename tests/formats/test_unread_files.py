"""Files of programs whose LSTMs are not read are named for what they are, with a way out.

``tests/golden/unread_files`` was written by the programs themselves.
"""

from __future__ import annotations

import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats, run
from lstmcli.api.load import load
from lstmcli.errors import UserError
from tests.recorded import GOLDEN, held

FOLDER = GOLDEN / "unread_files"
QUANTISED = {
    "state": "rnn",
    "float16": "rnn",
    "cell": "rnn",
    "module": "0",
    "script": "rnn",
}


@pytest.mark.parametrize("kind", QUANTISED)
def test_a_quantised_lstm_of_pytorch_is_named(kind: str) -> None:
    with pytest.raises(UserError) as refused:
        load(str(FOLDER / f"quantised_{kind}.pt"))
    assert f"the LSTM {QUANTISED[kind]} is quantised" in str(refused.value)
    assert "Save the model before quantize_dynamic" in str(refused.value)


def test_tensors_next_to_a_quantised_lstm_are_listed_and_the_lstm_reported() -> None:
    document = formats.read(str(FOLDER / "quantised_float16.pt"))
    assert list(document.arrays) == ["out.weight", "out.bias"]
    assert any("the LSTM rnn is quantised" in remark for remark in document.remarks)


def test_an_lstm_next_to_another_quantised_layer_is_read() -> None:
    assert load(str(FOLDER / "quantised_linear_alone.pt")).cell.units == 3


def test_weights_that_pytorch_unpacks_from_a_quantised_lstm_run() -> None:
    """The way out that the message names; PyTorch rounds inputs and h to 8 bits as well."""
    expected = held("unread_files/unpacked")
    ours = run(load(str(FOLDER / "unpacked.pt")), expected["inputs"]).h
    assert np.abs(ours - expected["h"]).max() < 0.01
    assert np.abs(ours).max() > 0.1


@pytest.mark.parametrize(
    ("name", "what", "way_out"),
    [
        ("thinc.bin", "a model of thinc, as spaCy keeps them", "Load it with thinc"),
        (
            "eng.traineddata",
            "traineddata of Tesseract",
            "save the arrays of its weights",
        ),
        ("eng.lstm", "a network of Tesseract", "save the arrays of its weights"),
        (
            "torch0.1_tar.pt",
            "a tar archive of PyTorch 0.1",
            "torch.save(torch.load(FILE, weights_",
        ),
        (
            "../dynet/birnn_3_layers.model",
            "a file of DyNet's parameters",
            "numpy.savez('weights.n",
        ),
    ],
)
def test_a_file_of_another_program_is_named_whatever_its_name(
    name: str, what: str, way_out: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.dat"
    path.write_bytes((FOLDER / name).read_bytes())
    with pytest.raises(UserError) as refused:
        formats.read(str(path))
    assert f"weights.dat is {what}; this version does not read it." in str(
        refused.value
    )
    assert way_out in str(refused.value)


def test_a_tar_of_other_files_is_to_be_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(FOLDER / "unpacked.pt", "unpacked.pt")
    with pytest.raises(UserError, match=r"a tar archive; .* tar xf FILE\."):
        formats.read(str(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "tensorflow_v1",
            "model.ckpt is a checkpoint in TensorFlow's V1 format (before 0.12)",
        ),
        (
            "tensorflow_partitioned",
            "net/rnn/lstm_cell/kernel is a partitioned variable",
        ),
    ],
)
def test_an_old_checkpoint_of_tensorflow_is_named(
    name: str, what: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    with pytest.raises(UserError) as refused:
        formats.read(str(tmp_path))
    assert what in str(refused.value)
    assert f"tf.train.load_checkpoint('{tmp_path / 'model.ckpt'}')" in str(
        refused.value
    )


def test_one_shard_of_an_old_checkpoint_is_enough_to_name_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / "tensorflow_v1.zip") as archive:
        table = archive.read("model.ckpt")
    for number in (0, 1):
        (tmp_path / f"m-{number:05}-of-00002").write_bytes(table)
    for given in ("m", "m-00001-of-00002"):
        with pytest.raises(
            UserError, match=r"load_checkpoint\('[^']*/m-\?{5}-of-00002'\)"
        ):
            formats.read(str(tmp_path / given))


@pytest.mark.parametrize("begins", [[], [-1, -1], [28, 20], [21, 30]])
def test_a_table_that_does_not_begin_with_its_first_component_is_none(
    begins: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack(f"<i{len(begins)}q", len(begins), *begins) + bytes(40))
    with pytest.raises(UserError, match="neither text nor of a known kind"):
        formats.read(str(path))
