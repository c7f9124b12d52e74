"""The rim: the command table, and how a command's end becomes an exit status.

Commands live in one module each, imported when called, so that ``lstm --help`` imports click and
nothing else.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from importlib import import_module
from types import FrameType
from typing import Any

import click

from lstmcli._version import __version__
from lstmcli.cli import letters
from lstmcli.cli.messages import tell
from lstmcli.core.forward import blas
from lstmcli.errors import UserError, did_you_mean
from lstmcli.escaping import one_line
from lstmcli.outputs import reason

COMMANDS = {
    "run": "Run saved weights over inputs: h, c and gates of every step.",
    "diff": "Compare two results: how far apart, and where they part first.",
    "explain": "Find the assumption that is wrong: which reading of the weights gives EXPECTED.",
    "plot": "Draw h, c and gates over steps and units, or where two results differ.",
    "derive": "Show how one number comes about: every term, the gates, c and h.",
    "inspect": "Show what a file holds: tensors, LSTMs, and how each would be read.",
    "check": "Run the same weights through real frameworks, and compare.",
    "convert": "Write the same network in the tensors of another framework.",
    "conventions": "List how each framework names, lays out and runs an LSTM.",
    "help": "Show the help of a command.",
    "completion": "Complete commands, options, files and names in your shell.",
    "init": "Make reproducible weights, and inputs to go with them.",
}
"""Each command and its line of help, which is the first line of its docstring: a test compares."""


_ENDINGS = ("SIGTERM", "SIGHUP")
INTERRUPTED = 130
CLOSED_PIPE = 141  # what a shell reports for a process that SIGPIPE ended


def limit_blas_to_one_thread() -> None:
    """Have BLAS load with one thread, unless numpy is loaded or the environment gives a number.

    OpenBLAS reads the variable when it is loaded: one thread starts quicker, and the products of
    a step come out the same, bit for bit, on every number of cores. The variable stays, so that
    `lstmcli.core.forward.blas.one_thread` need not look for the library.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault(blas.VARIABLE, "1")


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; its module is imported now."""
        if cmd_name not in COMMANDS:
            return None
        limit_blas_to_one_thread()
        command: click.Command = import_module(f"lstmcli.cli.{cmd_name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Commands by the table, without importing any."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a suggestion for a word that is nearly a command."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            ctx.fail(f"there is no command {word!r}.{did_you_mean(word, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, read off `COMMANDS` without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lstm", message="%(prog)s %(version)s")
def lstm() -> None:
    """A calculator for LSTM forward passes: every gate of every step.

    \b
    lstm run samples/forget-bias/weights.npz samples/forget-bias/inputs.npy
    lstm diff samples/question/tensorflow.txt samples/question/numpy.txt

    Exit status: 0 done, or same; 1 compared, and different; 2 bad usage or input.
    """


def invoke(args: Sequence[str]) -> int:
    """Run one command line; gives the exit status.

    Mistakes of the user are told on stderr in a few lines. Everything else that is raised is ours,
    and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a terminal without Unicode shows what looks alike, instead of an error
            reconfigure(errors=letters.NAME)
    try:
        if asked := os.environ.get("_LSTM_COMPLETE"):
            from lstmcli.cli.complete import answer  # needed by a shell alone

            result: Any = answer(lstm, asked)
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
        tell(f"{name}: {_usage(error)}\n  {name} --help lists what there is.")
    except MemoryError as error:
        tell(f"{_name(args)}: not enough memory. {error}")
    except Ended as end:
        return end.status
    except UserError as error:
        tell(f"{_name(args)}: {error}")
    except OSError as error:  # of no output: those name themselves
        tell(f"{_name(args)}: {_refused(error)}")
    try:
        sys.stdout.flush()  # what was shown before the error
    except (Ended, UserError, OSError):
        pass  # the error that was told first goes before
    return 2


def _name(args: Sequence[str]) -> str:
    """``lstm run``, or ``lstm`` where no command was typed."""
    return " ".join(["lstm", *[word for word in args if word in COMMANDS][:1]])


def _refused(error: OSError) -> str:
    """What the system refused to do."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder is no longer there; change to one that is."
    file = f"{error.filename}: " if error.filename is not None else "the system refuses: "
    return f"{file}{reason(error)}."


def _usage(error: click.UsageError) -> str:
    """What is wrong with a command line; an option that is nearly right is named."""
    if isinstance(error, click.NoSuchOption):
        near = did_you_mean(error.option_name, error.possibilities or ())
        return one_line(f"there is no option {error.option_name}.{near}")
    return _lower(one_line(" ".join(error.format_message().split())))


def _lower(message: str) -> str:
    """A click message as a clause: its first letter small, its full stop kept."""
    return message[:1].lower() + message[1:]


class Ended(Exception):
    """A command that was ended from outside, silently."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _end(signum: int, frame: FrameType | None) -> None:
    raise Ended(128 + signum)


@contextmanager
def interrupts(stop: Any) -> Iterator[None]:
    """Let a signal ask a stream to stop between two steps; a second one ends it at once.

    ``stop`` is a `lstmcli.api.save.Stop`.
    """

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.status:
            raise Ended(128 + signum)
        stop.status = 128 + signum
        if stop.waiting:
            raise stop.Asked

    before = {}
    for name in ("SIGINT", *_ENDINGS):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
            before[getattr(signal, name)] = signal.signal(getattr(signal, name), ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Command(click.Command):
    """A command whose interruption is an exception, so that partial files are removed.

    One that shows a ``screen`` takes the options of `lstmcli.cli.screen.screen_options`;
    ``last_is_output`` says that the last of its paths is written.
    """

    def __init__(
        self, *args: Any, screen: bool = True, last_is_output: bool = False, **told: Any
    ) -> None:
        super().__init__(*args, **told)
        self.last_is_output = last_is_output
        from lstmcli.cli.complete import FILE
        from lstmcli.cli.screen import screen_options

        self.params += screen_options() if screen else []
        for parameter in self.params:  # what is a file is completed as one
            named = isinstance(parameter, click.Argument) or "FILE" in (parameter.metavar or "")
            if named and parameter.type is click.STRING:
                parameter.type = FILE

    def invoke(self, ctx: click.Context) -> Any:
        """Run the body, all imports done."""
        gc.freeze()  # what was imported stays: no need to look through it again and again
        gc.enable()
        if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_IGN):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in _ENDINGS:  # end as an interrupt does: no partial file stays
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
                signal.signal(getattr(signal, name), _end)
        try:
            from lstmcli.cli.outputs import guarded
            from lstmcli.cli.screen import recorded

            with guarded(ctx, self.last_is_output), recorded(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:  # click would print an empty line for it
            raise Ended(INTERRUPTED) from None
        except BrokenPipeError:  # and give this the status of a difference
            raise Ended(CLOSED_PIPE) from None
