"""The result of reading a file: named arrays, and the metadata of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from lstmcli.errors import UserError, did_you_mean, listed


@dataclass(frozen=True)
class Gaps:
    """Which elements printed output elided with ``...``; the array holds only those printed."""

    before: tuple[int | None, ...]  # of each axis: items before ``...``; None: none are left out
    shape: tuple[int, ...] | None  # of the full array, if it is printed
    where: str  # source and line, which start a message


class Numbering(NamedTuple):
    """Indices of the steps, batch items and columns in the full run; None: not in the text."""

    steps: Sequence[int] | None = None
    batch: Sequence[int] | None = None
    columns: Mapping[str, Sequence[int]] = {}  # of the arrays that have them


NOT_NUMBERED = Numbering()
MOST_LISTED = 12  # members in a message: about two lines of a terminal


def compact(numbers: Sequence[int] | np.ndarray) -> Sequence[int]:
    """Ascending numbers as a range where they have no gaps, else as a list."""
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == len(numbers):
        return range(first, last + 1)
    return [int(number) for number in numbers]


@dataclass(frozen=True, eq=False, repr=False)
class Document:
    """Named arrays of a file, its attributes, and what the format declares about the arrays."""

    source: str  # what messages call it: the path as typed, or "standard input"
    format: str  # the row of the table it was read by: "npy", "npz", "json", ...
    arrays: dict[str, np.ndarray]  # "" is a single array without a name
    attributes: dict[str, Any] = field(default_factory=dict)
    """Scalars, strings, None, lists of strings; nested names are joined with "."; "" is a single
    scalar without a name; ``meta`` is decoded JSON, one dict."""
    layout: str | None = None
    """Axes, if the format defines them: "steps" (T, K), "time" (T, B, K), "batch" (B, T, K)."""
    units: dict[str, np.ndarray] = field(default_factory=dict)
    """Printed text only: the unit of the last printed place of each element (0: exact)."""
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    """The dtype that an array's numbers had when they were written, if the array has another."""
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Metadata by the start of tensors' names ("": of all tensors), with the format's keys: the
    config of a layer, the attributes of a node."""
    in_turn: tuple[str, ...] = ()
    """Names of groups, each of which feeds the next in the model of the file, if it is known."""
    remarks: tuple[str, ...] = ()
    """A remark on the file: tensors that were left out, another file that was read too."""

    gaps: dict[str, Gaps] = field(default_factory=dict)
    """Printed text only, and only with `read(abbreviated=True)`: what was left out."""

    numbering: Numbering = NOT_NUMBERED
    """Tables and JSON lines only: which steps, batch items and columns of a run they contain."""

    other_members: tuple[str, ...] = ()
    """The names of the file's other arrays, where one of them was asked for."""

    not_run: str = ""
    """The reason why its tensors can be listed but not run; "" if they may be an LSTM's."""

    def member(self, name: str) -> Document:
        """Only the array of this name, with its metadata; UserError if there is none."""
        if not name or name not in self.arrays:
            raise self._no_member(name)
        return replace(
            self,
            source=f"{self.source}:{name}",
            arrays={name: self.arrays[name]},
            units={k: unit for k, unit in self.units.items() if k == name},
            dtypes={k: dtype for k, dtype in self.dtypes.items() if k == name},
            gaps={k: gaps for k, gaps in self.gaps.items() if k == name},
            numbering=self.numbering._replace(
                columns={k: n for k, n in self.numbering.columns.items() if k == name}
            ),
            other_members=(*self.other_members, *(k for k in self.arrays if k != name)),
        )

    def _no_member(self, name: str) -> UserError:
        start = f"{self.source}:{name}: {self.source} has"
        names = [member for member in self.arrays if member]
        if self.arrays and not names:
            return UserError(f"{start} one array, without a name; leave out :{name}.")
        members = listed(names, MOST_LISTED) or "no arrays"
        if name in self.attributes:
            return UserError(f"{start} {members}; {name} is not an array of numbers.")
        return UserError(f"{start} no {name!r}; it has {members}.{did_you_mean(name, names)}")


def native(array: np.ndarray, bfloat16: bool = False) -> np.ndarray:
    """Numbers in this machine's byte order; those of bfloat16, stored as uint16, as float32."""
    if bfloat16:  # the upper half of the bits of a float32
        return np.asarray(np.asarray(array, np.uint32) << 16, np.uint32).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def dequantized(
    array: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int | None
) -> np.ndarray:
    """(q - zero point) * scale, rounded to float32; one of both, or as many as ``axis`` is long.

    ValueError if there are more or fewer.
    """
    shape = [1] * array.ndim
    if axis is not None:
        shape[axis] = array.shape[axis]
    with np.errstate(all="ignore"):
        centred = array.astype(np.int64) - zero.astype(np.int64).reshape(shape)
        return np.asarray(centred.astype(np.float32) * scale.reshape(shape), np.float32)
