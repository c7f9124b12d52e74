"""Phrases, counts, numbers and errors as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lstmcli.core.model.selection import format_size
from lstmcli.views.sheet import NO_BREAK

DIGITS = "0123456789"
FEW_ULPS = 1e6
FEW_DIGITS = 3  # after the point, of a summary: small numbers count as 0


def unbroken(text: str) -> str:
    """Text that `Sheet.label` does not break between two lines."""
    return text.replace(" ", NO_BREAK)


def phrases(texts: Sequence[str]) -> str:
    """``a · b``: texts, each unbroken."""
    return f"{NO_BREAK}· ".join(map(unbroken, texts))


def count(n: int, noun: str) -> str:
    """``1 step``, ``1,234 steps``."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def percent(share: float) -> str:
    """``31%``; a share above zero is never shown as 0%."""
    return "<1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"


class NumberFormat(NamedTuple):
    """The format of a column of numbers, which line up on the point."""

    digits: int  # after the point
    exponents: bool = False

    @classmethod
    def of(cls, values: Iterable[float | None], digits: int) -> NumberFormat:
        """The format of NumPy: with exponents if a number is huge, or would be shown as 0.

        With three digits or fewer all have to be small.
        """
        least, most = 0.5 * 10.0**-digits, 1e8
        sizes = [abs(value) for value in values if value]
        small = [size < least for size in sizes]
        is_small = all(small) if digits <= FEW_DIGITS else any(small)
        if sizes and (is_small or any(most <= size < math.inf for size in sizes)):
            return cls(min(digits, 1) if digits <= FEW_DIGITS else digits, True)
        return cls(digits)

    def text(self, value: float | None) -> str:
        """A number in the format; nothing for None.

        One that more than three digits would show as 0 still has an exponent.
        """
        if value is None:
            return ""
        if not math.isfinite(value):
            return str(value)
        if self.exponents:
            return f"{value:z.{self.digits}e}"
        text = f"{value:z.{self.digits}f}"
        is_shown = float(text) or not value or self.digits <= FEW_DIGITS
        return text if is_shown else f"{value:.{self.digits}e}"


def error_sizes(values: Iterable[float | None]) -> list[str]:
    """The errors of a column, their points lined up; nothing for None."""
    texts = ["" if value is None else format_size(value) for value in values]
    after = [len(text.lstrip("-").lstrip(DIGITS)) for text in texts]
    return [
        text and text + " " * (max(after) - n)
        for text, n in zip(texts, after, strict=True)
    ]


def ulp_count(value: float | int | None) -> str:
    """A distance in ULPs; nothing for numbers that are far apart."""
    return str(value) if value is not None and value < FEW_ULPS else ""


def rounded_up(value: float) -> str:
    """Three digits that are not below the value, as a tolerance must not be."""
    text = f"{value:.2e}"
    if float(text) < value:
        mantissa, exponent = text.split("e")
        text = f"{round(float(mantissa) * 100) + 1}e{int(exponent) - 2}"
    return format_size(float(text))
