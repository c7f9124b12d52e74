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
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun}s"


def verb(n: int, stem: str) -> str:
    """``differs`` of one thing, ``differ`` of several."""
    if n == 1:
        return f"{stem}s"
    return stem


def percent(share: float) -> str:
    """``31%``; a share above zero is never shown as 0%."""
    if 0 < share < 0.005:
        return "<1%"
    return f"{100 * share:.0f}%"


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
        is_huge = any(most <= size < math.inf for size in sizes)
        if digits <= FEW_DIGITS:
            if is_huge or (sizes and all(small)):
                return cls(min(digits, 1), True)
        elif is_huge or any(small):
            return cls(digits, True)
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
        is_shown = value == 0 or float(text) != 0
        if is_shown or self.digits <= FEW_DIGITS:
            return text
        return f"{value:.{self.digits}e}"


def error_sizes(values: Iterable[float | None]) -> list[str]:
    """The errors of a column, their points lined up; nothing for None."""
    texts = []
    for value in values:
        if value is None:
            texts.append("")
        else:
            texts.append(format_size(value))
    after = [len(text.lstrip("-").lstrip(DIGITS)) for text in texts]
    return [
        text and text + " " * (max(after) - n)
        for text, n in zip(texts, after, strict=True)
    ]


def ulp_count(value: float | int | None) -> str:
    """A distance in ULPs; nothing for numbers that are far apart."""
    if value is not None and value < FEW_ULPS:
        return str(value)
    return ""  # of NaN too


def rounded_up(value: float) -> str:
    """Three digits that are not below the value, as a tolerance must not be."""
    text = f"{value:.2e}"
    if float(text) < value:
        mantissa, exponent = text.split("e")
        text = f"{round(float(mantissa) * 100) + 1}e{int(exponent) - 2}"
    return format_size(float(text))
