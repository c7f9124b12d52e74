"""The command ``lstm convert``."""

from __future__ import annotations

from typing import Any

import click

from lstmcli.api.convert import convert
from lstmcli.cli.command import Command, one_of
from lstmcli.cli.options import (
    format_option,
    named_settings,
    option,
    setting_options,
    settings_from,
)
from lstmcli.cli.terminal import show_result
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.errors import UserError
from lstmcli.views.convert import conversion_sheet

NAMES = one_of(CONVENTIONS)


@click.command(cls=Command, last_is_output=True)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... DST")
@option("--to", "NAME", "The convention of DST; see conventions.", shell_complete=NAMES)
@option(
    "--to-set",
    "NAME=VALUE",
    "Settings of DST: forget_bias, gates, rows, ...",
    multiple=True,
)
@setting_options
@format_option()
def command(
    paths: tuple[str, ...],
    to: str | None,
    to_set: tuple[str, ...],
    format: str,
    **options: Any,
) -> None:
    """Write the same network in the tensors of another framework.

    \b
    lstm convert demo/weights.npz torch.safetensors --to pytorch-cell
    lstm convert demo/weights.npz net.onnx --dtype float32

    DST is .npz or .json in any convention's names, .safetensors, .onnx (a model that runs, without
    --to), or a model of RTNeural (.json, --to rtneural). If the target cannot store a feature,
    convert names it and writes nothing. Before anything is written, the tensors are read back and
    run next to the source. Settings are those of SRC, as for run; --to-set are those of DST.
    """
    if len(paths) < 2:
        raise UserError(
            f"{paths[0]}: no file to write; it comes last, such as out.npz."
        )
    settings = settings_from(options)
    asked = named_settings(to_set, "--to-set")
    conversion = convert(paths[:-1], paths[-1], to, settings, asked)
    show_result(
        format,
        conversion.to_json,
        lambda width: [conversion_sheet(conversion, width)],
        assumed=conversion.model.assumed,
        remarks=(*conversion.model.remarks, *conversion.remarks),
    )
