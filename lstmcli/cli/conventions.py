"""The command ``lstm conventions``."""

from __future__ import annotations

import click

from lstmcli.cli.command import Command, one_of
from lstmcli.cli.options import format_option
from lstmcli.cli.terminal import show_result
from lstmcli.core.model.conventions import CONVENTIONS, find_convention
from lstmcli.views.conventions import convention_sheet, conventions_sheet


@click.command(cls=Command)
@click.argument("name", required=False, shell_complete=one_of(CONVENTIONS))
@format_option()
def command(name: str | None, format: str) -> int:
    """List how each framework names, lays out and runs an LSTM.

    \b
    lstm conventions
    lstm conventions chainer

    With a NAME, all about one of them: names of tensors, order of gates, what is added or clipped
    at run time, and how it was verified.
    """
    if name is not None:
        row = find_convention(name)
        show_result(format, row.to_json, lambda width: [convention_sheet(row, width)])
    else:
        rows = list(CONVENTIONS.values())
        show_result(
            format,
            lambda: {"conventions": [one.to_json() for one in rows]},
            lambda width: [conventions_sheet(rows, width)],
        )
    return 0
