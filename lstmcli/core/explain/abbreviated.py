"""EXPECTED as an abbreviated print that does not tell its shape: the model and the inputs do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

import numpy as np

from lstmcli.core.alignment import ArrayName
from lstmcli.core.explain.question import Question
from lstmcli.core.gaps import fits, said, spread
from lstmcli.core.model import Model
from lstmcli.errors import UserError

MOST_SHAPES = 4  # that are tried for a print

Shape = tuple[int, ...]


def in_shape(question: Question) -> Iterator[Question]:
    """The question with each abbreviated print in a shape that it can have, the likeliest first.

    Raises
    ------
    UserError
        if it can have none.
    """
    side = question.side
    if not side.gaps:
        yield question
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


def left_out(question: Question, told: bool) -> str:
    """What is said of a print that left numbers out; empty if none did.

    ``told``: whether the print tells its shape itself.
    """
    side = question.side
    units = [unit for unit in side.units.values() if np.isinf(unit).any()]
    if not units:
        return ""
    given, total = sum(int(np.isfinite(u).sum()) for u in units), sum(u.size for u in units)
    shapes = " and ".join(dict.fromkeys(str(unit.shape) for unit in units))
    taken = "" if told else f", taken as {shapes} as the inputs have it"
    return f"The print gives {given:,} of {total:,} numbers{taken}; the others are not compared."


def _shapes(name: str, question: Question, model: Model) -> Iterator[Shape]:
    """The shapes of results of a run that would be printed so."""
    packed, before = question.side.arrays[name].shape, question.side.gaps[name]
    found: dict[Shape, None] = {}
    for lead, width in product(_leads(question, model), _widths(name, model)):
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
    shape = said(side.gaps[name], side.arrays[name].shape)
    return (
        f"{side.name}: {name or 'the array'} is abbreviated, of a shape {shape}; no result of a "
        f"run over inputs {np.shape(question.x)} with {_widths(name, model)[0]} numbers a step is "
        "printed so."
    )
