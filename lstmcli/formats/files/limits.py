"""The limits of all readers, and the bytes of a tensor, which users can set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

from lstmcli.errors import UserError

# Arrays
USUAL = 1 << 30  # bytes of a tensor, if --max-bytes does not set them: ten times the largest LSTM's
MOST_AXES = 32  # of an array in every version of NumPy
LARGE = 256 << 20  # bytes that a file of any size may unpack to, and of a pickle or a config
MOST_TIMES = 100  # times its size that a larger file may unpack to

# What is parsed takes tens of times its size in memory
MOST_PARSED = 1 << 30  # bytes of a text, a graph or metadata
MOST_WHOLE = 20_000_000  # bytes of a text where its format allows pieces, and of a line or a script
MOST_PRINTED = 2_000_000  # numbers of a console print: a million take 1.5 s and 190 MB to read
MOST_PARTS = 1_000_000  # fields of a message, columns of a table: 100 bytes and more each
MOST_OBJECTS = 3_000_000  # opcodes and entries of a pickle, numbers of a packed field
MOST_ITEMS = 100_000  # members of an archive, prints in a text: 4 to 20 us each
MOST_LEVELS = 64  # of objects, lists and modules within each other; Python recurses 1,000 times
MOST_NAME = 1000  # characters of a name; one text may be referred to many times
MOST_RUN = 400  # digits in a row: float64 has 309 at most before the point, 341 after it

IN_BLOCKS_FROM = 64 << 20  # bytes from which an array or a model stays in its file
MOST_PROTOBUF = 1 << 31  # bytes of a message: the limit of the format

# The process that reads HDF5
SECONDS = 5  # of computing, for any file
SLOWEST = 20 << 20  # bytes a second, added for large files
PATIENCE = 60  # seconds of wall time on top: a cold disk delays the start

_most: ContextVar[int] = ContextVar("most bytes of a tensor", default=USUAL)


def allow(most: int) -> None:
    """Set the bytes that a tensor may take from here on, in the caller's context."""
    _most.set(most)


@contextmanager
def raised_to(most: int | None) -> Iterator[None]:
    """Set the bytes that a tensor may take within a ``with``; None changes nothing."""
    token = _most.set(_most.get() if most is None else most)
    try:
        yield
    finally:
        _most.reset(token)


def most() -> int:
    """How many bytes one tensor may take."""
    return _most.get()


def check_size(shape: Sequence[int], itemsize: int, where: str) -> int:
    """The number of elements of a tensor that a file declares, before memory is allocated.

    Raises
    ------
    UserError
        A negative length, too many axes, or more bytes than are allowed; ``where`` starts the
        message.
    """
    if len(shape) > MOST_AXES:  # the product of a million lengths would take minutes
        raise UserError(
            f"{where} has {len(shape):,} axes; NumPy's arrays have {MOST_AXES} at most."
        )
    if any(length < 0 for length in shape):
        raise UserError(f"{where} has the shape {tuple(shape)}; the file is damaged.")
    count = prod(shape)
    if count * itemsize > _most.get():
        raise UserError(
            f"{where} would take {count * itemsize:,} bytes {tuple(shape)}; {_most.get():,} are "
            "allowed.",
            try_={"max_bytes": count * itemsize},
        )
    return count


def check_growth(shape: Sequence[int], itemsize: int, text_size: int, where: str) -> None:
    """Refuse an array that has grown beyond the limit while a text is read.

    Its final length is not known then. A number takes at least a byte of text, so the message names
    the limit at which any text of ``text_size`` bytes is read.

    Raises
    ------
    UserError
        More bytes than are allowed; ``where`` starts the message.
    """
    if prod(shape) * itemsize > _most.get():
        raise UserError(
            f"{where} would take more than {_most.get():,} bytes, which are allowed.",
            try_={"max_bytes": text_size * itemsize},
        )


def check_total(declared: int, size: int, source: str) -> None:
    """Refuse a file whose tensors declare far more bytes than it has.

    Raises
    ------
    UserError
        More than `LARGE` and `MOST_TIMES` its size.
    """
    if declared > max(LARGE, MOST_TIMES * size):
        raise UserError(
            f"{source}: {size:,} bytes claim to unpack to {declared:,}; refused. "
            "If that is meant, save the tensors uncompressed with numpy.savez."
        )
