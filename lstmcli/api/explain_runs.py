"""EXPECTED next to the runs that an explanation is about, on the same axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.api.explain import Request, asked_of, explained
from lstmcli.api.job import InputOptions, Job, read_job
from lstmcli.api.load import EDITS, checked
from lstmcli.api.plot import Drawable
from lstmcli.core.diff.figures import Position
from lstmcli.core.explain.budget import Budget, Progress, WorkDone, quiet
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.explain.locations import run_shapes
from lstmcli.core.explain.observation import SINGLE, Expected
from lstmcli.core.explain.verify import compared
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import run_in_memory
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import read_edit
from lstmcli.core.model.part import Indices, Part

Arrays = Mapping[str, Array]


class ExpectedOnRuns(NamedTuple):
    """EXPECTED, the run as loaded, and that with the changes: arrays (T, B, K)."""

    expected: Arrays
    loaded: Drawable  # with the position where EXPECTED first differs
    found: Arrays  # empty without changes, or if no run has them
    commands: tuple[str, str]  # that show the run as loaded, and EXPECTED


def explain_with_runs(
    weights: Sequence[str],
    inputs: str | None,
    expected: str,
    numbers: int,
    *,
    thorough: bool = False,
    progress: Progress = quiet,
    **settings: Any,
) -> tuple[Explanation, ExpectedOnRuns | None]:
    """Explain files; for ``numbers``, also run the first batch items, of this many together.

    EXPECTED is empty if it lies nowhere on a run.
    """
    options, settings = InputOptions.split(settings)
    asked = asked_of(weights, inputs, expected, options, settings)
    work = WorkDone(Budget.THOROUGH if thorough else 1)
    explanation = explained(asked, work, progress)
    return explanation, _runs(asked, explanation, numbers) if numbers else None


def _runs(asked: Request, explanation: Explanation, numbers: int) -> ExpectedOnRuns:
    plan = asked.job.plan()
    each = plan.steps * sum(plan.widths().values())
    items = range(min(plan.batch, max(1, numbers // each)))
    expected = explanation.compared.expected or Expected({})
    shown = Expected({k: v[..., : len(items), :] for k, v in expected.arrays.items()})
    loaded, found = _by_cell(plan, items), dict[str, Array]()
    if explanation.changes and explanation.command:
        found = _by_cell(_changed(asked.job, explanation).plan(), items)
    array = next((c.found for c in explanation.changes if c.setting == "array"), "h")
    array = array.rpartition(".")[2]  # that of a cell is called so in EXPECTED
    values = {_of(name, array): known.values for name, known in shown.arrays.items()}
    finals = [name for name, one in values.items() if one.ndim == 2]
    first = _first_difference(loaded, shown, array)
    parts = dict.fromkeys(finals, Part([plan.steps - 1]))
    run = Drawable(_with_steps(loaded, finals), (), plan, first, parts, items=items)
    commands = asked.typed("plot"), asked.typed("explain", asked.expected)
    return ExpectedOnRuns(
        _with_steps(values, finals), run, _with_steps(found, finals), commands
    )


def _first_difference(loaded: Arrays, shown: Expected, array: str) -> Position | None:
    """Where EXPECTED first differs from the run as loaded; ``array`` stands there for h."""
    if not shown.arrays:
        return None
    with np.errstate(all="ignore"):
        at = compared(loaded, shown, SINGLE).first
    if at is None:
        return None
    name = _of(at.array, array)
    return Position(name, at.given, at.expected, at.step, at.item, at.unit)


def _of(name: str, array: str) -> str:
    """The name of what stands for h in EXPECTED: ``layer0.c``."""
    prefix, dot, base = name.rpartition(".")
    return f"{prefix}{dot}{array}" if base == "h" else name


def _with_steps(arrays: Arrays, finals: Sequence[str]) -> dict[str, Array]:
    return {
        name: np.reshape(array, (-1, *array.shape[-2:]))
        for name, array in arrays.items()
        if array.ndim == 3 or name in finals
    }


def _changed(job: Job, explanation: Explanation) -> Job:
    assert job.reread is not None
    inputs, settings = job.inputs, explanation.settings
    arrays = explanation.arrays.__getitem__  # of files that are not written yet
    edits = [read_edit(text, arrays) for text in explanation.edits]
    model = job.reread(
        checked({**settings, EDITS: [*job.model.edits, *edits]}, "explain")
    )
    is_padding_found = isinstance(settings.get("lengths"), list)
    padding = (None, None) if is_padding_found else (inputs.lengths, inputs.mask)
    options = InputOptions(inputs.initial_state or None, *padding)
    layout = settings.get("layout", inputs.layout)
    of_run = {} if layout is None else {"layout": layout}
    x = np.asarray(inputs.x)
    return read_job(model, x, of_run, options, where="explain", name=inputs.name)


def _by_cell(plan: Plan, items: Indices) -> dict[str, Array]:
    arrays = run_in_memory(plan)
    _, cells = next(run_shapes("h", plan.model, plan.layout, (plan.steps, plan.batch)))
    if cells != ("h",):  # each of these cells has one
        del arrays["h"]
    return {name: one[..., : len(items), :] for name, one in arrays.items()}
