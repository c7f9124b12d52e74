"""The layer that differs first: its arrays in the order of computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.operand import ArrayName
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask

# A mistake moves h by about h**3. Steps that agree exclude one if that is as many times the
# tolerance: of 60,000 random layers with i and o exchanged, four agree and have an h above 0.1.
_SHOWN = 200


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The arrays of the layer that differs first, in the order of computation."""

    compared: Difference
    name: ArrayName  # of the array that differs first
    step: int  # in the files
    pairs: Mapping[str, Pair]  # by the last part of their names: "h"
    wrong: Mapping[str, Mask]  # (T,) for each array: the steps that differ

    @property
    def first(self) -> str:
        """The last part of the name of the array that differs first."""
        return self.name.base

    @property
    def pair(self) -> Pair:
        """The array that differs first."""
        return self.pairs[self.first]

    @property
    def at(self) -> int:
        """The step that differs first, in the order of computation."""
        return int(self.wrong[self.first].argmax())

    def name_of(self, base: str) -> str:
        """``layer0.z``: an array of this layer, as the sides call it."""
        return self.pair.name.removesuffix(self.first) + base

    def agree(self, *bases: str) -> bool:
        """Return whether these are there and agree at the step that differs first."""
        return all(
            base in self.wrong and not self.wrong[base][self.at] for base in bases
        )

    def differ(self, *bases: str) -> list[str]:
        """The ones that differ at that step."""
        return [
            base for base in bases if base in self.wrong and self.wrong[base][self.at]
        ]

    def step_words(self, at: int) -> str:
        """``step 3``, as the files count, by the order of computation."""
        words = f"step {self.pair.index_in_run((at,))[0]}"
        return f"{words} (computed first)" if self.pair.backward and at == 0 else words

    @property
    def facts(self) -> dict[str, str]:
        """Names for texts: the sides, and some steps."""
        a, b = self.pair.names
        start = self.step_words(0)
        return {
            "a": a,
            "b": b,
            "start": start,
            "Start": start.capitalize(),
            "here": self.step_words(self.at),
            "before": self.step_words(max(self.at - 1, 0)),
        }

    @property
    def both_ways(self) -> bool:
        """Tell whether it depends on two directions: no step is only early."""
        if self.name.prefix.startswith("layer0"):
            return False
        sides = self.compared.sides
        return any(cell.endswith("_reverse") for side in sides for cell in side.cells)

    @property
    def axes_assumed(self) -> bool:
        """Return whether no layout tells which of two axes is time."""
        sides = self.compared.sides
        if any(side.layout for side in sides):
            return False
        leads = [side.arrays[self.pair.name].shape[:-1] for side in sides]
        is_stacked = any(len(lead) == 3 for lead in leads)  # (T, 2, B, H) tells them
        if self.pair.placement.names_axes and is_stacked:
            return False
        return any(len(lead) in (1, 2) and min(lead) > 1 for lead in leads)

    @property
    def is_conclusive(self) -> bool:
        """Return whether what agrees before is more than zeros."""
        before = self.pair.b[: self.at]
        return not self.pair.tolerance.agree(before.moved(np.zeros_like), before).all()

    @property
    def shows_all(self) -> bool:
        """Return whether h before is large enough to exclude what made it."""
        return self.is_large(np.s_[: self.at])

    def is_large(self, part: Any) -> bool:
        """Return whether this part of h excludes a mistake, which moves h by about h**3."""
        pair = self.pairs.get("h")
        if pair is None:
            return False
        h, test = pair.b[part], pair.tolerance
        size = float(np.abs(h.values.astype(np.float64)).max(initial=0))
        unit = 0.0 if h.unit is None else float(h.unit.max(initial=0))
        return size**3 >= _SHOWN * (test.atol + test.rtol * size + unit)


def first_layer(compared: Difference) -> FirstLayer | None:
    """The layer of the first divergence, if the start of its steps is compared."""
    first = compared.first_divergence
    if first is None or first.step is None:
        return None
    if not compared.pairs[first.array].from_the_start:
        return None
    name = ArrayName.of(first.array)
    steps = len(compared.pairs[first.array].a.values)
    pairs: dict[str, Pair] = {}
    wrong: dict[str, Mask] = {}
    for array, pair in compared.pairs.items():
        other = ArrayName.of(array)
        is_comparable = pair.stepwise and pair.agrees is not None
        if other.prefix == name.prefix and is_comparable and pair.a.shape[0] == steps:
            ordered = pair.as_computed
            pairs[other.base] = ordered
            wrong[other.base] = np.any(ordered.differs, axis=(1, 2))
    return FirstLayer(compared, name, first.step, pairs, wrong)
