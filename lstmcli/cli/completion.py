"""``lstm completion``: click's completion of commands, options, choices, conventions and files.

The shell starts ``lstm`` for each word; no file is read for it.
"""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import get_completion_class, shell_complete

from lstmcli.cli.command import Command
from lstmcli.cli.group import COMPLETION_VARIABLE, lstm
from lstmcli.errors import UserError


def print_completions(group: click.Group, instruction: str) -> int:
    """Print the completions that a shell asks for, as by ``bash_complete``; return the status."""
    shell, _, request = instruction.partition("_")
    if request == "complete" and not _are_words_given(shell):
        raise UserError(
            f"{COMPLETION_VARIABLE}={instruction}: the words to complete are in COMP_WORDS and "
            "COMP_CWORD, which a shell sets.",
            "  lstm completion bash",
        )
    if shell_complete(group, {}, "lstm", COMPLETION_VARIABLE, instruction):
        raise UserError(
            f"{COMPLETION_VARIABLE}={instruction}: takes bash_complete, zsh_complete or "
            "fish_complete."
        )
    return 0


def _are_words_given(shell: str) -> bool:
    """Whether the variables with the words are there; Fish's second one is a word itself."""
    number = os.environ.get("COMP_CWORD")
    if "COMP_WORDS" not in os.environ or number is None:
        return False
    return shell == "fish" or bool(re.fullmatch("[0-9]{1,6}", number))


# ---- the command


@click.command(cls=Command, screen=False, in_groups=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Complete commands, options, conventions and files in your shell.

    \b
    lstm completion bash
    lstm completion zsh

    Prints a script that the shell reads when it starts:

    \b
    ~/.bashrc                   eval "$(lstm completion bash)"  (Bash 4.4+)
    ~/.zshrc, after compinit    eval "$(lstm completion zsh)"
    ~/.config/fish/config.fish  lstm completion fish | source

    No file is read: `lstm inspect FILE` lists the names in one.
    """
    made = get_completion_class(shell)
    assert made is not None  # click has all three
    script = made(lstm, {}, "lstm", COMPLETION_VARIABLE)
    click.echo(script.source_template % script.source_vars())
