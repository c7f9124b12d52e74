"""Where EXPECTED can lie on a run, the likeliest first.

An array without a name is h, or a last state. Arrays of several cells lie on a run with an axis of
directions or cells, and are split by cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
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


RunShapes = Sequence[tuple[RunShape, tuple[str, ...]]]
"""Shapes of a run on which an array lies, with the run's arrays by direction or cell."""


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
        units_of = np.broadcast_to(unit, numbers.values.shape)
        values = self.at.read(numbers.values)
        is_known = np.isfinite(values)
        values = np.where(is_known, values, np.nan)
        half = np.where(is_known, self.at.read(units_of), 0.0) * 0.5
        steps, sequences, directions, units = self.at.place
        place: tuple[slice, ...] = (steps, sequences, units)
        if self.is_state:
            place = (sequences, units)
            values, half = values[0], half[0]
        for d, name in enumerate(self.arrays[directions]):
            yield name, place, KnownValues(values[..., d, :], half[..., d, :])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array of the run: (T, B, K), or (B, K) of a last state."""
        return self.at.run[1:3] if self.is_state else self.at.run[:3]


class Location(NamedTuple):
    """Where the arrays of EXPECTED lie on a run."""

    arrays: tuple[Located, ...]
    cost: float = 0.0
    state: str = ""  # which last state EXPECTED is: "the last h"
    ends: str = ""  # of each sequence, not the last step: `LAST_VALID` or `OUTER`

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
    def is_all(self) -> bool:
        """Tell whether EXPECTED is all of the run, and no part of it."""
        return all(one.at.is_all for one in self.arrays)

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
        if not self.first.steps.is_last_step or self.state:
            return
        yield self._replace(ends=LAST_VALID)
        if any(name.endswith("_reverse.h") for name in self.arrays[0].arrays):
            yield self._replace(ends=OUTER)

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
                if not self.ends or valid is None:
                    yield one, name, at, known
                    continue
                _, items, units = at
                steps = len(valid) - 1 - valid[::-1].argmax(axis=0)
                if self.ends == OUTER and "_reverse." in name:
                    steps = valid.argmax(axis=0)
                sequences = np.arange(valid.shape[1])[items]
                yield one, name, (steps[items], sequences, units), known[0]

    def expected(
        self, numbers: Mapping[str, Numbers], valid: Array | None = None
    ) -> Expected:
        """EXPECTED's arrays on the axes of the run."""
        arrays: dict[str, KnownValues] = {}
        for one, name, at, known in self.known(numbers, valid):
            nothing = KnownValues(np.full(one.shape, np.nan), np.zeros(one.shape))
            full = arrays.setdefault(name, nothing)
            is_known = np.isfinite(known.values)
            full.values[at] = np.where(is_known, known.values, full.values[at])
            full.half[at] = np.where(is_known, known.half, full.half[at])
        return Expected(arrays)

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
        part = self.first.sequences.words("sequence")
        if self.ends:
            return f"{self.ends}, {part}" if part else self.ends
        if not self.state:
            at = self.first
            texts = []
            if self.are_gates:
                texts.append("the gates side by side")
            if at.in_a_row:
                texts.append(f"numbers in a row of {at.shape}")
                at = at._replace(places=())
            texts.append(words(at))
            return ", ".join(filter(None, texts))
        if self.is_plain:
            return part
        return f"{self.state} of {part}" if part else self.state


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
    located: list[Location] = []
    left_out = 0
    for is_guessed in (False, True):
        shapes: dict[str, RunShapes] = {}  # of the run, by name in EXPECTED
        for given, name in _names_on_run(list(numbers), is_guessed, size[0]).items():
            of_array = list(run_shapes(name, model, layout, size, layer))
            if of_array:
                shapes[given] = of_array
        if not shapes:
            continue
        placed = _placed(numbers, shapes)
        for arrays in islice(placed, _most_placed(size, shapes)):
            location = _location(arrays, is_guessed, model) if arrays else None
            if location is not None and not location.contradicts_itself(numbers):
                located.append(location)
        left_out += sum(1 for _ in placed)
        complete = [one for one in located if one.is_all]
        if complete and not is_guessed:  # all of the run, and no part of it
            return complete, 0
    return sorted(located, key=lambda one: one.cost), left_out


def _most_placed(size: tuple[int, int], shapes: Mapping[str, RunShapes]) -> int:
    """How many locations are kept, so that their arrays fit into memory."""
    first = next(iter(shapes.values()))
    numbers = size[0] * size[1] * max(run.units for run, _ in first)
    return max(1, Budget.NUMBERS // numbers)


def _placed(
    numbers: Mapping[str, Numbers], shapes: Mapping[str, RunShapes]
) -> Iterator[list[Located]]:
    """Each place of the first array, with the others next to it; none if one has no place there."""
    (first, of_first), *others = shapes.items()
    for located in _located(first, numbers[first].shape, of_first):
        arrays = [located]
        for name, of_array in others:
            other = _beside(located, name, numbers[name].shape, of_array)
            if other is None:
                arrays = []
                break
            arrays.append(other)
        yield arrays


def _names_on_run(names: list[str], is_guessed: bool, steps: int) -> dict[str, str]:
    """The names of arrays as they are, or as the last states that they may be; none if not."""
    if not is_guessed:
        return dict(zip(names, names, strict=True))
    states = {}
    for name in names:
        state = _as_state(name)
        if state is None or steps == 1:
            return {}
        states[name] = state
    return {} if list(states.values()) == names else states


def _as_state(name: str) -> str | None:
    part = ArrayName.of(name)
    if part.base in ("h", "c"):
        return f"{name[:-1]}final_{part.base}"
    return name if part.kind == FINAL else None


def _location(arrays: list[Located], is_guessed: bool, model: Model) -> Location:
    """The location of arrays, which are guessed to be last states or have their names."""
    first = arrays[0]
    cost = first.at.cost
    if is_guessed:
        cost += LAST_STATE
    if not first.is_state:
        return Location(tuple(arrays), cost)
    if not is_guessed:
        return Location(tuple(arrays), cost, first.name)
    cells = [ArrayName.of(name).prefix for name in first.arrays]
    if len(cells) == 1:
        base = ArrayName.of(first.arrays[0]).base
        state = f"the last {base[-1]}"
    elif len(cells) == len(model.cells):
        state = "the last state of each cell"
    else:
        state = f"the last state of {join_with_and(cells)}"
    return Location(tuple(arrays), cost, state)


def _located(name: str, shape: Sequence[int], shapes: RunShapes) -> Iterator[Located]:
    """The places of an array of a shape, those of other setups left out."""
    first, _ = shapes[0]
    for run, arrays in shapes:
        is_state = ArrayName.of(arrays[0]).kind == FINAL
        is_of_gates = {*arrays} == {*GATES}
        for at in arrangements(shape, run):
            if is_of_gates:
                is_other = "w" not in at.axes  # they lie side by side
            else:
                is_other = not is_state and _is_of_other_setup(at, shape, first)
            if at.directions.is_all and not is_other:
                yield Located(name, arrays, at, is_state)


def _is_of_other_setup(at: Arrangement, shape: Sequence[int], first: RunShape) -> bool:
    """Tell whether a place is that of another merge, or of one of the directions.

    ``first`` is the likeliest run, on which an array of this shape lies.
    """
    if at.run.directions < first.directions:  # of both
        is_vector = prod(shape[:-1]) <= 1
        is_part = at.units.size == first.units and not is_vector
        if at.units.is_all or is_part or not at.axes.endswith("k"):
            return True
    return "w" in at.axes and at.run.stacked is not None


def _beside(
    first: Located, name: str, shape: Sequence[int], shapes: RunShapes
) -> Located | None:
    """The likeliest place of another array with the sequences and steps of the first."""
    for one in _located(name, shape, shapes):
        is_alike = one.at.sequences[:2] == first.at.sequences[:2]
        has_state = one.is_state or first.is_state
        if is_alike and (has_state or one.at.steps == first.at.steps):
            return one
    return None


Shapes = Iterator[tuple[RunShape, tuple[str, ...]]]


def run_shapes(
    name: str,
    model: Model,
    layout: str,
    size: tuple[int, int],
    layer: int = -1,
) -> Shapes:
    """The shapes of a run on which an array lies; ``layer`` is the one that h is of."""
    layout = layout.replace("steps", "time")
    if name in OF_HEAD:
        return _shapes_of_head(name, model, layout, size)
    part = ArrayName.of(name)
    cells = [one for one, _ in model.cells]
    if len(cells) == 1 and part.prefix in cells:
        # its arrays have names without a layer
        name = part.base
        part = ArrayName.of(name)
    is_of_one_cell = part.prefix in cells or (len(cells) == 1 and not part.prefix)
    if is_of_one_cell and part.kind in (FINAL, SEQUENCE):
        return _shapes_of_cell(name, model, layout, size)
    if part.kind == FINAL and not part.prefix:
        return _shapes_of_states(part.base, model, size[1], layer)
    if name == "h":
        return _shapes_of_h(model, layout, size, layer)
    return iter(())


def _shapes_of_head(
    name: str, model: Model, layout: str, size: tuple[int, int]
) -> Shapes:
    """The shape of y, or of one y a sequence."""
    if model.head is not None:
        steps = size[0] if ArrayName.of(name).kind == SEQUENCE else 1
        width = model.head.width(layer_width(model.layers[-1]))
        yield RunShape(steps, size[1], width, layout=layout), (name,)


def _shapes_of_cell(
    name: str, model: Model, layout: str, size: tuple[int, int]
) -> Shapes:
    """The shape of an array of one cell; the h of a single cell may be its gates side by side."""
    part = ArrayName.of(name)
    cell = dict(model.cells).get(part.prefix, model.cell)
    width = _width(part.base, cell)
    if part.kind == FINAL:
        yield RunShape(1, size[1], width), (name,)
        return
    yield RunShape(*size, width, layout=layout), (name,)
    storage = model.convention.storage
    if name == "h" and len(storage.gates) == len(GATES):
        gates = RunShape(*size, cell.units, len(GATES), layout)
        for order in dict.fromkeys((storage.order_of("kernel"), GATES)):
            yield gates, tuple(order)


def _shapes_of_states(base: str, model: Model, count: int, layer: int) -> Shapes:
    """The shapes of the last states of all cells, and of those of a layer, if as wide."""
    axis = {"features": None, "batch": 1}.get(model.behaviour.states, 0)
    layout = "batch" if axis == 1 else "time"
    widths = {one: _width(base, cell) for one, cell in model.cells}
    every = tuple(widths)
    of_layer = every[-len(model.layers[layer]) :]
    for cells in dict.fromkeys((every, of_layer)):
        if len({widths[one] for one in cells}) == 1:
            run = RunShape(1, count, widths[cells[0]], len(cells), layout, axis)
            yield run, tuple(f"{one}.{base}" for one in cells)


def _shapes_of_h(
    model: Model, layout: str, size: tuple[int, int], layer: int
) -> Shapes:
    """The shapes of a layer's h: each direction, and the output as it is merged."""
    merge = model.behaviour.merge
    number = range(len(model.layers))[layer]
    directions = len(model.layers[layer])
    arrays = [f"{cell_name(number, d)}.h" for d in range(directions)]
    if merge == "concat_swapped":
        arrays.reverse()
    width = model.layers[layer][0].shown
    is_kept = merge in SIDE_BY_SIDE
    if is_kept or directions == 1:
        stacked = direction_axis(model.convention, layout) if merge == "stack" else None
        yield RunShape(*size, width, directions, layout, stacked), tuple(arrays)
    if merge != "stack" and directions > 1:  # the first units of both, too
        if is_kept:
            width *= directions
        yield RunShape(*size, width, layout=layout), ("h",)


def _width(base: str, cell: Cell) -> int:
    widths = {"h": cell.shown, "final_h": cell.outputs, "z": len(GATES) * cell.units}
    return widths.get(base, cell.units)


def states_in(name: str, width: int, model: Model) -> Iterator[tuple[str, slice]]:
    """The last states in an array that cells of several widths share."""
    widths = [_width(name, cell) for _, cell in model.cells]
    is_shared = name in ("final_h", "final_c") and len({*widths}) > 1
    if is_shared and width == sum(widths):
        begin = 0
        for (cell, _), of_cell in zip(model.cells, widths, strict=True):
            yield f"{cell}.{name}", slice(begin, begin + of_cell)
            begin += of_cell


def states_shape(name: str, model: Model) -> str:
    """The shape of the last states of several cells: ``(2, batch, 3)``."""
    widths = [_width(name, cell) for _, cell in model.cells]
    states, count = model.behaviour.states, len(widths)
    if states == "features" or len({*widths}) > 1:
        return f"(batch, {sum(widths)})"
    axes = ("batch", str(count)) if states == "batch" else (str(count), "batch")
    return f"({', '.join(axes)}, {widths[0]})"
