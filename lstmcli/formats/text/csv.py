"""CSV and TSV: a trace under a header of names, or the numbers of inputs.

`numpy.loadtxt` parses the numbers; the header and quotes are read here, and
`table` puts the rows in order. A first column without a name, pandas' index,
is the step's if no other is, else left out.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.files.limits import MOST_PARTS, MOST_RUN
from lstmcli.formats.files.source import Opened, TextPieces
from lstmcli.formats.text.numbers import (
    SEMICOLONS,
    is_decimal,
    refuse_decimal_commas,
)
from lstmcli.formats.text.step_writers import DELIMITERS, KEYS, STEP
from lstmcli.formats.text.table import Table


def read_lines(pieces: TextPieces, file: Opened) -> Document:
    """A trace: arrays (T, K), layout "steps", or with a batch column (T, B, K), layout "time".

    Rows are in any order, every pair of step and batch once. Anything else is
    one array "" (T, K), layout "steps". UserErrors name the line, and the
    column of a cell that is not a number.
    """
    source = file.source
    kind = _kind_of(next(pieces(), ""), source)
    lines = Lines(source, DELIMITERS[kind])
    texts = pieces()
    cells, line, rest = lines.first(texts)
    width = len(cells)
    if _are_names(cells):
        table = Table(_checked_names(cells, source), width, source, file.size)
    else:
        table = Table(None, width, source, file.size)
        table.add(np.array([lines.numbers(cells, line)]))
    for text in chain([rest], texts):
        of_text = text.splitlines(keepends=True)
        table.add(lines.block(of_text, line, width))
        line += len(of_text)
    if not table.rows:
        raise UserError(f"{source} has no row of numbers.")
    return table.document(kind)


def _kind_of(text: str, source: str) -> str:
    """``tsv`` or ``csv`` by the first line; UserError for semicolons and decimal commas."""
    first = text.lstrip("\r\n").partition("\n")[0]
    if _has_semicolons(first):
        raise UserError(f"{source}: {SEMICOLONS}")
    refuse_decimal_commas(first, source)
    kind = "tsv" if "\t" in first else "csv"
    columns = first.count(DELIMITERS[kind]) + 1
    if columns > MOST_PARTS:
        raise UserError(
            f"{source}: {columns:,} columns are more than the {MOST_PARTS:,} that are read. "
            "Save the numbers as .npy or .npz."
        )
    return kind


def _has_semicolons(first: str) -> bool:
    """Return whether a first line has ; between its cells, and commas at most in decimals."""
    cells = first.replace('"', "").split(";")
    if len(cells) == 1:
        return False
    if "," not in first and "\t" not in first:
        return True
    return all(is_decimal(cell.replace(",", ".")) for cell in cells)


# ---- lines


class Lines(NamedTuple):
    """The way from lines to cells and numbers; ``before``: how many lines are in front of them."""

    source: str
    delimiter: str

    def first(self, texts: Iterator[str]) -> tuple[list[str], int, str]:
        """The first row, the number of its line, and what follows it in its piece."""
        before = 0
        for text in texts:
            lines = text.splitlines(keepends=True)
            for line, cells in self.cells(lines, before):
                return cells, line, "".join(lines[line - before :])
            before += len(lines)
        raise UserError(f"{self.source} has no row of numbers.")

    def block(self, lines: list[str], before: int, width: int) -> np.ndarray:
        """The numbers (R, C) of lines."""
        values = self._by_numpy(lines, width)
        if values is not None:
            return values
        rows = []
        for line, cells in self.cells(lines, before):
            if len(cells) != width:
                where = f"{self.source}, line {line}"
                raise UserError(f"{where} has {len(cells)} columns; expected {width}.")
            rows.append(self.numbers(cells, line))
        return np.array(rows, np.float64).reshape(-1, width)

    def _by_numpy(self, lines: list[str], width: int) -> np.ndarray | None:
        """The numbers; None for quotes, long numbers, and whatever is wrong."""
        for line in lines:
            if '"' in line:
                return None
            if len(line) > MOST_RUN:  # a cell may be
                longest = max(map(len, line.split(self.delimiter)))
                if longest > MOST_RUN:
                    return None
        blank = " \t\r\n" + self.delimiter
        rows = [line for line in lines if line.strip(blank) and line.strip()]
        if not rows:
            return np.empty((0, width))
        try:
            values = np.loadtxt(rows, delimiter=self.delimiter, comments=None, ndmin=2)
        except ValueError:
            return None
        return values if values.shape[1] == width else None

    def cells(
        self, lines: Iterable[str], before: int
    ) -> Iterator[tuple[int, list[str]]]:
        """Each row that is not blank, with the number of its line."""
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield before + reader.line_num, cells
        except csv.Error as error:
            where = f"{self.source}, line {before + reader.line_num}"
            raise UserError(f"{where}: {error}.") from None

    def numbers(self, cells: list[str], line: int) -> list[float]:
        """The numbers of a row."""
        numbers = []
        for column, text in enumerate(cells, start=1):
            cell = text.strip()
            if not is_decimal(cell):
                shown = f'"{cell[:40]}"' if cell else "empty"
                where = f"{self.source}, line {line}, column {column}"
                raise UserError(f"{where} is {shown}; a number was expected.")
            numbers.append(float(cell))
        return numbers


# ---- the header


def _are_names(cells: list[str]) -> bool:
    numbered = [str(n) for n in range(len(cells) - 1)]
    if cells == ["", *numbered]:  # of pandas: its index, and columns by number
        return True
    return not any(map(is_decimal, cells))


def _checked_names(cells: list[str], source: str) -> list[str]:
    names = [re.sub(r"\[0+(?=\d)", "[", cell.strip()) for cell in cells]
    has_keys = any(key in names for key in KEYS)
    if names[0] == "" and len(names) > 1 and not has_keys:
        names[0] = STEP  # the index of pandas
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f'{source} has two columns of the name "{name}".')
    return names
