"""The numbers of the steps, batch items and units that an array of results contains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from lstmcli.core.model.selection import Choice, Indices, Sizes, format_indices
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, listed

AXES = ("steps", "batch items", "units")
NAMED_OF_PART = 7  # arrays in a description: those of one cell; of more, the count


NumberedPart = tuple[str, Indices, str]
"""The numbers of one of `AXES` that an array contains, and the name of the array."""


class AxisNumbers(NamedTuple):
    """The numbers of the steps, batch items and units in the full run, along the axes of arrays.

    None, or a name that is absent: unknown.
    """

    steps: Indices | None = None
    batch: Indices | None = None
    columns: Mapping[str, Indices] = {}  # of each array

    @property
    def from_the_start(self) -> bool:
        """Return whether every known axis counts from 0 without gaps."""
        return not self.description

    @property
    def description(self) -> str:
        """``steps 2:5, units 0,3 of h``: the axes that do not count from 0 without gaps."""
        known = [(AXES[0], self.steps, ""), (AXES[1], self.batch, "")]
        known += [(AXES[2], numbers, name) for name, numbers in self.columns.items()]
        parts = ((noun, n or (), name) for noun, n, name in known)
        return describe_parts(part for part in parts if not counts_from_0(part[1]))

    @property
    def settings(self) -> dict[str, str]:
        """``batch="1:2"``, ``units="0,3"``: what selects the batch items and units of a part."""
        units = next((n for n in self.columns.values() if not counts_from_0(n)), None)
        given = ("batch", self.batch), ("units", units)
        each = (
            (name, n) for name, n in given if n is not None and not counts_from_0(n)
        )
        return {name: format_indices(n) for name, n in each}

    def refuse_parts(self, name: str, what: str) -> None:
        """Refuse a part of a run where numbers have to count from 0."""
        if not self.from_the_start:
            raise UserError(
                f"{name} contains {self.description} of a run; {what} counts from 0. "
                "Give the full run, written without a selection of steps, batch items and units."
            )

    @classmethod
    def of_meta(
        cls, meta: Mapping[str, Any] | None, widths: Mapping[str, int]
    ) -> AxisNumbers:
        """The numbers in ``meta`` (`SelectedIndices.settings`), for these widths."""
        selected = (meta or {}).get("selected")
        if not isinstance(selected, dict):
            return UNNUMBERED
        steps, batch, units = (
            parse_indices(selected.get(name)) for name in Sizes._fields
        )
        of_units = (k for k in widths if k.rpartition(".")[2] in ("h", "c", *GATES))
        columns = {} if units is None else {k: units[: widths[k]] for k in of_units}
        if isinstance(stored := selected.get("columns"), dict):
            columns |= {
                k: numbers for k, v in stored.items() if (numbers := parse_indices(v))
            }
        columns = {k: v for k, v in columns.items() if len(v) == widths.get(k)}
        return cls(steps, batch, columns)


UNNUMBERED = AxisNumbers()


def counts_from_0(numbers: Indices) -> bool:
    """Return whether ascending numbers are 0, 1, 2, ..."""
    return not len(numbers) or (numbers[0] == 0 and numbers[-1] == len(numbers) - 1)


def describe_parts(parts: Iterable[NumberedPart]) -> str:
    """``steps 2:5, units 0,3 of h, c``: each part once, with its arrays."""
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
    with suppress(UserError):
        choice = (
            Choice.parse(text, "meta.selected", "number")
            if isinstance(text, str)
            else None
        )
        numbers: Indices = choice.numbers if choice else ()
        if choice and (of := choice.bounds) and None not in (of.start, of.stop):
            numbers = range(of.start, of.stop, of.step or 1)
        return numbers if numbers and numbers[0] >= 0 else None
    return None
