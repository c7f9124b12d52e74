"""The front before a run: the LSTM's inputs x of the indices that its model takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.model.arrays import Array
from lstmcli.core.model.model import Inputs
from lstmcli.core.model.surroundings import Embedding
from lstmcli.errors import UserError


def with_front(inputs: Inputs, front: Embedding) -> Inputs:
    """The inputs with x made of indices; the LSTM's own inputs as they are.

    Numbers of one or two axes are indices, unless those of two have the LSTM's
    size on their last axis and are not all integers of the table.
    UserError for what is neither.
    """
    if inputs.x.ndim not in (1, 2) or inputs.x.dtype.kind not in "fiub":
        return inputs
    numbers = np.asarray(inputs.x[:])
    with np.errstate(invalid="ignore"):
        is_whole = (numbers == np.floor(numbers)) & np.isfinite(numbers)
        is_index = is_whole & (numbers >= 0) & (numbers < front.rows)
    if is_index.all():
        indices = numbers.astype(np.intp)
        return replace(inputs, x=front.of(indices), indices=indices)
    if numbers.ndim == 2 and numbers.shape[1] == front.table.shape[1]:
        return inputs
    raise _not_indices(inputs.name, numbers, is_index, front)


def step_of_front(x: Array, name: str, front: Embedding) -> Array:
    """The inputs (I,) or (B, I) of one step, where x (1,) or (B,) are its indices.

    I numbers are the LSTM's own inputs.
    """
    if x.ndim != 1 or len(x) == front.table.shape[1]:
        return x
    rows = with_front(Inputs(x, name=name), front).x
    if len(x) == 1:
        rows = rows[0]
    return np.asarray(rows)


def _not_indices(
    name: str, numbers: Array, is_index: Array, front: Embedding
) -> UserError:
    rows, width = front.table.shape
    place = [int(n) for n in np.argwhere(~is_index)[0]]
    number = f"{numbers[tuple(place)]:g}"
    takes = f"{front.name} ({rows}, {width}) takes indices from 0 to {rows - 1}"
    if numbers.ndim == 1:
        where = f"at step {place[0]}"
    else:
        where = f"at {place}"
    return UserError(
        f"{name} has {number} {where}; {takes}.",
        f"  The LSTM's own inputs are (T, {width}), (B, T, {width}) or (T, B, {width}).",
    )
