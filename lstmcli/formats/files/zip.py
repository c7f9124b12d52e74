"""Zip archives: the standard library's `zipfile` behind checks of what an archive declares.

`ZipFile` takes any directory: a million entries become as many objects (4 s
and 475 MB), bytes before and after the archive are accepted, and sizes that no
compression reaches. The records are those of PKWARE's APPNOTE.TXT, 4.3.
Members may share bytes: `check_total` limits what all unpack to.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import IO, BinaryIO
from warnings import catch_warnings, simplefilter
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from lstmcli.errors import UserError, listed
from lstmcli.formats.files.limits import MOST_ITEMS, Damaged
from lstmcli.formats.files.source import MODELS, Opened

ENCRYPTED = 1  # a bit of `ZipInfo.flag_bits`
METHODS = (ZIP_STORED, ZIP_DEFLATED)  # what NumPy, PyTorch and Keras write
MOST_COMPRESSION = 1032  # bytes that deflate makes of one at most
MOST_NAMED = 3  # files of an archive that a message names
MOST_COMMENT = (1 << 16) - 1  # bytes behind the end record

_ENTRY = b"PK\x01\x02"  # starts each entry of the directory
_END = Struct(
    "<4s6xHLLH"
)  # count, length and start of the directory, length of the comment
_END64 = Struct(
    "<4s28xQQQ4s16x"
)  # the same without the comment, and the locator behind it


def unzip(names: Iterable[str]) -> str:
    """The advice on an archive that has files of weights in it; "" without any."""
    files = [name for name in names if name.lower().endswith(MODELS)]
    return f"Unzip it, and give {listed(files, MOST_NAMED)}." if files else ""


class Archive:
    """The members of a zip archive.

    Damaged for bytes before or behind it, or too many members; `ZipFile`
    raises others.
    """

    def __init__(self, file: Opened) -> None:
        self._source, stream, size = file.source, file.stream, file.size
        count = _check_directory(stream, size)
        self._file = ZipFile(stream)
        self.members = self._file.infolist()
        if len(self.members) != count:
            raise Damaged(
                f"its directory has {len(self.members):,} members and claims {count:,}"
            )
        for member in filter(_is_read, self.members):  # headers may differ
            self.open(member).close()

    def open(self, member: ZipInfo) -> IO[bytes]:
        """The unpacked bytes of a member; read them with a length, up to ``member.file_size``.

        Damaged for a size that its packed bytes cannot have; UserError if it
        is encrypted, or packed by another method.
        """
        if not _is_read(member):
            text = f"{member.filename} is encrypted or packed by method {member.compress_type}"
            raise UserError(
                f"{self._source}: its member {text}. Unpack it, and save it again."
            )
        packed, size = member.compress_size, member.file_size
        stored = member.compress_type == ZIP_STORED
        if packed != size if stored else packed * MOST_COMPRESSION < size:
            raise Damaged(f"{packed:,} bytes cannot unpack to {size:,}")
        with catch_warnings():
            simplefilter(
                "ignore"
            )  # of members that share bytes, by some versions of Python
            return self._file.open(member)

    def read(self, member: ZipInfo, most: int) -> bytes:
        """All bytes of a member; Damaged if it declares over ``most``, or has fewer."""
        if member.file_size > most:
            raise Damaged(
                f"its member {member.filename} would unpack to {member.file_size:,} bytes"
            )
        with self.open(member) as stream:
            data = stream.read(
                member.file_size
            )  # without a length, a forged size is no end
        if len(data) < member.file_size:
            raise Damaged(f"{member.file_size - len(data):,} bytes are missing")
        return data


def _is_read(member: ZipInfo) -> bool:
    return not member.flag_bits & ENCRYPTED and member.compress_type in METHODS


def _check_directory(stream: BinaryIO, size: int) -> int:
    reach = min(size, _END64.size + _END.size + MOST_COMMENT)
    stream.seek(size - reach)
    tail = stream.read(reach)
    at = tail.rfind(b"PK\x05\x06", 0, max(0, reach - _END.size + 4))
    _, count, length, start, comment = (
        _END.unpack_from(tail, at) if at >= 0 else [0] * 5
    )
    if at < 0 or at + _END.size + comment != reach:
        raise Damaged("its directory is missing")
    if tail[max(0, at - 20) : at].startswith(
        b"PK\x06\x07"
    ):  # the locator of a zip64 record
        at = max(0, at - _END64.size)
        signature, count, length, start, _ = _END64.unpack_from(tail, at)
        if signature != b"PK\x06\x06":
            raise Damaged("its zip64 record is missing")
    if start + length != size - reach + at:
        raise Damaged("its directory is not where it should be")
    stream.seek(start)
    if stream.read(length).count(_ENTRY) > MOST_ITEMS:
        raise Damaged(f"it has more than {MOST_ITEMS:,} members")
    return int(count)
