"""Nested lists of numbers -> arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import MOST_AXES, check_size
from lstmcli.formats.text.numbers import SPECIAL, is_number

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


def _kind(value: Any) -> str:
    if type(value) is list:
        return f"a list of {len(value)}"
    shown = f' "{value[:20]}"' if type(value) is str else ""
    return _KINDS.get(type(value), "a number") + shown
