"""The command ``lstm diff``."""

from __future__ import annotations

from typing import Any

import click

from lstmcli.api.diff import diff
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    flag,
    format_option,
    listed_names,
    named_settings,
    only_option,
    option,
    selection_options,
    settings_from,
    settings_of_weights,
    tolerance_options,
)
from lstmcli.cli.terminal import show_result
from lstmcli.core.same.difference import NetworkDifference
from lstmcli.errors import UserError
from lstmcli.views.diff import difference_sheet
from lstmcli.views.same import networks_sheet
from lstmcli.views.sheet import Sheet, Width

LAYOUT = click.Choice(["batch", "time"])
UNKNOWN_LAYOUT = "Layout of a side whose file has none."


@click.command(
    cls=Command,
    is_answer=True,
    of_table=("per_step",),
    status="0 equal, 1 different, 2 error",
)
@click.argument("a")
@click.argument("b")
@tolerance_options
@flag("--equal-nan", "NaN equals NaN.")
@flag("--padding", "Compare padded steps of runs with lengths too.")
@flag("--per-step", "Show the error of each step.")
@click.option("--layout", type=LAYOUT, show_default="time", help=UNKNOWN_LAYOUT)
@only_option("Arrays to compare.", "those of both")
@selection_options("compare")
@flag("--by-name", "Compare tensors of two files of weights by their names.")
@option("--set-b", "NAME=VALUE", "Any setting of B's network alone.", multiple=True)
@settings_of_weights
@format_option()
def command(
    a: str,
    b: str,
    rtol: float | None,
    atol: float | None,
    ulp: int | None,
    equal_nan: bool,
    padding: bool,
    per_step: bool,
    layout: str | None,
    only: str | None,
    steps: str | None,
    batch: str | None,
    units: str | None,
    by_name: bool,
    set_b: tuple[str, ...],
    format: str,
    **options: Any,
) -> int:
    """Compare two results, or two networks: where they first differ, and by how much.

    \b
    lstm diff demo/tensorflow.txt demo/numpy.txt
    lstm diff demo/tensorflow.txt demo/numpy.txt --atol 0 --rtol 2e-6

    Each is whatever run writes, an array, or text pasted from a NumPy, TensorFlow or PyTorch
    console; FILE:MEMBER selects one array of a file, - is standard input. A single array on each
    side is compared whatever its name. If the axes differ but fit in exactly one way, they are
    aligned, and the screen reports it. Tolerances follow the less precise dtype and printed digits.

    Two files of weights are compared as networks (lstm diff A.pt B.onnx), each in its own
    convention, whatever the names of their tensors; settings are those of both. Of several LSTMs
    in a file, FILE:NAME selects one.
    """
    found = diff(
        a,
        b,
        rtol=rtol,
        atol=atol,
        ulp=ulp,
        equal_nan=equal_nan,
        layout=layout,
        only=listed_names(only, "--only"),
        steps=steps,
        batch=batch,
        units=units,
        padding=padding,
        by_name=by_name,
        settings_b=named_settings(set_b, "--set-b"),
        **settings_from({**options, "layout": None}),
    )
    if isinstance(found, NetworkDifference):
        if per_step:
            text = "it changes nothing: weights have no steps; leave it out."
            raise UserError(text, about={"per_step": True})
        networks = found

        def sheet(width: Width) -> Sheet:
            return networks_sheet(networks, width)
    else:

        def sheet(width: Width) -> Sheet:
            return difference_sheet(found, width=width, per_step=per_step)

    show_result(
        format,
        found.to_json,
        lambda width: [sheet(width)],
        remarks=found.cuts,
    )
    return 0 if found.equal else 1
