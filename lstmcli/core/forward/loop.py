"""The loop over the steps: packed weights, reused buffers, one matrix product a step.

Weights. K (4H, N) has the gates in the order f, i, o, g, and kernel, recurrent
kernel and bias as columns: its product with ``[x; h; 1]`` (N, R) gives all
pre-activations of R sequences.

Inputs ahead. A product reads all of K. Small batches of a larger cell multiply
the columns of x with the inputs of many steps at once
(`matmul.InputProducts`), and their arrays are (R, K) in memory, with views (K,
R) of it (`matmul.sequences_first`).

Two ways through a step. Plain cells have sigmoid gates and none of the parts
that frameworks add. For them `_run` and `plain_step` call NumPy eight times in
place of the twenty of `equations.step`: in a small network each call costs a
microsecond. K has the rows of f, i and o negated there, so that ``q = 1 +
exp(K v)`` is 1 / gate: division by q is sigmoid and product in one pass,
rounds once less, and lets the sigmoid's lower tail fade to the smallest number
there is.

Bit for bit, a run in chunks of steps equals the full run, h does not depend on
the arrays that are returned, and blocks of sequences follow from shapes only.
So products of steps are merged only where BLAS was seen to sum each alike, and
h and c are passed on in the working dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from threading import Lock
from typing import Any

import numpy as np

from lstmcli.core.forward.equations import (
    Parts,
    activation,
    is_eight_bit,
    parts_of,
    rounded,
    step,
)
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
    unit_pieces,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import edits_in
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

Step = Callable[[Array, Array, Array, Array, Array, "Array | None"], None]
"""Takes h (P, R), c (H, R); writes gates (4, H, R), c_new (may be c), h_new and perhaps z."""

FIOG = "fiog"
"""The order of gates in the loop: those that share an operation stand together."""

BATCH_SLOTS = 8  # steps with operands in memory: 4 to 16 take the same time
SINGLE_SLOTS = 64  # of a single sequence, whose steps take 2 us: fewer refills
TILE = 16  # sequences whose inputs are copied at a time: a cache line of float32
WIDE_TILE = 64  # of few inputs, unless sequences share cache lines
WIDE_TILE_INPUTS = 32  # at most
PAGE = 4096  # bytes: sequences so far from each other share cache lines


class Packed:
    """A cell's weights as the loop takes them, made once for all blocks."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.plain = is_plain(cell)
        self._made: dict[tuple[str, bool], Array] = {}
        self._input_pieces: list[Array] = []
        self._lock = Lock()

    def matrix(self, columns: str = "xh", *, transposed: bool = False) -> Array:
        """K (4H, N), or its columns of x or of [h; 1], perhaps transposed."""
        with self._lock:
            key = columns, transposed
            if key not in self._made:
                self._made[key] = self._matrix(columns, transposed)
            return self._made[key]

    def input_pieces(self) -> list[Array]:
        """The columns of x as `matmul.InputProducts` takes them."""
        with self._lock:
            self._input_pieces = self._input_pieces or self._cut_inputs()
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
        cell, I, P = self.cell, self.cell.inputs, self.cell.outputs
        shape = 4 * cell.units, ("x" in columns) * I + ("h" in columns) * (P + 1)
        matrix = aligned_empty(shape[::-1] if transposed else shape, cell.dtype)
        K = matrix.T if transposed else matrix
        size = (
            TILE if transposed else cell.units
        )  # more lines at once would leave the cache
        for n, letter in enumerate(FIOG):
            gate, rows = GATES.index(letter), K[n * cell.units : (n + 1) * cell.units]
            for first in range(0, cell.units, size):
                some = slice(first, first + size)
                if "x" in columns:
                    rows[some, :I] = cell.kernel[gate, some]
                if "h" in columns:
                    rows[some, -P - 1 : -1] = cell.recurrent_kernel[gate, some]
            if "h" in columns:
                rows[:, -1] = _bias(cell, gate)
            self._negate(letter, rows)
        return matrix

    def _negate(self, gate: str, rows: Array) -> None:
        if self.plain and gate != "g":
            with np.errstate(
                invalid="ignore"
            ):  # a signalling NaN, as damaged files have
                rows *= -1  # see `equations.sigmoid`


def _bias(cell: Cell, gate: int) -> Array:
    """Return a gate's bias (H,); zero where the normalisation adds it."""
    if cell.norm_scale is not None:
        return np.zeros_like(cell.bias[gate])
    constant = cell.behaviour.forget_bias if GATES[gate] == "f" else 0
    bias: Array = cell.bias[gate] + cell.dtype.type(constant)
    return bias


def is_plain(cell: Cell) -> bool:
    """Tell whether gates are sigmoids of the products, with nothing added."""
    of, weights = cell.behaviour, (cell.peephole, cell.projection, cell.norm_scale)
    return (
        of.recurrent_activation == "sigmoid"
        and of.coupled == "none"
        and all(
            one is None
            for one in (of.cell_clip, of.gate_clip, of.projection_clip, *weights)
        )
        and not is_eight_bit(cell)
        and not edits_in("equations", cell.edits)
    )


class Loop:
    """The loop over the steps of R sequences, with its buffers and state."""

    def __init__(
        self,
        packed: Packed,
        batch: int,
        meter: Callable[[int], None] | None = None,
    ) -> None:
        cell = packed.cell
        H, I, P, R = cell.units, cell.inputs, cell.outputs, batch
        single, ahead = R == 1, rows_ahead((I, 4 * H), cell.dtype, R)
        S = BATCH_SLOTS
        if ahead:
            S = ROWS // R
        elif single:
            S = SINGLE_SLOTS
        self.cell, self.batch, self.slots, self._meter = cell, R, S, meter
        self.sequences_first = sequences_first((4 * H, I + P + 1), R, cell.dtype)
        self._candidate = activation(cell.behaviour.activation)
        self._output = activation(cell.behaviour.output_activation)
        self._one = np.ones((), cell.dtype)  # a 0-d array costs half of a scalar

        # V: the operand [x; h; 1] of each step, (S + 1, N, R), without x where that is multiplied
        # ahead; step k writes its h into slot k + 1
        self._V = self.empty(S + 1, P + 1 if ahead else I + P + 1, R)
        self._V[:, -1] = 1
        self._x = self._V[:, :I]  # (S + 1, I, R)
        self._h = self._V[:, -P - 1 : -1]  # (S + 1, P, R)
        self._z = self.empty(4, H, R)
        self._cg = self.empty(S + 1 if single else 1, 2, H, R)  # c and g
        self._c = self._cg[0, 0]
        self._gates = self.empty(4, H, R)  # of steps whose gates are not returned
        self._quick, self._eight_bit = packed.plain, is_eight_bit(cell)
        parts = None if packed.plain else parts_of(cell)
        self._step: Step = (
            full_step(parts, self._z) if parts else plain_step(cell, self._z)
        )
        self._passed = parts.passed if parts else None
        self._first = (self._h[0], self._c)  # h and c before the first step
        self._done = 0  # steps
        self._operands = self._operands_of_steps(packed, ahead)

        self._fio, self._fi, self._z_g = map(
            flat, (self._z[:3], self._z[:2], self._z[3])
        )
        # 1 / gate of the steps of a single sequence
        self._q = self.empty(S if single else 0, 3, H, R)
        self._steps = [
            (operand, *arrays)
            for (operand, _), arrays in zip(
                self._operands, self._step_arrays(), strict=True
            )
        ]

    def _operands_of_steps(self, packed: Packed, ahead: int) -> list[tuple[Any, Array]]:
        """The operand of the product of each step, and its h; the product follows from the batch.

        ``ahead``: rows of inputs that are multiplied ahead of the steps.
        """
        find: Callable[[Array, Array], tuple[Product, Any]] = product
        if self.sequences_first:
            find = product_of_batch
        elif self.batch == 1:
            find = product_of_one
        matrix = packed.matrix("h" if ahead else "xh", transposed=self.batch == 1)
        self._product, self._product_out = find(matrix, self._z)
        operands: list[Any] = list(self._V[: self.slots])
        if self.batch == 1:
            operands = [operand[:, 0] for operand in operands]
        elif self.sequences_first:
            operands = [operand.T for operand in operands]
        self._input_products: InputProducts | None = None
        if ahead:
            cell, pieces = self.cell, packed.input_pieces()
            rows, _ = tile((cell.inputs, 4 * cell.units), cell.dtype)
            self._input_products = InputProducts(pieces, self.batch, rows, ahead)
            self._product = plus(self._product, self._z)
            operands = list(zip(operands, self._input_products.by_step, strict=True))
        return list(zip(operands, self._h[1:], strict=True))

    def empty(self, *shape: int) -> Array:
        """An array (..., K, R); in memory (..., R, K) where sequences are first."""
        *more, width, batch = shape
        if self.sequences_first:
            return aligned_empty((*more, batch, width), self.cell.dtype).swapaxes(
                -1, -2
            )
        return aligned_empty(shape, self.cell.dtype)

    def _step_arrays(self) -> list[tuple[Array, ...]]:
        """The arrays of each step of `_run`, in its order.

        The steps of a batch share them, so that they stay in the cache. A
        single sequence has some for each step, so that results need no copy. A
        call's input that is its output too is one object: of two, NumPy checks
        whether they overlap.
        """
        H, slots = self.cell.units, self._h[1:]
        if self.batch > 1:
            cg, g, c = map(flat, (self._cg[0], self._cg[0, 1], self._c))
            last = [_flat_together(self._cg[0, 1], self._z[2], h) for h in slots]
            return [(self._fio, self._fi, cg, g, c, g, *arrays) for arrays in last]
        q_of_steps, cg_of_steps = (a.reshape(len(a), -1) for a in (self._q, self._cg))
        places = zip(
            q_of_steps, cg_of_steps[:-1], cg_of_steps[1:], slots[:, :, 0], strict=True
        )
        z_g = self._z_g
        return [
            (q, q[: 2 * H], cg, cg[H:], after[:H], z_g, z_g, q[2 * H :], h)
            for q, cg, after, h in places
        ]

    @property
    def state(self) -> tuple[Array, Array]:
        """Copies of h (R, P) and c (R, H) as they are now."""
        return self._h[0].T.copy(), self._c.T.copy()

    def start(self, h: Array, c: Array) -> None:
        """Begin from h (R, P) and c (R, H)."""
        self._h[0], self._c[:] = h.T, c.T
        self._first, self._done = (self._h[0].copy(), self._c.copy()), 0

    def advance(
        self,
        x: Array,
        h: Array,
        gates: Array | None = None,
        c: Array | None = None,
        z: Array | None = None,
    ) -> None:
        """Run the steps of x (s, R, I), writing h (s, P, R) and the other arrays given.

        ``gates`` and ``z`` are (s, 4, H, R) in the order f, i, o, g; ``c`` is
        (s, H, R).
        """
        h_only = gates is None and c is None and z is None
        quick = self._quick and (h_only or (z is None and self.batch == 1))
        for first in range(0, len(x), self.slots):
            part = slice(first, min(first + self.slots, len(x)))
            count = part.stop - first
            self._fill(x[part])
            if quick:
                self._run(count)
                if not h_only:
                    self._copy_results(
                        count, *(a if a is None else a[part] for a in (gates, c))
                    )
            else:
                self._run_in_full(
                    count, *(a if a is None else a[part] for a in (gates, c, z))
                )
            h[part] = self._h[1 : count + 1]
            self._h[0] = self._h[count]
            if self._meter:
                self._meter(count * self.batch)

    def _fill(self, x: Array) -> None:
        """Copy inputs (s, R, I) into the operands, in tiles; or multiply them."""
        if self._input_products:
            self._input_products.multiply(x)
            return
        spread = x.strides[1] % PAGE != 0
        tile = WIDE_TILE if x.shape[2] <= WIDE_TILE_INPUTS and spread else TILE
        for r in range(0, self.batch, tile):
            self._x[: len(x), :, r : r + tile] = x[:, r : r + tile].transpose(0, 2, 1)

    def _run(self, count: int) -> None:
        """Step a plain cell for h, or for all of one sequence: eight calls a step."""
        fio, fi, z_g = self._fio, self._fi, self._z_g
        f, i = fi[: len(fi) // 2], fi[len(fi) // 2 :]
        product, z, one = self._product, self._product_out, self._one
        candidate, output = self._candidate, self._output
        exp, add, divide = np.exp, np.add, np.divide
        for operand, q, q_fi, cg, g, c, m, m_h, q_o, h in self._steps[:count]:
            product(operand, z)
            exp(fio, q)
            add(q, one, q)  # 1 / gate
            candidate(z_g, g)
            divide(cg, q_fi, fi)  # f * c and i * g in one call
            add(f, i, c)
            output(c, m)
            divide(m_h, q_o, h)  # into the next operand; m_h is m, shaped like h
        if self.batch == 1:
            self._c[:] = self._cg[count, 0]

    def _copy_results(self, count: int, gates: Array | None, c: Array | None) -> None:
        if gates is not None:
            np.divide(self._one, self._q[:count], gates[:, :3])
            gates[:, 3] = self._cg[:count, 1]
        if c is not None:
            c[:] = self._cg[1 : count + 1, 0]

    def _run_in_full(
        self, count: int, gates: Array | None, c: Array | None, z: Array | None
    ) -> None:
        before, step, product, out = (
            self._c,
            self._step,
            self._product,
            self._product_out,
        )
        targets = (
            repeat(self._gates, count) if gates is None else gates,
            repeat(self._c, count) if c is None else c,
            repeat(None, count) if z is None else z,
        )
        steps, old = zip(self._operands, *targets, strict=False), self._h[0]
        for k, ((operand, h), gates_k, after, z_k) in enumerate(steps):
            if self._eight_bit or self._passed:
                exact = self._h[k].copy()  # which is returned
                taken, c = exact, before
                if self._passed and self._done:
                    taken, c = self._passed(exact, before, *self._first, self._done)
                self._h[k] = rounded(self.cell, taken, 0) if self._eight_bit else taken
                product(operand, out)
                self._h[k] = exact
                step(taken, c, gates_k, after, h, z_k)
            else:
                product(operand, out)
                step(old, before, gates_k, after, h, z_k)
            before, old, self._done = after, h, self._done + 1
        self._c[:] = before


def flat(array: Array) -> Array:
    """An array in memory on one axis, which is quicker; others as they are."""
    for view in (array, array.swapaxes(-1, -2)):
        if view.flags.c_contiguous:
            return view.reshape(-1)
    return array


def _flat_together(*arrays: Array) -> tuple[Array, ...]:
    together = tuple(map(flat, arrays))
    return together if {array.ndim for array in together} == {1} else arrays


def plain_step(cell: Cell, z: Array) -> Step:
    """The step of a plain cell from z (4, H, R), in which f, i and o are negated.

    Its quotients are those of `Loop._run`, so that h does not depend on what
    is returned.
    """
    candidate = activation(cell.behaviour.activation)
    output = activation(cell.behaviour.output_activation)
    one = np.ones((), cell.dtype)
    q, (q_f, q_i, q_o, z_g) = z[:3], z
    exp, add, divide = np.exp, np.add, np.divide

    def advance(
        h: Array,
        c: Array,
        gates: Array,
        c_new: Array,
        h_new: Array,
        z_out: Array | None,
    ) -> None:
        if z_out is not None:
            np.negative(q, z_out[:3])
            np.copyto(z_out[3], z_g)
        g = gates[3]
        exp(q, q)
        add(q, one, q)  # 1 / gate
        divide(one, q, gates[:3])
        candidate(z_g, g)
        divide(c, q_f, q_f)  # f * c
        divide(g, q_i, q_i)  # i * g
        add(q_f, q_i, c_new)
        output(c_new, z_g)
        divide(z_g, q_o, h_new)  # o * t(c)

    return advance


def full_step(parts: Parts, z: Array) -> Step:
    """The step of any cell from z (4, H, R)."""
    places = [FIOG.index(gate) for gate in GATES]
    z_by_gate = [z[k] for k in places]

    def advance(
        h: Array,
        c: Array,
        gates: Array,
        c_new: Array,
        h_new: Array,
        z_out: Array | None,
    ) -> None:
        new = step(z_by_gate, c, parts, [gates[k] for k in places])
        if parts.kept:
            new = parts.kept(*new, h, c)
        np.copyto(h_new, new[0])
        np.copyto(c_new, new[1])
        if z_out is not None:
            np.copyto(z_out, z)

    return advance
