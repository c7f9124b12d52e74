"""Limits on the memory that a file may ask for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lstmcli
from lstmcli import formats
from lstmcli.cli import invoke
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import USUAL, check_size, most, raised_to
from tests.formats.helpers import filed


def test_a_tensor_within_the_limit_is_counted() -> None:
    assert check_size((3, 5), 4, "w") == 15
    assert check_size((USUAL // 4,), 4, "w") == USUAL // 4


def test_beyond_the_limit_the_way_out_is_reported_and_works() -> None:
    with pytest.raises(
        UserError, match=r"(?s)w would take 1,099,511,627,776 .*max_bytes=10995"
    ):
        check_size((1 << 40,), 1, "w")
    with raised_to(1 << 40):
        assert check_size((1 << 40,), 1, "w") == 1 << 40
    with pytest.raises(UserError):
        check_size((1 << 40,), 1, "w")


def test_a_negative_length_is_damage() -> None:
    with pytest.raises(UserError, match="corrupt"):
        check_size((-3, 5), 4, "w")


W = np.random.default_rng(0).normal(size=(6, 4))
KERNELS = {"kernel": W[:2], "recurrent_kernel": W[2:3], "bias": W[3]}


def test_a_shape_of_a_million_axes_is_not_multiplied_out() -> None:
    assert check_size((1,) * 32, 4, "w.npz: kernel") == 1
    with pytest.raises(
        UserError, match=r"^w.npz: kernel has 33 axes; NumPy's arrays have 32"
    ):
        check_size((1,) * 33, 4, "w.npz: kernel")
    with pytest.raises(
        UserError, match=r"^w.onnx: W has 1,000,000 axes; NumPy's arrays have 32"
    ):
        check_size([1 << 62] * 1_000_000, 4, "w.onnx: W")


@pytest.mark.parametrize(
    "suffix", [".npz", ".json", ".npy", ".csv", ".tsv", ".jsonl", ".txt"]
)
def test_every_format_asks_before_a_tensor_is_made(tmp_path: Path, suffix: str) -> None:
    path = str(tmp_path / f"w{suffix}")
    format = formats.format_of(path)
    if format in ("jsonl", "csv", "tsv"):
        with open(path, "wb") as stream:
            formats.open_steps(stream, format, ["h"], batched=False).write(
                range(len(W)), {"h": W}
            )
    else:
        formats.write(path, format, {"": W})
    with raised_to(W.nbytes - 1), pytest.raises(UserError, match=r"max_bytes=\d+"):
        formats.read(path)
    with raised_to(W.nbytes):
        assert formats.read(path).arrays


def test_lines_are_counted_together(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    path.write_text(
        '{"h": [1, 2]}\n' * 40_000
    )  # two of the pieces that are parsed at a time
    with (
        raised_to(640_000 - 1),
        pytest.raises(UserError, match=r"w\.jsonl: h would take more than"),
    ):
        formats.read(str(path))
    with raised_to(640_000):
        assert formats.read(str(path)).arrays["h"].nbytes == 640_000


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3, 4, 5, 6]",
        "[[1, 2, 3], [4, 5, 6]]",
        '[{"h": [1, 2, 3]}, {"h": [4, 5, 6]}]',
        '[{"data": [1, 2, 3], "dims": [3]}, {"data": [4, 5, 6], "dims": [3]}]',
    ],
)
def test_a_list_of_any_form_is_one_tensor(tmp_path: Path, text: str) -> None:
    with raised_to(48):
        assert [
            array.size for array in filed(tmp_path, "a.json", text).arrays.values()
        ] == [6]
    with raised_to(47), pytest.raises(UserError, match=r"max_bytes=48$"):
        filed(tmp_path, "a.json", text)


def test_a_limit_belongs_to_one_command_and_one_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "w.npz")
    np.savez(path, **KERNELS)
    assert invoke(["inspect", path, "--max-bytes", "63"]) == 2
    assert "--max-bytes 64" in capsys.readouterr().err
    assert most() == USUAL
    assert invoke(["inspect", path]) == 0
    with pytest.raises(UserError, match="max_bytes=64"):
        lstmcli.load(path, max_bytes=63)
    assert lstmcli.load(path).cell.units == 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "txt", "npy", "npz"])
def test_the_limit_that_a_refusal_names_is_enough(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / f"x.{suffix}")
    values = np.random.default_rng(0).normal(size=(104, 40))
    if suffix == "csv":
        np.savetxt(path, values, delimiter=",")
    elif suffix == "txt":
        Path(path).write_text(np.array2string(values, threshold=values.size))
    elif suffix == "json":
        Path(path).write_text(json.dumps({"h": values.tolist()}))
    elif suffix == "jsonl":
        Path(path).write_text(
            "".join(f"{json.dumps(row.tolist())}\n" for row in values)
        )
    elif suffix == "npy":
        np.save(path, values)
    else:
        np.savez(path, h=values)
    assert invoke(["diff", path, path, "-q", "--max-bytes", "1000"]) == 2
    limit = capsys.readouterr().err.rpartition("--max-bytes ")[2].split()[0]
    assert invoke(["diff", path, path, "-q", "--max-bytes", limit]) == 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "[" * 33 + "1." + "]" * 33, "nested more than 32 brackets deep"),
        ("a.txt", "h[0] = 1.\nh[999999999] = 1.\n", "an index of h is out of range"),
        (
            "a.csv",
            "a," * 1_000_000 + "b\n",
            "1,000,001 columns are more than the 1,000,000",
        ),
    ],
)
def test_texts_of_more_than_can_be_an_array_are_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        formats.read(str(tmp_path / name))
