"""Phrases, counts, numbers and errors as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lstmcli.core.weights.assumptions import shorten_assumption, without_option
from lstmcli.views.sheet import NO_BREAK

__all__ = [
    "NumberFormat", "count", "error_size", "long_count", "percent", "phrases", "rounded_up",
    "short_exponent", "shorten_assumption", "ulp_counts", "unbroken", "without_option",
]  # fmt: skip


def unbroken(text: str) -> str:
    """Text that `labelled` does not break between two lines."""
    return text.replace(" ", NO_BREAK)


def phrases(texts: Sequence[str]) -> str:
    """Texts separated by three spaces, each unbroken."""
    return "   ".join(map(unbroken, texts))


def count(n: int, noun: str) -> str:
    """``1 step``, ``7 steps``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def long_count(n: int, noun: str) -> str:
    """The same with separated thousands: ``1,234 numbers``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def percent(share: float) -> str:
    """``31 %``; a share above zero is never shown as 0 %."""
    if 0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.0f} %"


class NumberFormat(NamedTuple):
    """The format of all numbers of a column, so that they line up on the point."""

    digits: int  # after the point
    exponents: bool = False

    @classmethod
    def of(cls, values: Iterable[float | None], digits: int) -> NumberFormat:
        """That of NumPy: with exponents where one of the numbers would be shown as 0, or is huge.

        Up to three digits, two are shown of a number with an exponent.
        """
        least, most = 0.5 * 10.0**-digits, 1e8
        sizes = (abs(value) for value in values if value)
        if any(size < least or most <= size < math.inf for size in sizes):
            return cls(min(digits, 1) if digits <= 3 else digits, True)
        return cls(digits)

    def text(self, value: float | None) -> str:
        """A number in the format; nothing for None.

        A number that it would show as 0 has an exponent all the same.
        """
        if value is None:
            return ""
        if not math.isfinite(value):
            return str(value)
        if self.exponents:
            return f"{value:z.{self.digits}e}"
        text = f"{value:z.{self.digits}f}"
        return text if float(text) or not value else f"{value:.{self.digits}e}"


def error_size(value: float | None) -> str:
    """``1.33e-1``: an error with three digits; nothing for None."""
    if value is None:
        return ""
    return "0" if value == 0 else short_exponent(f"{value:.2e}")


def ulp_counts(values: Sequence[float | int | None]) -> list[str]:
    """Numbers of ULPs: with every digit if all are below a million, else with three digits."""
    if any(value is not None and value >= 1e6 for value in values):
        return ["" if value is None else error_size(float(value)) for value in values]
    return ["" if value is None else str(value) for value in values]


def rounded_up(value: float) -> str:
    """Three digits that are not below the value: a tolerance rounded down would be too small."""
    text = f"{value:.2e}"
    if float(text) < value:
        mantissa, exponent = text.split("e")
        text = f"{round(float(mantissa) * 100) + 1}e{int(exponent) - 2}"
    return short_exponent(f"{float(text):.3g}")


def short_exponent(text: str) -> str:
    """A number without the plus and the leading zeros of its exponent."""
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text
