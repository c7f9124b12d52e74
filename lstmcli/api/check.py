"""The same weights through real frameworks: which agree with us, and which is most accurate.

The truth is the run in longdouble: its distance from ours is what rounding
does to this network, and a difference of that size is none. What an engine
cannot do is known before anything runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import numpy as np

from lstmcli._version import __version__
from lstmcli.api.diff import side_of
from lstmcli.api.explain import question_of, typed_run
from lstmcli.api.job import InputOptions, Job, read_job, with_padding
from lstmcli.api.load import checked
from lstmcli.api.save import make_folder, write_arrays, write_file
from lstmcli.api.values import Path, Weights, each_of, is_path
from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.figures import Position
from lstmcli.core.diff.operand import FINALS
from lstmcli.core.explain import explain
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.forward.equivalence import largest_difference
from lstmcli.core.forward.plan import NAMES as ARRAYS
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.arrays import ArrayLike, DTypeLike
from lstmcli.core.model.model import Cell, Model, Trace, layer_width
from lstmcli.core.model.shell import as_options
from lstmcli.core.weights.initializers import draw_run
from lstmcli.core.weights.surroundings import lstm_alone
from lstmcli.engines import NAMES, find_engine
from lstmcli.engines.engine import (
    Engine,
    not_installed,
    refusal,
    timed_result,
    timed_trace,
)
from lstmcli.engines.program import RAW, TIMEOUT, Program, Ran
from lstmcli.errors import INPUTS, UserError
from lstmcli.escaping import typed_command

__all__ = ["ALL", "NAMES", "TIMEOUT", "Check", "Program", "check", "check_job"]

BATCH, STEPS = 3, 20  # of inputs that are drawn
ALL = "all"
ROUNDING = 4.0
"""Times our distance from the run in longdouble by which an engine may differ from us: two runs
that are that far from it differ by twice as much, and an engine may sum less exactly, in the grid
of `tests/conformance` up to twice."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """An engine's arrays against ours in one dtype, and what rounding may do to each array."""

    difference: Difference
    rounding: Mapping[str, float]  # largest difference that counts as none, by array

    @property
    def differing(self) -> list[str]:
        """The arrays that differ by more than the tolerance and rounding."""
        arrays = self.difference.arrays.items()
        beyond = {
            name: array.max_abs or np.inf for name, array in arrays if not array.equal
        }
        return [
            k
            for k, size in beyond.items()
            if not size <= self.rounding.get(k, 0) < np.inf
        ]

    @property
    def within_rounding(self) -> bool:
        """Return whether rounding may be all that is beyond the tolerance."""
        return not (self.difference.equal or self.differing)

    @property
    def first(self) -> Position | None:
        """Where it first differs from us."""
        return (
            self.difference.arrays[self.differing[0]].first if self.differing else None
        )

    def worst(self, figure: str) -> float | int | None:
        """The largest ``max_abs``, ``max_rel`` or ``max_ulp`` of all arrays; NaN if one is."""
        figures = [getattr(array, figure) for array in self.difference.arrays.values()]
        known = [value for value in figures if value is not None]
        return next((v for v in known if v != v), max(known, default=None))


@dataclass(frozen=True, eq=False)
class Checked:
    """The run of one engine, compared with ours; again in float64 if the run has float32."""

    engine: Engine
    version: str
    comparisons: Mapping[str, Comparison]  # by dtype, that of the run first
    truth_abs: (
        float | None
    )  # largest error against the run in longdouble, if there is one
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def of_run(self) -> Comparison:
        """The comparison in the dtype of the run."""
        return next(iter(self.comparisons.values()))

    @property
    def differs_in(self) -> str | None:
        """The first dtype in which it differs from us; None if it agrees."""
        return next(
            (dtype for dtype, one in self.comparisons.items() if one.differing), None
        )

    @property
    def equal(self) -> bool:
        """Return whether it agrees with us within the tolerance or rounding."""
        return self.differs_in is None

    @property
    def first(self) -> Position | None:
        """Where it first differs from us."""
        return (
            None if self.differs_in is None else self.comparisons[self.differs_in].first
        )

    @property
    def float64_abs(self) -> float | None:
        """The largest difference in the repetition in float64."""
        also = [*self.comparisons.values()][1:]
        return also[0].worst("max_abs") if also else None

    @property
    def within_rounding(self) -> bool:
        """Return whether a difference is beyond the tolerance and counts as rounding."""
        return any(one.within_rounding for one in self.comparisons.values())

    def to_json(self) -> dict[str, Any]:
        """The row of ``-f json``."""
        of_run = self.of_run
        return {
            "name": self.engine.name,
            "version": self.version,
            "equal": self.equal,
            **{name: of_run.worst(name) for name in ("max_abs", "max_rel", "max_ulp")},
            "float64_abs": self.float64_abs,
            "differs_in": self.differs_in,
            "within_rounding": self.within_rounding,
            "truth_abs": self.truth_abs,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, eq=False)
class Check:
    """All engines that ran, those that could not, and our figures."""

    job: Job  # with the inputs and the state of the runs
    rows: tuple[Checked, ...]
    refused: Mapping[str, str]  # of installed engines
    truth_abs: float | None  # ours
    seconds: float  # ours
    drawn: int | None = None  # the seed of inputs and state; None: given
    ulp: int | None = None  # the tolerance in ULPs, if given
    findings: Mapping[str, Explanation] = field(
        default_factory=dict
    )  # of those that differ

    @property
    def equal(self) -> bool:
        """Return whether all agree."""
        return all(row.equal for row in self.rows)

    @property
    def nearest(self) -> list[str]:
        """The most accurate: names of engines, and ``ours``; empty without a run in longdouble."""
        errors = {"ours": self.truth_abs} | {
            row.engine.name: row.truth_abs for row in self.rows
        }
        known = {name: value for name, value in errors.items() if value is not None}
        return [name for name, value in known.items() if value == min(known.values())]

    def to_json(self) -> dict[str, Any]:
        """The check as one document."""
        firsts = {
            row.engine.name: row.first for row in self.rows if row.first is not None
        }
        tolerance = self.rows[0].of_run.difference
        return {
            "equal": self.equal,
            "engines": [row.to_json() for row in self.rows],
            "ours": {
                "version": __version__,
                "truth_abs": self.truth_abs,
                "seconds": self.seconds,
            },
            "nearest": self.nearest,
            "rtol": tolerance.rtol,
            "atol": tolerance.atol,
            "ulp": self.ulp,
            "seed": self.drawn,
            "refused": dict(self.refused),
            "first_divergence": {
                k: {"array": p.array} | p.to_json() for k, p in firsts.items()
            },
            "findings": {
                name: found.to_json() for name, found in self.findings.items()
            },
            "notes": {
                row.engine.name: list(row.notes) for row in self.rows if row.notes
            },
            "assumed": self.job.assumed,
        }


@dataclass(frozen=True, eq=False)
class ProgramCheck:
    """The outputs of a program, a, next to ours, b."""

    job: Job
    program: Program
    ran: Ran
    difference: Difference
    drawn: int | None = None  # the seed of the inputs; None: given
    next: str = ""  # the command that searches for the cause
    saved: tuple[str, ...] = ()  # files of the outputs and of inputs, if it differs
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Return whether the program agrees with us."""
        return self.difference.equal

    @property
    def seconds(self) -> float:
        """The time of the program."""
        return self.ran.seconds

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


def check(
    weights: Weights | Sequence[Weights],
    x: ArrayLike | Path | None,
    engines: Sequence[str] | Program,
    *,
    seed: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    save: Path | None = None,
    **settings: Any,
) -> Check | ProgramCheck:
    """Run a model here and by the engines of these names, or a program of the user's.

    ``all`` takes those installed. Without inputs, they are drawn from
    ``seed``, and for engines a state that is not zero; a program gets one
    sequence. ``save`` is a folder, for the outputs of a program that differs
    and for inputs that are in no file.
    """
    options, settings = InputOptions.split(settings)
    given = checked(settings, "check")
    job = read_job(weights, x, given, options, where="check", inputs_needed=False)
    job = replace(job, model=lstm_alone(job.model, "check runs the LSTM alone"))
    if seed is not None and job.inputs.name:
        text = f"inputs are drawn where none are given; {job.inputs.name} is given."
        raise UserError(text, about={"seed": seed})
    if not isinstance(engines, Program):
        return check_job(job, engines, seed=seed or 0, rtol=rtol, atol=atol, ulp=ulp)
    job, drawn = _with_inputs(job, seed or 0, of_program=True)
    found = check_program(job, drawn, engines, rtol=rtol, atol=atol, ulp=ulp)
    is_in_file = drawn is None and (x is None or (is_path(x) and os.fspath(x) != "-"))
    inputs, outputs = x if is_in_file else INPUTS, "OUTPUTS"
    saved, notes = list[str](), list[str]()
    if save is not None and not found.equal:
        try:
            outputs = _save_outputs(os.fspath(save), found.ran)
            saved.append(outputs)
            if not is_in_file:
                arrays = {"": np.asarray(job.inputs.x)}
                inputs = write_arrays(os.path.join(save, "program-inputs"), arrays)
                saved.append(inputs)
        except UserError as error:
            notes.append(f"{error} --save DIR names another folder.")
    words = typed_run(each_of(weights), inputs, options)
    next = typed_command("lstm", "explain", *words, outputs, *as_options(given))
    return replace(found, next=next, saved=tuple(saved), notes=tuple(notes))


def _save_outputs(folder: str, ran: Ran) -> str:
    """Write the outputs of a program as they came, raw numbers as .npy; gives the path."""
    stem = os.path.join(folder, "program-outputs")
    if ran.suffix == RAW:
        return write_arrays(stem, ran.outputs.arrays)
    make_folder(folder)
    write_file(stem + ran.suffix, ran.data)
    return stem + ran.suffix


def check_job(
    job: Job, names: Sequence[str], *, seed: int = 0, **tolerance: Any
) -> Check:
    """`check` of a job; ``tolerance`` is its ``rtol``, ``atol`` and ``ulp``."""
    if job.model.convention.behaviour.arithmetic != "float":
        raise UserError(
            "check gives the engines weights in float; this model rounds inputs and h to 8 bits.",
            try_={"arithmetic": "float"},
        )
    job, drawn = _with_inputs(job, seed)
    job = replace(job, inputs=replace(job.inputs, x=np.asarray(job.inputs.x)))
    plan = job.plan()
    engines, refused = _able(_chosen(names), plan, may_refuse=ALL in names)
    ours, seconds = timed_result(lambda: run_plan(plan))
    truth = _truth(job)
    runs = _our_runs(job, ours, truth, engines, tolerance)
    rows: list[Checked] = []
    findings: dict[str, Explanation] = {}
    for engine in engines:
        row, finding = _checked(engine, runs, truth, tolerance)
        rows.append(row)
        if finding is not None:
            findings[engine.name] = finding
    return Check(
        job,
        tuple(rows),
        refused,
        _distance(ours, truth),
        seconds,
        drawn,
        tolerance.get("ulp"),
        findings=findings,
    )


def _able(
    engines: Sequence[Engine], plan: Plan, *, may_refuse: bool
) -> tuple[list[Engine], dict[str, str]]:
    """The engines that can do a run, and why others cannot; UserError if none can.

    Unless some ``may_refuse``, all have to.
    """
    refused: dict[str, str] = {}
    for engine in engines:
        if unsupported := engine.network(plan)[1]:
            refused[engine.name] = refusal(engine, unsupported)
    if refused and (not may_refuse or len(refused) == len(engines)):
        first, *others = refused.values()
        raise UserError(first, *(f"  {text}" for text in others))
    return [engine for engine in engines if engine.name not in refused], refused


def _our_runs(
    job: Job,
    ours: Trace,
    truth: Trace | None,
    engines: Sequence[Engine],
    tolerance: Mapping[str, Any],
) -> dict[str, _OurRun]:
    """Our run by its dtype; of float32 again in float64, where an engine has it.

    A tolerance that is asked for stands alone.
    """
    dtype = job.plan().dtype
    if any(value is not None for value in tolerance.values()):
        return {dtype.name: _OurRun(job, ours, {})}
    runs = {dtype.name: _OurRun(job, ours, _rounding(ours, truth))}
    if dtype == np.float32 and any(engine.has_float64 for engine in engines):
        wide = _in_dtype(job, np.float64)
        trace = run_plan(wide.plan())
        runs["float64"] = _OurRun(wide, trace, _rounding(trace, truth))
    return runs


def _checked(
    engine: Engine,
    runs: Mapping[str, _OurRun],
    truth: Trace | None,
    tolerance: Mapping[str, Any],
) -> tuple[Checked, Explanation | None]:
    """An engine against our runs by dtype, that of the job first, and why it differs, if found."""
    traces: dict[str, Trace] = {}
    comparisons: dict[str, Comparison] = {}
    seconds: list[float] = []
    notes: list[str] = []
    for dtype, (job, ours, rounding) in runs.items():
        network, unsupported = engine.network(job.plan())
        if not traces:
            notes += engine.notes(network)
        elif unsupported or not engine.has_float64:
            continue
        traces[dtype], took = timed_trace(engine, network, job.plan())
        seconds.append(took)
        sides = side_of(traces[dtype], engine.name), side_of(ours, "lstm run")
        difference = compare(*sides, equal_nan=True, **tolerance)
        comparisons[dtype] = Comparison(difference, rounding)
    error = _distance(next(iter(traces.values())), truth)
    row = Checked(engine, engine.version, comparisons, error, seconds[0], tuple(notes))
    if row.differs_in is None:
        return row, None
    try:
        job = runs[row.differs_in].job
        return row, _finding(job, traces[row.differs_in], engine.name)
    except UserError as unable:  # it does not take every kind of run
        why = " ".join(unable.lines)
        note = f"explain cannot search for the cause: {why}"
        return replace(row, notes=(*row.notes, note)), None


def check_program(
    job: Job, drawn: int | None, program: Program, **tolerance: Any
) -> ProgramCheck:
    """`check` of a job by a program."""
    plan, inputs = job.plan(ARRAYS), np.asarray(job.inputs.x)
    if plan.batch == 1 and (drawn is not None or program.read != ".npy"):
        inputs = inputs.reshape(plan.steps, -1)
    units = layer_width(plan.model.layers[-1])
    ran = program.run(inputs, f"{plan.steps}x{units}")
    theirs, ours = (
        side_of(ran.outputs, program.name),
        side_of(run_plan(plan), "lstm run"),
    )
    kept = ours.arrays.keys() & theirs.arrays.keys() or {"h"}
    ours = replace(ours, arrays={n: a for n, a in ours.arrays.items() if n in kept})
    theirs = replace(theirs, name=program.name)
    difference = compare(theirs, ours, padding=False, **tolerance)
    return ProgramCheck(job, program, ran, difference, drawn)


class _OurRun(NamedTuple):
    job: Job
    trace: Trace
    rounding: Mapping[str, float]


def _with_inputs(
    job: Job, seed: int, *, of_program: bool = False
) -> tuple[Job, int | None]:
    if job.inputs.name:
        return job.drained(), None
    model, counts = job.model, job.model.lengths
    batch, steps = 1 if of_program else BATCH, STEPS
    if counts:
        batch, steps = len(counts), max(*counts, 1)
    x, state = draw_run(model, batch, steps, seed)  # (B, T, I)
    layout = model.given.get("layout") or model.convention.behaviour.layout
    x = x.swapaxes(0, 1) if layout == "time" else x
    state = cast(Any, job.inputs.initial_state) or ({} if of_program else state)
    inputs = replace(job.inputs, x=x, name="the drawn inputs", initial_state=state)
    return with_padding(replace(job, inputs=inputs)), seed


def _chosen(names: Sequence[str]) -> list[Engine]:
    engines = [find_engine(name) for name in dict.fromkeys(names) if name != ALL]
    if missing := [engine for engine in engines if not engine.installed]:
        raise UserError(*(line for engine in missing for line in not_installed(engine)))
    if ALL not in names:
        return engines
    engines = [find_engine(name) for name in NAMES]
    if there := [engine for engine in engines if engine.installed]:
        return there
    ways = dict.fromkeys(f"  {engine.install}" for engine in engines)
    raise UserError("no engine (a framework) is installed; any of these is one:", *ways)


def _finding(job: Job, trace: Trace, name: str) -> Explanation | None:
    """Why a trace differs from ours; None for a model that cannot be read again."""
    if job.reread is None:
        return None
    layout = job.plan().layout if job.inputs.x.ndim == 3 else None
    job = replace(job, inputs=replace(job.inputs, layout=layout))
    return explain(question_of(job, side_of(trace, name)))


# ---- the truth


def _truth(job: Job) -> Trace | None:
    if np.finfo(np.longdouble).eps >= np.finfo(job.model.cell.dtype).eps:
        return None
    return run_plan(_in_dtype(job, np.longdouble).plan("h"))


def _in_dtype(job: Job, dtype: DTypeLike) -> Job:
    """The job with its numbers, rounded to its dtype, in a wider one."""
    narrow, reread = job.model.cell.dtype, job.reread
    with np.errstate(all="ignore"):
        x = np.asarray(job.inputs.x).astype(narrow)
        state = {
            k: np.asarray(a).astype(narrow) for k, a in job.inputs.initial_state.items()
        }
    inputs = replace(job.inputs, x=x, initial_state=state)
    again = (
        None if reread is None else lambda settings: _widened(reread(settings), dtype)
    )
    return replace(job, model=_widened(job.model, dtype), inputs=inputs, reread=again)


def _widened(model: Model, dtype: DTypeLike) -> Model:

    def wide(cell: Cell) -> Cell:
        arrays = {k: a for k, a in vars(cell).items() if isinstance(a, np.ndarray)}
        widened: dict[str, Any] = {k: a.astype(dtype) for k, a in arrays.items()}
        return replace(cell, **widened)

    return replace(
        model, layers=tuple(tuple(map(wide, layer)) for layer in model.layers)
    )


def _rounding(ours: Trace, truth: Trace | None) -> dict[str, float]:
    """The largest difference that counts as rounding, by array; none without truth.

    Nothing is allowed where our run overflows.
    """
    found, exact = ours.members(), {} if truth is None else truth.members()
    return {
        name: ROUNDING * largest_difference(found[name], a) for name, a in exact.items()
    }


def _distance(trace: Trace, truth: Trace | None) -> float | None:
    if truth is None:
        return None
    found, exact = trace.members(), truth.members()
    distances = [
        largest_difference(found[name], exact[name])
        for name in ("h", *FINALS)
        if name in exact
    ]
    return max(distances, key=lambda d: (d != d, d))
