"""What a command line was told about its screen: colours, and files that it goes to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from lstmcli.cli.messages import columns_of
from lstmcli.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from lstmcli.views.sheet import Span

LINES = 25  # what rich is told that a terminal has; nothing here depends on it
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

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None in a pipe, where nothing need be left out."""
        if not self.rich:
            return None
        return columns_of(sys.stdout)

    @property
    def depth(self) -> str:
        """How many colours there are: "truecolor", "256", "16", or "none"."""
        if not (self.rich and self.colored):
            return "none"
        if self.files:
            return "truecolor"
        return DEPTHS.get(self.console().color_system or "", "none")

    def console(self) -> Console:
        """The console that paints it."""
        if self._console is None:
            self._console = rich_console(
                sys.stdout, force_terminal=True, highlight=False, no_color=not self.colored
            )
        return self._console


def rich_console(stream: TextIO, **options: Any) -> Console:
    """A console of rich on stdout or stderr, as wide as all else is.

    Rich's own reading of COLUMNS and LINES ends in a traceback for some (such as "²").
    """
    from rich.console import Console

    stderr = stream is sys.stderr
    return Console(stderr=stderr, width=columns_of(stream), height=LINES, **options)


def screen() -> Screen:
    """The screen of the command line that is running."""
    context = click.get_current_context(silent=True)
    if context is None:
        return Screen()
    found: Screen = context.meta.setdefault("lstmcli.screen", Screen())
    return found


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
        raise _without_screen(own)
    from lstmcli import formats
    from lstmcli.views.export import WRITTEN, with_prompt

    command = _typed(ctx.obj or [])
    lines = with_prompt(command, own.lines)
    for kind, path in own.files.items():
        with formats.atomically(path) as stream:
            stream.write(WRITTEN[kind](lines, command, own.width or 80).encode())


def refuse_without_screen(ctx: click.Context) -> None:
    """Refuse a file for the screen where -f or -o take its place, before anything is written.

    Raises
    ------
    UserError
        naming the file.
    """
    own = screen()
    format = ctx.params.get("screen", ctx.params.get("format"))
    shown = format == "table" if format else ctx.params.get("output") is None
    if own.files and not shown:
        raise _without_screen(own)


def _without_screen(own: Screen) -> UserError:
    option, path = next(iter(own.files.items()))
    return UserError(f"--{option} {path}: no screen is shown beside -f and -o; leave those out.")


def _typed(words: Sequence[str]) -> str:
    """The command line, without what says where its screen goes."""
    from shlex import join

    kept, options = ["lstm"], {"--svg", "--html", "--color"}
    for n, word in enumerate(words):
        if word.partition("=")[0] not in options and (not n or words[n - 1] not in options):
            kept.append(word)
    return join(kept)
