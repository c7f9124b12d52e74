"""EXPECTED whose shape its file does not tell: the model and the inputs do.

An abbreviated print may not, and numbers one after the other do not, as a port in C writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, product
from math import prod
from typing import Literal

import numpy as np

from lstmcli.core.diff.abbreviated import fits, shape_text, spread
from lstmcli.core.diff.alignment import ArrayName
from lstmcli.core.diff.operand import LONE, Side
from lstmcli.core.diff.tolerance import Numbers
from lstmcli.core.explain.explanation import Remark, remark
from lstmcli.core.explain.question import Question, output_axes
from lstmcli.core.forward.sequence import has_direction_axis
from lstmcli.core.model.model import Model
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError

MOST_SHAPES = 4  # that are tried for a print

Shape = tuple[int, ...]


def in_shape(question: Question) -> Iterator[Question]:
    """The question with EXPECTED in a shape that it can have, the likeliest first.

    Raises
    ------
    UserError
        if an abbreviated print can have none.
    """
    side = question.side
    if not side.gaps:
        for one in _unrolled(question):
            yield from _split_gates(one)
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
        yield replace(question, side=side.with_numbers(filled))


def _unrolled(question: Question) -> Iterator[Question]:
    """The question as it is; or numbers in a row, or rows of all steps, on the axes of the run."""
    side = question.side
    found: list[Question] = []
    by_columns: list[Question] = []
    for name, array in side.arrays.items() if len(side.arrays) == 1 else ():
        dims = [n for n in array.shape if n != 1]
        for shape in _whole_shapes(name, question):
            in_a_row = dims == [prod(shape)] and sum(n != 1 for n in shape) > 1
            rows = [prod(shape[:-1]), shape[-1]]
            if in_a_row or (dims == rows and sum(n != 1 for n in shape[:-1]) > 1):
                found.append(replace(question, side=_shaped(side, name, shape)))
            if in_a_row:
                by_columns.append(replace(question, side=_shaped(side, name, shape, "F")))
    yield from [*found, *by_columns] or [question]


def _split_gates(question: Question) -> Iterator[Question]:
    """The question as it is; or an array of all four gates, (..., 4H), taken apart.

    The gates are in the order of the kernel, or in that of a trace, i f g o. So are
    pre-activations, z, which stay one array.
    """
    side, model = question.side, question.model()
    names = [n for n, a in side.arrays.items() if ArrayName.of(n).base in (LONE, "gates", "z")]
    cell = model.cell
    if len(model.cells) > 1 or len(names) != 1 or len(cell.convention.storage.gates) < len(GATES):
        yield question
        return
    name, width = names[0], side.arrays[names[0]].shape[-1:]
    if width != (4 * cell.units,) or (name == LONE and width == (cell.outputs,)):
        yield question
        return
    for order in dict.fromkeys((cell.convention.storage.order_of("kernel"), GATES)):
        parts = dict(zip(order, _quarters(side.numbers(name)), strict=True))
        if name == "z":
            values = np.concatenate([parts[gate].values for gate in GATES], axis=-1)
            units = [unit for gate in GATES if (unit := parts[gate].unit) is not None]
            parts = {name: Numbers(values, np.concatenate(units, axis=-1) if units else None)}
        yield replace(question, side=_with_arrays(side, name, parts))


def _quarters(numbers: Numbers) -> list[Numbers]:
    """The four parts of an array (..., 4H)."""
    units = numbers.shape[-1] // 4

    def quarter(k: int) -> Numbers:
        return numbers.moved(lambda array: array[..., k * units : (k + 1) * units])

    return [quarter(k) for k in range(4)]


def _with_arrays(side: Side, name: str, parts: Mapping[str, Numbers]) -> Side:
    """A side with other arrays in place of one."""
    arrays = {k: a for k, a in side.arrays.items() if k != name}
    units = {k: u for k, u in side.units.items() if k != name}
    arrays |= {k: numbers.values for k, numbers in parts.items()}
    units |= {k: numbers.unit for k, numbers in parts.items() if numbers.unit is not None}
    return replace(side, arrays=arrays, units=units)


def _whole_shapes(name: str, question: Question) -> Iterator[Shape]:
    """The shapes of a result of all steps, the likeliest first."""
    model, axes = question.model(), np.shape(question.x)[:-1]
    widths = _widths(name, model)
    units = model.layers[-1][0].outputs
    yield from ((*lead, units) for lead in _stacked(name, question, model))
    for width, lead in product(widths, dict.fromkeys([axes, axes[::-1]])):
        yield (*lead, width)


def _stacked(name: str, question: Question, model: Model) -> Iterator[Shape]:
    """The axes but the last of a stacked h, in the run's layout and in the other one.

    None for another array, or where no axis has the directions.
    """
    if name not in (LONE, "h") or not has_direction_axis(model):
        return
    axes = np.shape(question.x)[:-1]
    layout = "steps" if len(axes) < 2 else question.layout or model.convention.behaviour.layout
    yield output_axes(model, layout, axes)
    if len(axes) == 2:
        yield output_axes(model, "time" if layout == "batch" else "batch", axes[::-1])


def _shaped(side: Side, name: str, shape: Shape, order: Literal["C", "F"] = "C") -> Side:
    """A side with its one array in a shape, its numbers taken row by row or by columns."""
    numbers = side.numbers(name).moved(lambda array: array.reshape(shape, order=order))
    printed = {} if numbers.unit is None else {name: numbers.unit}
    return replace(side, arrays={name: numbers.values}, units=printed)


def unrolled(question: Question, shaped: Question) -> Iterator[Remark]:
    """What is said of numbers in a row that were laid on the axes of a run."""
    for name, array in question.side.arrays.items():
        if name not in shaped.side.arrays:
            yield remark("taken_as_gates", given=array.shape)
            return
        shape = shaped.side.arrays[name].shape
        if not question.side.gaps and shape != array.shape:
            by_rows = np.array_equal(
                array.ravel(), shaped.side.arrays[name].ravel(), equal_nan=True
            )
            code = "taken_in_a_row" if by_rows else "taken_by_columns"
            yield remark(code, given=array.shape, shape=shape)
            return


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
    axes = np.shape(question.x)[:-1]
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
