"""Stuck gates and dead units in words: what people look for in gates first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstmcli.core.forward.saturation import DEAD, NEAR, SaturatedGate, Saturation
from lstmcli.views.numbers import percent
from lstmcli.views.prose import labelled, unbroken
from lstmcli.views.sheet import Sheet

NAMED = 6  # units of a line; more are counted


def saturation_sheet(
    counts: Saturation, units: Sequence[int], width: int | None, *, shares: bool = True
) -> Sheet:
    """The gates that are near 0 or 1, the units where they stay there, and the dead units.

    ``units`` are the numbers of the units that were counted. Without ``shares`` it is empty where
    there is nothing to name.
    """
    sheet = Sheet()
    told = list(_gates(counts)) if shares else []
    named = [_stuck(gate, end, own, units) for (gate, end), own in _ends(counts).items()]
    if told:
        text = f"gates within {NEAR:g} of 0 or 1:  {'   '.join(map(unbroken, told))}"
        sheet.extend(labelled("stuck", text.replace("  ", "\N{NO-BREAK SPACE} "), width))
    elif named:
        named[0] = f"within {NEAR:g} of 0 or 1, share of steps: {named[0]}"
    for n, text in enumerate(named):
        sheet.extend(labelled("stuck" if n == 0 and not told else "", text, width))
    if quiet := counts.quiet_units():
        listed = _listed([(units[place], share) for place, share in quiet])
        text = f"|h| below {DEAD:g}, share of steps: {_unit(len(quiet))} {listed}"
        sheet.extend(labelled("dead", text, width))
    return sheet


def _gates(counts: Saturation) -> Iterator[str]:
    for gate, (zero, one) in counts.shares().items():
        yield f"{gate} {percent(zero + one)}"


def _ends(counts: Saturation) -> dict[tuple[str, int], list[SaturatedGate]]:
    """The stuck units of each gate at each end."""
    ends: dict[tuple[str, int], list[SaturatedGate]] = {}
    for one in counts.saturated_gates():
        ends.setdefault((one.gate, one.end), []).append(one)
    return dict(sorted(ends.items(), key=lambda item: ("ifo".find(item[0][0]), item[0][1])))


def _stuck(gate: str, end: int, own: Sequence[SaturatedGate], units: Sequence[int]) -> str:
    listed = _listed([(units[one.unit], one.share) for one in own])
    return f"{gate} near {end} in {_unit(len(own))} {listed}"


def _unit(count: int) -> str:
    return "unit" if count == 1 else "units"


def _listed(shares: Sequence[tuple[int, float]]) -> str:
    """``17 (100 %), 80 (97 %), and 3 more``."""
    some = [unbroken(f"{unit} ({percent(share)})") for unit, share in shares[:NAMED]]
    return ", ".join(some) + (f" and {len(shares) - NAMED} more" if len(shares) > NAMED else "")
