"""Where results go: a terminal gets colour and the width it has, a pipe gets plain text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from rich.console import Console

    from lstmcli.views.sheet import Sheet


def is_rich() -> bool:
    """Whether stdout is shown in colour: a terminal, or a pipe with FORCE_COLOR."""
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


def width() -> int | None:
    """The columns of the terminal; None in a pipe, where nothing need be left out."""
    if not is_rich():
        return None
    if (columns := os.environ.get("COLUMNS", "")).isdigit():
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def show(sheets: Iterable[Sheet]) -> None:
    """Print sheets to stdout."""
    for sheet in sheets:
        if is_rich():
            _console().print(sheet, end="", soft_wrap=True)
        else:
            sys.stdout.write(sheet.plain())


@cache
def _console() -> Console:
    from rich.console import Console

    return Console(force_terminal=True if os.environ.get("FORCE_COLOR") else None, highlight=False)


def standard_input() -> BinaryIO | None:
    """The bytes of stdin; None where there is none."""
    return sys.stdin.buffer if sys.stdin else None


def remark(text: str) -> None:
    """One line on stderr that the user should know and need not mend."""
    print(f"lstm: {text}", file=sys.stderr)
