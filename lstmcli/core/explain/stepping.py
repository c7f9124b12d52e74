"""Many readings of one cell stepped side by side.

The equations are `forward.equations.step`, on arrays (n, B, H) for n readings, B rows of inputs and
H units, the gates i, f, g, o in a list. One matrix product serves all readings that share a
recurrent kernel; their gate orders are gathers of its result. This is for the search only:
whatever it finds is run again by the loop itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.readings import Groups, Readings
from lstmcli.core.forward.equations import (
    NO_PEEPHOLES,
    Change,
    Parts,
    Peepholes,
    clip_to,
    layer_norm,
    no_change,
    step,
)
from lstmcli.core.model.activations import Activation
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Cell


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
        self._parts = self._make_parts(each)
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
        self.h, self.c = step(z, self.c, self._parts)
        i, f, g, o = z
        return {"h": self.h, "c": self.c, "i": i, "f": f, "g": g, "o": o}

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

    # ---- the parts of a step

    def _make_parts(self, each: Constants) -> Parts:
        """The parts of the equations, for arrays (n, B, H)."""
        readings, cell, how = self.readings, self.cell, self.cell.convention
        peepholes, normalize, normalize_c = NO_PEEPHOLES, no_change, no_change
        if readings.peepholes is not None:
            _, _, old, output = readings.peepholes
            peepholes = Peepholes(self._times, output, old)
        if readings.scale is not None:  # the shift is what the gate adds
            normalize = layer_norm(readings.scale, self._bias, how.behaviour.norm_epsilon, axis=-1)
        if cell.state_scale is not None and cell.state_shift is not None:
            scale, shift = cell.state_scale, cell.state_shift
            normalize_c = layer_norm([scale], [shift], how.behaviour.norm_epsilon, axis=-1)
        return Parts(
            _activate(readings.gates), _activate(readings.candidate), _activate(readings.output),
            _clip(each.gate_clip), _clip(each.cell_clip), clip_to(how.behaviour.projection_clip),
            self._couple, normalize, normalize_c, peepholes, self._project,
        )  # fmt: skip

    def _times(self, k: int, c: Array) -> Array:
        """The product of a peephole and c, 0 where the peephole is ignored."""
        assert self.readings.peepholes is not None
        peephole, ignored, _, _ = self.readings.peepholes
        product: Array = c @ peephole[k].T if peephole.ndim == 3 else c * peephole[k]
        return product if ignored is None else np.where(ignored, 0, product)

    def _couple(self, i: Array, f: Array) -> None:
        for value, which in self.readings.coupled:
            one, other = (f, i) if value == "f=1-i" else (i, f)
            one[which] = 1 - other[which]

    def _project(self, h: Array) -> Array:
        cell = self.cell
        if cell.projection is None:
            return h
        h = h @ cell.projection.T.astype(self.dtype)
        return h if cell.projection_bias is None else h + cell.projection_bias

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


def _activate(groups: list[tuple[Activation, Any]]) -> Activation:
    """The activation of each hypothesis, as one function that may write over its argument."""

    def activate(z: Array, out: Array) -> None:
        for function, which in groups:
            if isinstance(which, slice):
                function(z, out)
            else:
                part = z[which]
                function(part, part)
                out[which] = part

    return activate


def _clip(limits: Array) -> Change:
    return clip_to(limits if np.isfinite(limits).any() else None)
