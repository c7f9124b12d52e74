"""JSON lines of a file: one JSON value a line, one line a step.

A line is the inputs of a step (a list, or an object with "inputs" or "x") or
one step of a trace (an object of several lists). Lists are (K,), or (B, K) for
a batch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import lt
from typing import Any

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document, Shape, compact
from lstmcli.formats.files.limits import check_growth
from lstmcli.formats.files.source import Opened, TextPieces
from lstmcli.formats.text.json import parse
from lstmcli.formats.text.nested import to_array
from lstmcli.formats.text.numbers import MOST_STEPS, is_number
from lstmcli.formats.text.step_writers import BATCH, STEP, UNIT, UNITS
from lstmcli.formats.text.table import Table

FINAL_Y = "final_y"  # of a line behind all steps


def read_lines(pieces: TextPieces, file: Opened) -> Document:
    """Members stacked over the lines: (T, K) with layout "steps", or (T, B, K) with "time".

    Of lines of units, which have "step" and "unit", the table that they are.
    """
    rows: Steps | UnitRows | None = None
    for lines in _numbered(pieces()):
        values = ((number, parse(line, file.source, number)) for number, line in lines)
        first = next(values, None)
        if first is None:
            continue
        if rows is None:
            is_unit = _is_unit(first[1])
            rows = UnitRows(first[1], file) if is_unit else Steps(file)
        rows.add(chain([first], values))
    if rows is None:
        return Document(file.source, "jsonl", {}, layout="steps")
    return rows.document()


def _numbered(pieces: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """The lines of each piece that are not blank, with their numbers."""
    before = 0
    for piece in pieces:
        lines = enumerate(piece.split("\n"), before + 1)
        yield [(number, line) for number, line in lines if line.strip()]
        before += piece.count("\n")


def _is_unit(value: Any) -> bool:
    """Return whether a first line is a unit of a step: a number for each member."""
    if not isinstance(value, dict) or STEP not in value or UNIT not in value:
        return False
    return all(map(is_number, value.values()))


class UnitRows:
    """Lines of units: rows of a `Table`, whose columns are the members of the first."""

    def __init__(self, first: dict[str, Any], file: Opened) -> None:
        self._names = list(first)
        self._table = Table(self._names, len(self._names), file.source, file.size)

    def add(self, lines: Iterable[tuple[int, Any]]) -> None:
        """Append the values of lines, by the numbers of the lines."""
        rows = []
        for number, value in lines:
            where = f"{self._table.source}, line {number}"
            if not isinstance(value, dict) or value.keys() != {*self._names}:
                raise UserError(
                    f"{where}: an object of {', '.join(self._names)} was expected."
                )
            rows.append(to_array([value[name] for name in self._names], where))
        self._table.add(np.stack(rows))

    def document(self) -> Document:
        """The arrays of the table."""
        return self._table.document("jsonl")


def _without_indices(
    arrays: Arrays, steps: Sequence[int] | None
) -> tuple[Arrays, Part]:
    """The arrays of a trace, and the part of a run that `LineWriter` says they are."""
    indices: dict[str, Sequence[int]] = {}
    traced: Arrays = {}
    for name, numbers in arrays.items():
        is_key = name in (BATCH, UNITS) or name.startswith(f"{UNITS}.")
        found = _ascending(numbers) if is_key else None
        if found is None:
            traced[name] = numbers
        else:
            indices[name] = found
    if steps is None or not traced:
        return arrays, Part(steps)
    items = indices.get(BATCH)
    extents = {numbers.shape[1:-1] for numbers in traced.values()}
    columns = {}
    for name, numbers in traced.items():
        units = indices.get(f"{UNITS}.{name}", indices.get(UNITS, ()))
        if len(units) == numbers.shape[-1]:
            columns[name] = units
    if items is not None and extents != {(len(items),)}:
        items = None
        del indices[BATCH]  # an array of its own
    kept = {name: arrays[name] for name in arrays if name not in indices}
    return kept, Part(steps, items, columns)


def _ascending(array: np.ndarray) -> Sequence[int] | None:
    """The ascending integers of equal rows (T, n); None for other arrays."""
    if array.ndim != 2 or not array.size or (array != array[0]).any():
        return None
    numbers = array[0]
    integers = (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < MOST_STEPS)
    return compact(numbers) if integers.all() and (np.diff(numbers) > 0).all() else None


class Steps:
    """The members of lines: the numbers of each in a buffer, and the shape of a step."""

    def __init__(self, file: Opened) -> None:
        self._source, self._size = file.source, file.size  # bytes of the text
        self._count = 0
        self._steps = array("q")  # their numbers, of the lines that have them
        self._shapes: dict[str, Shape] = {}
        self._numbers: dict[str, array[float]] = {}
        self._end: dict[str, Any] = {}  # of a line behind all steps

    def add(self, lines: Iterable[tuple[int, Any]]) -> None:
        """Append the values of lines, by the numbers of the lines."""
        records = {}
        for number, value in lines:
            records[number] = members_of(value, f"{self._source}, line {number}")
        last = next(reversed(records))
        if records[last].keys() == {FINAL_Y}:
            self._end = records.pop(last)
        if records:
            self._add(records)

    def document(self) -> Document:
        """The members, each as one array, stacked along the lines."""
        arrays: Arrays = {}
        for name, numbers in self._numbers.items():
            shape = (self._count, *self._shapes[name])
            arrays[name] = np.asarray(numbers).reshape(shape)
        has_steps = self._count > 0 and len(self._steps) == self._count
        steps = compact(self._steps) if has_steps else None
        arrays, part = _without_indices(arrays, steps)
        for name, numbers in self._end.items():
            arrays[name] = to_array(numbers, f"{self._source}: {name}")
        is_batch = any(array.ndim == 3 for array in arrays.values())
        layout = "time" if is_batch else "steps"
        return Document(self._source, "jsonl", arrays, layout=layout, part=part)

    def _add(self, records: Mapping[int, dict[str, Any]]) -> None:
        lines = list(records.values())
        arrays = self._stacked(lines)
        if arrays is None:
            for number, record in records.items():
                self._check(record, f"{self._source}, line {number}")
            arrays = self._arrays(lines)  # refuses what is too large together
        for name, values in arrays.items():
            self._shapes[name] = values.shape[1:]
            shape = (self._count + len(values), *values.shape[1:])
            where = f"{self._source}: {name}" if name else self._source
            check_growth(shape, values.itemsize, self._size, where)
            self._numbers.setdefault(name, array("d")).frombytes(values.tobytes())
        self._count += len(lines)
        self._steps.extend(record[STEP] for record in lines if STEP in record)

    def _stacked(self, lines: list[dict[str, Any]]) -> Arrays | None:
        """Each member of these lines as one array; None if a line is unlike those before it."""
        steps = [record[STEP] for record in lines if STEP in record]
        kinds = {kind - {STEP} for kind in map(frozenset, lines)}
        if len(kinds) != 1 or not self._ascend(steps):
            return None
        try:
            arrays = self._arrays(lines)
        except UserError:
            return None
        shapes = {name: values.shape[1:] for name, values in arrays.items()}
        depths = {len(shape) for shape in shapes.values()}
        if self._shapes not in ({}, shapes) or not depths <= {1, 2}:
            return None
        return arrays

    def _arrays(self, lines: list[dict[str, Any]]) -> Arrays:
        names = [name for name in lines[0] if name != STEP]
        return {
            name: to_array([record[name] for record in lines], self._source)
            for name in names
        }

    def _check(self, record: dict[str, Any], where: str) -> None:
        if STEP in record:
            step = record[STEP]
            if type(step) is not int or not 0 <= step < MOST_STEPS:
                raise UserError(
                    f"{where}: step is {str(step)[:40]!r}; an integer was expected."
                )
            if self._steps and step <= self._steps[-1]:
                text = f"{where}: step {step} follows step {self._steps[-1]}; steps ascend."
                raise UserError(text)
            self._steps.append(step)
        names = [name for name in record if name != STEP]
        if self._shapes and self._shapes.keys() != set(names):
            expected, found = _members(self._shapes), _members(names)
            raise UserError(f"{where} is {found}; the lines before it are {expected}.")
        for name in names:
            of = f"{where}: {name}" if name else where
            self._shapes[name] = step_array(
                record[name], of, self._shapes.get(name)
            ).shape

    def _ascend(self, steps: list[Any]) -> bool:
        if not set(map(type, steps)) <= {int}:
            return False
        before = [*self._steps[-1:], *steps]
        within = not steps or (steps[0] >= 0 and steps[-1] < MOST_STEPS)
        return within and all(map(lt, before, before[1:]))


def members_of(value: Any, where: str) -> dict[str, Any]:
    """The members of a line by its value; a bare list has no name."""
    if isinstance(value, list):
        return {"": value}
    if isinstance(value, dict) and len(value.keys() - {STEP}) > 0:
        return value
    raise UserError(
        f"{where}: a list of numbers or an object of such lists was expected."
    )


def _members(names: Iterable[str]) -> str:
    shown = ", ".join(names)
    return f"an object of {shown}" if shown else "a bare list"


def step_array(value: Any, where: str, before: Shape | None = None) -> np.ndarray:
    """One step's list as a float64 array (K,) or (B, K), of the shape of those before it.

    UserErrors start with ``where``.
    """
    numbers = to_array(value, where)
    if numbers.ndim > 2:
        raise UserError(
            f"{where} is {numbers.ndim} lists deep; a step is (units) or (batch, units)."
        )
    if before is not None and numbers.shape != before:
        raise UserError(
            f"{where} has the shape {numbers.shape}; before it was {before}."
        )
    return numbers
