"""Saturated gates: in what share of the steps a gate is near 0 or 1."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from lstmcli.core.model.arrays import Array

NEAR = 0.01  # a gate nearer than this to 0 or 1 is saturated
MOSTLY = 0.5  # of the steps: from this share a unit is named
GATES = ("i", "f", "o")


def is_saturated(gate: Array) -> Array:
    """True where a gate is within `NEAR` of 0 or 1."""
    return (gate < NEAR) | (gate > 1 - NEAR)


class Saturation:
    """Counts of a cell's gates, added up over its steps."""

    def __init__(self) -> None:
        # by gate: (2, H) steps x sequences within NEAR of 0, of 1
        self._near: dict[str, Array] = {}
        self._seen: dict[str, int] = {}  # steps x sequences

    def add(self, arrays: Mapping[str, Array]) -> None:
        """Count some steps: i, f and o among arrays (s, B, K); other arrays are ignored.

        Steps past the length of a sequence, where every gate is exactly 0, do
        not count.
        """
        gates = {name: arrays[name] for name in GATES if name in arrays}
        has_no_padding = any(gate.all() for gate in gates.values())  # quick to find out
        if gates and not has_no_padding:
            computed = [(gate != 0).any(axis=2) for gate in gates.values()]
            valid = np.any(computed, axis=0)  # (s, B)
            gates = {name: gate[valid][:, None] for name, gate in gates.items()}
        for name, gate in gates.items():
            steps, batch, _ = gate.shape
            self._seen[name] = self._seen.get(name, 0) + steps * batch
            near_0 = np.count_nonzero(gate < NEAR, axis=(0, 1))
            near_1 = np.count_nonzero(gate > 1 - NEAR, axis=(0, 1))
            near = np.stack([near_0, near_1])
            self._near[name] = self._near.get(name, 0) + near

    def shares(self) -> dict[str, tuple[float, float]]:
        """For each gate, the share of all its numbers near 0 and near 1."""
        shares = {}
        for gate, near in self._near.items():
            size = max(self._seen[gate], 1) * near.shape[1]
            zero, one = near.sum(axis=1)
            shares[gate] = (float(zero) / size, float(one) / size)
        return shares

    def saturated_gates(self) -> dict[tuple[str, int], list[tuple[int, float]]]:
        """By gate and end, 0 or 1: the units near it in most steps, with shares."""
        found: dict[tuple[str, int], list[tuple[int, float]]] = {}
        for gate, end in product(self._near, (0, 1)):
            shares = self._near[gate][end] / max(self._seen[gate], 1)
            units = np.flatnonzero(shares >= MOSTLY)
            if units.size:
                ordered = units[np.argsort(-shares[units], kind="stable")].tolist()
                found[gate, end] = [(unit, float(shares[unit])) for unit in ordered]
        return found
