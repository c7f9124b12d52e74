"""A command line in its process: `invoke` runs it and gives the exit status.

0: done, or the same; 1: compared, and different (the commands return it); 2: bad usage or input;
128 + n: ended by signal n. `invoke` may be called more than once in a process.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import click
from click.shell_completion import CompletionItem

from lstmcli.cli.group import COMMANDS, lstm
from lstmcli.cli.terminal import (
    SUBSTITUTES,
    refuse_without_screen,
    screen,
    screen_options,
    tell,
    write_screen_files,
)
from lstmcli.errors import UserError, did_you_mean
from lstmcli.escaping import one_line
from lstmcli.outputs import OutputFile, reason

if TYPE_CHECKING:
    from lstmcli.api.save import Stop

INTERRUPTED = 130
CLOSED_PIPE = 141  # what a shell reports for a process that SIGPIPE ended
TERMINATING_SIGNALS = ("SIGTERM", "SIGHUP")
COMPLETION_VARIABLE = "_LSTM_COMPLETE"  # set by a shell that asks for completions
OUTPUT_OPTIONS = ("output", "save_state")  # whose files are written; the screen has its own


def invoke(args: Sequence[str]) -> int:
    """Run one command line and return the exit status.

    A mistake of the user is a message of a few lines on stderr. Every other exception is a fault
    of this program and passes through.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a terminal without Unicode shows similar letters instead of an error
            reconfigure(errors=SUBSTITUTES)
    try:
        if request := os.environ.get(COMPLETION_VARIABLE):
            from lstmcli.cli.completion import print_completions  # only a shell needs it

            result: Any = print_completions(lstm, request)
        else:
            # what an option sets, such as --max-bytes, ends with the command
            result = copy_context().run(
                lstm.main, list(args), prog_name="lstm", standalone_mode=False, obj=list(args)
            )
        sys.stdout.flush()  # a full disk shows only now
        return int(result or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        tell(error.format_message())
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "lstm"
        tell(f"{name}: {_usage_message(error)}\n  see `{name} --help`")
    except MemoryError as error:
        tell(f"{_command_name(args)}: not enough memory. {error}")
    except Ended as end:
        return end.status
    except UserError as error:
        tell(f"{_command_name(args)}: {error}")
    except OSError as error:  # not of an output: those raise UserError
        tell(f"{_command_name(args)}: {_system_message(error)}")
    try:
        sys.stdout.flush()  # what was shown before the error
    except (Ended, UserError, OSError):
        pass  # the first error has been reported
    return 2


def _command_name(args: Sequence[str]) -> str:
    """``lstm run``, or ``lstm`` where no command was typed."""
    return " ".join(["lstm", *[word for word in args if word in COMMANDS][:1]])


def _system_message(error: OSError) -> str:
    """What the system refused to do."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder is no longer there; change to one that is."
    file = f"{error.filename}: " if error.filename is not None else "the system refuses: "
    return f"{file}{reason(error)}."


def _usage_message(error: click.UsageError) -> str:
    """What is wrong with a command line, as a clause; a similar option is suggested."""
    if isinstance(error, click.NoSuchOption):
        similar = did_you_mean(error.option_name, error.possibilities or ())
        return one_line(f"there is no option {error.option_name}.{similar}")
    message = one_line(" ".join(error.format_message().split()))
    return message[:1].lower() + message[1:]


# ---- a command


class FilePath(click.types.StringParamType):
    """Text that names a file; the shell completes it as one."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Ask the shell for files."""
        return [CompletionItem(one_line(incomplete), type="file")]


FILE_PATH = FilePath()


class Command(click.Command):
    """A command whose interruption is an exception, so that partial files are removed.

    One that shows a ``screen`` takes the options of `lstmcli.cli.terminal.screen_options`;
    ``last_is_output`` says that the last of its paths is written.
    """

    def __init__(
        self, *args: Any, screen: bool = True, last_is_output: bool = False, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.last_is_output = last_is_output
        self.params += screen_options() if screen else []
        for parameter in self.params:
            is_file = isinstance(parameter, click.Argument) or "FILE" in (parameter.metavar or "")
            if is_file and parameter.type is click.STRING:
                parameter.type = FILE_PATH

    def invoke(self, ctx: click.Context) -> Any:
        """Run the body, all imports done."""
        gc.freeze()  # imported objects stay: no need to look through them again and again
        gc.enable()
        _raise_on_signals()
        try:
            with ExitStack() as stack:
                self._refuse_overwriting(ctx, stack)
                result = super().invoke(ctx)
                write_screen_files(ctx)
                return result
        except KeyboardInterrupt:  # click would print an empty line for it
            raise Ended(INTERRUPTED) from None
        except BrokenPipeError:  # click would exit with the status of a difference
            raise Ended(CLOSED_PIPE) from None

    def _refuse_overwriting(self, ctx: click.Context, stack: ExitStack) -> None:
        """Refuse what the command would overwrite, now and for every file that it reads.

        Raises
        ------
        UserError
            naming the output and the input, or the other output, that are one file; or the file
            for a screen that will not be shown.
        """
        outputs, inputs = list(screen().files.values()), list[str]()
        for parameter in self.params:
            value = ctx.params.get(str(parameter.name))
            if parameter.type is FILE_PATH and value:
                words = [value] if isinstance(value, str) else list(value)
                (outputs if parameter.name in OUTPUT_OPTIONS else inputs).extend(words)
        if self.last_is_output and len(inputs) > 1:
            outputs.append(inputs.pop())
        if not outputs:
            return
        from lstmcli.api.load import Named  # these bring numpy, which help does without
        from lstmcli.formats.files.overwriting import outputs_protected

        inputs += [Named.parse(word).path for word in inputs]
        stack.enter_context(outputs_protected(outputs, inputs))
        refuse_without_screen(ctx)


# ---- signals


class Ended(Exception):
    """The end of a command that was ended from outside: nothing is printed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _end(signum: int, frame: FrameType | None) -> None:
    raise Ended(128 + signum)


def _raise_on_signals() -> None:
    """Have signals raise, so that partial files are removed; those that are ignored stay so."""
    if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_IGN):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in TERMINATING_SIGNALS:
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            signal.signal(getattr(signal, name), _end)


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Let a signal stop a stream between two steps; a second one ends it at once."""

    def request(signum: int, frame: FrameType | None) -> None:
        if stop.status:
            raise Ended(128 + signum)
        stop.status = 128 + signum
        if stop.waiting:
            raise stop.Asked

    before = {}
    for name in ("SIGINT", *TERMINATING_SIGNALS):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- standard output


class StandardOutput(OutputFile):
    """The raw file behind stdout: its errors name it, and a closed pipe ends the command.

    click and rich end with status 1 on a closed pipe, which means "different" here; this way they
    never see one. Where the shell redirects stdout to a file it is written from start to end, so
    that what was appended to that file before is not overwritten.
    """

    def __init__(self, stdout: TextIO) -> None:
        super().__init__(stdout.fileno(), "wb", "standard output", positioned=False, closefd=False)
        self._stdout = stdout  # which would close the descriptor when it is freed

    def write(self, data: Any, /) -> int:
        """Write some bytes and return how many."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise Ended(CLOSED_PIPE) from None


def name_standard_output() -> None:
    """Put `StandardOutput` behind ``sys.stdout``; a console of Windows stays what it is."""
    if os.name != "posix":
        return
    stdout: Any = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(StandardOutput(stdout)),
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
    )
