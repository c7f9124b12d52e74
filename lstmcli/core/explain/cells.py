"""The cells of many hypotheses, as integers: which tensors, functions and constants each has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from lstmcli.core.model.arrays import Array


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of N hypotheses; each field (N,) but for the constants."""

    kernel: Array  # places among the simulator's kernels, each an order of the gates of a matrix
    recurrent_kernel: Array
    bias: Array  # places among its biases
    gate: Array  # places among the simulator's activations
    candidate: Array
    output: Array
    coupled: Array  # 0 none, 1 f = 1 - i, 2 i = 1 - f
    peepholes: Array  # 0 used, 1 ignored, 2 the output gate's takes the old c
    peephole_order: Array  # places in PEEPHOLE_ORDERS
    reset: Array  # 1: every step starts from zero
    order: Array  # of steps: 2 where it starts from the last, and 1 where it gives that first
    choice: Array  # of the constants' listed values, as one number
    constants: Array  # (N, 3); NaN: to be solved for

    def __len__(self) -> int:
        return len(self.kernel)

    def subset(self, which: Any) -> Cells:
        """Those of a subset of the hypotheses."""
        return Cells(*(getattr(self, one.name)[which] for one in fields(self)))

    @cached_property
    def activations(self) -> list[Groups]:
        """Of gate, candidate and output: each activation with the hypotheses that have it."""
        return [groups_of(places) for places in (self.gate, self.candidate, self.output)]

    @cached_property
    def products(self) -> dict[str, list[tuple[int, Any, Array | None]]]:
        """By part: a matrix, the hypotheses that multiply by it, and the orders of their gates."""
        return {}

    @property
    def is_open(self) -> Array:
        """(N, 3): which constants are to be solved for."""
        return np.isnan(self.constants)

    def keys(self, first_step: bool = False) -> Array:
        """(N,): one number for each hypothesis, the same for equal cells.

        With ``first_step`` also where two give the same first step from a zero state: h and c are
        zero there, so that neither the recurrent kernel nor the forget gate shows, but for a
        forget gate that the input gate is made of.
        """
        coupled, choice = self.coupled, self.choice
        parts = [
            (self.kernel, 1024), (self.bias, 512), (self.gate, 9), (self.candidate, 9),
            (self.output, 9), (self.peepholes, 3), (self.order, 4),
            (self.peephole_order, 6),
        ]  # fmt: skip
        if first_step:
            shown = coupled == 2
            coupled = np.where(shown, coupled, 0)
            choice = np.where(shown, choice, choice // 4 * 4)
        else:
            parts += [(self.recurrent_kernel, 1024), (self.reset, 2)]
        key = np.zeros(len(self.kernel), np.int64)
        for field, size in (*parts, (coupled, 3), (choice, 36)):
            key = key * size + field
        return key


Groups = list[tuple[int, Any]]
"""Values, each with the places that have it; a slice where all have one."""


def groups_of(values: Array) -> Groups:
    """Each distinct value of small integers (N,), with its places."""
    kinds = np.flatnonzero(np.bincount(values)).tolist()
    if len(kinds) == 1:
        return [(kinds[0], slice(None))]
    return [(kind, np.flatnonzero(values == kind)) for kind in kinds]
