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
from lstmcli.cli.terminal import show, standard_output, width
from lstmcli.engines import NAMES
from lstmcli.views.check import check_sheet
from lstmcli.views.run import header_sheet


@click.command(cls=Command)
@paths_argument("weights")
@click.option("--with", "with_", metavar="NAME,...", default=ALL, show_default=True,
              help=f"Engines: {', '.join(NAMES)}; all is those that are installed.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Seed of inputs and state, where no inputs are given.")  # fmt: skip
@input_options
@tolerance_options
@format_option
@setting_options
def command(
    weights: tuple[str, ...], with_: str, seed: int, rtol: float | None, atol: float | None,
    ulp: int | None, format: str, **options: Any,
) -> int:  # fmt: skip
    """Run the same weights through real frameworks, and compare.

    \b
    lstm check samples/forget-bias/weights.npz --with torch,onnxruntime --dtype float32
    lstm check samples/forget-bias/weights.npz samples/forget-bias/inputs.npy --with all

    Weights and inputs are given as for run; without inputs, they and a state are drawn from the
    seed. Each framework builds its layer. What one cannot do is refused by name before
    anything runs; with all, that one is left out.
    Exit status: 0 all agree with us; 1 one differs; 2 trouble.
    """
    job = read_job(weights, settings_from(options), input_files(options), inputs_needed=False)
    names = listed_names(with_, "--with") or []
    found = check(job, names, seed=seed, rtol=rtol, atol=atol, ulp=ulp)
    if format == "json":
        formats.write(standard_output(), "json", {}, found.to_json())
    else:
        header = header_sheet(found.job.plan(), width())
        show([header, check_sheet(found.to_json(), found.findings, width())])
    return 0 if found.equal else 1
