"""The result of reading a file: named arrays, and the metadata of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.core.model.part import WHOLE, Part
from lstmcli.errors import UserError, did_you_mean, listed

if TYPE_CHECKING:
    from lstmcli.core.model.surroundings import FrontOfFile, HeadOfFile

Arrays = dict[str, np.ndarray]
Shape = tuple[int, ...]
Groups = dict[str, dict[str, Any]]  # as in `Document`


@dataclass(frozen=True)
class Gaps:
    """The elements that output elided with ``...``; the array has only those printed."""

    before: tuple[
        int | None, ...
    ]  # of each axis: items before ``...``; None: all are there
    shape: Shape | None  # of the full array, if it is printed
    where: str  # source and line, which start a message


MOST_LISTED = 12  # members in a message: two lines of a terminal


def compact(numbers: Sequence[int] | np.ndarray) -> Sequence[int]:
    """Ascending numbers as a range if they have no gaps, else as a list."""
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == len(numbers):
        return range(first, last + 1)
    return [int(number) for number in numbers]


@dataclass(frozen=True, eq=False, repr=False)
class Document:
    """Named arrays of a file, its attributes, and what the format declares of them."""

    source: str  # in messages: the path as typed, or "standard input"
    format: str  # its row in the table: "npy", "npz", "json", ...
    arrays: Arrays  # "" is a single array without a name
    attributes: dict[str, Any] = field(default_factory=dict)
    """Scalars, strings, None, lists of strings; nested names are joined with "."; "" is a single
    scalar without a name; ``meta`` is decoded JSON, one dict."""
    layout: str | None = None
    """Axes, if the format defines them: "steps" (T, K), "time" (T, B, K), "batch" (B, T, K)."""
    units: Arrays = field(default_factory=dict)
    """Printed text only: the unit of the last printed place of each element (0: exact)."""
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    """The dtype of an array's numbers when they were written, if the array has another."""
    groups: Groups = field(default_factory=dict)
    """Metadata by the start of tensors' names ("": of all), with the format's keys: the config of
    a layer, the attributes of a node."""
    in_turn: tuple[str, ...] = ()
    """Names of groups, each of which feeds the next in the file's model, if that is known."""
    has_graph: bool = False
    """The file tells which layer feeds which: what its tensors look like decides nothing."""
    heads: tuple[HeadOfFile, ...] = ()
    """The layers behind each LSTM whose output they take, if the format tells."""
    fronts: tuple[FrontOfFile, ...] = ()
    """The layer before each LSTM that takes its output, if the format tells."""
    remarks: tuple[str, ...] = ()
    """On the file: tensors that were left out, another file that was read too."""

    gaps: dict[str, Gaps] = field(default_factory=dict)
    """Printed text only, and only with `read(abbreviated=True)`: what was left out."""

    part: Part = WHOLE
    """Tables and JSON lines only: which steps, batch items and columns of a run they contain."""

    other_members: tuple[str, ...] = ()
    """The names of the file's other arrays, if one was asked for."""

    not_run: str = ""
    """The reason why its tensors can be listed but not run; "" if they may be an LSTM's."""

    def member(self, name: str) -> Document:
        """Only the array of this name, with its metadata; UserError without."""
        if not name or name not in self.arrays:
            raise self._no_member(name)
        columns = _only(name, self.part.columns)
        by_name = ("arrays", "units", "dtypes", "gaps")
        fields: dict[str, Any] = {
            field: _only(name, getattr(self, field)) for field in by_name
        }
        return replace(
            self,
            source=f"{self.source}:{name}",
            part=self.part._replace(columns=columns),
            other_members=(*self.other_members, *(k for k in self.arrays if k != name)),
            **fields,
        )

    def _no_member(self, name: str) -> UserError:
        start = f"{self.source}:{name}: {self.source} has"
        names = [member for member in self.arrays if member]
        if self.arrays and not names:
            return UserError(f"{start} one array, without a name; leave out :{name}.")
        members = listed(names, MOST_LISTED) or "no arrays"
        if name in self.attributes:
            return UserError(f"{start} {members}; {name} is not an array of numbers.")
        return UserError(
            f"{start} no {name!r}; it has {members}.{did_you_mean(name, names)}"
        )


def _only(name: str, mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key == name}


NUMBERS = 1 << 14  # of an array, made text at a time
BFLOAT16 = np.dtype("V2")  # as JAX, ml_dtypes and Keras store it


def native(array: np.ndarray) -> np.ndarray:
    """Numbers in this machine's byte order; bfloat16 becomes float32."""
    if array.dtype == BFLOAT16:  # the upper half of the bits of a float32
        bits = array.view("<u2").astype(np.uint32)
        return np.left_shift(bits, 16, out=bits).view(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def rows_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """The rows along the last axis of any array, in C order: blocks (n, K)."""
    if array.ndim > 2 and prod(array.shape[1:]) > NUMBERS:
        for part in array:
            yield from rows_of(part)
    else:
        array = np.atleast_2d(array)
        size = max(1, NUMBERS // max(1, prod(array.shape[1:])))
        for first in range(0, len(array), size):
            block = array[first : first + size]
            yield block.reshape(prod(block.shape[:-1]), block.shape[-1])


def size_as_read(dtype: np.dtype[Any]) -> int:
    """The bytes of a number that `native` returns."""
    return 4 if dtype == BFLOAT16 else dtype.itemsize


def dequantized(
    array: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int | None
) -> np.ndarray:
    """(q - zero point) * scale as float32; ValueError unless one, or as many as on ``axis``."""
    shape = [1] * array.ndim
    if axis is not None:
        shape[axis] = array.shape[axis]
    with np.errstate(all="ignore"):
        centred = array.astype(np.int64) - zero.astype(np.int64).reshape(shape)
        return np.asarray(centred.astype(np.float32) * scale.reshape(shape), np.float32)
