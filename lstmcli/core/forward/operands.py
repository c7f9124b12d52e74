"""The matrix product of each step: its operands in memory, and where it goes.

A product reads all of K. Small batches of a larger cell multiply the columns of x with the inputs
of many steps at once (`matmul.InputProducts`), and their arrays are (R, K) in memory, with views
(K, R) of it (`matmul.sequences_first`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.forward.matmul import (
    ROWS,
    InputProducts,
    Product,
    aligned_empty,
    plus,
    product,
    product_of_batch,
    product_of_one,
    rows_ahead,
    sequences_first,
    tile,
)
from lstmcli.core.forward.packing import ALL, OF_H, Packed
from lstmcli.core.model.arrays import Array

BATCH_SLOTS = 8  # steps with operands in memory: 4 to 16 take the same time
SINGLE_SLOTS = 64  # of a single sequence, whose steps take 2 us: fewer refills
TILE = 16  # sequences whose inputs are copied at a time: a cache line of float32
WIDE_TILE = 64  # of few inputs, unless sequences share cache lines
WIDE_TILE_INPUTS = 32  # at most
PAGE = 4096  # bytes: sequences so far from each other share cache lines


class Memory(NamedTuple):
    """How arrays (..., K, R) of R sequences lie in memory."""

    dtype: np.dtype[Any]
    sequences_first: bool  # (..., R, K)

    def empty(self, *shape: int) -> Array:
        """An array (..., K, R) without values."""
        if not self.sequences_first:
            return aligned_empty(shape, self.dtype)
        *more, width, batch = shape
        array = aligned_empty((*more, batch, width), self.dtype)
        return array.swapaxes(-1, -2)


@dataclass(frozen=True, eq=False)
class Operands:
    """The operand of the product of each step, and the product.

    Of S steps the operands [x; h; 1] are in memory; step k takes h[k] and writes h[k + 1].
    """

    memory: Memory
    x: Array  # (S + 1, I, R)
    h: Array  # (S + 1, P, R)
    z: Array  # (4, H, R), where the product goes
    multiply: Product
    target: Any  # z, as the product takes it
    of_steps: list[Any]  # as the product takes them
    ahead: InputProducts | None  # of x; None: the operands have it

    @property
    def slots(self) -> int:
        """S, the number of steps whose operands are in memory."""
        return len(self.of_steps)

    def fill(self, x: Array) -> None:
        """Copy inputs (s, R, I) into the operands, in tiles; or multiply them."""
        if self.ahead is not None:
            self.ahead.multiply(x)
            return
        steps, batch, width = x.shape
        is_spread = x.strides[1] % PAGE != 0
        size = WIDE_TILE if width <= WIDE_TILE_INPUTS and is_spread else TILE
        for first in range(0, batch, size):
            some = slice(first, first + size)
            self.x[:steps, :, some] = x[:, some].transpose(0, 2, 1)


def operands_of(packed: Packed, batch: int) -> Operands:
    """The operands of the steps of a batch; their memory and the product follow from its size."""
    cell = packed.cell
    H, I, P = cell.units, cell.inputs, cell.outputs
    ahead = _input_products(packed, batch)
    slots = BATCH_SLOTS
    if ahead is not None:
        slots = ROWS // batch
    elif batch == 1:
        slots = SINGLE_SLOTS
    memory = Memory(cell.dtype, sequences_first((4 * H, I + P + 1), batch, cell.dtype))
    width_of_x = I if ahead is None else 0
    V = memory.empty(slots + 1, width_of_x + P + 1, batch)  # [x; h; 1] of each step
    V[:, -1] = 1
    z = memory.empty(4, H, batch)
    matrix = packed.matrix(OF_H if ahead else ALL, transposed=batch == 1)
    multiply, target = _product(matrix, z, memory)
    of_steps: list[Any] = [_as_taken(operand, memory) for operand in V[:slots]]
    if ahead is not None:
        multiply = plus(multiply, z)
        of_steps = list(zip(of_steps, ahead.by_step, strict=True))
    h = V[:, -P - 1 : -1]
    return Operands(memory, V[:, :I], h, z, multiply, target, of_steps, ahead)


def _product(matrix: Array, z: Array, memory: Memory) -> tuple[Product, Any]:
    """The product with operands as `_as_taken` gives them, and the target of z."""
    if memory.sequences_first:
        return product_of_batch(matrix, z)
    if z.shape[-1] == 1:
        return product_of_one(matrix, z)
    return product(matrix, z)


def _as_taken(operand: Array, memory: Memory) -> Array:
    """The operand (N, R) of a step as the product of its batch takes it."""
    if memory.sequences_first:
        return operand.T
    return operand[:, 0] if operand.shape[-1] == 1 else operand


def _input_products(packed: Packed, batch: int) -> InputProducts | None:
    """The products of inputs ahead of the steps; None where they are not quicker."""
    cell = packed.cell
    shape = (cell.inputs, 4 * cell.units)
    multiple = rows_ahead(shape, cell.dtype, batch)
    if not multiple:
        return None
    rows, _ = tile(shape, cell.dtype)
    return InputProducts(packed.input_pieces(), batch, rows, multiple)
