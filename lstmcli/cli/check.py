"""``lstm check``: run the same weights through real frameworks; status 1 if one differs."""

from __future__ import annotations

from typing import Any

import click

from lstmcli import formats
from lstmcli.api.check import ALL, check
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    format_option,
    input_files,
    input_options,
    listed_names,
    paths_argument,
    read_job,
    setting_options,
    settings_from,
    tolerance_options,
)
from lstmcli.cli.terminal import (
    Quiet,
    is_typed,
    screen,
    show,
    standard_output,
    tell_assumed,
    width,
)
from lstmcli.core.weights.assumptions import without_option
from lstmcli.engines import NAMES
from lstmcli.errors import UserError
from lstmcli.views.check import check_sheet
from lstmcli.views.run import header_sheet


@click.command(cls=Command, quiet=Quiet.RESULTS)
@paths_argument("weights", "WEIGHTS... [INPUTS]")
@click.option("--engine", metavar="NAME,...", default=ALL,
              help=f"Engines: {', '.join(NAMES)}; all is those that are installed.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", default=0,
              help="Seed of inputs and state, where no inputs are given.")  # fmt: skip
@input_options
@tolerance_options
@format_option()
@setting_options
def command(
    weights: tuple[str, ...], engine: str, seed: int, rtol: float | None, atol: float | None,
    ulp: int | None, format: str, **options: Any,
) -> int:  # fmt: skip
    """Run the same weights through real frameworks, and compare.

    \b
    lstm check demo/weights.npz --engine torch,onnxruntime --dtype float32
    lstm check demo/weights.npz demo/inputs.npy --engine all

    Weights and inputs are given as for run; without inputs, they and a state are drawn from the
    seed. Each framework builds its layer, and runs float32 weights in float64 too where it has
    that. What rounding does to our own run, up to 4 times as much, is no difference. What a
    framework cannot do is rejected before anything runs, and the message names it; with all,
    that framework is left out.

    Exit status: 0 all agree with us; 1 one differs; 2 error.
    """
    job = read_job(weights, settings_from(options), input_files(options), inputs_needed=False)
    if job.inputs.name and is_typed(click.get_current_context(), "seed"):
        raise UserError(f"--seed draws inputs where none are given; {job.inputs.name} is given.")
    names = listed_names(engine, "--engine") or []
    found = check(job, names, seed=seed, rtol=rtol, atol=atol, ulp=ulp)
    if screen().quiet:
        return 0 if found.equal else 1
    if format == "json":
        formats.write(standard_output(), "json", {}, found.to_json())
        tell_assumed(without_option(found.job.assumed))
    else:
        header = header_sheet(found.job.plan(), width())
        show([header, check_sheet(found.to_json(), found.findings, width())])
    return 0 if found.equal else 1
