"""Prints that leave numbers out: ``...`` in brackets, and the shape that is printed beside them."""

from __future__ import annotations

import re

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Gaps
from lstmcli.formats.files.limits import check_size

GAP = "..."
ABBREVIATIONS = {GAP, "…", "⋮", "⋱"}
ABBREVIATED = (
    "the print is abbreviated, so numbers are missing. Print it whole: "
    "np.set_printoptions(threshold=sys.maxsize) or torch.set_printoptions(profile='full')."
)

TOLD_SHAPE = re.compile(r"\bshape\s*=\s*\(\s*(\d{1,18}(?:\s*,\s*\d{1,18})*)\s*,?\s*\)")


def told_shape(before: str, after: str) -> tuple[int, ...] | None:
    """The shape that is printed with an array: after it, or before it in ``<tf.Tensor: ...>``."""
    match = TOLD_SHAPE.search(before, before.rindex("<tf.")) if "<tf." in before else None
    match = match or TOLD_SHAPE.match(after.lstrip(" ,\n"))
    return tuple(int(n) for n in match[1].split(",")) if match else None


def gaps_of(
    shape: tuple[int, ...],
    ahead: dict[int, set[int | None]],
    told: tuple[int, ...] | None,
    where: str,
) -> Gaps | None:
    """What an abbreviated print leaves out; None if that is nothing."""
    before: list[int | None] = []
    for axis in range(len(shape)):
        places = ahead[axis]
        if len(places) > 1:
            raise UserError(
                f'{where}: "{GAP}" does not stand at one place in all lists of a depth.'
            )
        before += places
    if before == [None] * len(shape):
        return None
    given = zip(shape, before, told or shape, strict=False)
    if told and not (
        len(told) == len(shape) and all(n == m if b is None else n < m for n, b, m in given)
    ):
        raise UserError(f"{where}: the shape is told as {told}, which these brackets do not have.")
    check_size(told or shape, np.dtype(np.float64).itemsize, where)
    return Gaps(tuple(before), told, where)
