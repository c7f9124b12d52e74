"""``lstm inspect``: the tensors and LSTMs in a file."""

from __future__ import annotations

from typing import Any

import click

from lstmcli.api.inspect import inspect_files
from lstmcli.cli.command import Command
from lstmcli.cli.options import format_option, paths_argument, setting_options, settings_from
from lstmcli.cli.terminal import (
    print_json,
    remark,
    screen,
    show,
    tell_assumed,
    width,
)
from lstmcli.views.inspect import inspection_sheet
from lstmcli.views.text import without_option


@click.command(cls=Command, of_table=("all_",))
@paths_argument("file", "FILE...")
@setting_options
@click.option("--all", "all_", is_flag=True, help="Every tensor, however many there are.")
@format_option()
def command(file: tuple[str, ...], all_: bool, format: str, **options: Any) -> int:
    """Show the tensors and LSTMs in a file, and the configuration of each.

    \b
    lstm inspect demo/weights.npz
    lstm inspect demo/weights.npz --gates ifgo -f json

    Files are given as for run: several, NAME=FILE, or - for standard input. A file without an
    LSTM is listed too. Settings change the configuration, as for run.
    """
    settings = settings_from(options)
    inspection = inspect_files(file, settings)
    remark(*inspection.remarks)
    if format == "json":
        print_json(inspection.to_json())
        assumed = [text for one in inspection.lstms for text in without_option(one.model.assumed)]
        tell_assumed([*dict.fromkeys(assumed)])
    else:
        how: dict[str, Any] = {"width": width(), "show_all": all_, "quiet": screen().quiet}
        show([inspection_sheet(inspection, file, settings, **how)])
    return 0
