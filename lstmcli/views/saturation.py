"""Saturated gates in words."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.forward.saturation import NEAR, Saturation
from lstmcli.errors import listed
from lstmcli.views.sheet import Sheet, Width
from lstmcli.views.text import percent, phrases, unbroken

UNITS_NAMED = 6  # saturated units on a line; more are counted


def saturation_sheet(
    saturation: Saturation, units: Sequence[int], width: Width, *, shares: bool = True
) -> Sheet:
    """The gates near 0 or 1, and the units where they stay there.

    ``units`` are the numbers of the counted units. Without ``shares`` only
    units are named.
    """
    of_gates = [
        f"{g} {percent(zero + one)}" for g, (zero, one) in saturation.shares().items()
    ]
    lines = [
        f"{gate} near {end} in {_units([(units[unit], share) for unit, share in found])}"
        for (gate, end), found in saturation.saturated_gates().items()
    ]
    if shares and of_gates:
        lines.insert(0, f"gates within {NEAR:g} of 0 or 1:  {phrases(of_gates)}")
    elif lines:
        lines[0] = f"within {NEAR:g} of 0 or 1, share of steps: {lines[0]}"
    return Sheet(width).labels("saturated", lines)


def _units(shares: Sequence[tuple[int, float]]) -> str:
    """``units 17 (100 %), 80 (97 %) and 3 more``."""
    names = [unbroken(f"{unit} ({percent(share)})") for unit, share in shares]
    if len(names) == 1:
        return f"unit {names[0]}"
    return f"units {listed(names, UNITS_NAMED)}"
