"""How much memory one tensor may take, so that no file can ask for all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

from lstmcli.errors import UserError

USUAL = 1 << 30  # bytes: the largest LSTM kernels in use take a tenth of it

MOST_AXES = 32  # the most that every NumPy has

LARGE = 256 << 20  # bytes up to which nothing is suspected of being a bomb
MOST_TIMES = 100  # how much more than its size a file may unpack to beyond that
MOST_MEMBERS = 1 << 16  # of an archive: each takes 4 us and 475 bytes to list
MOST_DIRECTORY = 256 * MOST_MEMBERS  # bytes of an archive's list of members: 46 and a name for each
MOST_PRINTED = 2_000_000  # numbers of a console's print: a million take 1.5 s and 190 MB to read,
# since the text of each tells its precision, and 20 s and 500 MB to print with NumPy
MOST_COMPRESSION = 1032  # bytes that deflate makes of one at most

_most: ContextVar[int] = ContextVar("most bytes of a tensor", default=USUAL)


def allow(most: int) -> None:
    """Let tensors take so many bytes from here on, in the caller's context."""
    _most.set(most)


@contextmanager
def raised_to(most: int | None) -> Iterator[None]:
    """Let tensors take so many bytes within a ``with``; None leaves it as it is."""
    token = _most.set(_most.get() if most is None else most)
    try:
        yield
    finally:
        _most.reset(token)


def most() -> int:
    """How many bytes one tensor may take."""
    return _most.get()


def check_size(shape: Sequence[int], itemsize: int, where: str) -> int:
    """The elements of a tensor that a file declares, before anything is made of it.

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


def check_total(declared: int, size: int, source: str) -> None:
    """Hold what all tensors would take against the size of their file.

    Raises
    ------
    UserError
        A small file that claims to hold a great deal.
    """
    if declared > max(LARGE, MOST_TIMES * size):
        raise UserError(
            f"{source}: {size:,} bytes claim to unpack to {declared:,}; refused. "
            "If that is meant, save the tensors uncompressed with numpy.savez."
        )
