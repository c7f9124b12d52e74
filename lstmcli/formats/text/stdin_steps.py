"""Standard input step by step: a line is parsed as soon as it has come."""

from __future__ import annotations

import json
import os
import select
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from lstmcli.errors import STDIN, UserError
from lstmcli.formats.files.limits import MOST_PARSED
from lstmcli.formats.files.source import HEAD, decode, drained, refuse_device
from lstmcli.formats.text.jsonl import (
    INPUTS,
    inputs_of,
    kind_of_line,
    parse_line,
    refuse_unused,
    step_array,
)

NUMBERS = {float, int}  # not bool, which NumPy takes for a number


class LineReader:
    """The lines of a stream, and whether the next one is there without waiting.

    Bytes are taken from the file descriptor as they come. A stream without one is in memory, where
    all lines are there.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.number = 0  # of the line that came last
        refuse_device(stream)
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._lines: deque[bytes] = deque()  # complete, without their ends
        self._begun: list[bytes] = []  # pieces of a line whose end has not come yet
        self._begun_size = 0
        self._ended = False

    def next(self) -> bytes | None:
        """The next line that is not blank, once it is complete; None at the end."""
        while True:
            self._drop_blank()
            if self._lines:
                self.number += 1
                return self._lines.popleft()
            if self._ended:
                return None
            self._take()

    def waiting(self) -> bool:
        """Whether another line that is not blank can be read without waiting."""
        while True:
            self._drop_blank()
            if self._lines:
                return True
            if self._ended or not self._ready():
                return False
            self._take()

    def are_inputs(self) -> bool:
        """Whether the first line shows that the lines are inputs, one step each.

        Nothing is consumed. A second line is waited for only if the first one alone would be a
        document.
        """
        first = self._peek(0)
        if not first.lstrip(b"\xef\xbb\xbf \t\r").startswith((b"{", b"[")):
            return False
        kind = kind_of_line(decode(first, STDIN))
        return kind == "inputs" or (kind == "either" and bool(self._peek(1)))

    def rest(self) -> bytes:
        """All bytes that `next` has not returned."""
        begun = [b"".join(self._begun)] if not self._ended else []
        pieces = iter([b"\n".join([*self._lines, *begun])])
        self._lines.clear()
        return drained(lambda: next(pieces, b"") or self._read(), STDIN)

    def _peek(self, number: int) -> bytes:
        """The line of this number, from 0, without blank ones; empty if there is none."""
        while True:
            full = [line for line in self._lines if line.strip()]
            if len(full) > number or self._ended:
                return full[number] if len(full) > number else b""
            self._take()

    def _drop_blank(self) -> None:
        while self._lines and not self._lines[0].strip():
            self._lines.popleft()
            self.number += 1

    def _ready(self) -> bool:
        if self._descriptor is None:
            return True
        try:
            return bool(select.select([self._descriptor], [], [], 0)[0])
        except (OSError, ValueError):  # on Windows; the caller then flushes line by line
            return False

    def _take(self) -> None:
        """Take the bytes that come next, and split off the lines they complete."""
        piece = self._read()
        *ends, begun = piece.split(b"\n")
        if ends:
            ends[0] = b"".join([*self._begun, ends[0]])
            self._lines.extend(ends)
            self._begun, self._begun_size = [], 0
        self._begun.append(begun)
        self._begun_size += len(begun)
        if self._begun_size > MOST_PARSED:
            raise UserError(f"{STDIN}: a line of more than {MOST_PARSED:,} bytes.")
        if not piece:
            self._ended = True
            self._lines.append(b"".join(self._begun))

    def _read(self) -> bytes:
        if self._ended:
            return b""
        if self._descriptor is None:
            return self._stream.read(HEAD)
        return os.read(self._descriptor, HEAD)


def _descriptor(stream: BinaryIO) -> int | None:
    """The file descriptor, unless the stream is in memory."""
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None


class StepStream:
    """The inputs of one step at a time, from JSON lines.

    Iteration yields float64 arrays, (I,) or (B, I), all of one shape; a line is a list or an
    object with "inputs" or "x". Iteration raises a UserError that names the line of a mistake.
    """

    def __init__(self, lines: LineReader) -> None:
        self._lines = lines
        self._shape: tuple[int, ...] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        while (line := self._lines.next()) is not None:
            plain = self._plain(line)
            yield self._step(line) if plain is None else plain

    @property
    def line(self) -> int:
        """The number of the line that came last, from 1."""
        return self._lines.number

    def waiting(self) -> bool:
        """Whether another step can be read without waiting; if not, the caller flushes."""
        return self._lines.waiting()

    def _plain(self, line: bytes) -> np.ndarray | None:
        """A bare list of as many numbers as the line before; None for any other line."""
        try:
            values = json.loads(line)
            if type(values) is not list or (len(values),) != self._shape:
                return None
            return np.array(values, np.float64) if set(map(type, values)) <= NUMBERS else None
        except (ValueError, RecursionError, OverflowError):
            return None

    def _step(self, line: bytes) -> np.ndarray:
        where = f"{STDIN}, line {self._lines.number}"
        record = parse_line(decode(line, where), STDIN, self._lines.number)
        values = record.get("", inputs_of(record))
        if values is None:
            names = " or ".join(f'"{name}"' for name in INPUTS)
            raise UserError(f"{where} has no member {names}; it has {', '.join(record)}.")
        refuse_unused(record, where)
        step = step_array(values, where)
        if self._shape not in (None, step.shape):
            raise UserError(f"{where}: the shape is {step.shape}; before it was {self._shape}.")
        self._shape = step.shape
        return step
