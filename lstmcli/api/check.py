"""The same weights through the real frameworks: which agree with us, and which is most accurate.

The truth is the same run in longdouble. What an engine cannot do is known before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from lstmcli._version import __version__
from lstmcli.api.diff import compare, side_of
from lstmcli.api.job import Job, with_lengths
from lstmcli.core.diff.compare import Difference
from lstmcli.core.diff.metrics import Position
from lstmcli.core.diff.tolerance import jsonable
from lstmcli.core.explain import explain
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.explain.question import Question
from lstmcli.core.forward.equivalence import greatest_difference
from lstmcli.core.forward.plan import prepare
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.model import Cell, Model, Trace
from lstmcli.core.weights.initializers import draw_run
from lstmcli.engines import NAMES, find_engine
from lstmcli.engines.engine import (
    Engine,
    Network,
    not_installed,
    refusal,
    timed_result,
    timed_trace,
)
from lstmcli.errors import UserError

BATCH, STEPS = 3, 20  # of inputs that are drawn
ALL = "all"


@dataclass(frozen=True, eq=False)
class Checked:
    """The run of one engine, compared with ours."""

    engine: Engine
    version: str
    difference: Difference  # the engine's arrays against ours
    truth_abs: float | None  # the greatest error against the run in longdouble; None without one
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether it agrees with us within the tolerance."""
        return self.difference.equal

    @property
    def first(self) -> Position | None:
        """Where it first differs from us."""
        return self.difference.first_divergence

    @property
    def ulp(self) -> int | None:
        """The tolerance in ULPs, if one was asked for."""
        return next(iter(self.difference.arrays.values())).tolerance.ulp

    def worst(self, figure: str) -> float | int | None:
        """The greatest ``max_abs``, ``max_rel`` or ``max_ulp`` of all arrays; NaN if one is."""
        figures = [getattr(array, figure) for array in self.difference.arrays.values()]
        known = [value for value in figures if value is not None]
        return next((v for v in known if v != v), max(known, default=None))

    def to_json(self) -> dict[str, Any]:
        """The row of ``-f json``."""
        return {
            "name": self.engine.name,
            "version": self.version,
            "equal": self.equal,
            **{name: jsonable(self.worst(name)) for name in ("max_abs", "max_rel", "max_ulp")},
            "truth_abs": jsonable(self.truth_abs),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, eq=False)
class Check:
    """All engines that ran, those that could not, and our figures."""

    job: Job  # with the inputs and the state of the runs
    rows: tuple[Checked, ...]
    refused: Mapping[str, str]  # of those that were taken because they are installed
    truth_abs: float | None  # ours
    seconds: float  # ours
    drawn: int | None = None  # the seed from which inputs and state were drawn; None: given
    findings: Mapping[str, Explanation] = field(default_factory=dict)  # of those that differ

    @property
    def equal(self) -> bool:
        """Whether all agree."""
        return all(row.equal for row in self.rows)

    @property
    def nearest(self) -> list[str]:
        """The most accurate: names of engines, and ``ours``; empty without a run in longdouble."""
        errors = {"ours": self.truth_abs} | {row.engine.name: row.truth_abs for row in self.rows}
        known = {name: value for name, value in errors.items() if value is not None}
        return [name for name, value in known.items() if value == min(known.values())]

    def to_json(self) -> dict[str, Any]:
        """The check as one document."""
        differing = {row.engine.name: row.first for row in self.rows if row.first is not None}
        return {
            "equal": self.equal,
            "engines": [row.to_json() for row in self.rows],
            "ours": {
                "version": __version__,
                "truth_abs": jsonable(self.truth_abs),
                "seconds": self.seconds,
            },
            "nearest": self.nearest,
            "rtol": jsonable(self.rows[0].difference.rtol),
            "atol": jsonable(self.rows[0].difference.atol),
            "ulp": self.rows[0].ulp,
            "seed": self.drawn,
            "refused": dict(self.refused),
            "first_divergence": {
                name: {"array": first.array} | first.to_json() for name, first in differing.items()
            },
            "findings": {name: found.to_json() for name, found in self.findings.items()},
            "notes": {row.engine.name: list(row.notes) for row in self.rows if row.notes},
            "assumed": self.job.assumed,
        }


def check(
    job: Job,
    names: Sequence[str],
    *,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
) -> Check:
    """Run a model here and by the engines of these names; ``all`` takes those installed.

    Where the job has no inputs, they are drawn from ``seed``, and a state that is not zero.

    Raises
    ------
    UserError
        before anything runs: for an engine that is not there, and naming what one cannot do.
        With ``all``, such an engine is left out and named in ``refused``.
    """
    if job.model.convention.behaviour.arithmetic != "float":
        raise UserError(
            "check gives the engines weights in float; this model rounds inputs and h to 8 bits. "
            "Add --arithmetic float."
        )
    job, drawn = _with_inputs(job, seed)
    plan = prepare(job.model, replace(job.inputs, x=np.asarray(job.inputs.x)))
    engines, refused = _chosen(names), {}
    networks: dict[str, Network] = {}
    for engine in engines:
        networks[engine.name], unsupported = engine.network(plan)
        if unsupported:
            refused[engine.name] = refusal(engine, unsupported)
    if refused and (ALL not in names or len(refused) == len(engines)):
        first, *others = refused.values()
        raise UserError(first, *(f"  {text}" for text in others))

    ours, seconds = timed_result(lambda: run_plan(plan))
    truth = _truth(job)
    rows, findings = [], {}
    for engine in engines:
        if engine.name in refused:
            continue
        network = networks[engine.name]
        trace, took = timed_trace(engine, network, plan)
        sides = side_of(trace, engine.name), side_of(ours, "ours")
        difference = compare(*sides, rtol=rtol, atol=atol, ulp=ulp, equal_nan=True)
        notes = list(engine.notes(network))
        if not difference.equal and job.reread is not None:
            try:
                findings[engine.name] = _finding(job, trace, engine.name)
            except UserError as error:  # it does not take every kind of run
                notes.append(f"explain cannot search for the cause: {' '.join(error.lines)}")
        rows.append(
            Checked(engine, engine.version, difference, _distance(trace, truth), took, tuple(notes))
        )
    return Check(job, tuple(rows), refused, _distance(ours, truth), seconds, drawn, findings)


def _with_inputs(job: Job, seed: int) -> tuple[Job, int | None]:
    """The job with inputs, and the seed if they and a state had to be drawn."""
    if job.inputs.name:
        return job.drained(), None
    model, counts = job.model, job.model.lengths
    batch, steps = (len(counts), max(*counts, 1)) if counts else (BATCH, STEPS)
    x, state = draw_run(model, batch, steps, seed)  # (B, T, I)
    layout = model.given.get("layout") or model.convention.behaviour.layout
    x = x.swapaxes(0, 1) if layout == "time" else x
    state = cast(Any, job.inputs.initial_state) or state
    inputs = replace(job.inputs, x=x, name="the drawn inputs", initial_state=state)
    return with_lengths(job._replace(inputs=inputs)), seed


def _chosen(names: Sequence[str]) -> list[Engine]:
    """The engines asked for."""
    engines = [find_engine(name) for name in dict.fromkeys(names) if name != ALL]
    if missing := [not_installed(engine) for engine in engines if not engine.installed]:
        raise UserError(missing[0], *(f"  {text}" for text in missing[1:]))
    if ALL not in names:
        return engines
    engines = [find_engine(name) for name in NAMES]
    if there := [engine for engine in engines if engine.installed]:
        return there
    ways = dict.fromkeys(f"  {engine.install}" for engine in engines)
    raise UserError("no engine is installed; any of these installs one:", *ways)


def _finding(job: Job, trace: Trace, name: str) -> Explanation:
    """Which hypothesis about the weights gives what an engine gave."""
    assert job.reread is not None
    layout, inputs = job.plan().layout, cast(Any, job.inputs)  # its arrays, from files
    return explain(
        Question(
            job.reread, np.asarray(inputs.x), side_of(trace, name),
            layout if inputs.x.ndim == 3 else None, inputs.initial_state, inputs.lengths,
            inputs.mask, inputs.name,
        )
    )  # fmt: skip


# ---- the truth


def _truth(job: Job) -> Trace | None:
    """The same run in longdouble, of the same numbers; None where that is float64 again."""
    dtype = job.model.cell.dtype
    if np.finfo(np.longdouble).eps >= np.finfo(dtype).eps:
        return None
    with np.errstate(all="ignore"):
        x = np.asarray(job.inputs.x).astype(dtype)
        state = {k: np.asarray(a).astype(dtype) for k, a in job.inputs.initial_state.items()}
    inputs = replace(job.inputs, x=x, initial_state=state)
    return run_plan(prepare(_widened(job.model), inputs, "h"))


def _widened(model: Model) -> Model:
    """The model with the same numbers in longdouble."""

    def wide(cell: Cell) -> Cell:
        arrays = {name: a for name, a in vars(cell).items() if isinstance(a, np.ndarray)}
        widened: dict[str, Any] = {name: a.astype(np.longdouble) for name, a in arrays.items()}
        return replace(cell, **widened)

    return replace(model, layers=tuple(tuple(map(wide, layer)) for layer in model.layers))


def _distance(trace: Trace, truth: Trace | None) -> float | None:
    """The greatest distance of h and the last state from the truth."""
    if truth is None:
        return None
    found = trace.members()
    distances = [greatest_difference(found[name], exact) for name, exact in truth.members().items()]
    return max(distances, key=lambda d: (d != d, d))
