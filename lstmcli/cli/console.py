"""Where results go: a terminal gets colour and the width it has, a pipe gets plain text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from lstmcli.views.sheet import Sheet

DEPTHS = {"truecolor": "truecolor", "256": "256", "standard": "16", "windows": "16"}
"""What rich calls the colours of a terminal, and what the views call them."""


class Screen:
    """What one command line was told about its screen."""

    def __init__(self) -> None:
        self.color = "auto"  # --color
        self.files: dict[str, str] = {}  # "svg" or "html" to the file that the screen goes to
        self.sheets = 0  # shown so far
        self._console: Console | None = None

    @property
    def rich(self) -> bool:
        """Whether the screen has a width: a terminal, what is made one, or a file of a screen."""
        if self.files or self.color == "always":
            return True
        return sys.stdout.isatty() or (self.color == "auto" and bool(os.environ.get("FORCE_COLOR")))

    @property
    def colored(self) -> bool:
        """Whether it has colours; --color goes before NO_COLOR, and that before FORCE_COLOR."""
        if self.color != "auto":
            return self.color == "always"
        return self.rich and not os.environ.get("NO_COLOR")

    def console(self) -> Console:
        """The console that paints it; one that keeps everything if it goes to a file."""
        if self._console is None:
            self._console = self._made()
        return self._console

    def _made(self) -> Console:
        from rich.console import Console

        told: dict[str, Any] = {"highlight": False, "no_color": not self.colored}
        if self.files:
            from io import StringIO

            told |= {"record": True, "file": StringIO(), "width": width()}
            told |= {"color_system": "truecolor", "legacy_windows": False}
        return Console(force_terminal=True, **told)


def screen() -> Screen:
    """The screen of the command line that is running."""
    context = click.get_current_context(silent=True)
    if context is None:
        return Screen()
    found: Screen = context.meta.setdefault("lstmcli.screen", Screen())
    return found


def is_rich() -> bool:
    """Whether stdout has a width and styles: a terminal, or a pipe that is treated as one."""
    return screen().rich


def depth() -> str:
    """How many colours there are: "truecolor", "256", "16", or "none"."""
    own = screen()
    if not (own.rich and own.colored):
        return "none"
    return DEPTHS.get(own.console().color_system or "", "none")


def width() -> int | None:
    """The columns of the terminal; None in a pipe, where nothing need be left out."""
    if not is_rich():
        return None
    if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def show(sheets: Iterable[Sheet]) -> None:
    """Print sheets to stdout, or to the files that were asked for."""
    own = screen()
    for sheet in sheets:
        own.sheets += 1
        if own.files or (own.rich and own.color != "never"):
            own.console().print(sheet, end="", soft_wrap=True)
        else:
            sys.stdout.write(sheet.plain())


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
