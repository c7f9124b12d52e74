"""The loop over the steps: reused buffers, one matrix product a step.

Two ways through a step. Plain cells have sigmoid gates and none of the parts that frameworks add.
For them `PlainBatch` and `PlainSequence` call NumPy eight times in place of the twenty of
`equations.step`: in a small network each call costs a microsecond. `FullSteps` steps any cell, and
gives any results.

Bit for bit, a run in chunks of steps equals the full run, h does not depend on the arrays that are
returned, and blocks of sequences follow from shapes only. So products of steps are merged only
where BLAS was seen to sum each alike, and h and c are passed on in the working dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np

from lstmcli.core.forward.equations import (
    Parts,
    activation,
    is_eight_bit,
    next_state,
    parts_of,
    rounded,
)
from lstmcli.core.forward.operands import Memory, Operands, operands_of
from lstmcli.core.forward.packing import FIOG, Packed
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell
from lstmcli.core.model.vocabulary import GATES

Step = Callable[[Array, Array, Array, Array, Array, "Array | None"], None]
"""Takes h (P, R), c (H, R); writes gates (4, H, R), c_new (may be c), h_new and perhaps z."""


class Loop:
    """The loop over the steps of R sequences, with their state."""

    def __init__(
        self,
        packed: Packed,
        batch: int,
        meter: Callable[[int], None] | None = None,
    ) -> None:
        operands = operands_of(packed, batch)
        plain: PlainBatch | PlainSequence | None = None
        if packed.plain and batch == 1:
            plain = PlainSequence(packed.cell, operands)
        elif packed.plain:
            plain = PlainBatch(packed.cell, operands)
        self._batch, self._operands, self._meter = batch, operands, meter
        self._plain = plain
        self._full = FullSteps(packed, operands)
        self._c = operands.memory.empty(packed.cell.units, batch)
        if plain is not None:
            self._c = plain.c

    @property
    def memory(self) -> Memory:
        """How arrays of results lie in memory."""
        return self._operands.memory

    @property
    def state(self) -> tuple[Array, Array]:
        """Copies of h (R, P) and c (R, H) as they are now."""
        return self._operands.h[0].T.copy(), self._c.T.copy()

    def start(self, h: Array, c: Array) -> None:
        """Begin from h (R, P) and c (R, H)."""
        self.put(h, c)
        self._full.start(self._operands.h[0].copy(), self._c.copy())

    def put(self, h: Array, c: Array) -> None:
        """Go on from h (R, P) and c (R, H), as if the steps so far had led there."""
        self._operands.h[0] = h.T
        self._c[:] = c.T

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
        operands, slots = self._operands, self._operands.slots
        for first in range(0, len(x), slots):
            some = slice(first, min(first + slots, len(x)))
            count = some.stop - first
            results = [None if a is None else a[some] for a in (gates, c, z)]
            operands.fill(x[some])
            self._run(count, *results)
            h[some] = operands.h[1 : count + 1]
            operands.h[0] = operands.h[count]
            if self._meter:
                self._meter(count * self._batch)

    def _run(
        self, count: int, gates: Array | None, c: Array | None, z: Array | None
    ) -> None:
        """Step in the quickest way that gives these results."""
        plain = self._plain
        if isinstance(plain, PlainSequence) and z is None:
            plain.run(count, gates, c)
        elif (
            isinstance(plain, PlainBatch) and gates is None and c is None and z is None
        ):
            plain.run(count)
        else:
            self._full.run(count, self._c, (gates, c, z))


# ---- a plain cell


class PlainBatch:
    """The steps of a plain cell for the h of several sequences.

    They share their arrays, which stay in the cache.
    """

    def __init__(self, cell: Cell, operands: Operands) -> None:
        walk = _PlainWalk(cell, operands)
        both = operands.memory.empty(2, cell.units, operands.z.shape[-1])
        of_c, of_g = both
        q, q_fi = walk.fio, walk.fi
        c_and_g, g, c = flat(both), flat(of_g), flat(of_c)
        m = g  # its numbers are used up by then
        for operand, of_h in zip(operands.of_steps, operands.h[1:], strict=True):
            m_h, q_o, h = _flat_together(of_g, operands.z[2], of_h)
            walk.steps.append((operand, q, q_fi, c_and_g, g, c, m, m_h, q_o, h))
        self.c, self._walk = of_c, walk

    def run(self, count: int) -> None:
        """Take the next steps."""
        self._walk.run(count)


class PlainSequence:
    """The steps of a plain cell for one sequence.

    Each step has arrays of its own, so that results need no copy.
    """

    def __init__(self, cell: Cell, operands: Operands) -> None:
        H, slots = cell.units, operands.slots
        walk = _PlainWalk(cell, operands)
        self._q = operands.memory.empty(slots, 3, H, 1)  # 1 / gate
        self._c_and_g = operands.memory.empty(slots + 1, 2, H, 1)
        of_steps = self._c_and_g.reshape(slots + 1, -1)
        rows = zip(
            operands.of_steps,
            self._q.reshape(slots, -1),
            of_steps[:-1],
            of_steps[1:],
            operands.h[1:, :, 0],
            strict=True,
        )
        m = m_h = walk.z_g  # its numbers are used up by then
        for operand, q, c_and_g, after, h in rows:
            q_fi, q_o = q[: 2 * H], q[2 * H :]
            g, c = c_and_g[H:], after[:H]
            walk.steps.append((operand, q, q_fi, c_and_g, g, c, m, m_h, q_o, h))
        self.c, self._walk = self._c_and_g[0, 0], walk
        self._one = np.ones((), cell.dtype)

    def run(self, count: int, gates: Array | None, c: Array | None) -> None:
        """Take the next steps, and write their gates (s, 4, H, 1) and c (s, H, 1)."""
        self._walk.run(count)
        if gates is not None:
            np.divide(self._one, self._q[:count], gates[:, :3])
            gates[:, 3] = self._c_and_g[:count, 1]
        if c is not None:
            c[:] = self._c_and_g[1 : count + 1, 0]
        self.c[:] = self._c_and_g[count, 0]


class _PlainWalk:
    """Eight calls a step.

    A call's input that is its output too is one object: of two, NumPy checks
    whether they overlap.
    """

    def __init__(self, cell: Cell, operands: Operands) -> None:
        self._candidate = activation(cell.behaviour.activation)
        self._output = activation(cell.behaviour.output_activation)
        self._one = np.ones((), cell.dtype)  # a 0-d array costs half of a scalar
        self._multiply, self._target = operands.multiply, operands.target
        z = operands.z
        self.fio, self.fi, self.z_g = flat(z[:3]), flat(z[:2]), flat(z[3])
        self.steps: list[tuple[Any, ...]] = []  # the ten names of `run` for each

    def run(self, count: int) -> None:
        """Take some steps."""
        fio, fi, z_g = self.fio, self.fi, self.z_g
        f, i = fi[: len(fi) // 2], fi[len(fi) // 2 :]
        multiply, z, one = self._multiply, self._target, self._one
        candidate, output = self._candidate, self._output
        exp, add, divide = np.exp, np.add, np.divide
        for operand, q, q_fi, c_and_g, g, c, m, m_h, q_o, h in self.steps[:count]:
            multiply(operand, z)
            exp(fio, q)
            add(q, one, q)  # 1 / gate
            candidate(z_g, g)
            divide(c_and_g, q_fi, fi)  # f * c and i * g in one call
            add(f, i, c)
            output(c, m)
            divide(m_h, q_o, h)  # into the next operand; m_h is m, shaped like h


def flat(array: Array) -> Array:
    """An array in memory on one axis, which is quicker; others as they are."""
    for view in (array, array.swapaxes(-1, -2)):
        if view.flags.c_contiguous:
            return view.reshape(-1)
    return array


def _flat_together(*arrays: Array) -> tuple[Array, ...]:
    together = tuple(map(flat, arrays))
    are_flat = all(array.ndim == 1 for array in together)
    return together if are_flat else arrays


def plain_step(cell: Cell, z: Array) -> Step:
    """The step of a plain cell from z (4, H, R), in which f, i and o are negated.

    Its quotients are those of `_PlainWalk`, so that h does not depend on what
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


# ---- any cell


class FullSteps:
    """The steps of any cell, with any results."""

    def __init__(self, packed: Packed, operands: Operands) -> None:
        cell, z = packed.cell, operands.z
        parts = None if packed.plain else parts_of(cell)
        self._cell, self._operands = cell, operands
        self._h = list(operands.h)  # before each step, and behind the last
        self._gates = operands.memory.empty(*z.shape)  # of steps that return none
        if parts is None:
            self._step = plain_step(cell, z)
        else:
            self._step = full_step(parts, z, cell.recurrent_kernel)
        self._passed = None if parts is None else parts.passed
        self._is_eight_bit = is_eight_bit(cell)
        self._first = (operands.h[0], operands.h[0])  # h and c before the first step
        self._done = 0  # steps

    def start(self, h: Array, c: Array) -> None:
        """Begin from a state."""
        self._first, self._done = (h, c), 0

    def run(self, count: int, c: Array, results: tuple[Array | None, ...]) -> None:
        """Take the next steps from c (H, R), which then is the last one.

        ``results`` are gates (s, 4, H, R), c (s, H, R) and z (s, 4, H, R), or None.
        """
        gates, c_of_steps, z = results
        targets = zip(
            self._operands.of_steps,
            repeat(self._gates, count) if gates is None else gates,
            repeat(c, count) if c_of_steps is None else c_of_steps,
            repeat(None, count) if z is None else z,
            strict=False,
        )
        multiply, target = self._operands.multiply, self._operands.target
        takes_state = self._passed is None and not self._is_eight_bit
        before = c
        for k, (operand, of_gates, after, of_z) in enumerate(targets):
            if takes_state:
                multiply(operand, target)
                taken, c_taken = self._h[k], before
            else:
                taken, c_taken = self._multiplied_with_changed(k, before)
            self._step(taken, c_taken, of_gates, after, self._h[k + 1], of_z)
            before = after
            self._done += 1
        c[:] = before

    def _multiplied_with_changed(self, k: int, c: Array) -> tuple[Array, Array]:
        """The h and c that a step takes of those before it, after the product with that h."""
        exact = self._h[k].copy()  # which is returned
        h = exact
        if self._passed is not None and self._done:
            h, c = self._passed(exact, c, *self._first, self._done)
        self._h[k][:] = rounded(self._cell, h, 0) if self._is_eight_bit else h
        self._operands.multiply(self._operands.of_steps[k], self._operands.target)
        self._h[k][:] = exact
        return h, c


def full_step(parts: Parts, z: Array, R: Array) -> Step:
    """The step of any cell from z (4, H, R); ``R`` is the recurrent kernel."""
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
        of_gates = [gates[k] for k in places]
        new = next_state(z_by_gate, h, c, parts, R, of_gates)
        np.copyto(h_new, new[0])
        np.copyto(c_new, new[1])
        if z_out is not None:
            np.copyto(z_out, z)

    return advance
