"""How two sides differ, and differences that no setting makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np

from lstmcli.core.diff.operand import ArrayName, Side, shown_padding
from lstmcli.core.diff.pair import ArrayDifference, Pair, Position, place_of, similarity
from lstmcli.core.diff.tolerance import Mask
from lstmcli.core.model.model import Hint, join_with_and
from lstmcli.core.model.selection import format_size
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import listed
from lstmcli.outputs import jsonable

# A mistake moves h by about h**3. Steps that agree exclude one if that is as many times the
# tolerance: of 60,000 random layers with i and o exchanged, four agree and have an h above 0.1.
_SHOWN = 200

# The error that a type predicts, relative to the largest number: 0.5 to 2.4 eps, more where
# rounding grows. That of float16 proves nothing: a mistake may leave as little.
_ROUNDING = {"float64": 64 * 2.0**-52, "float32": 64 * 2.0**-23}
_OF_FLOAT16 = 4 * 2.0**-10
# Of the largest error: that of the first step. Rounding has 0.06 or more there, mistakes mostly 0.
_ROUNDING_START = 0.01

# In dB: the signal-to-noise ratio from which a difference everywhere is noise.
# Mistakes leave at most 24.9 there, but for peepholes of o on the c before (30.2); noise of 1e-2 on
# h leaves 24 to 33, int8 weights 28 to 50, an approximated tanh 25 to 36.
NOISE_SNR = 24.0
_SHARE = 0.5  # of the values, as digits hide some; and of those of a direction

# Numbers that are named, and their share of all: a convention changes more.
_MAX_NAMED = 3
_MAX_NAMED_SHARE = 0.1
_STANDS_OUT = 10  # times the error of every number that agrees

# keys of ``meta`` that are not settings of a run
NO_SETTINGS = ("layout", "assumed", "selected", "digits", "masking")

_CONCATENATED = {
    "concat",
    "concat_swapped",
}  # merges that keep the output of each direction

ARRAYS_NAMED = 6  # in a list; JSON names all
NOT_IN_FILES = " (not in the files; --layout batch)"

_STATE_GONE = 0.1  # an error that falls to this part of its start is dying out

Facts = (
    Mapping[str, Any] | bool | None
)  # if a pattern fits: findings for its texts, or True


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


@dataclass(frozen=True, eq=False, repr=False)
class Difference:
    """The arrays that two sides share, compared."""

    sides: tuple[Side, Side]
    arrays: dict[str, ArrayDifference]
    cross: Callable[[str, str], Pair]  # arrays of two names, aligned
    first_divergence: Position | None
    only_in_a: list[str]
    only_in_b: list[str]
    rtol: float | None  # None: of several precisions, or --ulp
    atol: float | None
    hints: Sequence[Hint] = ()
    assumed: tuple[Hint, ...] = ()  # what no file specifies
    cuts: tuple[str, ...] = ()  # of ranges beyond the runs

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: ``assert diff(a, b)`` would never fail."""
        raise ValueError("the truth value of a Difference is ambiguous: use .equal")

    def __repr__(self) -> str:
        """``<Difference h differs: 18 of 21 values, first at step 1, unit 0>``."""
        layouts = [one.text for one in self.assumed if one.code == "layout"]
        return f"<Difference {'; '.join([self.summary, *layouts])}>".replace(
            NOT_IN_FILES, ""
        )

    @property
    def summary(self) -> str:
        """``h differs: 18 of 21 values, first at step 1, unit 0``."""
        arrays = self.arrays.values()
        unlike = [array.name for array in arrays if array.mismatched is None]
        off = [
            array
            for array in arrays
            if not array.equal and array.mismatched is not None
        ]
        total = sum(array.total or 0 for array in (arrays if self.equal else off))
        if self.equal:
            left_out = sum(array.left_out for array in arrays)
            of_all = f" of {total + left_out:,}" * bool(left_out)
            text = f"equal: {total:,}{of_all} values of {listed([*self.arrays], ARRAYS_NAMED)}"
            return text + " (the others are not printed)" * bool(left_out)
        if not off:
            return f"not comparable: {listed(unlike, ARRAYS_NAMED)} in different shapes"
        text = f"{named([one.name for one in off])} differ{'s' * (len(off) == 1)}"
        if not (wrong := sum(array.mismatched or 0 for array in off)):
            return f"{text} in the axes only: {total:,} values agree"
        text += f": {wrong:,} of {total:,} values"
        if self.first_divergence is not None:
            text += (
                f", first at {self.position(self.first_divergence, named=len(off) > 1)}"
            )
        return text + "; other shapes not compared" * bool(unlike)

    def position(self, place: Position, *, named: bool) -> str:
        """``step 1, gate f, batch 0, unit 2``; ``named``: with the array."""
        gate = "gate " * (ArrayName.of(place.array).base in GATES)
        is_batch = self.arrays[place.array].pair.a.shape[1] > 1
        return place.words(batch=is_batch, array=f"{gate}{place.array}" * named)

    @property
    def equal(self) -> bool:
        """Return whether every shared array agrees."""
        return all(array.equal for array in self.arrays.values())

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return what was assumed, in words."""
        return tuple(one.text for one in self.assumed)

    @cached_property
    def settings(self) -> dict[str, tuple[Any, Any]] | None:
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
    def other_layout(self) -> str:
        """The layout that the inputs of a run did not have; "" of no run or several layouts."""
        given = {(side.settings or {}).get("layout") for side in self.sides}
        others = [name for name in ("batch", "time") if name not in given]
        return others[0] if len(others) == 1 else ""

    @property
    def pairs(self) -> dict[str, Pair]:
        """The arrays of both sides on the same axes."""
        return {name: array.pair for name, array in self.arrays.items()}

    @property
    def differing(self) -> list[Pair]:
        """The pairs of which some number differs."""
        return [pair for pair in self.pairs.values() if not pair.numbers_agree]

    @cached_property
    def first_layer(self) -> FirstLayer | None:
        """The layer of the first divergence, if the start of its steps is compared."""
        first = self.first_divergence
        if (
            first is None
            or first.step is None
            or not self.pairs[first.array].from_the_start
        ):
            return None
        return FirstLayer(self, first.array, first.step)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON; ``settings`` only where both sides have them."""
        first = self.first_divergence
        return {
            "equal": self.equal,
            "rtol": jsonable(self.rtol),
            "atol": jsonable(self.atol),
            "arrays": {name: array.to_json() for name, array in self.arrays.items()},
            "first_divergence": {"array": first.array} | first.to_json()
            if first
            else None,
            "only_in_a": self.only_in_a,
            "only_in_b": self.only_in_b,
            "hints": [{"code": hint.code, "text": hint.text} for hint in self.hints],
            "remarks": [{"code": one.code, "text": one.text} for one in self.assumed],
        } | ({} if self.settings is None else {"settings": dict(self.settings)})


class FirstLayer:
    """The arrays of the layer that differs first, in the order of computation."""

    def __init__(self, compared: Difference, array: str, step: int) -> None:
        self.compared, self.array, self.step = compared, array, step
        name = ArrayName.of(array)
        self.prefix, self.first = name.prefix, name.base
        self.dotted = array.removesuffix(name.base)
        self.pair = compared.pairs[array].as_computed
        self.pairs = {
            other.removeprefix(self.dotted): pair.as_computed
            for other, pair in compared.pairs.items()
            if ArrayName.of(other).prefix == name.prefix and pair.stepwise
            if pair.agrees is not None
            and pair.agrees.shape[0] == len(self.pair.a.values)
        }
        # (T,) for each array: the steps that differ
        self.wrong = {
            base: np.any(pair.differs, axis=(1, 2)) for base, pair in self.pairs.items()
        }
        self.at = int(self.wrong[self.first].argmax())

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

    def name(self, at: int) -> str:
        """``step 3``, as the files count, by the order of computation."""
        suffix = " (computed first)" * (self.pair.backward and at == 0)
        return f"step {self.pair.numbers_of((at,))[0]}{suffix}"

    @property
    def facts(self) -> dict[str, str]:
        """Names for texts: the sides, and some steps."""
        start, here, before = map(self.name, (0, self.at, max(self.at - 1, 0)))
        steps = {
            "start": start,
            "Start": start.capitalize(),
            "here": here,
            "before": before,
        }
        return dict(zip("ab", self.pair.names, strict=True)) | steps

    @property
    def both_ways(self) -> bool:
        """Tell whether it depends on two directions: no step is only early."""
        cells = (cell for side in self.compared.sides for cell in side.cells)
        return any(
            x.endswith("_reverse") for x in cells
        ) and not self.prefix.startswith("layer0")

    @property
    def axes_assumed(self) -> bool:
        """Return whether no layout tells which of two axes is time."""
        sides = self.compared.sides
        leads = [side.arrays[self.array].shape[:-1] for side in sides]
        is_stacked = any(len(lead) == 3 for lead in leads)  # (T, 2, B, H) tells them
        if any(side.layout for side in sides) or (self.pair.axes_named and is_stacked):
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

    @property
    def decays(self) -> bool:
        """Tell whether the error decays from the first step, as a state's does."""
        errors = self.pair.errors.max(axis=(1, 2))
        is_gone = bool(errors[-1] <= _STATE_GONE * errors[0] < np.inf)
        return self.at == 0 and len(errors) >= 4 and not errors.argmax() and is_gone


def named(names: Sequence[str]) -> str:
    """``h, c and f``, or how many arrays."""
    return (
        join_with_and(names) if len(names) <= ARRAYS_NAMED else f"{len(names)} arrays"
    )


def _one_half(compared: Difference) -> Facts:
    """All units of one half of h differ, most of their numbers, and nothing else."""
    pair = compared.pairs.get("h")
    merges = {
        str(side.settings.get("merge", "concat"))
        for side in compared.sides
        if side.settings
    }
    if pair is None or pair.agrees is None or not pair.stepwise or pair.numbers[2]:
        return None
    if compared.differing != [pair] or pair.a.shape[2] % 2 or merges - _CONCATENATED:
        return None
    halves = pair.differs.mean(axis=(0, 1)).reshape(
        2, -1
    )  # the share of each unit that differs
    second = not halves[0].any()
    wrong, units = halves[int(second)], halves.shape[1]
    if (
        units == 1
        or not wrong.all()
        or wrong.mean() < _SHARE
        or halves[int(not second)].any()
    ):
        return None
    which = "back" if second != (merges == {"concat_swapped"}) else "for"
    return {"first": second * units, "last": second * units + units - 1, "which": which}


def _odd_numbers(compared: Difference) -> Facts:
    """A few numbers that differ by much."""
    pairs, places = compared.differing, []
    for pair in pairs:
        if pair.agrees is None or np.count_nonzero(pair.differs) > _MAX_NAMED:
            return None
        odd = pair.errors[pair.differs]
        hidden = pair.errors[pair.agrees & np.isfinite(pair.errors)].max(initial=0)
        if not (np.isnan(odd) | (odd >= hidden * _STANDS_OUT)).all():
            return None
        for n in np.flatnonzero(pair.differs).tolist():
            where = place_of(pair, n).words(batch=pair.placed and pair.a.shape[1] > 1)
            both = zip((pair.a, pair.b), pair.names, strict=True)
            values = (f"{side.values.flat[n]!s} in {name}" for side, name in both)
            places.append(f"{pair.name} at {where} is {' and '.join(values)}")
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


def _not_a_number(compared: Difference) -> Facts:
    """The first step that is NaN on one side."""
    stepwise = (x for x in compared.differing if x.stepwise and x.agrees is not None)
    for pair in (pair.as_computed for pair in stepwise):
        nan = [np.isnan(side.values) for side in (pair.a, pair.b)]
        steps: Mask = np.any(nan[0] != nan[1], axis=(1, 2))  # (T,)
        at = int(pair.differs.any(axis=(1, 2)).argmax())
        if steps[at]:
            side = pair.names[not (nan[0] & ~nan[1])[at].any()]
            step = pair.numbers_of((at,))[0]
            where = (
                f" from step {step} on"
                if steps[at:].all()
                else f", first at step {step}"
            )
            return {"name": pair.name, "side": side, "step": step, "where": where}
    return None


def _rounding(compared: Difference) -> Facts:
    size, pairs = _size(compared), compared.differing
    wrong = sum(int(pair.differs.sum()) for pair in pairs) if size < np.inf else 0
    total = sum(pair.a.values.size for pair in compared.pairs.values())
    what = f"{wrong} of {total}" if wrong < _SHARE * total else "All"
    facts = {"what": what, "size": format_size(size)}
    return next(
        (facts | {"name": name} for name, most in _ROUNDING.items() if size <= most),
        None,
    )


def _size(compared: Difference) -> float:
    """The largest relative error; infinite if it is none of rounding."""
    if any(pair.agrees is None for pair in compared.pairs.values()):
        return np.inf
    errors = [(pair, pair.errors.max()) for pair in compared.differing]
    at_once = all(x.start.errors.max() >= _ROUNDING_START * most for x, most in errors)
    with np.errstate(all="ignore"):
        sizes = [most / np.abs(pair.b.values).max() for pair, most in errors]
    return float(max(sizes)) if at_once and np.isfinite(sizes).all() else np.inf


def _noise(compared: Difference) -> Facts:
    ratios, is_small = [], _size(compared) <= _OF_FLOAT16
    for pair in compared.pairs.values():
        if pair.agrees is None or (pair.differs.mean() < _SHARE and not is_small):
            return None
        ratio = similarity(pair, ~pair.left_out)[1]
        at_once = is_small or pair.start.differs.any()
        if ratio is None or not NOISE_SNR <= ratio < np.inf or not at_once:
            return None
        ratios.append(ratio)
    return {"ratio": f"{min(ratios):.0f}"}


# tried from top to bottom; the first that fits is reported
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
