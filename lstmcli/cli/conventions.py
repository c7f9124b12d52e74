"""``lstm conventions``: the table of conventions, or one row of it in words."""

from __future__ import annotations

import json

import click

from lstmcli.cli import Command, complete
from lstmcli.cli.console import show, width
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.weights.recognise import find_convention
from lstmcli.views.conventions import convention_sheet, conventions_sheet


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=complete.values_of("convention"))
@click.option("-f", "--format", type=click.Choice(["table", "json"]), default="table",
              help="For people, or for programs.")  # fmt: skip
def command(name: str | None, format: str) -> int:
    """List how each framework names, lays out and runs an LSTM.

    \b
    lstm conventions
    lstm conventions chainer

    With a NAME, everything that is known of it: names of tensors, order of gates, what is added
    or clipped at run time, and how it was verified.
    """
    row = None if name is None else find_convention(name)
    if format == "json":
        table = [one.to_json() for one in CONVENTIONS.values()]
        click.echo(json.dumps({"conventions": table} if row is None else row.to_json(), indent=2))
    elif row is None:
        show([conventions_sheet(list(CONVENTIONS.values()), width())])
    else:
        show([convention_sheet(row, width())])
    return 0
