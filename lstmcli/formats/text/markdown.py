"""A table in Markdown, as pandas writes it and people paste it: a table of steps like CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from lstmcli.errors import UserError
from lstmcli.formats.document import NOT_NUMBERED, Document, Numbering, compact
from lstmcli.formats.files.limits import MOST_DIGITS
from lstmcli.formats.files.source import Opened
from lstmcli.formats.text.console_print import document_of
from lstmcli.formats.text.notation import Print
from lstmcli.formats.text.number_text import IS_NUMBER, refuse_long_numbers

_COLUMN = re.compile(r"([A-Za-z_][\w.]*)?\[?(\d{1,9})\]?")
_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")


def read_text(text: str, file: Opened) -> Document:
    """The columns of a Markdown table as printed numbers: h[0], h[1], ... are one array.

    A column ``step``, or one without a header, as a data frame's index has it, numbers the steps;
    columns 0, 1, ... are those of h.

    Raises
    ------
    UserError
        Text around the table, lines of other lengths, cells that are no numbers, steps that do not
        ascend.
    """
    refuse_long_numbers(text, file.source)
    lines = text.split("\n")
    rules = [n for n, line in enumerate(lines) if line.strip() and _RULE.fullmatch(line.strip())]
    if len(rules) != 1 or rules[0] == 0:
        raise UserError(
            f"{file.source}: a Markdown table has a header, a line |---|---| and rows; "
            f"{len(rules)} such lines are here. Give one table."
        )
    rule = rules[0]
    above = [n for n in range(rule) if lines[n].strip()]
    if above != [rule - 1]:
        raise UserError(f"{file.source}, line {above[0] + 1}: only a table is read.")
    header = [cell or "step" for cell in _cells(lines[rule - 1])]
    rows: list[list[str]] = []
    for number, line in enumerate(lines[rule + 1 :], start=rule + 2):
        if not line.strip():
            continue
        cells, where = _cells(line), f"{file.source}, line {number}"
        if len(cells) != len(header):
            raise UserError(f"{where} has {len(cells)} cells; the header has {len(header)}.")
        for cell in cells:
            if not IS_NUMBER.fullmatch(cell):
                raise UserError(f'{where}: "{ascii(cell[:40])[1:-1]}" is no number.')
        rows.append(cells)
    if not rows:
        raise UserError(f"{file.source}: the table has no rows.")
    return _document(header, rows, file.source, rule)


def _document(header: list[str], rows: list[list[str]], source: str, line: int) -> Document:
    """The columns of one name side by side; the steps by their column."""
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    if len(columns) < len(header):
        raise UserError(f"{source}, line {line}: two columns have one name.")
    where = f"{source}, line {line}"
    steps = columns.pop("step", None)
    numbering = NOT_NUMBERED if steps is None else Numbering(compact(_step_numbers(steps, where)))
    by_name: dict[str, dict[int, tuple[str, ...]]] = {}
    for name, column in columns.items():
        match = _COLUMN.fullmatch(name)
        array, unit = (match[1] or "h", int(match[2])) if match else (name, 0)
        by_name.setdefault(array, {})[unit] = column
    prints = []
    for name, parts in by_name.items():
        if sorted(parts) != list(range(len(parts))):
            raise UserError(f"{where}: {name} lacks one of its columns.")
        tokens = [
            token for row in zip(*(parts[n] for n in sorted(parts)), strict=True) for token in row
        ]
        prints.append(Print(name, tokens, (len(rows), len(parts)), where, "significant"))
    return document_of(prints, numbering, source)


def _step_numbers(cells: Sequence[str], where: str) -> list[int]:
    for cell in cells:
        if not cell.isdecimal() or len(cell) > MOST_DIGITS:
            raise UserError(f"{where}: step is {cell[:40]!a}; a whole number was expected.")
    steps = [int(cell) for cell in cells]
    for before, step in pairwise(steps):
        if step <= before:
            raise UserError(f"{where}: step {step} follows step {before}; steps ascend.")
    return steps


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("`*") for cell in line.strip().strip("|").split("|")]
