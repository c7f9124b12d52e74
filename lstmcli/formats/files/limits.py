"""The limits of all readers, and the bytes of a tensor, which users can set.

The limits within the process that reads HDF5 are in `wire.hdf5_process`, which imports nothing of
this package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

from lstmcli.errors import UserError

# Tensors
USUAL = 1 << 30  # bytes of one: the largest LSTM kernels in use take a tenth of it
MOST_AXES = 32  # of an array in every version of NumPy
MOST_ADDRESSED = 1 << 62  # bytes that a .npy header may claim: NumPy counts them in 63 bits
IN_BLOCKS_FROM = 64 << 20  # bytes from which an array or a model stays in its file

# Archives: what is unpacked may be large, but not out of proportion
LARGE = 256 << 20  # bytes that a file of any size may unpack to
MOST_TIMES = 100  # times its size that a larger file may unpack to
MOST_COMPRESSION = 1032  # bytes that deflate makes of one at most
MOST_PROTOBUF = 1 << 31  # bytes of a message: the limit of the format
MOST_CONFIG = 64 << 20  # bytes of the config in a Keras archive
MOST_SIDECAR = 512 << 20  # bytes of a graph or metadata that is read with a checkpoint
MOST_MEMBERS = 1 << 16  # each takes 4 us and 475 bytes to list
MOST_DIRECTORY = 256 * MOST_MEMBERS  # bytes of the list of members: 46 and a name for each

# Text: as Python objects it takes tens of times its size
MOST_TEXT = 1 << 30  # bytes that are parsed at once
MOST_PIPED = 1 << 31  # bytes of anything but arrays from a pipe, which may have no end
MOST_WHOLE = 20_000_000  # bytes of a text that is parsed as a whole, where its format allows pieces
MOST_LINE = 20_000_000  # characters of a line of a text that is parsed in pieces
MOST_LEVELS = 64  # of objects, lists and modules within each other; Python recurses 1,000 times
MOST_RUN = 400  # digits in a row: float64 has 309 at most before the point, 341 after it
MOST_STEPS = 1 << 53  # integers that are exact in the float64 of a JSON reader
MOST_DIGITS = 18  # of an index in a table: fits 63 bits; Python converts no thousands of digits
MOST_COLUMNS = 1_000_000  # of a table: a row is in memory cell by cell, 100 bytes each
MOST_CELLS = 10_000  # of a first line that are parsed to recognise a table
MOST_PRINTS = 100_000  # in a text from a console: looking for the name of each takes 20 us
MOST_PRINTED = 2_000_000
"""Numbers of a console print: a million take 1.5 s and 190 MB to read, since the text of each
shows its precision, and 20 s and 500 MB to print with NumPy."""

# Pickles and protocol buffers: small pieces that become Python objects
MOST_PICKLE = 256 << 20  # bytes of one pickle; its tensors are stored outside of it
MOST_OPCODES = 3_000_000  # a state dict has about 25 a tensor; these take some seconds
MOST_NAME = 1000  # characters of a name; one text may be referred to many times
MOST_SCRIPT = 16 << 20  # bytes of a member of TorchScript that is text
MOST_SCRIPT_LINE = 1 << 13  # characters; a call with a hundred weights has half of them
MOST_FIELDS = 1 << 20  # of one message; each takes a hundred bytes and more
MOST_NUMBERS = 1 << 22  # of one packed field
MOST_NOTES = 1 << 16  # bytes of the file in which TensorFlow notes its last checkpoint

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
            f"  If that is meant: --max-bytes {count * itemsize}",
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
            f"  If that is meant: --max-bytes {text_size * itemsize}",
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
