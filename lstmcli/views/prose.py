"""Sentences on a sheet: a label, and text wrapped beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lstmcli.escaping import file_argument, one_line, typed_command
from lstmcli.views.sheet import Sheet

PLAIN_WIDTH = 80  # where sentences are wrapped when there is no terminal to say
NARROWEST = 20  # columns: below, a label and the numbers of one column of a table have no room
WIDEST = 2000  # columns: a line of pictures takes memory, and the widest screens have 1,000
INDENT = 10
PLACES = ("WEIGHTS", "INPUTS")
STDIN = "standard input"
_NO_BREAK = "\N{NO-BREAK SPACE}"


def room_of(width: int | None) -> int:
    """The columns at which sentences are wrapped: the terminal's, else COLUMNS, else 80."""
    return width or columns_of_environment() or PLAIN_WIDTH


def columns_of_environment() -> int | None:
    """What COLUMNS says, as `laid_out_columns`; None if it is no number of columns."""
    columns = os.environ.get("COLUMNS", "")
    digits = columns.lstrip("0") if columns.isascii() and columns.isdigit() else ""
    return laid_out_columns(int(digits[:9])) if digits else None


def laid_out_columns(columns: int) -> int:
    """The columns that a screen of so many is laid out for; the terminal wraps what is longer."""
    return max(NARROWEST, min(columns, WIDEST))


def labelled(
    label: str, text: str, width: int | None, style: str = "", indent: int = INDENT
) -> Sheet:
    """A label and its text, wrapped beside it; words longer than a line are kept whole."""
    from textwrap import wrap

    sheet = Sheet()
    room = max(room_of(width) - indent, 20)
    lines = wrap(one_line(text), room, break_long_words=False, break_on_hyphens=False)
    for n, line in enumerate(lines):
        start = (one_line(label) if n == 0 else "").ljust(indent)
        sheet.add((start, "dim"), (line.replace(_NO_BREAK, " "), style))
    return sheet


def unbroken(text: str) -> str:
    """Text that `labelled` keeps on one line."""
    return text.replace(" ", _NO_BREAK)


def to_copy(label: str, command: str, indent: int = INDENT) -> Sheet:
    """A label and a command on one line, however long: wrapped it could not be copied."""
    sheet = Sheet()
    sheet.add((label.ljust(indent), "dim"), command)
    return sheet


def explain_command(paths: Sequence[str], expected: str, options: Sequence[str] = ()) -> str:
    """The command that searches for what gives ``expected``; what is not known stays in capitals.

    ``paths`` are the weights and the inputs, ``options`` what the run was told beside them.
    """
    places = [file_argument(path) for path in (*(paths or PLACES), expected)]
    return typed_command("lstm", "explain", *places, *options)


def apart(pieces: Sequence[str]) -> str:
    """Pieces three blanks apart, each kept on one line."""
    return "   ".join(map(unbroken, pieces))
