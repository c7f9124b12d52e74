"""Which steps, batch items and units of a whole run an array of results holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.selection import Choice, Indices, Sizes, format_indices, take
from lstmcli.errors import UserError

AXES = ("steps", "batch items", "units")


class AxisNumbers(NamedTuple):
    """The numbers, in the whole run, of what arrays of results hold along their axes.

    None, or a name that is not there: nothing says them.
    """

    steps: Indices | None = None
    batch: Indices | None = None
    columns: Mapping[str, Indices] = {}  # of each array

    @property
    def from_the_start(self) -> bool:
        """Whether they count from 0 without gaps, or nothing says them."""
        axes = (self.steps, self.batch, *self.columns.values())
        return all(axis is None or _counts_from_0(axis) for axis in axes)

    @property
    def words(self) -> str:
        """``steps 2:5, units 0,3 of h``: the axes that do not count from 0 without gaps."""
        axes = {"steps": self.steps, "batch items": self.batch}
        axes |= {f"units of {name}": own for name, own in self.columns.items()}
        said = (
            f"{name} {format_indices(own)}"
            for name, own in axes.items()
            if own is not None and not _counts_from_0(own)
        )
        return ", ".join(said)

    def refuse_parts(self, name: str, what: str) -> None:
        """Refuse a part of a run where numbers have to count from 0.

        Raises
        ------
        UserError
            naming the file and ``what`` needs all steps.
        """
        if not self.from_the_start:
            raise UserError(
                f"{name} holds {self.words} of a run; {what} counts from 0. "
                "Give the whole run, written without --steps, --batch and --units."
            )

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any] | None, widths: Mapping[str, int]) -> AxisNumbers:
        """What a trace's ``meta`` says of its arrays, of these widths; see `Selected.settings`."""
        said = (meta or {}).get("selected")
        if not isinstance(said, dict):
            return UNNUMBERED
        steps, batch, units = (parse_indices(said.get(name)) for name in Sizes._fields)
        columns = {} if units is None else {k: units[:w] for k, w in widths.items()}
        if isinstance(own := said.get("columns"), dict):
            columns |= {k: numbers for k, v in own.items() if (numbers := parse_indices(v))}
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
) -> tuple[Callable[[Array], Array], Callable[[Array], Array], tuple[Indices | None, ...]]:
    """What cuts both sides' (T, B, H) to what both hold, and the numbers of that along each axis.

    A side that says no numbers has them from 0 on, or those of the other where it has just as
    many and not so many that it could hold the last of them.

    Raises
    ------
    UserError
        where they hold nothing in common.
    """
    picks: list[tuple[Indices, Indices]] = []
    numbers: list[Indices | None] = []
    said = zip(*(_axes(side, name, final) for side in sides), strict=True)
    for axis, (ours, theirs) in enumerate(said):
        n, m = shapes[0][axis], shapes[1][axis]
        a = ours if ours is not None and len(ours) == n else None
        b = theirs if theirs is not None and len(theirs) == m else None
        if a is None and b is None:
            picks.append((range(n), range(m)))
            numbers.append(None)
            continue
        a, b = _numbers_or_default(n, a, b), _numbers_or_default(m, b, a)
        common = np.intersect1d(a, b)
        if not common.size:
            raise UserError(
                f"{name}: one side holds {AXES[axis]} {format_indices(a)}, "
                f"the other {format_indices(b)}; they have none in common."
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


def _numbers_or_default(size: int, own: Indices | None, other: Indices | None) -> Indices:
    """The numbers of an axis of a size: its own, from 0 on, or the other side's."""
    if own is not None:
        return own
    if other is not None and size == len(other) and size <= other[-1]:
        return other
    return range(size)
