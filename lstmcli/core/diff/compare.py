"""Two sides of named arrays -> how they differ, and where first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from typing import Any, NoReturn

import numpy as np

from lstmcli.core.diff.array_name import FINAL, FINALS, SEQUENCE, STEP_ORDER, WEIGHTS, ArrayName
from lstmcli.core.diff.axes import align, without_padding
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.hints import find_hints
from lstmcli.core.diff.operand import Side, named_alike, names_of
from lstmcli.core.diff.pair import ArrayDifference, Pair, Position, measure
from lstmcli.core.diff.tolerance import Precision, Tolerance, jsonable, tolerance
from lstmcli.core.model.axis_numbers import describe_parts
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.selection import EVERYTHING, Choice, Selection, columns_by_array
from lstmcli.core.model.steps import StepOrder
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import Try, UserError, did_you_mean, listed

ARRAYS_NAMED = 6  # in a list; JSON names all
_NOT_IN_FILES = " (not in the files; --layout batch)"


@dataclass(frozen=True, eq=False, repr=False)
class Difference:
    """The arrays that two sides share, compared."""

    sides: tuple[Side, Side]
    arrays: dict[str, ArrayDifference]
    first_divergence: Position | None
    only_in_a: list[str]
    only_in_b: list[str]
    hints: list[Hint]
    rtol: float | None  # None: of several precisions, or --ulp
    atol: float | None
    assumed: tuple[Hint, ...] = ()  # what no file specifies
    settings: Mapping[str, tuple[Any, Any]] | None = None  # that differ, if known
    cuts: tuple[str, ...] = ()  # of ranges beyond the runs

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``assert diff(a, b)`` would never fail."""
        raise ValueError("the truth value of a Difference is ambiguous: use .equal")

    def __repr__(self) -> str:
        """``<Difference h differs: 18 of 21 values, first at step 1, unit 0>``."""
        layouts = [one.text for one in self.assumed if one.code == "layout"]
        return f"<Difference {'; '.join([self.summary, *layouts])}>".replace(_NOT_IN_FILES, "")

    @property
    def summary(self) -> str:
        """``h differs: 18 of 21 values, first at step 1, unit 0``."""
        arrays = self.arrays.values()
        unlike = [array.name for array in arrays if array.mismatched is None]
        off = [array for array in arrays if not array.equal and array.mismatched is not None]
        total = sum(array.total or 0 for array in (arrays if self.equal else off))
        if self.equal:
            left_out = sum(array.left_out for array in arrays)
            of_all = f" of {total + left_out:,}" * bool(left_out)
            text = f"equal: {total:,}{of_all} values of {listed([*self.arrays], ARRAYS_NAMED)}"
            return text + " (the others are not printed)" * bool(left_out)
        if not off:
            return f"not comparable: {listed(unlike, ARRAYS_NAMED)} in different shapes"
        text = f"{_named([one.name for one in off])} differ{'s' * (len(off) == 1)}"
        if not (wrong := sum(array.mismatched or 0 for array in off)):
            return f"{text} in the axes only: {total:,} values agree"
        text += f": {wrong:,} of {total:,} values"
        if self.first_divergence is not None:
            text += f", first at {self.position(self.first_divergence, named=len(off) > 1)}"
        return text + "; other shapes not compared" * bool(unlike)

    def position(self, place: Position, *, named: bool) -> str:
        """``step 1, gate f, batch 0, unit 2``; ``named``: with the array."""
        gate = "gate " * (ArrayName.of(place.array).base in GATES)
        array = f"{gate}{place.array}" if named else ""
        return place.words(batch=self.arrays[place.array].pair.a.shape[1] > 1, array=array)

    @property
    def equal(self) -> bool:
        """Return whether every shared array agrees."""
        return all(array.equal for array in self.arrays.values())

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what was assumed, in words."""
        return tuple(one.text for one in self.assumed)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON; ``settings`` only where both sides have them."""
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
            "remarks": [{"code": one.code, "text": one.text} for one in self.assumed],
        } | ({} if self.settings is None else {"settings": dict(self.settings)})


def compare(
    a: Side,
    b: Side,
    *,
    only: Sequence[str] | None = None,
    selection: Selection = EVERYTHING,
    padding: bool = True,
    **asked: Any,
) -> Difference:
    """Compare the arrays that two sides share, by the `tolerance` that is ``asked`` for."""
    test = partial(tolerance, **asked)
    tests = {name for name, value in asked.items() if value is not None} - {"equal_nan"}
    a, b, common = named_alike(a, b)
    common = _chosen(a, b, common, only)
    columns = _columns(a, b, common, selection)
    common = [name for name in common if name not in columns or columns[name].numbers]
    _refuse(a, b, common, only_ulp := tests == {"ulp"})
    pairs, arrays = {}, {}
    for name in common:
        selected = selection._replace(units=columns.get(name))
        pairs[name] = pair = _aligned(a, b, name, name, test, selected, padding)
        arrays[name] = measure(pair, (a.arrays[name].shape, b.arrays[name].shape))
    first = min(
        (x.first for x in arrays.values() if x.first and x.pair.placed),
        key=lambda one: _when(one, pairs[one.array]),
        default=None,
    )
    cross = partial(_aligned, a, b, tolerance_of=test, padding=padding)
    compared = ComparedSides((a, b), pairs, cross, first)
    found = {(pair.tolerance.rtol, pair.tolerance.atol) for pair in pairs.values()}
    rtol, atol = found.pop() if len(found) == 1 and not only_ulp else (None, None)
    return Difference(
        sides=(a, b),
        arrays=arrays,
        first_divergence=first,
        only_in_a=[name for name in a.arrays if name not in b.arrays],
        only_in_b=[name for name in b.arrays if name not in a.arrays],
        hints=find_hints(compared),
        rtol=rtol,
        atol=atol,
        assumed=tuple(_assumed(a, b, compared)),
        settings=compared.differing_settings,
    )


def placed_on(run: Side, side: Side, step: int, item: int) -> tuple[dict[str, Pair], bool]:
    """The arrays of a side on a run, and whether a place was assumed.

    What has no steps or sequences is where it agrees, else at ``step`` and ``item``.
    Fewer steps without indices are the first ones.
    """
    run, side, common = named_alike(run, side)
    pairs, assumed = {}, False
    for name in common:
        for steps, items in ((":", ":"), (":", str(item)), (str(step), str(item))):
            selection = Selection.parse(steps, items, None)
            pairs[name] = _aligned(run, side, name, name, selection=selection)
            if not pairs[name].unaligned:  # it fits one place, or none
                assumed |= items != ":"
                break
        of_run, part = (len(one.values) for one in (pairs[name].a, pairs[name].b))
        if pairs[name].placed and side.numbering.steps is None and 1 < part < of_run:
            selection = Selection.parse(f"0:{part}", None, None)
            first = _aligned(run, side, name, name, selection=selection)
            pairs[name] = first if first.agrees is not None else pairs[name]
    return pairs, assumed


def _aligned(
    a: Side,
    b: Side,
    of_a: str,
    of_b: str,
    tolerance_of: Callable[[Precision], Tolerance] = tolerance,
    selection: Selection = EVERYTHING,
    padding: bool = True,
) -> Pair:
    """An array of a aligned with one of b, both cut to what is selected."""
    name = ArrayName.of(of_b)
    coarser = max(a.precision(of_a), b.precision(of_b), key=lambda one: one.rtol)
    steps = None if name.kind == FINAL else selection.steps
    numbers, backward = (a.numbers(of_a), b.numbers(of_b)), _computed_backward(a, b, name)
    pair = Pair(of_b, *numbers, tolerance_of(coarser), backward=backward, names=names_of(a, b))
    pair = align(pair, (a, b), (steps, selection.batch, selection.units))
    return pair if padding else without_padding(pair, (a, b))


def _chosen(a: Side, b: Side, common: list[str], only: Sequence[str] | None) -> list[str]:
    """The names that ``only`` chooses, or theirs in a file; ``h`` is ``layer0.h``, too."""
    if only is None:
        return common
    in_files = {theirs: here for side in (a, b) for here, theirs in side.original_names.items()}
    only = [name if name in common else in_files.get(name, name) for name in only]
    for name in only:
        if not any(name in (member, member.rpartition(".")[2]) for member in common):
            near = did_you_mean(name, [*common, *filter(None, in_files)])
            raise UserError(f"both sides contain {', '.join(common)}.{near}", about={"only": name})
    return [m for m in common if m in only or m.rpartition(".")[2] in only]


def _columns(a: Side, b: Side, names: Sequence[str], selection: Selection) -> dict[str, Choice]:
    """The columns of each array that ``--units`` selects; empty without it."""
    computed = [name for name in names if ArrayName.of(name).kind != WEIGHTS]
    has_steps = any(ArrayName.of(name).kind == SEQUENCE for name in names)
    for choice in selection[:3]:
        if choice and not (has_steps if choice is selection.steps else computed):
            what = "the last state, without steps" if computed else "not a result of a run"
            raise UserError(f"{join_with_and(names)} is {what}.", about=choice.typed)
    if (units := selection.units) is None:
        return {}
    widths = {name: max(_width(side.arrays[name].shape) for side in (a, b)) for name in computed}
    columns = columns_by_array(units, widths)[1].items()
    return {name: replace(units, bounds=None, numbers=tuple(n)) for name, n in columns}


def _width(shape: tuple[int, ...]) -> int:
    """The units of a step: of both directions, if these are stacked."""
    stacked = len(shape) == 4 and 2 in shape[:3] and 1 not in shape[:3]
    return prod(shape[-1:]) * (2 if stacked else 1)


def _refuse(a: Side, b: Side, names: Sequence[str], only_ulp: bool) -> None:
    """Refuse arrays without numbers, and printed ones where only ULPs count."""
    for side, name in product((a, b), names):
        if only_ulp and name in side.units:
            text = f"{side.name} is printed text, whose hidden digits make a distance in ULPs"
            raise UserError(f"{text} meaningless.", try_=[Try({"atol": ...}), Try({"rtol": ...})])
        if not side.arrays[name].size:
            in_file, shape = side.original_names.get(name, name), side.arrays[name].shape
            raise UserError(f"{side.name} is empty: {in_file} is {shape}, without numbers.")


def _computed_backward(a: Side, b: Side, name: ArrayName) -> bool:
    """Return whether an array's last step was computed first."""
    known, keys = [], ("reverse", "go_backwards", "flip_output")
    for settings in (side.settings for side in (a, b) if side.settings is not None):
        of_cell = [settings.get(f"{name.prefix}.{key}", settings.get(key)) for key in keys]
        reverse, *others = (value is True for value in of_cell)  # of a file: anything
        if name.backward:
            reverse = settings.get(f"{name.prefix}.reverse") is not False
        known.append(bool(StepOrder.of(reverse, *others).outputs_reversed))
    return all(known) and bool(known or name.backward)


def _named(names: Sequence[str]) -> str:
    """``h, c and f``, or how many arrays."""
    return join_with_and(names) if len(names) <= ARRAYS_NAMED else f"{len(names)} arrays"


def _assumed(a: Side, b: Side, compared: ComparedSides) -> Iterator[Hint]:
    """Return what was assumed of names, axes, layouts and parts of a run."""
    yield from (Hint("renamed", side.renaming) for side in (a, b) if side.renaming)
    by_text: dict[tuple[str, str], list[str]] = {}
    pairs = compared.pairs.values()
    for pair in pairs:
        if text := pair.taken_as or pair.unaligned:
            start = "nothing for " if pair.kind == SEQUENCE and not pair.taken_as else ""
            by_text.setdefault((start, text), []).append(pair.name)
    for (start, text), names in by_text.items():
        yield Hint("axes", f"{start}{_named(names)}: {text}")
    yield from _layouts(a, b, compared.pairs)
    padded = [pair.padded for pair in pairs if pair.padded is not None]
    if padded:
        count = f"{np.count_nonzero(padded[0]):,} of {padded[0].size:,} steps"
        yield Hint("padding", f"{count} are padding and not compared (lstm diff --padding)")
    for n, side in enumerate(compared.names):
        parts = [part for pair in pairs for m, part in pair.parts if m == n]
        if parts:
            text = f"{side} contains {describe_parts(parts)} of a run; what both contain is"
            yield Hint("part_of_run", f"{text} compared")


def _layouts(a: Side, b: Side, pairs: Mapping[str, Pair]) -> Iterator[Hint]:
    """How axes are taken that a side, or both, do not explain."""
    assumed = {
        name: [side.arrays[name].shape for side in (a, b)]
        for name, pair in pairs.items()
        if pair.kind == SEQUENCE and not (pair.axes_known or pair.unaligned)
    }
    for n, (silent, other) in enumerate(((a, b), (b, a))):
        axes = {"batch": "(batch, steps, units)", "time": "(steps, batch, units)"}
        said = axes.get(other.layout or "") if silent.layout is None else None
        names = [k for k, of in assumed.items() if len(of[n]) == 3 and min(of[n][:2]) > 1]
        if said and names:
            verb = "is" if len(names) == 1 else "are"
            text = f"{_named(names)} of {silent.name} {verb} {said}, as in {other.name}"
            yield Hint("layout", text)
    names = [k for k, of in assumed.items() if any(len(x) == 3 and x[0] > 1 for x in of)]
    if names and not (a.layout or b.layout):
        yield Hint("layout", f"the first axis of {_named(names)} is time{_NOT_IN_FILES}")


def _when(place: Position, pair: Pair) -> tuple[Any, ...]:
    """Sorts places by when they are computed: by layer, step, z to h."""
    name, step = ArrayName.of(place.array), -1 if place.step is None else place.step
    step = len(pair.a.values) - 1 - step if pair.backward else step
    rank = (STEP_ORDER + FINALS).index(name.base)
    is_output = not name.prefix  # of several cells, it is made of theirs
    return name.base in FINALS, is_output, name.layer, step, rank, place.batch, place.unit
