"""Verification of a hypothesis: it is run in float64, and compared with EXPECTED.

Rounding grows from step to step, in a chaotic net without end. Where a difference may be rounding,
the hypothesis is run in float32 too. The difference of both runs widens the tolerance from there
on; numbers at which they differ much count as not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from lstmcli.core.diff.operand import OF_HEAD, STEP_ORDER, ArrayName
from lstmcli.core.diff.tolerance import largest
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.causes import (
    Change,
    Changes,
    Settings,
    settings_of,
    spelled_out,
)
from lstmcli.core.explain.exactness import EPS
from lstmcli.core.explain.observation import (
    EPS32,
    NEAR,
    SINGLE,
    Allowance,
    Arrays,
    Expected,
    KnownValues,
)
from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import run_in_memory
from lstmcli.core.forward.sequence import valid_steps
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs, Model, steps_and_batch
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError
from lstmcli.outputs import jsonable

T = TypeVar("T")
Reader = Callable[[Settings], Model]
"""From settings, next to those given, to the model."""

RUN = 100  # units whose work equals that of a step of one run
ROUNDING = 8 * EPS32  # what the absolute part of the tolerance stands for
OTHERS = 4.0  # times our rounding that another order of summation may have
# Of 40 chaotic nets under two kernels of OpenBLAS, one in six was over 4 times as far off as we,
# one in fifty over 16 times.
GROWN, OTHERS_GROWN = 10 * ROUNDING, 16.0
# In a net of three layers and 400 steps Torch and TensorFlow were 2.4e-3 from float64; a wrong
# setting of such a net is off by .05 and more.
# tolerance (absolute below 1, relative above) of what is not compared
BLIND = 0.05
LEAST_COMPARED = 8  # numbers that have to be compared for a result
ROOM = 3 * 2**25  # bytes of cached runs: of 3 x 60 x 64 in 4 cells
FARTHEST = 1e6  # larger differences count as this one
FEW, A_FEW = 3, 0.05  # wrong numbers, or their share, that are outliers
FINE, COARSE = {"dtype": "float64"}, {"dtype": "float32"}
# of a clip: if one so much tighter fits too, it only makes a cell vanish
LESS = 0.1
# Of the other numbers, as small as those that a table gives as 0: with steps of 1/8 to 1/32 it was
# at most 0.22 in 12 nets, and of dropout and relu nearly 1.
FEW_SMALL = 0.5
NO_STEP = 2**31  # stands for that of a last state, after all others
SOME = 0.02  # of all numbers: the first steps of a chaotic net still agree


def _nbytes(of: Any) -> int:
    """The memory of arrays, in whatever they are collected."""
    if isinstance(of, Mapping):
        return sum(map(_nbytes, of.values()))
    if isinstance(of, tuple | list):
        return sum(map(_nbytes, of))
    return getattr(of, "nbytes", 0)


class Cached:
    """Results of runs by key; few large arrays."""

    def __init__(self) -> None:
        self._runs: dict[Any, Any] = {}
        self._room = ROOM

    def has_room(self, key: Any, size: int) -> bool:
        """Tell whether a value of ``size`` bytes is kept, or is already."""
        return key in self._runs or size <= self._room

    def get(self, key: Any, run: Callable[[], T]) -> T:
        """The cached value of a key, or that of a run."""
        if key in self._runs:
            cached: T = self._runs[key]
            return cached
        value = run()
        size = _nbytes(value)
        if size <= self._room:
            self._room -= size
            self._runs[key] = value
        return value


@dataclass(frozen=True, eq=False)
class Case:
    """How a network is run, and EXPECTED on the axes of that run."""

    read: Reader
    data: Inputs
    layout: str  # "steps", "batch", "time"
    expected: Expected
    given: Settings = field(default_factory=dict)  # of files and options
    work: WorkDone = field(default_factory=WorkDone)  # of the question
    cached: Cached = field(default_factory=Cached)  # runs, for EXPECTED elsewhere too

    @property
    def size(self) -> tuple[int, int]:
        """T and B."""
        return steps_and_batch(self.data.x.shape, self.layout)

    def under(self, **other: Any) -> Case:
        """The same with other inputs, state, lengths or mask."""
        return replace(self, cached=Cached(), data=replace(self.data, **other))

    def model(self, settings: Settings) -> Model:
        """The model under settings; those of the data are left out."""
        of_model = {k: v for k, v in settings.items() if k != "array"}
        if isinstance(settings.get("lengths"), tuple):
            del of_model["lengths"]
        return self.read(spelled_out(of_model, self.given))

    def inputs(self, settings: Settings) -> Inputs:
        """The inputs of a run."""
        layout = None if self.layout == "steps" else self.layout
        inputs = replace(self.data, layout=layout)
        lengths = settings.get("lengths")
        if isinstance(lengths, tuple):
            return replace(inputs, lengths=np.array(lengths), mask=None)
        return inputs

    def valid(self, settings: Settings) -> Array | None:
        """(T, B): the steps that count in a run; None: all do."""
        return valid_steps(self.inputs(settings), self.layout, settings.get("lengths"))

    def plan(self, settings: Settings) -> Plan:
        """A run under settings, which is counted as work."""
        model = self.model(settings)
        self.work.add(RUN * len(model.cells) * self.size[0] * self.size[1])
        return prepare(model, self.inputs(settings), self.names(settings))

    def arrays(self, settings: Settings) -> Arrays:
        """The arrays (T, B, K) of a run by cell; another ``array`` stands for h."""
        of_run = {k: v for k, v in settings.items() if k != "array"}
        key = self.layout, self.names(settings), *sorted(of_run.items())
        given = self.cached.get(key, lambda: run_in_memory(self.plan(settings)))
        return on_axes(given, settings.get("array", "h"), self.size[0])

    def names(self, settings: Settings) -> tuple[str, ...]:
        """The arrays of each cell that a run keeps."""
        names = set(self.expected.arrays)
        of_head = {*OF_HEAD}
        kept = ["h"]
        if not names - of_head <= {"h"} or "array" in settings:
            kept.extend("cifgo")
            if any(name.endswith("z") for name in names):
                kept.append("z")
        if names & of_head:
            kept.append(Y)
        return tuple(kept)


@dataclass(frozen=True)
class Mismatch:
    """A number of a run that is not EXPECTED's."""

    array: str
    step: int | None
    item: int  # of the batch
    unit: int
    given: float
    expected: float

    def to_json(self) -> dict[str, Any]:
        """The number's place, and both values."""
        values = {name: jsonable(one) for name, one in vars(self).items()}
        return {name.replace("item", "batch"): one for name, one in values.items()}


class Zeros(NamedTuple):
    """Numbers that are 0 in EXPECTED alone, among others that are not."""

    number: int
    units: list[int]  # that have all of them, and are 0 throughout
    below: float  # all are where the run is smaller, and hardly any others; or 0
    steps: tuple[bool, ...]  # whether a step has any; (): all have


@dataclass(frozen=True)
class Agreement:
    """How a run of a hypothesis compares with EXPECTED."""

    worst: float  # the largest difference, in tolerances
    max_abs: float
    rms: float
    agreeing: int
    total: int
    first: Mismatch | None
    growth: float = 1.0  # how many times the usual rounding this net makes
    items: tuple[bool | None, ...] = ()  # whether all of a sequence agrees
    zeros: Zeros | None = None  # among others, in EXPECTED alone
    blind: int = 0  # numbers that rounding can change entirely: not compared
    steps: tuple[bool | None, ...] = ()  # all of a step agrees; None: not known
    arrays: tuple[tuple[str, int, int], ...] = ()  # name, numbers that agree, numbers
    snr: float = 0.0  # EXPECTED / the difference, both as rms: that of the worst array

    @property
    def fits(self) -> bool:
        """Tell whether every known number of EXPECTED is met."""
        return self.worst <= 1

    @property
    def nearly(self) -> bool:
        """Tell whether all but few numbers agree: no convention does that."""
        few = min(max(FEW, int(self.total * A_FEW)), self.total // 3)
        return 0 < self.agreeing >= self.total - few

    @property
    def differs_everywhere(self) -> bool:
        """Tell whether no step or sequence agrees, nor half of an array."""
        if self.total < LEAST_COMPARED or any(self.steps) or any(self.items):
            return False
        return not any(2 * agreeing > total for _, agreeing, total in self.arrays)


NEVER = Agreement(np.inf, np.inf, np.inf, 0, 0, None)
"""Of a hypothesis that cannot be run at all."""
NOTHING = Agreement(0.0, 0.0, 0.0, 0, 0, None, snr=np.inf)
"""Of a run with which nothing is compared."""


@dataclass(frozen=True)
class Remark:
    """A remark, as a code and the facts in it."""

    code: str
    facts: Settings = field(default_factory=dict)
    text: str = ""  # put in by `wording`


Remarks = Iterator[Remark]


def remark(code: str, **facts: Any) -> Remark:
    """A remark without its words."""
    return Remark(code, facts)


def rerun(case: Case, changes: Changes, allowance: Allowance) -> Agreement:
    """Compare the run that `lstm run` does, in the dtype of the weights.

    In half precision no other order of operations is allowed for.
    """
    settings, expected = settings_of(changes), case.expected
    given, model = case.arrays(settings), case.model(settings)
    of_weights = SINGLE if model.cell.dtype == np.float32 else allowance
    wider = max(allowance, of_weights, key=lambda one: one.absolute)
    comparison = compared(given, expected, wider)
    dtype = model.given.get("dtype", model.cell.dtype.name)
    if comparison.fits or dtype in EPS:
        return comparison
    fine = case.arrays({**settings, **FINE})
    drift = drift_of(fine, given, expected, model.backward)
    return compared(given, expected, wider, drift)


def verify(case: Case, changes: Changes, allowance: Allowance) -> Agreement:
    """Run a hypothesis, and compare it with EXPECTED."""
    settings, expected = settings_of(changes), case.expected
    fine = arrays_if_run(case, settings)
    comparison = compared(fine, expected, allowance)
    if comparison.fits or allowance.absolute < ROUNDING / 2:
        return comparison
    some_agree = 0 < comparison.agreeing >= comparison.total * SOME
    if comparison.max_abs >= NEAR and not some_agree:  # rounding is not so large
        return comparison
    coarse = case.arrays({**settings, **COARSE})
    drift = drift_of(fine, coarse, expected, case.model(settings).backward)
    if max(map(largest, drift.values())) <= ROUNDING / OTHERS:
        return comparison
    return compared(fine, expected, allowance, drift)


def arrays_if_run(case: Case, settings: Settings) -> Arrays:
    """The arrays of a run, by default in float64; none if it fails."""
    try:
        return case.arrays({**FINE, **settings})
    except UserError:
        return {}


def on_axes(given: Arrays, array: str, steps: int) -> Arrays:
    """Arrays of a run by cell, NaN at steps not run. Another ``array`` stands for h."""
    on_steps = dict(given)
    for name, one in given.items():
        if one.ndim == 3 and len(one) < steps:
            missing = np.full((steps - len(one), *one.shape[1:]), np.nan, one.dtype)
            on_steps[name] = np.concatenate([one, missing])
    if array == "h":
        return on_steps
    for name in given:
        base = ArrayName.of(name).base
        if base == "h" or (base == "final_h" and array == "c"):
            other = name.removesuffix("h") + array
            if other in given:
                on_steps[name] = on_steps[other]
            else:  # what only an h is made of is left out
                del on_steps[name]
    return on_steps


class Columns(NamedTuple):
    """The known numbers of EXPECTED and those of a run, each column (E,)."""

    array: Array  # position among the names
    step: Array  # `NO_STEP` of a last state
    item: Array
    unit: Array
    given: Array  # by the run
    wanted: Array
    tolerance: Array
    rounding: Array  # of the run
    is_in_row: Array  # EXPECTED is not 0 in all units of its step

    def subset(self, which: Array) -> Columns:
        """Some of the numbers."""
        return Columns(*(column[which] for column in self))


class Axes(NamedTuple):
    """The arrays, steps and sequences by which known numbers are counted."""

    names: Sequence[str]  # of arrays, in the order of a step
    steps: int
    batch: int


def compared(
    given: Arrays,
    expected: Expected,
    allowance: Allowance,
    drift: Arrays | None = None,
) -> Agreement:
    """Compare the arrays of a run with EXPECTED.

    ``drift``, by name, broadcasts with the arrays and widens the tolerances.
    """
    if not expected.is_in(given):
        return NEVER
    names = sorted(expected.arrays, key=_in_step_order)
    steps = batch = 0
    parts = []
    for n, name in enumerate(names):
        array = given[name]
        batch = array.shape[-2]
        if array.ndim == 3:
            steps = max(steps, len(array))
        rounding = None if drift is None else drift[name]
        parts.append(_columns(n, array, expected.arrays[name], allowance, rounding))
    if not parts:
        return NOTHING
    every = Columns(*map(np.concatenate, zip(*parts, strict=True)))
    wider, is_blind = widened(every.rounding, every.wanted)
    numbers = every._replace(tolerance=every.tolerance + wider)
    if is_blind.any():
        numbers = numbers.subset(~is_blind)
        if len(numbers.wanted) < LEAST_COMPARED:
            return NEVER
    return _agreement(Axes(names, steps, batch), numbers, int(is_blind.sum()))


def _columns(
    n: int,
    given: Array,
    known: KnownValues,
    allowance: Allowance,
    rounding: Array | None,
) -> Columns:
    """The known numbers of the n-th array."""
    at = np.nonzero(np.isfinite(known.values))
    wanted = known[at]
    values = given[at]
    of_run = np.zeros(len(values))
    if rounding is not None:
        of_run = np.broadcast_to(rounding, given.shape)[at]
        of_run = np.where(np.isfinite(values), of_run, 0)  # NaN is not rounding
    step = at[0] if len(at) == 3 else np.full(len(values), NO_STEP)
    return Columns(
        np.full(len(values), n),
        step,
        at[-2],
        at[-1],
        values,
        wanted.values,
        allowance.of(wanted),
        of_run,
        np.any(known.values != 0, axis=-1)[at[:-1]],
    )


def widened(rounding: Array, wanted: Array) -> tuple[Array, Array]:
    """By how much our rounding widens tolerances, and where a number can be anything."""
    wider = np.where(rounding > GROWN, OTHERS_GROWN, OTHERS) * rounding
    return wider, wider > BLIND * np.maximum(1, np.abs(wanted))


def _agreement(axes: Axes, numbers: Columns, blind: int) -> Agreement:
    """The figures of the numbers that are compared; ``blind`` is how many are not."""
    off = np.abs(numbers.given - numbers.wanted)
    off = np.where(np.isfinite(off), off, np.inf)
    share = np.where(off == 0, 0, off / numbers.tolerance)
    is_wrong = share > 1
    squares = np.minimum(off, FARTHEST) ** 2
    has_step = numbers.step < NO_STEP
    return Agreement(
        worst=largest(share),
        max_abs=largest(off),
        rms=math.sqrt(float(squares.sum()) / max(len(off), 1)),
        agreeing=int((~is_wrong).sum()),
        total=len(off),
        first=_first_mismatch(axes.names, numbers, is_wrong),
        growth=max(1.0, largest(numbers.rounding) / ROUNDING),
        items=_agreeing(numbers.item, is_wrong, axes.batch),
        zeros=_zeros(numbers, is_wrong),
        blind=blind,
        steps=_agreeing(numbers.step[has_step], is_wrong[has_step], axes.steps),
        arrays=_agreeing_by_array(axes.names, numbers.array, is_wrong),
        snr=_signal_to_noise(numbers, squares, len(axes.names)),
    )


def _agreeing_by_array(
    names: Sequence[str], array: Array, is_wrong: Array
) -> tuple[tuple[str, int, int], ...]:
    """Each array, how many of its numbers agree, and how many there are."""
    known = np.bincount(array, minlength=len(names)).tolist()
    right = np.bincount(array[~is_wrong], minlength=len(names)).tolist()
    return tuple(zip(names, right, known, strict=True))


def _first_mismatch(
    names: Sequence[str], numbers: Columns, is_wrong: Array
) -> Mismatch | None:
    """The first wrong number in the order of steps."""
    wrong = np.flatnonzero(is_wrong)
    if not len(wrong):
        return None
    n = wrong[numbers.step[wrong].argmin()]
    step = int(numbers.step[n])
    return Mismatch(
        names[numbers.array[n]],
        None if step == NO_STEP else step,
        int(numbers.item[n]),
        int(numbers.unit[n]),
        float(numbers.given[n]),
        float(numbers.wanted[n]),
    )


def _signal_to_noise(numbers: Columns, squares: Array, count: int) -> float:
    """EXPECTED / the difference, both as rms, of the worst array."""
    # weights of bincount are float64; a run may be longdouble
    wanted = numbers.wanted.astype(np.float64)
    signal = np.bincount(numbers.array, wanted**2, count)
    noise = np.bincount(numbers.array, squares.astype(np.float64), count)
    least = np.min(signal / noise, where=noise > 0, initial=np.inf)
    return math.sqrt(float(least))


def _zeros(numbers: Columns, is_wrong: Array) -> Zeros | None:
    """Where EXPECTED is 0, in a row that is not, and a run is not."""
    wanted, unit, step = numbers.wanted, numbers.unit, numbers.step
    is_zero = is_wrong & numbers.is_in_row & (wanted == 0)
    if not is_zero.any():
        return None
    units = np.setdiff1d(unit, unit[wanted != 0])  # that are 0 throughout
    if not np.isin(unit[is_zero], units).all():
        units = units[:0]
    below = float(np.abs(numbers.given[is_zero]).max())
    others = np.abs(wanted[wanted != 0])
    if others.size and (others <= below).mean() > FEW_SMALL:
        below = 0.0
    has_any = np.isin(np.unique(step[step < NO_STEP]), step[is_zero])
    steps = () if has_any.all() else tuple(has_any.tolist())
    return Zeros(int(is_zero.sum()), units.tolist(), below, steps)


def _agreeing(index: Array, is_wrong: Array, count: int) -> tuple[bool | None, ...]:
    """Tell of each index whether all known numbers agree; None: none is known."""
    known = np.bincount(index, minlength=count)
    wrong = np.bincount(index[is_wrong], minlength=count)
    agreeing: list[bool | None] = (wrong == 0).tolist()
    for n in np.flatnonzero(known == 0):
        agreeing[n] = None
    return tuple(agreeing)


def _in_step_order(name: str) -> tuple[Any, ...]:
    part = ArrayName.of(name)
    return *part.layer, [*STEP_ORDER, part.base].index(part.base)


def drift_of(
    fine: Arrays, coarse: Arrays, expected: Expected, backward: bool
) -> Arrays:
    """How far a run in float32 is from one in float64, for each array of EXPECTED.

    The largest so far, over all sequences and units: (T, 1, 1); or (1, 1) for a last state, which
    may be as far off as any step. Where a cell runs backward, errors may reach any step.
    """
    drift: dict[str, Array] = {}
    for name, known in expected.arrays.items():
        steps = name.replace("final_", "")
        of_run = steps if steps in fine and steps in coarse else name
        off = np.nan_to_num(np.abs(fine[of_run] - coarse[of_run]), nan=np.inf)
        if known.values.ndim == 3 and not backward:
            so_far = np.maximum.accumulate(off.max(axis=(1, 2), initial=0))
            drift[name] = so_far[:, None, None]
        else:
            drift[name] = np.full(known.values.ndim * (1,), largest(off))
    return drift


def moved(case: Case, changes: Changes, allowance: Allowance) -> int:
    """How many distinct numbers of EXPECTED the changes move.

    All, without changes or where it cannot be run.
    """
    expected = case.expected
    loaded = arrays_if_run(case, {})
    answer = arrays_if_run(case, settings_of(changes))
    if not (changes and loaded and answer):
        return expected.distinct(allowance)
    off = expected.at_known(lambda name, _: answer[name] - loaded[name])
    slack = expected.at_known(lambda _, known: allowance.of(known))
    return expected.distinct(allowance, np.abs(off) > slack)


def vanishing(changes: Changes, verify: Callable[[Changes], Agreement]) -> bool:
    """Tell whether a clip only makes a cell vanish: a much tighter one fits as well."""
    tighter = []
    for one in changes:
        if one.setting.endswith("_clip") and one.value:
            tighter.append(Change(one.setting, one.value * LESS))
        else:
            tighter.append(one)
    return tuple(tighter) != changes and verify(tuple(tighter)).fits
