"""One side of a comparison: named arrays, and what their file specifies of them.

NumPy, PyTorch and TensorFlow print the first and last few items of a long axis and ``...`` between
them. The printed output may have the length of the axis; otherwise the other array has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lstmcli.core.diff.array_name import ArrayName
from lstmcli.core.diff.tolerance import FLOAT32, Numbers, Precision, precision_of
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.axis_numbers import UNNUMBERED, AxisNumbers
from lstmcli.core.model.model import join_with_and
from lstmcli.core.model.selection import Indices
from lstmcli.errors import UserError

UNNAMED = ""
"""What readers call an array that came without a name; here it is `h`."""


Gaps = tuple[int | None, ...]
"""Of each axis: how many items are printed ahead of ``...``; None: all of them are."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: named arrays, and what its file specifies of them."""

    name: str  # how messages call it
    arrays: Mapping[str, Array]  # a single one may be called ""
    layout: str | None = None  # "steps" (T, H), "time" (T, B, H), "batch" (B, T, H), if known
    units: Mapping[str, Array] = field(default_factory=dict)  # of printed text: the last place
    dtypes: Mapping[str, np.dtype[Any]] = field(default_factory=dict)  # where not that of the array
    settings: Mapping[str, Any] | None = None  # a trace's ``meta``
    gaps: Mapping[str, Gaps] = field(default_factory=dict)  # of prints without their shape
    numbering: AxisNumbers = UNNUMBERED  # of its steps, batch items and columns in the full run
    original_names: Mapping[str, str] = field(default_factory=dict)  # in the file, by name here
    not_asked_for: tuple[str, ...] = ()  # other arrays of its file, where one was named
    in_memory: bool = False  # given in Python: its name is that of an argument, and no file's

    @property
    def cells(self) -> set[str]:
        """The cells that have arrays in its file, ``layer0_reverse``; "" for arrays of no cell."""
        return {ArrayName.of(name).prefix for name in (*self.arrays, *self.not_asked_for)}

    @property
    def renaming(self) -> str:
        """``output of a.npz is interpreted as h``, where its file calls arrays by other names."""
        if not self.original_names:
            return ""
        verb = "is" if len(self.original_names) == 1 else "are"
        theirs = join_with_and([*self.original_names.values()])
        here = join_with_and([*self.original_names])
        return f"{theirs} of {self.name} {verb} interpreted as {here}".removeprefix(" of ")

    def indices(self, name: str, axis: int, size: int) -> Indices | None:
        """Which of the run's steps, batch items or units an array has; None: not known."""
        steps, batch, columns, _ = self.numbering
        of_axis = (steps, batch, columns.get(name))[axis]
        return of_axis if of_axis is not None and 0 < len(of_axis) == size else None

    def numbers(self, name: str) -> Numbers:
        """One array with the units of its printed output; bools and integers as float64."""
        array = self.arrays[name]
        if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
            raise UserError(
                f"{self.name}: {name or 'the array'} is {array.dtype}, not numbers to compare."
            )
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
        return Numbers(array, self.units.get(name))

    def with_numbers(self, numbers: Mapping[str, Numbers]) -> Side:
        """The side with abbreviated outputs in their full shapes."""
        arrays = {name: full.values for name, full in numbers.items()}
        units = {name: np.asarray(full.unit) for name, full in numbers.items()}
        return replace(
            self, arrays={**self.arrays, **arrays}, units={**self.units, **units}, gaps={}
        )

    def precision(self, name: str) -> Precision:
        """The precision in which an array counts; printed output without one counts as float32."""
        if name in self.dtypes:
            return precision_of(self.dtypes[name])
        return FLOAT32 if name in self.units else precision_of(self.arrays[name].dtype)


# ---- what printed output left out, put back where it is: unknown numbers


def fits(packed: tuple[int, ...], before: Gaps, shape: tuple[int, ...]) -> bool:
    """Whether a full array of ``shape`` would have been printed as these packed numbers."""
    return len(shape) == len(packed) and all(
        n == m if ahead is None else n < m
        for n, ahead, m in zip(packed, before, shape, strict=True)
    )


def put_at(numbers: Numbers, index: tuple[Any, ...], shape: tuple[int, ...]) -> Numbers:
    """Numbers at an index of a full array; the others are NaN, their unit infinite: left out."""
    values, unit = np.full(shape, np.nan), np.full(shape, np.inf)
    values[index] = numbers.values
    unit[index] = 0.0 if numbers.unit is None else numbers.unit
    return Numbers(values, unit)


def spread(numbers: Numbers, before: Gaps, shape: tuple[int, ...]) -> Numbers:
    """Packed numbers at their places in a full array; the others are left out."""
    at = [
        np.arange(m) if ahead is None else np.r_[:ahead, m - (n - ahead) : m]
        for n, ahead, m in zip(numbers.shape, before, shape, strict=True)
    ]
    return put_at(numbers, np.ix_(*at), shape)


def shape_text(before: Gaps, packed: tuple[int, ...]) -> str:
    """What printed output shows of the shape of the full array: ``(4, more than 6, 8)``."""
    parts = [
        f"{n}" if ahead is None else f"more than {n}"
        for n, ahead in zip(packed, before, strict=True)
    ]
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
