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
    OPEN,
    SHUT,
    Change,
    Changes,
    Settings,
    settings_of,
    spelled_out,
)
from lstmcli.core.explain.observation import (
    EPS,
    EPS32,
    NEAR,
    SINGLE,
    Allowance,
    Arrays,
    Expected,
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
SATURATING = 5.0  # a forget bias that may hold the gate at 0 or 1 by itself
FAR_BIAS = 100.0  # a forget bias that does
# of a clip: if one so much tighter fits too, it only makes a cell vanish
LESS = 0.1
# Of the other numbers, as small as those that a table gives as 0: with steps of 1/8 to 1/32 it was
# at most 0.22 in 12 nets, and of dropout and relu nearly 1.
FEW_SMALL = 0.5
NO_STEP = 2**31  # stands for that of a last state, after all others
SOME = 0.02  # of all numbers: the first steps of a chaotic net still agree


def _nbytes(of: Any) -> int:
    """The memory of arrays, in whatever they are collected."""
    parts = (
        of.values()
        if isinstance(of, Mapping)
        else of
        if isinstance(of, tuple | list)
        else ()
    )
    return sum(map(_nbytes, parts)) + getattr(of, "nbytes", 0)


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
        found: T = self._runs[key] if key in self._runs else run()
        if key not in self._runs and (size := _nbytes(found)) <= self._room:
            self._room -= size
            self._runs[key] = found
        return found


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
        is_of_data = {
            "array": True,
            "lengths": isinstance(settings.get("lengths"), tuple),
        }
        of_model = {k: v for k, v in settings.items() if not is_of_data.get(k)}
        return self.read(spelled_out(of_model, self.given))

    def inputs(self, settings: Settings) -> Inputs:
        """The inputs of a run."""
        inputs = replace(
            self.data, layout=None if self.layout == "steps" else self.layout
        )
        found = settings.get("lengths")
        is_found = isinstance(found, tuple)
        return (
            replace(inputs, lengths=np.array(found), mask=None) if is_found else inputs
        )

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
        output = (Y,) if names & {*OF_HEAD} else ()
        of_cells = names - {*OF_HEAD}
        if of_cells <= {"h"} and "array" not in settings:
            return "h", *output
        z = "z" * any(name.endswith("z") for name in names)
        return *"hcifgo", *z, *output


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
        return {
            name.replace("item", "batch"): jsonable(one)
            for name, one in vars(self).items()
        }


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
        most_agree = any(2 * agreeing > total for _, agreeing, total in self.arrays)
        return not (
            any((*self.steps, *self.items)) or most_agree or self.total < LEAST_COMPARED
        )


NEVER = Agreement(np.inf, np.inf, np.inf, 0, 0, None)
"""Of a hypothesis that cannot be run at all."""


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


@dataclass(frozen=True)
class Answer:
    """A hypothesis that was run: its changes with constants, and how it compares."""

    changes: Changes
    comparison: Agreement
    solved: int = 0  # constants that were solved for
    rounded: str = ""  # the part that is rounded to half precision

    @property
    def of_settings(self) -> Changes:
        """The changes without the rounding of a part."""
        return tuple(one for one in self.changes if one.setting != "dtype")


def rerun(case: Case, changes: Changes, allowance: Allowance) -> Agreement:
    """Compare the run that `lstm run` does, in the dtype of the weights.

    In half precision no other order of operations is allowed for.
    """
    settings, expected = settings_of(changes), case.expected
    given, model = case.arrays(settings), case.model(settings)
    of_weights = SINGLE if model.cell.dtype == np.float32 else allowance
    wider = max(allowance, of_weights, key=lambda a: a.absolute)
    comparison = compared(given, expected, wider)
    if comparison.fits or model.given.get("dtype", model.cell.dtype.name) in EPS:
        return comparison
    fine = case.arrays({**settings, **FINE})
    return compared(
        given, expected, wider, drift_of(fine, given, expected, model.backward)
    )


def verify(case: Case, changes: Changes, allowance: Allowance) -> Agreement:
    """Run a hypothesis, and compare it with EXPECTED."""
    settings, expected = settings_of(changes), case.expected
    fine = arrays_if_run(case, settings)
    comparison = compared(fine, expected, allowance)
    # rounding may make a small difference, or one where some numbers agree
    may_be = (
        comparison.max_abs < NEAR or 0 < comparison.agreeing >= comparison.total * SOME
    )
    if comparison.fits or allowance.absolute < ROUNDING / 2 or not may_be:
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
    found = dict(given)
    for name, one in given.items():
        if one.ndim == 3 and len(one) < steps:
            missing = np.full((steps - len(one), *one.shape[1:]), np.nan, one.dtype)
            found[name] = np.concatenate([one, missing])
    for name in given if array != "h" else ():
        part = ArrayName.of(name)
        if part.base == "h" or (part.base == "final_h" and array == "c"):
            del found[name]  # what only an h is made of is left out
            other = name.removesuffix("h") + array
            found |= {name: found[other]} if other in given else {}
    return found


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
    names, axes = sorted(expected.arrays, key=_in_step_order), (0, 0)
    places, numbers = [np.zeros((4, 0), int)], [np.zeros((5, 0))]
    for n, name in enumerate(names):
        known, of_run = expected.arrays[name], given[name]
        axes = max(axes, (0, *of_run.shape)[-3:-1])
        at = np.nonzero(np.isfinite(known.values))
        values, wanted = of_run[at], known[at]
        rounding = np.broadcast_to(0.0 if drift is None else drift[name], of_run.shape)[
            at
        ]
        rounding = np.where(np.isfinite(values), rounding, 0)  # NaN is not rounding
        in_row = np.any(known.values != 0, axis=-1)[at[:-1]]  # not of zeros throughout
        of_each = values, wanted.values, allowance.of(wanted), rounding, in_row
        numbers.append(np.stack(of_each))
        array, step = np.full((2, len(values)), [[n], [NO_STEP]])
        places.append(np.stack([array, at[0] if len(at) == 3 else step, *at[-2:]]))
    return _comparison(names, axes, *(np.hstack(of) for of in (places, numbers)))


def widened(rounding: Array, wanted: Array) -> tuple[Array, Array]:
    """By how much our rounding widens tolerances, and where a number can be anything."""
    wider = np.where(rounding > GROWN, OTHERS_GROWN, OTHERS) * rounding
    return wider, wider > BLIND * np.maximum(1, np.abs(wanted))


def _comparison(
    names: Sequence[str],
    axes: tuple[int, ...],
    places: Array,
    numbers: Array,
) -> Agreement:
    """The figures of known numbers of a run of this many steps and sequences.

    ``places`` (4, E) has the position among the names, step, sequence and unit; ``numbers`` (5, E)
    what the run gives, what is wanted, the tolerance, our rounding, and whether not all of its row
    is 0.
    """
    rounding = numbers[3]
    wider, is_blind = widened(rounding, numbers[1])
    blind = int(is_blind.sum())
    seen: Any = ~is_blind if blind else slice(None)  # a view, and no copy
    array, step, item, unit = places[:, seen]
    values, wanted, tolerance, rounding, in_row = numbers[:, seen]
    total = len(values)
    if blind and total < LEAST_COMPARED:
        return NEVER
    off = np.abs(values - wanted)
    off = np.where(np.isfinite(off), off, np.inf)
    share = np.where(off == 0, 0, off / (tolerance + wider[seen]))
    wrong, squares = share > 1, np.minimum(off, FARTHEST) ** 2
    signal, noise = (np.bincount(array, of, len(names)) for of in (wanted**2, squares))
    known, right = (
        np.bincount(of, minlength=len(names)) for of in (array, array[~wrong])
    )

    def mismatch(n: int) -> Mismatch:
        at = None if step[n] == NO_STEP else int(step[n])
        both = float(values[n]), float(wanted[n])
        return Mismatch(names[array[n]], at, int(item[n]), int(unit[n]), *both)

    first = np.flatnonzero(wrong)[np.argsort(step[wrong], kind="stable")[:1]].tolist()
    has_step = step < NO_STEP
    return Agreement(
        worst=largest(share),
        max_abs=largest(off),
        rms=math.sqrt(float(squares.sum()) / max(total, 1)),
        agreeing=int((~wrong).sum()),
        total=total,
        first=next(map(mismatch, first), None),
        growth=max(1.0, largest(rounding) / ROUNDING),
        items=_agreeing(item, wrong, axes[1]),
        zeros=_zeros(values, wanted, step, unit, wrong & (in_row > 0)),
        blind=blind,
        steps=_agreeing(step[has_step], wrong[has_step], axes[0]),
        arrays=tuple(zip(names, right.tolist(), known.tolist(), strict=True)),
        snr=math.sqrt(float(np.min(signal / noise, where=noise > 0, initial=np.inf))),
    )


def _zeros(
    values: Array, wanted: Array, step: Array, unit: Array, counts: Array
) -> Zeros | None:
    """Where EXPECTED is 0, of the numbers that count, and a run is not."""
    is_zero = counts & (wanted == 0)
    if not is_zero.any():
        return None
    units = np.setdiff1d(unit, unit[wanted != 0])  # that are 0 throughout
    if not np.isin(unit[is_zero], units).all():
        units = units[:0]
    below = float(np.abs(values[is_zero]).max())
    others = np.abs(values[wanted != 0])
    if others.size and (others <= below).mean() > FEW_SMALL:
        below = 0.0
    steps = np.isin(np.unique(step[step < NO_STEP]), step[is_zero])
    return Zeros(
        int(is_zero.sum()),
        units.tolist(),
        below,
        () if steps.all() else tuple(steps.tolist()),
    )


def _agreeing(index: Array, wrong: Array, count: int) -> tuple[bool | None, ...]:
    known, bad = (
        np.bincount(of, minlength=count).tolist() for of in (index, index[wrong])
    )
    pairs = zip(known, bad, strict=True)
    return tuple(not is_bad if is_known else None for is_known, is_bad in pairs)


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
    found: dict[str, Array] = {}
    for name, known in expected.arrays.items():
        steps = name.replace("final_", "")
        of_run = steps if steps in fine and steps in coarse else name
        off = np.nan_to_num(np.abs(fine[of_run] - coarse[of_run]), nan=np.inf)
        if known.values.ndim == 3 and not backward:
            found[name] = np.maximum.accumulate(off.max(axis=(1, 2), initial=0))[
                :, None, None
            ]
        else:
            found[name] = np.full(known.values.ndim * (1,), largest(off))
    return found


def moved(case: Case, changes: Changes, allowance: Allowance) -> int:
    """How many distinct numbers of EXPECTED the changes move.

    All, without changes or where it cannot be run.
    """
    expected = case.expected
    loaded, answer = (arrays_if_run(case, settings_of(one)) for one in ((), changes))
    if not (changes and loaded and answer):
        return expected.distinct(allowance)
    off = expected.at_known(lambda name, _: answer[name] - loaded[name])
    slack = expected.at_known(lambda _, known: allowance.of(known))
    return expected.distinct(allowance, np.abs(off) > slack)


def vanishing(changes: Changes, verify: Callable[[Changes], Agreement]) -> bool:
    """Tell whether a clip only makes a cell vanish: a much tighter one fits as well."""
    settings = settings_of(changes)
    clips = {k: v * LESS for k, v in settings.items() if k.endswith("_clip") and v}
    tighter = map(Change._make, {**settings, **clips}.items())
    return bool(clips) and verify(tuple(tighter)).fits


def forget_gate_state(changes: Changes, verify: Callable[[Changes], Agreement]) -> str:
    """``open`` or ``shut`` if a far greater forget bias fits as well, or empty."""
    settings = settings_of(changes)
    bias = settings.get("forget_bias", 0.0)
    if abs(bias) < SATURATING:
        return ""
    settings["forget_bias"] = math.copysign(FAR_BIAS, bias)
    far = tuple(map(Change._make, settings.items()))
    return (OPEN if bias > 0 else SHUT) if verify(far).fits else ""
