"""Run a model, or a job of a command line: by the loop of `lstmcli.core`, or by a framework."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.api.contents import inputs_of
from lstmcli.api.job import Job, array_of, job_of
from lstmcli.api.save import FINAL, kept_for, refuse_absent_cells
from lstmcli.api.values import Path, Weights, is_path, numbers_of
from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan
from lstmcli.core.forward.run import run as run_model
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.selection import SelectedIndices, Selection
from lstmcli.errors import UserError
from lstmcli.formats import StepStream

if TYPE_CHECKING:
    from concurrent.futures import Executor


def run(
    model: Model | Weights | Sequence[Weights],
    x: npt.ArrayLike | Path | None = None,
    keep: str | Iterable[str] = DEFAULT_KEEP,
    *,
    layout: str | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | None = None,
    lengths: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    executor: Executor | None = None,
    meter: Meter | None = None,
    name: str = "the inputs",
    **settings: Any,
) -> Trace:
    """Run a model over a sequence, or a batch of them: ``run("weights.npz", x).h``.

    Parameters
    ----------
    model
        from `lstmcli.load`, or what that takes: a path, a dict of arrays, or several in a list.
    x
        (T, I), or a batch: (B, T, I) or (T, B, I) by ``layout`` ("batch" or "time"; default: what
        the model's file gives, else its convention's, and then (1, T, I) is one sequence); or a
        path. None: the inputs that the files of the weights contain.
    keep, initial_state, lengths, mask, executor, meter, name
        as for `lstmcli.core.forward.run.run`: what the trace has besides the final state; h and c
        to start from; valid steps of each sequence; steps that count; workers; progress; what
        messages call the inputs.
    settings
        by option name, where ``model`` is not loaded yet.

    Raises
    ------
    UserError
        for whatever is wrong with files, names or shapes.
    """
    if isinstance(model, Model) and settings:
        names = ", ".join(settings)
        raise UserError(
            f"run: {names}: a model that is loaded has its settings; give them to load."
        )
    if isinstance(model, Model) and x is None:
        raise UserError("run takes a model and inputs: run(model, x), x (steps, inputs).")
    if not isinstance(model, Model):
        job = job_of(model, x, settings, "run")
        model, array, name = job.model, np.asarray(array_of(job)), job.name
        initial_state = job.initial_state if initial_state is None else initial_state
        if lengths is None and mask is None:
            lengths, mask = job.lengths, job.mask
    elif is_path(x):
        holder = formats.read(os.fspath(x))
        array, name = inputs_of(holder), holder.source
    else:
        array = numbers_of(x, name)
    return run_model(
        model, array, keep, layout=layout, initial_state=initial_state,
        lengths=lengths, mask=mask, executor=executor, meter=meter, name=name,
    )  # fmt: skip


def plan_of(job: Job, names: Sequence[str]) -> Plan:
    """The plan of a run whose trace is to have these members."""
    return job.plan(kept_for(names) or ["h"])


def select(job: Job, names: Sequence[str], selection: Selection) -> SelectedIndices:
    """The numbers of the steps, batch items and units that are selected of these members."""
    plan = plan_of(job, names)
    refuse_absent_cells(names, plan.shapes)
    return plan.select(selection)


def can_stream(job: Job) -> bool:
    """Whether each step of the results is final once it is computed.

    Raises
    ------
    UserError
        for a stream of inputs with lengths or a mask.
    """
    masked = job.lengths is not None or job.mask is not None
    if isinstance(job.inputs, StepStream):
        if masked:
            of_file = " (the weights' file has lengths)" * bool(job.model.lengths)
            raise UserError(
                f"--lengths and --mask need all steps of a sequence{of_file}; give it as a file."
            )
        return True
    behaviour = job.model.convention.behaviour
    in_order = not behaviour.flip_output and behaviour.state != "reset"
    return in_order and not masked and not job.model.backward


def run_by_engine(
    job: Job, name: str, requested: Mapping[str, Sequence[str]]
) -> tuple[Trace, tuple[str, ...]]:
    """The trace of a run by an engine, and the arrays that it gives (only h of several cells).

    ``requested`` are names of arrays by the option that asks for them.

    Raises
    ------
    UserError
        for an array that it does not give, if it is not installed, or naming what it cannot run.
    """
    from lstmcli.engines import find_engine  # 20 ms that most runs do without
    from lstmcli.engines.trace import run_with, task_of

    engine = find_engine(name)
    arrays = engine.gives if len(job.model.cells) == 1 else ("h",)
    for option, names in requested.items():
        given = arrays if option == "--show" else (*arrays, *FINAL)
        for missing in (name for name in names if name not in given):
            raise UserError(
                f"{option} {missing}: {engine.name} ({engine.layer}) gives {', '.join(given)} "
                "here; without --engine every gate is there."
            )
    return run_with(engine, task_of(job.model, job.as_inputs())), arrays
