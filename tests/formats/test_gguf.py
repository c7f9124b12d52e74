"""GGUF: the library reads it, but nothing past the end of a file, however its header counts."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.api.diff import diff
from lstmcli.errors import MissingExtra, UserError
from lstmcli.formats import gguf
from lstmcli.formats.files.limits import raised_to
from tests.recorded import GOLDEN, held
from tests.standard_input import from_stdin

FILE = (GOLDEN / "gguf" / "q8_0.gguf").read_bytes()


def text(name: str) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode()


def forged(
    tensors: int = 1,
    fields: int = 0,
    version: int = 3,
    body: bytes = b"",
    magic: bytes = b"GGUF",
) -> bytes:
    return magic + struct.pack("<IQQ", version, tensors, fields) + body


def tensor(name: str, *sizes: int, kind: int = 0, offset: int = 0) -> bytes:
    head = (
        text(name)
        + struct.pack("<I", len(sizes))
        + struct.pack(f"<{len(sizes)}Q", *sizes)
    )
    return head + struct.pack("<IQ", kind, offset)


def padded(header: bytes, numbers: bytes, alignment: int = 32) -> bytes:
    return header + bytes(-len(header) % alignment) + numbers


Read = Callable[[bytes], formats.Document]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def document(data: bytes) -> formats.Document:
        (tmp_path / "w.gguf").write_bytes(data)
        return formats.read(str(tmp_path / "w.gguf"))

    return document


def test_sizes_are_reversed_and_the_alignment_is_the_file_s(read: Read) -> None:
    numbers = np.arange(6, dtype="<f4")
    field = text("general.alignment") + struct.pack("<II", 4, 64)
    header = forged(fields=1, body=field + tensor("w", 3, 2))
    (array,) = read(padded(header, numbers.tobytes(), 64)).arrays.values()
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_array_of_a_reference_is_a_member(tmp_path: Path) -> None:
    path = GOLDEN / "gguf" / "f32.gguf"
    name = "enc.lstm.bias_ih_l0"
    assert diff(f"{path}:{name}", held("gguf/f32.tensors")[name]).equal


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (forged(version=1), "appears to be version 1 which we cannot handle"),
        (forged(tensors=1 << 60), "ends too early"),
        (forged(fields=1 << 60), "ends too early"),
        (forged(body=struct.pack("<Q", 1 << 62)), "ends too early"),
        (forged(body=tensor("w", 1 << 40)), "ends too early"),
        (forged(body=text("w") + struct.pack("<I", 1 << 31)), "ends too early"),
        (padded(forged(body=tensor("w", 3, 2)), bytes(20)), "ends too early"),
        (padded(forged(body=tensor("w", 3, 2, offset=1 << 62)), bytes(24)), "ends too early"),
        (padded(forged(2, body=tensor("w", 1) * 2), bytes(8)), "duplicated tensor"),
        (forged(0, 1, body=text("a") + struct.pack("<I", 77)), "is not a valid GGUFValueType"),
        (forged(0, 1, body=text("a") + struct.pack("<IIQ", 9, 8, 1 << 50)), "ends too early"),
        (forged(0, 1, body=text("a") + struct.pack("<IIQ", 9, 6, 1 << 62)), "ends too early"),
        (forged(0, 1, body=text("general.alignment") + struct.pack("<II", 4, 3)), "alignment"),
        (padded(forged(body=tensor("w", 31, 2, kind=8)), bytes(99)), "not a multiple of"),
        (padded(forged(body=tensor("w", 1 << 32, 1 << 32)), bytes(8)), "w.gguf"),
    ],
)  # fmt: skip
def test_a_forged_header_is_refused(read: Read, data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(data)


def test_a_header_of_many_values_is_refused(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "MOST_VALUES", 1000)
    with pytest.raises(UserError, match="more than 1,000 values"):
        read(
            forged(0, 1, body=text("a") + struct.pack("<IIQ", 9, 0, 2000) + bytes(2000))
        )


def test_types_that_the_package_does_not_unpack_are_reported(read: Read) -> None:
    data = padded(forged(body=tensor("w", 32, kind=9)), bytes(64))  # Q8_1
    document = read(data)
    assert not document.arrays
    (remark,) = document.remarks
    assert remark.endswith(
        ": left out, of types that the library gguf does not unpack: w."
    )


def test_without_the_package_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match="is a GGUF model; reading it needs gguf:"):
        formats.read(str(GOLDEN / "gguf" / "f16.gguf"))


def test_standard_input_is_refused_with_the_reason() -> None:
    with pytest.raises(
        UserError, match="mapped into memory: save it, and give its path"
    ):
        from_stdin(formats.read, FILE)


@pytest.mark.parametrize(
    "kind", ["Q4_K", "Q5_K", "Q6_K", "Q2_K", "Q8_0", "IQ4_NL", "BF16"]
)
def test_packed_types_are_those_of_the_package(kind: str, tmp_path: Path) -> None:
    """Blocks of any bytes but with scales that are numbers, written and unpacked by the package."""
    library = pytest.importorskip("gguf")
    quantisation = library.GGMLQuantizationType[kind]
    block, size = library.GGML_QUANT_SIZES[quantisation]
    rng = np.random.default_rng(3)
    rows = rng.integers(
        0, 60, (4, 512 // block * size), dtype=np.uint8
    )  # no exponent of infinity
    writer = library.GGUFWriter(tmp_path / "w.gguf", "lstm")
    writer.add_tensor("first", np.arange(3, dtype=np.float32))
    writer.add_tensor("packed", rows, raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    array = formats.read(str(tmp_path / "w.gguf")).arrays["packed"]
    assert array.shape == (4, 512)
    np.testing.assert_array_equal(array, library.dequantize(rows, quantisation))


def test_more_than_one_tensor_may_take_is_refused(read: Read) -> None:
    data = padded(forged(body=tensor("a", 2, 3)), bytes(24))
    assert read(data).arrays["a"].shape == (3, 2)
    with raised_to(23), pytest.raises(UserError, match="max_bytes=24"):
        read(data)
