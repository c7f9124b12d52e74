"""The table of commands, and the group ``lstm``, which imports the module of a called command.

``lstm --help`` imports click and no numpy.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from lstmcli import threads
from lstmcli.cli.command import Context
from lstmcli.errors import did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETION_VARIABLE = "_LSTM_COMPLETE"  # set by a shell that asks for completions

COMMANDS = {
    "run": "Run saved weights over inputs: h, c and gates of every step.",
    "diff": "Compare two results, or two networks: where they first differ, and by how much.",
    "explain": "Find which configuration of the weights gives the expected outputs.",
    "plot": "Draw h, c and gates over steps and units, or the difference of two results.",
    "derive": "Trace how one value is computed, term by term.",
    "inspect": "Show the tensors and LSTMs in a file, and the configuration of each.",
    "check": "Run the same weights through real frameworks, and compare.",
    "convert": "Write the same network in the tensors of another framework.",
    "conventions": "List how each framework names, lays out and runs an LSTM.",
    "help": "Show the help of a command, or the table of settings or edits.",
    "completion": "Complete commands, options, conventions and files in your shell.",
    "init": "Make reproducible weights, and inputs to go with them.",
}
"""Each command with the first line of its help: a test compares."""


def limit_blas_to_one_thread() -> None:
    """Have BLAS load with one thread, unless numpy is loaded or the environment gives a number.

    OpenBLAS then starts quicker, and the products of a step are the same, bit
    for bit, on every number of cores. With the variable
    `lstmcli.threads.one_thread` has nothing to do.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault(threads.VARIABLE, "1")


class LazyGroup(click.Group):
    """A group that imports the module of a command that is called."""

    context_class = Context

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        limit_blas_to_one_thread()
        command: click.Command = import_module(f"lstmcli.cli.{cmd_name}").command
        return command

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Commands by the table, without importing any."""
        from click.shell_completion import CompletionItem  # only a shell asks

        commands = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for what is nearly a command."""
        word = args[0]
        if word not in COMMANDS and not (word.startswith("-") or ctx.resilient_parsing):
            ctx.fail(f"there is no command {word!r}.{did_you_mean(word, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """The table of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Print the versions of this program, of numpy and of its BLAS; then end."""
    if not value or ctx.resilient_parsing:
        return
    from lstmcli._version import __version__  # no other command needs it

    limit_blas_to_one_thread()
    numpy, libraries = threads.versions()
    click.echo(f"lstm {__version__}\nnumpy {numpy}, {libraries}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 success or equal, 1 different or not explained, 2 error.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the version of this program, of numpy and of its BLAS.",
)
def lstm() -> None:
    """Run saved LSTM weights, show every gate, find out why two outputs differ.

    \b
    lstm init --example demo
    lstm run demo/weights.npz demo/inputs.npy
    lstm explain demo/weights.npz demo/inputs.npy demo/numpy.txt
    """
