"""Numbers as text that reads back as the same numbers; traces step by step; arrays of numbers read.

float64 is written with the fewest digits that identify it (Python's repr),
float32 and float16 with nine, which identify a float32 three times as fast, a
longdouble with all its digits; a reader that has only float64 rounds them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, BinaryIO

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import SettingsToTry, UserError, listed
from lstmcli.formats.document import rows_of
from lstmcli.formats.files.limits import MOST_AXES, MOST_RUN, check_size

NUMBER = (
    r"[-+]?(?:(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?\d{1,5})?|(?i:nan|inf(?:inity)?)\b)"
)
IS_NUMBER = re.compile(NUMBER)
"""A decimal as programs print it, without thousands separators."""

LONG_RUN = re.compile(rf"(?<!\d)\d{{{MOST_RUN + 1}}}")
"""More digits in a row than any number has, which is rejected before it is parsed."""

MOST_STEPS = 1 << 53  # integers that are exact in float64

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


def row_texts(
    values: np.ndarray, names: Mapping[str, str], separator: str = ", "
) -> Iterator[str]:
    """Text of each row along the last axis, the numbers joined by ``separator``.

    ``values`` has at least one axis; rows come in C order. ``names`` replaces
    nan, inf, -inf, -0.
    """
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        for row in values.reshape(-1, values.shape[-1]):
            digits = [np.format_float_scientific(x, unique=True, trim="-") for x in row]
            yield separator.join(_renamed(digits, names))
        return
    specification = "%d"
    if values.dtype.kind == "f":
        specification = "%.9g" if values.dtype.itemsize <= 4 else "%r"
    template = separator.join([specification] * values.shape[-1])
    for rows in rows_of(values):
        for numbers in rows.tolist():
            text = template % tuple(numbers)
            if (
                "n" in text or "-0" + separator in text + separator
            ):  # nan, inf have a letter n
                text = separator.join(_renamed(text.split(separator), names))
            yield text


def _renamed(numerals: list[str], names: Mapping[str, str]) -> list[str]:
    return [names.get(numeral, numeral) for numeral in numerals]


# ---- the dtype of numbers that were read

FLOAT32 = np.dtype(np.float32)
BLOCK = 1 << 16  # numbers that are Python objects at a time
SHORT = 7  # digits that nearly always identify a float32


def counts_as_float32(values: np.ndarray) -> bool:
    """Return whether every number is a float32, or a decimal that identifies one.

    ``values`` is float64 of any shape. Nine digits of a float32 identify it,
    and so does its shortest decimal (what NumPy, Rust, JavaScript and orjson
    write); a number of more digits must be the float32 itself. Nearly any
    decimal of up to seven digits is the shortest of a float32: so one in eight
    of these has to have more digits and places (of the float32s from 0.5 to 1
    four in ten have).
    """
    flat = values.ravel()
    short = long = 0
    for first in range(0, len(flat), BLOCK):
        block = flat[first : first + BLOCK]
        with np.errstate(over="ignore", under="ignore"):
            single = block.astype(np.float32)
        unequal = (block != single) & ~np.isnan(block)
        for value, rounded in zip(
            block[unequal].tolist(), single[unequal], strict=True
        ):
            if value != float(f"{rounded:.9g}"):
                name = str(rounded)
                if value != float(name):
                    return False
                short += 1
                long += _is_long(name)
    return 8 * long >= short


def _is_long(name: str) -> bool:
    """Return whether a decimal has more than `SHORT` significant digits and places."""
    digits, _, exponent = name.partition("e")
    places = len(digits.partition(".")[2]) - int(exponent or 0)
    return len(digits.replace(".", "").lstrip("-0")) > SHORT and places > SHORT


def float32_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.dtype[Any]]:
    """A dtypes entry for each array of float32s; an empty one has none."""
    return {
        name: FLOAT32
        for name, values in arrays.items()
        if values.size and values.dtype == np.float64 and counts_as_float32(values)
    }


# ---- nested lists of numbers


SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

_KINDS = {
    str: "a string",
    type(None): "null",
    bool: "a truth value",
    dict: "an object",
}


def to_array(value: Any, where: str) -> np.ndarray:
    """A nested list as a float64 array, "NaN", "Infinity" and "-Infinity" as numbers.

    UserErrors start with ``where`` and have the position of what does not fit.
    """
    if type(value) is not list:
        raise UserError(f"{where} is {_kind(value)}; a list of numbers was expected.")
    shape: list[int] = []
    level: list[Any] = [value]
    while level and type(level[0]) is list and len(shape) <= MOST_AXES:
        if {*map(type, level)} != {list} or len({*map(len, level)}) > 1:
            break
        shape.append(len(level[0]))
        level = [*chain.from_iterable(level)]
    if len(shape) > MOST_AXES:
        raise UserError(f"{where} is nested more than {MOST_AXES} lists deep.")
    if not {*map(type, level)} <= {float, int}:
        if odd := _odd_element(value, _shape_of(value)):
            raise UserError(f"{where}: element {odd} was expected there.")
        level = [SPECIAL.get(x, x) if type(x) is str else x for x in level]
    check_size(shape, 8, where)
    try:
        return np.array(level, dtype=np.float64).reshape(shape)
    except OverflowError:
        raise UserError(f"{where} contains an integer too large for float64.") from None


def _shape_of(value: Any) -> list[int]:
    """The lengths of a nested list and of first lists in it, at most `MOST_AXES`."""
    shape: list[int] = []
    while type(value) is list and len(shape) < MOST_AXES:
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _odd_element(value: Any, shape: Sequence[int], place: str = "") -> str:
    """The first element of a nested list that does not fit a shape, and what fits."""
    if not shape:
        return "" if is_number(value) else f"{place} is {_kind(value)}; a number"
    if type(value) is not list or len(value) != shape[0]:
        return f"{place} is {_kind(value)}; a list of {shape[0]}"
    odd = (_odd_element(one, shape[1:], f"{place}[{n}]") for n, one in enumerate(value))
    return next(filter(None, odd), "")


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is, or stands for, a number."""
    return type(value) in (float, int) or (type(value) is str and value in SPECIAL)


def _kind(value: Any) -> str:
    if type(value) is list:
        return f"a list of {len(value)}"
    shown = f' "{value[:20]}"' if type(value) is str else ""
    return _KINDS.get(type(value), "a number") + shown


# ---- traces written step by step: rows of CSV and TSV, JSON lines


STEP, BATCH, UNIT = "step", "batch", "unit"
KEYS = (STEP, BATCH, UNIT)
UNITS = "units"  # key of the columns' indices in a JSON line, of some
DELIMITERS = {"csv": ",", "tsv": "\t", "jsonl": ", "}


@dataclass
class StepWriter:
    """Writes the named arrays of a trace as it is computed."""

    stream: BinaryIO
    format: str  # "csv", "tsv" or "jsonl"
    names: Sequence[str]
    batched: bool
    part: Part  # of the run that the arrays are

    def write(self, steps: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Write these S steps of arrays (S, K) or, batched, (S, B, K)."""
        raise NotImplementedError

    def write_end(self, name: str, array: np.ndarray) -> None:
        """Write an array (K,) or, batched, (B, K) of the end of the run, behind all steps."""
        raise NotImplementedError


@dataclass
class TableWriter(StepWriter):
    """Writes rows of a table: a step, or a step's batch item; if it is ``tidy``, one unit of these.

    ``step,batch,unit,h,c,i,f,g,o``, tidy, are the columns of one sequence too,
    in CSV, TSV and JSON lines; the arrays then have the same units.
    """

    tidy: bool = False

    def __post_init__(self) -> None:
        self._delimiter = DELIMITERS[self.format]
        self._is_first = True

    def write(self, steps: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Write these S steps of arrays (S, K) or, batched, (S, B, K)."""
        chosen = [np.asarray(arrays[name]) for name in self.names]
        columns_of_part = self.part.some_columns
        keys = KEYS if self.tidy else KEYS[: 1 + self.batched]
        if self.tidy:
            self._refuse_sizes([array.shape[-1] for array in chosen])
            chosen = [array if array.ndim == 3 else array[:, None] for array in chosen]
            table, columns = np.stack(chosen, axis=-1), list(self.names)  # (S, B, K, N)
        else:
            table = np.concatenate(chosen, axis=-1)
            columns = [
                f"{name}[{n}]"
                for name, array in zip(self.names, chosen, strict=True)
                for n in columns_of_part.get(name, range(array.shape[-1]))
            ]
        numbers = [None, self.part.some_batch, columns_of_part.get(self.names[0])]
        axes = [
            of or range(n) for of, n in zip(numbers, table.shape[:-1], strict=False)
        ]
        axes[0] = steps
        is_json = self.format == "jsonl"
        # every reader of CSV accepts nan, inf and -inf
        texts = row_texts(table, JSON_NAMES if is_json else {}, self._delimiter)
        lines: Iterator[str] = (
            self._delimiter.join((*map(str, place), text))
            for place, text in zip(product(*axes), texts, strict=True)
        )
        if is_json:
            names = [json.dumps(name) for name in (*keys, *columns)]
            pairs = (
                zip(names, line.split(self._delimiter), strict=True) for line in lines
            )
            lines = (
                f"{{{', '.join(f'{name}: {n}' for name, n in pair)}}}" for pair in pairs
            )
        elif self._is_first:
            lines = chain([self._delimiter.join((*keys, *columns))], lines)
        self._is_first = False
        self.stream.write("".join(f"{line}\n" for line in lines).encode())

    def _refuse_sizes(self, sizes: Sequence[int]) -> None:
        if len({*sizes}) > 1:
            found = listed(
                [f"{n} {k}" for n, k in zip(sizes, self.names, strict=True)], 4
            )
            text = "a tidy file has a row for each unit of all arrays, which differ in their units:"
            raise UserError(
                f"{text} {found}.",
                try_=[
                    SettingsToTry({"only": self.names[0]}),
                    SettingsToTry({"cell": ...}),
                ],
            )


@dataclass
class LineWriter(StepWriter):
    """Writes steps as JSON lines: ``{"step": 0, "h": [...], "c": [...]}``.

    Some batch items or units have their indices in ``"batch": [1, 2]`` and
    ``"units": [0, 3]``, those of a member with other columns in ``"units.z"``.
    """

    def __post_init__(self) -> None:
        numbers: dict[str, list[int]] = {}
        items, columns_of_part = self.part.some_batch, self.part.some_columns
        if self.batched and items is not None:
            numbers[BATCH] = list(items)
        for name in self.names:
            columns = list(columns_of_part.get(name, ()))
            if columns and numbers.setdefault(UNITS, columns) != columns:
                numbers[f"{UNITS}.{name}"] = columns
        self._numbers = "".join(
            f", {json.dumps(key)}: {list_}" for key, list_ in numbers.items()
        )

    def write(self, steps: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Write these S steps of arrays (S, K) or, batched, (S, B, K)."""
        texts = {json.dumps(name): self._texts(arrays[name]) for name in self.names}
        lines = []
        for step in steps:
            members = "".join(f", {key}: {next(rows)}" for key, rows in texts.items())
            lines.append(f'{{"{STEP}": {step}{self._numbers}{members}}}\n')
        self.stream.write("".join(lines).encode())

    def write_end(self, name: str, array: np.ndarray) -> None:
        """Write a line of an array (K,) or, batched, (B, K), behind all steps."""
        (text,) = self._texts(array[np.newaxis])
        self.stream.write(f"{{{json.dumps(name)}: {text}}}\n".encode())

    def _texts(self, array: np.ndarray) -> Iterator[str]:
        rows = row_texts(array, JSON_NAMES)
        if not self.batched:
            return (f"[{row}]" for row in rows)
        steps, batch = array.shape[:2]
        return (
            "[" + ", ".join(f"[{next(rows)}]" for _ in range(batch)) + "]"
            for _ in range(steps)
        )
