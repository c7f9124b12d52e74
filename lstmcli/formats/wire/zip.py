"""Reading zip archives: as much of the format as .npz needs, believing nothing unchecked.

Python's `zipfile` would take a tenth of a whole run to import. The records and their order are
those of PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
"""

from __future__ import annotations

import io
import zlib
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

from lstmcli.formats.files.errors import Damaged

STORED, DEFLATED = 0, 8  # methods
ENCRYPTED, UTF8 = 1, 1 << 11  # flag bits
MOST_MEMBERS = 1 << 16
MOST_COMMENT = (1 << 16) - 1
MOST_INFLATION = 1032  # no byte of deflated data gives more
ELSEWHERE = (1 << 32) - 1  # stands for a number that the zip64 field holds
ZIP64 = 1  # the kind of that field
PIECE = 1 << 16

# Each record opens with its signature; x are bytes that do not matter here.
_LOCAL = Struct("<4s22xHH")  # lengths of name and extra fields
_ENTRY = Struct("<4s4xHH4xLLLHHH8xL")  # what Archive._member takes from it
_END = Struct("<4s6xHLLH")  # count, length and start of the directory, length of the comment
_LOCATOR64 = Struct("<4s4xQ4x")  # start of the zip64 end record
_END64 = Struct("<4s28xQQQ")  # count, length and start of the directory

_SIGNATURES = {
    _LOCAL: b"PK\x03\x04",
    _ENTRY: b"PK\x01\x02",
    _END: b"PK\x05\x06",
    _LOCATOR64: b"PK\x06\x07",
    _END64: b"PK\x06\x06",
}


class Member(NamedTuple):
    """A member as the directory describes it."""

    name: str
    flags: int
    method: int
    crc: int | None  # None: not to be held against the bytes
    packed: int  # bytes in the archive
    size: int  # bytes unpacked
    offset: int  # of its local header
    start: int  # of its packed bytes


class Archive:
    """The directory of a zip archive in a seekable stream of ``size`` bytes.

    Raises
    ------
    Damaged
        No archive, one cut short, members that overlap or have two names, too many of them.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self.members = self._directory()

    def open(self, member: Member) -> io.BufferedReader:
        """A stored or deflated member's bytes; reading them raises Damaged when they are not."""
        least = -(-member.size // MOST_INFLATION) if member.method == DEFLATED else member.size
        if member.packed < least or (member.method == STORED and member.packed > least):
            raise Damaged(f"{member.packed:,} bytes cannot unpack to {member.size:,}")
        return io.BufferedReader(_Unpacked(self, member), PIECE)

    def bytes_at(self, start: int, count: int) -> bytes:
        """Exactly so many bytes of the archive."""
        if start + count > self._size:  # also keeps seek() from numbers beyond 63 bits
            raise Damaged(f"it ends before byte {start + count:,}")
        self._stream.seek(start)
        data = self._stream.read(count)
        if len(data) != count:
            raise Damaged("it became shorter while it was read")
        return data

    def _record(self, layout: Struct, at: int) -> tuple[Any, ...]:
        fields = layout.unpack(self.bytes_at(at, layout.size))
        if fields[0] != _SIGNATURES[layout]:
            raise Damaged(f"byte {at:,} does not start the record that should be there")
        return fields[1:]

    def _directory(self) -> list[Member]:
        count, start, end = self._extent()
        if count > MOST_MEMBERS:
            raise Damaged(f"it has {count:,} members; {MOST_MEMBERS:,} are the most")
        members, at = [], start
        for _ in range(count):
            member, at = self._member(at)
            members.append(member)
        if at != end:
            raise Damaged("its directory is longer or shorter than it says")
        _refuse_overlaps(members, start)
        return members

    def _extent(self) -> tuple[int, int, int]:
        """How many members the directory has, where it starts and where it ends."""
        end = self._end()
        count, length, start, _ = self._record(_END, end)
        locator = end - _LOCATOR64.size
        if locator >= 0 and self.bytes_at(locator, 4) == _SIGNATURES[_LOCATOR64]:
            (end,) = self._record(_LOCATOR64, locator)
            count, length, start = self._record(_END64, end)
        if start + length != end:
            raise Damaged("its directory is not where it should be")
        return count, start, end

    def _end(self) -> int:
        """Where the end record starts: before a comment that fills the rest of the file."""
        reach = min(self._size, _END.size + MOST_COMMENT)
        tail = self.bytes_at(self._size - reach, reach)
        at = tail.rfind(_SIGNATURES[_END])
        while at >= 0:
            length = int.from_bytes(tail[at + 20 : at + 22], "little")
            if at + _END.size + length == reach:
                return self._size - reach + at
            at = tail.rfind(_SIGNATURES[_END], 0, at + 3)  # that one was part of a comment
        raise Damaged("its directory is missing")

    def _member(self, at: int) -> tuple[Member, int]:
        """The member described at a place in the directory, and the place after it."""
        flags, method, crc, packed, size, name, extra, comment, offset = self._record(_ENTRY, at)
        at += _ENTRY.size
        raw = self.bytes_at(at, name)
        field = _zip64(self.bytes_at(at + name, extra))
        size, packed, offset = _widened((size, packed, offset), field)
        local_name, local_extra = self._record(_LOCAL, offset)
        start = offset + _LOCAL.size
        if self.bytes_at(start, local_name) != raw:
            raise Damaged("a member has two names")
        start += local_name + local_extra
        member = Member(_text(raw, flags), flags, method, crc, packed, size, offset, start)
        return member, at + name + extra + comment


def _zip64(extra: bytes) -> bytes:
    """The zip64 field among a member's extra fields, or nothing."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = (int.from_bytes(extra[i : i + 2], "little") for i in (at, at + 2))
        if kind == ZIP64:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _widened(numbers: tuple[int, int, int], field: bytes) -> list[int]:
    """The zip64 field holds, in their order, only the numbers that need it."""
    wide = iter([int.from_bytes(field[i : i + 8], "little") for i in range(0, len(field), 8)])
    return [next(wide, number) if number == ELSEWHERE else number for number in numbers]


def _text(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & UTF8 or name.isascii() else "cp437")
    except UnicodeDecodeError:
        raise Damaged("the name of a member is no text") from None


def _refuse_overlaps(members: list[Member], directory: int) -> None:
    ordered = sorted(members, key=lambda member: member.offset)
    limits = [member.offset for member in ordered[1:]] + [directory]
    for member, limit in zip(ordered, limits, strict=False):  # no members, one limit
        if member.start + member.packed > limit:
            raise Damaged(f'its member "{member.name}" reaches into what follows')


class _Unpacked(io.RawIOBase):
    """A member's bytes, unpacked piece by piece; the last one is given if the checksum is right."""

    def __init__(self, archive: Archive, member: Member) -> None:
        self._archive = archive
        self._at, self._end = member.start, member.start + member.packed
        self._left, self._crc, self._right_crc = member.size, 0, member.crc
        self._inflater = zlib.decompressobj(-15) if member.method == DEFLATED else None

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill some of a buffer; 0 at the end."""
        most = min(len(buffer), self._left)
        if not most:  # zlib takes a limit of 0 for none
            return 0
        piece = self._inflated(most) if self._inflater else self._packed(most)
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        self._crc = zlib.crc32(piece, self._crc)
        if not self._left and self._right_crc not in (None, self._crc):
            raise Damaged("its checksum is wrong")
        return len(piece)

    def _packed(self, most: int) -> bytes:
        piece = self._archive.bytes_at(self._at, min(most, self._end - self._at))
        self._at += len(piece)
        return piece

    def _inflated(self, most: int) -> bytes:
        """At least one byte; fewer than ``most`` as it comes."""
        assert self._inflater
        piece = b""
        while not piece:
            data = self._inflater.unconsumed_tail or self._packed(PIECE)
            try:
                piece = self._inflater.decompress(data, most)
            except zlib.error as error:
                raise Damaged(str(error)) from None
            if not piece and (self._inflater.eof or not data):
                raise Damaged(f"{self._left:,} bytes are missing")
        return piece
