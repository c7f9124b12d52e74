"""`.safetensors` against the library's own writer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError

library = pytest.importorskip("safetensors.numpy", reason="needs lstmcli[formats]")


def test_written_safetensors_are_read_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        kind: rng.normal(size=(2, 3)).astype(kind)
        for kind in ("float16", "float32", "float64")
    }
    arrays["turned"] = rng.normal(size=(4, 5)).T
    path = str(tmp_path / "net.safetensors")
    formats.write(
        path, "safetensors", arrays, {"activation": "relu", "forget_bias": 1.0}
    )
    read = formats.read(path).arrays
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
    header = (tmp_path / "net.safetensors").read_bytes()
    assert b'"forget_bias":"1.0"' in header


def test_a_kind_of_number_that_it_lacks_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"a is complex128, which \.safetensors cannot store"
    ):
        formats.write(
            str(tmp_path / "n.safetensors"), "safetensors", {"a": np.zeros(1, complex)}
        )
    assert list(tmp_path.iterdir()) == []
