"""Whether a reading gives EXPECTED: it is run as `lstm run` runs it, and compared.

Rounding grows where a net is chaotic, so a run in float32 next to the one in float64 says how much.
Where it grows a thousandfold, a free run proves nothing any more: each step is then started from
EXPECTED's own h, with c carried on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstmcli.core.diff.alignment import FINAL, STEP_ORDER, ArrayName
from lstmcli.core.explain.bench import Allowance
from lstmcli.core.explain.data import Expected, Known
from lstmcli.core.explain.per_cell import by_cell
from lstmcli.core.explain.space import Changes, settings_of, spelled_out
from lstmcli.core.forward.run import run
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Model, Trace, as_time_major
from lstmcli.errors import UserError

Arrays = Mapping[str, Array]
"""By name."""
Reader = Callable[[Mapping[str, Any]], Model]
"""From settings, beside those that were given, to the model."""

EPS32 = float(np.finfo(np.float32).eps)
ROUNDING = 8 * EPS32  # what the absolute part of the tolerance stands for
OTHERS = 4.0  # times our own rounding that others may have, who add up in another order
CHAOTIC = 1e3  # times the usual rounding
SINGLE = Allowance(1e-6, 1.3e-6, "float32")  # 8 eps: a run in another order of operations
ROOM = 2**26  # bytes of runs that are kept
SMALL = 1e-2  # a difference that rounding may make without chaos
FEW, A_FEW = 3, 0.05  # numbers, or a share of all, that may be wrong by themselves
SOME = 0.02  # of all numbers: the first steps of a chaotic net still agree


class Kept:
    """Arrays of runs, kept as long as they take little room."""

    def __init__(self) -> None:
        self._runs: dict[tuple[Any, ...], Arrays] = {}
        self._parts: dict[tuple[Any, ...], Kept] = {}
        self._room = ROOM

    def arrays(self, key: tuple[Any, ...], run: Callable[[], Arrays]) -> Arrays:
        """What is kept under a key, or what the run gives."""
        if (found := self._runs.get(key)) is not None:
            return found
        found = run()
        room = sum(array.nbytes for array in found.values())
        if room <= self._room:
            self._room -= room
            self._runs[key] = found
        return found

    def of(self, *part: Any) -> Kept:
        """The runs on a part of the inputs."""
        return self._parts.setdefault(part, Kept())


@dataclass(frozen=True, eq=False)
class Case:
    """What was asked: weights behind a reader, inputs, and EXPECTED by layout."""

    read: Reader
    x: Array
    layout: str  # "steps", "batch", "time": as assumed
    expected: Mapping[str, Expected]  # by layout
    initial_state: Mapping[str, Array] = field(default_factory=dict)
    lengths: Array | None = None
    mask: Array | None = None
    given: Mapping[str, Any] = field(default_factory=dict)  # settings of files and options
    kept: Kept | None = None  # runs that other places of EXPECTED are compared with too

    def trace(self, settings: Mapping[str, Any]) -> tuple[Trace, Model]:
        """Run under settings; those of the data alone are left out."""
        array = settings.get("array", "h")
        settings = {k: v for k, v in settings.items() if k != "array"}
        settings = spelled_out(settings, self.given)
        layout = settings.get("layout", self.layout)
        model = self.read(settings)
        keep = self._names(array)
        trace = run(
            model, self.x, keep, layout=None if layout == "steps" else layout,
            initial_state=self.initial_state, lengths=self.lengths, mask=self.mask,
        )  # fmt: skip
        return trace, model

    def arrays(self, settings: Mapping[str, Any], array: str) -> Arrays:
        """What a run gives, as EXPECTED lies; ``array`` is what its h holds."""
        if self.kept is None:
            return arrays_of(*self.trace(settings), array)
        key = (self.layout, self._names(array), array, *sorted(settings.items()))
        return self.kept.arrays(key, lambda: arrays_of(*self.trace(settings), array))

    def _names(self, array: str) -> tuple[str, ...]:
        first = next(iter(self.expected.values()))
        alone = set(first.sequences) == {"h"} and not first.finals and array == "h"
        return ("h",) if alone else ("h", "c", "i", "f", "g", "o")


@dataclass(frozen=True)
class Place:
    """Where a run first leaves EXPECTED."""

    array: str
    step: int | None
    row: int
    unit: int
    given: float
    expected: float


@dataclass(frozen=True)
class Verdict:
    """How a run of a reading compares with EXPECTED."""

    worst: float  # the greatest difference, in tolerances
    max_abs: float
    rms: float
    agreeing: int
    total: int
    first: Place | None
    growth: float = 1.0  # how many times the usual rounding this net makes
    forced: bool = False  # judged step by step, from EXPECTED's own h
    rows: tuple[bool | None, ...] = ()  # of the batch: whether all of it agrees; None: not known
    zeros: int = 0  # numbers that are exactly 0 in EXPECTED and not in the run

    @property
    def fits(self) -> bool:
        """Whether every known number of EXPECTED is met."""
        return self.worst <= 1

    @property
    def nearly(self) -> bool:
        """Whether all but a few numbers agree: they are wrong then, and not a convention."""
        return 0 < self.agreeing >= self.total - max(FEW, int(self.total * A_FEW))


NEVER = Verdict(np.inf, np.inf, np.inf, 0, 0, None)
"""Of a reading that cannot be run at all."""


def rerun(case: Case, changes: Changes, allowance: Allowance, verdict: Verdict) -> Verdict:
    """The run that `lstm run` does, in the number type of the weights."""
    settings = settings_of(changes)
    expected = _expected(case, settings)
    if expected is None:
        return NEVER
    with np.errstate(all="ignore"):
        trace, model = case.trace(settings)
    given = arrays_of(trace, model, settings.get("array", "h"))
    own = SINGLE if model.cell.dtype == np.float32 else allowance
    wider = max(allowance, own, key=lambda a: a.absolute)
    return compared(given, expected, wider, max(1.0, 4 * verdict.growth))


def judged(case: Case, changes: Changes, allowance: Allowance, forced: Forced = None) -> Verdict:
    """Run a reading, and compare.

    ``forced`` gives the arrays of a run whose every step starts from EXPECTED's h, where the case
    allows that.
    """
    settings = settings_of(changes)
    array = settings.get("array", "h")
    expected = _expected(case, settings)
    if expected is None:
        return NEVER
    with np.errstate(all="ignore"):
        try:
            fine = case.arrays({**settings, "dtype": "float64"}, array)
        except UserError:
            return NEVER
        verdict = compared(fine, expected, allowance)
        if verdict.fits or allowance.absolute < ROUNDING / 2 or not _may_be_rounding(verdict):
            return verdict
        coarse = case.arrays({**settings, "dtype": "float32"}, array)
    growth = _growth(fine, coarse, expected)
    if OTHERS * growth <= 1:
        return verdict
    if growth <= CHAOTIC:
        growth = min(OTHERS * growth, CHAOTIC)
        return compared(fine, expected, allowance, growth)
    if forced is None:
        return verdict
    arrays = forced(changes)
    if arrays is None:
        return verdict
    return compared(arrays, expected, allowance, growth, forced=True)


def _may_be_rounding(verdict: Verdict) -> bool:
    """Whether rounding could be behind a difference: it is small, or some numbers agree."""
    return verdict.max_abs < SMALL or verdict.agreeing >= verdict.total * SOME


def shares(case: Case, changes: Changes, allowance: Allowance) -> Array | None:
    """How far a run of a reading is off at each known number, in tolerances; None if it fails."""
    settings = settings_of(changes)
    expected = _expected(case, settings)
    try:
        given = case.arrays({**settings, "dtype": "float64"}, "h")
    except UserError:
        return None
    if expected is None:
        return None
    for name, known in expected.all():
        if name not in given or given[name].shape != known.values.shape:
            return None
    off = expected.at_known(lambda name, known: (given[name] - known.values) / allowance.of(known))
    return np.nan_to_num(off, nan=np.inf)


Forced = Callable[[Changes], "Arrays | None"] | None


def _expected(case: Case, settings: Mapping[str, Any]) -> Expected | None:
    return case.expected.get(settings.get("layout", case.layout))


def arrays_of(trace: Trace, model: Model, array: str) -> Arrays:
    """A trace as EXPECTED lies, (T, B, K) and last states (B, K); h is what was asked for."""
    given = by_cell(trace.members(), model, trace.layout)
    for name, values in given.items():
        if ArrayName.of(name).kind == FINAL:
            given[name] = values.reshape(-1, values.shape[-1])
        elif values.ndim < 4:
            given[name] = as_time_major(values, trace.layout)
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


def compared(
    given: Mapping[str, Array],
    expected: Expected,
    allowance: Allowance,
    growth: float = 1.0,
    forced: bool = False,
) -> Verdict:
    """Hold arrays against EXPECTED."""
    if forced:
        allowance = allowance._replace(absolute=10 * allowance.absolute)
    elif growth > 1:
        allowance = allowance._replace(absolute=growth * allowance.absolute)
    worst = greatest = squares = 0.0
    agreeing = total = 0
    first: Place | None = None
    rows: list[bool | None] = []
    zeros = 0
    for name, known in _in_step_order(expected):
        values = given.get(name)
        if values is None or values.shape != known.values.shape:
            return NEVER
        is_known = np.isfinite(known.values)
        off = np.where(is_known, np.abs(values - np.where(is_known, known.values, 0)), 0)
        off = np.where(np.isfinite(off), off, np.inf)
        share = off / np.where(is_known, allowance.of(known), 1)
        worst = max(worst, float(share.max(initial=0)))
        greatest = max(greatest, float(off.max(initial=0)))
        squares += float((np.minimum(off, 1e6) ** 2).sum())
        total += int(is_known.sum())
        agreeing += int((is_known & (share <= 1)).sum())
        zeros += int(((known.values == 0) & (share > 1)).sum())
        rows = _rows(rows or [None] * known.values.shape[-2], is_known, share <= 1)
        if (share > 1).any():
            first = _earlier(first, _first_place(name, share > 1, values, known.values))
    rms = float(np.sqrt(squares / max(total, 1)))
    return Verdict(
        worst, greatest, rms, agreeing, total, first, growth, forced, tuple(rows), zeros
    )  # fmt: skip


def _rows(before: list[bool | None], is_known: Array, right: Array) -> list[bool | None]:
    """Whether each row of the batch agrees, with one more array (..., B, K) looked at."""
    axes = tuple(n for n in range(is_known.ndim) if n != is_known.ndim - 2)
    now, known = np.all(right | ~is_known, axis=axes), np.any(is_known, axis=axes)  # (B,)
    return [bool(now[n]) and was is not False if known[n] else was for n, was in enumerate(before)]


def _in_step_order(expected: Expected) -> Iterator[tuple[str, Known]]:
    def rank(item: tuple[str, Known]) -> tuple[Any, ...]:
        part = ArrayName.of(item[0])
        place = STEP_ORDER.index(part.base) if part.base in STEP_ORDER else len(STEP_ORDER)
        return (*part.layer, place)

    return iter(sorted(expected.all(), key=rank))


def _first_place(name: str, wrong: Array, given: Array, expected: Array) -> Place:
    at = tuple(int(n) for n in np.argwhere(wrong)[0])
    step, row, unit = (at[0], at[1], at[2]) if len(at) == 3 else (None, at[-2], at[-1])
    return Place(name, step, row, unit, float(given[at]), float(expected[at]))


def _earlier(one: Place | None, other: Place) -> Place:
    if one is None or one.step is None:
        return one or other
    return other if other.step is not None and other.step < one.step else one


def _growth(fine: Mapping[str, Array], coarse: Mapping[str, Array], expected: Expected) -> float:
    """How many times the usual rounding of float32 shows in the arrays of EXPECTED."""
    greatest = 0.0
    for name, known in expected.all():
        if name in fine and fine[name].shape == coarse[name].shape == known.values.shape:
            off = np.abs(fine[name] - coarse[name])[np.isfinite(known.values)]
            greatest = max(greatest, float(np.nan_to_num(off).max(initial=0)))
    return greatest / ROUNDING
