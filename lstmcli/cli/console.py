"""Where results go: a terminal gets colour and the width it has, a pipe gets plain text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lstmcli.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from lstmcli.views.sheet import Sheet, Span

DEPTHS = {"truecolor": "truecolor", "256": "256", "standard": "16", "windows": "16"}
"""What rich calls the colours of a terminal, and what the views call them."""


class Screen:
    """What one command line was told about its screen."""

    def __init__(self) -> None:
        self.color = "auto"  # --color
        self.files: dict[str, str] = {}  # "svg" or "html" to the file that the screen goes to
        self.lines: list[Sequence[Span]] = []  # that will be in those files
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

        return Console(force_terminal=True, highlight=False, no_color=not self.colored)


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
    if own.files:
        return "truecolor"
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
        if own.files:
            own.lines += sheet.lines
        elif own.rich and own.color != "never":
            own.console().print(sheet, end="", soft_wrap=True)
        else:
            sys.stdout.write(sheet.plain())


def screen_options() -> list[click.Parameter]:
    """What every command with a screen takes: colours, and files that the screen goes to."""

    def color(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            screen().color = value

    def file(ctx: click.Context, parameter: click.Parameter, path: str | None) -> None:
        kind = str(parameter.name)
        if path is not None:
            if not path.lower().endswith(f".{kind}"):
                raise UserError(f"--{kind} {path}: takes a name that ends in .{kind}")
            screen().files[kind] = path

    told: dict[str, Any] = {"expose_value": False, "is_eager": True}
    return [
        click.Option(["--color"], type=click.Choice(["auto", "always", "never"]), callback=color,
                     help="Colours: if it is a terminal, always, or never.", **told),
        click.Option(["--svg"], metavar="FILE", callback=file,
                     help="Write the screen to a picture, instead of showing it.", **told),
        click.Option(["--html"], metavar="FILE", callback=file,
                     help="Write the screen to a page.", **told),
    ]  # fmt: skip


@contextmanager
def recorded(ctx: click.Context) -> Iterator[None]:
    """Write the files of a screen once its command is done.

    Raises
    ------
    UserError
        if the command showed no screen, or a file cannot be written.
    """
    yield
    own = screen()
    if not own.files:
        return
    if not own.lines:
        option, path = next(iter(own.files.items()))
        raise UserError(f"--{option} {path}: no screen was shown; leave out -f and -o.")
    from lstmcli import formats
    from lstmcli.views.pages import WRITTEN, with_prompt

    command = _typed(ctx.obj or [])
    lines = with_prompt(command, own.lines)
    for kind, path in own.files.items():
        with formats.atomically(path) as stream:
            stream.write(WRITTEN[kind](lines, command, width() or 80).encode())


def _typed(words: Sequence[str]) -> str:
    """The command line, without what says where its screen goes."""
    from shlex import join

    kept, options = ["lstm"], {"--svg", "--html", "--color"}
    for n, word in enumerate(words):
        if word.partition("=")[0] not in options and (not n or words[n - 1] not in options):
            kept.append(word)
    return join(kept)


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
