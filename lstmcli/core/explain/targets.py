"""The known numbers of EXPECTED in one sequence of the batch, as runs are compared with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import FINAL, ArrayName
from lstmcli.core.explain.observation import Allowance, Expected
from lstmcli.core.model.arrays import Array

NUMBERS = 600  # of EXPECTED, evenly chosen, on which full runs are compared


class Target(NamedTuple):
    """Known numbers of an array of EXPECTED."""

    cell: str  # whose array it is; "": the output of the model
    array: str
    at: tuple[Array, ...]  # steps and units, each (E,); units only of a last state
    values: Array  # (E,)
    allowed: Array  # (E,) tolerances

    def subset(self, which: Any) -> Target:
        """Some of the numbers."""
        at = tuple(axis[which] for axis in self.at)
        return self._replace(at=at, values=self.values[which], allowed=self.allowed[which])


KnownOfStep = tuple[str, Array, Array, Array]
"""An array, and units, values and tolerances that are known of it at a step."""


def by_step(targets: Sequence[Target], name: str) -> dict[int, list[KnownOfStep]]:
    """What is known of a cell, by step of the run."""
    found: dict[int, list[KnownOfStep]] = {}
    for target in targets:
        if target.cell == name and len(target.at) == 2:
            for step in np.unique(target.at[0]).tolist():
                here = np.flatnonzero(target.at[0] == step)
                one = target.array, target.at[1][here], target.values[here], target.allowed[here]
                found.setdefault(step, []).append(one)
    return found


def best_known(expected: Expected, valid: Array | None) -> int:
    """The sequence of the batch of which most is known, at steps that count."""
    known: Any = 0
    for _, one in expected.arrays.items():
        is_known = np.isfinite(one.values)
        if valid is not None and is_known.ndim == 3:
            is_known &= valid[:, :, None]
        known = known + is_known.sum(axis=(*range(is_known.ndim - 2), -1))
    if valid is not None:  # of a sequence without steps nothing is run
        known = np.where(valid.any(axis=0), known, -1)
    return int(np.argmax(known))


def targets_of(
    expected: Expected, allowance: Allowance, item: int, keep: Array, array: str, only: str
) -> Iterator[Target]:
    """The known numbers of one sequence; those of the ``only`` cell are under its name."""
    for name, known in expected.arrays.items():
        part = ArrayName.of(name)
        base = part.base.replace("h", array) if part.base in ("h", "final_h") else part.base
        values, allowed = known.values[..., item, :], allowance.of(known)[..., item, :]
        if part.kind != FINAL:
            values, allowed = values[keep], allowed[keep]
        at = np.nonzero(np.isfinite(values))
        if len(at[0]):
            yield Target(only or part.prefix, base, at, values[at], allowed[at])


def thinned(target: Target) -> Target:
    """Numbers of which full runs are compared in these."""
    count = len(target.values)
    return target.subset(np.linspace(0, count - 1, min(NUMBERS, count)).astype(int))
