"""Printed arrays: their numbers, the units of their last places, and what a printer left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Gaps, Shape
from lstmcli.formats.files.limits import check_size

Rounded = Literal["places", "significant"]
"""All numbers to the same places, or to the same digits (C's %g)."""

_NOT_SIGNIFICANT = re.compile(r"^[-+]?[0.]*|\D")


@dataclass(frozen=True)
class Print:
    """One printed array."""

    name: str  # "" if it has none
    tokens: list[str]  # the numbers as printed, in C order
    shape: Shape  # of these numbers
    where: str  # source and line, to start a message with
    rounded: Rounded
    factor: float = 1.0
    dtype: np.dtype[Any] | None = None
    label: str = ""  # other text before it that ends in a colon, without digits
    gaps: Gaps | None = None  # what abbreviated output leaves out
    steps: list[int] | None = None  # the indices of its first axis, if written

    def scaled(self, numbers: Iterable[float]) -> np.ndarray:
        """A number for each token, times the factor, in the shape."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            scaled = np.array([*numbers], dtype=np.float64) * self.factor
        return scaled.reshape(self.shape)


Ahead = dict[int, set[int | None]]
"""By depth, the numbers of items before ``...`` in the lists of that depth; None: no ``...``."""


def gaps_of(
    shape: Shape, ahead: Ahead, printed: Shape | None, where: str
) -> Gaps | None:
    """Return what abbreviated output leaves out; None if it has all numbers."""
    before: list[int | None] = []
    for axis in range(len(shape)):
        places = ahead[axis]
        if len(places) > 1:
            raise UserError(
                f'{where}: "..." does not stand at one place in all lists of a depth.'
            )
        before += places
    if before == [None] * len(shape):
        return None
    if printed is not None and not _fits(shape, before, printed):
        text = f"{where}: the printed shape is {printed}, which these brackets do not have."
        raise UserError(text)
    check_size(printed or shape, np.dtype(np.float64).itemsize, where)
    return Gaps(tuple(before), printed, where)


def _fits(shape: Shape, before: Sequence[int | None], printed: Shape) -> bool:
    """Return whether an array of the printed shape leaves these numbers, where it has gaps."""
    if len(printed) != len(shape):
        return False
    for shown, ahead, length in zip(shape, before, printed, strict=True):
        if shown > length or (shown == length) != (ahead is None):
            return False
    return True


def document_of(prints: list[Print], part: Part, source: str) -> Document:
    """The document of prints, those of one name stacked, with their units."""
    groups: dict[str, list[Print]] = {}
    for each in prints:
        groups.setdefault(each.name, []).append(each)
    fraction = Fraction.of(prints)
    document = Document(source, "text", {}, part=part)
    for name, group in groups.items():
        _refuse_unlike(group)
        first = group[0]
        numbers = [each.scaled(map(float, each.tokens)) for each in group]
        units = [_units(each, fraction) for each in group]
        is_stacked = len(group) > 1
        document.arrays[name] = np.stack(numbers) if is_stacked else numbers[0]
        document.units[name] = np.stack(units) if is_stacked else units[0]
        if first.dtype is not None:
            document.dtypes[name] = first.dtype
        if first.gaps is not None:
            document.gaps[name] = first.gaps
            if is_stacked:
                document.gaps[name] = _stacked(first.gaps, len(group))
    return replace(document, layout=_layout(document.arrays))


def _stacked(gaps: Gaps, count: int) -> Gaps:
    """The gaps of several arrays along a new first axis."""
    shape = None if gaps.shape is None else (count, *gaps.shape)
    return replace(gaps, before=(None, *gaps.before), shape=shape)


def _refuse_unlike(group: list[Print]) -> None:
    label = next((each.label for each in group if each.label), "")
    expected = _compared(group[0], label)
    for each in group:
        for what, found in _compared(each, label).items():
            if found != expected[what]:
                raise UserError(
                    f"{each.where}: this array has the {what} {found}, an earlier one has "
                    f"{expected[what]}. Steps of one array must be alike; give different arrays "
                    "names: h = [[...]]."
                )


def _compared(each: Print, label: str) -> dict[str, object]:
    """The features that all steps of an array share; one without a label takes the others'."""
    gaps: object = "(none)"
    if each.gaps is not None:
        gaps = each.gaps.before, each.gaps.shape
    return {
        "shape": each.shape,
        "gaps": gaps,
        "dtype": each.dtype or "(none)",
        "label": each.label or label,
    }


def _layout(arrays: Arrays) -> str | None:
    """2-D arrays are (steps, units), 3-D ones (steps, 1, units), others unknown."""
    shapes = [array.shape for array in arrays.values()]
    deeper = [shape for shape in shapes if len(shape) > 2]
    if not deeper:
        return "steps" if any(len(shape) == 2 for shape in shapes) else None
    are_steps = all(len(shape) == 3 and shape[1] == 1 for shape in deeper)
    return "time" if are_steps else None


# ---- the unit of a printed number


class Fraction(NamedTuple):
    """The digits of the longest fraction of numbers without an exponent, and with one."""

    fixed: int
    scientific: int

    @classmethod
    def of(cls, prints: Iterable[Print]) -> Fraction:
        """The longest of all prints."""
        fixed = scientific = 0
        for digits, exponent in {
            _split(token) for each in prints for token in each.tokens
        }:
            if exponent is None:
                fixed = max(fixed, digits)
            else:
                scientific = max(scientific, digits)
        return cls(fixed, scientific)

    def unit(self, exponent: int | None) -> float:
        """The unit of the last place; 0 if no number has a fraction."""
        digits = self.fixed if exponent is None else self.scientific
        return float(f"1e{(exponent or 0) - digits}") if digits else 0.0


def _split(token: str) -> tuple[int, int | None]:
    """Digits after the point, and the exponent (None if there is none)."""
    mantissa, _, exponent = token.lower().partition("e")
    return len(mantissa.partition(".")[2]), int(exponent) if exponent else None


def _units(each: Print, fraction: Fraction) -> np.ndarray:
    """The unit of the last printed place, by the longest fraction in the text.

    NumPy strips zeros at the end, so a single number does not show its
    precision. 0, exact, if no number has a fraction (``[0. 1. 1.]``).
    """
    splits = [_split(token) for token in each.tokens]
    if each.rounded == "significant" and len({*splits}) > 1:
        return _significant_units(each)
    unit_of = {exponent: fraction.unit(exponent) for _, exponent in splits}
    positive = replace(each, factor=abs(each.factor))
    return positive.scaled(unit_of[exponent] for _, exponent in splits)


def _significant_units(each: Print) -> np.ndarray:
    """The unit of each last digit, if all have as many digits as the longest."""
    mantissas = (token.lower().partition("e")[0] for token in each.tokens)
    digits = max(len(_NOT_SIGNIFICANT.sub("", mantissa)) for mantissa in mantissas)
    magnitudes = np.abs(replace(each, factor=1.0).scaled(map(float, each.tokens)))
    smallest = magnitudes[magnitudes > 0].min(initial=1.0)
    with np.errstate(all="ignore"):
        exponents = np.floor(np.log10(np.where(magnitudes > 0, magnitudes, smallest)))
        units = 10.0 ** (exponents - digits + 1) * abs(each.factor)
    return np.where(np.isfinite(magnitudes), units, 0.0)
