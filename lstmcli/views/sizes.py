"""The size of an error in few characters, and tolerances that can be typed."""

from __future__ import annotations

import math


def short(value: float | None) -> str:
    """``1.33e-1``: three digits, for a size; nothing for None."""
    if value is None:
        return ""
    return "0" if value == 0 else compact(f"{value:.2e}")


def whole(value: float | int | None) -> str:
    """A count of ULPs: every digit up to six, the size of it beyond."""
    if value is None:
        return ""
    return str(value) if value < 1e6 or math.isnan(value) else short(float(value))


def rounded_up(value: float) -> str:
    """Three digits that are not below the value: a tolerance rounded down would not pass."""
    text = f"{value:.2e}"
    if float(text) < value:
        mantissa, exponent = text.split("e")
        text = f"{round(float(mantissa) * 100) + 1}e{int(exponent) - 2}"
    return compact(f"{float(text):.3g}")


def compact(text: str) -> str:
    """A number without the plus and the leading zeros of its exponent."""
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text
