"""One vector that packs all weights, cut into its tensors.

It has no sizes: the convention, the number of units and, of several, of layers and directions are
given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import NamedTuple

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import Convention, find_convention
from lstmcli.core.model.settings import SIZES
from lstmcli.core.weights.templates import Settings, Shape
from lstmcli.errors import SettingsToTry, UserError


class _Packing(NamedTuple):
    """The sizes of a network whose weights are packed, but for its inputs."""

    row: Convention
    units: int
    layers: int
    directions: int

    def tensors(self, inputs: int) -> Iterator[tuple[str, Shape]]:
        """Name and shape of each tensor in turn; `packed` has ``|`` between passes."""
        names = self.row.names
        cells = (range(self.layers), range(self.directions))
        for roles in names.packed.split(" | "):
            for layer, direction, role in product(*cells, roles.split()):
                name = names.tensors[role].format(
                    layer=layer, direction=names.marks[direction]
                )
                shape: Shape = (4 * self.units,)
                if role == "recurrent_kernel":
                    shape = (4 * self.units, self.units)
                elif role == "kernel" and layer:
                    shape = (4 * self.units, self.units * self.directions)
                elif role == "kernel":
                    shape = (4 * self.units, inputs)
                yield name, shape

    def size(self, inputs: int) -> int:
        """The count of all numbers."""
        return sum(prod(shape) for _, shape in self.tensors(inputs))


def cut_flat(
    tensors: Mapping[str, Array], given: Settings, source: str
) -> dict[str, Array]:
    """The tensors that one vector packs, by name, by the given convention; else all."""
    if "convention" not in given or len(tensors) != 1:
        return dict(tensors)
    row = find_convention(given["convention"])
    ((name, array),) = tensors.items()
    vector = array.reshape(-1)
    if not row.names.packed or vector.size != max(array.shape, default=1):
        return dict(tensors)
    where = f"{source}: {name} has {vector.size:,} numbers"
    if "flat_units" not in given:
        several = {"flat_units": ..., "flat_layers": ..., "flat_directions": 2}
        raise UserError(
            f"{where}, all weights of {row.name} in a row; how many units are there?",
            try_=[
                SettingsToTry({"flat_units": ...}),
                SettingsToTry(several, "of several"),
            ],
        )
    packing = _Packing(row, *(given.get(size) or 1 for size in SIZES))
    if packing.layers * packing.directions > 1 and not any(row.names.marks):
        raise UserError(
            f"{source}: {row.name} packs one layer in one direction; leave out flat_layers and "
            "flat_directions."
        )
    named: dict[str, Array] = {}
    start = 0
    for tensor, shape in packing.tensors(_inputs(packing, vector.size, where)):
        named[tensor] = vector[start : start + prod(shape)].reshape(shape)
        start += prod(shape)
    return named


def _inputs(packing: _Packing, size: int, where: str) -> int:
    """The number of inputs of a packed network, by the size of its vector."""
    _, units, layers, directions = packing
    per_input = packing.size(1) - packing.size(0)
    inputs, over = divmod(size - packing.size(0), per_input)
    if inputs < 1 or over:
        raise UserError(
            f"{where}; {units} units, {layers} layers and {directions} directions take "
            f"{packing.size(1):,} for one input and {per_input:,} for each further one."
        )
    return inputs
