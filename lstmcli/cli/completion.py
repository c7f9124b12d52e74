"""``lstm completion``: the script that teaches a shell to complete ``lstm``."""

from __future__ import annotations

import click

from lstmcli.cli import Command, lstm

WITH_COMMAS = ('string split "," $completion', 'string split --max 1 "," $completion')
"""Where click's script for Fish loses what follows a comma in a value, and how it does not."""


@click.command(cls=Command, screen=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Complete commands, options, files and names in your shell.

    \b
    lstm completion bash
    lstm completion zsh

    Prints a script that the shell reads when it starts:

    \b
    ~/.bashrc                   eval "$(lstm completion bash)"   (Bash 4.4 or newer)
    ~/.zshrc, after compinit    eval "$(lstm completion zsh)"
    ~/.config/fish/config.fish  lstm completion fish | source

    Conventions, gate orders and activations are completed, and the names of layers, cells and
    members from the file that stands before the cursor.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # click has all three
    script = made(lstm, {}, "lstm", "_LSTM_COMPLETE")
    template = script.source_template.replace(*WITH_COMMAS)
    click.echo(template % script.source_vars())
