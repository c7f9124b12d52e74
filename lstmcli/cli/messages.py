"""Messages on stderr: wrapped where that is a terminal, as they are where it is a pipe."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from lstmcli.escaping import one_line

INDENT = 2  # of what follows the first line
COMMANDS = ("lstm ", "pip ", "python ")  # how a line begins that is there to be copied


def tell(text: str) -> None:
    """Print a message of one line or a few, control characters escaped.

    Where stderr is full or closed nobody can be told; the exit status is what remains, and an
    error on the way must not change it.
    """
    shown = "\n".join(map(one_line, text.split("\n")))
    try:
        print(wrapped(shown, _width()), file=sys.stderr, flush=True)
    except OSError:
        pass


def wrapped(text: str, width: int | None) -> str:
    """A message in a width (None: as it is): lines keep their indentation, words stay whole.

    A command on a line of its own is never wrapped: it is there to be copied.
    """
    if width is None or all(len(line) <= width for line in text.split("\n")):
        return text
    return "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    from textwrap import wrap

    words = line.lstrip(" ")
    indent = len(line) - len(words)
    if indent and words.startswith(COMMANDS):
        return line
    following = " " * max(indent, INDENT)
    lines = wrap(
        line, width, subsequent_indent=following, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def _width() -> int | None:
    """The columns of the terminal; None in a pipe."""
    return columns_of(sys.stderr) if sys.stderr.isatty() else None


def columns_of(stream: TextIO) -> int:
    """The columns laid out for a terminal: what COLUMNS says, else what it has, else 80."""
    from lstmcli.views.prose import PLAIN_WIDTH, columns_of_environment, laid_out_columns

    if (columns := columns_of_environment()) is not None:
        return columns
    try:
        return laid_out_columns(os.get_terminal_size(stream.fileno()).columns or PLAIN_WIDTH)
    except (OSError, ValueError):
        return PLAIN_WIDTH
