"""Differences that no setting of a cell makes: odd numbers, NaN, rounding, noise."""

from __future__ import annotations

import numpy as np

from lstmcli.core.diff.alignment import Pair
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.metrics import place_of, similarity
from lstmcli.core.diff.rearrangements import distinct
from lstmcli.core.diff.tolerance import Numbers, Tolerance, widened
from lstmcli.core.model.half_precision import round_to_format
from lstmcli.core.model.hint import Hint

# The error that a type predicts, in its eps and relative to the largest number. Over 15 seeds and
# five sizes (up to 128 units, 60 steps; weights of 1 / sqrt(I + H)), a run in a type is off from
# long double by 0.5 to 2.4 eps, numbers that are stored in it by 0.1 to 0.5. Most of the rest is
# for nets whose rounding grows: weights of 0.5 and 32 units are off by 10 eps, those of 128 units
# are chaotic (244 to 1.4e4). 64 eps of float16 are 6 %, which a mistake may leave too. So may less:
# inputs times 255 / 256 leave 1.7 to 17 eps of float16, those times sqrt(1 - 1 / 1000) 0.2 to 2.1,
# int8 weights 5.5 to 78; only numbers that are all of float16 show that it is the cause.
_ROUNDING = (("float64", 2.0**-52, 64), ("float32", 2.0**-23, 64), ("float16", 2.0**-10, 4))
# Of the largest error: that of the first step. In those nets it is 0.06 or more; 0.009 or less is
# that of the chaotic ones, and 0 that of most mistakes in the forget gate or recurrent weights.
_ROUNDING_START = 0.01
_HALVES = (("bfloat16", 2.0**-7, 4), _ROUNDING[2])  # so coarse that size alone does not tell them
_LEAST_DISTINCT = 8  # different numbers, all of bfloat16, that show it

# Signal-to-noise ratio from which a difference that shows everywhere is taken for noise, in dB.
# Over 15 seeds and five sizes (up to 128 units, 60 steps) of the tests' matrix, the mistakes in
# gate order, rows, transposes, axes and direction leave at most 12.4 dB where their first step
# differs (18.3 where it agrees), all others of the matrix at most 24.9 but for the peepholes of o
# on the c before (30.2). Of the same nets: noise of 1e-3 on h 44 to 53 and of 1e-2 24 to 33, int8
# weights 28 to 50 (a scale for each column 41 to 54), noise of 1 % on the weights 28 to 47, tanh as
# x (27 + x^2) / (27 + 9 x^2) 28 to 36 (25 to 32 with the sigmoid made of it), tables of 256 values
# 29 to 40; in all of these the first step differs, and 86 % of the values or more. The first step
# may differ by less than 2 % of the largest error: that of one gate of 3 units did in 10 of 60
# traces with such a tanh and sigmoid, where no mistake in the recurrent weights shows at all.
NOISE_SNR = 24.0
_NOISE_SHARE = 0.5  # of the values, which differ; fewer digits of a print hide some

# Numbers that are named one by one, and their share of all: no convention changes so few.
_MAX_NAMED = 3
_MAX_NAMED_SHARE = 0.1
_STANDS_OUT = 10  # times the error of every number that agrees, or the tolerance made it odd


def odd_numbers(compared: ComparedSides) -> Hint | None:
    """One number differs, or several that are no row: named, since nothing in a cell does that."""
    pairs = compared.differing
    if not all(map(_stand_out, pairs)):
        return None
    found = [(pair, place_of(pair, n)) for pair in pairs for n in np.flatnonzero(pair.differs)]
    total = sum(pair.a.values.size for pair in pairs)
    if len(found) > min(_MAX_NAMED, _MAX_NAMED_SHARE * total):
        return None
    if len(found) > 1 and any(pair.is_dense for pair in pairs):
        return None
    places = [
        f"{pair.name} at {at.words(batch=pair.placed and pair.a.shape[1] > 1)} is {at.a} in {{a}} "
        f"and {at.b} in {{b}}"
        for pair, at in found
    ]
    count = "One number" if len(places) == 1 else f"{len(places)} numbers"
    verb = "differs" if len(places) == 1 else "differ"
    return Hint(
        "suspect_single",
        f"{count} of {total} {verb}: {compared.say('; '.join(places))}. A convention would change "
        "nearly all of them. Possible causes: an overflow, or a number that was changed after it "
        "was computed.",
    )


def _stand_out(pair: Pair) -> bool:
    """Whether at most `_MAX_NAMED` numbers differ, and by far more than those that agree."""
    if pair.agrees is None or np.count_nonzero(~pair.agrees) > _MAX_NAMED:
        return False
    with np.errstate(all="ignore"):
        errors = np.where(pair.agrees & ~np.isfinite(pair.a.values), 0, pair.errors)
    odd = errors[~pair.agrees]
    hidden = errors[pair.agrees].max(initial=0) * _STANDS_OUT
    return bool((np.isnan(odd) | (odd >= hidden)).all())


def not_a_number(compared: ComparedSides) -> Hint | None:
    """NaN on one side only."""
    for pair in compared.differing:
        if not pair.stepwise or pair.agrees is None:
            continue
        differs = np.isnan(pair.a.values) != np.isnan(pair.b.values)
        steps = np.flatnonzero(differs.any(axis=(1, 2)))
        if not steps.size:
            continue
        at = int(steps[-1 if pair.backward else 0])
        which = "{a}" if np.isnan(pair.a.values[at][differs[at]]).any() else "{b}"
        step = pair.numbers_of((at, 0, 0))[0]
        text = (
            f"{pair.name} of {which} is NaN from step {step} on, where the other side has numbers. "
            "Once in the state, a NaN stays. Possible causes: inputs or weights that are not "
            f"finite, an overflow at or before step {step} (float16 ends at 65504)."
        )
        return Hint("suspect_nan", compared.say(text))
    return None


def small_differences(compared: ComparedSides) -> Hint | None:
    """What differs is of the size that a number type predicts, or noise, from the start on."""
    if any(pair.agrees is None for pair in compared.pairs.values()):
        return None
    return _rounding(compared) or _noise(compared)


def _rounding(compared: ComparedSides) -> Hint | None:
    pairs = compared.differing
    if not all(map(_is_off_from_the_start, pairs)):
        return None
    with np.errstate(all="ignore"):
        ends = [widened(pair.b.values, pair.a.values)[0] for pair in pairs]
        sizes = [p.errors.max() / np.abs(end).max() for p, end in zip(pairs, ends, strict=True)]
    size = float(max(np.where(np.isfinite(sizes), sizes, np.inf)))
    name, eps = next(((name, eps) for name, eps, many in _ROUNDING if size <= many * eps), ("", 0))
    stored, seen = ("", "") if name in ("float64", "float32") else _stored_format(compared, size)
    wrong, total = sum(int(p.differs.sum()) for p in pairs), sum(p.a.values.size for p in pairs)
    most = wrong >= _NOISE_SHARE * sum(p.a.values.size for p in compared.pairs.values())
    what = "Everything differs" if most else f"{wrong} of {total} numbers differ"
    at_most = f"at most {size:.1e} of the largest number"
    if name == "float16" and not stored:
        made = "Storing or computing" if size <= eps / 2 else "Computing"
        return Hint(
            "suspect_rounding",
            f"{what} a little, from the start on: {at_most}. {made} in float16 may leave as much. "
            "So may inputs that are scaled or standardised otherwise, quantised weights (int8), or "
            "weights of another training step: look for these before you allow for it with --rtol "
            "and --atol.",
        )
    name = stored or name
    return (
        Hint(
            "suspect_rounding",
            f"{what} by rounding only, as far as size can tell: {at_most}, which is what {name} "
            f"predicts{seen}. If one side was computed or stored in {name}, this may be no "
            "mistake at all: allow for it with --rtol and --atol.",
        )
        if name
        else None
    )


def _is_off_from_the_start(pair: Pair) -> bool:
    """Whether the first step has its share of the largest error, or there is only one step."""
    if not pair.stepwise or len(pair.a.values) == 1:
        return True
    errors = pair.in_order(pair.errors.max(axis=(1, 2)))
    return bool(errors[0] >= _ROUNDING_START * errors.max())


def _stored_format(compared: ComparedSides, size: float) -> tuple[str, str]:
    """The half precision of all numbers of a side, if the size is that of it too, and a text."""
    for name, eps, many in _HALVES:
        for side in "ab" if size <= many * eps else "":
            pairs = [(getattr(pair, side), pair.tolerance) for pair in compared.differing]
            if all(_is_of(numbers, name, test) for numbers, test in pairs):
                return name, compared.say(f" and what all numbers of {{{side}}} are")
    return "", ""


def _is_of(numbers: Numbers, name: str, test: Tolerance) -> bool:
    """Whether all these numbers are of a number type, and there are enough of them to tell."""
    values = numbers.values
    enough = distinct(numbers, np.isfinite(values), test) >= _LEAST_DISTINCT
    return numbers.unit is None and enough and np.array_equal(round_to_format(values, name), values)


def _noise(compared: ComparedSides) -> Hint | None:
    """Everything differs a little from the first step on, and much less than by a mistake."""
    pairs = compared.pairs.values()
    ratios = [ratio for pair in pairs if (ratio := similarity(pair)[1]) is not None]
    off = [pair.in_order(pair.differs)[:1] if pair.stepwise else pair.differs for pair in pairs]
    if len(ratios) < len(off) or not all(NOISE_SNR <= ratio < np.inf for ratio in ratios):
        return None
    if not all(pair.differs.mean() >= _NOISE_SHARE for pair in pairs) or not all(map(np.any, off)):
        return None
    return Hint(
        "suspect_noise",
        f"Small differences everywhere, from the start on: the signal is {min(ratios):.0f} dB "
        "above the difference. In random nets of the usual size a wrong gate order, transpose or "
        f"direction left less than {NOISE_SNR:.0f} dB; small weights or inputs may leave more. "
        "Possible causes: weights or states of lower precision (int8, bfloat16, TF32), inputs that "
        "are scaled otherwise, an approximated tanh or sigmoid, weights of another training step, "
        "a small initial state, dropout or noise. A hard sigmoid or peepholes that read another c "
        "may come as near.",
    )
