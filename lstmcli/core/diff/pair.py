"""Two arrays of one name, on the same axes as far as these are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import FINAL, SEQUENCE, ArrayName
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import AxisNumbers
from lstmcli.core.model.selection import Choice, Indices

Sides = tuple[Numbers, Numbers]
Layouts = tuple[str | None, str | None]
Meta = Mapping[str, Any] | None
Numbering = tuple[Indices | None, ...]
"""The numbers of steps, batch items and units in the full run; None: all from 0."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An array of a and one of b, aligned, and the test they have to pass.

    Sequences are (T, B, H), final states (1, B, H); weights, and sequences with more axes than
    that, have the axes of their files.
    """

    name: str
    a: Numbers
    b: Numbers
    tolerance: Tolerance
    placed: bool = False  # the axes are step, batch item and unit; else a position is an index
    backward: bool | None = False  # the last step was computed first; None: not known
    numbers: Numbering = (None, None, None)  # of the axes in the full run
    taken_as: str = ""  # what was done to bring the sides together; {a} and {b} stand for them
    axes_known: bool = False  # `taken_as` names the axes of steps and sequences
    is_half: bool = False  # one side has one direction of the other's two
    unaligned: str = ""  # why the sides were not brought together
    parts: tuple[Indices | None, Indices | None] = (None, None)  # the steps of a side with some
    at_ends: bool = False  # the one step is each sequence's last valid one
    padded: Mask | None = None  # (T, B): true at steps that are not compared

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return FINAL if self.at_ends else ArrayName.of(self.name).kind

    @property
    def is_part(self) -> bool:
        """Whether a side's file contains only some steps of a run, by its indices."""
        return self.parts != (None, None)

    @property
    def stepwise(self) -> bool:
        """Whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    def numbers_of_part(self, axis: int) -> Indices | None:
        """The numbers on an axis in the full run where a side contains a part; None for all."""
        numbers, part = self.numbers[axis], axis == 0 and self.is_part
        return range(self.a.shape[axis]) if numbers is None and part else numbers

    def numbers_of(self, index: Sequence[int]) -> tuple[int, ...]:
        """An index in the full run: of a placed pair the step, batch item and unit."""
        axes = zip_longest(index, self.numbers[: len(index)])
        return tuple(n if numbers is None else numbers[n] for n, numbers in axes)

    def in_order(self, by_step: Array) -> Array:
        """Steps as computed, not as stored."""
        return by_step[::-1] if self.backward else by_step

    @cached_property
    def agrees(self) -> Mask | None:
        """True where an element agrees; None if the shapes differ."""
        return self.tolerance.agree(self.a, self.b) if self.a.shape == self.b.shape else None

    @property
    def differs(self) -> Mask:
        """True where an element differs, of arrays of one shape."""
        assert self.agrees is not None
        return ~self.agrees

    @cached_property
    def is_dense(self) -> bool:
        """Whether most units differ in the rows that do: what acts in the cell reaches them all."""
        return bool(self.differs[self.differs.any(axis=-1)].mean() > 0.5)

    @cached_property
    def errors(self) -> Array:
        """|a - b| of arrays of one shape, in float64 or wider."""
        with np.errstate(all="ignore"):
            a, b = widened(self.a.values, self.b.values)
            errors: Array = np.abs(a - b)
        return errors

    @property
    def numbers_agree(self) -> bool:
        """Whether all that is compared agrees."""
        return self.agrees is not None and bool(self.agrees.all())

    @property
    def equal(self) -> bool:
        """Whether it agrees, and no side lacks units or a direction."""
        return self.numbers_agree and not self.is_half


class Known(NamedTuple):
    """What two sides specify of an array, and what of it is to be compared.

    ``layouts`` are "steps" (T, H), "time" (T, B, H) or "batch" (B, T, H). A silent side (None)
    has the other's, unless only the other layout gives it as many steps; two silent sides
    are compared as they lie, the first axis as time.
    """

    layouts: Layouts
    choices: tuple[Choice | None, ...]  # of steps, batch items and units; None: all
    numbering: tuple[AxisNumbers, AxisNumbers]
    counted: tuple[bool, bool]  # it is a full trace, and counts from 0
    cells: tuple[int, int]  # that have arrays in the file of either side
    metas: tuple[Meta, Meta] = (None, None)  # the settings of the runs; None: no run

    @property
    def silent(self) -> bool:
        """Whether no side names its layout."""
        return self.layouts == (None, None)

    def several_cells(self, sides: Sides) -> bool:
        """Whether an axis of last states may be that of cells."""
        return any(side.ndim > 2 and n > 1 for side, n in zip(sides, self.cells, strict=True))

    def chosen(self, axis: int) -> Known:
        """The same once what is selected of an axis is all that there is."""
        return self._replace(choices=(*self.choices[:axis], None, *self.choices[axis + 1 :]))

    def numbers(self, pair: Pair, side: int, axis: int) -> Indices | None:
        """The indices of the batch items or units of the full run that a side contains."""
        of_side = self.numbering[side]
        if axis == 1 or pair.kind != SEQUENCE:
            return of_side.batch if axis == 1 else None
        return of_side.columns.get(pair.name)
