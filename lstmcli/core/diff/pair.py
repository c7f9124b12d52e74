"""Two arrays of one name, on the same axes as far as these are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest

import numpy as np

from lstmcli.core.diff.array_name import FINAL, SEQUENCE, ArrayName
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import NumberedPart, counts_from_0
from lstmcli.core.model.selection import Indices

Numbering = tuple[Indices | None, ...]
"""The indices of steps, batch items and units in the full run; None: all from 0."""

FULL: Numbering = (None, None, None)
Parts = tuple[tuple[int, NumberedPart], ...]  # each of a side, 0 or 1


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
    backward: bool = False  # the last step was computed first
    numbers: Numbering = FULL  # of the axes in the full run
    names: tuple[str, str] = ("a", "b")  # what messages call the sides
    taken_as: str = ""  # what was done to bring the sides together
    axes_known: bool = False  # `taken_as` names the axes of steps and sequences
    is_half: bool = False  # one side has one direction of the other's two
    unaligned: str = ""  # why the sides were not brought together
    parts: Parts = ()  # what a side contains of an axis, where its file has only some
    at_ends: bool = False  # the one step is each sequence's last valid one
    padded: Mask | None = None  # (T, B): true at steps that are not compared

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return FINAL if self.at_ends else ArrayName.of(self.name).kind

    @property
    def stepwise(self) -> bool:
        """Return whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    @property
    def from_the_start(self) -> bool:
        """Return whether the first step that is compared is the one that was computed first."""
        steps = self.numbers[0]
        return steps is None or (counts_from_0(steps) and not self.backward)

    def numbers_of(self, index: Sequence[int]) -> tuple[int, ...]:
        """An index in the full run: of a placed pair the step, batch item and unit."""
        axes = zip_longest(index, self.numbers[: len(index)])
        return tuple(n if numbers is None else numbers[n] for n, numbers in axes)

    @property
    def as_computed(self) -> Pair:
        """The pair with the steps in the order in which they were computed."""
        order = slice(None, None, -1 if self.backward and self.stepwise else 1)
        padded = None if self.padded is None else self.padded[order]
        return replace(self, a=self.a[order], b=self.b[order], padded=padded)

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
        """Tell whether most units differ in rows that do: a cause in the cell reaches them all."""
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
        """Return whether all that is compared agrees."""
        return self.agrees is not None and bool(self.agrees.all())

    @property
    def equal(self) -> bool:
        """Return whether it agrees, and no side lacks units or a direction."""
        return self.numbers_agree and not self.is_half
