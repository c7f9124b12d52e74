"""The numbers of the steps, batch items and units that an array of results contains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import (
    Choice,
    Indices,
    Sizes,
    format_indices,
    indices_of,
    take,
)
from lstmcli.errors import UserError

AXES = ("steps", "batch items", "units")


class AxisNumbers(NamedTuple):
    """The numbers of the steps, batch items and units in the full run, along the axes of arrays.

    None, or a name that is absent: unknown.
    """

    steps: Indices | None = None
    batch: Indices | None = None
    columns: Mapping[str, Indices] = {}  # of each array

    @property
    def from_the_start(self) -> bool:
        """Whether every known axis counts from 0 without gaps."""
        axes = (self.steps, self.batch, *self.columns.values())
        return all(axis is None or _counts_from_0(axis) for axis in axes)

    @property
    def description(self) -> str:
        """``steps 2:5, units 0,3 of h``: the axes that do not count from 0 without gaps."""
        axes = {"steps": self.steps, "batch items": self.batch}
        axes |= {f"units of {name}": numbers for name, numbers in self.columns.items()}
        unusual = (
            f"{name} {format_indices(numbers)}"
            for name, numbers in axes.items()
            if numbers is not None and not _counts_from_0(numbers)
        )
        return ", ".join(unusual)

    def refuse_parts(self, name: str, what: str) -> None:
        """Refuse a part of a run where numbers have to count from 0."""
        if not self.from_the_start:
            raise UserError(
                f"{name} contains {self.description} of a run; {what} counts from 0. "
                "Give the full run, written without --steps, --batch and --units."
            )

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any] | None, widths: Mapping[str, int]) -> AxisNumbers:
        """Those in a trace's ``meta`` (`SelectedIndices.settings`), for arrays of these widths."""
        selected = (meta or {}).get("selected")
        if not isinstance(selected, dict):
            return UNNUMBERED
        steps, batch, units = (parse_indices(selected.get(name)) for name in Sizes._fields)
        columns = {} if units is None else {k: units[:w] for k, w in widths.items()}
        if isinstance(stored := selected.get("columns"), dict):
            columns |= {k: numbers for k, v in stored.items() if (numbers := parse_indices(v))}
        columns = {k: v for k, v in columns.items() if len(v) == widths.get(k)}
        return cls(steps, batch, columns)


UNNUMBERED = AxisNumbers()


def _counts_from_0(numbers: Indices) -> bool:
    """Whether ascending numbers are 0, 1, 2, ..."""
    return not len(numbers) or (numbers[0] == 0 and numbers[-1] == len(numbers) - 1)


def parse_indices(text: Any) -> Indices | None:
    """The inverse of `format_indices`; None for anything else."""
    try:
        choice = Choice.parse(text, "meta.selected", "number") if isinstance(text, str) else None
    except UserError:
        return None
    if choice is None:
        return None
    if choice.bounds is None:
        return choice.numbers
    start, stop, stride = choice.bounds.start, choice.bounds.stop, choice.bounds.step or 1
    return None if start is None or stop is None else range(start, stop, stride)


def cut_to_common(
    shapes: tuple[Sequence[int], Sequence[int]],
    sides: tuple[AxisNumbers, AxisNumbers],
    name: str,
    final: bool,
    choices: Sequence[Choice | None] = (None, None, None),
) -> tuple[Callable[[Array], Array], Callable[[Array], Array], tuple[Indices | None, ...]]:
    """Functions that cut both sides' (T, B, H) to their common part, and its numbers on each axis.

    A side without numbers counts from 0, or has the other's numbers where it has just as many and
    is too short to contain the last of them. ``choices`` are what is selected of each axis.
    """
    picks: list[tuple[Indices, Indices]] = []
    numbers: list[Indices | None] = []
    numbered = zip(*(_axes(side, name, final) for side in sides), choices, strict=True)
    for axis, (ours, theirs, choice) in enumerate(numbered):
        n, m = shapes[0][axis], shapes[1][axis]
        a = ours if ours is not None and len(ours) == n else None
        b = theirs if theirs is not None and len(theirs) == m else None
        if a is None and b is None:
            pick = indices_of(choice, n), indices_of(choice, m)
            picks.append(pick)
            numbers.append(None if choice is None else pick[0])
            continue
        a, b = _numbers_or_default(n, a, b), _numbers_or_default(m, b, a)
        common = np.intersect1d(a, b)
        if not common.size:
            raise UserError(
                f"{name}: one side contains {AXES[axis]} {format_indices(a)}, "
                f"the other {format_indices(b)}; they have none in common."
            )
        if choice is not None:
            both = common.tolist()
            common = np.intersect1d(common, choice.among(both[-1] + 1))
            if not common.size:
                raise UserError(
                    f"{choice.option} {choice.text}: both sides contain {AXES[axis]} "
                    f"{format_indices(both)} of {name}."
                )
        picks.append((np.searchsorted(a, common).tolist(), np.searchsorted(b, common).tolist()))
        numbers.append(common.tolist())

    def cut(side: int) -> Callable[[Array], Array]:
        def of(array: Array) -> Array:
            for axis, pick in enumerate(picks):
                array = take(array, pick[side], axis)
            return array

        return of

    return cut(0), cut(1), tuple(numbers)


def _axes(side: AxisNumbers, name: str, final: bool) -> tuple[Indices | None, ...]:
    return None if final else side.steps, side.batch, None if final else side.columns.get(name)


def _numbers_or_default(size: int, numbers: Indices | None, other: Indices | None) -> Indices:
    """The numbers of an axis: as given, else the other side's where they fit, else from 0."""
    if numbers is not None:
        return numbers
    if other is not None and size == len(other) and size <= other[-1]:
        return other
    return range(size)
