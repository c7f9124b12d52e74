"""What EXPECTED cannot show, and what further data would decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lstmcli.core.explain.judge import Verdict
from lstmcli.core.explain.result import Changed


class Facts(NamedTuple):
    """What EXPECTED is made of."""

    steps: int  # known of a sequence
    rows: int
    units: int
    zero_bias: bool
    final: bool  # only the last state is known
    numbers: int


NOT_SEARCHED = (
    "dropout and zoneout (random: run the other side twice, they differ)",
    "layer norm that the weights do not hold",
    "other weights than these",
)

MANY_ZEROS = 0.05  # of all numbers
CLOSE = 3e-3  # a difference that an approximated function makes, and few wrong settings
APART = 30.0  # times further off all others are then


def clues(verdict: Verdict) -> list[str]:
    """What the numbers of a reading that does not fit hint at."""
    found = []
    if verdict.zeros > max(2, MANY_ZEROS * verdict.total):
        share = f"{100 * verdict.zeros / verdict.total:.0f} %"
        found.append(
            f"{share} of EXPECTED are exact zeros where the run has none: dropout or a relu on "
            "the output?"
        )
    right = [n for n, agrees in enumerate(verdict.rows) if agrees]
    wrong = [n for n, agrees in enumerate(verdict.rows) if agrees is False]
    if right and wrong and not verdict.nearly:
        agree = "agrees" if len(right) == 1 else "agree"
        do = "does" if len(wrong) == 1 else "do"
        carried = "is a state carried from row to row?"  # which the first row does not see
        why = carried if 0 in right else "are the rows in another order?"
        found.append(f"{_rows(right)} {agree}, {_rows(wrong)} {do} not: {why}")
    return found


def close(readings: Sequence[tuple[str, Verdict]]) -> str:
    """What is said where one reading comes near and all others are far: it is no setting, then.

    ``readings`` are some by name, each with how it compares.
    """
    ordered = sorted(readings, key=lambda each: each[1].rms)
    (name, best), *others = ordered
    # what is as near is the same in other words
    others = [each for each in others if each[1].rms > 1.01 * best.rms]
    if best.max_abs > CLOSE or not others or others[0][1].rms < APART * best.rms:
        return ""
    return (
        f"{name}, no number is off by more than {best.max_abs:.2g}, and all other readings are "
        "much further off. Coarser arithmetic does that rather than a setting: an approximated "
        "tanh or exp, a table, fewer bits."
    )


def _rows(places: Sequence[int]) -> str:
    """``row 0``, ``rows 1 to 3``, ``rows 0, 2``."""
    if len(places) == 1:
        return f"row {places[0]}"
    if places[-1] - places[0] == len(places) - 1:
        return f"rows {places[0]} to {places[-1]}"
    return f"rows {', '.join(map(str, places))}"


WHOLE = "all steps and rows of EXPECTED"
_BIAS = {"bias", "bias_gates"}
_SECOND_STEP = {"recurrent_gates", "forget_bias", "coupled", "state", "transposed", "reverse"}


def decide(
    facts: Facts,
    unseen: Sequence[str],
    equivalent: Sequence[Sequence[Changed]],
    proven: bool,
    elsewhere: bool = False,
) -> str:
    """Further data that would decide between what fits; an empty string if nothing is left open.

    ``elsewhere``: one of those equivalent takes EXPECTED as another part of the run.
    """
    settings = {*unseen, *(c.setting for changes in equivalent for c in changes)}
    wishes = []
    if not proven:
        wishes.append("two steps or two units more")
    if not settings and proven:
        return ""
    if settings & _BIAS and facts.zero_bias:
        wishes.append("a net whose biases are not zero")
    if settings & _SECOND_STEP and facts.steps == 1 and proven:
        wishes.append("a second step")
    if {"layout", "state"} & settings and facts.rows == 1 and equivalent:
        wishes.append("a second row in the batch")
    if elsewhere and "a second step" not in wishes:
        wishes.append(WHOLE)
    if facts.units == 1 and settings & {"interleaved", "transposed"} and proven:
        wishes.append("two units")
    if facts.final:
        wishes.append("all steps of h instead of the last")
    if settings & {"cell_clip", "gate_clip"}:
        wishes.append("larger inputs")
    if not wishes:
        return ""
    return " or ".join(wishes) if len(wishes) < 3 else ", ".join(wishes[:-1]) + " or " + wishes[-1]
