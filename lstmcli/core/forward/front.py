"""The front before a run: the LSTM's inputs x of the indices that its model takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs
from lstmcli.core.model.surroundings import Embedding
from lstmcli.errors import SettingsToTry, UserError


def with_front(inputs: Inputs, front: Embedding) -> Inputs:
    """The inputs with x made of indices; the LSTM's own inputs as they are.

    Numbers of one or two axes are indices, unless those of two have the LSTM's
    size on their last axis and are not all integers that the table has.
    UserError for what is neither.
    """
    if inputs.x.ndim not in (1, 2) or inputs.x.dtype.kind not in "fiub":
        return inputs
    if inputs.x.dtype.kind == "b":
        raise UserError(
            f"{inputs.name} has booleans; {_takes(front)}, as integers.",
            try_=[
                SettingsToTry(
                    {"front": "none"}, "takes booleans as the LSTM's own inputs"
                )
            ],
        )
    numbers = np.asarray(inputs.x[:])
    is_index = _are_indices(numbers, front)
    if is_index.all():
        indices = numbers.astype(np.intp)
        return replace(inputs, x=front.of(indices), indices=indices)
    if numbers.ndim == 2 and numbers.shape[1] == front.table.shape[1]:
        return inputs
    where, number = _first_other(numbers, is_index)
    if numbers.ndim == 1:
        where = f"step {where}"
    width = front.table.shape[1]
    raise UserError(
        f"{inputs.name} has {number} at {where}; {_takes(front)}.",
        f"  The LSTM's own inputs are (T, {width}), (B, T, {width}) or (T, B, {width}).",
    )


def are_own_inputs(x: Array, front: Embedding) -> bool:
    """Return whether a step is the LSTM's own inputs, (I,) or (B, I), and no indices (B,)."""
    if x.ndim != 1:
        return True
    return len(x) == front.table.shape[1] and not _are_indices(x, front).all()


def step_of_front(x: Array, name: str, front: Embedding) -> Array:
    """The inputs (I,) or (B, I) of one step, whose indices are x (1,) or (B,)."""
    is_index = _are_indices(x, front)
    if not is_index.all():
        where, number = _first_other(x, is_index)
        if len(x) > 1:
            number = f"{number} for sequence {where}"
        ways = []
        if len(x) == front.table.shape[1]:
            ways.append(
                SettingsToTry({"front": "none"}, "takes lines of the LSTM's own inputs")
            )
        raise UserError(f"{name} has {number}; {_takes(front)}.", try_=ways)
    rows = front.of(x)
    return rows[0] if len(x) == 1 else rows


def _are_indices(numbers: Array, front: Embedding) -> Array:
    """Which numbers are integers that the table has a row for."""
    with np.errstate(invalid="ignore"):
        is_whole = (numbers == np.floor(numbers)) & np.isfinite(numbers)
        is_index: Array = is_whole & (numbers >= 0) & (numbers < front.rows)
    return is_index


def _first_other(numbers: Array, is_index: Array) -> tuple[str, str]:
    """The place of the first number that is not an index, and the number."""
    place = np.argwhere(~is_index)[0].tolist()
    number = f"{numbers[tuple(place)]:g}"
    return (str(place[0]) if len(place) == 1 else str(place)), number


def _takes(front: Embedding) -> str:
    rows, width = front.table.shape
    return f"{front.name} ({rows}, {width}) takes indices from 0 to {rows - 1}"
