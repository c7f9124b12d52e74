"""Which steps, batch items and units of a run there are: in a file, a selection or a table."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, listed

Indices = Sequence[int]  # of steps, batch items or units in the full run, ascending

AXES = ("steps", "batch items", "units")
NAMED_OF_PART = 7  # arrays in a description: those of one cell; of more, the count
MAX_DIGITS = 18  # of a step's index; Python refuses thousands
NUMBER = rf"-?\d{{1,{MAX_DIGITS}}}"
RANGE = re.compile(rf"\s*({NUMBER})?\s*:\s*({NUMBER})?\s*(?::\s*({NUMBER})?\s*)?")
LIST = re.compile(rf"\s*{NUMBER}\s*(,\s*{NUMBER}\s*)*")

NumberedPart = tuple[str, Indices, str]
"""The numbers of one of `AXES` that an array contains, and the name of the array."""


class Sizes(NamedTuple):
    """The sizes of a full run."""

    steps: int
    batch: int
    units: int  # of the widest array


class Part(NamedTuple):
    """The steps, batch items and columns that there are, by their indices in the full run.

    A text or ``meta`` gives what it says; a selection gives all three, and the
    ``full`` sizes. None, or a name that is absent: not known, all from 0.
    """

    steps: Indices | None = None
    batch: Indices | None = None
    columns: Mapping[str, Indices] = {}  # of each array, along its last axis
    full: Sizes = Sizes(0, 0, 0)  # 0: not known

    @property
    def units(self) -> Indices:
        """The units of the array that has most."""
        of_arrays = [
            columns[: units_of(name, len(columns))]
            for name, columns in self.columns.items()
        ]
        return max(of_arrays, key=len, default=())

    @property
    def sizes(self) -> Sizes:
        """How many steps, batch items and units are known to be there."""
        return Sizes(len(self.steps or ()), len(self.batch or ()), len(self.units))

    @property
    def is_whole(self) -> bool:
        """Return whether all of the run is there."""
        return self.sizes == self.full

    def has_steps(self, steps: slice) -> bool:
        """Return whether one of some steps of a run is there."""
        at = positions_between(self.steps or (), steps)
        return bool(at.start < at.stop)

    def cut(self, array: Array, first_item: int = 0) -> Array:
        """The batch items and units of (s, R, H), those that it has from ``first_item`` on.

        Nothing is copied where all are there.
        """
        here = slice(first_item, first_item + array.shape[1])
        array = take(array, _within(self.batch or (), here)[1], 1)
        return take(array, below(self.units, array.shape[2]), 2)

    def cut_piece(
        self, steps: slice, batch: slice, arrays: Mapping[str, Array]
    ) -> tuple[slice, slice, dict[str, Array]]:
        """The part that is there of arrays (s, R, K), some steps and batch items of a run.

        First its places among all steps and batch items that are there.
        """
        at, numbers = _within(self.steps or (), steps)
        items, of_items = _within(self.batch or (), batch)
        cut: dict[str, Array] = {}
        if numbers and of_items:
            for name, columns in self.columns.items():
                array = take(take(arrays[name], numbers, 0), of_items, 1)
                cut[name] = take(array, columns, array.ndim - 1)
        return at, items, cut

    @property
    def some_batch(self) -> Indices | None:
        """The batch items; None if all of the run are there."""
        return None if self.sizes.batch == self.full.batch else self.batch

    @property
    def some_columns(self) -> Mapping[str, Indices]:
        """The columns of each array; none if all units of the run are there."""
        return {} if self.sizes.units == self.full.units else self.columns

    # ---- in words

    @property
    def from_the_start(self) -> bool:
        """Return whether every known axis counts from 0 without gaps."""
        return not self.description

    @property
    def description(self) -> str:
        """``steps 2:5, units 0,3 of h``: the axes that do not count from 0 without gaps."""
        known = [(AXES[0], self.steps or (), ""), (AXES[1], self.batch or (), "")]
        known += [(AXES[2], numbers, name) for name, numbers in self.columns.items()]
        return describe_parts(one for one in known if not counts_from_0(one[1]))

    @property
    def settings(self) -> dict[str, str]:
        """``batch="1:2"``, ``units="0,3"``: what selects these batch items and units."""
        units = (one for one in self.columns.values() if not counts_from_0(one))
        given = {"batch": self.batch or (), "units": next(units, ())}
        return {k: format_indices(n) for k, n in given.items() if not counts_from_0(n)}

    def refuse_parts(self, name: str, what: str) -> None:
        """Refuse a part of a run where numbers have to count from 0."""
        if not self.from_the_start:
            raise UserError(
                f"{name} contains {self.description} of a run; {what} counts from 0. "
                "Give the full run, written without a selection of steps, batch items and units."
            )

    # ---- in ``meta``

    def meta(self) -> dict[str, Any]:
        """The part as a member of a trace's ``meta``; empty of a full run.

        ``{"selected": {"steps": "2:5", "of_steps": 7}}`` for each axis of
        which a part is selected.
        """
        meta: dict[str, Any] = {}
        all_ = zip(Sizes._fields, self.sizes, self.full, strict=True)
        for name, size, of in all_:
            if size < of:
                meta |= {name: format_indices(getattr(self, name)), f"of_{name}": of}
        gates = {
            name: format_indices(columns)
            for name, columns in self.columns.items()
            if name.rpartition(".")[2] == "z"
        }
        if "units" in meta and gates:
            meta["columns"] = gates  # of z, the four gates side by side
        return {"selected": meta} if meta else {}

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any] | None, widths: Mapping[str, int]) -> Part:
        """The part in ``meta``, of arrays of these widths."""
        selected = (meta or {}).get("selected")
        if not isinstance(selected, dict):
            return WHOLE
        steps, batch, units = (parse_indices(selected.get(k)) for k in Sizes._fields)
        of_units = (k for k in widths if k.rpartition(".")[2] in ("h", "c", *GATES))
        columns: dict[str, Indices] = {}
        if units is not None:
            columns = {name: units[: widths[name]] for name in of_units}
        stored = selected.get("columns")
        if isinstance(stored, dict):
            for name, text in stored.items():
                numbers = parse_indices(text)
                if numbers:
                    columns[name] = numbers
        columns = {k: n for k, n in columns.items() if len(n) == widths.get(k)}
        return cls(steps, batch, columns)


WHOLE = Part()


def units_of(name: str, width: int) -> int:
    """The units of an array: z has those of four gates side by side."""
    is_z = name.rpartition(".")[2] == "z" and width % 4 == 0
    return width // 4 if is_z else width


def below(numbers: Indices, size: int) -> Indices:
    """The ascending numbers that are below ``size``."""
    return numbers[: bisect_left(numbers, size)]


def _within(numbers: Indices, piece: slice) -> tuple[slice, Indices]:
    """The ascending numbers of a piece: their slice, and places in the piece."""
    at = positions_between(numbers, piece)
    here = numbers[at]
    if isinstance(here, range):  # a list of it takes longer than a small run
        first = piece.start
        return at, range(here.start - first, here.stop - first, here.step)
    return at, [number - piece.start for number in here]


def positions_between(numbers: Indices, piece: slice) -> slice:
    """The slice of the ascending numbers that are those of a piece."""
    return slice(bisect_left(numbers, piece.start), bisect_left(numbers, piece.stop))


def take(array: Array, numbers: Indices | None, axis: int) -> Array:
    """The elements at indices along an axis; the array if these, or None, are all."""
    if numbers is None or len(numbers) == array.shape[axis]:
        return array
    return np.take(array, np.asarray(numbers, dtype=np.intp), axis=axis)


def counts_from_0(numbers: Indices) -> bool:
    """Return whether ascending numbers are 0, 1, 2, ..."""
    return not len(numbers) or (numbers[0] == 0 and numbers[-1] == len(numbers) - 1)


def format_indices(numbers: Indices) -> str:
    """Ascending numbers as a selection: ``2:5``, ``0:8:2`` or ``0,2,7``."""
    strides = set(np.diff(np.asarray(numbers)).tolist()) or {1}
    if len(strides) > 1 or (len(numbers) < 3 and strides != {1}):
        return ",".join(map(str, numbers))
    (stride,) = strides
    ends = f"{numbers[0]}:{numbers[-1] + 1}"
    return ends if stride == 1 else f"{ends}:{stride}"


def parse_indices(text: Any) -> Indices | None:
    """The inverse of `format_indices`; None for anything else."""
    if not isinstance(text, str):
        return None
    numbers: Indices = ()
    match = RANGE.fullmatch(text)
    if match:
        start, stop, step = match.groups()
        if start and stop and int(step or 1) > 0:
            numbers = range(int(start), int(stop), int(step or 1))
    elif LIST.fullmatch(text):
        numbers = tuple(map(int, text.split(",")))
        if any(a >= b for a, b in pairwise(numbers)):
            return None
    return numbers if numbers and numbers[0] >= 0 else None


def describe_parts(parts: Iterable[NumberedPart]) -> str:
    """``steps 2:5, units 0,3 of h, c``: each part once, with its arrays."""
    arrays: dict[str, list[str]] = {}
    for noun, numbers, name in parts:
        names = arrays.setdefault(f"{noun} {format_indices(numbers)}", [])
        if noun == AXES[2] and name not in names:
            names.append(name)
    return ", ".join(
        f"{text} of {listed(names, NAMED_OF_PART)}" if names else text
        for text, names in arrays.items()
    )
