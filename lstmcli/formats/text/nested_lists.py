"""Nested lists of numbers, as JSON and Python have them, become arrays.

The lists are flattened level by level, without recursion; the position of an error follows from
its number in the level.
"""

from __future__ import annotations

from array import array
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import MOST_AXES, check_size

SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

_KINDS = {
    str: "a string",
    type(None): "null",
    bool: "a truth value",
    list: "a list",
    dict: "an object",
    np.ndarray: "a list",
}


def to_array(value: list[Any] | np.ndarray, where: str) -> np.ndarray:
    """A nested list as a float64 array; an array is returned unchanged.

    Lists may contain arrays: those of tensors that a JSON has with their shape. The strings "NaN",
    "Infinity" and "-Infinity" are numbers. A message starts with ``where`` and has the position of
    a ragged list or of anything else.
    """
    if isinstance(value, np.ndarray):
        return value
    if value and type(value[0]) not in (list, np.ndarray):  # faster, for each line of a stream
        check_size([len(value)], 8, where)
        return _floats(value, [len(value)], where)
    shape: list[int] = []
    level: list[Any] = [value]
    while True:
        _even(level, shape, where)
        shape.append(len(level[0]))
        level = list(chain.from_iterable(level))
        if not level or type(level[0]) not in (list, np.ndarray):
            break
        if np.ndarray in set(map(type, level)):
            return _stacked(value, where)
        if len(shape) == MOST_AXES:
            raise UserError(f"{where} is nested more than {MOST_AXES} lists deep.")
    check_size(shape, 8, where)
    return _floats(level, shape, where).reshape(shape)


def _stacked(value: list[Any], where: str) -> np.ndarray:
    """The array of a list in which there are arrays at some level."""
    arrays: list[np.ndarray] = []
    for number, one in enumerate(value):
        if not isinstance(one, (list, np.ndarray)):
            raise UserError(
                f"{where}: element [{number}] is {_kind(one)}; a list was expected there."
            )
        arrays.append(to_array(one, f"{where}[{number}]"))
        if arrays[-1].shape != arrays[0].shape:
            raise UserError(
                f"{where} is ragged: element [{number}] has the shape {arrays[-1].shape}, "
                f"element [0] has the shape {arrays[0].shape}."
            )
    check_size((len(arrays), *arrays[0].shape), 8, where)
    return np.stack(arrays)


def numbers_of(buffer: array[float]) -> np.ndarray:
    """The numbers of a buffer that grew, as an array in the same memory."""
    return np.frombuffer(buffer) if buffer else np.empty(0)


def _even(level: list[Any], shape: list[int], where: str) -> None:
    """Raise UserError for a level of anything other than lists of one length."""
    expected = len(level[0])
    if set(map(type, level)) == {list} and set(map(len, level)) == {expected}:
        return
    for number, row in enumerate(level):
        if type(row) is not list:
            raise UserError(
                f"{where}: element {place(number, shape)} is {_kind(row)}; "
                f"a list of {expected} was expected there."
            )
        if len(row) != expected:
            raise UserError(
                f"{where} is ragged: element {place(number, shape)} has length {len(row)}, "
                f"element {place(0, shape)} has length {expected}."
            )


def _floats(numbers: list[Any], shape: list[int], where: str) -> np.ndarray:
    if not set(map(type, numbers)) <= {float, int}:
        numbers = [
            SPECIAL[x] if type(x) is str and x in SPECIAL else _number(x, n, shape, where)
            for n, x in enumerate(numbers)
        ]
    try:
        return np.array(numbers, dtype=np.float64)
    except OverflowError:
        raise UserError(f"{where} contains an integer too large for float64.") from None


def _number(value: Any, number: int, shape: list[int], where: str) -> float:
    if type(value) in (float, int):
        return value  # type: ignore[no-any-return]
    shown = f' "{value[:20]}"' if type(value) is str else ""
    raise UserError(
        f"{where}: element {place(number, shape)} is {_kind(value)}{shown}; "
        "a number was expected there."
    )


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def place(number: int, shape: list[int]) -> str:
    """``[2][0]``: the index of the element that has this number in C order of the shape."""
    return "".join(f"[{index}]" for index in np.unravel_index(number, shape))
