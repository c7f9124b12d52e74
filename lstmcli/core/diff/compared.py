"""A comparison as the search for hints needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import ArrayName
from lstmcli.core.diff.operand import Side, names_of, shown_padding
from lstmcli.core.diff.pair import Pair, Position
from lstmcli.core.model.model import Hint

# Over the tolerance: h**3 of the largest h of a first step that shows a mistake in what makes it.
# Of 60,000 random layers with i and o exchanged four agree and have an h above 0.1 (0.17 at most).
_SHOWN = 200

NO_SETTINGS = ("layout", "assumed", "selected", "digits", "masking")
"""Keys of ``meta`` that are not settings of a run; axes are aligned whatever the layout."""

_STATE_GONE = 0.1  # an error that falls to this part of its start is dying out

Facts = Mapping[str, Any] | bool | None
"""If a pattern fits: findings for its texts, or True."""


class Pattern(NamedTuple):
    """A row of a table of hints: what is seen, what may cause it, and what is ruled out."""

    code: str
    facts: Callable[[Any], Any]  # of the two sides, the layer that differs first, or a pair
    seen: str
    causes: str = ""  # possible ones, the likeliest first, between semicolons
    excludes: str = ""
    if_large: bool = False  # excludes only where h of the steps before is large enough

    def hint(self, facts: Mapping[str, Any]) -> Hint:
        """The hint in words."""
        seen, causes, excluded = (
            text.format(**facts) for text in (self.seen, self.causes, self.excludes)
        )
        return Hint(self.code, seen, tuple(filter(None, causes.split("; "))), excluded)


@dataclass(frozen=True, eq=False)
class ComparedSides:
    """Two sides, their arrays of one name in pairs, and where these first differ."""

    sides: tuple[Side, Side]
    pairs: Mapping[str, Pair]  # of the names both sides have
    cross: Callable[[str, str], Pair]  # an array of a aligned with one of b of another name
    first: Position | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Return what messages call the sides."""
        return names_of(*self.sides)

    @property
    def differing_settings(self) -> dict[str, tuple[Any, Any]] | None:
        """The settings in which the sides differ, where both files have them; None: off."""
        a, b = (side.settings for side in self.sides)
        if a is None or b is None:
            return None
        names = [name for name in dict.fromkeys([*a, *b]) if name not in NO_SETTINGS]
        differ = [name for name in names if a.get(name) != b.get(name)]
        differ.sort(key=lambda name: name not in ("lengths", "mask"))
        return {n: (shown_padding(a.get(n)), shown_padding(b.get(n))) for n in differ}

    @property
    def differing(self) -> list[Pair]:
        """The pairs that are not equal."""
        return [pair for pair in self.pairs.values() if not pair.numbers_agree]

    @cached_property
    def first_layer(self) -> FirstLayer | None:
        """The layer of the first divergence, if that has a step and the start is compared."""
        first = self.first
        if first is None or first.step is None or not self.pairs[first.array].from_the_start:
            return None
        return FirstLayer(self, first.array, first.step)


class FirstLayer:
    """The arrays of the layer that differs first, by gate or state, in the order of computation."""

    def __init__(self, compared: ComparedSides, array: str, step: int) -> None:
        self.compared, self.array, self.step = compared, array, step
        name, pairs = ArrayName.of(array), compared.pairs
        self.prefix, self.first = name.prefix, name.base
        self.pair = pairs[array].as_computed
        self.steps = len(self.pair.a.values)
        self.at = self.steps - 1 - step if self.pair.backward else step
        self.pairs = {
            part.base: pair.as_computed
            for part, pair in zip(map(ArrayName.of, pairs), pairs.values(), strict=True)
            if part.prefix == name.prefix and pair.stepwise
            if pair.agrees is not None and len(pair.agrees) == self.steps
        }
        # (T,) for each array: the steps that differ
        self.wrong = {base: np.any(pair.differs, axis=(1, 2)) for base, pair in self.pairs.items()}

    def agree(self, *bases: str) -> bool:
        """Return whether these are all there and agree at the step where others differ first."""
        return all(base in self.wrong and not self.wrong[base][self.at] for base in bases)

    def differ(self, *bases: str) -> list[str]:
        """The ones that differ at that step."""
        return [base for base in bases if base in self.wrong and self.wrong[base][self.at]]

    @property
    def facts(self) -> dict[str, object]:
        """Names for texts: the sides, and the first step, this one, and the one before."""
        order, (a, b) = range(self.steps)[:: -1 if self.pair.backward else 1], self.compared.names
        start, here, before = (f"step {order[at]}" for at in (0, self.at, max(self.at - 1, 0)))
        first = " (computed first)" * self.pair.backward
        steps = {
            "start": start + first,
            "here": here + first * (self.at == 0),
            "before": before + first * (self.at < 2),
        }
        return {"a": a, "b": b, "Start": steps["start"].capitalize(), **steps}

    @property
    def both_ways(self) -> bool:
        """Tell whether it is made of two directions, so that no step is only early."""
        cells = {cell for side in self.compared.sides for cell in side.cells}
        return not self.prefix.startswith("layer0") and any(c.endswith("_reverse") for c in cells)

    @property
    def axes_assumed(self) -> bool:
        """Return whether the axes of what differs first may as well be batch and time.

        No side has a layout, neither is 1, and it has no step by a side's axes.
        """
        sides = self.compared.sides
        if self.pair.axes_known or any(side.layout for side in sides):
            return False
        shapes = [side.arrays[self.array].shape for side in sides]
        return any(len(shape) == 3 and min(shape[:2]) > 1 for shape in shapes)

    @property
    def is_conclusive(self) -> bool:
        """Return whether what agrees before is more than zeros."""
        before = self.pair.b[: self.at]
        return not self.pair.tolerance.agree(before.moved(np.zeros_like), before).all()

    @property
    def shows_all(self) -> bool:
        """Return whether h before the first difference is large enough to exclude what made it."""
        if (pair := self.pairs.get("h")) is None:
            return False
        h, test = pair.b[: self.at], pair.tolerance
        size = float(np.abs(h.values.astype(np.float64)).max(initial=0))
        unit = 0.0 if h.unit is None else float(h.unit.max(initial=0))
        return size**3 >= _SHOWN * (test.atol + test.rtol * size + unit)

    @property
    def decays(self) -> bool:
        """Tell whether the error is largest at the first step and dies out, as a state's does."""
        if self.at != 0 or self.steps < 4:
            return False
        with np.errstate(all="ignore"):
            scale = np.abs(self.pair.b.values.astype(np.float64)).max(axis=(1, 2))
            errors = self.pair.errors.max(axis=(1, 2)) / scale
        gone = errors[-1] <= _STATE_GONE * errors[0]
        return bool(np.isfinite(errors).all() and not errors.argmax() and gone)
