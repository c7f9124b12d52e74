"""``lstm check``: run the same weights through real frameworks; status 1 if one differs."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from lstmcli.api.check import ALL, NAMES, Check, check
from lstmcli.api.check_program import TIMEOUT, ProgramCheck, check_program
from lstmcli.api.job import split_paths
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    format_option,
    keywords,
    listed_names,
    paths_argument,
    run_options,
    tolerance_options,
)
from lstmcli.cli.terminal import (
    show_result,
)
from lstmcli.errors import UserError
from lstmcli.views.check import check_sheet
from lstmcli.views.check_program import program_sheet


@click.command(cls=Command, is_answer=True, status="0 all agree with ours, 1 one differs, 2 error")
@paths_argument("weights", "WEIGHTS... [INPUTS]")
@click.option("--engine", metavar="NAME,...", show_default=ALL,
              help=f"Engines: {', '.join(NAMES)}; all is those that are installed.")  # fmt: skip
@click.option(
    "--program",
    metavar="COMMAND",
    help="A program in place of engines: 'COMMAND {inputs} {outputs}', no shell.",
)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              show_default="60", help="With --program: stop it after so long.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N", show_default="0",
              help="Seed of inputs and state, where no inputs are given.")  # fmt: skip
@run_options
@tolerance_options
@format_option()
def command(
    weights: tuple[str, ...], engine: str | None, program: str | None, timeout: float | None,
    seed: int | None, rtol: float | None, atol: float | None, ulp: int | None, format: str,
    **options: Any,
) -> int:  # fmt: skip
    """Run the same weights through real frameworks, and compare.

    \b
    lstm check demo/weights.npz --engine torch,onnxruntime --dtype float32
    lstm check demo/weights.npz demo/inputs.npy --engine all

    Weights and inputs are given as for run; without inputs, they and a state are drawn from the
    seed. Each engine runs its framework's layer, and float32 weights in float64 too if it has
    float64. Up to 4 times the rounding error of our run counts as equal. An engine that does not
    support the network is an error, or is skipped with --engine all.

    --program runs a program of yours instead. {inputs} in its command is a file of the inputs,
    {inputs.csv} or {inputs.f32} (raw float32) a file of a single sequence; without it, the program
    reads CSV from standard input. {outputs} is the file that it writes, in a format that diff reads
    ({outputs.csv}; {outputs.f32} is steps x units); without it, its standard output is compared.
    """
    paths, x = split_paths(weights)
    of_run = {"seed": seed, "rtol": rtol, "atol": atol, "ulp": ulp, **keywords(options)}
    found: Check | ProgramCheck
    if program is None:
        if timeout is not None:
            raise UserError("it is the time that a --program has.", about={"timeout": timeout})
        found = check(paths, x, listed_names(engine or ALL, "--engine") or [], **of_run)
        sheet = partial(check_sheet, found)
    else:
        if engine is not None:
            raise UserError("--program runs in place of engines.", about={"engine": engine})
        found = check_program(paths, x, program, timeout=timeout or TIMEOUT, **of_run)
        sheet = partial(program_sheet, found)
    show_result(
        format,
        found.to_json,
        lambda width: [sheet(width)],
        assumed=found.job.assumed,
        remarks=found.job.model.remarks,
    )
    return 0 if found.equal else 1
