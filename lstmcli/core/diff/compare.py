"""Two sides of named arrays -> how they differ, and where first in the order of computation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from lstmcli.core.diff.alignment import (
    FINALS,
    SEQUENCE,
    STEP_ORDER,
    WEIGHTS,
    ArrayName,
    Known,
    Pair,
    align,
)
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.hints import find_hints
from lstmcli.core.diff.metrics import ArrayDifference, Position, measure
from lstmcli.core.diff.operand import Side, named_alike
from lstmcli.core.diff.tolerance import Precision, Tolerance, coarser, jsonable, tolerance
from lstmcli.core.model.axis_numbers import describe_parts
from lstmcli.core.model.hint import Hint, join_with_and
from lstmcli.core.model.selection import (
    EVERYTHING,
    Choice,
    Selection,
    columns_by_array,
)
from lstmcli.core.model.steps import StepOrder
from lstmcli.errors import UserError, did_you_mean
from lstmcli.notebook import in_notebooks


@in_notebooks
@dataclass(frozen=True, eq=False, repr=False)
class Difference:
    """The arrays that two sides share, compared."""

    sides: tuple[Side, Side]
    arrays: dict[str, ArrayDifference]
    first_divergence: Position | None
    only_in_a: list[str]
    only_in_b: list[str]
    hints: list[Hint]
    rtol: float | None  # None: arrays of several precisions have different ones, or --ulp
    atol: float | None
    assumed: tuple[Hint, ...] = ()  # what no file says
    settings: Mapping[str, tuple[Any, Any]] | None = None  # that differ; None: a side has none

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``assert diff(a, b)`` would never fail."""
        raise ValueError("the truth value of a Difference is ambiguous: use .equal")

    def __repr__(self) -> str:
        """``<Difference 18 of 21 values of h differ, first h at step 1, batch 0, unit 0>``."""
        shapes = ", ".join(f"{name} {array.shapes[0]}" for name, array in self.arrays.items())
        if self.equal:
            return f"<Difference none: {shapes}>"
        differing = [
            f"{name} in shape {array.shapes[0]} / {array.shapes[1]}"
            if array.mismatched is None
            else f"{array.mismatched} of {array.total} values of {name} {array.shapes[0]}"
            for name, array in self.arrays.items()
            if not array.equal
        ]
        first = self.first_divergence
        text = "" if first is None else f"; first {first.array} at {first.words()}"
        if first is not None:
            text += "".join(f"; {one.text}" for one in self.assumed if one.code == "layout")
        return f"<Difference {', '.join(differing)}{text}>"

    @property
    def equal(self) -> bool:
        """Whether every shared array agrees."""
        return all(array.equal for array in self.arrays.values())

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was assumed, in words."""
        return tuple(one.text for one in self.assumed)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON can represent it; non-finite numbers are words.

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
            "remarks": [{"code": one.code, "text": one.text} for one in self.assumed],
        } | ({} if self.settings is None else {"settings": dict(self.settings)})


def compare(
    a: Side,
    b: Side,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    equal_nan: bool = False,
    only: Sequence[str] | None = None,
    selection: Selection = EVERYTHING,
) -> Difference:
    """Compare the arrays that two sides share by name; of one array each, whatever their names.

    ``|a - b| <= atol + rtol |b|`` must hold; b is the one that is expected. Without ``rtol``,
    ``atol`` and ``ulp`` the coarser dtype of an array decides, as in torch.testing.assert_close;
    one of rtol and atol alone leaves the other at 0. Each printed side adds half a unit of its
    last printed place, whatever is asked for. ``only`` names the arrays (``h`` stands for
    ``layer0.h``, ... too), ``selection`` the steps, batch items and units that are compared.

    Raises
    ------
    UserError
        if no name is shared, an array is empty, a tolerance makes no sense, ``ulp`` alone meets
        printed text, or nothing is selected.
    """
    test = partial(tolerance, rtol=rtol, atol=atol, ulp=ulp, equal_nan=equal_nan)
    a, b, common = named_alike(a, b)
    common = _chosen(a, b, common, only)
    columns = _columns(a, b, common, selection)
    common = [name for name in common if name not in columns or columns[name].numbers]
    _refuse(a, b, common, only_ulp := ulp is not None and rtol is None and atol is None)
    pairs = {}
    for name in common:
        try:
            selected = selection._replace(units=columns.get(name))
            pairs[name] = _aligned(a, b, name, name, test, selected)
        except UserError as error:
            if not str(error).startswith(("--steps", "--batch")) or not _axes_assumed(a, b, name):
                raise
            axes = f"  The first axis of {name} is taken as time (not in the files;"
            raise UserError(*error.lines, f"{axes} --layout batch).") from None
    arrays = {
        name: measure(pairs[name], (a.arrays[name].shape, b.arrays[name].shape)) for name in common
    }
    first = _first_divergence(arrays, pairs)
    compared = _compared(a, b, pairs, first, lambda x, y: _aligned(a, b, x, y, test))
    tolerances = [array.tolerance for array in arrays.values()]
    return Difference(
        sides=(a, b),
        arrays=arrays,
        first_divergence=first,
        only_in_a=[name for name in a.arrays if name not in b.arrays],
        only_in_b=[name for name in b.arrays if name not in a.arrays],
        hints=[] if any(pair.lacks_start for pair in pairs.values()) else find_hints(compared),
        rtol=None if only_ulp else _shared([one.rtol for one in tolerances]),
        atol=None if only_ulp else _shared([one.atol for one in tolerances]),
        assumed=tuple(_assumed(a, b, compared)),
        settings=compared.differing_settings,
    )


def _compared(
    a: Side,
    b: Side,
    pairs: Mapping[str, Pair],
    first: Position | None,
    cross: Callable[[str, str], Pair],
) -> ComparedSides:
    """The comparison as the search for hints needs it."""
    compared = ComparedSides(
        pairs, cross, (list(a.arrays), list(b.arrays)),
        (a.name, b.name) if a.name != b.name else ("a", "b"), (a.settings, b.settings),
    )  # fmt: skip
    if first is None:
        return compared
    return replace(
        compared,
        first_array=first.array,
        first_step=first.step if pairs[first.array].numbers[0] is None else None,
        axes_assumed=_axes_assumed(a, b, first.array),
        rows_assumed=_rows_assumed(a, b, first.array),
        both_ways=_depends_on_both_directions(a, b, first.array),
    )


def matched(a: Side, b: Side) -> dict[str, Pair]:
    """The arrays that two sides share by name, aligned, with the tolerance of each."""
    a, b, common = named_alike(a, b)
    return {name: _aligned(a, b, name, name) for name in common}


def _aligned(
    a: Side,
    b: Side,
    of_a: str,
    of_b: str,
    tolerance_of: Callable[[Precision], Tolerance] = tolerance,
    selection: Selection = EVERYTHING,
) -> Pair:
    """An array of a aligned with one of b, both cut to what is selected."""
    precision = coarser(a.precision(of_a), b.precision(of_b))
    known = Known(
        of_b, tolerance_of(precision), (a.layout, b.layout),
        _computed_backward(a, b, ArrayName.of(of_b)), (a.numbering, b.numbering), selection,
        (a.settings is not None, b.settings is not None),
    )  # fmt: skip
    return align(a.numbers(of_a), b.numbers(of_b), known)


def _chosen(a: Side, b: Side, common: list[str], only: Sequence[str] | None) -> list[str]:
    """The shared names that ``only`` chooses: ``h`` is ``layer0.h`` too.

    An array goes by the name that it has in a file, too.
    """
    if only is None:
        return common
    in_files = {theirs: here for side in (a, b) for here, theirs in side.original_names.items()}
    only = [name if name in common else in_files.get(name, name) for name in only]
    for name in only:
        if not any(name in (member, member.rpartition(".")[2]) for member in common):
            near = did_you_mean(name, [*common, *filter(None, in_files)])
            renamed = [f"  {side.renaming}." for side in (a, b) if side.renaming]
            found = f"both sides contain {', '.join(common)}.{near}"
            raise UserError(f"--only {name}: {found}", *renamed)
    return [m for m in common if m in only or m.rpartition(".")[2] in only]


def _columns(a: Side, b: Side, names: Sequence[str], selection: Selection) -> dict[str, Choice]:
    """What ``--units`` selects of the columns of each array of a run; empty where it is not given.

    Raises
    ------
    UserError
        if nothing that is compared has steps or units to select.
    """
    computed = [name for name in names if ArrayName.of(name).kind != WEIGHTS]
    for choice in selection[:3] if not computed else ():
        if choice is not None:
            raise UserError(
                f"{choice.option} {choice.text}: {join_with_and(names)} is no result of a run, "
                "with steps, batch items and units."
            )
    if selection.units is None:
        return {}
    widths = {  # directions may be stacked on one side
        name: max(size for side in (a, b) for size in (1, *side.arrays[name].shape[-1:]))
        for name in computed
    }
    _, columns = columns_by_array(selection.units, widths)
    return {
        name: replace(selection.units, bounds=None, numbers=tuple(numbers))
        for name, numbers in columns.items()
    }


def _refuse(a: Side, b: Side, names: Sequence[str], only_ulp: bool) -> None:
    """Refuse an array without numbers beside one with some, and prints where only ULPs count."""
    for side, other in ((a, b), (b, a)):
        if only_ulp and any(name in side.units for name in names):
            raise UserError(
                f"{side.name} is printed text, whose hidden digits make a distance in ULPs "
                "meaningless.",
                "  Use --atol or --rtol, or compare files that contain every digit.",
            )
        nothing = not any(one.arrays[name].size for one in (a, b) for name in names)
        for name in names:
            if not side.arrays[name].size and (nothing or other.arrays[name].size):
                in_file = side.original_names.get(name, name)
                shape = side.arrays[name].shape
                raise UserError(f"{side.name} is empty: {in_file} is {shape}, without numbers.")


def _computed_backward(a: Side, b: Side, name: ArrayName) -> bool | None:
    """Whether an array's last step was computed first; None if no side tells it.

    On all sides that say how they ran, else by the names of its cell, or of it in the files.
    """
    known = [side.settings for side in (a, b) if side.settings is not None]
    if known:
        return all(_runs_backward(settings, name) for settings in known)
    full_name = f"{name.prefix}.{name.base}".removeprefix(".")
    in_files = [side.original_names.get(full_name, "") for side in (a, b)]
    if name.backward or any(map(_BACKWARD.search, in_files)):
        return True
    return False if name.prefix else None


_BACKWARD = re.compile(r"(^|[^a-z])(backwards?|bwd?|reversed?)([^a-z]|$)", re.IGNORECASE)
"""What the name of an array of a backward direction has in it."""


def _runs_backward(settings: Mapping[str, Any], name: ArrayName) -> bool:
    """The same of one side; a backward cell runs backward unless its ``reverse`` is false."""
    reverse, go_backwards, flip_output = (
        bool(settings.get(f"{name.prefix}.{setting}", settings.get(setting)))
        for setting in ("reverse", "go_backwards", "flip_output")
    )
    if name.backward:
        reverse = bool(settings.get(f"{name.prefix}.reverse", True))
    return bool(StepOrder.of(reverse, go_backwards, flip_output).outputs_reversed)


def _shared(values: list[float]) -> float | None:
    """The tolerance that all arrays were given, if it was one."""
    return values[0] if len(set(values)) == 1 else None


def _assumed(a: Side, b: Side, compared: ComparedSides) -> Iterator[Hint]:
    """What was assumed of names, axes, layouts and parts of a run."""
    yield from (Hint("renamed", side.renaming) for side in (a, b) if side.renaming)
    by_text: dict[str, list[str]] = {}
    for name, pair in compared.pairs.items():
        if text := pair.taken_as or pair.unaligned:
            start = "nothing for " if pair.kind == SEQUENCE and not pair.taken_as else ""
            by_text.setdefault(f"{start}{{names}}: {text}", []).append(name)
    for text, names in by_text.items():
        yield Hint("axes", compared.say(text.replace("{names}", join_with_and(names), 1)))
    yield from (Hint("layout", text) for text in _layouts(a, b, compared.pairs))
    for n, side in enumerate(compared.names):
        if text := describe_parts(part for p in compared.pairs.values() for part in p.parts[n]):
            text = f"{side} contains {text} of a run; what both contain is compared"
            yield Hint("part_of_run", text)


def _layouts(a: Side, b: Side, pairs: Mapping[str, Pair]) -> Iterator[str]:
    """How axes are taken that a side, or both, do not explain."""
    for silent, other in ((a, b), (b, a)):
        names = [
            name
            for name, pair in pairs.items()
            if pair.stepwise and not pair.arrangement and silent.arrays[name].ndim == 3
            if min(silent.arrays[name].shape[:2]) > 1
        ]
        if silent.layout is None and other.layout in ("batch", "time") and names:
            axes = "batch, steps" if other.layout == "batch" else "steps, batch"
            verb = "is" if len(names) == 1 else "are"
            yield (
                f"{join_with_and(names)} of {silent.name} {verb} ({axes}, units), as in "
                f"{other.name}"
            )
    unclear = [
        name
        for name, pair in pairs.items()
        if pair.kind == SEQUENCE and not (pair.exchanged or pair.unaligned)
        if not (pair.arrangement and any(n is not None for n in pair.numbers))
        if any(side.arrays[name].ndim == 3 and side.arrays[name].shape[0] > 1 for side in (a, b))
    ]
    if unclear and not (a.layout or b.layout):
        names = join_with_and(unclear)
        yield f"the first axis of {names} is time (not in the files; --layout batch)"


def _axes_assumed(a: Side, b: Side, name: str) -> bool:
    """Whether the axes of an array may as well be batch and time: no side says, neither is 1."""
    if a.layout or b.layout or ArrayName.of(name).base not in STEP_ORDER:
        return False
    return any(
        array.ndim == 3 and min(array.shape[:2]) > 1 for array in (a.arrays[name], b.arrays[name])
    )


def _rows_assumed(a: Side, b: Side, name: str) -> bool:
    """Whether the rows of an array may as well be batch items: (T, H) or (B, H) on both sides.

    Readers call every array of two axes "steps"; only the settings of a run tell it.
    """
    if ArrayName.of(name).base not in STEP_ORDER:
        return False
    return all(
        side.settings is None
        and side.layout in (None, "steps")
        and side.arrays[name].ndim == 2
        and len(side.arrays[name]) > 1
        for side in (a, b)
    )


def _depends_on_both_directions(a: Side, b: Side, name: str) -> bool:
    """Whether an array is made of two directions: their output, or of a layer above them."""
    prefix = ArrayName.of(name).prefix
    cells = {ArrayName.of(n).prefix for side in (a, b) for n in side.arrays}
    return not prefix.startswith("layer0") and any(c.endswith("_reverse") for c in cells)


def _first_divergence(
    arrays: Mapping[str, ArrayDifference], pairs: Mapping[str, Pair]
) -> Position | None:
    """The earliest of the arrays' first places: layer by layer, step by step, z to h.

    The output of several cells comes after what the cells have, final states after all steps.
    Weights are not computed and have no part in it.
    """
    firsts = [
        array.first
        for name, array in arrays.items()
        if array.first is not None and pairs[name].placed
    ]

    def when(place: Position) -> tuple[Any, ...]:
        name, pair = ArrayName.of(place.array), pairs[place.array]
        step = -1 if place.step is None else place.step
        step = len(pair.a.values) - 1 - step if pair.backward else step
        rank = (STEP_ORDER + FINALS).index(name.base)
        is_output = not name.prefix  # of several cells, it is made of theirs
        return name.base in FINALS, is_output, name.layer, step, rank, place.batch, place.unit

    return min(firsts, key=when, default=None)
