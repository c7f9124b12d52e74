"""The networks that EXPECTED can be of: as assumed, of other directions, and their parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np

from lstmcli.core.diff.operand import FINAL, OF_HEAD, ArrayName
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.causes import CAUSES, Change, Changes, Settings, value_in
from lstmcli.core.explain.locations import (
    Location,
    locations,
    run_shapes,
    states_shape,
)
from lstmcli.core.explain.question import Question
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.explain.tensors import most_kept, weight_bytes
from lstmcli.core.explain.verify import FINE, Cached, Reader
from lstmcli.core.forward.prepare import edited_model
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.model import Cell, Model, steps_and_batch
from lstmcli.core.model.settings import MERGES
from lstmcli.errors import UserError


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
        changes = list(self.of_directions)
        if self.part:
            changes.insert(0, Change("array", self.part))
        if self.layout != self.question.assumed_layout:
            changes.append(Change("layout", self.layout))
        return tuple(changes)

    def simulators(self) -> dict[str, Simulator]:
        """Each cell under all hypotheses. All cells are read at once."""
        every = [cell for _, cell in self.model.cells]
        room = most_kept(sum(map(weight_bytes, every)), len(every) - 1)
        cells = lru_cache(room)(self._cells)  # one cell asks once
        simulators = {}
        for name in cells():
            decode = partial(_decoded, cells, name)
            simulators[name] = Simulator(decode, decode({}).convention)
        return simulators

    def _cells(self, *settings: tuple[str, Any]) -> dict[str, Cell]:
        """All cells, each read under settings."""
        scoped: dict[str, Any] = {}
        for (cell, _), (name, value) in product(self.model.cells, settings):
            scoped[f"{cell}.{name}"] = value
        return dict(self.read({**scoped, **FINE}).cells)

    def assumed(self, change: Change) -> Any:
        """The assumed value of a setting, of all cells or of one."""
        question = self.question
        cell, _, plain = change.setting.rpartition(".")
        loaded = question.model.convention
        of_run = {
            "array": "h",
            "layout": question.assumed_layout,
            "dtype": question.dtype,
            "head": question.model.head and question.model.head.text,
            "merge": loaded.behaviour.merge,
            "directions": loaded.storage.directions,
        }
        if plain in of_run:
            return of_run[plain]
        convention = self.model.convention
        if cell:
            convention = dict(self.model.cells)[cell].convention
        lengths = question.inputs.lengths
        is_masked = question.inputs.mask is not None
        if plain == "lengths" and isinstance(change.value, tuple) and not is_masked:
            return None if lengths is None else tuple(np.ravel(lengths).tolist())
        if plain == "masked_output" and not is_masked:
            return convention.behaviour.past_length
        if plain == "reverse" and cell.endswith("_reverse"):
            return not convention.behaviour.forward
        return value_in(convention, plain)

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
        listed = partial(
            locations, self.numbers, model, size=self.size, layer=self.layer
        )
        located, left_out = listed(given)  # n sequences of one step may be n steps
        if not located and given != self.layout:
            located, left_out = listed(self.layout)
        if self.question.inputs.layout == "batch":
            # (B, H) before (T, H), of the same cost
            located.sort(key=lambda one: one.first.is_of_steps)
        return located, left_out

    def changes_of_run(self, location: Location) -> Iterator[Change]:
        """Changes of the run that no step of a cell shows; another layout is another setup."""
        for name, values in self._values_of_run(location).items():
            for value in values:
                change = Change(name, value)
                if value != self.assumed(change):
                    yield change

    def _values_of_run(self, location: Location) -> dict[str, Iterable[Any]]:
        """The values of the settings of a run that EXPECTED can show, by setting."""
        inputs, head = self.question.inputs, self.model.head
        values: dict[str, Iterable[Any]] = {}
        if inputs.initial_state:
            values["initial_state"] = ("given", "zero", "swapped")
            if self._projects:  # h and c are of other sizes
                values["initial_state"] = ("given", "zero")
        if inputs.is_padded:
            values["lengths"] = ("ignored", "inverted")
            values["masked_output"] = CAUSES["masked_output"].values
        values["array"] = self._arrays_instead(location)
        if head is not None and not {*location.names}.isdisjoint(OF_HEAD):
            values["head"] = head.with_other_activations()
        return values

    @property
    def _projects(self) -> bool:
        return any(cell.outputs != cell.units for _, cell in self.model.cells)

    def _arrays_instead(self, location: Location) -> str:
        """The arrays of a cell that EXPECTED may be instead of h; empty if none has its size."""
        names = list(map(ArrayName.of, location.names))
        is_h = all(name.base in ("h", "final_h") for name in names)
        if not is_h or self._projects or edits_in("outputs", self.model.edits):
            return ""
        is_last_state = any(name.kind == FINAL for name in names)
        return "c" if is_last_state or len(self.model.cells) > 1 else "cifgo"


def _decoded(
    cells: Callable[..., dict[str, Cell]], name: str, settings: Settings
) -> Cell:
    """One of the cells under settings."""
    cell = cells(*settings.items())[name]
    convention = cell.convention
    if name.endswith("_reverse"):  # by itself it is a reversed cell
        reverse = convention.behaviour.reverse or not convention.behaviour.forward
        convention = convention.with_behaviour(reverse=reverse, forward=False)
    return replace(cell, convention=convention)


# ---- which there are


def setups(question: Question) -> Iterator[Setup]:
    """The network as assumed, of other directions, and its parts, in each possible layout."""
    layouts = _layouts(question)
    assumed = Setup(question, question.read, question.model, layouts[0])
    networks = [assumed]
    for change in _changes_of_directions(question.model):
        network = _of_directions(assumed, change)
        if network is not None:
            networks.append(network)
    for part, layer in _parts(question):
        networks.append(replace(assumed, part=part, layer=layer))
    for network in networks:
        for layout in layouts:
            yield replace(network, layout=layout)


def _layouts(question: Question) -> list[str]:
    """The assumed layout, and the other one if no shape tells which it is."""
    layout, inputs = question.assumed_layout, question.inputs
    starts = [cell.initial_h for _, cell in question.model.cells]
    of_items = any(start is not None and start.ndim == 2 for start in starts)
    has_items = inputs.lengths is not None or bool(inputs.initial_state) or of_items
    # a mask lies as the inputs do, in either layout
    if layout == "steps" or has_items:
        return [layout]
    return [layout, "time" if layout == "batch" else "batch"]


def _changes_of_directions(model: Model) -> Iterator[Change]:
    """Other merges of two directions, and their weights exchanged."""
    if not model.bidirectional:
        return
    for merge in MERGES:
        if merge != model.behaviour.merge:
            yield Change("merge", merge)
    is_stored = model.convention.storage.directions == "stored"
    yield Change("directions", "exchanged" if is_stored else "stored")


def _of_directions(assumed: Setup, change: Change) -> Setup | None:
    """The network under a change of directions; None where a layer takes another width."""
    question = assumed.question
    settings = {change.setting: change.value}
    readers = [partial(_read_under, question.read, settings)]
    if question.model.head is not None and not question.is_of_head:
        # the head may not fit, and is not compared
        settings = {"head": "none", **settings}
        readers.append(partial(_read_under, question.read, settings))
    for read in readers:
        try:
            model = read(FINE)
        except UserError:
            continue
        return Setup(question, read, model, assumed.layout, (change,))
    return None


def _read_under(read: Reader, changed: Settings, settings: Settings) -> Model:
    return read({**changed, **settings})


def _parts(question: Question) -> Iterator[tuple[str, int]]:
    """The arrays of one layer or direction that h may be, and the layer whose output it is."""
    model = question.model
    if set(question.arrays) != {"h"}:
        return
    for layer in range(len(model.layers) - 1):
        yield f"layer{layer}.h", layer
    if model.bidirectional:
        for name, _ in model.cells:
            if name.endswith("_reverse"):  # its last step is not its last state
                yield f"{name}.final_h", -1
            yield f"{name}.h", -1


def no_place(question: Question) -> UserError:
    """The mistake that EXPECTED is no result of such a run."""
    model, x, file = question.model, question.x, question.side.name
    layout = question.assumed_layout
    run, _ = next(run_shapes("h", model, layout, steps_and_batch(x.shape, layout)))
    axes = run.axes if x.ndim > 2 else run.axes.replace("b", "")
    shape = tuple(run.lengths[axis] for axis in axes)
    both = " (both directions)" if "w" in axes else ""
    given = ", ".join(f"{name} {n.shape}" for name, n in question.arrays.items())
    last, *other = model.layers[-1]
    last_step = "the last step, " if other else ""
    of_cells = ""
    if len(model.cells) > 1:
        of_cells = f" of every cell, {states_shape('final_h', model)}"
    lines = [
        f"{file} contains {given}; a run over inputs {x.shape} gives {shape[-1]} values of h a "
        f"step{both}: {shape}.",
        "  EXPECTED is all steps of it, the first few, one sequence of the batch, "
        f"{last_step}or final_h{of_cells}; "
        "outputs of a dense layer behind it are compared if the model has that head.",
    ]
    if last.units != last.outputs:
        lines.append(
            f"  c has {last.units} values a step: give it under the name c, or final_c."
        )
    if len(question.arrays) > 1:  # of different values
        lines.append(
            f"  Its arrays have to be of one run; {file}:MEMBER is one of them."
        )
    return UserError(*lines)
