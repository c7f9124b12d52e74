"""What sets many readings of one cell apart, made ready for stepping them side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lstmcli.core.explain.space import distinct
from lstmcli.core.explain.weights import Weights
from lstmcli.core.model.activations import activation
from lstmcli.core.model.arrays import Array

Groups = list[tuple[Any, Any]]
"""Values of a column, each with the readings (a slice if all) that have it."""


class Readings:
    """n readings of a cell: all that their codes say, but for the constants.

    Parameters
    ----------
    weights
        kernels and the like, by codes.
    codes
        (n, F) rows of the space.
    units
        only these units: for a single step, which needs no others.
    dtype
        of the computation.
    """

    def __init__(
        self, weights: Weights, codes: Array, units: Array | None = None, dtype: Any = np.float64
    ) -> None:
        self.weights, self.space, self.cell = weights, weights.space, weights.cell
        self.codes, self.units, self.dtype = codes, units, np.dtype(dtype)
        kernel, recurrent, bias = weights.places(codes)
        self.kernel_order = self._order("kernel_gates")
        self.recurrent_order = self._order("recurrent_gates")
        self.bias = self._biases(bias)
        self.gates = self._activations("recurrent_activation")
        self.candidate = self._activations("activation")
        self.output = self._activations("output_activation")
        self.coupled = [g for g in self._groups("coupled") if g[0] != "none"]
        self.reset = self._mask("state", "reset")
        self.by_recurrent, self.by_kernel = _groups(recurrent), _groups(kernel)
        self.peepholes = self._prepare_peepholes()
        self.scale = self._prepare_scale()

    def __len__(self) -> int:
        return len(self.codes)

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

    def _biases(self, places: Array) -> list[Array]:
        """What each gate adds, each (n, 1, H): before its activation, or after a layer norm."""
        table = np.array(self.weights.biases, self.dtype)  # (biases, 4, H)
        if self.units is not None:
            table = table[:, :, self.units]
        return [table[places, k][:, None, :] for k in range(4)]

    def _prepare_peepholes(self) -> tuple[Array, Array | None, Array | None, str] | None:
        """The peepholes, who ignores them, whose o sees the old c, and where o's acts."""
        if self.cell.peephole is None:
            return None
        peephole = self.cell.peephole.astype(self.dtype)
        if self.units is not None and peephole.ndim == 2:
            peephole = peephole[:, self.units]
        where = self.cell.convention.behaviour.output_peephole
        return peephole, self._mask("peepholes", "ignored"), self._mask("peepholes", "old_c"), where

    def _prepare_scale(self) -> list[Array] | None:
        """The scale of each gate's layer norm, (n, 1, H) or (H,); its order is the bias'."""
        scale, order = self.cell.norm_scale, self._order("bias_gates")
        if scale is None:
            return None
        return [scale[k] if order is None else scale[order[:, k]][:, None] for k in range(4)]


def _groups(values: Array) -> Groups:
    """The distinct values with the readings that have each."""
    first = values[0] if len(values) else 0
    if (values == first).all():
        return [(int(first), slice(None))]
    return [(int(v), np.flatnonzero(values == v)) for v in distinct(values)]
