"""Where EXPECTED can lie on a run, the likeliest first.

An array without a name is h, or a last state. Arrays of several cells lie on a run with an axis of
directions or cells, and are split by cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, islice
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.operand import FINAL, OF_HEAD, SEQUENCE, ArrayName
from lstmcli.core.diff.placing import LAST_VALID
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.observation import (
    NEAR,
    SINGLE,
    Allowance,
    Expected,
    KnownValues,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.directions import direction_axis
from lstmcli.core.model.layouts import (
    LAST_STEP,
    Arrangement,
    RunShape,
    arrangements,
    words,
)
from lstmcli.core.model.model import (
    Cell,
    Model,
    cell_name,
    join_with_and,
    layer_width,
)
from lstmcli.core.model.vocabulary import GATES

# merges that keep each output
SIDE_BY_SIDE = ("concat", "concat_swapped", "stack")
LAST_STATE = LAST_STEP - 0.25  # the cost of a last state without such a name
OUTER = "the last valid step forward and the first one backward of each sequence"
ENDS = (LAST_VALID, OUTER)


class Located(NamedTuple):
    """An array of EXPECTED on a run."""

    name: str  # in EXPECTED
    arrays: tuple[str, ...]  # of the run, one for each direction or cell
    at: Arrangement
    is_state: bool

    def known(
        self, numbers: Numbers
    ) -> Iterator[tuple[str, tuple[slice, ...], KnownValues]]:
        """The numbers of EXPECTED by array of the run, and their index on it."""
        unit = 0.0 if numbers.unit is None else numbers.unit
        both = np.stack([numbers.values, np.broadcast_to(unit, numbers.values.shape)])
        values, half = (self.at.read(one) for one in both)
        is_known = np.isfinite(values)
        values = np.where(is_known, values, np.nan)
        half = np.where(is_known, half, 0.0) * 0.5
        steps, sequences, directions, units = self.at.place
        place = (sequences, units) if self.is_state else (steps, sequences, units)
        for d, name in enumerate(self.arrays[directions]):
            index = (
                (0, slice(None), d) if self.is_state else (slice(None), slice(None), d)
            )
            yield name, place, KnownValues(values[index], half[index])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array of the run: (T, B, K), or (B, K) of a last state."""
        return self.at.run[1:3] if self.is_state else self.at.run[:3]


class Location(NamedTuple):
    """Where the arrays of EXPECTED lie on a run."""

    arrays: tuple[Located, ...]
    cost: float = 0.0
    state: str = ""  # which last state EXPECTED is: "the last h"
    ends: str = ""  # of each sequence, not the last step: one of `ENDS`

    @property
    def first(self) -> Arrangement:
        """The arrangement that the arrays share."""
        return self.arrays[0].at

    @property
    def names(self) -> list[str]:
        """The arrays of the run."""
        return [name for one in self.arrays for name in one.arrays]

    @property
    def is_plain(self) -> bool:
        """Tell whether EXPECTED is the run as it is."""
        return not self.cost and not any(one.at.cost for one in self.arrays)

    @property
    def is_from_the_start(self) -> bool:
        """Tell whether the steps are the first ones, all, or the last one."""
        steps = self.first.steps
        return (
            bool(self.state)
            or steps.is_last_step
            or (steps.first == 0 and steps.stride == 1)
        )

    @property
    def at_ends(self) -> Iterator[Location]:
        """The same last steps as the ends of sequences, by lengths or a mask."""
        if self.first.steps.is_last_step and not self.state:
            both = any(name.endswith("_reverse.h") for name in self.arrays[0].arrays)
            for ends in ENDS[: 1 + both]:
                yield self._replace(ends=ends)

    def known(
        self,
        numbers: Mapping[str, Numbers],
        valid: Array | None,
    ) -> Iterator[tuple[Located, str, tuple[Any, ...], KnownValues]]:
        """The numbers of EXPECTED by array of the run, and their index on it.

        ``valid`` (T, B) are the steps that count, for the ends of sequences.
        """
        for one in self.arrays:
            for name, at, known in one.known(numbers[one.name]):
                if self.ends and valid is not None:
                    _, items, units = at
                    first = valid.argmax(axis=0)
                    last = len(valid) - 1 - valid[::-1].argmax(axis=0)
                    steps = (
                        first if self.ends == OUTER and "_reverse." in name else last
                    )
                    count = np.arange(valid.shape[1])[items]
                    yield one, name, (steps[items], count, units), known[0]
                else:
                    yield one, name, at, known

    def expected(
        self, numbers: Mapping[str, Numbers], valid: Array | None = None
    ) -> Expected:
        """EXPECTED's arrays on the axes of the run."""
        found: dict[str, KnownValues] = {}
        for one, name, at, known in self.known(numbers, valid):
            nothing = KnownValues(np.full(one.shape, np.nan), np.zeros(one.shape))
            full = found.setdefault(name, nothing)
            is_known = np.isfinite(known.values)
            full.values[at] = np.where(is_known, known.values, full.values[at])
            full.half[at] = np.where(is_known, known.half, full.half[at])
        return Expected(found)

    def contradicts_itself(self, numbers: Mapping[str, Numbers]) -> bool:
        """Tell whether arrays that are one of the run differ."""
        if len({*self.names}) == len(self.names):
            return False
        expected = self.expected(numbers).arrays
        return any(
            (np.abs(expected[name].values[at] - known.values) > SINGLE.of(known)).any()
            for _, name, at, known in self.known(numbers, None)
        )

    def may_fit(
        self,
        numbers: Mapping[str, Numbers],
        valid: Array | None,
        given: Mapping[str, Array],
        allowance: Allowance,
    ) -> bool:
        """Tell whether a run is near EXPECTED, or meets a number of it.

        A full comparison at each of 20,000 locations takes seconds.
        """
        off, met = 0.0, False
        for one, name, at, known in self.known(numbers, valid):
            if name not in given or given[name].shape != one.shape:
                return False
            difference = np.abs(given[name][at] - known.values)
            off = max(off, float(np.nanmax(difference, initial=0)))
            met = met or bool((difference <= allowance.of(known)).any())
        return met or off < NEAR

    @property
    def are_gates(self) -> bool:
        """Tell whether it is all four gates side by side."""
        return {*self.arrays[0].arrays} == {*GATES}

    @property
    def words(self) -> str:
        """``the first 3 of 7 steps``; empty for the run as it is."""
        if self.ends:
            return ", ".join(
                filter(None, [self.ends, self.first.sequences.words("sequence")])
            )
        if not self.state:
            at = self.first
            return words(at._replace(places=(), order="C") if at.in_a_row else at)
        part = self.first.sequences.words("sequence")
        return " of ".join(filter(None, [self.state * (not self.is_plain), part]))


def locations(
    numbers: Mapping[str, Numbers],
    model: Model,
    layout: str,
    size: tuple[int, int],
    layer: int = -1,
) -> tuple[list[Location], int]:
    """The locations of EXPECTED on a run, likeliest first, and how many were left out.

    ``layout`` is that of EXPECTED, ``size`` the run's T and B, ``layer`` the one that h is of.
    """
    found: list[Location] = []
    left_out = 0
    for state in ("", "last"):
        names = [_as_state(name) for name in numbers] if state else list(numbers)
        if None in names or (state and (size[0] == 1 or names == list(numbers))):
            continue
        runs = ([*run_shapes(str(name), model, layout, size, layer)] for name in names)
        of_run = [(name, of) for name, of in zip(numbers, runs, strict=True) if of]
        if not of_run:
            continue
        first, *others = of_run
        room = max(
            1, Budget.NUMBERS // (size[0] * size[1] * max(r.units for r, _ in first[1]))
        )
        ways = _located(first[0], numbers[first[0]].shape, first[1])
        for one in islice(ways, room):
            both = [one, *(_beside(one, k, numbers[k].shape, of) for k, of in others)]
            location = _location([each for each in both if each], bool(state), model)
            if None not in both and not location.contradicts_itself(numbers):
                found.append(location)
        left_out += sum(1 for _ in ways)
        complete = [one for one in found if all(each.at.is_all for each in one.arrays)]
        if complete and not state:  # all of the run, and no part of it
            return complete, 0
    return sorted(found, key=lambda one: one.cost), left_out


def _as_state(name: str) -> str | None:
    part = ArrayName.of(name)
    if part.base in ("h", "c"):
        return f"{name[:-1]}final_{part.base}"
    return name if part.kind == FINAL else None


def _location(arrays: list[Located], guessed: bool, model: Model) -> Location:
    first = arrays[0]
    cost = first.at.cost + LAST_STATE * guessed
    if not first.is_state:
        return Location(tuple(arrays), cost)
    part = ArrayName.of(first.arrays[0])
    state = f"the last {part.base[-1]}" if guessed else first.name
    cells = [ArrayName.of(name).prefix for name in first.arrays]
    if len(cells) > 1 and guessed:
        all_cells = len(cells) == len(model.cells)
        state = (
            f"the last state of {'each cell' if all_cells else join_with_and(cells)}"
        )
    return Location(tuple(arrays), cost, state)


def _located(
    name: str,
    shape: Sequence[int],
    runs: Sequence[tuple[RunShape, tuple[str, ...]]],
) -> Iterator[Located]:
    first = runs[0][0]
    for run, arrays in runs:
        is_state = ArrayName.of(arrays[0]).kind == FINAL
        is_of_both = run.directions < first.directions and not is_state
        for at in arrangements(shape, run):
            joins, units = "w" in at.axes, at.units
            is_merged = (
                joins and run.stacked is not None and not is_state
            )  # another merge
            is_split = {*arrays} == {*GATES} and not joins  # gates lie side by side
            if is_of_both:  # one direction is another part, but not in a vector
                is_part = units.size == first.units and prod(shape[:-1]) > 1
                is_split = units.is_all or is_part or not at.axes.endswith("k")
            if at.directions.is_all and not (is_merged or is_split):
                yield Located(name, arrays, at, is_state)


def _beside(
    first: Located, name: str, shape: Sequence[int], runs: Any
) -> Located | None:
    for one in _located(name, shape, runs):
        alike = one.at.sequences[:2] == first.at.sequences[:2]
        if alike and (one.is_state or first.is_state or one.at.steps == first.at.steps):
            return one
    return None


def run_shapes(
    name: str,
    model: Model,
    layout: str,
    size: tuple[int, int],
    layer: int = -1,
) -> Iterator[tuple[RunShape, tuple[str, ...]]]:
    """The shapes of a run on which an array lies, with the run's arrays by direction.

    ``layer`` is the one that h is of.
    """
    part, (T, B), several = ArrayName.of(name), size, len(model.cells) > 1
    if name in OF_HEAD:
        yield from _shapes_of_head(name, model, layout, size)
        return
    widths = {one: _width(part.base, cell) for one, cell in model.cells}
    if not several:  # its arrays have names without a layer
        name = part.base if part.prefix in widths else name
        part = ArrayName.of(name)
        widths = {"": _width(part.base, model.cell)}
    last = model.layers[layer]
    how = model.convention
    layout = layout.replace("steps", "time")
    if part.kind == FINAL and several and not part.prefix:
        axis = {"features": None, "batch": 1}.get(how.behaviour.states, 0)
        of_states = "batch" if axis == 1 else "time"
        every = tuple(widths)
        for cells in dict.fromkeys((every, every[-len(last) :])):
            if len({widths[one] for one in cells}) == 1:
                run = RunShape(1, B, widths[cells[0]], len(cells), of_states, axis)
                yield run, tuple(f"{one}.{part.base}" for one in cells)
    elif part.kind == FINAL and part.prefix in widths:
        yield RunShape(1, B, widths[part.prefix]), (name,)
    elif part.kind == SEQUENCE and part.prefix in widths:
        yield RunShape(T, B, widths[part.prefix], layout=layout), (name,)
        if name == "h" and not several and len(how.storage.gates) == len(GATES):
            gates = RunShape(T, B, model.cell.units, len(GATES), layout)  # side by side
            for order in dict.fromkeys((how.storage.order_of("kernel"), GATES)):
                yield gates, tuple(order)
    elif part.kind == SEQUENCE and part.base == "h" and not part.prefix:
        n, merge = range(len(model.layers))[layer], how.behaviour.merge
        cells = tuple(cell_name(n, d) for d in range(len(last)))
        cells = cells[::-1] if merge == "concat_swapped" else cells
        width, is_kept = last[0].shown, merge in SIDE_BY_SIDE
        if is_kept or len(cells) == 1:
            stacked = direction_axis(how, layout) if merge == "stack" else None
            run = RunShape(T, B, width, len(cells), layout, stacked)
            yield run, tuple(f"{one}.h" for one in cells)
        if merge != "stack" and len(cells) > 1:  # the first units of both, too
            yield (
                RunShape(T, B, width * (len(cells) if is_kept else 1), layout=layout),
                (name,),
            )


def _shapes_of_head(
    name: str, model: Model, layout: str, size: tuple[int, int]
) -> Iterator[tuple[RunShape, tuple[str, ...]]]:
    if model.head is not None:
        steps = size[0] if ArrayName.of(name).kind == SEQUENCE else 1
        width = model.head.width(layer_width(model.layers[-1]))
        in_layout = layout.replace("steps", "time")
        yield RunShape(steps, size[1], width, layout=in_layout), (name,)


def _width(base: str, cell: Cell) -> int:
    if base in ("h", "final_h"):
        return cell.shown if base == "h" else cell.outputs
    return 4 * cell.units if base == "z" else cell.units


def states_in(name: str, width: int, model: Model) -> Iterator[tuple[str, slice]]:
    """The last states in an array that cells of several widths share."""
    widths = [_width(name, cell) for _, cell in model.cells]
    if name in ("final_h", "final_c") and len({*widths}) > 1 and width == sum(widths):
        ends = zip(model.cells, widths, accumulate(widths), strict=True)
        yield from (
            (f"{cell}.{name}", slice(end - w, end)) for (cell, _), w, end in ends
        )


def states_shape(name: str, model: Model) -> str:
    """The shape of the last states of several cells: ``(2, batch, 3)``."""
    widths = [_width(name, cell) for _, cell in model.cells]
    how, count = model.behaviour.states, len(widths)
    if how == "features" or len({*widths}) > 1:
        return f"(batch, {sum(widths)})"
    axes = ("batch", str(count)) if how == "batch" else (str(count), "batch")
    return f"({', '.join(axes)}, {widths[0]})"
