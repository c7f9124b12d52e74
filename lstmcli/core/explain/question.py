"""What is asked, made ready for the search: EXPECTED's arrays, tolerances, and layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice, product
from math import prod
from typing import Any, Literal

import numpy as np

from lstmcli.core.diff.abbreviated import fits, shape_text, spread
from lstmcli.core.diff.alignment import FINAL, WEIGHTS, ArrayName
from lstmcli.core.diff.axes import side_by_side
from lstmcli.core.diff.operand import UNNAMED, Side
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.budget import Work
from lstmcli.core.explain.causes import SPREADS
from lstmcli.core.explain.hypotheses import Change, Changes
from lstmcli.core.explain.observation import (
    BRAIN,
    EPS,
    HALF,
    SINGLE,
    Allowance,
    Expected,
    allowances_of,
    as_printed,
    by_cell,
    grids_of,
    placements,
    printed_digits,
    side_by_side_of,
    stacked_of,
    states_of,
)
from lstmcli.core.explain.verify import Cached, Case, Reader, Remark, remark
from lstmcli.core.forward.plan import check_axes
from lstmcli.core.forward.sequence import direction_axis, has_direction_axis
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.hint import join_with_and
from lstmcli.core.model.model import Inputs, Model
from lstmcli.core.model.settings import MERGES
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError

Shape = tuple[int, ...]

MOST_SHAPES = 4  # that are tried for a print

Shaped = tuple["Question", tuple[Remark, ...]]
"""A question with EXPECTED in a shape, and what has to be said of it."""


@dataclass(frozen=True, eq=False)
class Question:
    """Weights behind a reader, inputs, and EXPECTED as loaded."""

    read: Reader
    x: Array
    side: Side
    layout: str | None = None  # as given by file or option
    initial_state: Mapping[str, Array] = field(default_factory=dict)
    lengths: Array | None = None
    mask: Array | None = None
    inputs: str = "the input array"  # what messages call them
    undecided: Mapping[str, Any] = field(default_factory=dict)  # settings that nothing gives
    # of all its shapes and placements:
    work: Work = field(default_factory=Work)
    runs: Cached = field(default_factory=Cached)
    made: dict[Any, Any] = field(default_factory=dict)  # the simulators that they share

    def model(self) -> Model:
        """The model as assumed, in float64."""
        return self.read({"dtype": "float64"})

    @property
    def axes(self) -> Shape:
        """The lengths of all axes of the inputs but the last."""
        return np.shape(self.x)[:-1]

    def assumed_layout(self, model: Model) -> str:
        """The layout that is given, or that of the model."""
        return "steps" if len(self.axes) < 2 else self.layout or model.convention.behaviour.layout


@dataclass(frozen=True, eq=False)
class Prepared:
    """A question with its model and EXPECTED's arrays by name."""

    question: Question
    model: Model
    layout: str
    arrays: Mapping[str, Numbers]
    allowances: tuple[Allowance, ...]
    precision: str  # of EXPECTED: a number type, or "printed"
    digits: int | None = None  # of a print
    coarse: tuple[Allowance, ...] = ()  # of half precision, if EXPECTED may come from it
    grids: tuple[str, ...] = ()  # the number types on whose grid all of it lies
    dtype: str = "float32"  # of the weights
    states: Mapping[str, Numbers] = field(default_factory=dict)  # h as the last states of cells
    halves: Sequence[tuple[Mapping[str, Numbers], dict[str, Any]]] = ()
    """h as a part of both directions, and what its placement is then."""
    cached: Cached = field(default_factory=Cached)  # runs of several cells
    merge: tuple[str, str] | None = None  # as assumed, and the one in place of it
    array: str = ""  # what EXPECTED is compared with, if not the output of the model
    one_way: bool = False  # that is one of two directions

    @property
    def all_zero(self) -> bool:
        """Whether EXPECTED is zero throughout, and so proves nothing."""
        return not any(np.any(n.values[np.isfinite(n.values)]) for n in self.arrays.values())

    @property
    def left_out(self) -> int:
        """How many ways are no case: a budget of numbers leaves them out."""
        return sum(e.left_out for case in self.cases for e in case.expected.values())

    @cached_property
    def cases(self) -> list[Case]:
        """A case for each way in which EXPECTED can lie on the run, the likeliest first."""
        by_layout = {layout: self._placed(layout) for layout in self._layouts()}
        assumed = by_layout[self.layout]
        if assumed and assumed[0].placement.is_plain:  # another layout is a change like any other
            others = {k: ways[0] for k, ways in by_layout.items() if ways and k != self.layout}
            return [self._case(self.layout, {self.layout: one, **others}) for one in assumed]
        return [self._case(k, {k: one}) for k, ways in by_layout.items() for one in ways]

    def turned(self) -> list[Case]:
        """All of a run under another layout as if that were assumed, where none was given."""
        if self.question.layout is not None or 1 in self.question.x.shape[:-1]:
            return []  # sequences of one step, a state that is not carried gives too
        return [
            self._case(layout, {layout: one})
            for case in self.cases
            for layout, one in case.expected.items()
            if layout != self.layout and len(case.expected) > 1
        ]

    def _case(self, layout: str, expected: Mapping[str, Expected]) -> Case:
        question = self.question
        return Case(
            question.read, question.x, layout, expected,
            question.initial_state, question.lengths, question.mask, self.model.given,
        )  # fmt: skip

    def common_changes(self, case: Case) -> Changes:
        """What is changed in all hypotheses of a case: array, merge, layout, if not the assumed."""
        array = (Change("array", self.array),) if self.array else ()
        merge = () if self.merge is None else (Change("merge", self.merge[1]),)
        layout = () if case.layout == self.layout else (Change("layout", case.layout),)
        return (*array, *merge, *layout)

    def assumed(self, setting: str, how: Convention) -> Any:
        """What a setting of a cell with this convention was taken to be."""
        plain = setting.rpartition(".")[2]
        of_run = {"array": "h", "layout": self.layout, "dtype": self.dtype}
        if self.merge is not None:
            of_run["merge"] = self.merge[0]
        if plain in of_run:
            return of_run[plain]
        if plain == "masked_output" and self.question.mask is None:
            return how.behaviour.past_length
        if plain in SPREADS["gates"]:
            return how.storage.order_of(plain.removesuffix("_gates"))
        return how.setting(plain)

    def merged_otherwise(self) -> Iterator[Prepared]:
        """The same question with the two directions merged in each other way that can be run."""
        assumed = self.model.convention.behaviour.merge
        for merge in MERGES if self.model.bidirectional else ():
            read = partial(_merged_as, self.question.read, merge)
            if merge != assumed:
                with suppress(UserError):  # the layer above takes another width
                    other = prepare(replace(self.question, read=read))
                    yield replace(other, merge=(assumed, merge))

    def elsewhere(self) -> Iterator[Prepared]:
        """The same question with EXPECTED as the output of a lower layer, or of one direction."""
        last, single = f"layer{len(self.model.layers) - 1}", replace(self, states={}, halves=())
        if all(name.startswith(last) for name in self.arrays):
            for lower in (f"layer{n}" for n in range(len(self.model.layers) - 1)):
                arrays = {name.replace(last, lower): a for name, a in self.arrays.items()}
                yield replace(single, arrays=arrays, array=f"{lower}.h")
        if set(self.arrays) == {"h"} and self.model.bidirectional:
            for name, _ in self.model.cells:
                # the last step of a backward cell is not its last state
                for array in (*[f"{name}.final_h"] * name.endswith("_reverse"), f"{name}.h"):
                    arrays = {array: self.arrays["h"]}
                    yield replace(single, arrays=arrays, array=array, one_way=True)

    @property
    def not_finite(self) -> int:
        """How many numbers of EXPECTED are NaN or infinite: they count as not known."""
        unknown = ((~np.isfinite(n.values), n.left_out) for n in self.arrays.values())
        return sum(int(nan.sum()) - (0 if out is None else int(out.sum())) for nan, out in unknown)

    def no_place(self) -> UserError:
        """The mistake where EXPECTED cannot be a result of such a run."""
        side, last = self.question.side, self.model.layers[-1]
        shapes = ", ".join(f"{name} {n.shape}" for name, n in self.arrays.items())
        several = len(self.model.cells) > 1
        count = self._widths().get("h", last[0].outputs) if several else last[0].outputs
        joined = count > last[0].outputs
        each = f" ({' + '.join(str(cell.outputs) for cell in last)}, both directions)" * joined
        axes = output_axes(self.model, self.layout, self.question.axes)
        lines = [
            f"{side.name} contains {shapes}; a run over inputs {self.question.x.shape} gives "
            f"{count} numbers a step{each}: {(*axes, count)}.",
            f"  EXPECTED is all steps of it, the first few, one sequence of the batch, "
            f"{'the last step, ' * joined}or final_h{' of every cell' * several}.",
        ]
        one_way = any(n.shape[-1:] == (last[0].outputs,) for n in self.arrays.values())
        if joined and one_way and len(self.model.layers) > 1:
            lines.append(
                f"  Added up, both directions would give {last[0].outputs}; but layer 1 takes "
                f"{self.model.layers[1][0].inputs}, so this model has them side by side."
            )
        return UserError(*lines)

    def _layouts(self) -> list[str]:
        if self.layout == "steps":
            return ["steps"]
        q = self.question
        starts = (cell.initial_h for _, cell in self.model.cells)
        of_items = any(start is not None and start.ndim == 2 for start in starts)
        if of_items or q.initial_state or q.lengths is not None or q.mask is not None:
            return [self.layout]
        return [self.layout, "time" if self.layout == "batch" else "batch"]

    def _placed(self, layout: str) -> list[Expected]:
        size, widths = shape_of(self.question.x, layout), self._widths()
        said, how = self.question.side.layout, self.model.convention.behaviour
        arrays = dict(self.arrays)
        if widths.get("h", 0) > self.model.layers[-1][0].outputs:  # a run has it cell by cell
            arrays.pop("h", None)
        found = placements(arrays, widths, *size, said if said in ("batch", "time") else layout)
        # a print of (n, 1, H) counts as n steps, and may be n sequences all the same
        found = found or placements(arrays, widths, *size, layout)
        if len(self.model.cells) > 1:  # a run has last states cell by cell
            found = [one for one in found if not one.finals.keys() & {"final_h", "final_c"}]
        states = placements(self.states, widths, *size, layout)
        # likelier than some steps of one sequence, of which there are as many ways as sequences
        found = found[:1] + [self._of_each_cell(one) for one in states] + found[1:]
        for halves, changes in self.halves:
            of_both = {**changes, "size": (*size, widths["h"])} if changes and "h" in widths else {}
            for one in placements(halves, widths, *size, layout):
                found.append(replace(one, placement=one.placement._replace(**of_both)))
        turned = how.reverse or how.flip_output or how.go_backwards
        if not turned and self.question.lengths is None and self.question.mask is None:
            return found
        return [replace(one, needs=()) for one in found]  # the last step is no last state

    def _of_each_cell(self, states: Expected) -> Expected:
        """The same with the words for it: last states of all cells, or of the last layer's."""
        if not states.placement.is_plain:
            return states
        cells = list(dict.fromkeys(name.rpartition(".")[0] for name in states.finals))
        some = join_with_and(cells) if 0 < len(cells) < len(self.model.cells) else ""
        return replace(states, placement=states.placement._replace(kind="last states", array=some))

    def _widths(self) -> dict[str, int]:
        """The numbers of each array of a run."""
        model = self.model
        several = len(model.cells) > 1
        widths: dict[str, int] = {}
        for name, cell in model.cells:
            start = f"{name}." if several else ""
            of_cell = {"h": cell.outputs, **dict.fromkeys("cifgo", cell.units), "z": 4 * cell.units}
            of_cell |= {f"final_{k}": of_cell[k] for k in "hc"}
            widths |= {f"{start}{k}": n for k, n in of_cell.items()}
        if several and not has_direction_axis(model):  # a stacked h is that of each cell
            last = model.layers[-1]
            joined = last[0].convention.behaviour.merge in ("concat", "concat_swapped")
            widths["h"] = sum(c.outputs for c in last) if joined else last[0].outputs
        return widths


def _merged_as(read: Reader, merge: str, settings: Mapping[str, Any]) -> Model:
    return read({"merge": merge, **settings})


def output_axes(model: Model, layout: str, axes: Sequence[int]) -> tuple[int, ...]:
    """All axes of h but the last, over inputs of these axes: with one of directions if stacked."""
    if not has_direction_axis(model):
        return tuple(axes)
    axis = direction_axis(model.convention, layout)
    return (*axes[:axis], 2, *axes[axis:])


def _of_finals(question: Question) -> str | None:
    """Time first, where (1, N, I) meets last states of N sequences and nothing gives a layout."""
    axes = np.shape(question.x)
    if len(axes) != 3 or axes[0] != 1 or axes[1] == 1:
        return None
    arrays = question.side.arrays.items()
    finals = [a for name, a in arrays if ArrayName.of(name).kind == FINAL and a.ndim > 1]
    many = bool(finals) and all(a.shape[-2] == axes[1] for a in finals)
    return "time" if many and question.model().given.get("layout") is None else None


def shape_of(x: Array, layout: str) -> tuple[int, int]:
    """T and B of inputs."""
    if layout == "steps":
        return len(x), 1
    return (x.shape[1], x.shape[0]) if layout == "batch" else (x.shape[0], x.shape[1])


def prepare(question: Question) -> Prepared:
    """The question with its model, and what EXPECTED contains.

    Raises
    ------
    UserError
        if inputs do not fit the model, or EXPECTED contains nothing of a run.
    """
    model = question.model()
    if exchanged := _exchanged(question, model):
        raise exchanged
    given = question.layout or _of_finals(question)
    state, lengths = question.initial_state, question.lengths
    x = np.asarray(question.x)
    layout = check_axes(model, Inputs(x, given, state, lengths, name=question.inputs))
    arrays = {
        name or "h": question.side.numbers(name)
        for name in question.side.arrays
        if name == UNNAMED or ArrayName.of(name).kind != WEIGHTS
    }
    if not arrays and len(question.side.arrays) == 1:  # under a name that no run gives
        arrays = {"h": question.side.numbers(next(iter(question.side.arrays)))}
    if not arrays:
        names = ", ".join(question.side.arrays) or "no array"
        source, several = question.side.name, [name for name in question.side.arrays if name][:1]
        raise UserError(
            f"{source} contains {names}; EXPECTED is h, c, a gate, or final_h of a run.",
            *(f"  FILE:MEMBER is one array: {source}:{name}" for name in several),
        )
    if not any(n.values.size for n in arrays.values()):
        shapes = ", ".join(f"{name} {n.shape}" for name, n in arrays.items())
        raise UserError(f"{question.side.name} contains {shapes}: no number to be explained.")
    if not any(np.isfinite(n.values).any() for n in arrays.values()):
        raise UserError(
            f"{question.side.name}: every number is NaN or infinite, so no run can be compared "
            "with it; look for the first of them in the other side's weights, inputs or states."
        )
    taken, rounded = as_printed(arrays)
    arrays = dict(taken)
    allowances, precision = allowances_of(question.side, arrays)
    digits = rounded or printed_digits(arrays) if precision == "printed" else None
    states = states_of(arrays["h"], model) if set(arrays) == {"h"} else {}
    halves: list[tuple[dict[str, Numbers], dict[str, Any]]] = []
    if set(arrays) == {"h"}:
        halves = [] if states else [*side_by_side_of(arrays["h"], model)]
        halves += [(one, {}) for one in stacked_of(arrays["h"], model)]
    arrays = by_cell(arrays, model, layout, question.axes)
    dtype = question.read({}).cell.dtype.name
    grids = (precision,) if precision in EPS else tuple(grids_of(arrays))
    coarse = tuple(a for a in (HALF, BRAIN) if not grids or a.name in grids)
    if dtype in EPS:  # the network as loaded rounds every operation: nothing finer can be asked
        coarse = () if precision in EPS else coarse
    elif grids:
        stored = SINGLE._replace(name=grids[0], stored=grids[0])
        allowances = (stored,) if precision in EPS else (allowances[0], stored)
    return Prepared(
        question, model, layout, arrays, allowances, precision, digits, coarse, grids, dtype,
        states=states, halves=halves,
    )  # fmt: skip


def _exchanged(question: Question, model: Model) -> UserError | None:
    """The mistake where EXPECTED has the width of inputs, and the inputs that of an output."""
    takes, shape = model.cell.inputs, np.shape(question.x)
    if not shape:
        return None
    widths = {sum(cell.outputs for cell in model.layers[-1]), model.layers[-1][0].outputs}
    for array in question.side.arrays.values():
        if array.shape[-1:] == (takes,) and takes not in widths and shape[-1] in widths:
            return UserError(
                f"the weights take {takes} inputs; {question.inputs} is {shape} and "
                f"{question.side.name} {array.shape}: they look exchanged.",
                "  lstm explain WEIGHTS... INPUTS EXPECTED",
            )
    return None


# ---- EXPECTED whose shape its file does not tell: the model and the inputs do


def in_shape(question: Question) -> Iterator[Shaped]:
    """The question with EXPECTED in a shape that it can have, the likeliest first.

    Raises
    ------
    UserError
        if an abbreviated print can have none.
    """
    side = question.side
    if not side.gaps:
        for one, said in _unrolled(question):
            yield from ((split, said + gates) for split, gates in _split_gates(one))
        return
    model = question.model()
    possible = [list(_shapes(name, question, model)) for name in side.gaps]
    for name, shapes in zip(side.gaps, possible, strict=True):
        if not shapes:
            raise UserError(_no_shape(name, question, model))
    for chosen in islice(product(*possible), MOST_SHAPES):
        filled = {
            name: spread(side.numbers(name), before, shape)
            for (name, before), shape in zip(side.gaps.items(), chosen, strict=True)
        }
        yield replace(question, side=side.with_numbers(filled)), ()


def _unrolled(question: Question) -> Iterator[Shaped]:
    """The question as it is, or EXPECTED on the axes of the run.

    Numbers in a row, rows of all steps, or directions on an axis that the run does not have. A
    vector of one step is that before it is numbers in a row.
    """
    side = question.side
    axes, stacked = len(question.axes), has_direction_axis(question.model())
    by_rows: list[Shaped] = []
    by_columns: list[Shaped] = []
    for name, array in side.arrays.items() if len(side.arrays) == 1 else ():
        numbers, dims = side.numbers(name), [n for n in array.shape if n != 1]
        full = [*_full_shapes(name, question)]
        if dims == [array.shape[-1]] and dims[0] in _widths(name, question.model()):
            by_rows.append((question, ()))
        if dims and not any(prod(shape) == prod(dims) for shape in full):
            full += [shape for shape in _part_shapes(name, question) if dims == [prod(shape)]]
        for shape in full:
            sides = side_by_side(numbers, shape[-1], "EXPECTED") if not stacked else ()
            for joined, _ in sides:
                if array.ndim == axes + 2 and joined.shape == shape:
                    said = remark("directions_joined", given=array.shape, shape=shape)
                    by_rows.append((_replaced(question, name, {name: joined}), (said,)))
            in_a_row = dims == [prod(shape)] and sum(n != 1 for n in shape) > 1
            rows = [prod(shape[:-1]), shape[-1]]
            columns = array.shape[-1] == 1 < shape[-1] and dims == [n for n in shape if n != 1]
            if columns or in_a_row or (dims == rows and sum(n != 1 for n in shape[:-1]) > 1):
                moved = numbers.moved(partial(_reshaped, shape))
                said = remark("taken_in_a_row", given=array.shape, shape=shape)
                by_rows.append((_replaced(question, name, {name: moved}), (said,)))
            if in_a_row:
                moved = numbers.moved(partial(_reshaped, shape, order="F"))
                said = remark("taken_by_columns", given=array.shape, shape=shape)
                by_columns.append((_replaced(question, name, {name: moved}), (said,)))
    yield from [*by_rows, *by_columns] or [(question, ())]


def _reshaped(shape: Shape, array: Array, order: Literal["C", "F"] = "C") -> Array:
    return array.reshape(shape, order=order)


def _split_gates(question: Question) -> Iterator[Shaped]:
    """The question as it is; or an array of all four gates, (..., 4H), taken apart.

    The gates are in the order of the kernel, or in that of a trace, i f g o. So are
    pre-activations, z, which stay one array.
    """
    side, model = question.side, question.model()
    names = [n for n, a in side.arrays.items() if ArrayName.of(n).base in (UNNAMED, "gates", "z")]
    cell = model.cell
    if len(model.cells) > 1 or len(names) != 1 or len(cell.convention.storage.gates) < len(GATES):
        yield question, ()
        return
    name, width = names[0], side.arrays[names[0]].shape[-1:]
    if width != (4 * cell.units,) or (name == UNNAMED and width == (cell.outputs,)):
        yield question, ()
        return
    numbers, H = side.numbers(name), cell.units
    for order in dict.fromkeys((cell.convention.storage.order_of("kernel"), GATES)):
        units = {gate: slice(k * H, (k + 1) * H) for k, gate in enumerate(order)}
        if name == "z":
            places = np.concatenate([np.arange(4 * H)[units[gate]] for gate in GATES])
            yield _replaced(question, name, {name: numbers[..., places]}), ()
        else:
            parts = {gate: numbers[..., part] for gate, part in units.items()}
            yield _replaced(question, name, parts), (remark("taken_as_gates", given=numbers.shape),)


def _replaced(question: Question, name: str, numbers: Mapping[str, Numbers]) -> Question:
    """The question with other arrays in place of one of EXPECTED."""
    side = question.side
    arrays = {k: a for k, a in side.arrays.items() if k != name}
    units = {k: u for k, u in side.units.items() if k != name}
    arrays |= {k: one.values for k, one in numbers.items()}
    units |= {k: one.unit for k, one in numbers.items() if one.unit is not None}
    return replace(question, side=replace(side, arrays=arrays, units=units))


def _full_shapes(name: str, question: Question) -> Iterator[Shape]:
    """The shapes of a result of all steps, the likeliest first."""
    model, axes = question.model(), question.axes
    widths = _widths(name, model)
    units = model.layers[-1][0].outputs
    yield from ((*lead, units) for lead in _stacked(name, question, model))
    for width, lead in product(widths, dict.fromkeys([axes, axes[::-1]])):
        yield (*lead, width)


def _part_shapes(name: str, question: Question) -> Iterator[Shape]:
    """The shapes of the last step of all sequences, of last states of cells, of one sequence."""
    model = question.model()
    T, B = shape_of(question.x, question.assumed_layout(model))
    widths = _widths(name, model)
    yield from ((B, width) for width in widths)
    if len(model.cells) > 1:
        yield (len(model.cells), B, model.layers[-1][0].outputs)
    yield from ((T, width) for width in widths)


def _stacked(name: str, question: Question, model: Model) -> Iterator[Shape]:
    """The axes but the last of a stacked h, in the run's layout and in the other one.

    None for another array, or where no axis has the directions.
    """
    if name not in (UNNAMED, "h") or not has_direction_axis(model):
        return
    axes, layout = question.axes, question.assumed_layout(model)
    yield output_axes(model, layout, axes)
    if len(axes) == 2:
        yield output_axes(model, "time" if layout == "batch" else "batch", axes[::-1])


def left_out(question: Question, has_shape: bool) -> Iterator[Remark]:
    """What is said of a print that left numbers out.

    ``has_shape``: whether the print tells its shape itself.
    """
    side = question.side
    units = [unit for unit in side.units.values() if np.isinf(unit).any()]
    if not units:
        return
    given, total = sum(int(np.isfinite(u).sum()) for u in units), sum(u.size for u in units)
    shapes = " and ".join(dict.fromkeys(str(unit.shape) for unit in units))
    shapes = "" if has_shape else shapes
    yield remark("print_left_out", given=given, total=total, shapes=shapes)


def _shapes(name: str, question: Question, model: Model) -> Iterator[Shape]:
    """The shapes of results of a run that would be printed so."""
    packed, before = question.side.arrays[name].shape, question.side.gaps[name]
    found: dict[Shape, None] = {}
    leads = [*_stacked(name, question, model), *_leads(question, model)]
    for lead, width in product(leads, _widths(name, model)):
        shape = (*lead, width)
        if fits(packed, before, shape):
            found[shape] = None
    yield from found


def _leads(question: Question, model: Model) -> Iterator[Shape]:
    """The axes before the last: steps and rows, either of them, or cells and rows."""
    axes = question.axes
    yield axes
    yield axes[::-1]
    for n in axes:
        yield (n,)
        yield from ((1, n), (n, 1))
    for n in axes:
        yield from ((len(model.cells), n), (n, len(model.cells)))
    yield from ((), (1,), (1, 1))


def _widths(name: str, model: Model) -> list[int]:
    """The numbers an array may have along its last axis: of a cell, or of cells side by side."""
    cells = [cell for _, cell in model.cells]
    outputs = ArrayName.of(name or "h").base in ("h", "final_h")
    sizes = [cell.outputs if outputs else cell.units for cell in cells]
    last = [cell.outputs for cell in model.layers[-1]]
    return list(dict.fromkeys([*([sum(last)] if outputs else []), *sizes]))


def _no_shape(name: str, question: Question, model: Model) -> str:
    side = question.side
    shape = shape_text(side.gaps[name], side.arrays[name].shape)
    return (
        f"{side.name}: {name or 'the array'} is abbreviated, of a shape {shape}; no result of a "
        f"run over inputs {np.shape(question.x)} with {_widths(name, model)[0]} numbers a step is "
        "printed so."
    )
