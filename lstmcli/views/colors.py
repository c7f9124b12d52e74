"""Colours for numbers: two colour-blind safe scales, readable on light and on dark.

Neither has pure black or white, so that no cell vanishes into a background.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array

Rgb = tuple[int, int, int]

# blue - grey - orange: distinct with every common colour blindness
SIGNED = ((16, 78, 160), (98, 160, 214), (212, 212, 212), (240, 157, 74), (178, 72, 0))
# dark blue to light yellow: the order is that of the lightness
SHARE = ((26, 44, 102), (84, 92, 122), (138, 134, 124), (196, 176, 98), (252, 230, 84))
NOT_A_NUMBER = (208, 28, 139)
# the same for 256 colours, where interpolated ones give bands of green
SIGNED_256 = (25, 32, 74, 110, 153, 252, 223, 215, 208, 166, 130)
SHARE_256 = (17, 60, 102, 144, 186, 227)
NOT_A_NUMBER_256 = 162

BELOW, ABOVE = "·-=≡", "░▒▓█"  # without colours: less than zero, more than zero
SHADES = f" {ABOVE}"
LEVELS = 256  # of each scale; the eye distinguishes fewer


class Scale(NamedTuple):
    """The numbers at both ends of a scale of colours, and the colours."""

    low: float
    high: float
    stops: tuple[Rgb, ...]

    @property
    def signed(self) -> bool:
        """Return whether zero is the middle of the scale."""
        return self.stops is SIGNED

    def levels(self, values: Array) -> Array:
        """Each number on the scale, from 0 (low) to 1 (high); NaN stays NaN."""
        half = (self.high / 2 - self.low / 2) or 0.5  # of the span, which may overflow
        with np.errstate(invalid="ignore"):
            above = values.astype(np.float64) / 2 - self.low / 2
            levels: Array = np.clip(above / half, 0, 1)
        return levels


GATE = Scale(0.0, 1.0, SHARE)


def around_zero(arrays: Iterable[Array]) -> Scale:
    """A scale around zero, up to the largest finite magnitude (two digits)."""
    largest = 0.0
    for array in arrays:
        finite = array[np.isfinite(array)]
        largest = max(largest, float(np.abs(finite).max(initial=0)))
    if largest == 0:
        return Scale(-1.0, 1.0, SIGNED)
    rounded = min(float(f"{largest:.2g}"), sys.float_info.max)
    return Scale(-rounded, rounded, SIGNED)


def color(level: float, scale: Scale, depth: str) -> str:
    """The colour of a level, 0 to 1, as a style; NaN has its own."""
    if depth == "256":
        if level != level:
            return f"color({NOT_A_NUMBER_256})"
        colors: Sequence[int] = SHARE_256
        if scale.signed:
            colors = SIGNED_256
        return f"color({colors[round(level * (len(colors) - 1))]})"
    return "#" + "".join(f"{part:02x}" for part in interpolated(level, scale.stops))


def interpolated(level: float, stops: Sequence[Rgb]) -> Rgb:
    """The colour between the two stops next to a level, 0 to 1."""
    if level != level:
        return NOT_A_NUMBER
    position = round(level * (LEVELS - 1)) / (LEVELS - 1) * (len(stops) - 1)
    n = min(int(position), len(stops) - 2)
    parts = zip(*stops[n : n + 2], strict=True)
    r, g, b = (round(p + (q - p) * (position - n)) for p, q in parts)
    return r, g, b


def character(level: float, scale: Scale) -> str:
    """A level as a character, for a screen with few colours."""
    if level != level:
        return "!"
    if not scale.signed:
        return SHADES[min(int(level * len(SHADES)), len(SHADES) - 1)]
    size = round(abs(level - 0.5) * 2 * len(ABOVE))
    if level > 0.5:
        return SHADES[size]
    return f" {BELOW}"[size]
