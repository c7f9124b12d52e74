"""A run by a real framework: ``lstm run --engine NAME``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.api import save
from lstmcli.api.job import Job
from lstmcli.core.model.model import Trace
from lstmcli.engines import find_engine
from lstmcli.engines.engine import Engine
from lstmcli.engines.running import run_with, task_of
from lstmcli.errors import UserError
from lstmcli.views.window import Window


def run_by_engine(
    job: Job,
    options: Mapping[str, Any],
    window: Window,
    only: Sequence[str] | None,
) -> tuple[Trace, Window]:
    """A trace of what the engine gives, and the window on it.

    Raises
    ------
    UserError
        for members that it does not give, options of our own loop, and whatever it cannot run.
    """
    engine = find_engine(options["engine"])
    for name in ("threads", "scheduler"):
        if options[name] is not None:
            raise UserError(f"--{name} is for the loop of lstm; {engine.name} runs by itself.")
    gives = engine.gives if len(job.model.cells) == 1 else ("h",)
    if options["show"]:
        _refuse(engine, "--show", window.show, gives)
    _refuse(engine, "--only", only or (), (*gives, *save.FINAL))
    task = task_of(job.model, job.as_inputs())
    shown = tuple(name for name in window.show if name in gives)
    return run_with(engine, task), window._replace(show=shown)


def _refuse(engine: Engine, option: str, wanted: Sequence[str], gives: Sequence[str]) -> None:
    for name in wanted:
        if name not in gives:
            raise UserError(
                f"{option} {name}: {engine.name} ({engine.layer}) gives {', '.join(gives)} here; "
                "without --engine every gate is there."
            )
