"""The numbers of the steps, batch items and units that an array of results contains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.selection import (
    Choice,
    Indices,
    Sizes,
    format_indices,
)
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, listed

AXES = ("steps", "batch items", "units")
NAMED_OF_PART = 7  # arrays in a description of a part: those of one cell; of more, the count


Part = tuple[str, Indices, str]
"""The numbers of one of `AXES` that an array contains, and the name of the array."""


class AxisNumbers(NamedTuple):
    """The numbers of the steps, batch items and units in the full run, along the axes of arrays.

    None, or a name that is absent: unknown.
    """

    steps: Indices | None = None
    batch: Indices | None = None
    columns: Mapping[str, Indices] = {}  # of each array
    of_steps: int | None = None  # how many the full run has

    @property
    def from_the_start(self) -> bool:
        """Whether every known axis counts from 0 without gaps."""
        return not self.description

    @property
    def description(self) -> str:
        """``steps 2:5, units 0,3 of h``: the axes that do not count from 0 without gaps."""
        units = ((AXES[2], numbers, name) for name, numbers in self.columns.items())
        return describe_parts(
            (noun, numbers, name)
            for noun, numbers, name in (
                (AXES[0], self.steps, ""),
                (AXES[1], self.batch, ""),
                *units,
            )
            if numbers is not None and not counts_from_0(numbers)
        )

    def refuse_parts(self, name: str, what: str) -> None:
        """Refuse a part of a run where numbers have to count from 0."""
        if not self.from_the_start:
            raise UserError(
                f"{name} contains {self.description} of a run; {what} counts from 0. "
                "Give the full run, written without --steps, --batch and --units."
            )

    def of_both_directions(self, name: str, units: int) -> AxisNumbers:
        """With the columns of an array of so many units twice, for two directions side by side."""
        columns = self.columns.get(name)
        if columns is None:
            return self
        both = [*columns, *(units + number for number in columns)]
        return self._replace(columns={**self.columns, name: both})

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any] | None, widths: Mapping[str, int]) -> AxisNumbers:
        """Those in a trace's ``meta`` (`SelectedIndices.settings`), for arrays of these widths."""
        selected = (meta or {}).get("selected")
        if not isinstance(selected, dict):
            return UNNUMBERED
        steps, batch, units = (parse_indices(selected.get(name)) for name in Sizes._fields)
        of_units = (k for k in widths if k.rpartition(".")[2] in ("h", "c", *GATES))
        columns = {} if units is None else {k: units[: widths[k]] for k in of_units}
        if isinstance(stored := selected.get("columns"), dict):
            columns |= {k: numbers for k, v in stored.items() if (numbers := parse_indices(v))}
        columns = {k: v for k, v in columns.items() if len(v) == widths.get(k)}
        of_steps = selected.get("of_steps")
        return cls(steps, batch, columns, of_steps if isinstance(of_steps, int) else None)


UNNUMBERED = AxisNumbers()


def counts_from_0(numbers: Indices) -> bool:
    """Whether ascending numbers are 0, 1, 2, ..."""
    return not len(numbers) or (numbers[0] == 0 and numbers[-1] == len(numbers) - 1)


def describe_parts(parts: Iterable[Part]) -> str:
    """``steps 2:5, units 0,3 of h, c``: each part once, of units with the arrays that have them."""
    arrays: dict[str, list[str]] = {}
    for noun, numbers, name in parts:
        names = arrays.setdefault(f"{noun} {format_indices(numbers)}", [])
        names += [name] * (noun == AXES[2] and name not in names)
    return ", ".join(
        f"{text} of {listed(names, NAMED_OF_PART)}" if names else text
        for text, names in arrays.items()
    )


def parse_indices(text: Any) -> Indices | None:
    """The inverse of `format_indices`; None for anything else."""
    try:
        choice = Choice.parse(text, "meta.selected", "number") if isinstance(text, str) else None
    except UserError:
        return None
    if choice is None:
        return None
    numbers: Indices = choice.numbers
    if choice.bounds is not None:
        start, stop = choice.bounds.start, choice.bounds.stop
        if start is None or stop is None:
            return None
        numbers = range(start, stop, choice.bounds.step or 1)
    return numbers if len(numbers) and numbers[0] >= 0 else None


class Overlap(NamedTuple):
    """What two sides have in common on an axis: the numbers in the run, and where each has them."""

    numbers: Indices
    in_a: Indices
    in_b: Indices


class Overlaps(NamedTuple):
    """What two arrays (T, B, H) of one name have in common of a run."""

    axes: tuple[Overlap | None, ...]  # None: the numbers of neither side are known
    parts: tuple[tuple[Part, ...], tuple[Part, ...]]  # of a, of b, where it is a part


def overlaps(
    shapes: tuple[Sequence[int], Sequence[int]],
    sides: tuple[AxisNumbers, AxisNumbers],
    name: str,
    final: bool = False,
) -> Overlaps:
    """What two arrays (T, B, H) have in common, by the numbers of each axis in the full run.

    A side whose numbers are not known counts from 0, if it is then long enough to contain all of
    the other's; if it has just as many elements as the other, it has the other's numbers.

    Raises
    ------
    UserError
        if the numbers of both sides are known, and none is in common.
    """
    axes: list[Overlap | None] = []
    parts: tuple[list[Part], list[Part]] = ([], [])
    of_sides = (_axes(side, name, final) for side in sides)
    for n, m, ours, theirs, noun in zip(*shapes, *of_sides, AXES, strict=True):
        a = ours if ours is not None and 0 < len(ours) == n else None
        b = theirs if theirs is not None and 0 < len(theirs) == m else None
        all_a = _counted_like(b, n) if a is None else a
        all_b = _counted_like(a, m) if b is None else b
        if all_a is None or all_b is None:
            axes.append(None)
            continue
        common = np.intersect1d(all_a, all_b)
        if not common.size:
            raise UserError(
                f"{name}: one side contains {noun} {format_indices(all_a)}, "
                f"the other {format_indices(all_b)}; they have none in common."
            )
        places = (np.searchsorted(all_n, common).tolist() for all_n in (all_a, all_b))
        axes.append(Overlap(common.tolist(), *places))
        for numbers, last, of_side in ((a, all_b[-1], parts[0]), (b, all_a[-1], parts[1])):
            if numbers is not None and not (counts_from_0(numbers) and numbers[-1] >= last):
                of_side.append((noun, numbers, name))
    return Overlaps(tuple(axes), (tuple(parts[0]), tuple(parts[1])))


def _axes(side: AxisNumbers, name: str, final: bool) -> tuple[Indices | None, ...]:
    return None if final else side.steps, side.batch, None if final else side.columns.get(name)


def _counted_like(numbers: Indices | None, size: int) -> Indices | None:
    """The numbers of an axis that has none: those of the other side, where they may be so."""
    if numbers is None:
        return None
    return range(size) if numbers[-1] < size else numbers if size == len(numbers) else None
