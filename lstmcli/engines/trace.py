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

SHORT = 1.0  # seconds


def task_of(model: Model, inputs: Inputs, *, gates: bool = True) -> Task:
    """A run, checked as `lstmcli.run` checks it; ``gates``: more than h and the state is wanted."""
    plan = prepare(model, inputs)
    with np.errstate(all="ignore"):
        x = plan.block().astype(plan.dtype)
    return Task(model, x, plan.layout, plan.states, plan.valid, plan.masked, gates)


def lacking(engine: Engine, lacks: list[str]) -> str:
    """One line that refuses a run by name."""
    return f"{engine.name} ({engine.layer}) cannot run {join_with_and(lacks)}."


def absent(engine: Engine) -> str:
    """One line that says how an engine is installed."""
    lacks = "is not installed" if engine.stands() else "is not installed, or has no backend"
    return f"{engine.name} {lacks}: {engine.install}"


def run_with(engine: Engine, task: Task) -> Trace:
    """A trace by an engine.

    Raises
    ------
    UserError
        if it is not installed, or naming what it cannot do.
    """
    if not engine.installed:
        raise UserError(absent(engine))
    network, lacks = engine.network(task)
    if lacks:
        raise UserError(lacking(engine, lacks))
    return timed(engine, network, task)[0]


def timed(engine: Engine, network: Network, task: Task) -> tuple[Trace, float]:
    """The trace, and the seconds that a run took once everything was built.

    Raises
    ------
    UserError
        if the framework ends the run with an error, with its first line.
    """
    try:
        with quiet():
            prepared = engine.prepare(network)
            result, seconds = warm(prepared)
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


def warm(run: Callable[[], T]) -> tuple[T, float]:
    """The result of a run, and its seconds.

    A short run is repeated: the first run of a process includes preparations.
    """
    for _ in range(2):
        start = perf_counter()
        result = run()
        seconds = perf_counter() - start
        if seconds > SHORT:
            break
    return result, seconds


def _part(model: Model, result: Result) -> SequenceResults:
    """A result in the form of our runs."""
    if len(model.cells) == 1:
        return SequenceResults([], {"h": result.h, **result.gates}, list(result.finals))
    separate = model.bidirectional and model.convention.behaviour.merge in ("concat", "stack")
    outputs = np.split(result.h, 2, axis=2) if separate else [result.h]
    return SequenceResults(list(outputs), {}, list(result.finals))
