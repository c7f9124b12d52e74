"""Lines of a log: ``t=0 h: 0.1 0.2``, ``step 3: 0.1 0.2`` and ``h[0][1] = 0.1``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Shape
from lstmcli.formats.files.limits import MOST_PRINTED
from lstmcli.formats.text.numbers import IS_NUMBER, NUMBER
from lstmcli.formats.text.prints import Print

_STEP_NAMES = {"t", "step", "time", "timestep", "frame", "iter", "iteration"}
_NO_ARRAYS = {"shape", "size", "strides", "dims", "ndim", "axis"}
_STEP = re.compile(
    rf"\b({'|'.join(_STEP_NAMES)})\s*[=:#]?\s*(\d{{1,9}})\s*[:,;|)\]]*", re.I
)
_LIST = rf"[\[(]?\s*{NUMBER}(?:[,;\s]+{NUMBER})*\s*[\])]?"
_INDICES = r"\d{1,9}(?:, ?\d{1,9})*"
_VALUES = re.compile(
    rf"(?:^|[\s,;|>(])([A-Za-z_][\w.]*)((?:\s*[\[(]{_INDICES}[\])])*)\s*(?:=|:)\s*({_LIST})(?![\w.])"
)
_BARE = re.compile(rf"^\s*[|:,]*\s*({_LIST})\s*$")
_TIME = re.compile(
    r"\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?\w*|^\s*\[\s*\d+\.\d+\]"
)  # of a log
_LONG_WORD = re.compile(r"[^\s,;]{300}")  # longer than any name or number of a log
_INDEX = re.compile(r"\d+")
_DECIMAL = re.compile(r"\d\.\d|\d[eE]-?\d")


def find_log_lines(text: str, source: str) -> list[Print]:
    """The arrays of a log, whose lines have a name and numbers, or a step and numbers.

    UserError for numbers without a name or step, rows of different lengths, or
    missing elements.
    """
    rows: dict[str, list[_Row]] = {}
    if _LONG_WORD.search(text):
        return []
    for number, line in enumerate(text.split("\n"), start=1):
        found, rest = _values_of(line, number)
        if _DECIMAL.search(rest):
            if not rows and not found:
                return []  # no log
            raise UserError(
                f"{source}, line {number}: {rest.strip()[:40]!a} has numbers without a name or a "
                "step; lines are as t=0 h: 0.1 0.2, or h[0][1] = 0.1."
            )
        for name, row in found:
            rows.setdefault(name, []).append(row)
    return [_logged(name, found, source) for name, found in rows.items()]


@dataclass
class _Row:
    index: Shape
    step: int | None
    tokens: list[str]
    line: int


def _values_of(line: str, number: int) -> tuple[list[tuple[str, _Row]], str]:
    """The rows of a line by name, and what else the line has."""
    step = None
    line = _TIME.sub(" ", " ".join(line.split()))
    match = _STEP.search(line)
    if match:
        step = int(match[2])
        line = f"{line[: match.start()]} {line[match.end() :]}"
        bare = _BARE.match(line)
        if bare:
            return [("", _Row((), step, IS_NUMBER.findall(bare[1]), number))], ""
    found = []
    for values in _VALUES.finditer(line):
        name = values[1]
        if name.rpartition(".")[2].lower() not in _NO_ARRAYS:
            index = tuple(map(int, _INDEX.findall(values[2])))
            tokens = IS_NUMBER.findall(values[3])
            found.append((name, _Row(index, step, tokens, number)))
    return found, _VALUES.sub(" ", line)


def _logged(name: str, rows: list[_Row], source: str) -> Print:
    first = rows[0]
    for row in rows:
        if len(row.tokens) != len(first.tokens) or len(row.index) != len(first.index):
            raise UserError(
                f"{source}, line {row.line}: {name or 'this step'} has {len(row.tokens)} numbers; "
                f"line {first.line} has {len(first.tokens)}."
            )
    if first.index:
        return _by_index(name, rows, source)
    for before, row in pairwise(rows):
        if row.step is not None and before.step is not None and row.step <= before.step:
            raise UserError(
                f"{source}, line {row.line}: step {row.step} of {name or 'the log'} follows step "
                f"{before.step}; steps ascend."
            )
    tokens = [token for row in rows for token in row.tokens]
    width = len(first.tokens)
    shape = (len(rows), width) if width > 1 else (len(rows),)
    steps = [row.step for row in rows if row.step is not None]
    numbered = steps if len(steps) == len(rows) else None
    where = f"{source}, line {first.line}"
    return Print(name, tokens, shape, where, "significant", steps=numbered)


def _by_index(name: str, rows: list[_Row], source: str) -> Print:
    """``h[0][1] = 0.1``: every element once, or every row."""
    indices = zip(*(row.index for row in rows), strict=True)
    shape = tuple(1 + max(along) for along in indices)
    where = f"{source}, line {rows[0].line}"
    if prod(shape) > MOST_PRINTED:
        raise UserError(f"{where}: an index of {name} is out of range.")
    by_place: dict[Shape, _Row] = {}
    for row in rows:
        if by_place.setdefault(row.index, row) is not row:
            raise UserError(
                f"{source}, line {row.line}: {_element(name, row.index)} comes twice."
            )
    tokens: list[str] = []
    for place in np.ndindex(shape):
        if place not in by_place:
            raise UserError(f"{source}: {_element(name, place)} is missing.")
        tokens += by_place[place].tokens
    width = len(rows[0].tokens)
    if width > 1:
        shape = (*shape, width)
    return Print(name, tokens, shape, where, "significant")


def _element(name: str, index: Sequence[int]) -> str:
    return name + "".join(f"[{n}]" for n in index)
