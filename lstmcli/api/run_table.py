"""The part of a long run that a table shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lstmcli.api.run import Run
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.excerpt import (
    CellSizes,
    CellSummary,
    Excerpt,
    cell_sizes,
    run_excerpt,
    summarise,
)
from lstmcli.core.forward.run import LayerStack, step_pieces
from lstmcli.core.model.model import State

__all__ = ["CellSizes", "CellSummary", "Excerpt", "excerpt", "pieces", "sizes"]


def sizes(run: Run) -> dict[str, CellSizes]:
    """T, B and the units of each cell of the table."""
    return cell_sizes(run.plan)


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
    """Some steps of a run and its final state; ``how`` has the executor and the meter."""
    plan = run.plan
    return run_excerpt(run.needed_steps_of(plan), plan, steps, summaries, **how)
