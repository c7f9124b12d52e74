"""The command ``lstm completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class, shell_complete

from lstmcli.cli.command import Command
from lstmcli.cli.group import COMPLETION_VARIABLE, lstm
from lstmcli.errors import UserError


def print_completions(group: click.Group, instruction: str) -> int:
    """Print the completions that a shell asks for by ``bash_complete``; gives the status."""
    try:
        is_unknown = shell_complete(group, {}, "lstm", COMPLETION_VARIABLE, instruction)
    except (KeyError, ValueError):  # no words to complete, or none with this number
        is_unknown = 1
    if is_unknown:
        raise UserError(
            f"{COMPLETION_VARIABLE}={instruction}: takes bash_complete, zsh_complete or "
            "fish_complete, and COMP_WORDS and COMP_CWORD, which a shell sets.",
            "  lstm completion bash",
        )
    return 0


# ---- the command


@click.command(cls=Command, screen=False)
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
