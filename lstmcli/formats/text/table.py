"""A table of a trace: rows of steps, batch items and units in any order -> arrays.

Its columns are ``step[,batch],h[0],h[1],...,c[0],...``: names with an index are
the columns of one array; without any, all columns are one array without a
name. With columns ``step`` and ``unit``, each other column is an array. CSV,
TSV and tidy JSON lines are such tables.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Document, compact
from lstmcli.formats.files.limits import check_growth
from lstmcli.formats.text.numbers import MOST_STEPS
from lstmcli.formats.text.step_writers import BATCH, KEYS, STEP, UNIT

INDEXED = re.compile(r"(.+)\[(\d{1,15})\]")

Indices = dict[str, Sequence[int]]
"""By key, the ascending indices of its axis."""


# ---- columns


@dataclass(frozen=True)
class Columns:
    """The positions of an array's numbers in a row."""

    at: list[int]
    indices: Sequence[int] | None = None  # in [], ascending
    single: bool = False  # of a name without an index: one column, no axis

    def of(self, values: np.ndarray) -> np.ndarray:
        """These columns of all rows, not copied if they are adjacent."""
        first, last = self.at[0], self.at[-1]
        if self.at == list(range(first, last + 1)):
            return values[:, first : last + 1]
        return values[:, self.at]


def _keys(names: list[str] | None) -> list[str]:
    """The names of keys; without steps, "unit" is an array."""
    if names is None:
        return []
    found = [key for key in KEYS if key in names]
    if STEP not in found and UNIT in found:
        found.remove(UNIT)
    return found


def _columns(names: list[str], keys: list[str], source: str) -> dict[str, Columns]:
    """Columns ``h[0]``, ``h[1]``, ... are array ``h``; a name without index is a single column.

    Without any index, all but the keys are one array without a name; in rows
    of units, an array each.
    """
    indexed: dict[str, dict[int, int]] = {}  # by array: index -> column
    single: dict[str, Columns] = {}
    for column, name in enumerate(names):
        is_index_of_pandas = column == 0 and name == ""
        if name in keys or is_index_of_pandas:
            continue
        match = INDEXED.fullmatch(name)
        if match is None:
            single[name] = Columns([column], single=True)
        else:
            indexed.setdefault(match[1], {})[int(match[2])] = column
    for name in indexed:
        if name in single:
            raise UserError(f'{source} has columns {name}[n] and a column "{name}".')
        if UNIT in keys:
            raise UserError(
                f"{source} has a column {UNIT!r} and columns {name}[n], which are units too."
            )
    if UNIT in keys:
        return single
    if not indexed:
        return {"": Columns([column for each in single.values() for column in each.at])}
    columns = {}
    for name, column_of in indexed.items():
        indices = sorted(column_of)
        columns[name] = Columns([column_of[n] for n in indices], compact(indices))
    return columns | single


# ---- rows


class Table:
    """A table that is read row by row, in a buffer that grows.

    UserError for a batch without steps, no other column, or an index of
    thousands of digits.
    """

    def __init__(
        self, names: list[str] | None, width: int, source: str, size: int
    ) -> None:
        self.source = source
        self._width = width
        self._size = size  # bytes of the text
        self._numbers = array("d")
        self.keys = _keys(names)
        if self.keys == [BATCH]:
            raise UserError(
                f'{source} has a column "{BATCH}" but none called "{STEP}".'
            )
        if names is None:
            self.key_columns: list[int] = []
            self.columns = {"": Columns(list(range(width)))}
        else:
            self.key_columns = [names.index(key) for key in self.keys]
            self.columns = _columns(names, self.keys, source)
        self._widest = max((len(each.at) for each in self.columns.values()), default=0)
        if not self._widest:
            only = list(self.keys)
            if width > len(only):
                only.append("an index")
            raise UserError(f"{source} has no columns but {' and '.join(only)}.")

    def add(self, values: np.ndarray) -> None:
        """Append rows (R, C)."""
        self._numbers.frombytes(values.tobytes())
        shape = (self.rows, self._widest)
        check_growth(shape, values.itemsize, self._size, f"{self.source}: the table")

    @property
    def rows(self) -> int:
        """R, how many rows there are."""
        return len(self._numbers) // self._width

    @property
    def values(self) -> np.ndarray:
        """All rows (R, C), in the order of the text."""
        return np.frombuffer(self._numbers).reshape(-1, self._width)

    def document(self, format: str) -> Document:
        """The arrays, with the indices of steps, batch items and units."""
        indices, values = _in_order(self)
        axes = [len(each) for each in indices.values()] or [len(values)]
        arrays = {}
        units: Indices = {}  # by array, of a part of a run
        for name, columns in self.columns.items():
            shape = axes if columns.single else [*axes, len(columns.at)]
            arrays[name] = columns.of(values).reshape(shape)
            of_part = _of_part(indices.get(UNIT, columns.indices))
            if of_part is not None:
                units[name] = of_part
        part = Part(indices.get(STEP), _of_part(indices.get(BATCH)), units)
        layout = "time" if BATCH in indices else "steps"
        return Document(self.source, format, arrays, layout=layout, part=part)


def _of_part(indices: Sequence[int] | None) -> Sequence[int] | None:
    """Indices that a full table would not have: from 0 on, they show no others."""
    if indices is None or indices[-1] < len(indices):
        return None
    return indices


# ---- the order of the rows


def _in_order(table: Table) -> tuple[Indices, np.ndarray]:
    """The indices of each key of a table, and its rows sorted by them.

    UserError unless each combination is there once.
    """
    values = table.values
    if not table.keys:
        return {}, values
    keys = values[:, table.key_columns]
    _refuse_fractions(table, keys)
    order = np.lexsort(keys.T[::-1])  # by the first key, then by the second, ...
    if np.any(order[1:] < order[:-1]):
        values = values[order]
        keys = keys[order]
    distinct = [_distinct(column) for column in keys.T]
    repeats = (keys[1:] == keys[:-1]).all(axis=1)
    if repeats.any() or len(keys) < prod(map(len, distinct)):
        _refuse_incomplete(table, distinct, keys)
    indices = map(compact, distinct)
    return dict(zip(table.keys, indices, strict=True)), values


def _refuse_fractions(table: Table, keys: np.ndarray) -> None:
    are_indices = (keys >= 0) & (keys < MOST_STEPS) & (keys == np.floor(keys))
    if are_indices.all():
        return
    row, key = np.argwhere(~are_indices)[0]
    found = f"{table.keys[key]} is {keys[row, key]:g}"
    raise UserError(f"{table.source}: {found}; an integer was expected.")


def _refuse_incomplete(
    table: Table, distinct: list[np.ndarray], keys: np.ndarray
) -> None:
    """Refuse the first combination that has no row, or several; ``keys`` are in order."""
    rows = map(tuple, keys.tolist())
    row = next(rows, None)
    for place in product(*(each.tolist() for each in distinct)):
        if row != place:
            raise UserError(f"{table.source}: {_words(table, place)} is missing.")
        row = next(rows, None)
        if row == place:
            raise UserError(
                f"{table.source}: {_words(table, place)} occurs a second time."
            )


def _words(table: Table, place: Sequence[float]) -> str:
    pairs = zip(table.keys, place, strict=True)
    return ", ".join(f"{key} {index:.0f}" for key, index in pairs)


def _distinct(values: np.ndarray) -> np.ndarray:
    """The values in order, each once: `numpy.unique` takes 9 s for 2 million."""
    ordered: np.ndarray = np.sort(values)
    distinct: np.ndarray = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return distinct
