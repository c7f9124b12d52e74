"""The command ``lstm check``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lstmcli.api.check import ALL, NAMES, TIMEOUT, Program, ProgramCheck, check
from lstmcli.api.job import split_paths
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    SEED,
    format_option,
    keywords,
    listed_names,
    option,
    paths_argument,
    run_options,
    tolerance_options,
)
from lstmcli.cli.terminal import show_result, tell_written
from lstmcli.errors import UserError
from lstmcli.views.check import check_sheet, program_sheet
from lstmcli.views.sheet import Sheet

SAVE = "lstm-check"  # the folder
ENGINES = f"Engines: {', '.join(NAMES)}; all is those that are installed."


@click.command(
    cls=Command, is_answer=True, status="0 all agree with lstm, 1 one differs, 2 error"
)
@paths_argument("weights", "WEIGHTS... [INPUTS]")
@option("--engine", "NAME,...", ENGINES, ALL)
@option("--program", "COMMAND", "A program: 'COMMAND {inputs} {outputs}'.")
@option(
    "--timeout",
    "SECONDS",
    "With --program: stop it after so long.",
    "60",
    type=float,
)
@option(
    "--seed",
    "N",
    "Seed of inputs and state, where no inputs are given.",
    "0",
    type=SEED,
)
@option("--save", "DIR", "With --program: files of its outputs, if they differ.", SAVE)
@run_options
@tolerance_options
@format_option()
def command(
    weights: tuple[str, ...],
    engine: str | None,
    program: str | None,
    timeout: float | None,
    seed: int | None,
    save: str | None,
    rtol: float | None,
    atol: float | None,
    ulp: int | None,
    format: str,
    **options: Any,
) -> int:
    """Run the same weights through real frameworks, and compare.

    \b
    lstm check demo/weights.npz --engine torch,onnxruntime --dtype float32
    lstm check demo/weights.npz demo/inputs.npy --engine all

    Weights and inputs are given as for run; without inputs, they and a state are drawn from the
    seed. An engine is a framework, which runs its own layer, and float32 weights in float64 too if
    it has float64. Up to 4 times the rounding error of lstm run counts as equal. An engine that
    does not support the network is an error, or is skipped with --engine all.

    --program runs a program of yours instead. {inputs} in its command is a file of the inputs,
    {inputs.csv} or {inputs.f32} (raw float32) a file of a single sequence; without it, the program
    reads CSV from standard input. {outputs} is the file that it writes, in a format that diff reads
    ({outputs.csv}; {outputs.f32} is steps x units); without it, its standard output is compared.
    If they differ, a folder (--save) gets them, and the inputs if they are in no file.
    """
    by = _runners(engine, program, timeout, save)
    paths, x = split_paths(weights)
    tolerance: dict[str, Any] = {"rtol": rtol, "atol": atol, "ulp": ulp}
    settings = keywords(options)
    found = check(paths, x, by, seed=seed, save=save or SAVE, **tolerance, **settings)

    remarks = list(found.job.model.remarks)
    sheet: Callable[..., Sheet] = check_sheet
    if isinstance(found, ProgramCheck):
        sheet = program_sheet
        remarks.extend(found.notes)
    show_result(
        format,
        found.to_json,
        lambda width: [sheet(found, width)],
        assumed=found.job.assumed,
        remarks=remarks,
    )
    if isinstance(found, ProgramCheck):
        tell_written(found.saved)
    return 0 if found.equal else 1


def _runners(
    engine: str | None, program: str | None, timeout: float | None, save: str | None
) -> list[str] | Program:
    """The engines that run the weights, by name, or the program in their place."""
    if program is None:
        if timeout is not None:
            raise UserError(
                "it is the time that a --program has.", about={"timeout": timeout}
            )
        if save is not None:
            raise UserError(
                "it is for the outputs of a --program.", about={"save": save}
            )
        return listed_names(engine or ALL, "--engine") or []
    if engine is not None:
        raise UserError("--program runs in place of engines.", about={"engine": engine})
    if timeout is None:
        timeout = TIMEOUT
    return Program.parse(program, timeout)
