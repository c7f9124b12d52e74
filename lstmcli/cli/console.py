"""Where results go: a terminal gets colour and the width it has, a pipe gets plain text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

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


class Bar:
    """A progress bar on stderr, if that is a terminal and the work takes over a second."""

    PATIENCE = 1.0  # seconds

    def __init__(self) -> None:
        self._begun = monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self, share: float, what: str) -> None:
        """Show how much is done, 0 to 1, and what is being done."""
        if self._progress is None:
            if monotonic() - self._begun < self.PATIENCE or not sys.stderr.isatty():
                return
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(what, total=1.0)
            self._progress.start()
        assert self._task is not None
        self._progress.update(self._task, completed=share, description=what)


def standard_input() -> BinaryIO | None:
    """The bytes of stdin; None where there is none."""
    return sys.stdin.buffer if sys.stdin else None


def remark(text: str) -> None:
    """One line on stderr that the user should know and need not mend."""
    print(f"lstm: {text}", file=sys.stderr)
