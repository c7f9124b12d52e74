"""Some steps of a long run under their own numbers: those that are kept, or those that pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.forward.batch import Meter
from lstmcli.core.forward.run import check_inputs
from lstmcli.core.forward.streaming import PIECE, Stack, plan, sweep
from lstmcli.core.model.model import Model, SliceableArray, Trace, block, steps_and_batch

Array = npt.NDArray[Any]

PASSING = 1000  # steps that are there at once while a run passes, if their inputs fill no piece


class Steps:
    """An array (T, B, K) of which only some steps are held."""

    def __init__(self, steps: int, parts: Mapping[range, Array]) -> None:
        self._parts = parts  # each (s, B, K)
        some = next(iter(parts.values()))
        self.shape = (steps, *some.shape[1:])
        self.dtype = some.dtype

    def __getitem__(self, index: Any) -> Any:
        """A step's (B, K); several steps' (s, B, K); for a tuple, these steps of what it picks."""
        if isinstance(index, tuple):
            return self._pick(index)
        if isinstance(index, Sequence):
            return np.stack([self._step(step) for step in index])
        return self._step(index)

    def _pick(self, index: tuple[Any, ...]) -> Steps:
        return Steps(self.shape[0], {k: a[index] for k, a in self._parts.items()})

    def _step(self, number: int) -> Array:
        for steps, array in self._parts.items():
            if number in steps:
                held: Array = array[steps.index(number)]
                return held
        raise IndexError(f"step {number} was not kept")


class Passing:
    """A forward run that goes on when somebody asks for a step further on; a piece is held."""

    def __init__(
        self, model: Model, x: SliceableArray, layout: str, keep: Sequence[str],
        initial_state: Mapping[str, Any], see: Callable[[Mapping[str, Array]], None] | None = None,
        meter: Meter | None = None,
    ) -> None:  # fmt: skip
        self._x, self._layout, self._keep, self._see = x, layout, tuple(keep), see
        self.steps, rows = steps_and_batch(x.shape, layout)
        self.stack = Stack.of_stream(model, rows, initial_state, meter)
        self._size = max(1, min(PASSING, PIECE // (rows * x.shape[-1] * x.dtype.itemsize)))
        self._first, self.piece = 0, dict[str, Array]()  # each (s, B, K)
        self.go_on()

    def go_on(self) -> None:
        """Run the next piece."""
        self._first = self.stack.steps
        steps = slice(self._first, self._first + self._size)
        self.piece = self.stack.advance(block(self._x, self._layout, steps), self._keep)
        if self._see:
            self._see(self.piece)

    def reach(self, step: int) -> int:
        """Go on to the piece with this step; gives its place there."""
        while step >= self.stack.steps:
            self.go_on()
        if step < self._first:
            raise IndexError(f"step {step} has passed")
        return step - self._first

    def arrays(self) -> dict[str, Any]:
        """Every array by name, as an `Arriving`."""
        return {name: Arriving(self, self.steps, name) for name in self.piece}


class Arriving(Steps):
    """An array (T, B, K) of a run that is passing."""

    def __init__(
        self, passing: Passing, steps: int, name: str, picks: tuple[Any, ...] = ()
    ) -> None:
        self._passing, self._name, self._picks = passing, name, picks
        self._seen: tuple[Array, Array] | None = None  # a piece, and what is picked of it
        some = self._picked()
        self.shape, self.dtype = (steps, *some.shape[1:]), some.dtype

    def _picked(self) -> Array:
        piece = self._passing.piece[self._name]
        if self._seen is None or self._seen[0] is not piece:
            picked = piece
            for index in self._picks:
                picked = picked[index]
            self._seen = piece, picked
        return self._seen[1]

    def _pick(self, index: tuple[Any, ...]) -> Steps:
        return Arriving(self._passing, self.shape[0], self._name, (*self._picks, index))

    def _step(self, number: int) -> Array:
        place = self._passing.reach(number)
        step: Array = self._picked()[place]
        return step


@dataclass(frozen=True, eq=False, repr=False)
class Excerpt(Trace):
    """A trace that holds `Steps`, time first whatever the layout."""

    def time_major(self, name: str) -> Any:
        """The (T, B, K) of which some steps are held."""
        return self.arrays[name]


def excerpt(
    model: Model,
    x: SliceableArray,
    keep: Sequence[str],
    shown: Sequence[range],
    see: Callable[[Mapping[str, Array]], None] | None = None,
    **how: Any,
) -> Excerpt:
    """Run a model over all steps and keep some, in ascending ranges.

    ``see`` is shown all steps, piece by piece, as arrays (s, R, K) of some rows; called from the
    threads that made them. ``how`` takes what `lstmcli.core.forward.streaming.sweep` takes.
    """
    layout = check_inputs(
        model, x, how.get("layout"), how.get("name", "the inputs"), how.get("initial_state"),
        how.get("lengths"),
    )[1]  # fmt: skip
    steps, rows = steps_and_batch(x.shape, layout)
    planned = plan(model, x, keep, layout)
    parts = {
        name: {r: np.empty((len(r), rows, shape[-1]), planned.dtype) for r in shown}
        for name, shape in planned.shapes.items()
    }

    def sink(own: slice, cut: slice, arrays: Mapping[str, Array]) -> None:
        if see:
            see(arrays)
        for r in shown:
            first, last = max(r.start, cut.start), min(r.stop, cut.stop)
            if first < last:
                for name, held in parts.items():
                    piece = arrays[name][first - cut.start : last - cut.start]
                    held[r][first - r.start : last - r.start, own] = piece

    final = sweep(model, x, keep, sink, shown=None if see else shown, **how)
    arrays: dict[str, Any] = {name: Steps(steps, held) for name, held in parts.items()}
    settings = model.settings() | {"layout": layout, "dtype": planned.dtype.name}
    return Excerpt(arrays, *final, layout, settings)
