"""Opening files and standard input, and decoding text."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from lstmcli.errors import STDIN, UserError, did_you_mean
from lstmcli.escaping import file_argument, shell_word
from lstmcli.formats.files.atomic import refuse_to_read_an_output
from lstmcli.formats.files.limits import MOST_PARSED, MOST_WHOLE, Damaged
from lstmcli.outputs import reason

HEAD = 1 << 16  # bytes that show a file's format
PIECE = 1 << 18  # characters parsed at a time: as lists they take 300 times as much
SIMILAR = 0.75  # similarity of a suggested name (SequenceMatcher.ratio)
ARCHIVE = b"PK\x03\x04"  # first bytes of a zip archive with members
ARRAYS = (b"\x93NUMPY", b"PK")  # first bytes of .npy and .npz, which may be large
MOST_DRAINED = (
    2 * MOST_PARSED
)  # bytes of others in memory: models are larger than texts

BINARY_SUFFIXES = (
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".keras",
    ".h5",
    ".hdf5",
    ".onnx",
    ".safetensors",
    ".gguf",
    ".tflite",
    ".npz",
    ".npy",
)
"""Suffixes of binary files that are read."""

MODELS = (*BINARY_SUFFIXES, ".nam", "model.json", "pytorch_model.bin")
"""Ends of the names of models, which are suggested in place of their folder."""

TEXTS = (".csv", ".tsv", ".txt", ".log", ".json", ".jsonl", ".nam", ".bin", ".pb")
"""Suffixes of other files that are read."""

FILES_OFFERED = 6  # in place of their folder

BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",  # what Windows PowerShell writes with ">"
    b"\xfe\xff": "utf-16",
}


DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
"""Paths that a shell passes for <(command): a pipe without a name, which has a writer."""


class Opened(NamedTuple):
    """A seekable source of bytes, at its start."""

    source: str  # what messages call it
    stream: BinaryIO
    size: int  # in bytes
    path: str | None = None  # of a regular file
    suffix: str = ""

    def head(self) -> bytes:
        """The first 64 KiB, without moving."""
        start = self.stream.read(HEAD)
        self.stream.seek(0)
        return start

    def tail(self) -> bytes:
        """The last 8 bytes, or fewer, without moving."""
        self.stream.seek(max(0, self.size - 8))
        end = self.stream.read(8)
        self.stream.seek(0)
        return end

    def contents(self) -> bytes:
        """All bytes."""
        self.stream.seek(0)
        data = self.stream.read()
        _refuse_shorter(self, len(data))
        return data

    def part(self, start: int, size: int) -> bytes:
        """The bytes from a position on; Damaged past the end, UserError if cut meanwhile."""
        if start < 0 or start + size > self.size:
            raise Damaged(f"{self.source} ends before byte {max(start, 0) + size:,}")
        self.stream.seek(start)
        data = self.stream.read(size)
        if len(data) < size:
            raise became_shorter(self.source, size - len(data), start + len(data))
        return data

    def pieces(self) -> Iterator[str]:
        """The text from its start, in pieces to the end of a line, without a byte-order mark."""
        self.stream.seek(0)
        coding = _coding(self.head())
        lines = io.TextIOWrapper(self.stream, coding, newline="\n")
        try:
            while text := lines.read(PIECE):
                text += lines.readline(MOST_WHOLE)
                if len(text) >= MOST_WHOLE and not text.endswith("\n"):
                    raise UserError(
                        f"{self.source}: a line of more than {MOST_WHOLE:,} characters. "
                        "Save the numbers as .npy or .npz."
                    )
                _refuse_zero_bytes(text, self.source)
                yield text
            _refuse_shorter(self, self.stream.tell())
        except UnicodeDecodeError:
            raise UserError(f"{self.source} is not {coding} text.") from None
        finally:
            lines.detach()

    def text(self) -> str:
        """The text, at most 1 GiB, without a byte-order mark."""
        if self.size > MOST_PARSED:
            raise UserError(
                f"{self.source}: {self.size:,} bytes of text are more than are read at once. "
                "Save the numbers as .npy or .npz."
            )
        return decode(self.contents(), self.source)


def became_shorter(source: str, missing: int, at: int) -> UserError:
    """The error for a file that has lost ``missing`` bytes, from ``at`` on, since it was opened."""
    return UserError(
        f"{source} is cut short: it became shorter while it was read ({missing:,} bytes are "
        f"missing at byte {at:,}). Run again when it is complete."
    )


def _refuse_shorter(file: Opened, size: int) -> None:
    if size < file.size:
        raise became_shorter(file.source, file.size - size, size)


TextPieces = Callable[[], Iterator[str]]
"""Returns a text from its start, in pieces that end with a line."""


def pieces_of(text: str) -> Iterator[str]:
    """A text in pieces of a quarter MiB, each to the end of a line."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start + PIECE) + 1 or len(text)
        yield text[start:stop]
        start = stop


def decode(data: bytes, source: str, *, is_cut: bool = False) -> str:
    """Bytes as text: UTF-8, or what a byte-order mark specifies.

    Other bytes are a UserError with their position; ignored if the text
    ``is_cut``.
    """
    try:
        text = data.decode(_coding(data), "ignore" if is_cut else "strict")
    except UnicodeDecodeError as error:
        # a UTF-8 decoder has taken the byte-order mark off the error's bytes
        before = (
            error.object[: error.start].decode(error.encoding).removeprefix("\ufeff")
        )
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise UserError(
            f"{source}: line {line}, column {column} is not {error.encoding} text "
            f"(byte 0x{error.object[error.start]:02x}).",
            *how_raw_numbers_are_read(source),
        ) from None
    _refuse_zero_bytes(text, source)
    return text


def how_raw_numbers_are_read(source: str) -> list[str]:
    """The line on what to type for a file without a format, if it has a path."""
    if source == STDIN:
        return []
    return [f"  Raw numbers are read by their type and shape: {source}:f32:7x3"]


def _coding(data: bytes) -> str:
    marks = (name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark))
    return next(marks, "utf-8")


def _refuse_zero_bytes(text: str, source: str) -> None:
    if "\0" in text:
        raise UserError(
            f"{source}: neither text nor a file of a known kind (it has zero bytes)."
        )


@contextmanager
def opened(source: str) -> Iterator[Opened]:
    """Open a path, or standard input for "-"; what has no positions is read into memory.

    UserError for no file, a folder, a device, a pipe with a name, no
    permission, an empty file.
    """
    if source == "-":
        stream = sys.stdin.buffer
        refuse_device(stream)
        yield in_memory(STDIN, drained(lambda: stream.read(HEAD), STDIN))
        return
    with _open(source) as file:
        status = os.fstat(file.fileno())
        suffix = os.path.splitext(source)[1].lower()
        if stat.S_ISREG(status.st_mode):
            _refuse_empty(source, status.st_size)
            yield Opened(source, file, status.st_size, source, suffix)
        else:
            yield in_memory(source, drained(lambda: file.read(HEAD), source), suffix)


def in_memory(source: str, data: bytes, suffix: str = "") -> Opened:
    """Bytes in memory as an opened file; UserError if there are none."""
    _refuse_empty(source, len(data))
    return Opened(source, io.BytesIO(data), len(data), suffix=suffix)


def _refuse_empty(source: str, size: int) -> None:
    if size == 0:
        raise UserError(f"{source} is empty.")


def refuse_device(stream: BinaryIO) -> None:
    """Refuse a device without an end as standard input: no terminal, not /dev/null."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):  # in memory
        return
    device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    if (
        device
        and not stream.isatty()
        and not os.path.samestat(status, os.stat(os.devnull))
    ):
        raise UserError(
            f"{STDIN} is a device, which has no end; a file or a pipe was expected."
        )


def _refuse_special(path: str) -> None:
    """Refuse what is neither file nor folder, and might be waited for."""
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return
    given = path.startswith(DESCRIPTORS) or path == "/dev/stdin"
    number = os.path.basename(path).replace("stdin", "0")
    if given and (
        stat.S_ISFIFO(mode) or (number.isdecimal() and os.isatty(int(number)))
    ):
        return
    raise UserError(
        f"{path} cannot be read: it is neither a file nor a folder. Give - in its place, and it as "
        "standard input."
    )


def _open(path: str) -> BinaryIO:
    try:
        _refuse_special(path)
        refuse_to_read_an_output(path)
        return open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.{_near(path)}") from None
    except IsADirectoryError:
        raise UserError(*_folder(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise UserError(f"{path} cannot be read: {reason(error)}.") from None


def _folder(path: str) -> tuple[str, ...]:
    if os.path.exists(os.path.join(path, ".metadata")):
        return (
            f"{path} is a distributed checkpoint of PyTorch. Make it one file:",
            "  python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{shell_word(file_argument(path))} weights.pt",
        )
    names = sorted(os.listdir(path))
    offered = [name for name in names if name.lower().endswith(MODELS)]
    if not 0 < len(offered) <= FILES_OFFERED:
        return (f"{path} is a folder; name a file in it.",)
    inner = [shell_word(file_argument(os.path.join(path, name))) for name in offered]
    which = "the" if len(inner) == 1 else "a"
    return f"{path} is a folder; give {which} file in it:", *(
        f"  {one}" for one in inner
    )


def _near(path: str) -> str:
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return f" There is no folder {folder} either." if folder else ""
    return did_you_mean(
        name, [o for o in names if _alike(o, name)], path.removesuffix(name)
    )


def _alike(one: str, other: str) -> bool:
    """Return whether names are similar; the first one's suffix is read, or the same."""
    from difflib import SequenceMatcher

    (a, end), (b, other_end) = (os.path.splitext(name) for name in (one, other))
    kind = end.lower() in (*BINARY_SUFFIXES, *TEXTS, other_end.lower())
    return kind and SequenceMatcher(None, a, b).ratio() >= SIMILAR


def drained(take: Callable[[], bytes], source: str) -> bytes:
    """All bytes that ``take`` returns, until it returns none.

    UserError beyond 2 GiB of anything but arrays: /dev/zero has no end.
    """
    data = bytearray()
    while piece := take():
        data += piece
        if len(data) > MOST_DRAINED and not data.startswith(ARRAYS):
            raise UserError(
                f"{source} gives more than {MOST_DRAINED:,} bytes that are not arrays."
            )
    return bytes(data)
