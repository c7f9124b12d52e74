"""The weights of a cell as the loop takes them.

K (4H, N) has the gates in the order f, i, o, g, and kernel, recurrent kernel and bias as columns:
its product with ``[x; h; 1]`` (N, R) gives all pre-activations of R sequences. Where products of
many inputs are made ahead of the steps, it has no columns of x.

Of a plain cell K has the rows of f, i and o negated, so that ``q = 1 + exp(K v)`` is 1 / gate:
division by q is sigmoid and product in one pass, rounds once less, and lets the sigmoid's lower
tail fade to the smallest number there is.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from lstmcli.core.forward.equations import is_eight_bit
from lstmcli.core.forward.matmul import aligned_empty, unit_pieces
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edit import edits_in
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

FIOG = "fiog"
"""The order of gates in the loop: those that share an operation stand together."""

OF_X, OF_H, ALL = "x", "h", "xh"  # columns of K: of x, of [h; 1]

TILE = 16  # units whose rows are copied at a time: a cache line of float32


class Packed:
    """A cell's weights as the loop takes them, made once for all blocks."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.plain = is_plain(cell)
        self._made: dict[tuple[str, bool], Array] = {}
        self._input_pieces: list[Array] = []
        self._lock = Lock()

    def matrix(self, columns: str = ALL, *, transposed: bool = False) -> Array:
        """K (4H, N), or its columns of x or of [h; 1], perhaps transposed."""
        with self._lock:
            key = columns, transposed
            if key not in self._made:
                self._made[key] = self._matrix(columns, transposed)
            return self._made[key]

    def input_pieces(self) -> list[Array]:
        """The columns of x as `matmul.InputProducts` takes them."""
        with self._lock:
            if not self._input_pieces:
                self._input_pieces = self._cut_inputs()
            return self._input_pieces

    def _cut_inputs(self) -> list[Array]:
        cell, I, pieces = self.cell, self.cell.inputs, []
        for units, size in unit_pieces((I, 4 * cell.units), cell.dtype):
            count = (units.stop - units.start) // size
            stack = aligned_empty((4, count, 1, I, size), cell.dtype)
            for gate, of_gate in zip(FIOG, stack[:, :, 0], strict=True):
                kernel = cell.kernel[GATES.index(gate), units].reshape(count, size, I)
                for first in range(0, size, TILE):
                    some = slice(first, first + TILE)
                    of_gate[..., some] = kernel[:, some].swapaxes(1, 2)
                self._negate(gate, of_gate)
            pieces.append(stack)
        return pieces

    def _matrix(self, columns: str, transposed: bool) -> Array:
        cell, H = self.cell, self.cell.units
        width = 0
        if OF_X in columns:
            width += cell.inputs
        if OF_H in columns:
            width += cell.outputs + 1
        if transposed:
            matrix = aligned_empty((width, 4 * H), cell.dtype)
            K, tile = matrix.T, TILE  # more lines at once would leave the cache
        else:
            matrix = aligned_empty((4 * H, width), cell.dtype)
            K, tile = matrix, H
        for n, gate in enumerate(FIOG):
            rows = K[n * H : (n + 1) * H]
            for first in range(0, H, tile):
                self._fill(rows, GATES.index(gate), slice(first, first + tile), columns)
            if OF_H in columns:
                rows[:, -1] = _bias(cell, gate)
            self._negate(gate, rows)
        return matrix

    def _fill(self, rows: Array, gate: int, units: slice, columns: str) -> None:
        """Copy the kernels of some units of a gate to its rows."""
        cell, P = self.cell, self.cell.outputs
        if OF_X in columns:
            rows[units, : cell.inputs] = cell.kernel[gate, units]
        if OF_H in columns:
            rows[units, -P - 1 : -1] = cell.recurrent_kernel[gate, units]

    def _negate(self, gate: str, rows: Array) -> None:
        if self.plain and gate != "g":
            # a signalling NaN, as damaged files have
            with np.errstate(invalid="ignore"):
                rows *= -1  # see `equations.sigmoid`


def _bias(cell: Cell, gate: str) -> Array:
    """Return a gate's bias (H,); zero where the normalisation adds it."""
    stored = cell.bias[GATES.index(gate)]
    if cell.norm_scale is not None:
        return np.zeros_like(stored)
    constant = cell.behaviour.forget_bias if gate == "f" else 0
    bias: Array = stored + cell.dtype.type(constant)
    return bias


def is_plain(cell: Cell) -> bool:
    """Tell whether gates are sigmoids of the products, with nothing added."""
    behaviour = cell.behaviour
    clips = (behaviour.cell_clip, behaviour.gate_clip, behaviour.projection_clip)
    added = (*clips, cell.peephole, cell.projection, cell.norm_scale)
    return (
        behaviour.recurrent_activation == "sigmoid"
        and behaviour.coupled == "none"
        and all(one is None for one in added)
        and not is_eight_bit(cell)
        and not edits_in("equations", cell.edits)
    )
