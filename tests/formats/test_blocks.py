"""Files written in pieces equal those written at once."""

from __future__ import annotations

import errno
import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.errors import UserError
from lstmcli.formats import open_blocks, read
from lstmcli.formats.files import atomic
from lstmcli.outputs import OutputFile, errors_named

SHAPE = (7, 5, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_pieces_in_any_order(tmp_path: Path, dtype: type) -> None:
    whole: np.ndarray = np.random.default_rng(0).normal(size=SHAPE).astype(dtype)
    path = str(tmp_path / "a.npy")
    cuts = [
        (slice(a, a + 2), slice(b, b + 3)) for a in (0, 2, 4) for b in (0,)
    ] + [(slice(0, 6), slice(3, 5)), (slice(6, 7), slice(0, 5))]  # fmt: skip
    random.Random(1).shuffle(cuts)
    with open_blocks(path, "npy", {"h": SHAPE}, whole.dtype) as pieces:
        for cut in cuts:
            pieces.writers["h"].write(cut, whole[cut])
    np.save(tmp_path / "b.npy", whole)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_archive_of_several(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"h": rng.normal(size=(6, 3)), "c": rng.normal(size=(6, 4))}
    with open_blocks(
        str(tmp_path / "a.npz"),
        "npz",
        {k: a.shape for k, a in arrays.items()},
        np.dtype(float),
    ) as pieces:
        for steps in (slice(3, 6), slice(0, 3)):
            for name, array in arrays.items():
                pieces.writers[name].write((steps,), array[steps])
        pieces.arrays["final_h"] = arrays["h"][-1]
        pieces.attributes["meta"] = {"steps": 6}
    document = read(str(tmp_path / "a.npz"))
    assert list(document.arrays) == ["h", "c", "final_h"]
    np.testing.assert_array_equal(document.arrays["c"], arrays["c"])
    assert document.attributes["meta"] == {"steps": 6}
    assert os.listdir(tmp_path) == ["a.npz"]


def test_a_stream_that_takes_no_pieces() -> None:
    whole, stream = np.arange(6.0).reshape(2, 3), io.BytesIO()
    with open_blocks(stream, "npy", {"h": (2, 3)}, whole.dtype) as pieces:
        pieces.writers["h"].write((slice(1, 2),), whole[1:])
        pieces.writers["h"].write((slice(0, 1),), whole[:1])
    np.testing.assert_array_equal(np.load(io.BytesIO(stream.getvalue())), whole)


class Full(OutputFile):
    """As a disk that fills up."""

    def write(self, data: Any, /) -> int:
        """Take nothing."""
        with errors_named(self.output):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_stays_of_a_file_that_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the pieces become a file."""
    path = str(tmp_path / "a.npz")

    def fill() -> None:
        with open_blocks(path, "npz", {"h": (9, 3)}, np.dtype(float)) as pieces:
            pieces.writers["h"].write((slice(0, 9),), np.ones((9, 3)))

    monkeypatch.setattr(atomic, "OutputFile", Full)
    with pytest.raises(UserError, match="cannot be written: no space left"):
        fill()
    assert os.listdir(tmp_path) == []
