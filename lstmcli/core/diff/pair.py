"""Two arrays of one name, how they are placed on the axes of a run, and where they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from lstmcli.core.diff.operand import FINAL, SEQUENCE, ArrayName
from lstmcli.core.diff.tolerance import Mask, Numbers, Tolerance, widened
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.part import Indices, NumberedPart, counts_from_0


class Taken(NamedTuple):
    """The interpretation of an array of one side."""

    side: str  # as messages call it
    words: str
    shape: tuple[int, ...] | None = None  # None: it is a part that was selected

    def text(self, verb: str = "is interpreted as") -> str:
        """``a.npy, (7, 5), is interpreted as sequence 2 of 4``."""
        shape = f", {self.shape}," if self.shape else ""
        return f"{self.side}{shape} {verb} {self.words}"


class Placement(NamedTuple):
    """How both arrays of a pair are placed on a run."""

    on_run: bool = False  # on axes of step, batch item and unit
    taken: tuple[Taken, ...] = ()  # what was done to bring the sides together
    names_axes: bool = False  # `taken` tells steps and sequences
    is_half: bool = False  # one side has one direction of two
    at_ends: bool = False  # the one step is an end of each sequence
    why_not: str = ""  # the sides were not brought together

    @property
    def words(self) -> str:
        """How each side is interpreted."""
        return "; ".join(one.text() for one in self.taken)

    @property
    def possible(self) -> str:
        """How each side may be interpreted."""
        return "; ".join(one.text("may be") for one in self.taken)


AS_IN_FILES = Placement()
ON_RUN = Placement(on_run=True)
ENDS = Placement(on_run=True, at_ends=True)


@dataclass(frozen=True, eq=False)
class Pair:
    """An array of a and one of b, and the test they have to pass.

    Sequences are (T, B, H), final states (1, B, H); others have the axes of their files.
    """

    name: str
    a: Numbers
    b: Numbers
    tolerance: Tolerance
    names: tuple[str, str] = ("a", "b")  # what messages call the sides
    backward: bool = False  # the last step was computed first
    placement: Placement = AS_IN_FILES
    # of each axis, in the full run; None: all from 0
    indices: tuple[Indices | None, ...] = (None, None, None)
    parts: tuple[tuple[int, NumberedPart], ...] = ()  # of a run, of side 0 or 1
    padded: Mask | None = None  # (T, B): true at steps that are not compared

    @property
    def kind(self) -> str:
        """``sequence``, ``final`` or ``weights``."""
        return FINAL if self.placement.at_ends else ArrayName.of(self.name).kind

    @property
    def placed(self) -> bool:
        """Return whether the axes are those of step, batch item and unit."""
        return self.placement.on_run

    @property
    def stepwise(self) -> bool:
        """Return whether the first axis is time."""
        return self.placed and self.kind == SEQUENCE

    @property
    def from_the_start(self) -> bool:
        """Return whether what was computed first is compared."""
        steps = self.indices[0]
        return steps is None or (counts_from_0(steps) and not self.backward)

    def index_in_run(self, index: Sequence[int]) -> tuple[int, ...]:
        """An index of these arrays in the full run; if placed, step, batch item and unit."""
        axes = zip_longest(index, self.indices[: len(index)])
        return tuple(n if in_run is None else in_run[n] for n, in_run in axes)

    def moved(self, how: Callable[[Array], Array]) -> Pair:
        """The pair after ``how`` has moved the numbers of both sides."""
        return replace(self, a=self.a.moved(how), b=self.b.moved(how))

    @property
    def as_computed(self) -> Pair:
        """The pair with the steps in the order in which they were computed."""
        if not (self.backward and self.stepwise):
            return self
        steps, items, units = self.indices
        if steps is None:
            steps = range(len(self.a.values))
        padded = None if self.padded is None else self.padded[::-1]
        turned = self.moved(lambda v: v[::-1])
        return replace(turned, indices=(steps[::-1], items, units), padded=padded)

    @property
    def start(self) -> Pair:
        """The step that was computed first; without steps all of the pair."""
        return self.as_computed.moved(lambda v: v[:1]) if self.stepwise else self

    @property
    def left_out(self) -> Mask:
        """True where printed output left the element out, or the step is padding."""
        left_out = self.a.left_out | self.b.left_out
        if self.padded is not None:
            left_out = left_out | self.padded[..., None]
        return left_out

    @cached_property
    def agrees(self) -> Mask | None:
        """True where an element agrees; None if the shapes differ."""
        if self.a.shape != self.b.shape:
            return None
        return self.tolerance.agree(self.a, self.b)

    @property
    def differs(self) -> Mask:
        """True where an element differs."""
        return ~np.asarray(self.agrees)

    @property
    def is_dense(self) -> bool:
        """Tell whether most units differ in rows that do, as by a cause in the cell."""
        return bool(self.differs[self.differs.any(axis=-1)].mean() > 0.5)

    @cached_property
    def errors(self) -> Array:
        """|a - b| of arrays of one shape, in float64 or wider."""
        with np.errstate(all="ignore"):
            a, b = widened(self.a.values, self.b.values)
            return np.asarray(np.abs(a - b))

    @property
    def numbers_agree(self) -> bool:
        """Return whether all that is compared agrees."""
        return self.agrees is not None and bool(self.agrees.all())
