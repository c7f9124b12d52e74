"""The table of a run: of a long one only what it shows is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lstmcli.api.job import Job, array_of
from lstmcli.api.save import extent
from lstmcli.cli.terminal import show, width
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.run import check_inputs, run
from lstmcli.core.forward.streaming import plan, run_in_blocks, runs_forward
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.states import State
from lstmcli.views.run import SEEN, OverAll, header_sheet, steps_shown, sums_up, trace_sheets
from lstmcli.views.window import Window

LONG = 1 << 20  # bytes of results from which a table keeps no more than it shows


def show_run(job: Job, window: Window, how: Mapping[str, Any]) -> State:
    """Run and print the table; gives the final state.

    Raises
    ------
    UserError
        for inputs that do not fit, or a window that is not there.
    """
    every_step = window.steps is not None and window.steps.is_all
    if _is_long(job, window) and every_step and len(job.model.cells) == 1:
        return _show_passing(job, window, how.get("meter"))
    trace, seen = _traced(job, window, how)
    show_trace(job, trace, window, seen)
    return trace.final_h, trace.final_c


def _show_passing(job: Job, window: Window, meter: Meter | None) -> State:
    """Print steps as they are computed."""
    from lstmcli.core.forward.excerpt import Excerpt, Passing

    model = job.model
    x, layout = check_inputs(model, array_of(job), job.layout, job.name)
    seen = {"": OverAll(window)}
    watch = _watch(model, seen)
    passing = Passing(model, x, layout, window.show, job.initial_state, watch, meter)
    none = np.empty(0)  # its final state is not known yet
    show_trace(job, Excerpt(passing.arrays(), none, none, layout), window, seen)
    return passing.stack.state(layout)


def show_trace(
    job: Job, trace: Trace, window: Window, seen: Mapping[str, OverAll] | None = None
) -> None:
    """Print the header and the table of a trace."""
    shape, given = array_of(job).shape, bool(job.initial_state)
    engine = trace.settings.get("engine", "")
    header = header_sheet(
        job.model, shape, trace.layout, given, width(), engine, assumed_layout=job.layout_assumed
    )
    sheets = trace_sheets(trace, window, width(), seen)
    first = next(sheets)  # a mistake in --steps and the like is told before anything is shown
    show([header, first])
    show(sheets)


def _traced(
    job: Job, window: Window, how: Mapping[str, Any]
) -> tuple[Trace, dict[str, OverAll] | None]:
    """The trace of a run, or of a long one that runs forward the steps that will be shown."""
    model, x = job.model, array_of(job)
    told: dict[str, Any] = {
        "layout": job.layout,
        "initial_state": job.initial_state,
        **how,
    }
    steps, rows = extent(job)
    if not _is_long(job, window):
        masks: dict[str, Any] = {"lengths": job.lengths, "mask": job.mask, "name": job.name}
        told |= masks
        if isinstance(x, np.ndarray):
            return run(model, x, tuple(window.show), **told), None
        return run_in_blocks(model, x, tuple(window.show), **told), None
    from lstmcli.core.forward.excerpt import excerpt

    shown = steps_shown(model, window, steps, rows)
    seen = {_own(model, name): OverAll(window) for name, _ in model.cells}
    see = _watch(model, seen) if sums_up(model, window, steps, rows) else None
    return excerpt(model, x, tuple(window.show), shown, see, **told), seen


def _is_long(job: Job, window: Window) -> bool:
    """Whether a table need not keep all that it shows a part of, and can do so."""
    model, layout = job.model, job.layout
    if job.lengths is not None or job.mask is not None or not runs_forward(model):
        return False
    planned = plan(model, array_of(job), window.show, layout, job.name)
    return planned.nbytes >= LONG and window.rows is None


def _own(model: Model, cell: str) -> str:
    """What the arrays of a cell begin with."""
    return cell if len(model.cells) > 1 else ""


def _watch(model: Model, seen: Mapping[str, OverAll]) -> Callable[[Mapping[str, Any]], None]:
    """Show each cell's pieces to what sums them up."""

    def see(arrays: Mapping[str, Any]) -> None:
        for cell, over_all in seen.items():
            prefix = f"{cell}." if cell else ""
            own = {k[len(prefix) :]: a for k, a in arrays.items() if k.startswith(prefix)}
            over_all.see({k: a for k, a in own.items() if k in SEEN})

    return see
