"""``lstm help``: the help of a command."""

from __future__ import annotations

import click

from lstmcli.cli.command import Command
from lstmcli.cli.group import COMMANDS
from lstmcli.errors import UserError, did_you_mean


def _commands(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in COMMANDS if name.startswith(incomplete)]


@click.command(cls=Command, screen=False)
@click.argument("name", metavar="[COMMAND]", required=False, shell_complete=_commands)
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    """Show the help of a command.

    \b
    lstm help run
    lstm help diff

    Without a command, the list of commands.
    """
    group = ctx.find_root()
    if name is None:
        click.echo(group.get_help())
        return
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}.{did_you_mean(name, COMMANDS)}")
    assert isinstance(group.command, click.Group)
    found = group.command.get_command(group, name)
    assert found is not None
    with click.Context(found, info_name=name, parent=group) as context:
        click.echo(found.get_help(context))
