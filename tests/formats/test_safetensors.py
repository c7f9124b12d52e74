"""`.safetensors` against the library's own writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError

library = pytest.importorskip("safetensors.numpy", reason="needs lstmcli[formats]")


def test_every_dtype_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        kind: rng.integers(0, 2, (3, 2)).astype(kind)
        for kind in ("float64", "float32", "float16", "int64", "int32", "int8", "uint8", "bool")
    }
    tensors["weight"] = rng.normal(size=(2, 3, 4)).astype(np.float32)
    library.save_file(tensors, tmp_path / "w.safetensors", metadata={"format": "pt"})
    document = formats.read(str(tmp_path / "w.safetensors"))
    assert set(document.arrays) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(document.arrays[name], array)
        assert document.arrays[name].dtype == array.dtype


def test_tensors_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"t{n * 7 % 40}" for n in range(40)]
    entry = {"dtype": "U8", "shape": [1]}
    places = {name: {**entry, "data_offsets": [n, n + 1]} for n, name in enumerate(names)}
    header = json.dumps(places).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(range(40)))
    arrays = formats.read(str(path)).arrays
    assert list(arrays) == names
    assert [int(array[0]) for array in arrays.values()] == [*range(40)]


def test_what_is_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        kind: rng.normal(size=(2, 3)).astype(kind) for kind in ("float16", "float32", "float64")
    }
    arrays["turned"] = rng.normal(size=(4, 5)).T
    path = str(tmp_path / "net.safetensors")
    formats.write(path, "safetensors", arrays, {"activation": "relu", "forget_bias": 1.0})
    read = formats.read(path).arrays
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
    header = (tmp_path / "net.safetensors").read_bytes()
    assert b'"forget_bias":"1.0"' in header


def test_a_kind_of_number_that_it_lacks_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a is complex128, which \.safetensors cannot store"):
        formats.write(str(tmp_path / "n.safetensors"), "safetensors", {"a": np.zeros(1, complex)})
    assert list(tmp_path.iterdir()) == []
