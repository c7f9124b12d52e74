"""The limits of all readers, the bytes of a tensor, which users can set, and damaged files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

from lstmcli.errors import UserError

# Arrays
USUAL = 1 << 30  # bytes of a tensor, without --max-bytes: ten times the largest LSTM's
MOST_AXES = 32  # of an array in every version of NumPy
LARGE = 256 << 20  # bytes that any file may unpack to, and of a pickle or a config
MOST_TIMES = 100  # maximum expansion factor above LARGE

# What is parsed takes tens of times its size in memory
MOST_PARSED = 1 << 30  # bytes of a text, a graph or metadata
MOST_WHOLE = (
    20_000_000  # bytes of a text whose format allows pieces, of a line or a script
)
MOST_PRINTED = 2_000_000  # numbers of console output: a million take 1.5 s and 190 MB
MOST_PARTS = (
    1_000_000  # fields of a message, columns of a table: 100 bytes and more each
)
MOST_OBJECTS = 3_000_000  # opcodes and entries of a pickle, numbers of a packed field
MOST_ITEMS = 100_000  # members of an archive, prints in a text: 4 to 20 us each
MOST_LEVELS = (
    64  # of objects, lists and modules in each other; Python recurses 1,000 times
)
MOST_NAME = 1000  # characters of a name: many may refer to one text
MOST_RUN = 400  # digits in a row: float64 has 309 before the point, 341 after it

IN_BLOCKS_FROM = 64 << 20  # bytes from which an array or a model stays in its file
MOST_PROTOBUF = 1 << 31  # bytes of a message: the limit of the format

# The process that reads HDF5
SECONDS = 5  # of computing, for any file
SLOWEST = 20 << 20  # bytes a second, added for large files
PATIENCE = 60  # seconds of wall time more: a cold disk delays the start

_most: ContextVar[int] = ContextVar("most bytes of a tensor", default=USUAL)


def allow(most: int) -> None:
    """Set the bytes that a tensor may take from here on, in the caller's context."""
    _most.set(most)


@contextmanager
def raised_to(most: int | None) -> Iterator[None]:
    """Set the bytes that a tensor may take within a ``with``; None: no change."""
    token = _most.set(_most.get() if most is None else most)
    try:
        yield
    finally:
        _most.reset(token)


def most() -> int:
    """How many bytes one tensor may take."""
    return _most.get()


def check_size(shape: Sequence[int], itemsize: int, where: str) -> int:
    """The count of elements of a declared tensor, before allocation; ``where`` starts messages."""
    if len(shape) > MOST_AXES:  # the product of a million lengths would take minutes
        raise UserError(
            f"{where} has {len(shape):,} axes; NumPy's arrays have {MOST_AXES} at most."
        )
    if any(length < 0 for length in shape):
        raise UserError(f"{where} has the shape {tuple(shape)}; the file is corrupt.")
    count = prod(shape)
    if count * itemsize > _most.get():
        raise UserError(
            f"{where} would take {count * itemsize:,} bytes {tuple(shape)}; {_most.get():,} are "
            "allowed.",
            try_={"max_bytes": count * itemsize},
        )
    return count


def check_growth(
    shape: Sequence[int], itemsize: int, text_size: int, where: str
) -> None:
    """Refuse an array that has grown beyond the limit while a text is read.

    A number takes a byte of text or more, so the message names the limit at
    which any text of ``text_size`` bytes is read. ``where`` starts it.
    """
    if prod(shape) * itemsize > _most.get():
        raise UserError(
            f"{where} would take more than {_most.get():,} bytes, which are allowed.",
            try_={"max_bytes": text_size * itemsize},
        )


def check_total(declared: int, size: int, source: str) -> None:
    """Refuse a file that declares over `LARGE` bytes and over `MOST_TIMES` its size."""
    if declared > max(LARGE, MOST_TIMES * size):
        raise UserError(
            f"{source}: {size:,} bytes claim to unpack to {declared:,}; refused. "
            "If that is meant, save the tensors uncompressed with numpy.savez."
        )


# ---- broken files


LONGEST_REASON = 120  # characters: a library's message may quote the full file


class Damaged(Exception):
    """The bytes contradict their format or each other; the text tells how."""


def damaged(source: str, reason: object) -> UserError:
    """The error for a file that is broken; ``reason`` may be a library's text."""
    text = str(reason).rstrip(". ")
    return UserError(
        f"{source} is corrupt or truncated ({text}). Copy it again, or save it again."
    )


@contextmanager
def damage_reported(source: str) -> Iterator[None]:
    """Turn what broken bytes make readers and libraries raise into the UserError of `damaged`.

    Those are exceptions of wrong values, of any size and type. An
    AttributeError, a NameError or an AssertionError is a fault of this program
    and passes.
    """
    try:
        yield
    except MemoryError:
        raise UserError(f"{source} needs more memory than there is.") from None
    except _broken_file_errors() as error:
        raise damaged(source, _reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, Damaged):
        return str(error)
    text = str(error).split("\n")[0][:LONGEST_REASON] or type(error).__name__
    # the text of a KeyError is only the key
    return f"it lacks {text}" if isinstance(error, KeyError) else text


def _broken_file_errors() -> tuple[type[Exception], ...]:
    """The exceptions of `damage_reported`, once something has been raised."""
    from zipfile import BadZipFile  # 7 ms to import, and most formats are not archives

    return (
        Damaged,
        BadZipFile,
        zlib.error,
        struct.error,
        OSError,  # a position before the start, an unreadable file
        EOFError,
        ValueError,  # UnicodeError too
        TypeError,  # a text where a number should be
        LookupError,
        OverflowError,
        RuntimeError,  # an encrypted archive; NotImplementedError, RecursionError too
    )
