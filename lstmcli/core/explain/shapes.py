"""The arrays that EXPECTED may be: of the LSTM or of its head, in each possible shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from math import prod

from lstmcli.core.diff.names import OUTPUT_NAMES, renamed
from lstmcli.core.diff.operand import OF_HEAD, UNNAMED, Side
from lstmcli.core.diff.printed import printed_shapes, shape_text, spread
from lstmcli.core.explain.budget import Budget, WorkDone
from lstmcli.core.explain.locations import run_shapes
from lstmcli.core.explain.question import Question
from lstmcli.core.explain.verify import Cached
from lstmcli.core.forward.prepare import edited_model
from lstmcli.core.model.layouts import Arrangement, RunShape, arrangements
from lstmcli.core.model.model import Model, layer_width, steps_and_batch
from lstmcli.core.model.surroundings import Y
from lstmcli.errors import UserError

Shape = tuple[int, ...]


def shaped(question: Question) -> list[Question]:
    """The question with each array that EXPECTED may be; UserError if no run has its shape."""
    questions: list[Question] = []
    refused = None
    for one in _as_outputs(question):
        one.work.progress = question.work.progress
        try:
            questions.extend(_in_shapes(one))
        except UserError as error:
            refused = error
    if refused is not None and not questions:
        raise refused
    return questions


def _as_outputs(question: Question) -> Iterator[Question]:
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
    names = [name for name in side.arrays if name in OUTPUT_NAMES.union(OF_HEAD)]
    if len(side.arrays) == 1:
        names = list(side.arrays)
    for name in names:
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


# ---- abbreviated output


def _in_shapes(question: Question) -> Iterator[Question]:
    """The question with EXPECTED in each possible shape, the likeliest first."""
    side = question.side
    if not side.gaps:
        yield question
        return
    possible = [_shapes_of(question, name) for name in side.gaps]
    for chosen in islice(product(*possible), Budget.FEW):
        filled = {}
        for (name, before), shape in zip(side.gaps.items(), chosen, strict=True):
            filled[name] = spread(side.numbers(name), before, shape)
        yield replace(question, side=side.with_numbers(filled))


def _shapes_of(question: Question, name: str) -> list[Shape]:
    """The full shapes that an abbreviated array may have on a run, the likeliest first."""
    side, model, x = question.side, question.model, question.x
    before, packed = side.gaps[name], side.arrays[name].shape
    layout = question.assumed_layout
    names = [name or "h"]
    if name in (UNNAMED, "h"):
        names.append("final_h")
    shapes: dict[Shape, None] = {}
    for of_run in names:
        size = steps_and_batch(x.shape, layout)
        for run, _ in run_shapes(of_run, model, layout, size):
            full = printed_shapes(before, packed, run.lengths.values())
            shapes.update(dict.fromkeys(_by_cost(full, run)))
    if not shapes:
        count = sum(cell.outputs for cell in model.layers[-1])
        raise UserError(
            f"{side.name}: {name or 'the array'} is abbreviated, of a shape "
            f"{shape_text(before, packed)}; no result of a run over inputs {x.shape} with "
            f"{count} values a step has such a shape."
        )
    return list(shapes)


def _by_cost(shapes: list[Shape], run: RunShape) -> list[Shape]:
    """The shapes that an array of all of a run has, the likeliest first."""
    costs: dict[Shape, float] = {}
    for shape in shapes:
        for one in arrangements(shape, run, [run.steps - 1], [0]):
            if _is_all(one, run):
                costs.setdefault(shape, one.cost)  # they come by cost
    return sorted(costs, key=costs.__getitem__)


def _is_all(one: Arrangement, run: RunShape) -> bool:
    """Tell whether an arrangement has axes, each of the run's length, and all directions."""
    lengths = [run.lengths[axis] for axis in one.axes]
    return one.directions.is_all and not one.in_a_row and lengths == list(one.shape)
