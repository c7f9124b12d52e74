"""The proof of an answer: whether EXPECTED contains enough numbers for it.

The neighbours of an answer have one more change, or another value of a changed setting. What they
give, centred and counted in tolerances, is a matrix whose singular values tell in how many
directions EXPECTED distinguishes hypotheses, and how well: repeated steps, saturated gates and
zeros count for nothing by themselves. Each solved constant uses up one direction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstmcli.core.explain.causes import OPEN, SHUT, Change, Changes, settings_of
from lstmcli.core.explain.observation import Allowance
from lstmcli.core.explain.verify import Agreement, Case, arrays_if_run
from lstmcli.core.model.arrays import Array

ENOUGH = 2.0
"""Decimal digits that have to be left after as many as it takes to number those tried."""
SHORT = 8  # steps from which evidence is computed first
WEALTH = 12.0  # digits of evidence from these that need no further steps

SATURATING = 5.0  # a forget bias that may hold the gate at 0 or 1 by itself
FAR_BIAS = 100.0  # a forget bias that does
LESS = 0.1  # of a clip: if a clip this much tighter fits too, it only makes a cell vanish


def digits(spread: Array, solved: int, tried: int) -> float:
    """The evidence: decimal digits by which EXPECTED distinguishes hypotheses, less their cost.

    ``spread`` (N, E) is what the neighbours of an answer give, ``solved`` how many constants were
    solved for, ``tried`` how many hypotheses were.
    """
    if not spread.size:
        return -np.inf
    centred = spread - spread.mean(axis=0)
    small = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    squares = np.sort(np.maximum(np.linalg.eigvalsh(small), 0))[::-1]
    sizes = np.sqrt(squares / len(spread))[solved:]
    return float(np.log10(np.maximum(1, sizes)).sum() - np.log10(max(tried, 1)))


def moved(case: Case, changes: Changes, allowance: Allowance) -> int:
    """How many different numbers of EXPECTED changes give, and the run as loaded does not.

    All of them without changes, or where the network as loaded cannot be run.
    """
    expected = case.expected
    loaded, answer = (arrays_if_run(case, settings_of(one)) for one in ((), changes))
    if not changes or loaded is None or answer is None:
        return expected.distinct(allowance.of)
    off = expected.at_known(lambda name, _: answer[name] - loaded[name])
    slack = expected.at_known(lambda _, known: allowance.of(known))
    return expected.distinct(allowance.of, np.abs(off) > slack)


def vanishing(changes: Changes, verify: Callable[[Changes], Agreement]) -> bool:
    """Whether a clip that fits only makes a cell vanish: a much tighter one fits as well."""
    clips = {c.setting: c.value * LESS for c in changes if c.setting.endswith("_clip") and c.value}
    tighter = tuple(Change(c.setting, clips.get(c.setting, c.value)) for c in changes)
    return bool(clips) and verify(tighter).fits


def forget_gate_state(changes: Changes, verify: Callable[[Changes], Agreement]) -> str:
    """``open`` or ``shut`` where a far greater forget bias fits as well; else empty."""
    bias = next((one.value for one in changes if one.setting == "forget_bias"), None)
    if bias is None or abs(bias) < SATURATING:
        return ""
    others = tuple(one for one in changes if one.setting != "forget_bias")
    far = Change("forget_bias", FAR_BIAS if bias > 0 else -FAR_BIAS)
    return (OPEN if bias > 0 else SHUT) if verify((*others, far)).fits else ""
