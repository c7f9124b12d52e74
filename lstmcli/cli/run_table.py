"""The table of ``lstm run``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from lstmcli.api.run import Ended, Run, Trace
from lstmcli.cli.terminal import show_paged, width
from lstmcli.views.header import header_sheet
from lstmcli.views.run import Excerpt, Window, cell_sizes, excerpt_sheets, steps_shown


def show_run(run: Run, how: Mapping[str, Any]) -> Ended:
    """Run and print the table, keeping what it shows of the run."""
    window, of_cells = _window(run), cell_sizes(run.plan)
    shown = steps_shown(of_cells.values(), window)
    summaries = {} if window.steps else {cell: window.summary() for cell in of_cells}
    part, final = run.excerpt(shown, summaries, **how)
    _show_excerpt(run, part)
    return Ended(final, part.of_steps)


def show_trace(run: Run, trace: Trace) -> None:
    """Print the table of a trace."""
    part = Excerpt.of_trace(trace, of_steps=run.plan.steps)
    _show_excerpt(run, part, trace.settings.get("engine", ""))


def _window(run: Run) -> Window:
    selection = run.selection
    return Window(
        run.show, selection.steps, selection.batch, run.units, selection.digits
    )


def _show_excerpt(run: Run, part: Excerpt, engine: str = "") -> None:
    network = len(run.job.model.cells) > 1
    sheets = excerpt_sheets(part, _window(run), width(), network=network)
    first = next(sheets)  # a mistake in --steps raises here, before anything is shown
    header = header_sheet(run.plan, width(), engine)
    show_paged(chain([header, first], sheets))
