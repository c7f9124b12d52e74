"""Which claimed cells are the directions of one layer: where the names leave it to the shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from lstmcli.core.weights.slots import Slot, TensorNames
from lstmcli.core.weights.templates import CellIndex, RecognisedLstm, Shapes

T = TypeVar("T")

_BUILDER = re.compile(r"(?P<collection>.*builder)(?:_(?P<number>\d{1,9}))?")


def split_directions(found: RecognisedLstm, shapes: Shapes) -> list[RecognisedLstm]:
    """Its directions as an LSTM each, if no layer takes what both directions below it give.

    TensorFlow 1's bidirectional_dynamic_rnn joins only what the last layers of two MultiRNNCells
    give; stack_bidirectional_dynamic_rnn joins after each layer.
    """
    names = found.convention.names
    if len({direction for _, direction in found.cells}) < 2:
        return [found]
    if names.stacks:
        return _one_each(
            found, [names.stacks.format(direction=d) for d in names.direction_marks]
        )
    if names.scopes and _are_apart(found, shapes):
        return _one_each(found, ["fw", "bw"])
    return [found]


def _one_each(found: RecognisedLstm, words: Sequence[str]) -> list[RecognisedLstm]:
    return [
        replace(
            found,
            prefix=f"{found.prefix}_{word}".strip("_"),
            cells=_of_direction(found.cells, direction),
            lacking=_of_direction(found.lacking, direction),
        )
        for direction, word in enumerate(words)
    ]


def _of_direction(by_cell: Mapping[CellIndex, T], direction: int) -> dict[CellIndex, T]:
    return {cell: value for cell, value in by_cell.items() if cell[1] == direction}


def _are_apart(found: RecognisedLstm, shapes: Shapes) -> bool:
    """Return whether a layer takes what one direction below it gives, or other inputs than both."""
    sizes = {cell: _fused_sizes(names, shapes) for cell, names in found.cells.items()}
    for (layer, direction), (inputs, _) in sizes.items():
        of_other = sizes.get((layer, 1 - direction))
        if of_other is not None and of_other[0] != inputs:
            return True
        _, outputs_below = sizes.get((layer - 1, direction), (0, 0))
        if layer > 0 and inputs == outputs_below:
            return True
    return False


def _fused_sizes(names: TensorNames, shapes: Shapes) -> tuple[int, int]:
    """Inputs and outputs of a cell whose kernel (I + P, 4H) has both matrices."""
    fused = shapes.get(names.get(Slot("fused"), ""), ())
    projection = shapes.get(names.get(Slot("projection"), ""))
    if len(fused) != 2:
        return 0, 0
    rows, width = fused
    outputs = width // 4
    if projection is not None:
        outputs = min(projection, default=0)
    return rows - outputs, outputs


def layers_of_stacks(found: Sequence[RecognisedLstm]) -> list[RecognisedLstm]:
    """Each layer in all its directions, if these are stacks of the same file; otherwise none.

    With skip connections between layers, only one layer can be run. A stack of one layer has none.
    """
    if not all(one.convention.names.stacks for one in found):
        return []
    numbers = sorted(set().union(*({layer for layer, _ in one.cells} for one in found)))
    if len(found) == 1 and numbers == [0]:
        return []
    return [
        replace(
            found[0],
            prefix=f"layer {number}",
            cells=_of_layer([one.cells for one in found], number),
            lacking=_of_layer([one.lacking for one in found], number),
        )
        for number in numbers
    ]


def _of_layer(
    stacks: Sequence[Mapping[CellIndex, T]], number: int
) -> dict[CellIndex, T]:
    """The cells of one layer of all stacks, as those of layer 0."""
    found = {}
    for by_cell in stacks:
        for (layer, direction), value in by_cell.items():
            if layer == number:
                found[0, direction] = value
    return found


# ---- DyNet's builders, of one layer and one direction each


def pair_builders(
    claims: Sequence[RecognisedLstm], shapes: Shapes
) -> list[RecognisedLstm]:
    """The LSTMs, with builders of one layer joined as DyNet's BiRNNBuilder numbers them.

    Forward and backward of the first layer, then of the next, which take what both give. An odd
    number of builders of one size in a row is left as it is.
    """
    found: list[RecognisedLstm] = []
    collections: dict[tuple[str, str], dict[int, RecognisedLstm]] = {}
    for one in claims:
        match = _BUILDER.fullmatch(one.prefix)
        is_single = (
            one.convention.names.pairs and [*one.cells] == [(0, 0)] and not one.lacking
        )
        if match is None or not is_single:
            found.append(one)
            continue
        collection = collections.setdefault(
            (one.convention.name, match["collection"]), {}
        )
        collection[int(match["number"] or 0)] = one
    for builders in collections.values():
        found += _stacks_of(_rows_of_one_size(builders, shapes), shapes)
    return found


def _rows_of_one_size(
    builders: Mapping[int, RecognisedLstm], shapes: Shapes
) -> list[list[RecognisedLstm]]:
    """The builders in the order of their numbers; a gap, or another size, begins a row."""
    rows: list[list[RecognisedLstm]] = []
    for number in sorted(builders):
        builder, before = builders[number], builders.get(number - 1)
        if before is not None and _sizes(before, shapes) == _sizes(builder, shapes):
            rows[-1].append(builder)
        else:
            rows.append([builder])
    return rows


def _stacks_of(
    rows: Sequence[list[RecognisedLstm]], shapes: Shapes
) -> list[RecognisedLstm]:
    """The LSTMs: pairs of builders, each upon the one whose outputs it takes; or single ones."""
    stacks: list[list[RecognisedLstm]] = []
    width_below = None  # what both directions of the layer below give
    for row in rows:
        inputs, outputs = _sizes(row[0], shapes)
        if len(row) % 2:
            stacks += [[builder] for builder in row]
            width_below = None
            continue
        for first in range(0, len(row), 2):
            if inputs != width_below:
                stacks.append([])
            stacks[-1] += row[first : first + 2]
            width_below = 2 * outputs
    joined = []
    for stack in stacks:
        cells = {
            (n // 2, n % 2): builder.cells[0, 0] for n, builder in enumerate(stack)
        }
        joined.append(replace(stack[0], cells=cells))
    return joined


def _sizes(builder: RecognisedLstm, shapes: Shapes) -> tuple[int, int]:
    """Inputs and outputs: the last axes of both kernels."""
    names = builder.cells[0, 0]
    return _last_axis("kernel", names, shapes), _last_axis(
        "recurrent_kernel", names, shapes
    )


def _last_axis(role: str, names: TensorNames, shapes: Shapes) -> int:
    of_role = [name for slot, name in names.items() if slot.role == role]
    shape = shapes[of_role[0]]
    return shape[-1] if shape else 0
