"""Some steps of a long run, kept under their own numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.model import Model, Trace, as_time_major
from lstmcli.core.run import check_inputs
from lstmcli.core.sweep import plan, sweep

Array = npt.NDArray[Any]


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
            return Steps(self.shape[0], {k: a[index] for k, a in self._parts.items()})
        if isinstance(index, Sequence):
            return np.stack([self[step] for step in index])
        for steps, array in self._parts.items():
            if index in steps:
                return array[steps.index(index)]
        raise IndexError(f"step {index} was not kept")


@dataclass(frozen=True, eq=False, repr=False)
class Excerpt(Trace):
    """A trace that holds `Steps`, time first whatever the layout."""

    def time_major(self, name: str) -> Any:
        """The (T, B, K) of which some steps are held."""
        return self.arrays[name]


def excerpt(
    model: Model,
    x: Array,
    keep: Sequence[str],
    shown: Sequence[range],
    see: Callable[[Mapping[str, Array]], None] | None = None,
    **how: Any,
) -> Excerpt:
    """Run a model over all steps and keep some, in ascending ranges.

    ``see`` is shown all steps, piece by piece, as arrays (s, R, K) of some rows; called from the
    threads that made them. ``how`` takes what `lstmcli.core.sweep.sweep` takes.
    """
    layout = check_inputs(model, x, how.get("layout"), how.get("name", "the inputs"))[1]
    rows = as_time_major(x, layout).shape[1]
    planned = plan(model, x, keep, layout)
    parts = {
        name: {r: np.empty((len(r), rows, shape[-1]), planned.dtype) for r in shown}
        for name, shape in planned.shapes.items()
    }

    def sink(own: slice, steps: slice, arrays: Mapping[str, Array]) -> None:
        if see:
            see(arrays)
        for r in shown:
            first, last = max(r.start, steps.start), min(r.stop, steps.stop)
            if first < last:
                for name, held in parts.items():
                    piece = arrays[name][first - steps.start : last - steps.start]
                    held[r][first - r.start : last - r.start, own] = piece

    final = sweep(model, x, keep, sink, shown=None if see else shown, **how)
    steps = as_time_major(x, layout).shape[0]
    arrays: dict[str, Any] = {name: Steps(steps, held) for name, held in parts.items()}
    settings = model.settings() | {"layout": layout, "dtype": planned.dtype.name}
    return Excerpt(arrays, *final, layout, settings)
