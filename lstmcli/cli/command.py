"""A command: its parameters, what it refuses to overwrite, and how it is interrupted."""

from __future__ import annotations

import gc
import re
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from lstmcli.cli.terminal import (
    quiet_option,
    refuse_without_screen,
    screen,
    screen_options,
    tell_written,
    write_screen_file,
)

if TYPE_CHECKING:
    from lstmcli.api.stream import Stop

IN_WORDS = {  # what click writes in brackets
    r"\[default: \((.*?)\)(?=[;\]])": r"[default: \1",
    r"(\d+)<=x<=(\d+)": r"\1 to \2",
    r"x>=(\d+)": r"at least \1",
}
EXAMPLE = "demo"  # the folder that examples of help name
UNGROUPED = 12  # options at most: init has 11, commands that run weights 18 and more
FIRST_COLUMN = 27  # columns of options; the text of a longer one is below it
INTERRUPTED = 130
CLOSED_PIPE = 141  # as a shell reports the end by SIGPIPE
OTHER_ENDINGS = """SIGTERM SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGALRM SIGVTALRM SIGPROF SIGXCPU
SIGPOLL SIGPWR SIGSTKFLT SIGTRAP SIGSYS SIGABRT"""
"""Signals besides SIGINT that end a process that does not handle them; a fault's do not return."""
OUTPUT_OPTIONS = ("output", "page", "save_state")  # of files, besides --svg
MEMBER_OF_STDIN = "-:"  # how ``-:h``, a member of standard input, begins
NO_OPTION = "\0"  # before such a word, which is no option


class Formatter(click.HelpFormatter):
    """Help with headings and options in bold, on a terminal."""

    def write_heading(self, heading: str) -> None:
        """A heading, one line of words and a colon."""
        super().write_heading(click.style(heading, bold=True))

    def write_dl(
        self,
        rows: Iterable[tuple[str, str]],
        col_max: int = FIRST_COLUMN,
        col_spacing: int = 2,
    ) -> None:
        """Options and what they do."""
        styled = [(click.style(first, bold=True), second) for first, second in rows]
        super().write_dl(styled, col_max, col_spacing)


class Context(click.Context):
    """A context whose help has that style."""

    formatter_class = Formatter


class FilePath(click.Path):
    """The name of a file, which the shell completes; `lstmcli.formats` opens it."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The text as it was typed."""
        return str(value).removeprefix(NO_OPTION)


FILE_PATH = FilePath()


def default_in_words(text: str) -> str:
    """A help text, its default and range in words."""
    for pattern, words in IN_WORDS.items():
        text = re.sub(pattern, words, text)
    return text


def one_of(
    words: Iterable[str],
) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """A completer of these words."""
    return lambda ctx, parameter, incomplete: [
        w for w in words if w.startswith(incomplete)
    ]


class Command(click.Command):
    """A command whose interruption is an exception, so that partial files are removed.

    With a ``screen`` it takes the options of
    `lstmcli.cli.terminal.screen_options`. The last of its paths is written if
    ``last_is_output``; its exit status is the answer if ``is_answer``.
    ``of_table`` are parameters that only change the table, refused where none
    is shown; ``status`` is the end of its help.
    """

    context_class = Context

    def __init__(
        self,
        *args: Any,
        screen: bool = True,
        last_is_output: bool = False,
        is_answer: bool = False,
        of_table: Sequence[str] = (),
        status: str = "0 success, 2 error",
        **settings: Any,
    ) -> None:
        settings.setdefault("context_settings", {"show_default": True})
        super().__init__(*args, **settings)
        self.last_is_output, self._of_table = last_is_output, of_table
        self._is_answer, self._status = is_answer, status
        if screen:
            self.params.extend(screen_options())
        self.params.append(quiet_option(is_answer))
        for parameter in self.params:
            metavar = parameter.metavar or ""
            is_file = isinstance(parameter, click.Argument) or "FILE" in metavar
            if is_file and parameter.type is click.STRING:
                parameter.type = FILE_PATH

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """The options, in groups with a heading each if they are many."""
        records: dict[str, tuple[str, str]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                option, text = record
                records[str(parameter.name)] = option, default_in_words(text)
        groups = {"Options": list(records)}
        if len(records) > UNGROUPED:
            groups = grouped(records)
        for heading, names in groups.items():
            with formatter.section(heading):
                if heading == OF_CONVENTIONS:
                    formatter.write_text(DEFAULTS)
                formatter.write_dl([records[name] for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """How the files of the examples are written, and the exit statuses."""
        formatter.write_paragraph()
        if f"{EXAMPLE}/" in (self.help or ""):
            formatter.write_text(
                f"`lstm init --example {EXAMPLE}` writes the files above."
            )
        formatter.write_text(f"Exit status: {self._status}.")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line, where ``-:h`` is a file, and an option of one value stands once."""
        words = [
            NO_OPTION + word if word.startswith(MEMBER_OF_STDIN) else word
            for word in args
        ]
        try:
            if not ctx.resilient_parsing:
                self._refuse_repeated(ctx, words)
            return super().parse_args(ctx, [*words])  # click takes words from its list
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # whose help is named
            raise

    def _refuse_repeated(self, ctx: click.Context, words: Sequence[str]) -> None:
        given: set[click.Parameter] = set()
        for parameter in self.make_parser(ctx).parse_args(list(words))[2]:
            if not isinstance(parameter, click.Option) or parameter.multiple:
                continue
            if parameter in given:
                option = max(parameter.opts, key=len)
                raise click.UsageError(f"{option} is given twice; give it once.", ctx)
            given.add(parameter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the body."""
        if not gc.isenabled():  # by the process of ``lstm``, while it imported
            gc.freeze()  # imported objects stay, and are not looked through again
            gc.enable()
        raise_on_signals()
        try:
            with ExitStack() as stack:
                outputs = self._refuse_overwriting(ctx, stack)
                screen().hides_results = self._is_answer and screen().quiet
                refuse_without_screen(ctx, self._of_table)
                result = super().invoke(ctx)
                write_screen_file()
                if not self.last_is_output:  # its screen begins with it
                    tell_written(outputs)
                return result
        except KeyboardInterrupt:  # click would print an empty line for it
            raise Interrupted(INTERRUPTED) from None
        except BrokenPipeError:  # click would exit with the status of a difference
            raise Interrupted(CLOSED_PIPE) from None

    def _refuse_overwriting(self, ctx: click.Context, stack: ExitStack) -> list[str]:
        outputs, inputs = list[str](), list[str]()
        svg = screen().svg
        if svg is not None:
            outputs.append(svg)
        for parameter in self.params:
            value = ctx.params.get(str(parameter.name))
            if parameter.type is not FILE_PATH or not value:
                continue
            files = inputs
            if parameter.name in OUTPUT_OPTIONS:
                files = outputs
            if isinstance(value, str):
                files.append(value)
            else:
                files.extend(value)
        if self.last_is_output and len(inputs) > 1:
            outputs.append(inputs.pop())
        if outputs:
            from lstmcli.api.documents import (
                files_protected,  # with numpy, which help does without
            )

            stack.enter_context(files_protected(outputs, inputs))
        return outputs


# ---- signals


class Interrupted(Exception):
    """Ends a command silently, as something outside demands."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _end(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(128 + signum)


def _handlers() -> dict[int, Any]:
    """The handlers of `OTHER_ENDINGS` and of real-time signals, but those of a C library."""
    names = OTHER_ENDINGS.split()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if hasattr(signal, "SIGRTMIN"):
        numbers.extend(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {number: one for number, one in handlers.items() if one is not None}


def raise_on_signals() -> None:
    """Have signals raise, so that partial files are removed, unless they are ignored."""
    if signal.getsignal(signal.SIGINT) not in (
        signal.default_int_handler,
        signal.SIG_IGN,
    ):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, handler in _handlers().items():
        if handler == signal.SIG_DFL:
            signal.signal(number, _end)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Let a signal stop a stream between two steps; a second one ends it at once."""

    def request(signum: int, frame: FrameType | None) -> None:
        if stop.status:
            raise Interrupted(128 + signum)
        stop.status = 128 + signum
        if stop.waiting:
            raise stop.Asked

    all_before = {signal.SIGINT: signal.getsignal(signal.SIGINT)} | _handlers()
    before = {n: one for n, one in all_before.items() if one != signal.SIG_IGN}
    for number in before:
        signal.signal(number, request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- groups of options


OF_CONVENTIONS, DISPLAY = "Weights and conventions", "Display"
DEFAULTS = """Defaults come from the convention. `lstm help settings NAME` and `lstm help edits`
have the values and rules."""

GROUPS = {
    OF_CONVENTIONS: (
        "convention", "layer", "gates", "forget_bias", "activation", "recurrent_activation",
        "output_activation", "cell_clip", "gate_clip", "projection_clip", "rows", "coupled",
        "merge", "front", "head", "set_", "set_b", "edits", "to", "to_set",
    ),
    "Inputs and states": (
        "layout", "reverse", "go_backwards", "lengths", "mask", "masked_output", "initial_state",
    ),
    "Selection": ("only", "cell", "steps", "step", "batch", "units", "unit", "array", "gate",
                  "terms"),
    "Comparison": ("against", "rtol", "atol", "ulp", "equal_nan", "padding", "per_step", "by_name"),
    "Computation": (
        "thorough", "dtype", "arithmetic", "engine", "program", "timeout", "threads", "scheduler",
        "seed", "max_bytes",
    ),
    "Output": ("screen", "format", "output", "page", "save", "save_state", "tidy", "digits"),
    DISPLAY: ("all_", "pool", "profile", "quiet", "no_pager", "color", "svg", "help"),
}  # fmt: skip
"""Parameters, by their names in Python, below their heading, in the order of the help."""

_GROUPED = {name for names in GROUPS.values() for name in names}


def grouped(names: Collection[str]) -> dict[str, list[str]]:
    """Parameters by heading, as in `GROUPS`; unknown ones are the last."""
    groups = {heading: [n for n in of if n in names] for heading, of in GROUPS.items()}
    groups[DISPLAY] += [name for name in names if name not in _GROUPED]
    return {heading: found for heading, found in groups.items() if found}
