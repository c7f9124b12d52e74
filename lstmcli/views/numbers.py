"""Numbers as text: fixed places where they fit, an exponent where fixed places would hide it."""

from __future__ import annotations

from lstmcli.core.model.selection import format_number

__all__ = ["format_number", "percent"]


def percent(share: float) -> str:
    """``31 %``; what is not nothing is never shown as 0 %."""
    if 0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"
