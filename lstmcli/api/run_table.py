"""The part of a long run that a table shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lstmcli.api.run import Run
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.excerpt import (
    CellSummary,
    Excerpt,
    cell_sizes,
    summarise,
)
from lstmcli.core.forward.run import LayerStack, run_selected, step_pieces
from lstmcli.core.model.model import State

__all__ = ["Excerpt", "cell_sizes", "excerpt", "pieces"]


def pieces(
    run: Run, size: int, summary: CellSummary, meter: Meter | None
) -> tuple[Iterator[tuple[range, dict[str, Any]]], Callable[[], State]]:
    """All steps of a single cell as they are computed, and a function for the final state."""
    plan = run.plan
    stack = LayerStack.of_plan(plan, meter)
    computed = step_pieces(plan, stack, size, partial(summarise, {"": summary}))
    return computed, partial(stack.state, plan.layout)


def excerpt(
    run: Run, steps: Sequence[int], summaries: Mapping[str, CellSummary], **how: Any
) -> tuple[Excerpt, State]:
    """Some steps of a run with summaries of all, and its final state.

    ``how`` has the executor and the meter.
    """
    plan = run.plan
    observe = partial(summarise, summaries) if summaries else None
    selected = replace(plan.select(), steps=steps)
    trace, final = run_selected(run.needed_steps_of(plan), selected, observe=observe, **how)
    arrays = {name: trace.time_major(name) for name in trace.arrays}
    return Excerpt(steps, plan.steps, arrays, summaries), final
