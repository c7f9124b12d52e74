"""One vector that packs all weights of a network, cut into its tensors.

Nothing in such a vector tells its sizes, so it is read only by its convention, with the number of
units and, where there are several, of layers and of directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention
from lstmcli.core.weights.recognise import find_convention
from lstmcli.errors import UserError

SIZES = ("flat_units", "flat_layers", "flat_directions")


def cut_flat(
    tensors: Mapping[str, Array], given: Mapping[str, Any], source: str
) -> dict[str, Array]:
    """The tensors that one vector packs, by name, where the convention that is given packs them.

    Others are returned as they are.

    Raises
    ------
    UserError
        if the number of units is not given, or the sizes do not fit the vector.
    """
    row = find_convention(given["convention"]) if "convention" in given else None
    if row is None or not row.names.packed or len(tensors) != 1:
        return dict(tensors)
    ((name, array),) = tensors.items()
    vector = array.reshape(-1)
    if vector.size != max(array.shape, default=1):
        return dict(tensors)
    units, layers, directions = (given.get(size) or 1 for size in SIZES)
    where = f"{source}: {name} has {vector.size:,} numbers"
    if "flat_units" not in given:
        raise UserError(
            f"{where}, all weights of {row.name} in a row; how many units are there?",
            "  --set flat_units=H; with more than one, --set flat_layers=N --set flat_directions=2",
        )
    inputs = _inputs(vector.size, row, units, layers, directions)
    if inputs is None:
        raise UserError(
            f"{where}; {units} units, {layers} layers and {directions} directions take "
            f"{_count(row, 1, units, layers, directions):,} for one input and "
            f"{4 * units * directions:,} for each further one."
        )
    named: dict[str, Array] = {}
    start = 0
    for layer, direction, role in _order(row, layers, directions):
        shape = _shape(role, units, inputs if layer == 0 else units * directions)
        size = int(np.prod(shape))
        form = row.names.tensors[role].format(layer=layer, direction=row.names.marks[direction])
        named[form] = vector[start : start + size].reshape(shape)
        start += size
    return named


def _order(row: Convention, layers: int, directions: int) -> list[tuple[int, int, str]]:
    """Layer, direction and role of each tensor in turn; `packed` has ``|`` between passes."""
    return [
        (layer, direction, role)
        for roles in row.names.packed.split(" | ")
        for layer in range(layers)
        for direction in range(directions)
        for role in roles.split()
    ]


def _shape(role: str, units: int, inputs: int) -> tuple[int, ...]:
    shapes = {"kernel": (4 * units, inputs), "recurrent_kernel": (4 * units, units)}
    return shapes.get(role, (4 * units,))


def _count(row: Convention, inputs: int, units: int, layers: int, directions: int) -> int:
    """How many numbers such a network has."""
    return sum(
        int(np.prod(_shape(role, units, inputs if layer == 0 else units * directions)))
        for layer, _, role in _order(row, layers, directions)
    )


def _inputs(size: int, row: Convention, units: int, layers: int, directions: int) -> int | None:
    """How many inputs make a network of these sizes as long as the vector; None if none do."""
    rest = size - _count(row, 0, units, layers, directions)
    inputs, over = divmod(rest, 4 * units * directions)
    return inputs if inputs > 0 and not over else None
