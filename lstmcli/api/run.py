"""Run a job: by the loop of `lstmcli.core`, or by a real framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lstmcli.api.job import Job
from lstmcli.api.members import FINAL, kept_for
from lstmcli.core.forward.plan import Plan, prepare
from lstmcli.core.model.model import Trace
from lstmcli.core.model.selection import SelectedIndices, Selection
from lstmcli.errors import UserError
from lstmcli.formats import StepStream


def plan_of(job: Job, names: Sequence[str]) -> Plan:
    """The plan of a run whose trace is to have these members.

    Raises
    ------
    UserError
        for inputs that do not fit the model.
    """
    return prepare(job.model, job.as_inputs(), kept_for(names) or ["h"])


def select(job: Job, names: Sequence[str], selection: Selection) -> SelectedIndices:
    """The numbers of the steps, batch items and units that are selected of these members.

    Raises
    ------
    UserError
        naming the option that selects nothing of the run, or for inputs that do not fit.
    """
    return plan_of(job, names).select(selection)


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
    from lstmcli.engines.running import run_with, task_of

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
