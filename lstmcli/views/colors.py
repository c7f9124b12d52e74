"""Colours for numbers: two scales that a colour-blind eye tells apart, on light and on dark.

Both stay off pure black and white, so that no cell vanishes into a background.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rgb = tuple[int, int, int]

# blue - grey - orange: told apart with every common colour blindness
SIGNED = ((16, 78, 160), (98, 160, 214), (212, 212, 212), (240, 157, 74), (178, 72, 0))
# dark blue to light yellow: lightness alone gives the order
SHARE = ((26, 44, 102), (84, 92, 122), (138, 134, 124), (196, 176, 98), (252, 230, 84))
NOT_A_NUMBER = (208, 28, 139)
# the same where a terminal has 256 colours, by number: mixing would come out in bands of green
SIGNED_256 = (25, 32, 74, 110, 153, 252, 223, 215, 208, 166, 130)
SHARE_256 = (17, 60, 102, 144, 186, 227)
NOT_A_NUMBER_256 = 162

BELOW, ABOVE = "·-=≡", "░▒▓█"  # without colours: less than zero, more than zero
SHADES = f" {ABOVE}"
LEVELS = 256  # of each scale; what the eye tells apart is fewer


class Scale(NamedTuple):
    """The numbers that a picture's colours stand for."""

    low: float
    high: float
    stops: tuple[Rgb, ...]

    @property
    def signed(self) -> bool:
        """Whether zero is in the middle."""
        return self.stops is SIGNED

    def levels(self, values: Array) -> Array:
        """Each number as 0 (low) to 1 (high); NaN stays NaN."""
        span = (self.high - self.low) or 1.0
        with np.errstate(invalid="ignore"):
            levels: Array = np.clip((values.astype(np.float64) - self.low) / span, 0, 1)
        return levels


GATE = Scale(0.0, 1.0, SHARE)


def around_zero(arrays: Iterable[Array]) -> Scale:
    """A scale with zero in the middle that reaches as far as the farthest finite number."""
    far = 0.0
    for array in arrays:
        finite = array[np.isfinite(array)]
        far = max(far, float(np.abs(finite).max(initial=0)))
    far = float(f"{far:.2g}") if far else 1.0
    return Scale(-far, far, SIGNED)


def color(level: float, scale: Scale, depth: str) -> str:
    """The colour at a level of 0 to 1, as a style; NaN has one of its own."""
    if depth == "256":
        few = SIGNED_256 if scale.signed else SHARE_256
        known = level == level
        return f"color({few[round(level * (len(few) - 1))] if known else NOT_A_NUMBER_256})"
    return "#" + "".join(f"{part:02x}" for part in mixed(level, scale.stops))


def mixed(level: float, stops: Sequence[Rgb]) -> Rgb:
    """The colour between the two stops around a level of 0 to 1."""
    if level != level:
        return NOT_A_NUMBER
    place = round(level * (LEVELS - 1)) / (LEVELS - 1) * (len(stops) - 1)
    n = min(int(place), len(stops) - 2)
    r, g, b = (round(p + (q - p) * (place - n)) for p, q in zip(*stops[n : n + 2], strict=True))
    return r, g, b


def ink(level: float, scale: Scale) -> str:
    """Black or white, whichever reads better on the colour of a level."""
    r, g, b = mixed(level, scale.stops)
    return "#000000" if 0.299 * r + 0.587 * g + 0.114 * b > 140 else "#ffffff"


def character(level: float, scale: Scale) -> str:
    """A level as a character, for a screen without colours or with few."""
    if level != level:
        return "!"
    if not scale.signed:
        return SHADES[min(int(level * len(SHADES)), len(SHADES) - 1)]
    size = abs(level - 0.5) * 2
    place = round(size * len(ABOVE))
    if not place:
        return " "
    return (ABOVE if level > 0.5 else BELOW)[place - 1]


def few_colors(level: float, scale: Scale) -> str:
    """The style of a character where there are sixteen colours: a sign has a colour."""
    if level != level:
        return "magenta"
    if not scale.signed:
        return ""
    return "red" if level > 0.5 else "bright_blue"


def shaded(level: float, scale: Scale, depth: str) -> str:
    """The style of a number in a shaded cell of a table."""
    if depth == "none":
        return ""
    if depth == "16":
        return _shaded_with_few(level, scale)
    return f"{ink(level, scale)} on {color(level, scale, depth)}"


def _shaded_with_few(level: float, scale: Scale) -> str:
    """Only what is far out: the ends of the scale."""
    if level != level:
        return "white on magenta"
    if level < 0.2:
        return "white on blue" if scale.signed else "black on cyan"
    if level > 0.8:
        return "white on red" if scale.signed else "black on yellow"
    return ""
