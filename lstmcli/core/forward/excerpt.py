"""The steps of a run that a table shows, and summaries of all its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from lstmcli.core.forward.plan import Plan
from lstmcli.core.forward.run import InMemory, Piece, Sink
from lstmcli.core.forward.saturation import Saturation
from lstmcli.core.forward.sequence import counted
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import (
    has_direction_axis,
    possible_axes,
    side_by_side,
)
from lstmcli.core.model.model import Trace, as_time_major
from lstmcli.core.model.part import Indices, Part, Sizes, below
from lstmcli.core.model.selection import Selection, indices_of
from lstmcli.core.model.surroundings import Y

SUMMARISED = ("h", "c", "i", "f", "g", "o")


class CellSummary:
    """Ranges of h and c and saturated gates of what is selected of a cell."""

    def __init__(self, part: Part) -> None:
        self.saturation = Saturation()
        self.ranges: dict[str, tuple[float, float]] = {}  # of h and c
        self._part = part
        self._lock = Lock()

    def add(self, arrays: Mapping[str, Array], first_item: int = 0) -> None:
        """Include some steps (s, R, H) of items from ``first_item`` on, from any thread."""
        cut = {k: self._part.cut(array, first_item) for k, array in arrays.items()}
        selected = {name: array for name, array in cut.items() if array.size}
        with self._lock:
            self.saturation.add(selected)
            for name in (name for name in ("h", "c") if name in selected):
                low, high = self.ranges.get(name, (float("inf"), float("-inf")))
                array = selected[name]
                self.ranges[name] = (
                    min(low, float(array.min())),
                    max(high, float(array.max())),
                )


class Summary(Sink):
    """Keeps some steps of a run, and summarises all of the parts of cells, if any."""

    def __init__(
        self,
        plan: Plan,
        steps: Indices,
        cells: Mapping[str, Part],
        shown: Sequence[str],
    ) -> None:
        whole = plan.select()
        some = whole._replace(steps=steps)
        super().__init__(whole if cells else some, ahead=plan.batch)
        self.kept = InMemory(plan, some)
        self.summaries = {cell: CellSummary(part) for cell, part in cells.items()}
        self._shown = plan.select(names=shown).columns

    def take(self, piece: Piece) -> None:
        """Add what is shown of a piece to the summary of each cell."""
        self.kept.take(piece)
        for cell, summary in self.summaries.items():
            prefix = f"{cell}." if cell else ""
            flat: dict[str, Array] = {}  # directions on an axis are side by side
            for name in SUMMARISED:
                if prefix + name in self._shown:
                    array = piece.arrays[prefix + name]
                    flat[name] = array.reshape(*array.shape[:2], -1)
            summary.add(flat, piece.batch.start)


class Excerpt(NamedTuple):
    """Some steps of a run, and summaries of all unless these were selected."""

    steps: Sequence[int]  # their indices in the run, ascending
    of_steps: int  # T of the run
    arrays: Mapping[str, Array]  # (s, B, K)
    summaries: Mapping[
        str, CellSummary
    ] = {}  # by cell; of a single cell or the output, ""
    padded: Mapping[str, Array] = {}  # (T, B) of such a cell: the steps left out

    units: Indices | None = None  # that are selected of the widest array
    final_y: Array | None = None  # (B, K)

    @classmethod
    def of_trace(cls, trace: Trace) -> Excerpt:
        """All steps of a trace."""
        arrays = {name: _in_three_axes(trace, name) for name in trace.arrays}
        y = trace.final_y
        if y is not None and trace.layout == "steps":
            y = y[np.newaxis]
        steps = trace.steps if arrays else 0
        return cls(range(steps), steps, arrays, final_y=y)


def padded_steps(plan: Plan) -> dict[str, Array]:
    """The steps (T, B) of each cell that lengths or a mask leave out, if any; "" is the output."""
    model, found = plan.model, dict[str, Array]()
    for name, cell in (*model.cells, ("", model.layers[-1][0])):
        valid = counted(cell, plan.valid, model)
        if valid is not None and not valid.all():
            found[name] = ~valid
    return found


def part_of_cell(sizes: Sizes, selection: Selection, units: Indices | None) -> Part:
    """The selected part of a cell; ``units``, if any are, of the widest array."""
    return Part(
        indices_of(selection.steps, sizes.steps),
        indices_of(selection.batch, sizes.batch),
        {"": range(sizes.units) if units is None else below(units, sizes.units)},
        sizes,
    )


def cell_parts(
    plan: Plan, selection: Selection, units: Indices | None
) -> dict[str, Part]:
    """The part of each cell that a table shows; "" is the output of the model."""
    widths: dict[str, int] = {}
    for name, shape in plan.shapes.items():
        if name == Y:
            continue
        cell, _, base = name.rpartition(".")
        widths[cell] = max(widths.get(cell, 0), shape[-1] // (4 if base == "z" else 1))
    if "" in widths and has_direction_axis(plan.model):  # side by side in a table
        widths[""] *= 2
    cells = [cell for cell in widths if cell]
    of_cells = [name for name in plan.keep if name != Y]
    if "h" in of_cells or (of_cells and not cells):
        cells.append("")
    sizes = {cell: Sizes(plan.steps, plan.batch, widths[cell]) for cell in cells}
    return {cell: part_of_cell(of, selection, units) for cell, of in sizes.items()}


def output_parts(
    plan: Plan, selection: Selection, units: Indices | None = None
) -> list[Part]:
    """The part of y that a table shows, if there is y of each step; ``units``, if any, of y."""
    if Y not in plan.shapes:
        return []
    sizes = Sizes(plan.steps, plan.batch, plan.shapes[Y][-1])
    return [part_of_cell(sizes, selection, units)]


def _in_three_axes(trace: Trace, name: str) -> Array:
    """(T, B, K); directions on a separate axis are side by side."""
    array = trace.arrays[name]
    if trace.layout == "steps":  # (T, 2, H) as (T, 1, 2, H)
        array = array[:, np.newaxis]
    if array.ndim == 4:
        array = side_by_side(array, possible_axes(array.shape, trace.layout)[0])
    return array if trace.layout == "steps" else as_time_major(array, trace.layout)
