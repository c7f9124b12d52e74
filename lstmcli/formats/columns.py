"""CSV and TSV: a trace under a header of names, or the numbers of inputs.

A trace's header is ``step[,batch],h[0],h[1],...,c[0],...``: names with an index are the columns of
one array. Without any index, all columns are one array without a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files import Opened
from lstmcli.formats.numerals import PLAIN_NAMES, SEMICOLONS, row_texts
from lstmcli.formats.precision import float32_arrays

STEP, BATCH = "step", "batch"
INDEXED = re.compile(r"(.+)\[(\d+)\]")
DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True)
class Table:
    """A table as read: names (None without a header), numbers (R, C), the lines of the rows."""

    names: list[str] | None
    values: np.ndarray
    lines: list[int]
    source: str


def read_text(text: str, file: Opened) -> Document:
    """A trace: arrays (T, K), layout "steps", or with a batch column (T, B, K), layout "time".

    Rows may come in any order if every pair of step and batch is there once. Anything else is one
    array "" (T, K), layout "steps".

    Raises
    ------
    UserError
        Cells separated by semicolons, a cell that is no number (line and column are named), rows
        of different lengths, an index or a pair of step and batch that is missing or occurs twice.
    """
    source = file.source
    first = text.lstrip("\n").partition("\n")[0]
    _refuse_semicolons(first, source)
    tab = "\t" in first
    table = _table(text, DELIMITERS["tsv" if tab else "csv"], source)
    table, batch = _in_order(table)
    arrays = _grouped(table) if table.names else {"": table.values}
    if batch:
        arrays = {name: a.reshape(-1, batch, *a.shape[1:]) for name, a in arrays.items()}
    kind, layout = "tsv" if tab else "csv", "time" if batch else "steps"
    return Document(source, kind, arrays, {}, layout, dtypes=float32_arrays(arrays))


def _refuse_semicolons(first: str, source: str) -> None:
    """Refuse a first line whose only separator is ;, or whose commas are those of decimals."""
    cells = first.replace('"', "").split(";")
    decimals = all(_is_number(cell.replace(",", ".")) for cell in cells)
    if len(cells) > 1 and (decimals or not {",", "\t"} & set(first)):
        raise UserError(f"{source}: {SEMICOLONS}")


def _table(text: str, delimiter: str, source: str) -> Table:
    names: list[str] | None = None
    rows: list[list[float]] = []
    lines: list[int] = []
    for line, cells in _cells(text, delimiter, source):
        if not lines and names is None and not any(map(_is_number, cells)):
            names = _checked_names(cells, source)
            continue
        width = len(names) if names else len(rows[0]) if rows else len(cells)
        if len(cells) != width:
            raise UserError(f"{source}, line {line} has {len(cells)} columns; expected {width}.")
        rows.append(_numbers(cells, line, source))
        lines.append(line)
    if not rows:
        raise UserError(f"{source} holds no row of numbers.")
    return Table(names, np.array(rows), lines, source)


def _cells(text: str, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of its line."""
    import csv  # other formats need not pay for it

    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise UserError(f"{source}, line {reader.line_num}: {error}.") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: list[str], line: int, source: str) -> list[float]:
    try:
        return list(map(float, cells))
    except ValueError:
        column = next(n for n, cell in enumerate(cells) if not _is_number(cell))
        shown = f'"{cells[column][:40]}"' if cells[column] else "empty"
        raise UserError(
            f"{source}, line {line}, column {column + 1} is {shown}; a number was expected."
        ) from None


def _checked_names(cells: list[str], source: str) -> list[str]:
    if len(set(cells)) < len(cells):
        twice = next(cell for cell in cells if cells.count(cell) > 1)
        raise UserError(f'{source} has two columns of the name "{twice}".')
    return cells


def _in_order(table: Table) -> tuple[Table, int]:
    """The table by step, then batch, without these columns; and the size of the batch (0: none)."""
    names = table.names or []
    if STEP not in names:
        if BATCH in names:
            raise UserError(f'{table.source} has a column "{BATCH}" but none called "{STEP}".')
        return table, 0
    keys = [name for name in (STEP, BATCH) if name in names]
    places = np.stack([_whole(table, name) for name in keys], axis=1)  # (rows, 1 or 2)
    order = np.lexsort(places.T[::-1])
    _check_complete(places[order], [table.lines[n] for n in order], table.source)
    kept = [n for n, name in enumerate(names) if name not in keys]
    if not kept:
        raise UserError(f"{table.source} has no columns but {' and '.join(keys)}.")
    values = table.values[order][:, kept]
    ordered = Table([names[n] for n in kept], values, table.lines, table.source)
    return ordered, _batch(places) if len(keys) == 2 else 0


def _whole(table: Table, name: str) -> np.ndarray:
    """A column of counts as integers."""
    assert table.names is not None
    column = table.values[:, table.names.index(name)]
    wrong = ~((column >= 0) & (column < 2**53) & (column == np.floor(column)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UserError(
            f"{table.source}, line {table.lines[row]}: {name} is {column[row]:g}; "
            "a whole number was expected."
        )
    return column.astype(np.int64)


def _batch(places: np.ndarray) -> int:
    """How many rows each step must have: one without a batch column, else what the numbers say."""
    return int(places[:, 1].max()) + 1 if places.shape[1] == 2 else 1


def _check_complete(places: np.ndarray, lines: list[int], source: str) -> None:
    """Refuse sorted places with gaps or repetitions."""
    batch = _batch(places)
    first = int(places[0, 0])
    for number, (place, line) in enumerate(zip(places.tolist(), lines, strict=True)):
        expected = [first + number // batch, number % batch][: len(place)]
        if place == expected:
            continue
        if number and place == places[number - 1].tolist():
            raise UserError(f"{source}, line {line}: {_told(place)} occurs a second time.")
        raise UserError(f"{source}: {_told(expected)} is missing (before line {line}).")
    if len(places) % batch:
        missing = [int(places[-1][0]), len(places) % batch]
        raise UserError(f"{source}: {_told(missing)} is missing.")


def _told(place: list[int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in zip((STEP, BATCH), place, strict=False))


def _grouped(table: Table) -> dict[str, np.ndarray]:
    """Columns ``h[0]``, ``h[1]``, ... as array ``h``; a name without index is a lone column."""
    columns: dict[str, dict[int, int]] = {}
    lone: dict[str, np.ndarray] = {}
    for column, name in enumerate(table.names or []):
        match = INDEXED.fullmatch(name)
        if match:
            columns.setdefault(match[1], {})[int(match[2])] = column
        else:
            lone[name] = table.values[:, column]
    if not columns:
        return {"": table.values}
    return {name: _taken(name, places, table) for name, places in columns.items()} | lone


def _taken(name: str, places: dict[int, int], table: Table) -> np.ndarray:
    missing = [n for n in range(len(places)) if n not in places]
    if missing:
        raise UserError(f"{table.source}: column {name}[{missing[0]}] is missing.")
    return table.values[:, [places[n] for n in range(len(places))]]


class ColumnWriter:
    """Writes steps as rows of a table, under one header."""

    def __init__(
        self, stream: BinaryIO, names: Sequence[str], batched: bool, delimiter: str
    ) -> None:
        self._stream = stream
        self._names = names
        self._batched = batched
        self._delimiter = delimiter
        self._headed = False

    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or, batched, (S, B, K)."""
        chosen = [arrays[name] for name in self._names]
        if not self._headed:
            self._line(self._header([array.shape[-1] for array in chosen]))
            self._headed = True
        rows = [row_texts(array, PLAIN_NAMES, self._delimiter) for array in chosen]
        for place in self._places(first_step, chosen[0].shape):
            self._line([*place, *(next(texts) for texts in rows)])

    def _header(self, widths: list[int]) -> Iterable[str]:
        yield STEP
        if self._batched:
            yield BATCH
        for name, width in zip(self._names, widths, strict=True):
            yield from (f"{name}[{n}]" for n in range(width))

    def _places(self, first_step: int, shape: tuple[int, ...]) -> Iterator[list[str]]:
        """The leading cells of each row."""
        for step in range(first_step, first_step + shape[0]):
            if self._batched:
                yield from ([str(step), str(row)] for row in range(shape[1]))
            else:
                yield [str(step)]

    def _line(self, cells: Iterable[str]) -> None:
        self._stream.write(f"{self._delimiter.join(cells)}\n".encode())


def open_steps(stream: BinaryIO, format: str, names: Sequence[str], batched: bool) -> ColumnWriter:
    """A writer of a table, "csv" or "tsv"."""
    return ColumnWriter(stream, names, batched, DELIMITERS[format])
