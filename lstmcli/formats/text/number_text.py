"""Numbers as text that reads back as the same numbers.

float64 is written with the fewest digits that are enough (Python's repr), float32 and float16
with nine digits, which name a float32 uniquely and are three times as quick to print. A longdouble
keeps all its digits; a reader that has only float64 rounds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from lstmcli.formats.arrays.block_writer import BlockWriter, rows_of

NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,5})?|(?i:nan|inf(?:inity)?)\b)"
IS_NUMBER = re.compile(NUMBER)
"""A decimal as programs print it, without thousands separators."""

JSON_NAMES = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"', "-0": "-0.0"}
"""JSON has no literal for these but strings, which the readers accept; and -0 is an integer, 0."""

SEMICOLONS = "the separator is ; and must be , or a tab (with a point in decimals)."
"""What is wrong with the tables of a spreadsheet whose language has a decimal comma."""

ABBREVIATED = (
    "the print is abbreviated, so numbers are missing. Print all of it: "
    "np.set_printoptions(threshold=sys.maxsize) or torch.set_printoptions(profile='full')."
)
"""What is wrong with a print that leaves numbers out."""

PLAIN_NAMES: dict[str, str] = {}
"""CSV readers everywhere know nan, inf and -inf as they are."""


def row_texts(
    values: np.ndarray | BlockWriter, names: Mapping[str, str], separator: str = ", "
) -> Iterator[str]:
    """Text of each row along the last axis, the numbers joined by ``separator``.

    ``values`` has at least one axis; rows come in C order. ``names`` replaces nan, inf, -inf, -0.
    """
    if _beyond_float64(values.dtype):
        for rows in rows_of(values):
            for row in rows:
                yield separator.join(_renamed([_all_digits(x) for x in row], names))
        return
    template = _template(_specification(values.dtype), values.shape[-1], separator)
    for rows in rows_of(values):
        for numbers in rows.tolist():
            text = template % tuple(numbers)
            if "n" in text or "-0" + separator in text + separator:  # nan, inf have a letter n
                text = separator.join(_renamed(text.split(separator), names))
            yield text


def _beyond_float64(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" and dtype.itemsize > 8


def _specification(dtype: np.dtype[Any]) -> str:
    if dtype.kind != "f":
        return "%d"
    return "%.9g" if dtype.itemsize <= 4 else "%r"


@lru_cache(maxsize=64)
def _template(specification: str, width: int, separator: str) -> str:
    return separator.join([specification] * width)


def _all_digits(value: np.floating[Any]) -> str:
    return np.format_float_scientific(value, unique=True, trim="-")


def _renamed(numerals: list[str], names: Mapping[str, str]) -> list[str]:
    return [names.get(numeral, numeral) for numeral in numerals]
