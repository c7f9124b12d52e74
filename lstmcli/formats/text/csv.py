"""CSV and TSV: a trace under a header of names, or the numbers of inputs.

`numpy.loadtxt` parses the numbers; the header, quotes and the order of the
rows are done here. A trace's header is
``step[,batch],h[0],h[1],...,c[0],...``: names with an index are the columns of
one array; without any, all columns are one array without a name. With columns
``step`` and ``unit``, each other column is an array. A first column without a
name, pandas' index, is the step's if no other is, else left out.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Document, compact
from lstmcli.formats.files.limits import MOST_PARTS, MOST_RUN, check_growth
from lstmcli.formats.files.source import Opened, Pieces
from lstmcli.formats.text.number_text import (
    BATCH,
    DELIMITERS,
    KEYS,
    LONG_RUN,
    MOST_STEPS,
    SEMICOLONS,
    STEP,
    UNIT,
    float32_arrays,
    refuse_decimal_commas,
)

INDEXED = re.compile(r"(.+)\[(\d{1,15})\]")


def read_lines(pieces: Pieces, file: Opened) -> Document:
    """A trace: arrays (T, K), layout "steps", or with a batch column (T, B, K), layout "time".

    Rows are in any order, every pair of step and batch once. Anything else is
    one array "" (T, K), layout "steps". UserErrors name the line, and the
    column of a cell that is not a number.
    """
    source, first = file.source, next(pieces(), "").lstrip("\r\n").partition("\n")[0]
    fields = first.replace('"', "").split(";")
    decimals = all(_is_number(field.replace(",", ".")) for field in fields)
    if len(fields) > 1 and (decimals or not {",", "\t"} & set(first)):
        raise UserError(f"{source}: {SEMICOLONS}")
    refuse_decimal_commas(first, source)
    kind = "tsv" if "\t" in first else "csv"
    if (columns := first.count(DELIMITERS[kind]) + 1) > MOST_PARTS:
        raise UserError(
            f"{source}: {columns:,} columns are more than the {MOST_PARTS:,} that are read. "
            "Save the numbers as .npy or .npz."
        )
    delimiter, texts = DELIMITERS[kind], pieces()
    cells, line, rest = _first_row(texts, delimiter, source)
    of_pandas = cells == ["", *map(str, range(len(cells) - 1))]  # with its index
    if any(map(_is_number, cells)) and not of_pandas:
        table = CsvTable(None, len(cells), source, file.size)
        table.add(np.array([_numbers(cells, line, source)]))
    else:
        table = CsvTable(_checked_names(cells, source), len(cells), source, file.size)
    for text in chain([rest], texts):
        lines = text.splitlines(keepends=True)
        table.add(_values(lines, line, len(cells), delimiter, source))
        line += len(lines)
    if not table.rows:
        raise UserError(f"{source} has no row of numbers.")
    return document_of(table, kind)


def document_of(table: CsvTable, kind: str) -> Document:
    """The arrays of a table, with the indices of steps, batch items and units."""
    keys, values = _in_order(table)
    batch, units = keys.get(BATCH), _of_part(keys.get(UNIT))
    sizes = (
        [len(numbers) for numbers in keys.values()] if len(keys) > 1 else [len(values)]
    )
    arrays, indexes = {}, {}
    for name, columns in table.columns.items():
        first, last = columns.at[0], columns.at[-1] + 1
        adjacent = columns.at == [*range(first, last)]
        part = values[:, first:last] if adjacent else values[:, columns.at]
        arrays[name] = part.reshape(sizes if columns.single else [*sizes, -1])
        if of_part := _of_part(columns.indexes):
            indexes[name] = of_part
    return Document(
        table.source,
        kind,
        arrays,
        {},
        "steps" if batch is None else "time",
        dtypes=float32_arrays(arrays),
        part=Part(
            keys.get(STEP),
            _of_part(batch),
            dict.fromkeys(arrays, units) if units else indexes,
        ),
    )


def _of_part(numbers: Sequence[int] | None) -> Sequence[int] | None:
    """Indices that a full table would not have: from 0 on, they show no others."""
    return numbers if numbers is not None and numbers[-1] >= len(numbers) else None


def _first_row(
    texts: Iterator[str], delimiter: str, source: str
) -> tuple[list[str], int, str]:
    before = 0
    for text in texts:
        lines = text.splitlines(keepends=True)
        for line, cells in _cells(lines, delimiter, source, before):
            return cells, line, "".join(lines[line - before :])
        before += len(lines)
    raise UserError(f"{source} has no row of numbers.")


def _values(
    lines: list[str], before: int, width: int, delimiter: str, source: str
) -> np.ndarray:
    if _are_plain(lines, delimiter):
        blank = f" \t\r\n{delimiter}"
        rows = [line for line in lines if line.strip(blank) and line.strip()]
        if not rows:
            return np.empty((0, width))
        try:
            values = np.loadtxt(rows, delimiter=delimiter, comments=None, ndmin=2)
        except ValueError:  # which cell it is, is found below
            values = np.empty((0, 0))
        if values.shape[1] == width:
            return values
    numbers = []
    for line, cells in _cells(lines, delimiter, source, before):
        if len(cells) != width:
            raise UserError(
                f"{source}, line {line} has {len(cells)} columns; expected {width}."
            )
        numbers.append(_numbers(cells, line, source))
    return np.array(numbers, np.float64).reshape(-1, width)


def _are_plain(lines: list[str], delimiter: str) -> bool:
    """Return whether lines have no quotes, and no more digits in a row than a number."""
    long = (line for line in lines if len(line) > MOST_RUN)
    cells = chain.from_iterable(line.split(delimiter) for line in long)
    return not any('"' in line for line in lines) and not any(
        map(LONG_RUN.search, cells)
    )


def _cells(
    lines: Iterable[str], delimiter: str, source: str, start: int = 0
) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with its line's number, ``start`` lines before."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield start + reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{source}, line {start + reader.line_num}: {error}.") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and not LONG_RUN.search(cell)  # Python would read 1_0 as 10


def _numbers(cells: list[str], line: int, source: str) -> list[float]:
    for column, cell in enumerate(map(str.strip, cells), start=1):
        if not _is_number(cell):
            shown = f'"{cell[:40]}"' if cell else "empty"
            where = f"{source}, line {line}, column {column}"
            raise UserError(f"{where} is {shown}; a number was expected.")
    return list(map(float, cells))


def _checked_names(cells: list[str], source: str) -> list[str]:
    names = [re.sub(r"\[0+(?=\d)", "[", cell.strip()) for cell in cells]
    if names[0] == "" and len(names) > 1 and not {*KEYS} & {*names}:
        names[0] = STEP  # the index of pandas
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f'{source} has two columns of the name "{twice[0]}".')
    return names


class Columns(NamedTuple):
    """The positions of an array's numbers in a row."""

    at: list[int]
    indexes: Sequence[int] | None = None  # in [], ascending
    single: bool = False  # of a name without an index: one column, no axis


def _columns(names: list[str] | None, width: int, source: str) -> dict[str, Columns]:
    """Columns ``h[0]``, ``h[1]``, ... are array ``h``; a name without index is a single column.

    Without any index, all but the keys are one array without a name; in rows
    of units, an array each.
    """
    keys = _keys(names)
    if names and not names[0]:
        keys = [*keys, ""]  # the index of pandas, next to the steps
    indexed: dict[str, dict[int, int]] = {}
    single: dict[str, Columns] = {}
    for column, name in enumerate(names or []):
        if name in keys:
            continue
        if match := INDEXED.fullmatch(name):
            indexed.setdefault(match[1], {})[int(match[2])] = column
        else:
            single[name] = Columns([column], single=True)
    for name in indexed.keys() & single.keys():
        raise UserError(f'{source} has columns {name}[n] and a column "{name}".')
    if UNIT in keys:
        for name in indexed:
            text = f"{source} has a column {UNIT!r} and columns {name}[n], which are units too."
            raise UserError(text)
        return single
    if not indexed:
        return {
            "": Columns([n for n in range(width) if not names or names[n] not in keys])
        }
    return {
        name: Columns([at[n] for n in sorted(at)], compact(sorted(at)))
        for name, at in indexed.items()
    } | single


def _keys(names: list[str] | None) -> list[str]:
    found = [name for name in KEYS if names and name in names]
    return found if STEP in found else [name for name in found if name != UNIT]


class CsvTable:
    """A table that is read row by row, in a buffer that grows.

    UserError for a batch without steps, no other column, or an index of
    thousands of digits.
    """

    def __init__(
        self, names: list[str] | None, width: int, source: str, size: int
    ) -> None:
        self.source = source
        self._size, self._width = size, width  # bytes of the text, columns
        self.keys = _keys(names)
        if self.keys == [BATCH]:
            raise UserError(
                f'{source} has a column "{BATCH}" but none called "{STEP}".'
            )
        self.columns = _columns(names, width, source)
        if not any(columns.at for columns in self.columns.values()):
            only = list(self.keys)
            if width > len(only):
                only.append("an index")
            raise UserError(f"{source} has no columns but {' and '.join(only)}.")
        self.key_columns = [names.index(name) for name in self.keys] if names else []
        self._numbers = array("d")
        self._widest = max(len(columns.at) for columns in self.columns.values())

    def add(self, values: np.ndarray) -> None:
        """Append rows (R, C)."""
        self._numbers.frombytes(values.tobytes())
        shape, where = (self.rows, self._widest), f"{self.source}: the table"
        check_growth(shape, values.itemsize, self._size, where)

    @property
    def rows(self) -> int:
        """R, how many rows there are."""
        return len(self._numbers) // self._width

    @property
    def values(self) -> np.ndarray:
        """All rows (R, C), in the order of the text."""
        return np.frombuffer(self._numbers).reshape(-1, self._width)


def _in_order(table: CsvTable) -> tuple[dict[str, Sequence[int]], np.ndarray]:
    """The numbers of each key of a table, and its rows sorted by them.

    UserError unless each combination is there once.
    """
    values = table.values
    if not table.keys:
        return {}, values
    keys = values[:, table.key_columns]
    wrong = ~((keys >= 0) & (keys < MOST_STEPS) & (keys == np.floor(keys)))
    if wrong.any():
        row, key = np.argwhere(wrong)[0]
        found = f"{table.keys[key]} is {keys[row, key]:g}"
        raise UserError(f"{table.source}: {found}; an integer was expected.")
    numbers = [_distinct(column) for column in keys.T]
    # each row's position in the full table; beyond 2**53 it is only large
    strides = np.cumprod([1.0, *(len(each) for each in numbers[:0:-1])])[::-1]
    places = [np.searchsorted(each, k) for each, k in zip(numbers, keys.T, strict=True)]
    at = strides @ np.stack(places)
    order = np.argsort(at, kind="stable")
    odd = np.flatnonzero(at[order] != np.arange(len(at)))
    if odd.size or len(at) < strides[0] * len(numbers[0]):
        first = int(odd[0]) if odd.size else len(at)
        is_twice = bool(odd.size) and at[order[first]] < first
        _refuse_place(table, numbers, first - is_twice, is_twice)
    if np.any(order[1:] < order[:-1]):
        values = values[order]
    return {
        k: compact(each) for k, each in zip(table.keys, numbers, strict=True)
    }, values


def _refuse_place(
    table: CsvTable, numbers: Sequence[np.ndarray], place: int, is_twice: bool
) -> None:
    """Refuse a position of the full table with no row, or several."""
    words: list[str] = []
    for key, each in zip(table.keys[::-1], numbers[::-1], strict=True):
        place, n = divmod(place, len(each))
        words.insert(0, f"{key} {each[n]:.0f}")
    what = "occurs a second time" if is_twice else "is missing"
    raise UserError(f"{table.source}: {', '.join(words)} {what}.")


def _distinct(values: np.ndarray) -> np.ndarray:
    """The values in order, each once: `numpy.unique` takes 9 s for 2 million."""
    ordered: np.ndarray = np.sort(values)
    distinct: np.ndarray = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return distinct
