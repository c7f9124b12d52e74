"""Text: arrays as a console prints them, with the precision they were printed in.

Arrays of one name, or without one, that follow each other are steps of one array.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.arrays.npy import sole
from lstmcli.formats.arrays.pieces import Placed, rows_of
from lstmcli.formats.document import Document, Gaps
from lstmcli.formats.files.source import Opened, pieces_of
from lstmcli.formats.text.as_float32 import float32_arrays
from lstmcli.formats.text.console_print import Print, find_prints, find_rows

# A million numbers take 1.5 s and 190 MB: of each its text is kept, which tells its precision.
MOST_WORDS = 2_000_000


def read_text(text: str, file: Opened) -> Document:
    """Arrays in float64, with the unit of each element's last printed place.

    Several prints of one name are stacked along a new first axis. The layout is told if every
    array's is: 2-D is (steps, units), (n, 1, units) is n prints of one row. An abbreviated print
    gives the numbers it has, packed, and `Gaps`.

    Raises
    ------
    UserError
        What `find_prints` and `find_rows` refuse; prints whose shapes or labels do not stack.
    """
    source = file.source
    _refuse_many(text, source)
    prints = find_prints(text, source) or [find_rows(text, source)]
    groups = _by_name(prints)
    places = _longest_fractions([token for each in prints for token in each.tokens])
    arrays = {name: _stacked([_values(each) for each in group]) for name, group in groups.items()}
    units = {
        name: _stacked([_units(each, places) for each in group]) for name, group in groups.items()
    }
    dtypes = {name: group[0].dtype for name, group in groups.items() if group[0].dtype is not None}
    silent = {name: array for name, array in arrays.items() if name not in dtypes}
    dtypes |= float32_arrays(silent)
    gaps = {name: held for name, group in groups.items() if (held := _gaps(group)) is not None}
    return Document(source, "text", arrays, {}, _layout(arrays), units, dtypes, gaps=gaps)


def _refuse_many(text: str, source: str) -> None:
    """Refuse more than a console prints, before it is taken apart word by word."""
    count = text.count("[") + sum(len(piece.replace(",", " ").split()) for piece in pieces_of(text))
    if count > MOST_WORDS:
        raise UserError(
            f"{source}: {count:,} numbers and brackets; as a console prints them, at most "
            f"{MOST_WORDS:,} are read. Save the numbers as .npy, .npz or .csv."
        )


def _gaps(group: list[Print]) -> Gaps | None:
    """What prints of one name leave out, with the axis along which they are stacked."""
    gaps = group[0].gaps
    if gaps is None or len(group) == 1:
        return gaps
    shape = None if gaps.shape is None else (len(group), *gaps.shape)
    return replace(gaps, before=(None, *gaps.before), shape=shape)


def _by_name(prints: list[Print]) -> dict[str, list[Print]]:
    groups: dict[str, list[Print]] = {}
    for each in prints:
        groups.setdefault(each.name, []).append(each)
    for group in groups.values():
        _check_alike(group)
    return groups


def _check_alike(group: list[Print]) -> None:
    """Refuse to stack prints that differ in shape, dtype or label."""
    first = group[0]
    label = next((each.label for each in group if each.label), "")
    for each in group:
        _refuse_other(each, "shape", each.shape, first.shape)
        _refuse_other(each, "gaps", _left_out(each), _left_out(first))
        _refuse_other(each, "dtype", each.dtype or "(none)", first.dtype or "(none)")
        _refuse_other(each, "label", each.label or label, label)


def _left_out(each: Print) -> object:
    return "(none)" if each.gaps is None else (each.gaps.before, each.gaps.shape)


def _refuse_other(each: Print, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise UserError(
            f"{each.where}: this array has the {what} {found}, an earlier one has {expected}. "
            "Steps of one array must be alike; give different arrays names: h = [[...]]."
        )


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.stack(arrays)


def _values(each: Print) -> np.ndarray:
    return _scaled([float(token) for token in each.tokens], each.factor, each.shape)


def _scaled(numbers: list[float], factor: float, shape: tuple[int, ...]) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return (np.array(numbers, dtype=np.float64) * factor).reshape(shape)


def _split(token: str) -> tuple[int, int | None]:
    """Digits after the point, and the exponent (None if there is none)."""
    mantissa, _, exponent = token.lower().partition("e")
    return len(mantissa.partition(".")[2]), int(exponent) if exponent else None


def _longest_fractions(tokens: list[str]) -> tuple[int, int]:
    """The longest fraction of all numbers without an exponent, and of all with one."""
    splits = set(map(_split, tokens))
    fixed = max((digits for digits, exponent in splits if exponent is None), default=0)
    scientific = max((digits for digits, exponent in splits if exponent is not None), default=0)
    return fixed, scientific


def _units(each: Print, places: tuple[int, int]) -> np.ndarray:
    """The unit of the last printed place: that of the longest fraction in the whole text.

    NumPy strips zeros, so one number alone does not show its precision.
    """
    exponents = [_split(token)[1] for token in each.tokens]
    unit_of = {exponent: _unit(exponent, *places) for exponent in set(exponents)}
    return _scaled([unit_of[x] for x in exponents], abs(each.factor), each.shape)


def _unit(exponent: int | None, fixed: int, scientific: int) -> float:
    """10 to the place of the last digit of a number with this exponent.

    Where no number has a fraction (``[0. 1. 1.]``), the printer had none to round: 0, exact.
    """
    digits = fixed if exponent is None else scientific
    return float(f"1e{(exponent or 0) - digits}") if digits else 0.0


def _layout(arrays: dict[str, np.ndarray]) -> str | None:
    """Where time lies: 2-D arrays are (steps, units), 3-D ones tell it with one row a step."""
    deeper = [array.shape for array in arrays.values() if array.ndim > 2]
    if deeper:
        return "time" if all(len(shape) == 3 and shape[1] == 1 for shape in deeper) else None
    return "steps" if any(array.ndim == 2 for array in arrays.values()) else None


def write(
    stream: BinaryIO, arrays: Mapping[str, np.ndarray | Placed], attributes: dict[str, Any]
) -> None:
    """NumPy's print of the one array, unabbreviated, with all the digits that tell it exactly."""
    for piece in _print(sole(arrays, "text")):
        stream.write(piece.encode())
    stream.write(b"\n")


def _print(array: np.ndarray | Placed) -> Iterator[str]:
    """The print in pieces: printing all at once takes NumPy a hundred times the array."""
    shape = array.shape
    if isinstance(array, np.ndarray) and (
        array.dtype.kind != "f" or array.ndim < 2 or not array.size
    ):
        yield _numpy_print(array)
    else:
        yield from _nest(shape, _row_prints(array, len(shape) - 1))


def _numpy_print(array: np.ndarray, margin: str = "") -> str:
    return np.array2string(
        array, threshold=sys.maxsize, floatmode="unique", prefix=margin, suffix=margin
    )


def _nest(shape: tuple[int, ...], rows: Iterator[str], depth: int = 1) -> Iterator[str]:
    """Rows in brackets, an axis further in by one; outer axes are a blank line apart."""
    if len(shape) == 1:
        yield next(rows)
        return
    between = "\n" * (len(shape) - 1) + " " * depth
    for number in range(shape[0]):
        yield between if number else "["
        yield from _nest(shape[1:], rows, depth + 1)
    yield "]"


def _row_prints(array: np.ndarray | Placed, depth: int) -> Iterator[str]:
    """The print of each row ``depth`` brackets deep.

    NumPy writes all numbers in a form that some of them need: each piece is printed with these.
    """
    needy, width, margin = _needy(array), array.shape[-1], " " * (depth - 1)
    beside = np.resize(needy, (-(-len(needy) // width), width))
    for rows in rows_of(array):
        text = _numpy_print(np.concatenate([rows, beside]), margin)
        yield from ROW.findall(text)[: len(rows)]


ROW = re.compile(r"\[[^\[\]]*\]")


def _needy(array: np.ndarray | Placed) -> np.ndarray:
    """A few numbers of an array that NumPy prints in the form that it gives the whole array."""
    found = _extremes(array)
    scientific = "e" in _numpy_print(found[np.isfinite(found)])
    spell = np.format_float_scientific if scientific else np.format_float_positional
    longest = [(-1, found[0])] * 3  # of whole part, fraction and exponent
    for rows in rows_of(array):
        for number in rows[np.isfinite(rows)]:
            whole, _, rest = spell(number, trim=".").partition(".")
            for n, part in enumerate((whole, *rest.partition("e")[::2])):
                if len(part) > longest[n][0]:
                    longest[n] = len(part), number
    return np.concatenate([found, [number for _, number in longest]])


def _extremes(array: np.ndarray | Placed) -> np.ndarray:
    """The numbers of an array nearest to and farthest from 0, but for 0, and what is not finite."""
    found = np.empty(0, array.dtype)
    for rows in rows_of(array):
        numbers = np.concatenate([found, rows.ravel()])
        finite = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
        ends = [finite.min(), finite.max()] if finite.size else []
        strange = [numbers[where(numbers)][:1] for where in (np.isnan, np.isposinf, np.isneginf)]
        found = np.concatenate([np.array(ends, array.dtype), *strange])
    return found if found.size else np.zeros(1, array.dtype)
