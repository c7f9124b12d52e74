"""Which steps, batch items and units of a run are shown or written, and with how many digits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import axes_of_run
from lstmcli.core.model.model import Trace
from lstmcli.core.model.part import (
    LIST,
    RANGE,
    Indices,
    Part,
    Sizes,
    below,
    format_indices,
    take,
    units_of,
)
from lstmcli.core.model.surroundings import Y
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, listed

ENDLESS = 1 << 62  # the size of a stream, whose end is not known


def _bound(text: str | None) -> int | None:
    return None if text is None else int(text)


@dataclass(frozen=True)
class Choice:
    """The value of one option: ``0:10``, ``:``, ``3``, ``0,2,5`` or ``-1``."""

    option: str  # the setting
    noun: str
    text: str
    bounds: slice | None  # of a range
    numbers: tuple[int, ...] = ()  # of a list

    @classmethod
    def parse(cls, text: str | None, option: str, noun: str) -> Choice | None:
        """The value as typed; UserError for none or one that does not ascend."""
        if text is None:
            return None
        match = RANGE.fullmatch(text)
        if match:
            bounds = slice(*map(_bound, match.groups()))
            if bounds.step is None or bounds.step > 0:
                return cls(option, noun, text, bounds)
        elif LIST.fullmatch(text):
            numbers = tuple(map(int, text.split(",")))
            choice = cls(option, noun, text, None, numbers)
            choice.refuse_descent([n for n in numbers if n >= 0])
            choice.refuse_descent([n for n in numbers if n < 0])
            return choice
        mixed = ""
        if "," in text and ":" in text:
            mixed = "a list has no ranges in it; "
        raise UserError(
            f"{mixed}takes one {noun} (3), several (0,2), or a range that ascends (0:10).",
            about={option: text},
        )

    @classmethod
    def single(cls, option: str, noun: str, number: int) -> Choice:
        """The choice of one number."""
        return cls(option, noun, str(number), None, (number,))

    @property
    def typed(self) -> dict[str, str]:
        """The setting with its text, which messages are about."""
        return {self.option: self.text}

    @property
    def is_all(self) -> bool:
        """Return whether it is the range of all: ``:``, ``0:`` or ``::1``."""
        of = self.bounds
        return of is not None and (of.start or 0, of.stop, of.step or 1) == (0, None, 1)

    def among(self, size: int, of_all: int | None = None) -> Indices:
        """The numbers from 0 that are chosen among ``size``, as NumPy takes them.

        The message has those below ``of_all``, which every array has.
        """
        numbers: Indices = ()
        if self.bounds is not None:
            numbers = range(size)[self.bounds]
        elif all(-size <= number < size for number in self.numbers):
            numbers = [range(size)[number] for number in self.numbers]
        if not numbers:
            raise self._none_among(of_all or size, is_endless=size == ENDLESS)
        self.refuse_descent(numbers)
        return numbers

    def _none_among(self, size: int, *, is_endless: bool) -> UserError:
        there = f"{self.noun}s are 0 to {size - 1}"
        if is_endless:
            there = f"{self.noun}s are 0 or more"
        elif size == 1:
            there = f"there is only {self.noun} 0"
        if self.bounds is not None:
            text = f"no {self.noun} in this range; {there}, and a range ascends."
            return UserError(text, about=self.typed)
        off = [number for number in self.numbers if not -size <= number < size]
        missing = off[0] if off else self.numbers[-1]
        return UserError(
            f"there is no {self.noun} {missing}; {there}.", about=self.typed
        )

    def refuse_descent(self, numbers: Indices) -> None:
        """Refuse numbers that do not ascend, as the order of a run is kept."""
        if isinstance(numbers, range) or all(a < b for a, b in pairwise(numbers)):
            return
        ascending = ",".join(map(str, sorted(set(numbers))))
        raise UserError(
            "indices ascend.", about=self.typed, try_={self.option: ascending}
        )

    def cut(self, size: int) -> str:
        """Return what a range contains that begins too early or ends too late; "" of others.

        NumPy cuts it to those that are there.
        """
        if self.bounds is None:
            return ""
        start, stop = self.bounds.start or 0, self.bounds.stop or 0
        if stop <= size and start >= -size:
            return ""
        kept = format_indices(self.among(size))
        return f"{self.noun}s {self.text} are cut to {kept}: the last is {size - 1}."

    @property
    def counts_from_the_end(self) -> bool:
        """Return whether a number is below 0."""
        given = (
            self.numbers
            or (self.bounds and (self.bounds.start, self.bounds.stop))
            or ()
        )
        return any(one is not None and one < 0 for one in given)

    def refuse_from_the_end(self) -> None:
        """Refuse numbers that count from an end which is not known."""
        if self.counts_from_the_end:
            raise UserError(
                "the end of a stream is not known; indices are 0 or more, or give the inputs as a "
                "file.",
                about=self.typed,
            )


def indices_of(choice: Choice | None, size: int) -> Indices:
    """The numbers that are chosen among ``size``: all without a choice."""
    return range(size) if choice is None else choice.among(size)


def numbers_on_axis(
    choice: Choice | None, size: int, numbers: Indices | None, name: str
) -> tuple[Indices, Indices]:
    """The numbers in the full run that are chosen of an axis of an array, and their places on it.

    ``numbers`` are those of the axis of a part of a run; None: all from 0.
    """
    if numbers is None:
        chosen = indices_of(choice, size)
        return chosen, chosen
    if choice is None:
        return numbers, range(size)
    there = f"there are only {choice.noun}s {format_indices(numbers)} of {name}."
    if choice.counts_from_the_end:
        text = f"it counts from the end of the full run; {there}"
        raise UserError(text, about=choice.typed)
    chosen = choice.among(ENDLESS)
    both = [number for number in numbers if number in chosen]
    if not both or len(both) < len(choice.numbers):
        raise UserError(there, about=choice.typed)
    return both, np.searchsorted(np.asarray(numbers), both).tolist()


class Selection(NamedTuple):
    """Choices of what a run shows, as typed; None: all, or default digits."""

    steps: Choice | None = None
    batch: Choice | None = None
    units: Choice | None = None
    digits: int | None = None

    @classmethod
    def parse(
        cls,
        steps: str | None,
        batch: str | None,
        units: str | None,
        digits: int | None = None,
    ) -> Selection:
        """From the values of ``--steps --batch --units --digits``."""
        return cls(
            Choice.parse(steps, "steps", "step"),
            Choice.parse(batch, "batch", "batch item"),
            Choice.parse(units, "units", "unit"),
            digits,
        )

    def cuts(self, full: Sizes) -> list[str]:
        """Lines on ranges beyond a run of these sizes; 0: unknown."""
        lines = [
            c.cut(size) for c, size in zip(self[:3], full, strict=True) if c and size
        ]
        return [line for line in lines if line]

    def within(self, steps: int, batch: int, widths: Mapping[str, int]) -> Part:
        """The indices selected of a run whose arrays have these widths."""
        if not widths:
            self._refuse_final_states()
        of_cells = {name: width for name, width in widths.items() if name != Y}
        if not of_cells:  # else units are those of cells
            of_cells = dict(widths)
        columns = self._columns(of_cells)
        for name, width in widths.items():
            columns.setdefault(name, range(width))
        units = [units_of(name, width) for name, width in of_cells.items()]
        return Part(
            indices_of(self.steps, steps),
            indices_of(self.batch, batch),
            columns,
            Sizes(steps, batch, max(units, default=0)),
        )

    def _refuse_final_states(self) -> None:
        for choice in (self.steps, self.units):
            if choice is not None and not choice.is_all:
                raise UserError(
                    "final_h, final_c and final_y have no steps, and all their units are stored; "
                    "another array, such as h, can be selected from.",
                    about=choice.typed,
                    try_={choice.option: None},
                )

    def _columns(self, widths: Mapping[str, int]) -> dict[str, Indices]:
        """The columns of each array of these widths."""
        columns = columns_by_array(self.units if widths else None, widths)
        without = [name for name, picked in columns.items() if not picked]
        if self.units and without:
            most = min(units_of(name, widths[name]) for name in without) - 1
            text = f"units of {listed(without, 3)} are 0 to {most}; choose among these."
            raise UserError(text, about=self.units.typed)
        return columns


EVERYTHING = Selection()


def split_z(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """z (T, B, 4H) as ``z_i``, ``z_f``, ...; other arrays as they are."""
    split: dict[str, Array] = {}
    for name, array in arrays.items():
        width = array.shape[2]
        units = units_of(name, width)
        if units == width:
            split[name] = array
            continue
        for n, gate in enumerate(GATES):
            split[f"{name}_{gate}"] = array[:, :, n * units : (n + 1) * units]
    return split


def columns_of(name: str, width: int, units: Indices) -> Indices:
    """The columns of an array for some units; of z, in each gate."""
    size = units_of(name, width)
    units = below(units, size)
    if size == width:
        return units
    columns: list[int] = []
    for first in range(0, width, size):  # of a gate
        columns += [first + unit for unit in units]
    return columns


def columns_by_array(
    choice: Choice | None, widths: Mapping[str, int]
) -> dict[str, Indices]:
    """Each array's columns for the units that are chosen of the widest."""
    sizes = [units_of(name, width) for name, width in widths.items()] or [0]
    units = choice.among(max(sizes), min(sizes)) if choice else range(max(sizes))
    return {name: columns_of(name, width, units) for name, width in widths.items()}


def read_names(given: Any, what: str) -> list[str]:
    """The names that an argument gives: several, one, or a text with commas.

    ``what`` is what a message calls it.
    """
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",")]
    try:
        names = list(given)
    except TypeError:  # a number, or an array of no axes
        names = [None]
    if not all(isinstance(name, str) for name in names):
        raise UserError(f'{what} takes names of arrays, such as ("h", "c").')
    return names


def is_named(member: str, name: str) -> bool:
    """Return whether a member has a name: ``layer0.f`` is an ``f``."""
    return name in (member, member.rpartition(".")[2])


def members_named(members: Collection[str], names: Iterable[str]) -> list[str]:
    """The members that have one of these names, in the order of the names."""
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(member for member in members if is_named(member, name))
    return [*found]


def round_to_digits(array: Array, digits: int | None) -> Array:
    """Numbers as `format_number` rounds them; as given without ``digits``."""
    if digits is None:
        return array
    values = [
        float(format_number(value, digits))
        for value in array.astype(np.float64).ravel().tolist()
    ]
    return np.array(values, np.float64).reshape(array.shape)


def format_number(value: float, digits: int) -> str:
    """``digits`` places after the point; with an exponent below 1e-4 and from 1e8 on.

    So 5.4e-14 is not shown as 0.00000000. Zero has no sign.
    """
    size = abs(value)
    if not isfinite(value):
        return str(value)
    if size != 0 and (size < 1e-4 or size >= 1e8):
        return f"{value:.{digits}e}"
    return f"{value:z.{digits}f}"


def format_size(value: float, digits: int = 3) -> str:
    """``0.133``, ``4.95e-9``: a number with at most this many digits."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def cut_trace(trace: Trace, selected: Part, states: str) -> Trace:
    """The selected part of a trace; final states keep all units of the selected batch items.

    ``states`` is the convention's: where states and directions have their
    axes.
    """
    arrays: dict[str, Array] = {}
    for name, array in trace.arrays.items():
        if name not in selected.columns:
            continue
        steps, batch = axes_of_run(array.ndim, trace.layout, states)
        array = take(array, selected.steps, steps)
        if batch is not None:
            array = take(array, selected.batch, batch)
        arrays[name] = take(array, selected.columns[name], array.ndim - 1)
    h, c = (
        cut_final_state(a, selected, trace.layout, states)
        for a in (trace.final_h, trace.final_c)
    )
    y = trace.final_y
    if y is not None and trace.layout != "steps":
        y = take(y, selected.batch, 0)
    meta = {**trace.settings, **selected.meta()}
    return Trace(arrays, h, c, trace.layout, meta, y)


def cut_final_state(array: Array, selected: Part, layout: str, states: str) -> Array:
    """The selected batch items of a final state."""
    if layout == "steps":
        return array
    return take(array, selected.batch, int(array.ndim == 3 and states != "batch"))
