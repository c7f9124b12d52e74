"""What EXPECTED cannot show, and what further data would decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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

_BIAS = {"bias", "bias_gates"}
_SECOND_STEP = {"recurrent_gates", "forget_bias", "coupled", "state", "transposed", "reverse"}


def decide(
    facts: Facts,
    unseen: Sequence[str],
    equivalent: Sequence[Sequence[Changed]],
    proven: bool,
) -> str:
    """Further data that would tell apart what fits; an empty string if nothing is left open."""
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
    if facts.units == 1 and settings & {"interleaved", "transposed"}:
        wishes.append("two units")
    if facts.final:
        wishes.append("all steps of h instead of the last")
    if settings & {"cell_clip", "gate_clip"}:
        wishes.append("larger inputs")
    if not wishes:
        return ""
    return " or ".join(wishes) if len(wishes) < 3 else ", ".join(wishes[:-1]) + " or " + wishes[-1]
