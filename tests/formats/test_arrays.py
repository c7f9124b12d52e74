"""npy and npz: round trips, and files that lie about themselves."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli.errors import UserError
from lstmcli.formats import write
from tests.formats.helpers import NAMES, arrays, filed, piped, same, zipped


def written(
    kind: str, members: dict[str, Any], attributes: dict[str, Any] | None = None
) -> bytes:
    buffer = io.BytesIO()
    write(buffer, kind, members, attributes or {})
    return buffer.getvalue()


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def claimed(shape: str, descr: str = "'<f8'", payload: bytes = b"\0" * 64) -> bytes:
    """A .npy file whose header is typed by hand."""
    header = (
        f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    )
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + payload


@settings(max_examples=60)
@given(arrays(most=4))
def test_npy_round_trip(array: np.ndarray) -> None:
    document = piped(written("npy", {"anything": array}))
    assert document.format == "npy"
    assert document.arrays[""].dtype == array.dtype
    same(document.arrays[""], array)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, arrays(), min_size=1, max_size=4))
@pytest.mark.slow
def test_npz_round_trip_and_numpy_reads_it(members: dict[str, np.ndarray]) -> None:
    data = written("npz", members, {"forget_bias": 1.0, "meta": {"gates": "ifgo"}})
    document = piped(data)
    assert list(document.arrays) == list(members)
    with np.load(io.BytesIO(data)) as judge:
        for name, array in members.items():
            assert document.arrays[name].dtype == array.dtype
            same(document.arrays[name], array)
            same(judge[name], array)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=">i8").reshape(3, 4)),
        np.array([[True, False]]),
        np.arange(3, dtype=np.float16),
        np.arange(3, dtype=np.longdouble) / 3,
        np.zeros((0, 3)),
    ],
    ids=["fortran", "big-endian", "both", "bool", "float16", "longdouble", "empty"],
)
def test_arrays_come_native_and_in_c_order(array: np.ndarray) -> None:
    for data in (saved(array), written("npy", {"a": array})):
        found = piped(data).arrays[""]
        assert found.flags.c_contiguous
        assert found.dtype.isnative
        assert found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)


def test_several_arrays_do_not_fit_into_npy(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(UserError, match=r"\.npy stores one array; there are 2: h, c"):
        write(str(path), "npy", {"h": np.ones(2), "c": np.ones(2)}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            claimed("(100000000, 100000000)"),
            "cut short.*80,000,000,000,000,000 bytes, but 64",
        ),
        (claimed("(10000000000000000000000,)"), "too large"),
        (claimed(f"({10**16}, 0)", payload=b""), None),
        (claimed("(-8,)"), "impossible shape"),
        (claimed("(True, 8)"), "impossible shape"),
        (claimed("(1.5,)"), "header is broken"),
        (claimed("tuple()"), "header is broken"),
        (claimed("(9,)"), "is cut short"),
        (claimed("(7,)"), "contains more than one array"),
        (claimed("(1,)" + "," * 9), "header is broken"),
        (claimed("(" * 3000), "header is broken"),
        (claimed("(8,)", "'|O'"), "is corrupt"),
        (claimed("(8,)", "[('a', '<f8')]"), "real numbers are needed"),
        (claimed("(4,)", "'<c16'"), "the dtype complex128; real numbers are needed"),
        (claimed(f"({10**16},)", "'<U0'", b""), "strings of length 0"),
        (claimed(str((1,) * 40), payload=b"\0" * 8), "too large"),
        (b"\x93NUMPY\x09\x00" + b"\0" * 64, "version 9.0|header is broken"),
        (saved(np.array([{}], dtype=object), allow_pickle=True), "contains no tensors"),
    ],
)
def test_headers_are_checked_against_the_file(data: bytes, message: str | None) -> None:
    if message is None:
        assert piped(data).arrays[""].size == 0
    else:
        with pytest.raises(UserError, match=message):
            piped(data)


def test_a_wrong_checksum_names_the_member(tmp_path: Path) -> None:
    whole = bytearray(written("npz", {"h": np.arange(600.0)}))
    whole[2000] ^= 1
    with pytest.raises(UserError, match=r'a\.npz, member "h" is corrupt'):
        filed(tmp_path, "a.npz", bytes(whole))


OBJECTS = saved(np.array([{}], dtype=object), allow_pickle=True)


def test_object_members_are_left_out_next_to_others() -> None:
    document = piped(
        zipped({"a.npy": OBJECTS, "h.npy": saved(np.ones(2)), "notes": b"x"})
    )
    assert list(document.arrays) == ["h"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped({"a.npy": OBJECTS}), "a contains Python objects"),
        (zipped({}), "without .npy members"),
        (zipped({"notes.txt": b"x"}), "without .npy members"),
        (
            zipped({"h.npy": saved(np.ones(2, complex))}),
            "of the dtype complex",
        ),
        (zipped({"h.npy": claimed(f"({10**16},)")}), 'member "h" is cut short'),
        (zipped({"h.npy": b""}), 'member "h"'),
    ],
)
def test_archives_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        piped(data)


def test_an_encrypted_member_is_named() -> None:
    data = bytearray(zipped({"h.npy": saved(np.ones(2))}))
    directory = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    with pytest.raises(UserError, match=r": its member h\.npy is encrypted"):
        piped(bytes(data))


@pytest.mark.slow
def test_a_bomb_is_refused_unread() -> None:
    data = zipped({"h.npy": bytes(300 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="claim to unpack to 314,572,800"):
        piped(data)


def test_two_members_of_one_name() -> None:
    data = zipped({"h.npy": saved(np.ones(2)), "g.npy": saved(np.ones(2))})
    with pytest.raises(UserError, match="two members"):
        piped(data.replace(b"g.npy", b"h.npy"))


def test_meta_that_is_not_json_stays_text() -> None:
    assert piped(written("npz", {"h": np.ones(1)}, {"meta": "{"})).attributes == {
        "meta": "{"
    }


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "sprung",)

    payload = np.array([Trap()], dtype=object)
    members = {"a.npy": saved(payload, allow_pickle=True), "h.npy": saved(np.ones(1))}
    for name, data in [
        ("a.npz", zipped(members)),
        ("a.npy", members["a.npy"]),
        ("a.pkl", pickle.dumps(Trap())),
        ("a.json", pickle.dumps(Trap(), protocol=0)),
    ]:
        try:
            filed(tmp_path, name, data)
        except UserError:
            pass
    assert not (tmp_path / "sprung").exists()


def test_npz_goes_to_streams_that_cannot_seek() -> None:
    class Pipe(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            self.data += bytes(piece)
            return len(piece)

    pipe = Pipe()
    write(pipe, "npz", {"h": np.arange(3.0)}, {"meta": {"a": 1}})  # type: ignore[arg-type]
    document = piped(pipe.data)
    assert document.arrays["h"].tolist() == [0, 1, 2]
    assert document.attributes == {"meta": json.loads('{"a": 1}')}


def test_a_file_of_python_2_is_read_without_a_warning() -> None:
    assert piped(claimed("(8L,)")).arrays[""].shape == (8,)
