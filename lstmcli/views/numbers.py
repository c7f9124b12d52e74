"""Numbers as text: fixed places where they fit, an exponent where fixed places would hide it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lstmcli.errors import UserError


def number(value: float, digits: int) -> str:
    """``digits`` places after the point; with an exponent below 1e-4 and from 1e8 on.

    So a printed column can be held against NumPy's, and 5.4e-14 does not read 0.00000000.
    """
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if size != 0 and (size < 1e-4 or size >= 1e8):
        return f"{value:.{digits}e}"
    return f"{value:.{digits}f}"


def percent(share: float) -> str:
    """``31 %``; what is not nothing is never shown as 0 %."""
    if 0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"


def parse_selection(text: str | None, size: int, option: str, unit: str) -> Sequence[int] | None:
    """``0:10``, ``:``, ``3``, ``0,2,5`` or ``-1`` as places among ``size``; None stays None.

    Raises
    ------
    UserError
        if it is none of these, or selects nothing that is there.
    """
    if text is None:
        return None
    try:
        if ":" in text:
            bounds = [int(part) if part.strip() else None for part in text.split(":")]
            if len(bounds) > 3:
                raise ValueError
            places: Sequence[int] = range(size)[slice(*bounds)]
        else:
            places = [range(size)[int(part)] for part in text.split(",")]
    except (ValueError, IndexError):
        places = []
    if not places:
        raise UserError(
            f"{option} {text}: takes one {unit} of 0 to {size - 1}, several (0,2), a range (0:10)."
        )
    return places
