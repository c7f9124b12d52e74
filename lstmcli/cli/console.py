"""Where results go: a terminal gets colour and the width it has, a pipe gets plain text."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO

from lstmcli.cli.messages import tell
from lstmcli.cli.screen import rich_console, screen
from lstmcli.escaping import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lstmcli.views.sheet import Sheet


def is_rich() -> bool:
    """Whether stdout has a width and styles: a terminal, or a pipe that is treated as one."""
    return screen().rich


def depth() -> str:
    """How many colours there are: "truecolor", "256", "16", or "none"."""
    return screen().depth


def width() -> int | None:
    """The columns of the terminal; None in a pipe, where nothing need be left out."""
    return screen().width


def show(sheets: Iterable[Sheet]) -> None:
    """Print sheets to stdout, or to the files that were asked for."""
    own = screen()
    for sheet in sheets:
        if own.files:
            own.lines += sheet.spans()
        elif own.rich and own.color != "never":
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
        what = one_line(what)
        if self._progress is None:
            if monotonic() - self._begun < self.PATIENCE or not sys.stderr.isatty():
                return
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            text = TextColumn("{task.description}", markup=False)  # a name is no markup
            columns = text, BarColumn(), TimeRemainingColumn()
            self._progress = Progress(*columns, console=rich_console(sys.stderr), transient=True)
            self._task = self._progress.add_task(what, total=1.0)
            self._progress.start()
        assert self._task is not None
        self._progress.update(self._task, completed=share, description=what)


def standard_input() -> BinaryIO | None:
    """The bytes of stdin; None where there is none."""
    return sys.stdin.buffer if sys.stdin else None


def remark(text: str) -> None:
    """One line on stderr that the user should know and need not mend."""
    tell(f"lstm: {one_line(text)}")
