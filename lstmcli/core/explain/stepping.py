"""Many readings of one cell stepped side by side.

The equations are those of `core.steps`, once for a whole batch of readings: arrays are
(n, B, H) for n readings, B rows of inputs and H units, the gates i, f, g, o in a list. One matrix
product serves all readings that share a recurrent kernel; their gate orders are gathers of its
result. This is for the search alone: whatever it finds is run again by the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.activations import activation
from lstmcli.core.explain.constants import Constants
from lstmcli.core.explain.space import distinct
from lstmcli.core.explain.weights import Weights
from lstmcli.core.model import Cell

Array = npt.NDArray[Any]
Groups = list[tuple[Any, Any]]
"""Values of a column, each with the readings (a slice if all) that have it."""


class Batch:
    """n readings of a cell with their states; `advance` goes one step.

    Parameters
    ----------
    weights
        kernels and the like, by codes.
    codes
        (n, F) rows of the space.
    constants
        (n,) each, none of them NaN.
    start
        h and c, or None for zero: of each reading (n, B, P) and (n, B, H), or one for all, (B, P)
        and (B, H).
    units
        only these units: for a single step, which needs no others.
    dtype
        of the computation.
    """

    def __init__(
        self,
        weights: Weights,
        codes: Array,
        constants: Constants,
        start: tuple[Array, Array] | None,
        rows: int,
        units: Array | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self.weights, self.space, self.cell = weights, weights.space, weights.cell
        self.codes, self.rows, self.dtype, self.units = codes, rows, np.dtype(dtype), units
        n, cell = len(codes), weights.cell
        kernel, recurrent, bias = weights.places(codes)
        self._kernel, self._recurrent = kernel, recurrent
        self._kernel_order = self._order("kernel_gates")
        self._recurrent_order = self._order("recurrent_gates")
        each = Constants(*(c.astype(dtype)[:, None, None] for c in constants))
        self._add_bias(bias, each.forget_bias)
        self._gate_clip = _clip(each.gate_clip)
        self._cell_clip = _clip(each.cell_clip)
        self._gates = self._activations("recurrent_activation")
        self._candidate = self._activations("activation")
        self._output = self._activations("output_activation")
        self._coupled = [g for g in self._groups("coupled") if g[0] != "none"]
        self._reset = self._mask("state", "reset")
        self._by_recurrent = _groups(recurrent)
        self._by_kernel = _groups(kernel)
        self._peepholes = self._prepare_peepholes()
        self._scale = self._prepare_scale()
        width = cell.units if units is None else len(units)
        self.constants = constants
        self.h = np.zeros((n, rows, cell.outputs), dtype)
        self.c = np.zeros((n, rows, width), dtype)
        self._moving = start is not None  # from a zero state the recurrent product is nothing
        self._first: dict[int, Array] = {}  # recurrent kernel @ h, where all start from one h
        if start is not None:
            self._begin(*start)

    def _begin(self, h: Array, c: Array) -> None:
        if h.ndim == 2:
            for place, _ in self._by_recurrent:
                self._first[place] = products_of(
                    self.weights.recurrents[place], h, self.units, self.dtype
                )
        self.h[:], self.c[:] = h, c if self.units is None else c[..., self.units]

    def restart(self, h: Array, c: Array) -> None:
        """Put other states in, (n, B, P) and (n, B, H)."""
        self.h, self.c, self._moving = h, c, True

    @property
    def kernels(self) -> list[int]:
        """The places of the kernels whose products a step needs."""
        return [place for place, _ in self._by_kernel]

    # ---- what differs between readings

    def _order(self, name: str) -> Array | None:
        codes = self.codes[:, self.space.column(name)]
        return self.weights.orders[name][codes] if codes.any() else None  # (n, 4)

    def _groups(self, name: str) -> Groups:
        groups = _groups(self.codes[:, self.space.column(name)])
        return [(self.space.values[name][code], which) for code, which in groups]

    def _activations(self, name: str) -> list[tuple[Callable[[Array, Array], Any], Any]]:
        return [(activation(value), which) for value, which in self._groups(name)]

    def _mask(self, name: str, value: Any) -> Array | None:
        """(n, 1, 1) truth of the readings with a value, None if there are none."""
        values = self.space.values[name]
        if value not in values:
            return None
        mask = self.codes[:, self.space.column(name)] == values.index(value)
        return mask[:, None, None] if mask.any() else None

    def _add_bias(self, places: Array, forget_bias: Array) -> None:
        """What each gate adds: before its activation, or after a layer norm."""
        table = np.array(self.weights.biases, self.dtype)  # (biases, 4, H)
        if self.units is not None:
            table = table[:, :, self.units]
        self._bias = [table[places, k][:, None, :] for k in range(4)]  # each (n, 1, H)
        self._bias[1] = self._bias[1] + forget_bias

    def _prepare_peepholes(self) -> tuple[Array, Array | None, Array | None, str] | None:
        """The peepholes, who ignores them, whose o sees the old c, and where o's acts."""
        if self.cell.peephole is None:
            return None
        peephole = self.cell.peephole.astype(self.dtype)
        if self.units is not None and peephole.ndim == 2:
            peephole = peephole[:, self.units]
        where = self.cell.convention.output_peephole
        return peephole, self._mask("peepholes", "ignored"), self._mask("peepholes", "old_c"), where

    def _prepare_scale(self) -> list[Array] | None:
        """The scale of each gate's layer norm, (n, 1, H) or (H,); its order is the bias'."""
        scale, order = self.cell.norm_scale, self._order("bias_gates")
        if scale is None:
            return None
        return [scale[k] if order is None else scale[order[:, k]][:, None] for k in range(4)]

    # ---- a step

    def advance(self, products: Mapping[int, Array]) -> dict[str, Array]:
        """One step; gives h, c, i, f, g, o, each (n, B, K).

        ``products`` has kernel @ x of this step, (4, B, H), for each kernel.
        """
        z = self._inputs(products)
        if self._moving:
            self._add_recurrent(z)
        self._moving = True
        i, f, g, o = z
        c = self.c
        if self._peepholes is not None:
            self._look(z, c, (0, 1))
        self._normalise(z, (0, 1, 2))
        _bound(self._gate_clip, i, f, g)
        self._apply(self._gates, i, f)
        self._apply(self._candidate, g)
        for value, which in self._coupled:
            one, other = (f, i) if value == "f=1-i" else (i, f)
            one[which] = 1 - other[which]
        new = f * c
        new += i * g
        _bound(self._cell_clip, new)
        self._normalise_cell(new)
        if self._peepholes is not None:
            self._look_after(z, c, new)
        self._normalise(z, (3,))
        _bound(self._gate_clip, o)
        self._apply(self._gates, o)
        m = self._look_late(o, new)
        self._apply(self._output, m)
        m *= o
        h = self._project(m)
        self.h, self.c = h, new
        return {"h": h, "c": new, "i": i, "f": f, "g": g, "o": o}

    def _inputs(self, products: Mapping[int, Array]) -> list[Array]:
        """kernel @ x and what the gate adds, a gate at a time: 4 of (n, B, H)."""
        norm = self.cell.norm_scale is not None
        z = []
        for k in range(4):
            gate = np.zeros(self.c.shape, self.dtype)
            if not norm:
                gate += self._bias[k]
            self._gather(gate, products, k, self._by_kernel, self._kernel_order)
            z.append(gate)
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
                self._gather(z[k], self._first, k, self._by_recurrent, self._recurrent_order)
            self._first = {}
            return
        if self._reset is not None:
            self.h = np.where(self._reset, 0, self.h)
            self.c = np.where(self._reset, 0, self.c)
        for place, which in self._by_recurrent:
            matrix = self.weights.recurrents[place]  # (4, H, P)
            matrix = matrix if self.units is None else matrix[:, self.units]
            matrix = matrix.astype(self.dtype, copy=False)
            h = self.h[which]
            m = len(h)
            flat = h.reshape(m * self.rows, -1) @ matrix.reshape(-1, matrix.shape[2]).T
            product = flat.reshape(m, self.rows, 4, -1)
            order = None if self._recurrent_order is None else self._recurrent_order[which]
            for k in range(4):
                block = k if order is None else order[:, k]
                part = product[:, :, k] if order is None else product[np.arange(m), :, block]
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
        assert self._peepholes is not None
        peephole, ignored, _, _ = self._peepholes
        share: Array = c @ peephole[k].T if peephole.ndim == 3 else c * peephole[k]
        return share if ignored is None else np.where(ignored, 0, share)

    def _look(self, z: list[Array], c: Array, gates: tuple[int, ...]) -> None:
        for k in gates:
            z[k] += self._times(k, c)

    def _look_after(self, z: list[Array], c: Array, new: Array) -> None:
        assert self._peepholes is not None
        _, _, old, where = self._peepholes
        if where == "old_c":
            z[3] += self._times(2, c)
        elif where == "new_c":
            z[3] += self._times(2, new if old is None else np.where(old, c, new))
        elif old is not None:
            z[3] += np.where(old, self._times(2, c), 0)

    def _look_late(self, o: Array, new: Array) -> Array:
        if self._peepholes is None:
            return new.copy()
        _, _, old, where = self._peepholes
        share = self._times(2, new)
        share = share if old is None else np.where(old, 0, share)
        if where == "after_sigmoid":
            o += share
        return new + share if where == "in_tanh" else new.copy()

    def _normalise(self, z: list[Array], gates: tuple[int, ...]) -> None:
        """Layer norm of a gate's pre-activation; its shift is what the gate adds."""
        if self._scale is None:
            return
        for k in gates:
            _standardise(z[k], self.cell.convention.norm_epsilon)
            z[k] *= self._scale[k]
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
        return Batch(
            self.weights, self.codes[which], self.constants.chosen(which),
            (self.h[which], self.c[which]), self.rows, self.units, self.dtype,
        )  # fmt: skip


def products_of(matrix: Array, x: Array, units: Array | None, dtype: Any) -> Array:
    """matrix (4, H, K) @ x (B, K), of some units: (4, B, H)."""
    blocks = matrix if units is None else matrix[:, units]
    product: Array = x.astype(dtype, copy=False) @ blocks.astype(dtype, copy=False).swapaxes(1, 2)
    return product


def single_unit_steps_alone(cell: Cell) -> bool:
    """Whether a unit of the first step needs no other: no norm, projection or whole peepholes."""
    whole = cell.peephole is not None and cell.peephole.ndim == 3
    return cell.norm_scale is None and cell.projection is None and not whole


def _groups(values: Array) -> Groups:
    """The distinct values with the readings that have each."""
    first = values[0] if len(values) else 0
    if (values == first).all():
        return [(int(first), slice(None))]
    return [(int(v), np.flatnonzero(values == v)) for v in distinct(values)]


def _clip(limits: Array) -> Array | None:
    return limits if np.isfinite(limits).any() else None


def _bound(limit: Array | None, *arrays: Array) -> None:
    if limit is not None:
        for array in arrays:
            np.clip(array, -limit, limit, out=array)


def _standardise(z: Array, epsilon: float) -> None:
    z -= z.mean(axis=-1, keepdims=True)
    z /= np.sqrt((z * z).mean(axis=-1, keepdims=True) + epsilon)
