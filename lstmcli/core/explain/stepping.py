"""Many readings of one cell stepped side by side.

The equations are those of `core.steps`, once for a whole batch of readings: arrays are
(n, B, H) for n readings, B rows of inputs and H units, the gates i, f, g, o in a list. One matrix
product serves all readings that share a recurrent kernel; their gate orders are gathers of its
result. This is for the search alone: whatever it finds is run again by the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.readings import Groups, Readings
from lstmcli.core.model.model import Cell

Array = npt.NDArray[Any]


class Batch:
    """n readings of a cell with their states; `advance` goes one step.

    Parameters
    ----------
    readings
        what sets them apart.
    constants
        (n,) each, none of them NaN.
    start
        h and c, or None for zero: of each reading (n, B, P) and (n, B, H), or one for all, (B, P)
        and (B, H).
    rows
        B.
    """

    def __init__(
        self,
        readings: Readings,
        constants: Constants,
        start: tuple[Array, Array] | None,
        rows: int,
    ) -> None:
        self.readings, self.constants, self.rows = readings, constants, rows
        self.weights, self.cell, self.codes = readings.weights, readings.cell, readings.codes
        self.units, self.dtype = readings.units, readings.dtype
        n, cell = len(readings), self.cell
        each = Constants(*(c.astype(self.dtype)[:, None, None] for c in constants))
        self._bias = list(readings.bias)  # each (n, 1, H)
        self._bias[1] = self._bias[1] + each.forget_bias
        self._gate_clip = _clip(each.gate_clip)
        self._cell_clip = _clip(each.cell_clip)
        width = cell.units if self.units is None else len(self.units)
        self.h = np.zeros((n, rows, cell.outputs), self.dtype)
        self.c = np.zeros((n, rows, width), self.dtype)
        self._moving = start is not None  # from a zero state the recurrent product is nothing
        self._first: dict[int, Array] = {}  # recurrent kernel @ h, where all start from one h
        if start is not None:
            self._begin(*start)

    def _begin(self, h: Array, c: Array) -> None:
        if h.ndim == 2:
            for place, _ in self.readings.by_recurrent:
                self._first[place] = _products(
                    self.weights.recurrents[place], h, self.units, self.dtype
                )
        self.h[:], self.c[:] = h, c if self.units is None else c[..., self.units]

    def restart(self, h: Array, c: Array) -> None:
        """Put other states in, (n, B, P) and (n, B, H)."""
        self.h, self.c, self._moving = h, c, True

    # ---- a step

    def advance(self, x: Array) -> dict[str, Array]:
        """One step over x (B, I), or (n, B, I) where each reading has its own.

        Gives h, c, i, f, g, o, each (n, B, K).
        """
        z = self._inputs(x)
        if self._moving:
            self._add_recurrent(z)
        self._moving = True
        i, f, g, o = z
        c = self.c
        if self.readings.peepholes is not None:
            self._look(z, c, (0, 1))
        self._normalise(z, (0, 1, 2))
        _bound(self._gate_clip, i, f, g)
        self._apply(self.readings.gates, i, f)
        self._apply(self.readings.candidate, g)
        for value, which in self.readings.coupled:
            one, other = (f, i) if value == "f=1-i" else (i, f)
            one[which] = 1 - other[which]
        new = f * c
        new += i * g
        _bound(self._cell_clip, new)
        self._normalise_cell(new)
        if self.readings.peepholes is not None:
            self._look_after(z, c, new)
        self._normalise(z, (3,))
        _bound(self._gate_clip, o)
        self._apply(self.readings.gates, o)
        m = self._look_late(o, new)
        self._apply(self.readings.output, m)
        m *= o
        h = self._project(m)
        self.h, self.c = h, new
        return {"h": h, "c": new, "i": i, "f": f, "g": g, "o": o}

    def _inputs(self, x: Array) -> list[Array]:
        """kernel @ x and what the gate adds, a gate at a time: 4 of (n, B, H)."""
        readings, norm = self.readings, self.cell.norm_scale is not None
        z = [np.zeros(self.c.shape, self.dtype) for _ in range(4)]
        for gate, bias in zip(z, self._bias, strict=True):
            if not norm:
                gate += bias
        if x.ndim == 3:
            kernels, order = self.weights.kernels, readings.kernel_order
            self._add_products(z, x, kernels, readings.by_kernel, order)
            return z
        products = {
            place: _products(self.weights.kernels[place], x, self.units, self.dtype)
            for place, _ in readings.by_kernel
        }  # each (4, B, H)
        for k, gate in enumerate(z):
            self._gather(gate, products, k, readings.by_kernel, readings.kernel_order)
        return z

    def _gather(
        self, gate: Array, products: Mapping[int, Array], k: int, groups: Groups,
        order: Array | None,
    ) -> None:  # fmt: skip
        """Add to a gate (n, B, H) the block that is its own in each reading's order."""
        for place, which in groups:
            product = products[place]  # (4, B, H)
            part = product[k] if order is None else product[order[which][:, k]]
            if isinstance(which, slice):
                gate += part
            else:
                gate[which] += part

    def _add_recurrent(self, z: list[Array]) -> None:
        """Add the recurrent product; of a state that is never carried there is none."""
        if self._first:
            for k in range(4):
                self._gather(
                    z[k], self._first, k, self.readings.by_recurrent, self.readings.recurrent_order
                )
            self._first = {}
            return
        if self.readings.reset is not None:
            self.h = np.where(self.readings.reset, 0, self.h)
            self.c = np.where(self.readings.reset, 0, self.c)
        recurrents, order = self.weights.recurrents, self.readings.recurrent_order
        self._add_products(z, self.h, recurrents, self.readings.by_recurrent, order)

    def _add_products(
        self, z: list[Array], x: Array, matrices: Sequence[Array], groups: Groups,
        order: Array | None,
    ) -> None:  # fmt: skip
        """Add each reading's matrix (4, H, K) @ its x (n, B, K), in its order of gates."""
        for place, which in groups:
            matrix = matrices[place]
            matrix = matrix if self.units is None else matrix[:, self.units]
            matrix = matrix.astype(self.dtype, copy=False)
            own = x[which].astype(self.dtype, copy=False)
            m = len(own)
            flat = own.reshape(m * self.rows, -1) @ matrix.reshape(-1, matrix.shape[2]).T
            product = flat.reshape(m, self.rows, 4, -1)
            of_group = None if order is None else order[which]
            for k in range(4):
                block = k if of_group is None else of_group[:, k]
                part = product[:, :, k] if of_group is None else product[np.arange(m), :, block]
                if isinstance(which, slice):
                    z[k] += part
                else:
                    z[k][which] += part

    def _apply(self, groups: list[tuple[Callable[[Array, Array], Any], Any]], *zs: Array) -> None:
        for function, which in groups:
            for z in zs:
                if isinstance(which, slice):
                    function(z, z)
                else:
                    part = z[which]
                    function(part, part)
                    z[which] = part

    # ---- parts that few cells have

    def _times(self, k: int, c: Array) -> Array:
        """A peephole's share, 0 where it is ignored."""
        assert self.readings.peepholes is not None
        peephole, ignored, _, _ = self.readings.peepholes
        share: Array = c @ peephole[k].T if peephole.ndim == 3 else c * peephole[k]
        return share if ignored is None else np.where(ignored, 0, share)

    def _look(self, z: list[Array], c: Array, gates: tuple[int, ...]) -> None:
        for k in gates:
            z[k] += self._times(k, c)

    def _look_after(self, z: list[Array], c: Array, new: Array) -> None:
        assert self.readings.peepholes is not None
        _, _, old, where = self.readings.peepholes
        if where == "old_c":
            z[3] += self._times(2, c)
        elif where == "new_c":
            z[3] += self._times(2, new if old is None else np.where(old, c, new))
        elif old is not None:
            z[3] += np.where(old, self._times(2, c), 0)

    def _look_late(self, o: Array, new: Array) -> Array:
        if self.readings.peepholes is None:
            return new.copy()
        _, _, old, where = self.readings.peepholes
        share = self._times(2, new)
        share = share if old is None else np.where(old, 0, share)
        if where == "after_sigmoid":
            o += share
        return new + share if where == "in_tanh" else new.copy()

    def _normalise(self, z: list[Array], gates: tuple[int, ...]) -> None:
        """Layer norm of a gate's pre-activation; its shift is what the gate adds."""
        if self.readings.scale is None:
            return
        for k in gates:
            _standardise(z[k], self.cell.convention.norm_epsilon)
            z[k] *= self.readings.scale[k]
            z[k] += self._bias[k]

    def _normalise_cell(self, c: Array) -> None:
        scale, shift = self.cell.state_scale, self.cell.state_shift
        if scale is None or shift is None:
            return
        _standardise(c, self.cell.convention.norm_epsilon)
        c *= scale
        c += shift

    def _project(self, m: Array) -> Array:
        cell = self.cell
        if cell.projection is None:
            h = m
        else:
            h = m @ cell.projection.T.astype(self.dtype)
            h = h if cell.projection_bias is None else h + cell.projection_bias
        limit = cell.convention.projection_clip
        return h if limit is None else np.clip(h, -limit, limit)

    def kept(self, which: Array) -> Batch:
        """A batch of some of the readings, from where they are."""
        readings = Readings(self.weights, self.codes[which], self.units, self.dtype)
        start = self.h[which], self.c[which]
        return Batch(readings, self.constants.chosen(which), start, self.rows)


def _products(matrix: Array, x: Array, units: Array | None, dtype: Any) -> Array:
    """matrix (4, H, K) @ x (B, K), of some units: (4, B, H)."""
    blocks = matrix if units is None else matrix[:, units]
    product: Array = x.astype(dtype, copy=False) @ blocks.astype(dtype, copy=False).swapaxes(1, 2)
    return product


def single_unit_steps_alone(cell: Cell) -> bool:
    """Whether a unit of the first step needs no other: no norm, projection or whole peepholes."""
    whole = cell.peephole is not None and cell.peephole.ndim == 3
    return cell.norm_scale is None and cell.projection is None and not whole


def _clip(limits: Array) -> Array | None:
    return limits if np.isfinite(limits).any() else None


def _bound(limit: Array | None, *arrays: Array) -> None:
    if limit is not None:
        for array in arrays:
            np.clip(array, -limit, limit, out=array)


def _standardise(z: Array, epsilon: float) -> None:
    z -= z.mean(axis=-1, keepdims=True)
    z /= np.sqrt((z * z).mean(axis=-1, keepdims=True) + epsilon)
