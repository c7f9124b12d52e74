"""Outputs: an OSError while writing becomes a UserError that names the file; numbers in JSON.

It is not in `formats`: standard output needs it where numpy is not imported.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, isnan
from typing import Any

from lstmcli.errors import UserError

PLAIN_WIDTH = 80  # columns of sentences where there is no terminal
WIDEST_TEXT = 100  # columns of sentences: longer lines are hard to read


def unwritable(output: str, error: Exception) -> UserError:
    """The error for an output that the system refuses to write."""
    return UserError(f"{output} cannot be written: {reason(error)}.")


def reason(error: Exception) -> str:
    """The system's message of an error, as a clause."""
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        return "it is closed"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return text[:1].lower() + text[1:]


@contextmanager
def errors_named(output: str) -> Iterator[None]:
    """Raise an OSError from within as a UserError that names the output.

    A BrokenPipeError stays one: a closed pipe ends a command silently.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(output, error) from None


class OutputFile(io.FileIO):
    """A raw file to write to, whose errors name the output as typed."""

    def __init__(
        self, file: str | int, mode: str, output: str, *, closefd: bool = True
    ) -> None:
        self.output = output
        with errors_named(output):
            super().__init__(file, mode, closefd)

    def write(self, data: Any, /) -> int:
        """Write some bytes; gives how many."""
        with errors_named(self.output):
            return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length."""
        with errors_named(self.output):
            return super().truncate(size)

    def close(self) -> None:
        """Close it; a network's file system may refuse only now."""
        with errors_named(self.output):
            super().close()


NO_POSITIONS = "a device or a pipe has no positions"


class DeviceWriter(io.BufferedWriter):
    """Writes to a device or a pipe, which have no positions.

    Some give one that never changes (/dev/null is at 0), which breaks
    archives. The raw file keeps Python's methods: `io.BufferedWriter` asks for
    its position, and would drop an interrupt that comes within a method of
    ours.
    """

    def seekable(self) -> bool:
        """Return whether positions mean anything."""
        return False

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Refuse to move."""
        raise io.UnsupportedOperation(NO_POSITIONS)

    def tell(self) -> int:
        """Refuse to give a position."""
        raise io.UnsupportedOperation(NO_POSITIONS)


# ---- JSON


def json_text(document: Any, indent: int | None = None) -> str:
    """A document as JSON: non-finite numbers as "NaN", "Infinity" and "-Infinity"."""
    import json  # 3 ms that --help does without

    return json.dumps(jsonable(document), indent=indent, allow_nan=False)


def jsonable(value: Any) -> Any:
    """A value as JSON can represent it: what is not finite becomes a word."""
    if isinstance(value, dict):
        return {name: jsonable(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(member) for member in value]
    if hasattr(value, "item"):
        return jsonable(value.item())
    if not isinstance(value, float) or isfinite(value):
        return value
    if isnan(value):
        return "NaN"
    if value > 0:
        return "Infinity"
    return "-Infinity"
