"""JSON lines: one JSON value a line, one line a step, from a file or as standard input brings them.

A line is the inputs of a step (a list, or an object with "inputs" or "x") or
one step of a trace (an object of several lists). Lists are (K,), or (B, K) for
a batch.
"""

from __future__ import annotations

import json
import os
import re
import select
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import lt
from typing import Any, BinaryIO

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import STDIN, UserError
from lstmcli.formats.document import Arrays, Document, Shape, compact
from lstmcli.formats.files.limits import MOST_PARSED, check_growth
from lstmcli.formats.files.source import (
    HEAD,
    Opened,
    Pieces,
    decode,
    drained,
    refuse_device,
)
from lstmcli.formats.text.json import parse
from lstmcli.formats.text.json_line import INPUTS, inputs_of, kind_of_line, tried
from lstmcli.formats.text.number_text import (
    BATCH,
    MOST_STEPS,
    STEP,
    UNIT,
    UNITS,
    float32_arrays,
    is_number,
    to_array,
)

INDEX = re.compile(rb"\s*\d{1,9}\s*")  # a line of one number, of an embedding
FINAL_Y = "final_y"  # of a line behind all steps
MOST_KEYS = 1000  # characters of tidy data that include the unit's key


def read_lines(pieces: Pieces, file: Opened) -> Document:
    """Members stacked over the lines: (T, K) with layout "steps", or (T, B, K) with "time"."""
    source = file.source
    if names := _tidy_names(next(pieces(), "")):
        return _read_tidy(pieces(), names, source, file.size)
    steps = Steps(source, file.size)
    end: dict[str, Any] = {}
    for lines in _numbered(pieces()):
        records = {n: parse_line(line, source, n) for n, line in lines}
        if lines and records[lines[-1][0]].keys() == {FINAL_Y}:
            end = records.pop(lines[-1][0])
        steps.add(records)
    arrays = steps.arrays()
    part = _taken_part(arrays, steps.numbers)
    for name, numbers in end.items():
        arrays[name] = to_array(numbers, f"{source}: {name}")
    layout = "time" if any(array.ndim == 3 for array in arrays.values()) else "steps"
    dtypes = float32_arrays(arrays)
    return Document(source, "jsonl", arrays, {}, layout, dtypes=dtypes, part=part)


def _numbered(pieces: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """The lines of each piece that are not blank, with their numbers."""
    before = 0
    for piece in pieces:
        lines = enumerate(piece.split("\n"), before + 1)
        yield [(number, line) for number, line in lines if line.strip()]
        before += piece.count("\n")


def _tidy_names(text: str) -> list[str]:
    """The members of the first line, if it is a unit of a step: a number each."""
    value = (
        tried(text.lstrip().partition("\n")[0]) if UNIT in text[:MOST_KEYS] else None
    )
    if not isinstance(value, dict) or not {STEP, UNIT} <= value.keys():
        return []
    return list(value) if all(map(is_number, value.values())) else []


def _read_tidy(
    pieces: Iterable[str], names: list[str], source: str, size: int
) -> Document:
    from lstmcli.formats.text.csv import (  # 3 ms that other lines do without
        CsvTable,
        document_of,
    )

    table = CsvTable(names, len(names), source, size)
    for lines in _numbered(pieces):
        rows = []
        for number, line in lines:
            record, where = parse(line, source, number), f"{source}, line {number}"
            if not isinstance(record, dict) or record.keys() != {*names}:
                raise UserError(
                    f"{where}: an object of {', '.join(names)} was expected."
                )
            rows.append(to_array([record[name] for name in names], where))
        if rows:
            table.add(np.stack(rows))
    return document_of(table, "jsonl")


def _taken_part(arrays: Arrays, steps: Sequence[int] | None) -> Part:
    """The indices of a trace's axes, as of `LineWriter`, taken from ``arrays``."""
    keys = [
        name
        for name in arrays
        if name in (BATCH, UNITS) or name.startswith(f"{UNITS}.")
    ]
    numbers = {name: n for name in keys if (n := _ascending(arrays[name])) is not None}
    traced = {name: array for name, array in arrays.items() if name not in numbers}
    if steps is None or not traced:
        return Part(steps)
    extents = {array.shape[1:-1] for array in traced.values()}
    if BATCH in numbers and extents != {(len(numbers[BATCH]),)}:
        del numbers[BATCH]
    columns = {
        name: numbers.get(f"{UNITS}.{name}", numbers.get(UNITS, ())) for name in traced
    }
    for name in numbers:
        del arrays[name]
    fitting = {
        name: n for name, n in columns.items() if len(n) == traced[name].shape[-1]
    }
    return Part(steps, numbers.get(BATCH), fitting)


def _ascending(array: np.ndarray) -> Sequence[int] | None:
    """The ascending integers of equal rows (T, n); None for other arrays."""
    if array.ndim != 2 or not array.size or (array != array[0]).any():
        return None
    numbers = array[0]
    integers = (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < MOST_STEPS)
    return compact(numbers) if integers.all() and (np.diff(numbers) > 0).all() else None


class Steps:
    """The members of lines: the numbers of each in a buffer, and the shape of a step."""

    def __init__(self, source: str, size: int) -> None:
        self._source, self._size = source, size  # bytes of the text
        self._count = 0
        self._steps = array("q")  # their numbers, of the lines that have them
        self._shapes: dict[str, Shape] = {}
        self._numbers: dict[str, array[float]] = {}

    @property
    def numbers(self) -> Sequence[int] | None:
        """The numbers of the steps; None unless every line has one."""
        all_ = self._count and len(self._steps) == self._count
        return compact(self._steps) if all_ else None

    def add(self, records: Mapping[int, dict[str, Any]]) -> None:
        """Append the members of lines, by the numbers of the lines."""
        if not records:
            return
        lines = [*records.values()]
        kinds = {kind - {STEP} for kind in set(map(frozenset, lines))}
        steps = [record[STEP] for record in lines if STEP in record]
        try:
            if len(kinds) != 1 or (steps and not self._ascend(steps)):
                raise UserError("the lines are of several kinds")
            arrays = {
                name: to_array([record[name] for record in lines], self._source)
                for name in lines[0]
                if name != STEP
            }
            shapes = {name: array.shape[1:] for name, array in arrays.items()}
            if shapes != (self._shapes or shapes) or {*map(len, shapes.values())} - {
                1,
                2,
            }:
                raise UserError("the steps differ in shape")
        except UserError:
            for number, record in records.items():
                self._check(record, f"{self._source}, line {number}")
            raise
        for name, values in arrays.items():
            self._shapes[name] = values.shape[1:]
            shape = (self._count + len(values), *values.shape[1:])
            where = f"{self._source}: {name}" if name else self._source
            check_growth(shape, values.itemsize, self._size, where)
            self._numbers.setdefault(name, array("d")).frombytes(values.tobytes())
        self._count += len(lines)
        self._steps.extend(steps)

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
        if set(map(type, steps)) != {int}:
            return False
        first = self._steps[-1] if self._steps else -1
        return steps[-1] < MOST_STEPS and all(map(lt, [first, *steps], steps))

    def arrays(self) -> Arrays:
        """Each member as one array, stacked along the lines."""
        return {
            name: np.asarray(numbers).reshape(self._count, *self._shapes[name])
            for name, numbers in self._numbers.items()
        }


def parse_line(line: str, source: str, number: int) -> dict[str, Any]:
    """A line's members; a bare list has no name."""
    value = parse(line, source, number)
    if isinstance(value, list):
        return {"": value}
    if isinstance(value, dict) and len(value.keys() - {STEP}) > 0:
        return value
    raise UserError(
        f"{source}, line {number}: a list of numbers or an object of such lists was expected."
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


def refuse_unused(record: Mapping[str, Any], where: str) -> None:
    """Refuse a line of inputs with further members, which no run uses."""
    names = [name for name in record if name != STEP]
    if len(names) > 1:
        raise UserError(
            f"{where} has {', '.join(names)}; the inputs of a step are one list, "
            f"named {' or '.join(INPUTS)}."
        )


# ---- standard input step by step: a line is parsed once it has come


NUMBERS = {float, int}  # not bool, which NumPy takes for a number


class LineReader:
    """The lines of a stream, and whether the next one is there without waiting.

    Bytes are taken from the file descriptor as they come; without one, it is
    in memory.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.number = 0  # of the line that came last
        refuse_device(stream)
        self._stream = stream
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, AttributeError):  # in memory
            self._descriptor = None
        self._lines: deque[tuple[int, bytes]] = (
            deque()
        )  # complete, not blank; with numbers
        self._begun: list[bytes] = []  # pieces of a line without its end yet
        self._begun_size = self._count = 0  # bytes of these, and complete lines
        self._taken: list[bytes] | None = []  # all bytes, until a line is returned
        self._ended = False

    def next(self) -> bytes | None:
        """The next line that is not blank, once it is complete; None at the end."""
        if not self._has(1):
            return None
        self._taken = None
        self.number, line = self._lines.popleft()
        return line

    def waiting(self) -> bool:
        """Return whether another line can be read without waiting."""
        return self._has(1, wait=False)

    def are_inputs(self) -> bool:
        """Return whether the first line shows that the lines are inputs, one step each.

        Nothing is consumed. A second line is awaited only if the first would
        be a document.
        """
        first = self._lines[0][1] if self._has(1) else b""
        if INDEX.fullmatch(first):
            return True
        if not first.lstrip(b"\xef\xbb\xbf \t\r").startswith((b"{", b"[")):
            return False
        kind = kind_of_line(decode(first, STDIN))
        return kind == "inputs" or (kind == "either" and self._has(2))

    def rest(self) -> bytes:
        """All bytes, if `next` has returned none of them."""
        pieces = iter([b"".join(self._taken or ())])
        return drained(lambda: next(pieces, b"") or self._read(), STDIN)

    def _has(self, count: int, *, wait: bool = True) -> bool:
        while len(self._lines) < count and not self._ended and (wait or self._ready()):
            self._take()
        return len(self._lines) >= count

    def _ready(self) -> bool:
        if self._descriptor is None:
            return True
        try:
            return bool(select.select([self._descriptor], [], [], 0)[0])
        except (OSError, ValueError):  # on Windows; then lines are flushed
            return False

    def _take(self) -> None:
        piece = self._read()
        if self._taken is not None:
            self._taken.append(piece)
        *ends, begun = piece.split(b"\n")
        if ends:
            ends[0] = b"".join([*self._begun, ends[0]])
            self._begun, self._begun_size = [], 0
        self._begun.append(begun)
        self._begun_size += len(begun)
        if self._begun_size > MOST_PARSED:
            raise UserError(f"{STDIN}: a line of more than {MOST_PARSED:,} bytes.")
        if not piece:
            self._ended = True
            ends = [b"".join(self._begun)]
        for line in ends:
            self._count += 1
            if line.strip():
                self._lines.append((self._count, line))

    def _read(self) -> bytes:
        if self._ended:
            return b""
        if self._descriptor is None:
            return self._stream.read(HEAD)
        return os.read(self._descriptor, HEAD)


class StepStream:
    """The inputs of one step at a time, from JSON lines: a list, or an object with "inputs" or "x".

    Iteration yields float64 arrays, (I,) or (B, I), all of one shape;
    UserErrors name the line.
    """

    def __init__(self, lines: LineReader) -> None:
        self._lines = lines
        self._shape: Shape | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        while (line := self._lines.next()) is not None:
            plain = self._plain(line)
            yield self._step(line) if plain is None else plain

    @property
    def line(self) -> int:
        """The number of the line that came last, from 1."""
        return self._lines.number

    def waiting(self) -> bool:
        """Return whether another step can be read without waiting; else, flush."""
        return self._lines.waiting()

    def _plain(self, line: bytes) -> np.ndarray | None:
        """A bare list of as many numbers as before; None for any other line."""
        try:
            values = json.loads(line)
            if type(values) is not list or (len(values),) != self._shape:
                return None
            return (
                np.array(values, np.float64)
                if set(map(type, values)) <= NUMBERS
                else None
            )
        except (ValueError, RecursionError, OverflowError):
            return None

    def _step(self, line: bytes) -> np.ndarray:
        where = f"{STDIN}, line {self._lines.number}"
        text = decode(line, where)
        if INDEX.fullmatch(line) and self._shape in (None, (1,)):
            text = f"[{text}]"
        record = parse_line(text, STDIN, self._lines.number)
        values = record.get("", inputs_of(record))
        if values is None:
            names = " or ".join(f'"{name}"' for name in INPUTS)
            raise UserError(
                f"{where} has no member {names}; it has {', '.join(record)}."
            )
        refuse_unused(record, where)
        step = step_array(values, where)
        if self._shape not in (None, step.shape):
            raise UserError(
                f"{where}: the shape is {step.shape}; before it was {self._shape}."
            )
        self._shape = step.shape
        return step
