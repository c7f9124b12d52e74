"""A command line in its process: `invoke` runs it and gives the exit status.

0: success or equal; 1: different or not explained (the commands return it); 2:
usage or input error; 128 + n: ended by signal n. `invoke` may be called more
than once in a process.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any, TextIO

import click
from click.types import FloatParamType, IntParamType

from lstmcli.cli.command import CLOSED_PIPE, Interrupted
from lstmcli.cli.group import COMMANDS, COMPLETION_VARIABLE, lstm
from lstmcli.cli.terminal import SUBSTITUTES, Screen, columns_of, tell_all, tell_error
from lstmcli.errors import UserError, did_you_mean
from lstmcli.escaping import one_line
from lstmcli.outputs import DeviceWriter, OutputFile, reason

WIDEST_HELP = 100  # columns: longer lines of prose are hard to read


def invoke(args: Sequence[str]) -> int:
    """Run one command line and return the exit status.

    A mistake of the user is a message of a few lines on stderr; any other
    exception is a fault of this program and passes through.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # similar letters on a terminal without Unicode, not an error
            reconfigure(errors=SUBSTITUTES)
    try:
        status = _status_of(args)
        sys.stdout.flush()  # a full disk shows only now
        return status
    except Interrupted as end:
        return end.status
    except (click.UsageError, UserError, MemoryError, OSError) as error:
        _tell(error, args)
    try:
        sys.stdout.flush()  # what was shown before the error
    except (Interrupted, UserError, OSError):
        pass  # the first error has been reported
    return 2


def _status_of(args: Sequence[str]) -> int:
    """Run a command line, or print the completions that a shell asks for."""
    request = os.environ.get(COMPLETION_VARIABLE)
    if request:
        from lstmcli.cli.completion import print_completions  # only a shell needs it

        return print_completions(lstm, request)
    # what an option sets (--max-bytes) ends with the command
    result = copy_context().run(
        lstm.main,
        list(args),
        prog_name="lstm",
        standalone_mode=False,
        obj=list(args),
        terminal_width=min(columns_of(sys.stdout), WIDEST_HELP),
        color=Screen().colored,
    )
    return int(result or 0)


def _tell(error: Exception, args: Sequence[str]) -> None:
    """Print a mistake of the user, or what the system refuses, on stderr."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            tell_all(click.unstyle(error.format_message()))  # the help
        case click.UsageError():
            name = "lstm"
            if error.ctx:
                name = error.ctx.command_path
            tell_error(name, f"{_usage_message(error)}\n  {name} --help")
        case MemoryError():
            tell_error(_command_name(args), f"not enough memory. {error}")
        case UserError():
            from lstmcli.core.model.shell import ShellSyntax  # with the settings' table

            tell_error(_command_name(args), error.shown(ShellSyntax()))
        case OSError():  # not of an output: those raise UserError
            tell_error(_command_name(args), _system_message(error))


GONE = {
    "--html": "--svg FILE saves what is shown; plot and explain have --page FILE, "
    "an interactive page",
}
"""Options of earlier versions, and what to use."""


def _command_name(args: Sequence[str]) -> str:
    for word in args:
        if word in COMMANDS:
            return f"lstm {word}"
    return "lstm"


def _system_message(error: OSError) -> str:
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder is no longer there; change to one that is."
    if error.filename is None:
        return f"the system refuses: {reason(error)}."
    return f"{error.filename}: {reason(error)}."


def _usage_message(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        if error.option_name in GONE:
            return f"{error.option_name} is gone: {GONE[error.option_name]}."
        return (
            f"there is no option {one_line(error.option_name)}.{_similar_option(error)}"
        )
    if isinstance(error, click.BadOptionUsage) and "requires" in error.message:
        return one_line(f"{error.option_name} needs a value.")
    if type(error) is click.BadParameter and error.param is not None:
        return one_line(_value_message(error.param, error.message))
    message = one_line(" ".join(error.format_message().split()))
    return message[:1].lower() + message[1:]


def _value_message(parameter: click.Parameter, message: str) -> str:
    """The values that a parameter takes, where click refuses one by a message."""
    option = max(parameter.opts, key=len)
    kind = parameter.type
    word = message.partition(" is not")[0].strip("'")
    if isinstance(kind, click.Choice):
        values = ", ".join(kind.choices)
        return f"{option} {word}: takes {values}.{did_you_mean(word, kind.choices)}"
    if isinstance(kind, FloatParamType):
        return f"{option} {word}: takes a number{_limits(kind)}."
    if isinstance(kind, IntParamType):
        limits = _limits(kind)
        if ":" in word or "," in word:
            limits += ", neither a range nor a list"
        return f"{option} {word}: takes an integer{limits}."
    return f"{option}: {message}"


def _limits(kind: click.ParamType[Any]) -> str:
    """From where to where the numbers of an option go; nothing if all are taken."""
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" from {least} on"
    return ""


def _similar_option(error: click.NoSuchOption) -> str:
    from lstmcli.core.model.settings import SETTINGS  # with the table of settings

    known: list[str] = []
    if error.ctx:
        for parameter in error.ctx.command.params:
            known.extend(parameter.opts)
    setting = error.option_name.lstrip("-").replace("-", "_")
    option = f"--{setting.replace('_', '-')}"
    if setting in SETTINGS and "--set" in known and option not in known:
        return f" Give this setting by --set {setting}=VALUE."
    for option in known:
        if option.startswith(error.option_name):
            return did_you_mean(option, known)
    return did_you_mean(error.option_name, known)


# ---- standard output


class StandardOutput(OutputFile):
    """The raw file behind stdout: its errors name it, and a closed pipe ends the command.

    click and rich would end with status 1, "different" here, on a closed pipe.
    A file that the shell redirects stdout to is written from start to end:
    what it had before is not overwritten.
    """

    def __init__(self, stdout: TextIO) -> None:
        super().__init__(stdout.fileno(), "wb", "standard output", closefd=False)
        self._stdout = stdout  # which would close the descriptor when it is freed

    def write(self, data: Any, /) -> int:
        """Write some bytes and return how many."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise Interrupted(CLOSED_PIPE) from None


def name_standard_output() -> None:
    """Put `StandardOutput` behind ``sys.stdout``, except on Windows."""
    if os.name != "posix":
        return
    stdout: Any = sys.stdout
    sys.stdout = io.TextIOWrapper(
        DeviceWriter(StandardOutput(stdout)),
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
    )
