"""Differences that no setting of a cell makes: odd numbers, NaN, rounding, noise."""

from __future__ import annotations

import numpy as np

from lstmcli.core.diff.alignment import Pair
from lstmcli.core.diff.compared import ComparedSides
from lstmcli.core.diff.metrics import place_of, similarity
from lstmcli.core.diff.rearrangements import distinct
from lstmcli.core.diff.tolerance import widened
from lstmcli.core.model.arrays import round_to_format
from lstmcli.core.model.model import Hint

# The error that a type predicts, in its eps and relative to the largest number. Over 15 seeds and
# five sizes (up to 128 units, 60 steps), a run in a type is off by 0.5 to 2.4 eps, numbers that are
# stored in it by 0.1 to 0.5; the rest is for nets whose rounding grows. In float16 a mistake may
# leave as little (inputs times 255 / 256: 1.7 to 17 eps), so that only numbers that are all of it
# show the cause.
_ROUNDING = (("float64", 2.0**-52, 64), ("float32", 2.0**-23, 64), ("float16", 2.0**-10, 4))
_HALVES = (("bfloat16", 2.0**-7, 4), _ROUNDING[2])  # so coarse that size alone does not tell them
_LEAST_DISTINCT = 8  # different numbers, all of such a type, that show it
# Of the largest error: that of the first step. In those nets it is 0.06 or more; 0.009 or less is
# that of chaotic ones, and 0 that of most mistakes in the forget gate or recurrent weights.
_ROUNDING_START = 0.01

# Signal-to-noise ratio from which a difference that shows everywhere is taken for noise, in dB. In
# those nets mistakes in gate order, rows, transposes, axes and direction leave at most 12.4 dB
# where their first step differs, all others of the tests' matrix at most 24.9 but for the peepholes
# of o on the c before (30.2); noise of 1e-2 on h leaves 24 to 33, int8 weights 28 to 50, an
# approximated tanh 25 to 36, and in all of these 86 % of the values or more differ.
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
    found = [
        (pair, place_of(pair, n)) for pair in pairs for n in np.flatnonzero(pair.differs).tolist()
    ]
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
    odd, hidden = errors[~pair.agrees], errors[pair.agrees].max(initial=0)
    return bool((np.isnan(odd) | (odd >= hidden * _STANDS_OUT)).all())


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
    pairs = compared.pairs.values()
    if any(pair.agrees is None for pair in pairs):
        return None
    wrong = sum(int(pair.differs.sum()) for pair in compared.differing)
    total = sum(pair.a.values.size for pair in pairs)
    what = "Everything differs"
    if wrong < _NOISE_SHARE * total:
        what = f"{wrong} of {total} numbers differ"
    if all(map(_is_off_from_the_start, compared.differing)) and (text := _rounding(compared)):
        return Hint("suspect_rounding", f"{what} {text}")
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


def _rounding(compared: ComparedSides) -> str:
    """What is said of differences of the size that a number type predicts; "" of others."""
    sizes = []
    with np.errstate(all="ignore"):
        for pair in compared.differing:
            expected = widened(pair.b.values, pair.a.values)[0]
            size = float(pair.errors.max() / np.abs(expected).max())
            sizes.append(size if np.isfinite(size) else np.inf)
    size = max(sizes)
    name, eps = next(((name, eps) for name, eps, many in _ROUNDING if size <= many * eps), ("", 0))
    at_most, seen = f"at most {size:.1e} of the largest number", ""
    if name not in ("float64", "float32"):
        stored = [
            (half, side)
            for half, of_half, many in _HALVES
            for side in ((0, 1) if size <= many * of_half else ())
            if all(_is_of(pair, side, half) for pair in compared.differing)
        ]
        if stored:
            name, seen = (
                stored[0][0],
                f" and what all numbers of {compared.names[stored[0][1]]} are",
            )
        elif name:
            made = "Storing or computing" if size <= eps / 2 else "Computing"
            return (
                f"a little, from the start on: {at_most}. {made} in float16 may leave as much. So "
                "may inputs that are scaled or standardised otherwise, quantised weights (int8), "
                "or weights of another training step: look for these before you allow for it with "
                "--rtol and --atol."
            )
    return name and (
        f"by rounding only, as far as size can tell: {at_most}, which is what {name} "
        f"predicts{seen}. If one side was computed or stored in {name}, this may be no mistake at "
        "all: allow for it with --rtol and --atol."
    )


def _is_off_from_the_start(pair: Pair) -> bool:
    """Whether the first step has its share of the largest error, or there is only one step."""
    if not pair.stepwise or len(pair.a.values) == 1:
        return True
    errors = pair.in_order(pair.errors.max(axis=(1, 2)))
    return bool(errors[0] >= _ROUNDING_START * errors.max())


def _is_of(pair: Pair, side: int, name: str) -> bool:
    """Whether all numbers of a side are of a number type, and there are enough of them to tell."""
    numbers = (pair.a, pair.b)[side]
    values = numbers.values
    enough = distinct(numbers, np.isfinite(values), pair.tolerance) >= _LEAST_DISTINCT
    return numbers.unit is None and enough and np.array_equal(round_to_format(values, name), values)
