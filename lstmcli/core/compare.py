"""Two sides of named arrays -> how they differ, and where first in the order of computation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.alignment import FINAL, FINALS, STEP_ORDER, WEIGHTS, ArrayName, Pair, align
from lstmcli.core.cases import Case, Hint
from lstmcli.core.gaps import Before, said, shapes_like, whole
from lstmcli.core.hints import find_hints
from lstmcli.core.tolerance import (
    FLOAT32,
    Mask,
    Numbers,
    Precision,
    Tolerance,
    coarser,
    excess,
    greatest,
    jsonable,
    precision_of,
    tolerance,
    ulps,
    widened,
)
from lstmcli.errors import UserError

Array = npt.NDArray[Any]

LONE = ""
"""What readers call an array that came without a name; here it is `h`."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: named arrays, and what its file said about them."""

    name: str  # how messages call it
    arrays: Mapping[str, Array]  # a lone one may be called ""
    layout: str | None = None  # "steps" (T, H), "time" (T, B, H), "batch" (B, T, H); None: not said
    units: Mapping[str, Array] = field(default_factory=dict)  # of printed text: the last place
    dtypes: Mapping[str, np.dtype[Any]] = field(default_factory=dict)  # where not the array's own
    settings: Mapping[str, Any] | None = None  # a trace's ``meta``
    gaps: Mapping[str, Before] = field(default_factory=dict)  # of prints whose shape nobody told
    format: str = ""  # "npz", "text", ...

    def numbers(self, name: str) -> Numbers:
        """One array with the units of its print; bools and whole numbers as float64.

        Raises
        ------
        UserError
            if it holds something else.
        """
        array = self.arrays[name]
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise UserError(
                f"{self.name}: {name or 'the array'} holds {array.dtype}, not numbers to compare."
            )
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
        return Numbers(array, self.units.get(name))

    def precision(self, name: str) -> Precision:
        """The precision in which an array counts; a print that does not say counts as float32."""
        if name in self.dtypes:
            return precision_of(self.dtypes[name])
        return FLOAT32 if name in self.units else precision_of(self.arrays[name].dtype)


@dataclass(frozen=True)
class Place:
    """An element and its two values.

    ``index`` is that of weights, which have no steps; final states have a row and a unit only.
    """

    array: str
    a: float
    b: float
    step: int | None = None
    batch: int | None = None
    unit: int | None = None
    index: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The place without the name of its array."""
        values = {"a": jsonable(self.a), "b": jsonable(self.b)}
        if self.index is not None:
            return {"index": list(self.index)} | values
        return {"step": self.step, "batch": self.batch, "unit": self.unit} | values


@dataclass(frozen=True, eq=False)
class ArrayDifference:
    """How one array of a differs from the one of the same name in b.

    With different shapes nothing can be counted: ``mismatched`` and all figures are None.
    """

    name: str
    equal: bool
    shapes: tuple[tuple[int, ...], tuple[int, ...]]  # as in the files
    aligned: tuple[tuple[int, ...], tuple[int, ...]]
    placed: bool  # aligned to (T, B, H), or (1, B, H) for a final state
    tolerance: Tolerance
    mismatched: int | None = None
    total: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    max_ulp: float | int | None = None  # None as well for printed text
    abs_at: Place | None = None
    rel_at: Place | None = None
    ulp_at: Place | None = None
    first: Place | None = None  # in the order of computation
    smallest_atol: float | None = None  # with rtol 0; None if no atol lets it pass
    step_errors: Array | None = None  # (T,) greatest absolute error of each step
    step_mismatches: Array | None = None  # (T,) elements out of tolerance
    left_out: int = 0  # elements that a print left out: not compared, and no part of ``total``

    def to_json(self) -> dict[str, Any]:
        """The figures; ``shape`` is that of a, or both where they cannot be aligned."""
        one, other = (list(shape) for shape in self.shapes)
        return {
            "equal": self.equal,
            "shape": [one, other] if self.mismatched is None else one,
            "mismatched": self.mismatched,
            "total": self.total,
            "max_abs": jsonable(self.max_abs),
            "max_rel": jsonable(self.max_rel),
            "max_ulp": jsonable(self.max_ulp),
            "first": self.first.to_json() if self.first else None,
        } | ({"left_out": self.left_out} if self.left_out else {})


@dataclass(frozen=True, eq=False)
class Difference:
    """The arrays that two sides share, compared."""

    arrays: dict[str, ArrayDifference]
    first_divergence: Place | None
    only_in_a: list[str]
    only_in_b: list[str]
    hints: list[Hint]
    rtol: float | None  # None: arrays of several precisions were each given their own, or --ulp
    atol: float | None
    remarks: tuple[str, ...] = ()  # what no file said and had to be assumed
    settings: Mapping[str, tuple[Any, Any]] | None = None  # that differ; None: a side has none

    @property
    def equal(self) -> bool:
        """Whether every shared array agrees."""
        return all(array.equal for array in self.arrays.values())

    def to_json(self) -> dict[str, Any]:
        """The whole comparison as JSON can hold it; non-finite numbers are words.

        ``settings`` is there only where both sides say how they were made: name to [of a, of b].
        """
        first = self.first_divergence
        return {
            "equal": self.equal,
            "rtol": jsonable(self.rtol),
            "atol": jsonable(self.atol),
            "arrays": {name: array.to_json() for name, array in self.arrays.items()},
            "first_divergence": {"array": first.array} | first.to_json() if first else None,
            "only_in_a": self.only_in_a,
            "only_in_b": self.only_in_b,
            "hints": [{"code": hint.code, "text": hint.text} for hint in self.hints],
        } | ({} if self.settings is None else {"settings": dict(self.settings)})


def compare(
    a: Side,
    b: Side,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    equal_nan: bool = False,
) -> Difference:
    """Compare the arrays that two sides share by name.

    ``|a - b| <= atol + rtol |b|`` must hold; b is the one that is expected. Without ``rtol``,
    ``atol`` and ``ulp`` the coarser dtype of an array decides, as in torch.testing.assert_close;
    one of rtol and atol alone leaves the other at 0. Each printed side adds half a unit of its
    last printed place, whatever is asked for.

    Raises
    ------
    UserError
        if no name is shared, a tolerance makes no sense, or ``ulp`` alone meets printed text.
    """
    by_ulp_alone = ulp is not None and rtol is None and atol is None
    a, b, common = _named_alike(a, b)
    if by_ulp_alone:
        _refuse_print(a, b, common)
    pair = _aligner(a, b, rtol, atol, ulp, equal_nan)
    pairs = {name: pair(name, name) for name in common}
    arrays = {
        name: replace(_measure(pairs[name]), shapes=(a.arrays[name].shape, b.arrays[name].shape))
        for name in common
    }
    first = _first_divergence(arrays, pairs)
    case = Case(
        pairs=pairs,
        cross=pair,
        arrays=(list(a.arrays), list(b.arrays)),
        names=_called(a, b),
        settings=(a.settings, b.settings),
        first_array=first.array if first else None,
        first_step=first.step if first else None,
        axes_assumed=first is not None and _axes_assumed(a, b, first.array),
    )
    return Difference(
        arrays=arrays,
        first_divergence=first,
        only_in_a=[name for name in a.arrays if name not in b.arrays],
        only_in_b=[name for name in b.arrays if name not in a.arrays],
        hints=find_hints(case),
        rtol=None if by_ulp_alone else _shared([x.tolerance.rtol for x in arrays.values()]),
        atol=None if by_ulp_alone else _shared([x.tolerance.atol for x in arrays.values()]),
        remarks=_remarks(a, b, common),
        settings=case.differing_settings,
    )


def matched(a: Side, b: Side) -> dict[str, Pair]:
    """The arrays that two sides share by name, laid on each other, with the tolerance of each.

    Raises
    ------
    UserError
        if no name is shared.
    """
    a, b, common = _named_alike(a, b)
    pair = _aligner(a, b)
    return {name: pair(name, name) for name in common}


def _named_alike(a: Side, b: Side) -> tuple[Side, Side, list[str]]:
    """Both sides, a lone array called h, and the names that they share."""
    a, b = _with_name(a, b), _with_name(b, a)
    common = [name for name in a.arrays if name in b.arrays]
    if not common:
        raise UserError(_nothing_shared(a, b))
    return filled(a, b, common), filled(b, a, common), common


def filled(side: Side, other: Side, names: Iterable[str]) -> Side:
    """A side whose abbreviated prints have the shapes of the other side's arrays.

    Raises
    ------
    UserError
        if they cannot have them.
    """
    turned = {side.layout, other.layout} == {"batch", "time"}
    arrays, units = dict(side.arrays), dict(side.units)
    for name in names:
        if (before := side.gaps.get(name)) is None:
            continue
        shape = other.arrays[name].shape
        numbers = whole(side.numbers(name), before, shapes_like(shape, turned))
        if name in other.gaps or numbers is None:
            raise UserError(_no_shape(side, other, name))
        arrays[name], units[name] = numbers.values, np.asarray(numbers.unit)
    return replace(side, arrays=arrays, units=units)


def _no_shape(side: Side, other: Side, name: str) -> str:
    """What to tell where nothing gives an abbreviated print its shape."""
    array = f"{name} " if name else "the array "
    shape = said(side.gaps[name], side.arrays[name].shape)
    start = f"{side.name}: {array}is abbreviated; its shape is {shape}"
    if name in other.gaps:
        return f"{start}, and {other.name} is abbreviated too: nothing tells the rest."
    return f"{start}, which {other.arrays[name].shape} of {other.name} is not."


def _aligner(
    a: Side,
    b: Side,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    equal_nan: bool = False,
) -> Callable[[str, str], Pair]:
    """What lays an array of a on one of b and gives the pair its tolerance."""

    def pair(of_a: str, of_b: str) -> Pair:
        precision = coarser(a.precision(of_a), b.precision(of_b))
        test = tolerance(precision, rtol, atol, ulp, equal_nan)
        layouts = a.layout, b.layout
        backward = _computed_backward(a, b, ArrayName.of(of_b))
        return align(of_b, a.numbers(of_a), b.numbers(of_b), test, layouts, backward)

    return pair


def _with_name(side: Side, other: Side) -> Side:
    """A lone array is h, if the other side has h or a lone array too."""
    if LONE not in side.arrays or "h" in side.arrays or not {LONE, "h"} & set(other.arrays):
        return side

    def named(mapping: Mapping[str, Any]) -> dict[str, Any]:
        return {"h" if name == LONE else name: value for name, value in mapping.items()}

    return replace(
        side, arrays=named(side.arrays), units=named(side.units), dtypes=named(side.dtypes),
        gaps=named(side.gaps),
    )  # fmt: skip


def _nothing_shared(a: Side, b: Side) -> str:
    def held(side: Side) -> str:
        names = ", ".join(
            name or "an array without a name, which counts as h" for name in side.arrays
        )
        return f"{side.name} holds {names or 'no arrays'}"

    return (
        f"no array has the same name on both sides: {held(a)};\n  {held(b)}.\n"
        "  Only arrays of one name are compared; an array without a name is h."
    )


def _refuse_print(a: Side, b: Side, common: list[str]) -> None:
    for side in (a, b):
        if any(name in side.units for name in common):
            raise UserError(
                f"{side.name} is printed text, whose hidden digits make a distance in ULPs "
                "meaningless.\n  Use --atol or --rtol, or compare files that hold every digit."
            )


def _computed_backward(a: Side, b: Side, name: ArrayName) -> bool:
    """Whether an array's last step was computed first, on all sides that say how they ran."""
    told = [side.settings for side in (a, b) if side.settings is not None]
    return all(_lies_backward(settings, name) for settings in told) if told else name.backward


def _lies_backward(settings: Mapping[str, Any], name: ArrayName) -> bool:
    """The same of one side; a backward cell runs backward unless its own ``reverse`` is false."""

    def own(setting: str, otherwise: Any) -> bool:
        return bool(settings.get(f"{name.prefix}.{setting}", otherwise))

    turned = own("reverse", name.backward or settings.get("reverse"))
    turned = turned and not own("go_backwards", settings.get("go_backwards"))
    return turned != own("flip_output", settings.get("flip_output"))


def _called(a: Side, b: Side) -> tuple[str, str]:
    return (a.name, b.name) if a.name != b.name else ("a", "b")


def _shared(values: list[float]) -> float | None:
    """The tolerance that all arrays were given, if it was one."""
    return values[0] if len(set(values)) == 1 else None


def _remarks(a: Side, b: Side, common: list[str]) -> tuple[str, ...]:
    """What the reader has to know about axes that neither side explains."""
    if a.layout or b.layout:
        return ()
    unclear = [
        name
        for name in common
        if ArrayName.of(name).base in STEP_ORDER
        and any(side.arrays[name].ndim == 3 and side.arrays[name].shape[0] > 1 for side in (a, b))
    ]
    if not unclear:
        return ()
    taken = f"the first of {', '.join(unclear)} is taken (or --layout batch)"
    return (f"neither side says which axis is time: {taken}",)


def _axes_assumed(a: Side, b: Side, name: str) -> bool:
    """Whether the axes of an array may as well be batch and time: no side says, neither is 1."""
    if a.layout or b.layout or ArrayName.of(name).base not in STEP_ORDER:
        return False
    return any(
        array.ndim == 3 and min(array.shape[:2]) > 1 for array in (a.arrays[name], b.arrays[name])
    )


def _measure(pair: Pair) -> ArrayDifference:
    """Count and measure what differs in one array."""
    shapes = pair.a.shape, pair.b.shape
    agrees = pair.agrees
    if agrees is None:
        return ArrayDifference(pair.name, False, shapes, shapes, pair.placed, pair.tolerance)
    absolute, relative, beyond = _errors(pair)
    unknown = _left_out(pair)
    apart = _ulp_errors(pair, absolute)
    by_step = (1, 2) if pair.stepwise else None
    return ArrayDifference(
        name=pair.name,
        equal=pair.equal,
        shapes=shapes,
        aligned=shapes,
        placed=pair.placed,
        tolerance=pair.tolerance,
        mismatched=int(agrees.size - np.count_nonzero(agrees)),
        total=int(agrees.size - np.count_nonzero(unknown)),
        max_abs=greatest(absolute),
        max_rel=greatest(relative),
        max_ulp=None if apart is None else _greatest_ulp(apart, absolute),
        abs_at=_place_of_greatest(pair, absolute),
        rel_at=_place_of_greatest(pair, relative),
        ulp_at=None if apart is None else _place_of_greatest(pair, apart),
        first=_first(pair),
        smallest_atol=limit if np.isfinite(limit := greatest(beyond)) else None,
        step_errors=absolute.max(axis=by_step, initial=0.0) if by_step else None,
        step_mismatches=np.count_nonzero(~agrees, axis=by_step) if by_step else None,
        left_out=int(np.count_nonzero(unknown)),
    )


def _left_out(pair: Pair) -> Mask:
    """True where a print left the element out."""
    unknown: Mask = np.zeros(pair.a.shape, bool)
    for side in (pair.a, pair.b):
        if (mask := side.left_out) is not None:
            unknown = unknown | mask
    return unknown


def _errors(pair: Pair) -> tuple[Array, Array, Array]:
    """Absolute and relative error of each element, and what a tolerance has to cover of it."""
    with np.errstate(all="ignore"):
        x, y = widened(pair.a.values, pair.b.values)
        same = (x == y) | _left_out(pair)
        if pair.tolerance.equal_nan:
            same |= np.isnan(x) & np.isnan(y)
        absolute = np.where(same, 0.0, np.abs(x - y))
        relative = np.where(same, 0.0, absolute / np.abs(y))
        relative = np.where(np.isinf(absolute), np.inf, relative)
        return absolute, relative, np.where(same, 0.0, excess(pair.a, pair.b))


def _ulp_errors(pair: Pair, absolute: Array) -> npt.NDArray[np.uint64] | None:
    """The distance of each element in ULPs, or None for printed text.

    A NaN that counts is put above all others, so that it is the place of the greatest.
    """
    if pair.a.unit is not None or pair.b.unit is not None:
        return None
    apart = ulps(pair.a.values, pair.b.values, pair.tolerance.precision)
    apart[absolute == 0] = 0  # two NaNs that count as equal may differ in their bits
    apart[np.isnan(absolute)] = np.iinfo(np.uint64).max
    return apart


def _greatest_ulp(apart: npt.NDArray[np.uint64], absolute: Array) -> float | int:
    if np.isnan(absolute).any():
        return float("nan")
    return int(apart.max(initial=0))


def _place_of_greatest(pair: Pair, errors: Array) -> Place | None:
    return _place(pair, int(np.argmax(errors))) if errors.size else None


def _first(pair: Pair) -> Place | None:
    """The first element out of tolerance, in the order in which the array was computed."""
    if pair.agrees is None or pair.equal:
        return None
    wrong = ~pair.agrees
    if not (pair.stepwise and pair.backward):
        return _place(pair, int(np.argmax(wrong)))
    last = int(np.flatnonzero(wrong.any(axis=(1, 2)))[-1])
    return _place(pair, last * wrong[last].size + int(np.argmax(wrong[last])))


def _place(pair: Pair, flat: int) -> Place:
    index = tuple(int(n) for n in np.unravel_index(flat, pair.a.shape))
    values = float(pair.a.values[index]), float(pair.b.values[index])
    if not pair.placed:
        return Place(pair.name, *values, index=index)
    step, batch, unit = index
    return Place(pair.name, *values, None if pair.kind == FINAL else step, batch, unit)


def _first_divergence(
    arrays: Mapping[str, ArrayDifference], pairs: Mapping[str, Pair]
) -> Place | None:
    """The earliest of the arrays' first places: layer by layer, step by step, z to h.

    Final states come after all steps. Weights are not computed and have no part in it.
    """
    firsts = [
        array.first
        for name, array in arrays.items()
        if array.first is not None and pairs[name].placed and pairs[name].kind != WEIGHTS
    ]

    def when(place: Place) -> tuple[Any, ...]:
        name, pair = ArrayName.of(place.array), pairs[place.array]
        step = -1 if place.step is None else place.step
        step = len(pair.a.values) - 1 - step if pair.backward else step
        rank = (STEP_ORDER + FINALS).index(name.base)
        return name.base in FINALS, name.layer, step, rank, place.batch, place.unit

    return min(firsts, key=when, default=None)
