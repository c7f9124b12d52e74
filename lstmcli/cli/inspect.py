"""The command ``lstm inspect``."""

from __future__ import annotations

from typing import Any

import click

from lstmcli.api.inspect import inspect_files
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    flag,
    format_option,
    paths_argument,
    setting_options,
    settings_from,
)
from lstmcli.cli.terminal import show_result
from lstmcli.views.inspect import inspection_sheet


@click.command(cls=Command, of_table=("all_",))
@paths_argument("file", "FILE...")
@setting_options
@flag("--all all_", "Every tensor, however many there are.")
@format_option()
def command(file: tuple[str, ...], all_: bool, format: str, **options: Any) -> int:
    """Show the tensors and LSTMs in a file, and the configuration of each.

    \b
    lstm inspect demo/weights.npz
    lstm inspect demo/weights.npz --gates ifgo -f json

    Files are given as for run: several, NAME=FILE, or - for standard input. Files without an LSTM
    are listed too. Settings override the recognised configuration.
    """
    settings = settings_from(options)
    found = inspect_files(file, settings)
    show_result(
        format,
        found.to_json,
        lambda width: [
            inspection_sheet(found, file, settings, width=width, show_all=all_)
        ],
        assumed=[text for one in found.lstms for text in one.model.assumed],
        remarks=found.remarks,
    )
    return 0
