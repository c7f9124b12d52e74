"""A model here and by somebody's program, from the same inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lstmcli.api.diff import side_of
from lstmcli.api.job import Job
from lstmcli.core.diff.compare import Difference, compare
from lstmcli.core.forward.plan import NAMES
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.model import layer_width
from lstmcli.engines.program import Program


@dataclass(frozen=True, eq=False)
class ProgramCheck:
    """The outputs of a program, a, beside ours, b."""

    job: Job
    program: Program
    seconds: float  # of the program
    difference: Difference
    next: str  # the command that searches for the cause
    drawn: int | None = None  # the seed from which the inputs were drawn; None: given

    @property
    def equal(self) -> bool:
        """Whether the program agrees with us."""
        return self.difference.equal

    def to_json(self) -> dict[str, Any]:
        """The document of ``-f json``."""
        return {
            "equal": self.equal,
            "program": self.program.command,
            "seconds": self.seconds,
            "seed": self.drawn,
            "difference": self.difference.to_json(),
            "next": "" if self.equal else self.next,
            "assumed": self.job.assumed,
        }


def check_program(
    job: Job, drawn: int | None, program: Program, next: str, **tolerance: Any
) -> ProgramCheck:
    """Run a job here and by a program, in memory or in files; see `lstmcli.api.check.check`."""
    plan, inputs = job.plan(NAMES), np.asarray(job.inputs.x)
    if plan.batch == 1 and (drawn is not None or program.read != ".npy"):
        inputs = inputs.reshape(plan.steps, -1)
    document, seconds = program.run(inputs, f"{plan.steps}x{layer_width(plan.model.layers[-1])}")
    theirs, ours = side_of(document, program.name), side_of(run_plan(plan), "ours")
    kept = ours.arrays.keys() & theirs.arrays.keys() or {"h"}
    ours = replace(ours, arrays={n: a for n, a in ours.arrays.items() if n in kept})
    theirs = replace(theirs, name=program.name)
    difference = compare(theirs, ours, padding=False, **tolerance)
    return ProgramCheck(job, program, seconds, difference, next, drawn)
