"""Where results and messages go: a terminal gets colour and its width, a pipe gets plain text.

Results go to stdout, or to the file of ``--svg``; messages go to stderr.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from shlex import join, split
from textwrap import wrap
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import click

from lstmcli.errors import PYTHON, UserError
from lstmcli.escaping import one_line, shell_word, shortened
from lstmcli.outputs import PLAIN_WIDTH, WIDEST_TEXT, json_text

if TYPE_CHECKING:
    from rich.console import Console

    from lstmcli.views.sheet import Sheet, Width

INDENT = 2  # columns, below the first line of a message
COPIED = ("lstm ", "python ", f"{shell_word(PYTHON)} ")  # begin lines to be copied
NARROWEST = 20  # columns: below, a label and one column of numbers do not fit
WIDEST = 2000  # columns: pictures take memory, and the widest screens have 1,000
ERROR = "error:"  # the mark of an error, behind the name of the command
TERMINAL_LINES = 25  # a fixed height for rich; unused
DEPTHS = ("truecolor", "256")  # of colours, in which maps are painted


def columns_of(stream: TextIO) -> int:
    """The width of stdout or stderr as a terminal: COLUMNS, the terminal's, or 80."""
    columns = _columns_of_environment()
    if columns is not None:
        return columns
    try:
        return _usable(os.get_terminal_size(stream.fileno()).columns or PLAIN_WIDTH)
    except (OSError, ValueError):
        return PLAIN_WIDTH


def _columns_of_environment() -> int | None:
    columns = os.environ.get("COLUMNS", "")
    if not (columns.isascii() and columns.isdigit()):
        return None
    digits = columns.lstrip("0")
    if not digits:
        return None
    return _usable(int(digits[:9]))


def _usable(columns: int) -> int:
    return max(NARROWEST, min(columns, WIDEST))


def rich_console(stream: TextIO, **options: Any) -> Console:
    """A console of rich on stdout or stderr, with the width of `columns_of`.

    Rich itself has a traceback for some values of COLUMNS and LINES (such as
    "²").
    """
    from rich.console import Console

    is_stderr, width = stream is sys.stderr, columns_of(stream)
    return Console(stderr=is_stderr, width=width, height=TERMINAL_LINES, **options)


# ---- the screen


class Screen:
    """The options of a command line for its screen, and what has been shown."""

    def __init__(self) -> None:
        self.color = "auto"  # --color
        self.quiet = False  # -q
        self.hides_results = False  # -q of a command whose status is the answer
        self.svg: str | None = None  # the file that the screen goes to
        self.sheet: Sheet | None = None  # of that file
        self.is_long = False  # whether it goes through a pager, if stdout is a terminal
        self._console: Console | None = None

    @property
    def rich(self) -> bool:
        """Tell whether the screen has a width: a terminal, or a file of a screen."""
        if self.svg is not None or self.color == "always":
            return True
        is_forced = self.color == "auto" and bool(os.environ.get("FORCE_COLOR"))
        return sys.stdout.isatty() or is_forced

    @property
    def colored(self) -> bool:
        """Tell whether it has styles: by --color, then NO_COLOR, then FORCE_COLOR."""
        if self.color != "auto":
            return self.color == "always"
        return self.rich and not os.environ.get("NO_COLOR")

    @property
    def is_paged(self) -> bool:
        """Return whether it goes through a pager, if there is one."""
        return self.is_long and self.svg is None and sys.stdout.isatty()

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None in a pipe, where all is shown."""
        return columns_of(sys.stdout) if self.rich else None

    @property
    def depth(self) -> str:
        """The number of colours: "truecolor", "256", or "none"."""
        if not (self.rich and self.colored):
            return "none"
        if self.svg is not None:
            return "truecolor"
        depth = self.console().color_system or ""
        return depth if depth in DEPTHS else "none"

    def console(self) -> Console:
        """The console that prints it."""
        if self._console is None:
            self._console = rich_console(
                sys.stdout, force_terminal=True, highlight=False, no_color=False
            )
        return self._console


def screen() -> Screen:
    """The screen of the command line that is running."""
    found: Screen = click.get_current_context().meta.setdefault(
        "lstmcli.screen", Screen()
    )
    return found


def width() -> Width:
    """The columns that a view may fill; a pipe has those of COLUMNS for sentences."""
    from lstmcli.views.sheet import Width  # a command without a screen does without

    current, columns = screen(), screen().width
    text = columns or _columns_of_environment() or PLAIN_WIDTH
    return Width(text, columns, current.svg is not None, current.quiet)


def show(sheets: Iterable[Sheet]) -> None:
    """Print sheets, or keep their lines for the file of --svg."""
    current = screen()
    for sheet in sheets:
        if current.svg is None:
            sys.stdout.write(_text(sheet))
        elif current.sheet is None:
            current.sheet = sheet
        else:
            current.sheet.extend(sheet)


def _text(sheet: Sheet) -> str:
    if not screen().colored:
        return sheet.plain()
    console = screen().console()
    with console.capture() as captured:
        console.print(sheet, end="", soft_wrap=True)
    return captured.get()


def show_paged(sheets: Iterable[Sheet]) -> None:
    """`show`, on a terminal through PAGER (``less``), which ends it when it is quit.

    There is no pager if PAGER is empty, ``cat`` or not found.
    """
    if not screen().is_paged or not _has_pager():
        show(sheets)
        return
    # leave where all fits the screen; colours; no second screen
    os.environ.setdefault("LESS", "FRX")
    click.echo_via_pager(_texts(sheets), color=True)


def _has_pager() -> bool:
    from shutil import which  # 4 ms that nothing else needs

    try:
        words = split(os.environ.get("PAGER", "less"))
    except ValueError:  # a quote that is not closed
        return False
    return bool(words) and words != ["cat"] and which(words[0]) is not None


def _texts(sheets: Iterable[Sheet]) -> Iterator[str]:
    end = ""
    for sheet in sheets:
        yield end + _text(sheet).removesuffix("\n")
        end = "\n"


def show_result(
    format: str,
    document: Callable[[], Any],
    sheets: Callable[[Width], Iterable[Sheet]],
    *,
    assumed: Iterable[str] = (),
    remarks: Iterable[str] = (),
) -> None:
    """Print a result as JSON or as a screen, unless ``-q`` leaves out results.

    Remarks go to stderr, and with JSON what was assumed.
    """
    remark(*remarks)
    if screen().hides_results:
        return
    if format != "json":
        show(sheets(width()))
        return
    from lstmcli.core.model.settings import without_option  # with the views

    click.echo(json_text(document(), indent=2))
    tell_assumed(list(dict.fromkeys(without_option(list(assumed)))))


def _set(
    ctx: click.Context, parameter: click.Parameter, value: str | bool | None
) -> None:
    if value is not None:
        setattr(screen(), str(parameter.name), value)


def screen_options() -> list[click.Parameter]:
    """The options of a screen: its colours, and a file for it."""

    def file(ctx: click.Context, parameter: click.Parameter, path: str | None) -> None:
        if path is None:
            return
        if not path.lower().endswith(".svg"):
            raise UserError(f"--svg {path}: takes a name that ends in .svg.")
        screen().svg = path

    eager: dict[str, Any] = {"expose_value": False, "is_eager": True}
    return [
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            callback=_set,
            show_default="auto",
            help="When to use colour.",
            **eager,
        ),
        click.Option(
            ["--svg"],
            metavar="FILE",
            callback=file,
            help="Save the output as SVG instead of printing it.",
            **eager,
        ),
    ]


def quiet_option(is_answer: bool) -> click.Option:
    """The option ``-q``, which leaves out the results too if the exit status is an answer."""
    help = "Hide the progress bar and the notes."
    if is_answer:
        help = "Print nothing; only set the exit status."
    return click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        callback=_set,
        expose_value=False,
        is_eager=True,
        help=help,
    )


def write_screen_file() -> None:
    """Write the file of --svg, once the command is done."""
    current = screen()
    if current.svg is None:
        return
    if current.sheet is None:
        raise _no_screen(current.svg, "-f or -o")
    from lstmcli.api.save import write_file
    from lstmcli.views.export import svg, with_prompt

    command = command_line()
    sheet = with_prompt(command, current.sheet)
    text = svg(sheet, command, current.width or PLAIN_WIDTH)
    write_file(current.svg, text.encode())


def refuse_without_screen(ctx: click.Context, of_table: Sequence[str]) -> None:
    """Refuse what only changes the screen where -f, -o or -q replace it.

    ``of_table`` are the parameters that only change the table.
    """
    current, instead = screen(), _in_place_of_screen(ctx)
    if not instead:
        return
    if current.svg is not None:
        raise _no_screen(current.svg, instead)
    names = set(of_table)
    if current.color == "always":
        names.add("color")
    if instead == "-q":
        names.add("format")
    for parameter in ctx.command.params:
        if parameter.name in names and is_typed(ctx, parameter.name):
            option = max(parameter.opts, key=len)
            raise UserError(
                f"{option} changes nothing: {instead} shows no table; leave it out."
            )


def _in_place_of_screen(ctx: click.Context) -> str:
    """The option that replaces the screen, as it is typed; nothing if none does."""
    if screen().hides_results:
        return "-q"
    format = ctx.params.get("screen", ctx.params.get("format"))
    if format is None:
        for option, name in (("-o", "output"), ("--page", "page")):
            if ctx.params.get(name) is not None:
                return option
        return ""
    if format == "table":
        return ""
    return f"-f {format}"


def is_typed(ctx: click.Context, name: str) -> bool:
    """Return whether a parameter is given on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _no_screen(path: str, instead: str) -> UserError:
    return UserError(
        f"--svg {path}: {instead} shows no screen to save; leave out --svg."
    )


def command_line() -> str:
    """The command line, without the options for its screen and its page."""
    words: Sequence[str] = click.get_current_context().find_root().obj or []
    typed, options = ["lstm"], {"--svg", "--color", "--page"}
    for n, word in enumerate(words):
        if word.partition("=")[0] not in options and (
            not n or words[n - 1] not in options
        ):
            typed.append(word)
    return join(typed)


# ---- messages


def remark(*texts: str) -> None:
    """Print notes on stderr, unless -q is given."""
    context = click.get_current_context(silent=True)
    if context and screen().quiet:
        return
    name = context.command_path if context else "lstm"
    for text in texts:
        tell(f"{name}: note: {one_line(text)}")


def tell_assumed(assumed: Sequence[str]) -> None:
    """Print what was assumed as one line on stderr."""
    if assumed and not screen().quiet:
        tell(f"assumed: {'; '.join(assumed)}")


def tell_written(paths: Iterable[str]) -> None:
    """Print the files that were written, no pipes, as one line on stderr, without -q."""
    files = list(filter(os.path.isfile, paths))
    if files and not screen().quiet:
        tell(f"wrote {', '.join(map(one_line, files))}")


def tell(text: str) -> None:
    """Print a message on stderr, escaped and shortened."""
    tell_all(shortened("\n".join(map(one_line, text.split("\n")))))


def tell_error(command: str, text: str) -> None:
    """Print an error of a command on stderr, marked as one."""
    tell(f"{command}: {ERROR} {text}")


def tell_all(shown: str) -> None:
    """Print a text on stderr, wrapped; the mark of an error is red on a terminal.

    If stderr is full or closed, the exit status remains, which an error here
    must not change.
    """
    text = shown
    if sys.stderr.isatty():
        text = wrapped(shown, min(columns_of(sys.stderr), WIDEST_TEXT))
        if not os.environ.get("NO_COLOR"):
            red = click.style(ERROR, fg="red", bold=True)
            text = text.replace(f": {ERROR} ", f": {red} ", 1)
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass


def wrapped(text: str, width: int) -> str:
    """A message wrapped at a width; lines keep their indentation.

    A line that is a command, to be copied, is never wrapped.
    """
    if all(len(line) <= width for line in text.split("\n")):
        return text
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    words = line.lstrip(" ")
    indent = len(line) - len(words)
    if indent and words.startswith(COPIED):
        return line
    following = " " * max(indent, INDENT)
    lines = wrap(
        line,
        width,
        subsequent_indent=following,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


# ---- streams


def standard_output() -> BinaryIO:
    """The bytes of stdout, behind the text written to it so far."""
    sys.stdout.flush()
    return sys.stdout.buffer


# ---- characters that an encoding lacks

SUBSTITUTES = "lstmcli.substitutes"  # the name of the error handler below
SIMILAR = str.maketrans("░▒▓█·≡▁▂▃▄▅▆▇▀▼▲▶┤╵─✔×−…", "+*#@.%_.-=+*#\"v^>|'-+x-~")


def substitute(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: similar ASCII of the same width."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_similar, error.object[error.start : error.end])), error.end


def _similar(letter: str) -> str:
    similar = letter.translate(SIMILAR)
    return similar if similar.isascii() else "?"


codecs.register_error(SUBSTITUTES, substitute)
