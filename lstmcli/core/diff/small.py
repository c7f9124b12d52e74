"""Differences that no setting of a cell makes: odd numbers, NaN, rounding, noise."""

from __future__ import annotations

import numpy as np

from lstmcli.core.diff.compared import ComparedSides, Facts, Pattern
from lstmcli.core.diff.pair import Pair, place_of, similarity
from lstmcli.core.diff.tolerance import Mask, widened
from lstmcli.core.model.selection import format_size

# The error that a type predicts, relative to the largest number: 0.5 to 2.4 eps, more where
# rounding grows. That of float16 is no proof: a mistake may leave as little.
_ROUNDING = {"float64": 64 * 2.0**-52, "float32": 64 * 2.0**-23}
_OF_FLOAT16 = 4 * 2.0**-10
# Of the largest error: that of the first step. In those nets it is 0.06 or more; most mistakes: 0.
_ROUNDING_START = 0.01

# Signal-to-noise ratio from which a difference that shows everywhere counts as noise, in dB.
# Mistakes leave at most 24.9 there, but for peepholes of o on the c before (30.2); noise of 1e-2 on
# h leaves 24 to 33, int8 weights 28 to 50, an approximated tanh 25 to 36.
NOISE_SNR = 24.0
_NOISE_SHARE = 0.5  # of the values, which differ; fewer digits of printed output hide some

# Numbers that are named one by one, and their share of all: a convention changes more.
_MAX_NAMED = 3
_MAX_NAMED_SHARE = 0.1
_STANDS_OUT = 10  # times the error of every number that agrees, or the tolerance made it odd


def _odd_numbers(compared: ComparedSides) -> Facts:
    pairs, places, (a, b) = compared.differing, [], compared.names
    for pair in pairs:
        if pair.agrees is None or np.count_nonzero(pair.differs) > _MAX_NAMED:
            return None
        with np.errstate(all="ignore"):
            errors = np.where(pair.agrees & ~np.isfinite(pair.a.values), 0, pair.errors)
        odd, hidden = errors[pair.differs], errors[pair.agrees].max(initial=0)
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
    for pair in (pair.as_computed for pair in compared.differing):
        if not pair.stepwise or pair.agrees is None:
            continue
        nan = [np.isnan(side.values) for side in (pair.a, pair.b)]
        steps: Mask = np.any(nan[0] != nan[1], axis=(1, 2))  # (T,)
        at = int(pair.differs.any(axis=(1, 2)).argmax())
        if steps[at]:
            side = compared.names[not (nan[0] & ~nan[1])[at].any()]
            step = pair.numbers_of((len(steps) - 1 - at if pair.backward else at, 0, 0))[0]
            where = f" from step {step} on" if steps[at:].all() else f", first at step {step}"
            return {"name": pair.name, "side": side, "step": step, "where": where}
    return None


def _rounding(compared: ComparedSides) -> Facts:
    size, pairs = _size(compared), compared.differing
    wrong = sum(int(pair.differs.sum()) for pair in pairs) if size < np.inf else 0
    total = sum(pair.a.values.size for pair in compared.pairs.values())
    what = f"{wrong} of {total} values differ" if wrong < _NOISE_SHARE * total else ""
    facts = {"what": what or "All values differ", "size": format_size(size)}
    return next((facts | {"name": name} for name, most in _ROUNDING.items() if size <= most), None)


def _size(compared: ComparedSides) -> float:
    """The largest error relative to its array; infinite if that is none of rounding."""
    pairs = compared.differing
    if any(p.agrees is None for p in compared.pairs.values()) or not all(map(_at_the_start, pairs)):
        return np.inf
    with np.errstate(all="ignore"):
        largest = (np.abs(widened(pair.b.values, pair.a.values)[0]).max() for pair in pairs)
        sizes = [pair.errors.max() / of_b for pair, of_b in zip(pairs, largest, strict=True)]
    return float(max(sizes)) if np.isfinite(sizes).all() else np.inf


def _at_the_start(pair: Pair) -> bool:
    """Tell whether the first step has its share of the largest error, or there is only one step."""
    if not pair.stepwise or len(pair.a.values) == 1:
        return True
    errors = pair.as_computed.errors.max(axis=(1, 2))
    return bool(errors[0] >= _ROUNDING_START * errors.max())


def _noise(compared: ComparedSides) -> Facts:
    ratios, is_small = [], _size(compared) <= _OF_FLOAT16
    for pair in compared.pairs.values():
        if pair.agrees is None or (pair.differs.mean() < _NOISE_SHARE and not is_small):
            return None
        ratio = similarity(pair)[1]
        first = pair.as_computed.differs[:1] if pair.stepwise else pair.differs
        if ratio is None or not NOISE_SNR <= ratio < np.inf or not (is_small or first.any()):
            return None
        ratios.append(ratio)
    return {"ratio": f"{min(ratios):.0f}"}


NUMBERS = (
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
        "{what} by at most {size} of the largest value. That is the size of {name} rounding. "
        "If one side was computed or stored in {name}, this is not an error: allow for it with "
        "--rtol and --atol.",
    ),
    Pattern(
        "suspect_noise",
        _noise,
        "Values differ slightly (SNR {ratio} dB). A wrong gate order, transpose or direction "
        f"usually gives less than {NOISE_SNR:.0f} dB (measured on random networks), so a loss of "
        "precision is more likely.",
        "weights or states of lower precision (int8, float16, bfloat16); inputs that are "
        "scaled differently; an approximated tanh or sigmoid, or a hard sigmoid; weights of "
        "another training step; a small initial state, dropout or noise; in a cell with peepholes, "
        "those that read another c",
    ),
)
"""Tried from top to bottom; the first that fits is reported."""
