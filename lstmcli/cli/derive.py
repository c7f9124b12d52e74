"""``lstm derive``: how one value is computed; status 1 where a reference value differs."""

from __future__ import annotations

import re
from typing import Any

import click

from lstmcli import formats
from lstmcli.api.arguments import Named, only_one_stdin
from lstmcli.api.derive import derive_in_job
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    cell_option,
    digits_option,
    format_option,
    input_files,
    input_options,
    paths_argument,
    read_job,
    setting_options,
    settings_from,
)
from lstmcli.cli.terminal import (
    is_typed,
    screen,
    show,
    standard_output,
    tell_assumed,
    width,
)
from lstmcli.core.weights.assumptions import without_option
from lstmcli.errors import UserError
from lstmcli.views.derive import Detail, derivation_sheet
from lstmcli.views.run import header_sheet


@click.command(cls=Command, of_table=("terms", "digits"))
@paths_argument("weights", "WEIGHTS... INPUTS")
@click.option(
    "--steps",
    "step",
    type=int,
    required=True,
    metavar="N",
    help="The step, from 0; -1: the last.",
)
@click.option(
    "--units",
    "unit",
    type=int,
    required=True,
    metavar="N",
    help="The unit, from 0; -1: the last.",
)
@click.option(
    "--gate",
    type=click.Choice(list("ifgo")),
    show_default="all four",
    help="One gate, term by term.",
)
@click.option("--batch", type=int, default=0, metavar="N", help="The sequence of the batch.")
@cell_option("Which")
@click.option("--against", metavar="FILE",
              help="Reference values to show next to ours.")  # fmt: skip
@click.option(
    "--terms",
    default="20",
    metavar="N|all",
    help="How many of the largest terms to show.",
)
@digits_option("all")
@input_options
@format_option()
@setting_options
def command(
    weights: tuple[str, ...], step: int, unit: int, gate: str | None, batch: int,
    cell: str | None, against: str | None, terms: str, digits: int | None, format: str,
    **options: Any,
) -> int:  # fmt: skip
    """Trace how one value is computed, term by term.

    \b
    lstm derive demo/weights.npz demo/inputs.npy --steps 1 --units 0
    lstm derive demo/weights.npz demo/inputs.npy --steps 1 --units 0 --gate f

    Weights and inputs are given as for run. The last number of each line is the one that run
    gives, bit for bit. FILE is anything that diff reads.

    Exit status: 0 shown, and FILE agrees; 1 FILE has another number; 2 error.
    """
    count = _term_count(terms)
    if gate is None and is_typed(click.get_current_context(), "terms"):
        raise UserError(f"--terms {terms[:40]}: terms are shown of one gate; add --gate f")
    settings, files = settings_from(options), input_files(options)
    only_one_stdin([Named.parse(w) for w in weights], *files, against)
    job = read_job(weights, settings, files).drained()
    found = derive_in_job(job, step, unit, gate, batch=batch, cell=cell, against=against)
    if format == "json":
        formats.write(standard_output(), "json", {}, found.to_json() | {"assumed": job.assumed})
        tell_assumed(without_option(job.assumed))
    else:
        show(
            [
                header_sheet(job.plan(), width(), quiet=screen().quiet),
                derivation_sheet(found, Detail(digits, count), width()),
            ]
        )
    return 0 if found.first_difference is None else 1


def _term_count(text: str) -> int | None:
    """The number of terms to show; None for all."""
    if text == "all":
        return None
    if not re.fullmatch(r"0*[1-9]\d{0,17}", text):
        raise UserError(f"--terms {text[:40]}: takes a number from 1 on, or all.")
    return int(text)
