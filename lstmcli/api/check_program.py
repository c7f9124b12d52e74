"""A model here and by another program, from the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.api.diff import side_of
from lstmcli.api.explain import typed_run
from lstmcli.api.job import InputOptions, Job, read_job, with_padding
from lstmcli.api.load import checked
from lstmcli.api.values import Path, Weights, each_of
from lstmcli.core.diff.compare import Difference, compare
from lstmcli.core.forward.plan import NAMES
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.model import layer_width
from lstmcli.core.model.shell import as_options
from lstmcli.core.weights.initializers import draw_run
from lstmcli.engines.program import TIMEOUT, Program
from lstmcli.errors import INPUTS, UserError
from lstmcli.escaping import typed_command

if TYPE_CHECKING:
    import numpy.typing as npt

STEPS = 20  # of inputs that are drawn
OURS = "ours"

__all__ = ["TIMEOUT", "ProgramCheck", "check_program"]


@dataclass(frozen=True, eq=False)
class ProgramCheck:
    """The outputs of a program, a, next to ours, b."""

    job: Job
    program: Program
    seconds: float  # of the program
    difference: Difference
    next: str  # the command that searches for the cause; empty where they agree
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
            "next": self.next,
            "assumed": self.job.assumed,
        }


def check_program(
    weights: Weights | Sequence[Weights],
    x: npt.ArrayLike | Path | None,
    command: str,
    *,
    timeout: float = TIMEOUT,
    seed: int | None = None,
    initial_state: Mapping[str, npt.ArrayLike] | Path | None = None,
    lengths: npt.ArrayLike | Path | None = None,
    mask: npt.ArrayLike | Path | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    **settings: Any,
) -> ProgramCheck:
    """Run a model here and by a program, see `lstmcli.engines.program`, from the same inputs.

    Without inputs, one sequence is drawn from ``seed``; both start from a state of zero then.
    """
    program = Program(command, timeout)
    program.suffix("inputs"), program.suffix("outputs")  # refused before anything is read
    options = InputOptions(initial_state, lengths, mask)
    given = checked(settings, "check")
    job = read_job(weights, x, given, options, where="check", inputs_needed=False)
    drawn = None if job.inputs.name else seed or 0
    if seed is not None and drawn is None:
        text = f"inputs are drawn where none are given; {job.inputs.name} is given."
        raise UserError(text, about={"seed": seed})
    job = job.drained() if drawn is None else _with_drawn_inputs(job, drawn)
    plan, inputs = job.plan(NAMES), np.asarray(job.inputs.x)
    if plan.batch == 1 and program.suffix("inputs") != ".npy":
        inputs = inputs.reshape(plan.steps, -1)
    document, seconds = program.run(inputs, f"{plan.steps}x{layer_width(plan.model.layers[-1])}")
    theirs = replace(side_of(document, program.name), name=program.name)
    ours = side_of(run_plan(plan), OURS)
    kept = {n: a for n, a in ours.arrays.items() if n in theirs.arrays} or {"h": ours.arrays["h"]}
    ours = replace(ours, arrays=kept)
    difference = compare(theirs, ours, rtol=rtol, atol=atol, ulp=ulp)
    words = typed_run(each_of(weights), x if drawn is None else INPUTS, options)
    next = typed_command("lstm", "explain", *words, "OUTPUTS", *as_options(given))
    return ProgramCheck(job, program, seconds, difference, "" if difference.equal else next, drawn)


def _with_drawn_inputs(job: Job, seed: int) -> Job:
    """The job with inputs of one sequence, (T, I)."""
    x, _ = draw_run(job.model, 1, STEPS, seed)
    inputs = replace(job.inputs, x=x[0], name="the drawn inputs")
    return with_padding(job._replace(inputs=inputs))
