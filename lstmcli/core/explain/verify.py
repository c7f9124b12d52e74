"""Whether a hypothesis gives EXPECTED: it is run as `lstm run` runs it, and compared.

Rounding grows from step to step, in a chaotic net without end. So where a difference may be
rounding, the hypothesis is run in float32 too, and what both runs differ by widens the tolerance
of each step from there on; steps at which they differ much count as not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import STEP_ORDER, ArrayName
from lstmcli.core.explain.budget import Work
from lstmcli.core.explain.hypotheses import Changes, settings_of, spelled_out
from lstmcli.core.explain.locations import by_cell
from lstmcli.core.explain.observation import EPS32, SINGLE, Allowance, Expected, KnownValues
from lstmcli.core.forward.plan import Plan, prepare
from lstmcli.core.forward.run import run_plan
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs, Model, Trace, steps_and_batch
from lstmcli.errors import UserError

Arrays = Mapping[str, Array]
"""By name."""
Reader = Callable[[Mapping[str, Any]], Model]
"""From settings, beside those that were given, to the model."""

RUN = 100  # units whose work equals that of a step of one hypothesis by itself
ROUNDING = 8 * EPS32  # what the absolute part of the tolerance stands for
OTHERS = 4.0  # times our rounding that others may have, who add up in another order
# Where rounding grows, so does what tells two orders apart: of 40 chaotic nets under two kernels of
# OpenBLAS, one in six was more than 4 times as far off as we, one in fifty more than 16 times.
GROWN, OTHERS_GROWN = 10 * ROUNDING, 16.0
# Torch and TensorFlow were 2.4e-3 from float64 in a net of three layers and 400 steps, and agreed
# with each other; a wrong setting of such a net is off by .05 and more.
BLIND = 0.05  # a tolerance from which on a number says nothing; of one above 1, its share
LEAST_COMPARED = 8  # numbers that have to be left to say anything
ROOM = 2**26  # bytes of runs that are cached
FARTHEST = 1e6  # how much further off a number is than this does not matter
SMALL = 1e-2  # a difference that rounding may make without chaos
FEW, A_FEW = 3, 0.05  # numbers, or a share of all, that may be wrong by themselves
SOME = 0.02  # of all numbers: the first steps of a chaotic net still agree


class Cached:
    """Arrays of runs by key, as long as they take little memory."""

    def __init__(self) -> None:
        self._runs: dict[Any, Any] = {}
        self._room = ROOM

    def get(self, key: Any, run: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """What is cached under a key, or what the run gives, which takes ``size`` bytes."""
        if (found := self._runs.get(key)) is not None:
            return found
        found = run()
        if (room := size(found)) <= self._room:
            self._room -= room
            self._runs[key] = found
        return found


@dataclass(frozen=True, eq=False)
class Case:
    """How a network is run, and EXPECTED on the axes of that run."""

    read: Reader
    x: Array
    layout: str  # "steps", "batch", "time"
    expected: Expected
    initial_state: Mapping[str, Array] = field(default_factory=dict)
    lengths: Array | None = None
    mask: Array | None = None
    given: Mapping[str, Any] = field(default_factory=dict)  # settings of files and options
    work: Work = field(default_factory=Work)  # of the question
    cached: Cached = field(default_factory=Cached)  # runs that EXPECTED elsewhere is compared with

    @property
    def size(self) -> tuple[int, int]:
        """T and B."""
        return steps_and_batch(np.shape(self.x), self.layout)

    def under(self, **other: Any) -> Case:
        """The same with other inputs, state, lengths or mask, which has other runs."""
        return replace(self, cached=Cached(), **other)

    def model(self, settings: Mapping[str, Any]) -> Model:
        """The model under settings; those of the data are left out."""
        return self.read(
            spelled_out({k: v for k, v in settings.items() if k != "array"}, self.given)
        )

    def trace(
        self, settings: Mapping[str, Any], run: Callable[[Plan], Trace] = run_plan
    ) -> tuple[Trace, Model]:
        """Run under settings."""
        model = self.model(settings)
        layout = None if self.layout == "steps" else self.layout
        inputs = Inputs(self.x, layout, self.initial_state, self.lengths, self.mask)
        self.work.done += RUN * len(model.cells) * self.size[0] * self.size[1]
        return run(prepare(model, inputs, self._names(settings.get("array", "h")))), model

    def arrays(self, settings: Mapping[str, Any], array: str) -> Arrays:
        """The arrays of a run by cell; ``array`` is what h is replaced by."""
        key = (self.layout, self._names(array), array, *sorted(settings.items()))
        arrays: Arrays = self.cached.get(
            key,
            lambda: arrays_of(*self.trace(settings), array, self.size),
            lambda given: sum(one.nbytes for one in given.values()),
        )
        return arrays

    def _names(self, array: str) -> tuple[str, ...]:
        names = self.expected.arrays
        if set(names) == {"h"} and array == "h":
            return ("h",)
        has_z = any(ArrayName.of(name).base == "z" for name in names)
        return ("h", "c", "i", "f", "g", "o", *["z"] * has_z)


@dataclass(frozen=True)
class Mismatch:
    """A number of a run that is not EXPECTED's."""

    array: str
    step: int | None
    item: int  # of the batch
    unit: int
    given: float
    expected: float


@dataclass(frozen=True)
class Comparison:
    """How a run of a hypothesis compares with EXPECTED."""

    worst: float  # the greatest difference, in tolerances
    max_abs: float
    rms: float
    agreeing: int
    total: int
    first: Mismatch | None
    growth: float = 1.0  # how many times the usual rounding this net makes
    items: tuple[bool | None, ...] = ()  # of the batch: whether all of one agrees; None: not known
    zeros: int = 0  # numbers that are exactly 0 among others in EXPECTED and not in the run
    blind: int = 0  # numbers that rounding may have made anything of: not compared
    steps: tuple[bool | None, ...] = ()  # whether all of a step agrees; None: not known
    arrays: tuple[tuple[str, int, int], ...] = ()  # name, numbers that agree, numbers
    snr: float = 0.0  # EXPECTED / the difference, both as rms: that of the worst array

    @property
    def fits(self) -> bool:
        """Whether every known number of EXPECTED is met."""
        return self.worst <= 1

    @property
    def nearly(self) -> bool:
        """Whether nearly all numbers agree: they are wrong then, and not a convention."""
        return 0 < self.agreeing >= self.total - max(FEW, int(self.total * A_FEW))


NEVER = Comparison(np.inf, np.inf, np.inf, 0, 0, None)
"""Of a hypothesis that cannot be run at all."""


@dataclass(frozen=True)
class Remark:
    """Something to be said, as a code and the facts in it."""

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""  # put in by `wording`

    def __hash__(self) -> int:
        return hash(self.code)


def remark(code: str, **facts: Any) -> Remark:
    """A remark without its words."""
    return Remark(code, facts)


class Basis(NamedTuple):
    """The run with a part rounded that gives EXPECTED."""

    rounded: str  # the part
    comparison: Comparison
    remark: Remark


@dataclass(frozen=True)
class Answer:
    """A hypothesis that fits: its changes with constants put in, and how it compares."""

    changes: Changes
    comparison: Comparison
    solved: int = 0  # constants that were solved for
    basis: Basis | None = None  # in half precision


def rerun(case: Case, changes: Changes, allowance: Allowance) -> Comparison:
    """Compare the run that `lstm run` does, in the dtype of the weights."""
    settings, expected = settings_of(changes), case.expected
    trace, model = case.trace(settings)
    given = arrays_of(trace, model, settings.get("array", "h"), case.size)
    of_weights = SINGLE if model.cell.dtype == np.float32 else allowance
    wider = max(allowance, of_weights, key=lambda a: a.absolute)
    comparison = compared(given, expected, wider)
    if comparison.fits:
        return comparison
    fine = case.arrays({**settings, "dtype": "float64"}, settings.get("array", "h"))
    return compared(given, expected, wider, _drift(fine, given, expected, model.backward))


def verify(case: Case, changes: Changes, allowance: Allowance) -> Comparison:
    """Run a hypothesis, and compare it with EXPECTED."""
    settings, expected = settings_of(changes), case.expected
    fine = fine_arrays(case, changes)
    if fine is None:
        return NEVER
    comparison = compared(fine, expected, allowance)
    # rounding could be behind a difference that is small, or where some numbers agree
    may_be = comparison.max_abs < SMALL or comparison.agreeing >= comparison.total * SOME
    if comparison.fits or allowance.absolute < ROUNDING / 2 or not may_be:
        return comparison
    coarse = case.arrays({**settings, "dtype": "float32"}, settings.get("array", "h"))
    drift = _drift(fine, coarse, expected, case.model(settings).backward)
    if max(float(np.max(d, initial=0)) for d in drift.values()) <= ROUNDING / OTHERS:
        return comparison
    return compared(fine, expected, allowance, drift)


def fine_arrays(case: Case, changes: Changes) -> Arrays | None:
    """The arrays of a run of a hypothesis in float64; None if it cannot be run."""
    settings = settings_of(changes)
    try:
        return case.arrays({**settings, "dtype": "float64"}, settings.get("array", "h"))
    except UserError:
        return None


def may_fit(parts: Iterable[tuple[KnownValues, Array | None]], allowance: Allowance) -> bool:
    """Whether `verify` has to decide if a run fits: not if all numbers are far off.

    ``parts`` are arrays of EXPECTED and what the run gives for them. It is a quick look, for the
    many locations of EXPECTED.
    """
    greatest, some = 0.0, False
    for known, given in parts:
        if given is None:
            return False
        at = np.isfinite(known.values)
        off = np.abs(given - known.values)[at]
        greatest = max(greatest, float(off.max(initial=0)))
        some = some or not (off > allowance.of(known)[at]).all()
    return some or greatest < SMALL


def arrays_of(trace: Trace, model: Model, array: str, size: tuple[int, int]) -> Arrays:
    """A trace by cell, (T, B, K) and last states (B, K); ``array`` is what h is replaced by."""
    given = by_cell(trace.members(), model, trace.layout, size)
    return given if array == "h" else _instead_of_h(given, array)


def _instead_of_h(given: Mapping[str, Array], array: str) -> dict[str, Array]:
    """Arrays with another one of each cell as its h; what only an h is made of is left out."""
    found = dict(given)
    for name in given:
        part = ArrayName.of(name)
        if part.base == "h" or (part.base == "final_h" and array == "c"):
            other = name.removesuffix("h") + array
            found.pop(name)
            found |= {name: given[other]} if other in given else {}
    return found


class _Compared(NamedTuple):
    """The known numbers of an array beside those of a run."""

    name: str
    known: KnownValues
    at: tuple[Array, ...]  # steps, sequences and units, each (E,); without steps for a last state
    values: Array  # (E,)
    wanted: Array
    share: Array  # of the tolerance that the difference is
    blind: int = 0
    growth: float = 1.0

    @classmethod
    def of(
        cls, name: str, known: KnownValues, given: Array, allowance: Allowance, drift: Array | None
    ) -> _Compared:
        """Compare an array; ``drift``, which broadcasts with it, widens the tolerances."""
        at = np.nonzero(np.isfinite(known.values))
        values, wanted = given[at], known.values[at]
        tolerance, blind, growth = allowance.of(known[at]), 0, 1.0
        if drift is not None:
            rounding = np.broadcast_to(drift, known.values.shape)[at]
            wider = np.where(rounding > GROWN, OTHERS_GROWN, OTHERS) * rounding
            wider = np.where(np.isfinite(values), wider, 0)  # NaN is no rounding
            seen = wider <= BLIND * np.maximum(1, np.abs(wanted))
            blind, at = int((~seen).sum()), tuple(axis[seen] for axis in at)
            growth = max(1.0, float(rounding[seen].max(initial=0)) / ROUNDING)
            values, wanted, tolerance = values[seen], wanted[seen], (tolerance + wider)[seen]
        off = np.abs(values - wanted)
        share = np.where(off == 0, 0, np.where(np.isfinite(off), off, np.inf) / tolerance)
        return cls(name, known, at, values, wanted, share, blind, growth)

    @property
    def off(self) -> Array:
        """(E,) the differences; infinite where a run has NaN."""
        off = np.abs(self.values - self.wanted)
        return np.where(np.isfinite(off), off, np.inf)

    @property
    def wrong(self) -> Array:
        """(E,) whether a number is not met."""
        return self.share > 1

    @property
    def zeros(self) -> int:
        """Wrong numbers that are 0 in EXPECTED, but for steps that are zero throughout."""
        zero = self.wrong & (self.wanted == 0)
        return int(np.any(self.known.values != 0, axis=-1)[self.at[:-1]][zero].sum())

    @property
    def snr(self) -> float:
        """EXPECTED / the difference, both as rms."""
        noise = float((np.minimum(self.off, FARTHEST) ** 2).sum())
        return math.sqrt(float((self.wanted**2).sum()) / noise) if noise else math.inf

    def first(self) -> Iterator[Mismatch]:
        """The first number that is not met, if there is one."""
        for n in np.flatnonzero(self.wrong)[:1]:
            *steps, item, unit = (int(axis[n]) for axis in self.at)
            step = steps[0] if steps else None
            values = float(self.values[n]), float(self.wanted[n])
            yield Mismatch(self.name, step, item, unit, *values)


def compared(
    given: Arrays, expected: Expected, allowance: Allowance, drift: Arrays | None = None
) -> Comparison:
    """Compare the arrays of a run with EXPECTED.

    ``drift``, by name and of the same shapes or broadcasting with them, widens the tolerances.
    """
    if not expected.is_in(given):
        return NEVER
    each = [
        _Compared.of(name, known, given[name], allowance, None if drift is None else drift[name])
        for name, known in sorted(expected.arrays.items(), key=_in_step_order)
    ]
    total, blind = sum(len(one.wanted) for one in each), sum(one.blind for one in each)
    if blind and total < LEAST_COMPARED:
        return NEVER
    arrays = [(one.name, int((~one.wrong).sum()), len(one.wanted)) for one in each]
    off = np.concatenate([np.zeros(0), *(one.off for one in each)])
    first = [mismatch for one in each for mismatch in one.first()]
    first.sort(key=lambda one: math.inf if one.step is None else one.step)
    return Comparison(
        worst=max((float(one.share.max(initial=0)) for one in each), default=0.0),
        max_abs=float(off.max(initial=0)),
        rms=math.sqrt(float((np.minimum(off, FARTHEST) ** 2).sum()) / max(total, 1)),
        agreeing=sum(right for _, right, _ in arrays),
        total=total,
        first=first[0] if first else None,
        growth=max((one.growth for one in each), default=1.0),
        items=_agreeing(each, -2),
        zeros=sum(one.zeros for one in each),
        blind=blind,
        steps=_agreeing([one for one in each if len(one.at) == 3], 0),
        arrays=tuple(arrays),
        snr=min((one.snr for one in each), default=math.inf),
    )


def _agreeing(each: Sequence[_Compared], axis: int) -> tuple[bool | None, ...]:
    """Whether all of each step or sequence agrees; None: nothing of it is known."""
    count = each[0].known.values.shape[axis] if each else 0
    known = sum(np.bincount(one.at[axis], minlength=count) for one in each)
    wrong = sum(np.bincount(one.at[axis][one.wrong], minlength=count) for one in each)
    pairs = zip(np.atleast_1d(known), np.atleast_1d(wrong), strict=True) if each else ()
    return tuple(not w if k else None for k, w in pairs)


def _in_step_order(item: tuple[str, KnownValues]) -> tuple[Any, ...]:
    part = ArrayName.of(item[0])
    place = STEP_ORDER.index(part.base) if part.base in STEP_ORDER else len(STEP_ORDER)
    return (*part.layer, place)


def _drift(fine: Arrays, coarse: Arrays, expected: Expected, backward: bool) -> Arrays:
    """How far a run in float32 is from one in float64, for each array of EXPECTED.

    The greatest so far, step by step, over all sequences and units: (T, 1, 1), or (1, 1) for a
    last state. Where a cell runs backward, errors of any step may reach any other.
    """
    found: dict[str, Array] = {}
    for name, known in expected.arrays.items():
        if name not in fine or fine[name].shape != coarse[name].shape:
            found[name] = np.full(known.values.ndim * (1,), np.inf)
            continue
        off = np.nan_to_num(np.abs(fine[name] - coarse[name]), nan=np.inf)
        if off.ndim == 3 and not backward:
            found[name] = np.maximum.accumulate(off.max(axis=(1, 2), initial=0))[:, None, None]
        else:
            found[name] = off.max(keepdims=True, initial=0)
    return found
