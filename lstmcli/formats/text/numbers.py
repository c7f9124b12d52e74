"""Numbers as text: what counts as one, what is rejected, and texts that read back the same.

float64 is written with the fewest digits that identify it (Python's repr),
float32 and float16 with nine, which identify a float32 three times as fast, a
longdouble with all its digits; a reader that has only float64 rounds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import rows_of
from lstmcli.formats.files.limits import MOST_RUN

NUMBER = (
    r"[-+]?(?:(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?\d{1,5})?|(?i:nan|inf(?:inity)?)\b)"
)
IS_NUMBER = re.compile(NUMBER)
"""A decimal as programs print it, without thousands separators."""

LONG_RUN = re.compile(rf"(?<!\d)\d{{{MOST_RUN + 1}}}")
"""More digits in a row than any number has, which is rejected before it is parsed."""

MOST_STEPS = 1 << 53  # integers that are exact in float64

SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
"""The strings of JSON that stand for numbers."""

JSON_NAMES = {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"', "-0": "-0.0"}
"""JSON has no literals for these; they are strings, which the readers accept. -0 is an integer."""

SEMICOLONS = "the separator is ; and must be , or a tab (with a point in decimals)."
"""The message for a table of a spreadsheet in a language with decimal commas."""

_DECIMAL = r"\d+,\d+(?:[eE][-+]?\d+)?"
_TWO_DECIMALS = re.compile(rf"(?<!\d){_DECIMAL}[ \t]+[-+]?\d+,\d")
_DIGITS = re.compile(r"\d[\d.,]*(?:[eE][-+]?\d+)?")

ABBREVIATED = (
    "the printed output is abbreviated, so numbers are missing. Print all of it: "
    "np.set_printoptions(threshold=sys.maxsize), torch.set_printoptions(profile='full'); "
    "in JavaScript console.log(Array.from(h).join(' '))."
)
"""The message for printed output that leaves numbers out."""


def refuse_long_numbers(text: str, source: str) -> None:
    """Refuse a text with more digits in a row than any number; the message names the line."""
    if match := LONG_RUN.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise UserError(
            f"{source}, line {line}: {match[0][:20]}... has more than {MOST_RUN} digits in a row; "
            "no number has."
        )


def refuse_decimal_commas(text: str, source: str) -> None:
    """Refuse a text whose numbers all have a comma, with blanks between them."""
    if _TWO_DECIMALS.search(text) and all(
        re.fullmatch(_DECIMAL, number) for number in _DIGITS.findall(text)
    ):
        raise UserError(f"{source}: its decimals have commas; write them with points.")


def is_decimal(text: str) -> bool:
    """Return whether a text is one number, blanks around it apart."""
    return bool(IS_NUMBER.fullmatch(text.strip())) and not LONG_RUN.search(text)


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is, or stands for, a number."""
    return type(value) in (float, int) or (type(value) is str and value in SPECIAL)


def row_texts(
    values: np.ndarray,
    names: Mapping[str, str],
    separator: str = ", ",
    labels: Sequence[str] = (),
) -> Iterator[str]:
    """Text of each row along the last axis, the numbers joined by ``separator``.

    ``values`` has at least one axis; rows come in C order. ``names`` replaces
    nan, inf, -inf, -0; each number stands behind its label, if there are any.
    """
    is_long = values.dtype.kind == "f" and values.dtype.itemsize > 8
    numeral = _numeral(values.dtype)
    text_of = _digits_of_long if is_long else numeral.__mod__
    starts = labels or [""] * values.shape[-1]
    template = separator.join(start.replace("%", "%%") + numeral for start in starts)
    for rows in rows_of(values):
        has_names = is_long or (len(names) > 0 and _has_special(rows))
        for numbers in rows.tolist():
            if has_names:
                texts = [names.get(text, text) for text in map(text_of, numbers)]
                yield separator.join(map(str.__add__, starts, texts))
            else:
                yield template % tuple(numbers)


def _numeral(dtype: np.dtype[Any]) -> str:
    """The format of a number of a dtype, as of %."""
    if dtype.kind != "f":
        return "%d"
    return "%.9g" if dtype.itemsize <= 4 else "%r"


def _digits_of_long(number: Any) -> str:
    return np.format_float_scientific(number, unique=True, trim="-")


def _has_special(rows: np.ndarray) -> bool:
    """Return whether there are nan, infinities or -0 among numbers."""
    if rows.dtype.kind != "f":
        return False
    return not np.isfinite(rows).all() or bool(np.signbit(rows[rows == 0]).any())
