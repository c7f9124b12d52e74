"""The remarks on a run that does not give EXPECTED, and the data that would decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

from lstmcli.core.diff.patterns import NOISE_SNR
from lstmcli.core.diff.tolerance import FLOAT32
from lstmcli.core.explain.explanation import Changed, NearRun
from lstmcli.core.explain.verify import (
    LEAST_COMPARED,
    Agreement,
    Case,
    Remark,
    Remarks,
    remark,
)

# of the rms as loaded, below which a run is listed
LISTED_RATIO = 0.5
SAME_RATIO = 1.01  # of the nearest rms: as near is the same in other words
MANY_ZEROS = 0.05  # of all numbers
# a difference of an approximated function, hardly of a setting
APPROXIMATED = 3e-3
DISTANT = 30.0  # times further off all other configurations are then
LEAST_SNR = 1e-9  # of a run that has nothing of EXPECTED, in decibels

PADDED_DIFFER = "padded_steps_differ"
AGREEMENT = {"some_steps_agree", "some_sequences_agree", PADDED_DIFFER}
"""Codes of remarks on where the outputs agree."""
RUN_OTHERWISE = {"masked", "rearranged", "other_units"}
"""Codes of remarks on other ways to run the weights, or to arrange outputs."""


def clearly_nearer(as_loaded: NearRun, nears: Sequence[NearRun]) -> tuple[NearRun, ...]:
    """Configurations clearly nearer than the run as loaded, and that; each figure once.

    Of fewer than `LEAST_COMPARED` numbers one is near by chance.
    """
    loaded = as_loaded.comparison
    if loaded.total < LEAST_COMPARED:
        return (as_loaded,)
    by_figures: dict[tuple[str, int], NearRun] = {}
    for near in nears:
        comparison = near.comparison
        if comparison.rms < LISTED_RATIO * loaded.rms:
            figures = (f"{comparison.rms:.3g}", comparison.agreeing)
            by_figures.setdefault(figures, near)
    return (*by_figures.values(), as_loaded)


def agreeing_steps(comparison: Agreement) -> Remarks:
    """The steps at which a run agrees, if not at all."""
    steps, others = _indices(comparison.steps)
    if steps and others and not comparison.nearly:
        yield remark("some_steps_agree", agreeing=steps, differing=others)


def _indices(agrees: Sequence[bool | None]) -> tuple[list[int], list[int]]:
    """The indices that agree, and those that do not."""
    agreeing = [n for n, is_so in enumerate(agrees) if is_so]
    differing = [n for n, is_so in enumerate(agrees) if is_so is False]
    return agreeing, differing


def clues(
    comparison: Agreement,
    changes: tuple[Changed, ...] = (),
    padded: Sequence[int] = (),
) -> Remarks:
    """The hints of the numbers of a configuration that does not fit.

    ``padded`` are the sequences that lengths or a mask shorten.
    """
    zeros = comparison.zeros
    if zeros is not None and zeros.number > max(2, MANY_ZEROS * comparison.total):
        yield remark(
            "exact_zeros",
            changes=changes,
            share=zeros.number / comparison.total,
            units=zeros.units,
            below=zeros.below,
            steps=zeros.steps,
        )
    agreeing, differing = _indices(comparison.items)
    if agreeing and differing and not comparison.nearly:
        step = comparison.first.step if comparison.first else None
        before = comparison.steps[: step or 0]
        yield remark(
            "some_sequences_agree",
            changes=changes,
            agreeing=agreeing,
            differing=differing,
            begun=any(is_so is not None for is_so in before),
            step=step,
            first=agreeing[0] == 0,
            padded=differing == list(padded),
        )


def near_miss(as_loaded: NearRun, nears: Sequence[NearRun]) -> Remarks:
    """The remark on a nearest run within `diff`'s tolerance, an approximation, or noise."""
    best = min(clearly_nearer(as_loaded, nears), key=lambda near: near.comparison.rms)
    error, rms = best.comparison.max_abs, best.comparison.rms
    others = [near.comparison.rms for near in (as_loaded, *nears)]
    others = [other for other in others if other > SAME_RATIO * rms]
    if best is as_loaded and error <= FLOAT32.atol:
        yield remark("within_tolerance", error=error, atol=FLOAT32.atol)
    elif error <= APPROXIMATED and others and min(others) >= DISTANT * rms:
        yield remark("near_miss", changes=best.changes, error=error)
    elif best is as_loaded and best.comparison.differs_everywhere:
        decibels = 20 * math.log10(best.comparison.snr or LEAST_SNR)
        if decibels >= NOISE_SNR:
            yield remark("noise", decibels=decibels, least=NOISE_SNR)


_BIAS = {"bias", "bias_gates"}
_SECOND_STEP = {
    "recurrent_gates",
    "forget_bias",
    "coupled",
    "state",
    "transposed",
    "reverse",
}
_SECOND_SEQUENCE = {"layout", "state"}
_TWO_UNITS = {"interleaved", "transposed"}


def data_wanted(
    case: Case,
    unseen: Sequence[str],
    equivalent: Sequence[Sequence[Changed]],
    is_proven: bool,
    is_elsewhere: bool = False,
) -> tuple[Remark, ...]:
    """Further data that would decide between what fits.

    ``is_elsewhere``: an equivalent one takes EXPECTED as another part of the run.
    """
    cells = [cell for _, cell in case.model({}).cells]
    settings = {one.setting for one in chain(*equivalent)}.union(unseen)
    if not settings and is_proven:
        return ()
    codes = []
    if not is_proven:
        codes.append("more_numbers")
    if settings & _BIAS and not any(cell.bias.any() for cell in cells):
        codes.append("biases")
    # of one sequence, or of its steps as sequences
    is_alone = 1 in case.size and bool(equivalent and settings & _SECOND_SEQUENCE)
    is_of_one_step = case.expected.steps == 1 and is_proven
    if is_alone:
        codes.append("second_sequence")
    elif is_of_one_step and settings & _SECOND_STEP:
        codes.append("second_step")
    if is_elsewhere and "second_step" not in codes:
        codes.append("whole_run")
    has_one_unit = all(cell.units == 1 for cell in cells)
    if has_one_unit and is_proven and settings & _TWO_UNITS:
        codes.append("two_units")
    if not case.expected.has_steps:
        codes.append("all_steps")
    if any(name.endswith("_clip") for name in settings):
        codes.append("larger_inputs")
    return tuple(map(remark, codes))
