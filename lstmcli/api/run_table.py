"""The part of a long run that a table shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lstmcli.api.run import Run
from lstmcli.core.forward.excerpt import CellSummary, Excerpt, cell_sizes, summarise
from lstmcli.core.forward.run import run_selected
from lstmcli.core.model.model import State

__all__ = ["Excerpt", "cell_sizes", "excerpt"]


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
