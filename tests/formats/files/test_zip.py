"""Zip archives: what zipfile writes is read, and what lies is refused."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import warnings
import zipfile
from zipfile import BadZipFile

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lstmcli.errors import UserError
from lstmcli.formats import write
from lstmcli.formats.files import zip
from lstmcli.formats.files.limits import damage_reported
from lstmcli.formats.files.source import in_memory
from lstmcli.formats.files.zip import Archive
from tests.formats.helpers import piped, zipped

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
ENTRY, END = b"PK\x01\x02", b"PK\x05\x06"
PACKED, SIZE, OFFSET = 20, 24, 42  # places in a directory's entry
TWO = {"h": np.arange(6.0).reshape(2, 3), "c": np.arange(3.0)}


def unzipped(data: bytes) -> dict[str, bytes]:
    with damage_reported("it"):
        source = Archive(in_memory("it", data))
        return {
            member.filename: source.read(member, 1 << 40) for member in source.members
        }


def patched(
    data: bytes, place: int, value: int, width: int = 4, entry: int = 0
) -> bytes:
    """The archive with a number of one of its directory's entries replaced."""
    at = -1
    for _ in range(entry + 1):
        at = data.index(ENTRY, at + 1)
    at += place
    return data[:at] + value.to_bytes(width, "little") + data[at + width :]


def arrays_of(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "ours":
        write(buffer, "npz", TWO, {})
    elif kind == "stored":
        np.savez(buffer, **TWO)  # type: ignore[arg-type]
    else:
        np.savez_compressed(buffer, **TWO)  # type: ignore[arg-type]
    return buffer.getvalue()


@settings(max_examples=80)
@given(
    st.dictionaries(
        st.text("ab/é日.", min_size=1, max_size=8), st.binary(max_size=3000), max_size=5
    ),
    st.sampled_from([STORED, DEFLATED]),
    st.booleans(),
    st.binary(max_size=40),
)
def test_archives_of_zipfile_are_read(
    members: dict[str, bytes], method: int, zip64: bool, comment: bytes
) -> None:
    assume(
        b"PK\5\6" not in comment
    )  # zipfile itself takes that for the end of the archive
    assert unzipped(zipped(members, method, zip64=zip64, comment=comment)) == members


def test_members_that_share_bytes_are_read_without_a_warning() -> None:
    """Python 3.13 warns of two entries for one place; some earlier ones refuse them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"1")
        archive.filelist.append(archive.filelist[0])
    if refused_by_zipfile(buffer.getvalue()):
        with pytest.raises(UserError, match="corrupt"):
            unzipped(buffer.getvalue())
    else:
        assert unzipped(buffer.getvalue()) == {"a": b"1"}


def refused_by_zipfile(data: bytes) -> bool:
    """Tell whether the module itself takes the member "a" for damaged."""
    with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        warnings.simplefilter("ignore")
        try:
            archive.read("a")
        except BadZipFile:
            return True
    return False


def test_the_end_record_of_zip64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    members = {f"m{i}": bytes(i) for i in range(9)}
    data = zipped(members, comment=b"nine")
    assert b"PK\x06\x06" in data
    assert unzipped(data) == members


def test_numbers_in_the_zip64_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 40)
    members = {"small": b"1", "large": b"2" * 300, "later": b"3" * 30}
    data = zipped(members, zip64=True)
    at = data.index(ENTRY, data.index(ENTRY) + 1)
    assert struct.unpack_from("<LL", data, at + PACKED) == (0xFFFFFFFF, 0xFFFFFFFF)
    assert unzipped(data) == members


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"m{i}": b"" for i in range(2000)}
    data = zipped(members)
    assert unzipped(data) == members
    monkeypatch.setattr(zip, "MOST_ITEMS", 1999)
    with pytest.raises(UserError, match="more than 1,999 members"):
        unzipped(data)


def test_names_of_old_archives() -> None:
    data = zipped({"abc": b"1"})
    assert list(unzipped(data.replace(b"abc", b"a\x82c"))) == ["aéc"]
    with pytest.raises(UserError, match="decode"):
        unzipped(zipped({"aéc": b"1"}).replace("é".encode(), b"\xff\xff"))


@pytest.mark.parametrize("kind", ["ours", "stored", "deflated"])
def test_cut_at_any_length_or_followed_by_more(kind: str) -> None:
    whole = arrays_of(kind)
    for length in range(1, len(whole)):
        with pytest.raises(UserError):
            piped(whole[:length])
    with pytest.raises(UserError, match="its directory is missing"):
        piped(whole + b"x")


@pytest.mark.parametrize("kind", ["ours", "stored", "deflated"])
@pytest.mark.parametrize("flip", [0x01, 0x80, 0x15, 0xFF])
@pytest.mark.sampled(5)
def test_any_flipped_byte_is_an_error_or_changes_nothing(kind: str, flip: int) -> None:
    whole = arrays_of(kind)
    refused = 0
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= flip
        try:
            document = piped(bytes(broken))
        except UserError:
            refused += 1
            continue
        assert list(document.arrays) == list(TWO), place
        for name, array in TWO.items():
            np.testing.assert_array_equal(document.arrays[name], array)
    assert refused > len(whole) / 2


TWINS = zipped({"a.npy": bytes(100), "b.npy": bytes(100)})
SQUEEZED = zipped({"a.npy": bytes(5000), "b.npy": bytes(100)}, DEFLATED)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(TWINS, PACKED, 101), "101 bytes cannot unpack to 100"),
        (patched(TWINS, PACKED, 0xFFFFFFFF), "cannot unpack to 100"),
        (patched(TWINS, SIZE, 101), "100 bytes cannot unpack to 101"),
        (patched(TWINS, SIZE, 99), "100 bytes cannot unpack to 99"),
        (patched(SQUEEZED, SIZE, 5001), "1 bytes are missing"),
        (patched(SQUEEZED, SIZE, 4999), "CRC"),
        (patched(SQUEEZED, SIZE, 1 << 31), "cannot unpack to 2,147,483,648"),
        (patched(SQUEEZED, PACKED, 7), "CRC"),
        (patched(TWINS, 16, 1), "CRC"),
        (TWINS[: TWINS.index(END)], "directory is missing"),
    ],
)
def test_archives_that_lie(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        unzipped(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of entries that overlap, in 3.13
@pytest.mark.parametrize(("offset", "entry"), [(0, 1), (0xFFFFFFFF, 0), (1, 0)])
def test_what_zipfile_refuses_is_refused_in_its_words(offset: int, entry: int) -> None:
    """Which of its checks comes first, and its words, differ between versions of Python."""
    data = patched(TWINS, OFFSET, offset, entry=entry)
    archive = zipfile.ZipFile(io.BytesIO(data))
    name = archive.namelist()[entry]
    with pytest.raises(BadZipFile) as refused:
        archive.read(name)
    words = str(refused.value).rstrip(".")
    with pytest.raises(UserError, match=re.escape(words)):
        unzipped(data)


def test_offsets_beyond_63_bits() -> None:
    extra = struct.pack("<HHQ", 1, 8, (1 << 64) - 1)
    info = zipfile.ZipInfo("a.npy")
    info.extra = extra
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr(info, b"1")
    with pytest.raises(UserError, match="is corrupt or truncated"):
        unzipped(patched(buffer.getvalue(), OFFSET, 0xFFFFFFFF))


def test_a_bomb_stops_where_its_lie_ends() -> None:
    """A member of 40 MB that claims 100 bytes is unpacked no further than those."""
    data = patched(zipped({"a": bytes(40 << 20)}, DEFLATED), SIZE, 100)
    source = Archive(in_memory("it", data))
    tracemalloc.start()
    with pytest.raises(BadZipFile, match="CRC"):
        source.read(source.members[0], 1 << 40)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_member_claims_no_more_than_deflate_can_give() -> None:
    """A byte gives at most 1,032: what claims one more is refused before it is unpacked."""
    packed = zipfile.ZipFile(io.BytesIO(SQUEEZED)).getinfo("a.npy").compress_size
    with pytest.raises(UserError, match="are missing"):
        unzipped(patched(SQUEEZED, SIZE, 1032 * packed))
    with pytest.raises(UserError, match="cannot unpack to"):
        unzipped(patched(SQUEEZED, SIZE, 1032 * packed + 1))


@pytest.mark.parametrize("count", [200_000, 1_000_000])
@pytest.mark.parametrize("claimed", [3, 65535])
def test_a_directory_of_many_entries_is_refused_before_zipfile_lists_them(
    count: int, claimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = (ENTRY + bytes(24) + b"\1" + bytes(17) + b"a") * count
    end = struct.pack("<4s4xHHLLH", END, claimed, claimed, len(directory), 0, 0)
    monkeypatch.setattr(zip, "ZipFile", None)
    with pytest.raises(UserError, match="more than 100,000 members"):
        unzipped(directory + end)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int) -> None:
    with pytest.raises(UserError, match=f"^it: .* packed by method {method}"):
        unzipped(zipped({"a": bytes(100)}, method))
    buffer = io.BytesIO(arrays_of("stored"))
    with zipfile.ZipFile(buffer, "a", method) as archive:
        archive.writestr("README.txt", "no array, and not read")
    assert list(piped(buffer.getvalue()).arrays) == list(TWO)


def test_bytes_before_an_archive_and_a_comment_with_an_end_record_are_refused() -> None:
    for data in (b"x" + TWINS, zipped({"a": b"1"}, comment=END * 99)):
        with pytest.raises(UserError, match="its directory is"):
            unzipped(data)
