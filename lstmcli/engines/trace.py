"""A run by an engine, its result in the axes of a `Trace`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import TypeVar

import numpy as np

from lstmcli.core.forward.plan import prepare
from lstmcli.core.forward.run import SequenceResults, trace_of
from lstmcli.core.model.hint import join_with_and
from lstmcli.core.model.model import Inputs, Model, Trace
from lstmcli.engines.engine import Engine, Network, Result, Task
from lstmcli.engines.libraries import quiet
from lstmcli.errors import UserError

T = TypeVar("T")

SHORT = 1.0  # seconds up to which a run is repeated


def task_of(model: Model, inputs: Inputs, *, gates: bool = True) -> Task:
    """A run, checked as `lstmcli.run` checks it."""
    plan = prepare(model, inputs)
    with np.errstate(all="ignore"):
        x = plan.block().astype(plan.dtype)
    return Task(model, x, plan.layout, plan.states, plan.valid, plan.masked, gates)


def refusal(engine: Engine, unsupported: list[str]) -> str:
    """One line that names what an engine does not support."""
    return f"{engine.name} ({engine.layer}) cannot run {join_with_and(unsupported)}."


def not_installed(engine: Engine) -> str:
    """One line that says how to install an engine."""
    reason = "is not installed" if engine.has_backend() else "is not installed, or has no backend"
    return f"{engine.name} {reason}: {engine.install}"


def run_with(engine: Engine, task: Task) -> Trace:
    """The trace of a run by an engine.

    Raises
    ------
    UserError
        if the engine is not installed, does not support something in the run, or fails.
    """
    if not engine.installed:
        raise UserError(not_installed(engine))
    network, unsupported = engine.network(task)
    if unsupported:
        raise UserError(refusal(engine, unsupported))
    return timed_trace(engine, network, task)[0]


def timed_trace(engine: Engine, network: Network, task: Task) -> tuple[Trace, float]:
    """The trace, and the seconds that a run took without building the layer.

    Raises
    ------
    UserError
        if the framework raises an exception; has the first line of its message.
    """
    try:
        with quiet():
            prepared = engine.prepare(network)
            result, seconds = timed_result(prepared)
            if engine.gates and task.gates and len(network.cells) == 1 and not result.gates:
                result = replace(result, gates=engine.gates(network))
    except (UserError, MemoryError):
        raise
    except Exception as error:  # frameworks raise exceptions of every kind
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{engine.name} {engine.version} ended with an error: {message}") from error
    trace = trace_of(task.model, _part(task.model, result), task.layout)
    return replace(
        trace, settings={**trace.settings, "engine": f"{engine.name} {engine.version}"}
    ), seconds


def timed_result(run: Callable[[], T]) -> tuple[T, float]:
    """The result of a run, and the seconds that it took.

    A short run is repeated: the first run of a process includes what libraries prepare.
    """
    for _ in range(2):
        start = perf_counter()
        result = run()
        seconds = perf_counter() - start
        if seconds > SHORT:
            break
    return result, seconds


def _part(model: Model, result: Result) -> SequenceResults:
    """A result in the form of the results of `core.forward`."""
    if len(model.cells) == 1:
        return SequenceResults([], {"h": result.h, **result.gates}, list(result.finals))
    separate = model.bidirectional and model.convention.behaviour.merge in ("concat", "stack")
    outputs = np.split(result.h, 2, axis=2) if separate else [result.h]
    return SequenceResults(list(outputs), {}, list(result.finals))
