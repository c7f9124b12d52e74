"""Printed arrays: their numbers, the units of their last places, and what a printer left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document, Gaps, Numbering
from lstmcli.formats.files.limits import check_size
from lstmcli.formats.text.number_text import float32_arrays

Rounded = Literal["places", "significant"]
"""All numbers to the same places, or to the same digits (C's %g)."""

_NOT_SIGNIFICANT = re.compile(r"^[-+]?[0.]*|\D")


@dataclass(frozen=True)
class Print:
    """One printed array."""

    name: str  # "" if it has none
    tokens: list[str]  # the numbers as printed, in C order
    shape: tuple[int, ...]  # of these numbers
    where: str  # source and line, to start a message with
    rounded: Rounded
    factor: float = 1.0
    dtype: np.dtype[Any] | None = None
    label: str = ""  # other text before it that ends in a colon, without digits
    gaps: Gaps | None = None  # what an abbreviated print leaves out
    steps: list[int] | None = None  # the indices of its first axis, where they are written

    def scaled(self, numbers: Iterable[float]) -> np.ndarray:
        """A number for each token, times the factor, in the shape."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return (np.array([*numbers], dtype=np.float64) * self.factor).reshape(self.shape)


def gaps_of(
    shape: tuple[int, ...],
    ahead: dict[int, set[int | None]],
    printed: tuple[int, ...] | None,
    where: str,
) -> Gaps | None:
    """What an abbreviated print leaves out; None if it has all numbers.

    ``ahead`` has, by depth, the numbers of items before ``...`` in the lists of that depth.
    """
    before: list[int | None] = []
    for axis in range(len(shape)):
        places = ahead[axis]
        if len(places) > 1:
            raise UserError(f'{where}: "..." does not stand at one place in all lists of a depth.')
        before += places
    if before == [None] * len(shape):
        return None
    given = zip(shape, before, printed or shape, strict=False)
    if printed and not (
        len(printed) == len(shape) and all(n == m if b is None else n < m for n, b, m in given)
    ):
        raise UserError(
            f"{where}: the printed shape is {printed}, which these brackets do not have."
        )
    check_size(printed or shape, np.dtype(np.float64).itemsize, where)
    return Gaps(tuple(before), printed, where)


def document_of(prints: list[Print], numbering: Numbering, source: str) -> Document:
    """The document of prints: those of one name stacked, with the units of their numbers."""
    groups: dict[str, list[Print]] = {}
    for each in prints:
        groups.setdefault(each.name, []).append(each)
    fractions = {_split(token) for each in prints for token in each.tokens}
    fixed = max((digits for digits, exponent in fractions if exponent is None), default=0)
    scientific = max((digits for digits, exponent in fractions if exponent is not None), default=0)
    arrays, units, dtypes, gaps = {}, {}, {}, {}
    for name, group in groups.items():
        _refuse_unlike(group)
        first, several = group[0], len(group) > 1
        values = [each.scaled(map(float, each.tokens)) for each in group]
        of_values = [_units(each, fixed, scientific) for each in group]
        arrays[name] = np.stack(values) if several else values[0]
        units[name] = np.stack(of_values) if several else of_values[0]
        if first.dtype is not None:
            dtypes[name] = first.dtype
        if first.gaps is not None:
            gaps[name] = first.gaps
        if first.gaps is not None and several:  # with the axis along which they are stacked
            shape = None if first.gaps.shape is None else (len(group), *first.gaps.shape)
            gaps[name] = replace(first.gaps, before=(None, *first.gaps.before), shape=shape)
    silent = {name: array for name, array in arrays.items() if name not in dtypes}
    dtypes |= float32_arrays(silent)
    return Document(
        source, "text", arrays, {}, _layout(arrays), units, dtypes, gaps=gaps, numbering=numbering
    )


def _refuse_unlike(group: list[Print]) -> None:
    """Refuse to stack prints that differ in shape, dtype or label."""
    label = next((each.label for each in group if each.label), "")

    def compared(each: Print) -> dict[str, object]:
        return {
            "shape": each.shape,
            "gaps": "(none)" if each.gaps is None else (each.gaps.before, each.gaps.shape),
            "dtype": each.dtype or "(none)",
            "label": each.label or label,
        }

    expected = compared(group[0])
    for each in group:
        for what, found in compared(each).items():
            if found != expected[what]:
                raise UserError(
                    f"{each.where}: this array has the {what} {found}, an earlier one has "
                    f"{expected[what]}. Steps of one array must be alike; give different arrays "
                    "names: h = [[...]]."
                )


def _layout(arrays: dict[str, np.ndarray]) -> str | None:
    """The layout: 2-D arrays are (steps, units), 3-D ones (steps, 1, units), others unknown."""
    deeper = [array.shape for array in arrays.values() if array.ndim > 2]
    if deeper:
        return "time" if all(len(shape) == 3 and shape[1] == 1 for shape in deeper) else None
    return "steps" if any(array.ndim == 2 for array in arrays.values()) else None


# ---- the unit of a printed number


def _split(token: str) -> tuple[int, int | None]:
    """Digits after the point, and the exponent (None if there is none)."""
    mantissa, _, exponent = token.lower().partition("e")
    return len(mantissa.partition(".")[2]), int(exponent) if exponent else None


def _units(each: Print, fixed: int, scientific: int) -> np.ndarray:
    """The unit of the last printed place: that of the longest fraction in the text.

    NumPy strips zeros at the end, so a single number does not show its precision. 0, exact, if no
    number has a fraction (``[0. 1. 1.]``): nothing was rounded.
    """
    splits = [_split(token) for token in each.tokens]
    if each.rounded == "significant" and len({*splits}) > 1:
        return _significant_units(each)
    unit_of = {}
    for exponent in {exponent for _, exponent in splits}:
        digits = fixed if exponent is None else scientific
        unit_of[exponent] = float(f"1e{(exponent or 0) - digits}") if digits else 0.0
    positive = replace(each, factor=abs(each.factor))
    return positive.scaled(unit_of[exponent] for _, exponent in splits)


def _significant_units(each: Print) -> np.ndarray:
    """The unit of each number's last digit, where all have as many digits as the longest."""
    mantissas = (token.lower().partition("e")[0] for token in each.tokens)
    digits = max(len(_NOT_SIGNIFICANT.sub("", mantissa)) for mantissa in mantissas)
    magnitudes = np.abs(replace(each, factor=1.0).scaled(map(float, each.tokens)))
    smallest = magnitudes[magnitudes > 0].min(initial=1.0)
    with np.errstate(all="ignore"):
        exponents = np.floor(np.log10(np.where(magnitudes > 0, magnitudes, smallest)))
        units = 10.0 ** (exponents - digits + 1) * abs(each.factor)
    return np.where(np.isfinite(magnitudes), units, 0.0)
