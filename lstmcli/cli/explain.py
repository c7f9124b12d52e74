"""The command ``lstm explain``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any

import click

from lstmcli.api.explain_runs import explain_with_runs
from lstmcli.api.job import split_paths
from lstmcli.api.save import write_file
from lstmcli.cli.command import Command
from lstmcli.cli.options import (
    edit_option,
    flag,
    format_option,
    keywords,
    page_option,
    paths_argument,
    run_options,
)
from lstmcli.cli.progress import ProgressBar
from lstmcli.cli.terminal import command_line, remark, screen, show_result
from lstmcli.errors import INPUTS, STDIN, CallToTry, NoInputs, UserError
from lstmcli.escaping import file_argument
from lstmcli.views.explain import explanation_sheet, markdown
from lstmcli.views.page import MOST_NUMBERS, explain_page


@click.command(
    cls=Command,
    is_answer=True,
    status="0 explained, 1 not found, not certain or NaN, 2 error",
)
@paths_argument("paths", "WEIGHTS... INPUTS EXPECTED")
@run_options
@edit_option
@format_option("markdown")
@page_option("Also write an interactive page, .html.")
@flag("--profile", "List what was tried, with milliseconds, on stderr.")
@flag("--thorough", "Search with ten times the budget, for minutes.")
def command(
    paths: tuple[str, ...],
    format: str,
    page: str | None,
    profile: bool,
    thorough: bool,
    **options: Any,
) -> int:
    """Find which configuration of the weights gives the expected outputs.

    \b
    lstm explain demo/weights.npz demo/inputs.npy demo/numpy.txt
    lstm explain demo/weights.npz demo/inputs.npy demo/numpy.txt --layout batch

    WEIGHTS... INPUTS EXPECTED: weights and inputs as for run. EXPECTED is the output of the other
    program, right or wrong, in whatever diff reads: h of all steps or of the first ones, one
    sequence of a batch, final_h, a trace, printed output.
    The search starts from the given settings and changes one, two, then three of them; in large
    networks fewer, and --thorough tries more.

    --page also writes an interactive page: heat maps of EXPECTED, of the run as loaded and of the
    run with the changes, each with the value under the pointer.
    """
    if len(paths) < 2:
        raise _incomplete(paths)
    *of_run, last = paths
    numbers = 0
    if page is not None:
        numbers = MOST_NUMBERS
    given = keywords(options)
    with ProgressBar(1.0, quiet=screen().quiet) as bar:
        progress = _Progress(bar)
        progress(0.0, "reading the files")
        try:
            found, runs = explain_with_runs(
                *split_paths(of_run),
                last,
                numbers,
                progress=progress,
                thorough=thorough,
                **given,
            )
        except NoInputs:
            raise _incomplete(paths) from None
    if profile:
        progress.write()
    remark(*found.run_remarks)
    expected = last if last != "-" else STDIN
    if page is not None and runs is not None:
        write_file(page, explain_page(found, runs, command_line(), expected).encode())
    if format == "markdown":
        sys.stdout.write(markdown(found, expected))
    else:
        show_result(
            format,
            found.to_json,
            lambda width: [explanation_sheet(found, expected, width=width)],
            assumed=found.assumed,
        )
    return 0 if found.found else 1


class _Progress:
    """A bar, and the time at which each attempt began."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._began: list[tuple[str, float]] = []

    def __call__(self, share: float, what: str) -> None:
        """Advance the bar, and note what is tried now."""
        if what not in [name for name, _ in self._began[-1:]]:
            self._began.append((what, perf_counter()))
        self._bar.advance(share, what)

    def write(self) -> None:
        """Print how long each took."""
        times = list(self._began)
        times.append(("", perf_counter()))
        for (name, began), (_, ended) in pairwise(times):
            click.echo(f"{name:<20}{1000 * (ended - began):>9.0f} ms", err=True)


def _incomplete(paths: Sequence[str]) -> UserError:
    weights = [file_argument(path) for path in paths[:-1] or paths]
    return UserError(
        f"explain needs weights, inputs and expected outputs; given: {', '.join(paths)}.",
        try_=[CallToTry("explain", weights=weights, others=[INPUTS, "EXPECTED"])],
    )
