"""The table of a run: of a long one only what it shows is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lstmcli.api.job import Job, array_of
from lstmcli.cli.terminal import show, width
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.plan import Plan, prepare
from lstmcli.core.forward.streaming import Stack, run_in_blocks, runs_forward, step_pieces, sweep
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Trace
from lstmcli.core.model.selection import positions_between, take
from lstmcli.core.model.states import State
from lstmcli.views.run import (
    CHUNK,
    SHOWN,
    CellSummary,
    Excerpt,
    Sizes,
    Window,
    excerpt_sheets,
    header_sheet,
    needs_every_step,
    piece_sheets,
    steps_shown,
    trace_sheets,
)
from lstmcli.views.sheet import Sheet

LONG = 1 << 20  # bytes of results from which a table keeps no more than it shows


def show_run(job: Job, window: Window, how: Mapping[str, Any]) -> State:
    """Run and print the table; gives the final state.

    ``how`` has the executor and the meter of a run.

    Raises
    ------
    UserError
        for inputs that do not fit, or a window that is not there.
    """
    plan = prepare(job.model, job.as_inputs(), window.show)
    if not _is_long(plan, window):
        trace = run_in_blocks(plan, **how)
        show_trace(job, trace, window)
        return trace.final_h, trace.final_c
    every_step = window.steps is not None and window.steps.is_all
    if every_step and len(job.model.cells) == 1:
        return _show_as_computed(job, plan, window, how.get("meter"))
    excerpt, final = _excerpt(plan, window, how)
    _show(job, plan.layout, excerpt_sheets(excerpt, window, width()))
    return final


def show_trace(job: Job, trace: Trace, window: Window) -> None:
    """Print the header and the table of a trace."""
    engine = trace.settings.get("engine", "")
    _show(job, trace.layout, trace_sheets(trace, window, width()), engine)


def _show(job: Job, layout: str, sheets: Iterator[Sheet], engine: str = "") -> None:
    """Print the header and a table."""
    shape, given = array_of(job).shape, bool(job.initial_state)
    header = header_sheet(
        job.model, shape, layout, given, width(), engine, assumed_layout=job.layout_assumed
    )
    first = next(sheets)  # raises for a mistake in --steps and the like, before anything is shown
    show([header, first])
    show(sheets)


def _is_long(plan: Plan, window: Window) -> bool:
    """Whether a table need not keep all that it shows a part of, and can do so."""
    in_order = plan.valid is None and runs_forward(plan.model)
    return in_order and plan.nbytes >= LONG and window.rows is None


def _show_as_computed(job: Job, plan: Plan, window: Window, meter: Meter | None) -> State:
    """Print all steps as they are computed; gives the final state."""
    stack = Stack.of_stream(plan.model, plan.batch, plan.inputs.initial_state, meter)
    summary = CellSummary(window)
    pieces = step_pieces(plan, stack, CHUNK, _watch({"": summary}))
    _show(job, plan.layout, piece_sheets(pieces, _sizes(plan)[""], window, width(), summary))
    return stack.state(plan.layout)


def _excerpt(plan: Plan, window: Window, how: Mapping[str, Any]) -> tuple[Excerpt, State]:
    """The steps that a table shows of a run, and its final state."""
    sizes = _sizes(plan)
    shown = steps_shown(sizes.values(), window)
    numbers = [step for part in shown for step in part]
    summaries = {cell: CellSummary(window) for cell in sizes}
    watch = _watch(summaries)
    every_step = needs_every_step(sizes.values(), window)
    arrays = {
        name: np.empty((len(numbers), plan.batch, shape[-1]), plan.dtype)
        for name, shape in plan.shapes.items()
    }

    def sink(batch: slice, steps: slice, pieces: Mapping[str, Array]) -> None:
        if every_step:
            watch(pieces)
        at = positions_between(numbers, steps.start, steps.stop)
        of_piece = [step - steps.start for step in numbers[at]]
        for name, array in arrays.items():
            array[at, batch] = take(pieces[name], of_piece, 0)

    final = sweep(plan, sink, shown=None if every_step else shown, **how)
    return Excerpt(numbers, plan.steps, arrays, summaries), final


def _sizes(plan: Plan) -> dict[str, Sizes]:
    """T, B and the units that a table shows, by cell; "" for the output of the model."""
    widths: dict[str, int] = {}
    for name, shape in plan.shapes.items():
        cell, _, base = name.rpartition(".")
        widths[cell] = max(widths.get(cell, 0), shape[-1] // (4 if base == "z" else 1))
    cells = [cell for cell in widths if cell] or [""]
    return {cell: (plan.steps, plan.batch, widths[cell]) for cell in cells}


def _watch(summaries: Mapping[str, CellSummary]) -> Callable[[Mapping[str, Any]], None]:
    """A function that adds pieces of a run to the summary of each cell."""

    def add(arrays: Mapping[str, Any]) -> None:
        for cell, summary in summaries.items():
            prefix = f"{cell}." if cell else ""
            by_name = {k[len(prefix) :]: a for k, a in arrays.items() if k.startswith(prefix)}
            summary.add({k: a for k, a in by_name.items() if k in SHOWN})

    return add
