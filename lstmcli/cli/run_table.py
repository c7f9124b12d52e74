"""The table of ``lstm run``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from lstmcli.api.run import Ended, Run, Trace
from lstmcli.cli.terminal import show_paged, width
from lstmcli.views.header import header_sheet
from lstmcli.views.run import Excerpt, excerpt_sheets, steps_shown


def show_run(run: Run, how: Mapping[str, Any]) -> Ended:
    """Run and print the table, keeping what it shows of the run."""
    parts = [*run.cell_parts.values(), *run.output_parts]
    shown = steps_shown(parts, run.selection)
    part, final = run.excerpt(shown, **how)
    _show_excerpt(run, part)
    return Ended(final, part.of_steps)


def show_trace(run: Run, trace: Trace) -> None:
    """Print the table of a trace."""
    part = Excerpt.of_trace(trace)._replace(of_steps=run.plan.steps, units=run.units)
    _show_excerpt(run, part, trace.settings.get("engine", ""))


def _show_excerpt(run: Run, part: Excerpt, engine: str = "") -> None:
    network = len(run.job.model.cells) > 1
    what = part, run.show, run.selection
    sheets = excerpt_sheets(*what, width(), network=network)
    first = next(sheets)  # a mistake in --steps raises here, before anything is shown
    header = header_sheet(run.plan, width(), engine)
    show_paged(chain([header, first], sheets))
