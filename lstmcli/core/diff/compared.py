"""A comparison as the search for hints needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import SEQUENCE, ArrayName
from lstmcli.core.diff.operand import Side, names_of, shown_padding
from lstmcli.core.diff.pair import Pair
from lstmcli.core.diff.tolerance import Mask
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
    of_units: bool = True  # only where most units of a row differ, as what acts in the cell does
    if_large: bool = False  # excludes only where h of the steps before is large enough

    def hint(self, facts: Mapping[str, Any]) -> Hint:
        """The hint in words."""
        causes = [*self.causes.split("; "), *facts.get("more", ())]
        causes = [*filter(None, (one.format(**facts) for one in causes))]
        excludes = self.excludes.format(**facts)
        return Hint(self.code, self.seen.format(**facts), tuple(causes), excludes)


@dataclass(frozen=True, eq=False)
class ComparedSides:
    """Two sides, their arrays of one name in pairs, and where these first differ."""

    sides: tuple[Side, Side]
    pairs: Mapping[str, Pair]  # of the names both sides have
    cross: Callable[[str, str], Pair]  # an array of a aligned with one of b of another name
    first_array: str | None = None  # of the first divergence
    first_step: int | None = None
    is_half: bool = False  # only one direction of the output of two is compared

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

    @property
    def both_ways(self) -> bool:
        """Tell whether the first that differs has two directions, so that no step is only early."""
        of_one = self.is_half or ArrayName.of(self.first_array or "").prefix.startswith("layer0")
        cells = {cell for side in self.sides for cell in side.cells}
        return not of_one and any(cell.endswith("_reverse") for cell in cells)

    @property
    def axes_assumed(self) -> bool:
        """Return whether the axes of what differs first may as well be batch and time.

        No side has a layout, neither is 1, and it has no step by a side's axes.
        """
        name = self.first_array
        if name is None or self.pairs[name].axes_known or any(side.layout for side in self.sides):
            return False
        shapes = [side.arrays[name].shape for side in self.sides]
        is_sequence = ArrayName.of(name).kind == SEQUENCE
        return is_sequence and any(len(shape) == 3 and min(shape[:2]) > 1 for shape in shapes)


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """The arrays of the layer that differs first, by gate or state, in the order of computation."""

    compared: ComparedSides
    pairs: Mapping[str, Pair]
    first: str  # the array of the first divergence: z, a gate, c or h
    at: int  # its step, counted in the order of computation
    pair: Pair  # that array
    steps: int  # that are compared

    @classmethod
    def of(cls, compared: ComparedSides) -> FirstLayer | None:
        """The layer of the first divergence, if that has a step."""
        if compared.first_array is None or compared.first_step is None:
            return None
        first, name = compared.pairs[compared.first_array], ArrayName.of(compared.first_array)
        steps = len(first.a.values)
        pairs = {
            part.base: pair.as_computed
            for pair in compared.pairs.values()
            if pair.stepwise and pair.agrees is not None and len(pair.agrees) == steps
            if (part := ArrayName.of(pair.name)).prefix == name.prefix
        }
        at = steps - 1 - compared.first_step if first.backward else compared.first_step
        return cls(compared, pairs, name.base, at, first.as_computed, steps)

    @cached_property
    def wrong(self) -> dict[str, Mask]:
        """(T,) for each array: the steps that differ, in the order of computation."""
        return {base: np.any(pair.differs, axis=(1, 2)) for base, pair in self.pairs.items()}

    def agree(self, *bases: str) -> bool:
        """Return whether these are all there and agree at the step where others differ first."""
        return all(base in self.wrong and not self.wrong[base][self.at] for base in bases)

    def differ(self, *bases: str) -> list[str]:
        """The ones that differ at that step."""
        return [base for base in bases if base in self.wrong and self.wrong[base][self.at]]

    def name(self, at: int) -> str:
        """``step 3``, as the files count, of a step in the order of computation."""
        if not self.pair.backward:
            return f"step {at}"
        return f"step {self.steps - 1 - at}" + (" (computed first)" if at == 0 else "")

    @property
    def facts(self) -> dict[str, object]:
        """Names for texts: the sides, and some steps."""
        a, b = self.compared.names
        start, here, before = map(self.name, (0, self.at, max(self.at - 1, 0)))
        return {"a": a, "b": b, "start": start, "here": here, "before": before}

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
