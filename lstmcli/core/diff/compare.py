"""Two sides of named arrays -> how they differ, and where first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lstmcli.core.diff.axes import align, without_padding
from lstmcli.core.diff.difference import NOT_IN_FILES, Difference, named
from lstmcli.core.diff.hints import find_hints
from lstmcli.core.diff.operand import (
    FINAL,
    FINALS,
    SEQUENCE,
    STEP_ORDER,
    WEIGHTS,
    ArrayName,
    Side,
    named_alike,
    names_of,
)
from lstmcli.core.diff.pair import Pair, Position, measure
from lstmcli.core.diff.tolerance import Precision, Tolerance, tolerance
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.part import describe_parts
from lstmcli.core.model.selection import EVERYTHING, Choice, Selection, columns_by_array
from lstmcli.core.model.steps import StepOrder
from lstmcli.errors import Try, UserError, did_you_mean


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
    tests = {name for name, value in asked.items() if value is not None} - {"equal_nan"}
    a, b, common = named_alike(a, b)
    common = _chosen(a, b, common, only)
    columns = _columns(a, b, common, selection)
    common = [name for name in common if name not in columns or columns[name].numbers]
    if only_ulp := tests == {"ulp"}:
        _refuse_printed(a, b, common)
    arrays = {}
    for name in common:
        selected = selection._replace(units=columns.get(name))
        pair = _aligned(a, b, name, name, test, selected, padding)
        arrays[name] = measure(pair, (a.arrays[name].shape, b.arrays[name].shape))
    tests_of = {(x.pair.tolerance.rtol, x.pair.tolerance.atol) for x in arrays.values()}
    rtol, atol = tests_of.pop() if len(tests_of) == 1 and not only_ulp else (None, None)
    found = Difference(
        sides=(a, b),
        arrays=arrays,
        cross=partial(_aligned, a, b, tolerance_of=test, padding=padding),
        first_divergence=min(
            (x.first for x in arrays.values() if x.first and x.pair.placed),
            key=lambda one: _when(one, arrays[one.array].pair),
            default=None,
        ),
        only_in_a=[name for name in a.arrays if name not in b.arrays],
        only_in_b=[name for name in b.arrays if name not in a.arrays],
        rtol=rtol,
        atol=atol,
    )
    return replace(found, hints=find_hints(found), assumed=tuple(_assumed(found)))


def placed_on(
    run: Side, side: Side, step: int, item: int
) -> tuple[dict[str, Pair], bool]:
    """The arrays of a side on a run, and whether a place was assumed.

    What has no steps or sequences is where it agrees, else at ``step`` and ``item``; sequences
    by their layout are at the last step. Fewer steps without indices are the first ones.
    """
    run, side, common = named_alike(run, side)
    pairs, assumed = {}, False
    places = [(":", ":"), (":", str(item)), (str(step), str(item))]
    if side.layout == "batch":
        places.insert(1, ("-1", ":"))
    for name in common:
        aligned = partial(_aligned, run, side, name, name)
        for steps, items in places:
            pair = aligned(selection=Selection.parse(steps, items, None))
            if not pair.unaligned:  # it fits one place, or none
                assumed = assumed or (steps, items) != places[0]
                break
        of_run, part = len(pair.a.values), len(pair.b.values)
        if pair.placed and side.part.steps is None and 1 < part < of_run:
            first = aligned(selection=Selection.parse(f"0:{part}", None, None))
            pair = pair if first.agrees is None else first
        pairs[name] = pair
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
    numbers, backward = (
        (a.numbers(of_a), b.numbers(of_b)),
        _computed_backward(a, b, name),
    )
    pair = Pair(
        of_b, *numbers, tolerance_of(coarser), backward=backward, names=names_of(a, b)
    )
    pair = align(pair, (a, b), (steps, selection.batch, selection.units))
    return pair if padding else without_padding(pair, (a, b))


def _chosen(
    a: Side, b: Side, common: list[str], only: Sequence[str] | None
) -> list[str]:
    """The names that ``only`` chooses, or theirs in a file; ``h`` is ``layer0.h``, too."""
    if only is None:
        return common
    in_files = {
        theirs: here for side in (a, b) for here, theirs in side.original_names.items()
    }
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
        if choice and not (has_steps if choice is selection.steps else computed):
            what = (
                "the last state, without steps" if computed else "not a result of a run"
            )
            raise UserError(f"{join_with_and(names)} is {what}.", about=choice.typed)
    if (units := selection.units) is None:
        return {}
    widths = {
        name: max(sum(side.arrays[name].shape[-1:]) for side in (a, b))
        for name in computed
    }
    columns = columns_by_array(units, widths).items()
    return {name: replace(units, bounds=None, numbers=tuple(n)) for name, n in columns}


def _refuse_printed(a: Side, b: Side, names: Sequence[str]) -> None:
    """Refuse printed numbers, where only a distance in ULPs counts."""
    for side in (a, b):
        if not side.units.keys().isdisjoint(names):
            text = f"{side.name} is printed text, whose hidden digits make a distance in ULPs"
            raise UserError(
                f"{text} meaningless.", try_=[Try({"atol": ...}), Try({"rtol": ...})]
            )


def _computed_backward(a: Side, b: Side, name: ArrayName) -> bool:
    known, keys = [], ("reverse", "go_backwards", "flip_output")
    for settings in (side.settings for side in (a, b) if side.settings is not None):
        of_cell = [
            settings.get(f"{name.prefix}.{key}", settings.get(key)) for key in keys
        ]
        reverse, *others = (value is True for value in of_cell)  # of a file: anything
        if name.backward:
            reverse = settings.get(f"{name.prefix}.reverse") is not False
        known.append(bool(StepOrder.of(reverse, *others).outputs_reversed))
    return all(known) and bool(known or name.backward)


def _assumed(found: Difference) -> Iterator[Hint]:
    """Return what was assumed of names, axes, layouts and parts of a run."""
    yield from (Hint("renamed", side.renaming) for side in found.sides if side.renaming)
    by_text: dict[tuple[str, str], list[str]] = {}
    pairs = found.pairs.values()
    for pair in pairs:
        if text := pair.taken_as or pair.unaligned:
            start = (
                "nothing for " if pair.kind == SEQUENCE and not pair.taken_as else ""
            )
            by_text.setdefault((start, text), []).append(pair.name)
    for (start, text), names in by_text.items():
        yield Hint("axes", f"{start}{named(names)}: {text}")
    yield from _layouts(*found.sides, found.pairs)
    for padded in [pair.padded for pair in pairs if pair.padded is not None][:1]:
        count = f"{np.count_nonzero(padded):,} of {padded.size:,} steps"
        yield Hint(
            "padding", f"{count} are padding and not compared (lstm diff --padding)"
        )
    for n, side in enumerate(names_of(*found.sides)):
        parts = [part for pair in pairs for m, part in pair.parts if m == n]
        if parts:
            text = f"{side} contains {describe_parts(parts)} of a run"
            yield Hint("part_of_run", f"{text}; what both contain is compared")


def _layouts(a: Side, b: Side, pairs: Mapping[str, Pair]) -> Iterator[Hint]:
    """How axes are taken that a side, or both, do not explain."""
    assumed = {
        name: [side.arrays[name].shape for side in (a, b)]
        for name, pair in pairs.items()
        if pair.kind == SEQUENCE and not (pair.axes_named or pair.unaligned)
    }
    axes = {"batch": "(batch, steps, units)", "time": "(steps, batch, units)"}
    for n, silent, other in ((0, a, b), (1, b, a)):
        names = [
            k for k, of in assumed.items() if len(of[n]) == 3 and min(of[n][:2]) > 1
        ]
        if names and silent.layout is None and other.layout in axes:
            start = (
                f"{named(names)} of {silent.name} {'is' if len(names) == 1 else 'are'}"
            )
            yield Hint("layout", f"{start} {axes[other.layout]}, as in {other.name}")
    names = []
    for name, shapes in assumed.items():
        counts = {len(x) for x in shapes if x and x[0] > 1}
        # two axes that agree do so by either layout
        if 3 in counts or (2 in counts and not pairs[name].numbers_agree):
            names.append(name)
    if names and not (a.layout or b.layout):
        yield Hint("layout", f"the first axis of {named(names)} is time{NOT_IN_FILES}")


def _when(place: Position, pair: Pair) -> tuple[Any, ...]:
    """Sorts places by when they are computed: by layer, step, z to h."""
    name, step = ArrayName.of(place.array), -1 if place.step is None else place.step
    step = len(pair.a.values) - 1 - step if pair.backward else step
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
