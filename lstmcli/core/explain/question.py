"""A question: EXPECTED's arrays, and the runs that they can be of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import islice, product
from math import prod
from typing import Any
from weakref import ref

import numpy as np

from lstmcli.core.diff.names import OUTPUT_NAMES, renamed
from lstmcli.core.diff.operand import FINAL, OF_HEAD, UNNAMED, WEIGHTS, ArrayName, Side
from lstmcli.core.diff.printed import printed_shapes, shape_text, spread
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.budget import Budget, WorkDone
from lstmcli.core.explain.causes import (
    CAUSES,
    Change,
    Changes,
    Settings,
    settings_of,
    value_in,
)
from lstmcli.core.explain.exactness import Exactness, as_printed, exactness_of
from lstmcli.core.explain.locations import (
    Location,
    locations,
    run_shapes,
    states_in,
    states_shape,
)
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.explain.tensors import most_kept, weight_bytes
from lstmcli.core.explain.verify import FINE, Cached, Reader, Remarks, remark
from lstmcli.core.forward.plan import check_axes
from lstmcli.core.forward.prepare import edited_model
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.layouts import arrangements
from lstmcli.core.model.model import (
    Cell,
    Inputs,
    Model,
    layer_width,
    steps_and_batch,
)
from lstmcli.core.model.settings import MERGES
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError

SHARED = 1 << 20  # bytes from which an array is shared: below, a read takes longer


class SharingReader:
    """A reader whose models share what is equal: a large tensor is in memory once.

    Each of the changes next to which edits are tried has a model.
    """

    def __init__(self, read: Reader, model: Model) -> None:
        self._read = read
        self._arrays: list[ref[Array]] = []
        self._shared(model)

    def __call__(self, settings: Settings) -> Model:
        """The model under settings."""
        return self._shared(self._read(settings))

    def _shared(self, model: Model) -> Model:
        layers = (tuple(map(self._cell, layer)) for layer in model.layers)
        return replace(model, layers=tuple(layers))

    def _cell(self, cell: Cell) -> Cell:
        kernel, recurrent = map(self._one, (cell.kernel, cell.recurrent_kernel))
        return replace(cell, kernel=kernel, recurrent_kernel=recurrent)

    def _one(self, array: Array) -> Array:
        if array.nbytes < SHARED:
            return array
        self._arrays = [one for one in self._arrays if one() is not None]
        for one in self._arrays:
            other = one()
            if other is not None and _is_same(other, array):
                return other
        self._arrays.append(ref(array))
        return array


def _is_same(one: Array, other: Array) -> bool:
    """Tell whether arrays have the same bits; their first rows are compared first."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    bits = f"u{one.itemsize}"
    is_near = np.array_equal(one[:, 0].view(bits), other[:, 0].view(bits))
    return is_near and np.array_equal(one.view(bits), other.view(bits))


@dataclass(frozen=True, eq=False)
class Question:
    """Weights behind a reader, inputs, and EXPECTED as loaded."""

    read: Reader
    inputs: Inputs
    side: Side
    undecided: Settings = field(default_factory=dict)  # settings that nothing gives
    work: WorkDone = field(default_factory=WorkDone)  # of all shapes and placements
    runs: Cached = field(default_factory=Cached)  # and simulators that they share

    @cached_property
    def model(self) -> Model:
        """The model as assumed, in float64."""
        return self.read(FINE)

    @cached_property
    def assumed_layout(self) -> str:
        """The layout of the inputs as given, or as assumed."""
        layout, _ = check_axes(self.model, self.inputs)
        return layout

    @cached_property
    def x(self) -> Array:
        """The inputs."""
        return np.asarray(self.inputs.x)

    @cached_property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.read({}).cell.dtype.name

    @cached_property
    def _printed(self) -> tuple[Mapping[str, Numbers], int | None]:
        arrays: dict[str, Numbers] = {}
        taken, digits = as_printed(_arrays_of(self.side, self.model.head is not None))
        for name, numbers in taken.items():
            parts = [*states_in(name, prod(numbers.shape[-1:]), self.model)]
            arrays |= {part: numbers[..., at] for part, at in parts} or {name: numbers}
        return arrays, digits

    @property
    def arrays(self) -> Mapping[str, Numbers]:
        """EXPECTED's arrays by name."""
        return self._printed[0]

    @cached_property
    def exactness(self) -> Exactness:
        """How exact EXPECTED is."""
        return exactness_of(self.side, *self._printed, self.dtype)

    @property
    def not_finite(self) -> dict[str, Numbers]:
        """1 where EXPECTED is NaN or infinite, and so not known; NaN elsewhere."""
        return {
            name: Numbers(np.where(np.isfinite(n.values) | n.left_out, np.nan, 1.0))
            for name, n in self.arrays.items()
        }

    def _readers_with(self, read: Reader) -> list[Reader]:
        """The reader, and that without a head that may not fit and is not compared."""
        if self.model.head is None or not {*self.arrays}.isdisjoint(OF_HEAD):
            return [read]
        return [read, partial(_without_head, read)]

    def setups(self) -> Iterator[Setup]:
        """The network as assumed, of other directions, and its parts, in either layout.

        There is one layout if a shape gives it.
        """
        read, model, layout = self.read, self.model, self.assumed_layout
        setups = [Setup(self, read, model, layout)]
        merged = model.behaviour.merge
        storage = model.convention.storage
        other = "exchanged" if storage.directions == "stored" else "stored"
        others = [
            *(Change("merge", m) for m in MERGES if m != merged),
            Change("directions", other),
        ]
        for change in others if model.bidirectional else ():

            def changed(settings: Settings, change: Change = change) -> Model:
                return read({**settings_of((change,)), **settings})

            for read_so in self._readers_with(changed):
                with suppress(UserError):  # the layer above takes another width
                    one = Setup(self, read_so, read_so(FINE), layout, (change,))
                    setups.append(one)
                    break
        setups += [
            replace(setups[0], part=part, layer=layer) for part, layer in self._parts()
        ]
        starts = [cell.initial_h for _, cell in model.cells]
        inputs = self.inputs
        of_items = any(start is not None and start.ndim == 2 for start in starts)
        # a mask lies as the inputs do, in either layout
        has_lengths = inputs.lengths is not None
        is_given = layout == "steps" or of_items or inputs.initial_state or has_lengths
        layouts = [layout, *["time" if layout == "batch" else "batch"] * (not is_given)]
        for setup in setups:
            yield from (replace(setup, layout=layout) for layout in layouts)

    def _parts(self) -> Iterator[tuple[str, int]]:
        if set(self.arrays) == {"h"}:
            yield from ((f"layer{n}.h", n) for n in range(len(self.model.layers) - 1))
            for name, _ in self.model.cells if self.model.bidirectional else ():
                # the last step of a backward cell is not its last state
                yield from ((f"{name}.final_h", -1),) * name.endswith("_reverse")
                yield f"{name}.h", -1

    def no_place(self) -> UserError:
        """The mistake that EXPECTED is no result of such a run."""
        model, x, file = self.model, self.x, self.side.name
        (last, *other), states = model.layers[-1], states_shape("final_h", model)
        of_cells = f" of every cell, {states}" if len(model.cells) > 1 else ""
        size = steps_and_batch(x.shape, self.assumed_layout)
        layout = self.assumed_layout
        run, _ = next(run_shapes("h", model, layout, size))
        axes = run.axes if x.ndim > 2 else run.axes.replace("b", "")
        given = ", ".join(f"{name} {n.shape}" for name, n in self.arrays.items())
        lines = [
            f"{file} contains {given}; a run over inputs {x.shape} gives "
            f"{run.lengths[axes[-1]]} values of h a step{' (both directions)' * ('w' in axes)}: "
            f"{tuple(run.lengths[axis] for axis in axes)}.",
            f"  EXPECTED is all steps of it, the first few, one sequence of the batch, "
            f"{'the last step, ' * bool(other)}or final_h{of_cells}; "
            "outputs of a dense layer behind it are compared if the model has that head.",
        ]
        if last.units != last.outputs:
            lines.append(
                f"  c has {last.units} values a step: give it under the name c, or final_c."
            )
        if len(self.arrays) > 1:  # of different values
            lines.append(
                f"  Its arrays have to be of one run; {file}:MEMBER is one of them."
            )
        return UserError(*lines)


@dataclass(frozen=True, eq=False)
class Setup:
    """The network as run: its layout, its merge, and the array that EXPECTED is."""

    question: Question
    read: Reader
    model: Model
    layout: str
    of_directions: Changes = ()  # another merge, or their weights exchanged
    part: str = ""  # EXPECTED, if not the output: "layer0_reverse.h"
    layer: int = -1  # whose output it is
    cached: Cached = field(default_factory=Cached)  # runs as loaded

    @property
    def changes(self) -> Changes:
        """The changes of all hypotheses: array, merge, layout, if not as assumed."""
        layout = self.layout if self.layout != self.question.assumed_layout else ""
        of_run = (
            Change("array", self.part),
            *self.of_directions,
            Change("layout", layout),
        )
        return tuple(change for change in of_run if change.value)

    def simulators(self) -> dict[str, Simulator]:
        """Each cell under all hypotheses. All cells are read at once."""
        every = [cell for _, cell in self.model.cells]
        size = sum(map(weight_bytes, every))

        @lru_cache(most_kept(size, len(every) - 1))  # one cell asks once
        def cells(*settings: tuple[str, Any]) -> dict[str, Cell]:
            each = product(dict(self.model.cells), settings)
            scoped = {f"{name}.{k}": v for name, (k, v) in each}
            return dict(self.read({**scoped, **FINE}).cells)

        def decode(name: str, settings: Settings) -> Cell:
            cell = cells(*settings.items())[name]
            how = cell.convention
            if name.endswith("_reverse"):  # by itself it is a reversed cell
                reverse = how.behaviour.reverse or not how.behaviour.forward
                how = how.with_behaviour(reverse=reverse, forward=False)
            return replace(cell, convention=how)

        return {
            n: Simulator(partial(decode, n), decode(n, {}).convention) for n in cells()
        }

    def assumed(self, change: Change) -> Any:
        """The assumed value of a setting, of all cells or of one."""
        q, (cell, _, plain) = self.question, change.setting.rpartition(".")
        loaded = q.model.convention
        of_run = {
            "array": "h", "layout": q.assumed_layout, "dtype": q.dtype,
            "head": q.model.head and q.model.head.text,
            "merge": loaded.behaviour.merge, "directions": loaded.storage.directions,
        }  # fmt: skip
        if plain in of_run:
            return of_run[plain]
        how = dict(self.model.cells)[cell].convention if cell else self.model.convention
        lengths, is_masked = q.inputs.lengths, q.inputs.mask is not None
        if plain == "lengths" and isinstance(change.value, tuple) and not is_masked:
            return None if lengths is None else tuple(np.ravel(lengths).tolist())
        if plain == "masked_output" and not is_masked:
            return how.behaviour.past_length
        if plain == "reverse" and cell.endswith("_reverse"):
            return not how.behaviour.forward
        return value_in(how, plain)

    @property
    def size(self) -> tuple[int, int]:
        """T and B."""
        return steps_and_batch(self.question.x.shape, self.layout)

    @property
    def numbers(self) -> Mapping[str, Numbers]:
        """EXPECTED's arrays under their names in this run."""
        return self.named(self.question.arrays)

    def named(self, arrays: Mapping[str, Numbers]) -> Mapping[str, Numbers]:
        """Arrays by EXPECTED's names under their names in this run."""
        is_one_direction = self.part and self.layer < 0
        return {self.part: arrays["h"]} if is_one_direction else arrays

    def located(self) -> tuple[list[Location], int]:
        """Where EXPECTED can lie on the run, and how many such are left out."""
        layout = self.question.side.layout
        given = layout if layout in ("batch", "time") else self.layout
        # a given edit of the outputs may leave another width
        model = edited_model(self.model)
        of = partial(locations, self.numbers, model, size=self.size, layer=self.layer)
        found, left_out = of(given)  # n sequences of one step may be n steps
        if not found and given != self.layout:
            found, left_out = of(self.layout)
        if self.question.inputs.layout == "batch":
            # (B, H) before (T, H), of the same cost
            found.sort(key=lambda one: one.first.is_of_steps)
        return found, left_out

    def changes_of_run(self, location: Location) -> Iterator[Change]:
        """Changes of the run that no step of a cell shows."""
        inputs = self.question.inputs
        projects = any(cell.outputs != cell.units for _, cell in self.model.cells)
        names = [*map(ArrayName.of, location.names)]
        of_outputs = {name.base for name in names} <= {"h", "final_h"} and not projects
        if edits_in("outputs", self.model.edits):  # which are of h
            of_outputs = False
        of_one_step = len(self.model.cells) == 1 and all(
            name.kind != FINAL for name in names
        )
        given = ["given", "zero", *["swapped"] * (not projects)]
        possible: dict[str, Iterable[Any]] = {
            "initial_state": given if inputs.initial_state else (),
            "lengths": ["ignored", "inverted"] * inputs.is_padded,
            "masked_output": CAUSES["masked_output"].values * inputs.is_padded,
            "array": ("cifgo" if of_one_step else "c") * of_outputs,
        }
        head = self.model.head
        if head is not None and not {*location.names}.isdisjoint(OF_HEAD):
            possible["head"] = head.with_other_activations()
        for name, values in possible.items():  # but for layout, which is another setup
            for value in values:
                change = Change(name, value)
                if value != self.assumed(change):
                    yield change


def _arrays_of(side: Side, has_head: bool) -> dict[str, Numbers]:
    names = []
    for name in side.arrays:
        is_of_run = ArrayName.of(name or "h").kind != WEIGHTS
        if is_of_run and (has_head or name not in OF_HEAD):
            names.append(name)
    arrays = {name or "h": side.numbers(name) for name in names}
    if not arrays and len(side.arrays) == 1:  # under a name that no run gives
        arrays = {"h": side.numbers(next(iter(side.arrays)))}
    if not arrays:
        raise UserError(
            f"{side.name} contains {', '.join(side.arrays) or 'no array'}; EXPECTED is h, c, a "
            "gate, or final_h of a run.",
            "  The outputs of the other program come last; FILE:MEMBER is one array of a file.",
        )
    if not any(np.isfinite(n.values).any() for n in arrays.values()):
        raise UserError(
            f"{side.name}: every number is NaN or infinite, so no run can be compared "
            "with it; look for the first of them in the other side's weights, inputs or states."
        )
    return arrays


def _without_head(read: Reader, settings: Settings) -> Model:
    """The model whose head is not run."""
    return read({"head": "none", **settings})


def as_outputs(question: Question) -> Iterator[Question]:
    """The question whether EXPECTED is of the LSTM, and whether it is of the head.

    One of them where a name or the size of the last axis tells.
    """
    side, model = question.side, edited_model(question.model)
    if model.head is None:
        yield question
        return
    width = model.head.width(layer_width(model.layers[-1]))
    name = _output_of_head(side, width)
    if name is None:
        yield question
        return
    is_named = name in OUTPUT_NAMES.union(OF_HEAD)
    if not is_named and _may_be_h(question, name, model, width):
        yield question
        question = replace(question, work=WorkDone(question.work.times))
    size = steps_and_batch(question.x.shape, question.assumed_layout)
    output = model.head.output
    if side.arrays[name].size == prod(size) * width > size[1] * width:
        output = Y  # of each step, where the head may be of one
    of_head = renamed(side, {name: output})
    yield replace(question, side=of_head, runs=Cached())


def _output_of_head(side: Side, width: int) -> str | None:
    """The array of EXPECTED that may be the output of a head of this size."""
    called = [name for name in side.arrays if name in OUTPUT_NAMES.union(OF_HEAD)]
    if len(side.arrays) == 1:
        called = [*side.arrays]
    for name in called:
        array = side.arrays[name]
        is_in_row = array.ndim == 1 and array.size % width == 0
        is_cut = name in side.gaps and array.shape[-1] < width
        if width in (1, *array.shape) or is_in_row or is_cut:
            return name
    return None


def _may_be_h(question: Question, name: str, model: Model, width: int) -> bool:
    """Tell whether an array has the size of an output of the LSTM, and not only of y.

    In a row, one that has neither size may be the first units of a state.
    """
    array = question.side.arrays[name]
    if name in question.side.gaps:
        return True
    widths = {layer_width(model.layers[-1])}
    for cell in model.layers[-1]:
        widths.update((cell.shown, cell.outputs))
    if array.ndim > 1:
        return array.shape[-1] in widths
    steps, count = steps_and_batch(question.x.shape, question.assumed_layout)
    parts = (1, steps, count, steps * count)
    is_of_h = any(array.size == part * one for part in parts for one in widths)
    is_of_y = any(array.size == part * width for part in parts)
    return is_of_h or not is_of_y


def in_shape(question: Question) -> Iterator[Question]:
    """The question with EXPECTED in each possible shape, the likeliest first."""
    side = question.side
    if not side.gaps:
        yield question
        return
    model = question.model
    x = question.x
    layout = question.assumed_layout
    size = steps_and_batch(x.shape, layout)
    possible = []
    for name, before in side.gaps.items():
        packed = side.arrays[name].shape
        names = [name or "h", *["final_h"] * (name in (UNNAMED, "h"))]
        runs = [run for n in names for run, _ in run_shapes(n, model, layout, size)]
        ways = (
            (n, one.cost, shape)
            for n, run in enumerate(runs)
            for shape in printed_shapes(before, packed, run.lengths.values())
            for one in arrangements(shape, run, [run.steps - 1], [0])
            if one.directions.is_all and not one.in_a_row
            if [run.lengths[axis] for axis in one.axes] == [*one.shape]
        )
        likeliest_first = sorted(ways, key=lambda way: way[:2])
        shapes = dict.fromkeys(shape for *_, shape in likeliest_first)
        if not shapes:
            count = sum(cell.outputs for cell in model.layers[-1])
            raise UserError(
                f"{side.name}: {name or 'the array'} is abbreviated, of a shape "
                f"{shape_text(before, packed)}; no result of a run over inputs {x.shape} with "
                f"{count} values a step has such a shape."
            )
        possible.append(list(shapes))
    for chosen in islice(product(*possible), Budget.FEW):
        filled = {
            name: spread(side.numbers(name), before, shape)
            for (name, before), shape in zip(side.gaps.items(), chosen, strict=True)
        }
        yield replace(question, side=side.with_numbers(filled))


def left_out(question: Question) -> Remarks:
    """The remark on abbreviated output."""
    units = [u for u in question.side.units.values() if np.isinf(u).any()]
    given, total = (
        sum(int(np.isfinite(u).sum()) for u in units),
        sum(u.size for u in units),
    )
    shapes = " and ".join(dict.fromkeys(str(unit.shape) for unit in units))
    if units:
        yield remark("print_left_out", given=given, total=total, shapes=shapes)
