"""A comparison as hints need it, and differences that no setting makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lstmcli.core.diff.array_name import ArrayName
from lstmcli.core.diff.operand import Side, names_of, shown_padding
from lstmcli.core.diff.pair import Pair, Position, place_of, similarity
from lstmcli.core.diff.tolerance import Mask
from lstmcli.core.model.model import Hint
from lstmcli.core.model.selection import format_size

# Over the tolerance: h**3 of the largest h of a first step that shows a mistake there. Of 60,000
# random layers with i and o exchanged four agree and have an h above 0.1 (0.17 at most).
_SHOWN = 200

# The error that a type predicts, relative to the largest number: 0.5 to 2.4 eps, more where
# rounding grows. That of float16 proves nothing: a mistake may leave as little.
_ROUNDING = {"float64": 64 * 2.0**-52, "float32": 64 * 2.0**-23}
_OF_FLOAT16 = 4 * 2.0**-10
# Of the largest error: that of the first step. In those nets it is 0.06 or more; most mistakes: 0.
_ROUNDING_START = 0.01

# In dB: the signal-to-noise ratio from which a difference everywhere is noise.
# Mistakes leave at most 24.9 there, but for peepholes of o on the c before (30.2); noise of 1e-2 on
# h leaves 24 to 33, int8 weights 28 to 50, an approximated tanh 25 to 36.
NOISE_SNR = 24.0
_NOISE_SHARE = 0.5  # of the values, as digits hide some

# Numbers that are named, and their share of all: a convention changes more.
_MAX_NAMED = 3
_MAX_NAMED_SHARE = 0.1
_STANDS_OUT = 10  # times the error of every number that agrees

NO_SETTINGS = ("layout", "assumed", "selected", "digits", "masking")
"""Keys of ``meta`` that are not settings of a run."""

_HALF = 0.5  # of the numbers of a direction
_CONCATENATED = {"concat", "concat_swapped"}  # merges that keep the output of each direction

_STATE_GONE = 0.1  # an error that falls to this part of its start is dying out

Facts = Mapping[str, Any] | bool | None
"""If a pattern fits: findings for its texts, or True."""


class Pattern(NamedTuple):
    """A row of a table of hints: what is seen, may cause it, is ruled out."""

    code: str
    facts: Callable[[Any], Any]  # of two sides, a layer, or a pair
    seen: str
    causes: str = ""  # possible ones, the likeliest first, between semicolons
    excludes: str = ""
    if_large: bool = False  # excludes only where h before is large

    def hint(self, facts: Mapping[str, Any]) -> Hint:
        """The hint in words."""
        seen, causes, excluded = (
            text.format(**facts) for text in (self.seen, self.causes, self.excludes)
        )
        return Hint(self.code, seen, tuple(filter(None, causes.split("; "))), excluded)


@dataclass(frozen=True, eq=False)
class ComparedSides:
    """Two sides, their arrays in pairs, and where these first differ."""

    sides: tuple[Side, Side]
    pairs: Mapping[str, Pair]  # of the names both sides have
    cross: Callable[[str, str], Pair]  # arrays of two names, aligned
    first: Position | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Return what messages call the sides."""
        return names_of(*self.sides)

    @property
    def differing_settings(self) -> dict[str, tuple[Any, Any]] | None:
        """The settings that differ; None where a file has none."""
        a, b = (side.settings for side in self.sides)
        if a is None or b is None:
            return None
        names = sorted({**a, **b}, key=lambda name: name not in ("lengths", "mask"))
        return {
            name: (shown_padding(a.get(name)), shown_padding(b.get(name)))
            for name in names
            if name not in NO_SETTINGS and a.get(name) != b.get(name)
        }

    @property
    def differing(self) -> list[Pair]:
        """The pairs that are not equal."""
        return [pair for pair in self.pairs.values() if not pair.numbers_agree]

    @cached_property
    def first_layer(self) -> FirstLayer | None:
        """The layer of the first divergence, if the start of its steps is compared."""
        first = self.first
        if first is None or first.step is None or not self.pairs[first.array].from_the_start:
            return None
        return FirstLayer(self, first.array, first.step)


class FirstLayer:
    """The arrays of the layer that differs first, in the order of computation."""

    def __init__(self, compared: ComparedSides, array: str, step: int) -> None:
        self.compared, self.array, self.step = compared, array, step
        name = ArrayName.of(array)
        self.prefix, self.first = name.prefix, name.base
        self.start = array.removesuffix(name.base)
        self.pair = compared.pairs[array].as_computed
        self.steps = len(self.pair.a.values)
        self.pairs = {
            other.removeprefix(self.start): pair.as_computed
            for other, pair in compared.pairs.items()
            if ArrayName.of(other).prefix == name.prefix and pair.stepwise
            if pair.agrees is not None and len(pair.agrees) == self.steps
        }
        # (T,) for each array: the steps that differ
        self.wrong = {base: np.any(pair.differs, axis=(1, 2)) for base, pair in self.pairs.items()}
        self.at = int(self.wrong[self.first].argmax())

    def agree(self, *bases: str) -> bool:
        """Return whether these are there and agree at the step that differs first."""
        return all(base in self.wrong and not self.wrong[base][self.at] for base in bases)

    def differ(self, *bases: str) -> list[str]:
        """The ones that differ at that step."""
        return [base for base in bases if base in self.wrong and self.wrong[base][self.at]]

    def name(self, at: int) -> str:
        """``step 3``, as the files count, by the order of computation."""
        computed_first = self.pair.backward and at == 0
        return f"step {self.pair.numbers_of((at,))[0]}" + " (computed first)" * computed_first

    @property
    def facts(self) -> dict[str, str]:
        """Names for texts: the sides, and some steps."""
        start, here, before = map(self.name, (0, self.at, max(self.at - 1, 0)))
        steps = {"start": start, "Start": start.capitalize(), "here": here, "before": before}
        return dict(zip("ab", self.compared.names, strict=True)) | steps

    @property
    def both_ways(self) -> bool:
        """Tell whether it depends on two directions: no step is only early."""
        cells = [cell for side in self.compared.sides for cell in side.cells]
        has_two = any(cell.endswith("_reverse") for cell in cells)
        return has_two and not self.prefix.startswith("layer0")

    @property
    def axes_assumed(self) -> bool:
        """Return whether no layout tells which of two axes is time."""
        sides = self.compared.sides
        known = self.pair.axes_known or any(side.layout for side in sides)
        shapes = [side.arrays[self.array].shape for side in sides]
        return not known and any(len(shape) == 3 and min(shape[:2]) > 1 for shape in shapes)

    @property
    def is_conclusive(self) -> bool:
        """Return whether what agrees before is more than zeros."""
        before = self.pair.b[: self.at]
        return not self.pair.tolerance.agree(before.moved(np.zeros_like), before).all()

    @property
    def shows_all(self) -> bool:
        """Return whether h before is large enough to exclude what made it."""
        if (pair := self.pairs.get("h")) is None:
            return False
        h, test = pair.b[: self.at], pair.tolerance
        size = float(np.abs(h.values.astype(np.float64)).max(initial=0))
        unit = 0.0 if h.unit is None else float(h.unit.max(initial=0))
        return size**3 >= _SHOWN * (test.atol + test.rtol * size + unit)

    @property
    def decays(self) -> bool:
        """Tell whether the error decays from the first step, as a state's does."""
        if self.at != 0 or self.steps < 4:
            return False
        with np.errstate(all="ignore"):
            scale = np.abs(self.pair.b.values.astype(np.float64)).max(axis=(1, 2))
            errors = self.pair.errors.max(axis=(1, 2)) / scale
        gone = errors[-1] <= _STATE_GONE * errors[0]
        return bool(np.isfinite(errors).all() and not errors.argmax() and gone)


def _one_half(compared: ComparedSides) -> Facts:
    """All units of one half of h differ, most of their numbers, and nothing else."""
    pair = compared.pairs.get("h")
    merges = {str(side.settings.get("merge", "concat")) for side in compared.sides if side.settings}
    if pair is None or pair.agrees is None or not pair.stepwise or pair.numbers[2]:
        return None
    if compared.differing != [pair] or pair.a.shape[2] % 2 or merges - _CONCATENATED:
        return None
    halves = pair.differs.mean(axis=(0, 1)).reshape(2, -1)  # the share of each unit that differs
    second = not halves[0].any()
    wrong, units = halves[int(second)], halves.shape[1]
    if units == 1 or not wrong.all() or wrong.mean() < _HALF or halves[int(not second)].any():
        return None
    which = "back" if second != (merges == {"concat_swapped"}) else "for"
    return {"first": second * units, "last": second * units + units - 1, "which": which}


def _odd_numbers(compared: ComparedSides) -> Facts:
    """A few numbers that differ by much."""
    pairs, places, (a, b) = compared.differing, [], compared.names
    for pair in pairs:
        if pair.agrees is None or np.count_nonzero(pair.differs) > _MAX_NAMED:
            return None
        odd = pair.errors[pair.differs]
        hidden = pair.errors[pair.agrees & np.isfinite(pair.errors)].max(initial=0)
        if not (np.isnan(odd) | (odd >= hidden * _STANDS_OUT)).all():
            return None
        for n in np.flatnonzero(pair.differs).tolist():
            where = place_of(pair, n).words(batch=pair.placed and pair.a.shape[1] > 1)
            of_a, of_b = pair.a.values.flat[n], pair.b.values.flat[n]
            places.append(f"{pair.name} at {where} is {of_a!s} in {a} and {of_b!s} in {b}")
    total = sum(pair.a.values.size for pair in pairs)
    is_row = len(places) > 1 and any(pair.is_dense for pair in pairs)
    if is_row or len(places) > min(_MAX_NAMED, _MAX_NAMED_SHARE * total):
        return None
    is_one = len(places) == 1
    return {
        "count": "One value" if is_one else f"{len(places)} values",
        "total": total,
        "verb": "differs" if is_one else "differ",
        "places": "; ".join(places),
    }


def _not_a_number(compared: ComparedSides) -> Facts:
    """The first step that is NaN on one side."""
    for pair in (pair.as_computed for pair in compared.differing):
        if not pair.stepwise or pair.agrees is None:
            continue
        nan = [np.isnan(side.values) for side in (pair.a, pair.b)]
        steps: Mask = np.any(nan[0] != nan[1], axis=(1, 2))  # (T,)
        at = int(pair.differs.any(axis=(1, 2)).argmax())
        if steps[at]:
            side = compared.names[not (nan[0] & ~nan[1])[at].any()]
            step = pair.numbers_of((at,))[0]
            where = f" from step {step} on" if steps[at:].all() else f", first at step {step}"
            return {"name": pair.name, "side": side, "step": step, "where": where}
    return None


def _rounding(compared: ComparedSides) -> Facts:
    """A difference as small as of a dtype."""
    size, pairs = _size(compared), compared.differing
    wrong = sum(int(pair.differs.sum()) for pair in pairs) if size < np.inf else 0
    total = sum(pair.a.values.size for pair in compared.pairs.values())
    what = f"{wrong} of {total}" if wrong < _NOISE_SHARE * total else "All"
    facts = {"what": what, "size": format_size(size)}
    return next((facts | {"name": name} for name, most in _ROUNDING.items() if size <= most), None)


def _size(compared: ComparedSides) -> float:
    """The largest relative error; infinite if it is none of rounding."""
    if any(pair.agrees is None for pair in compared.pairs.values()):
        return np.inf
    errors = [(pair, pair.errors.max()) for pair in compared.differing]
    at_once = all(pair.start.errors.max() >= _ROUNDING_START * most for pair, most in errors)
    with np.errstate(all="ignore"):
        sizes = [most / np.abs(pair.b.values).max() for pair, most in errors]
    return float(max(sizes)) if at_once and np.isfinite(sizes).all() else np.inf


def _noise(compared: ComparedSides) -> Facts:
    """A small difference all over."""
    ratios, is_small = [], _size(compared) <= _OF_FLOAT16
    for pair in compared.pairs.values():
        if pair.agrees is None or (pair.differs.mean() < _NOISE_SHARE and not is_small):
            return None
        ratio = similarity(pair)[1]
        at_once = is_small or pair.start.differs.any()
        if ratio is None or not NOISE_SNR <= ratio < np.inf or not at_once:
            return None
        ratios.append(ratio)
    return {"ratio": f"{min(ratios):.0f}"}


NUMBERS = (
    Pattern(
        "one_half",
        _one_half,
        "Only units {first} to {last} of h differ: the {which}ward half, if the units are those "
        "of two directions side by side.",
    ),
    Pattern(
        "suspect_single",
        _odd_numbers,
        "{count} of {total} {verb}: {places}. Another convention would change nearly all of them.",
        "a value that was changed after it was computed; an overflow",
    ),
    Pattern(
        "suspect_nan",
        _not_a_number,
        "{name} of {side} is NaN{where}, and the other side is not.",
        "inputs or weights that are not finite; an overflow at or before step {step} (the "
        "largest float16 is 65504)",
    ),
    Pattern(
        "suspect_rounding",
        _rounding,
        "{what} values differ by at most {size} of the largest value. That is the size of {name} "
        "rounding. If one side was computed or stored in {name}, this is not an error: allow for "
        "it with --rtol and --atol.",
    ),
    Pattern(
        "suspect_noise",
        _noise,
        "Values differ slightly (SNR {ratio} dB). A wrong gate order, transpose or direction "
        f"usually gives less than {NOISE_SNR:.0f} dB, so a loss of precision is more likely.",
        "weights or states of lower precision (int8, float16, bfloat16); inputs that are "
        "scaled differently; an approximated tanh or sigmoid, or a hard sigmoid; weights of "
        "another training step; a small initial state, dropout or noise; in a cell with peepholes, "
        "those that read another c",
    ),
)
"""Tried from top to bottom; the first that fits is reported."""
