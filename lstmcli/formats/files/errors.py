"""Broken files: the exception that readers raise, and the message for it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from lstmcli.errors import UserError

LONGEST_REASON = 120  # characters: a library's message may quote the whole file


class Damaged(Exception):
    """The bytes contradict their format or each other; the text says how."""


def damaged(source: str, reason: object) -> UserError:
    """The error for a file that is broken; ``reason`` may be a library's text."""
    text = str(reason).rstrip(". ")
    return UserError(
        f"{source} is damaged or cut short ({text}). Copy or download it again, or save it anew."
    )


@contextmanager
def damage_reported(source: str) -> Iterator[None]:
    """Turn what broken bytes make readers and libraries raise into the UserError of `damaged`.

    Numbers in a broken file are of any size and type, so these are the exceptions of wrong values.
    An AttributeError, a NameError or an AssertionError is a fault of this program and passes.
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
    """The exceptions of `damage_reported`; evaluated only once something has been raised."""
    from zipfile import BadZipFile  # takes 7 ms to import, and most formats are no archives

    return (
        Damaged,
        BadZipFile,
        zlib.error,
        struct.error,
        OSError,  # a position before the start, a file that cannot be read
        EOFError,
        ValueError,  # UnicodeError too
        TypeError,  # a text where a number should be
        KeyError,
        IndexError,
        OverflowError,
        RuntimeError,  # an encrypted archive; NotImplementedError, RecursionError too
    )
