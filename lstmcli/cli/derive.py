"""The command ``lstm derive``."""

from __future__ import annotations

import re
from typing import Any

import click

from lstmcli.api.derive import derive
from lstmcli.api.job import split_paths
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    cell_option,
    digits_option,
    edit_option,
    format_option,
    keywords,
    option,
    paths_argument,
    run_options,
)
from lstmcli.cli.terminal import is_typed, show_result
from lstmcli.errors import UserError
from lstmcli.views.derive import Detail, derivation_sheet, reference_verdict
from lstmcli.views.header import header_sheet

GATE = click.Choice(["i", "f", "g", "o"])


@click.command(
    cls=Command,
    of_table=("terms", "digits"),
    status="0 shown, and FILE agrees, 1 FILE differs, 2 error",
)
@paths_argument("weights", "WEIGHTS... INPUTS")
@option("--steps step", "N", "The step, from 0; -1: the last.", type=int, required=True)
@option("--units unit", "N", "The unit, from 0; -1: the last.", type=int, required=True)
@click.option(
    "--gate", type=GATE, show_default="all four", help="One gate, term by term."
)
@option("--batch", "N", "The sequence of the batch.", type=int, default=0)
@cell_option("Which")
@click.option(
    "--array",
    type=click.Choice(["h", "y"]),
    show_default="h",
    help="y: what the head makes of h; --units is one of its outputs.",
)
@option("--against", "FILE", "Reference values to show next to those of the run.")
@option("--terms", "N|all", "How many of the largest terms to show.", default="20")
@digits_option("all")
@run_options
@edit_option
@format_option()
def command(
    weights: tuple[str, ...],
    step: int,
    unit: int,
    gate: str | None,
    batch: int,
    cell: str | None,
    array: str | None,
    against: str | None,
    terms: str,
    digits: int | None,
    format: str,
    **options: Any,
) -> int:
    """Trace how one value is computed, term by term.

    \b
    lstm derive demo/weights.npz demo/inputs.npy --steps 1 --units 0
    lstm derive demo/weights.npz demo/inputs.npy --steps 1 --units 0 --gate f

    Weights and inputs are given as for run. The number after = is the value that run computes, bit
    for bit. --against FILE takes anything that diff reads.
    """
    count = _term_count(terms)
    if gate is None and array != "y" and is_typed(click.get_current_context(), "terms"):
        raise UserError(
            f"--terms {terms[:40]}: terms are shown of one gate; add --gate f."
        )
    paths, x = split_paths(weights)
    found = derive(
        paths,
        x,
        step,
        unit,
        gate,
        batch=batch,
        cell=cell,
        array=array,
        against=against,
        **keywords(options),
    )
    plan, detail = found.plan, Detail(digits, count)
    assert plan is not None
    show_result(
        format,
        found.to_json,
        lambda width: [
            reference_verdict(found, detail, width),
            header_sheet(plan, width),
            derivation_sheet(found, detail, width),
        ],
        assumed=plan.assumed,
        remarks=plan.model.remarks,
    )
    return 0 if found.first_difference is None else 1


def _term_count(text: str) -> int | None:
    if text == "all":
        return None
    if not re.fullmatch(r"0*[1-9]\d{0,17}", text):
        raise UserError(f"--terms {text[:40]}: takes a number from 1 on, or all.")
    return int(text)
