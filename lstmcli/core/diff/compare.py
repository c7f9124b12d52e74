"""Two sides of named arrays -> how they differ, and where first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lstmcli.core.diff.assumed import remarks_of
from lstmcli.core.diff.axes import align
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.figures import ArrayDifference, Position, measure
from lstmcli.core.diff.hints import find_hints
from lstmcli.core.diff.names import named_alike, names_of
from lstmcli.core.diff.operand import (
    FINAL,
    FINALS,
    SEQUENCE,
    STEP_ORDER,
    WEIGHTS,
    ArrayName,
    Side,
)
from lstmcli.core.diff.padding import without_padding
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Precision, Tolerance, tolerance
from lstmcli.core.model.model import join_with_and
from lstmcli.core.model.selection import EVERYTHING, Choice, Selection, columns_by_array
from lstmcli.core.model.steps import StepOrder
from lstmcli.errors import SettingsToTry, UserError, did_you_mean


@np.errstate(all="ignore")  # a long double may be beyond float64
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
    a, b, common = named_alike(a, b)
    common = _chosen(a, b, common, only)
    columns = _columns(a, b, common, selection)
    common = [name for name in common if name not in columns or columns[name].numbers]
    only_ulp = _is_only_ulp(asked)
    if only_ulp:
        _refuse_printed(a, b, common)
    cross = partial(_aligned, a, b, tolerance_of=test, padding=padding)
    arrays = {}
    for name in common:
        selected = selection._replace(units=columns.get(name))
        pair = cross(name, name, selection=selected)
        arrays[name] = measure(pair, (a.arrays[name].shape, b.arrays[name].shape))
    rtol, atol = _tolerance_of_all(arrays)
    if only_ulp:
        rtol, atol = None, None
    found = Difference(
        (a, b),
        arrays,
        cross,
        _first_divergence(arrays),
        only_in_a=_only_in(a, b),
        only_in_b=_only_in(b, a),
        rtol=rtol,
        atol=atol,
    )
    return replace(found, hints=find_hints(found), assumed=tuple(remarks_of(found)))


def _is_only_ulp(asked: Mapping[str, Any]) -> bool:
    """Return whether a distance in ULPs alone counts."""
    names = {name for name, value in asked.items() if value is not None}
    return names - {"equal_nan"} == {"ulp"}


def _only_in(side: Side, other: Side) -> list[str]:
    return [name for name in side.arrays if name not in other.arrays]


def _tolerance_of_all(
    arrays: Mapping[str, ArrayDifference],
) -> tuple[float | None, float | None]:
    """The tolerance of all arrays; None if they have several."""
    tests = [one.pair.tolerance for one in arrays.values()]
    each = {(test.rtol, test.atol) for test in tests}
    return each.pop() if len(each) == 1 else (None, None)


def placed_on(
    run: Side, side: Side, step: int, item: int
) -> tuple[dict[str, Pair], bool]:
    """The arrays of a side on a run, and whether a place was assumed.

    What has no steps or sequences is where it agrees, else at ``step`` and ``item``; sequences
    by their layout are at the last step. Fewer steps without indices are the first ones.
    """
    run, side, common = named_alike(run, side)
    pairs, is_assumed = {}, False
    places = [(":", ":"), (":", str(item)), (str(step), str(item))]
    if side.layout == "batch":
        places.insert(1, ("-1", ":"))
    for name in common:
        aligned = partial(_aligned, run, side, name, name)
        for steps, items in places:
            pair = aligned(selection=Selection.parse(steps, items, None))
            if not pair.placement.why_not:  # it fits one place, or none
                is_assumed = is_assumed or (steps, items) != places[0]
                break
        of_run, part = len(pair.a.values), len(pair.b.values)
        if pair.placed and side.part.steps is None and 1 < part < of_run:
            first = aligned(selection=Selection.parse(f"0:{part}", None, None))
            pair = pair if first.agrees is None else first
        pairs[name] = pair
    return pairs, is_assumed


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
    pair = Pair(
        of_b,
        a.numbers(of_a),
        b.numbers(of_b),
        tolerance_of(coarser),
        names_of(a, b),
        _is_computed_backward(a, b, name),
    )
    steps = None if name.kind == FINAL else selection.steps
    pair = align(pair, (a, b), (steps, selection.batch, selection.units))
    return pair if padding else without_padding(pair, (a, b))


def _chosen(
    a: Side, b: Side, common: list[str], only: Sequence[str] | None
) -> list[str]:
    """The names that ``only`` chooses, or theirs in a file; ``h`` is ``layer0.h``, too."""
    if only is None:
        return common
    in_files: dict[str, str] = {}
    for side in (a, b):
        in_files.update((theirs, here) for here, theirs in side.original_names.items())
    only = [name if name in common else in_files.get(name, name) for name in only]
    for name in only:
        if not any(name in (member, member.rpartition(".")[2]) for member in common):
            near = did_you_mean(name, [*common, *filter(None, in_files)])
            raise UserError(
                f"both sides contain {', '.join(common)}.{near}", about={"only": name}
            )
    return [m for m in common if m in only or m.rpartition(".")[2] in only]


def _columns(
    a: Side, b: Side, names: Sequence[str], selection: Selection
) -> dict[str, Choice]:
    """The columns of each array that ``--units`` selects; empty without it."""
    computed = [name for name in names if ArrayName.of(name).kind != WEIGHTS]
    has_steps = any(ArrayName.of(name).kind == SEQUENCE for name in names)
    for choice in selection[:3]:
        if choice is None:
            continue
        if not computed:
            what = "not a result of a run"
        elif choice is selection.steps and not has_steps:
            what = "the last state, without steps"
        else:
            continue
        raise UserError(f"{join_with_and(names)} is {what}.", about=choice.typed)
    units = selection.units
    if units is None:
        return {}
    widths = {}
    for name in computed:
        of_both = (side.arrays[name].shape[-1:] for side in (a, b))
        widths[name] = max(sum(width) for width in of_both)  # 0 of a number
    columns = columns_by_array(units, widths).items()
    return {name: replace(units, bounds=None, numbers=tuple(n)) for name, n in columns}


def _refuse_printed(a: Side, b: Side, names: Sequence[str]) -> None:
    """Refuse printed numbers, where only a distance in ULPs counts."""
    for side in (a, b):
        if not side.units.keys().isdisjoint(names):
            text = f"{side.name} is printed text, whose hidden digits make a distance in ULPs"
            raise UserError(
                f"{text} meaningless.",
                try_=[SettingsToTry({"atol": ...}), SettingsToTry({"rtol": ...})],
            )


def _is_computed_backward(a: Side, b: Side, name: ArrayName) -> bool:
    """Return whether both sides, as far as they tell, computed the last step first."""
    known = []
    for side in (a, b):
        if side.settings is not None:
            known.append(_is_reversed(side.settings, name))
    if not known:
        return name.backward
    return all(known)


def _is_reversed(settings: Mapping[str, Any], name: ArrayName) -> bool:
    """Return whether a run computed the last step of an array first."""

    def is_set(key: str) -> bool:
        value = settings.get(f"{name.prefix}.{key}", settings.get(key))
        return value is True  # of a file: anything

    reverse = is_set("reverse")
    if name.backward:
        reverse = settings.get(f"{name.prefix}.reverse") is not False
    order = StepOrder.of(reverse, is_set("go_backwards"), is_set("flip_output"))
    return bool(order.outputs_reversed)


def _first_divergence(arrays: Mapping[str, ArrayDifference]) -> Position | None:
    """The element that differs first of all arrays, in the order of computation."""
    firsts = [one.first for one in arrays.values() if one.pair.placed]
    return min(
        (first for first in firsts if first is not None),
        key=lambda first: _when(first, arrays[first.array].pair),
        default=None,
    )


def _when(place: Position, pair: Pair) -> tuple[Any, ...]:
    """Sorts places by when they are computed: by layer, step, z to h."""
    name = ArrayName.of(place.array)
    step = -1 if place.step is None else place.step
    if pair.backward:
        step = len(pair.a.values) - 1 - step
    rank = (STEP_ORDER + FINALS).index(name.base)
    is_output = not name.prefix  # of several cells, it is made of theirs
    return (
        name.base in FINALS,
        is_output,
        name.layer,
        step,
        rank,
        place.batch,
        place.unit,
    )
