"""JSON lines of standard input, step by step: a line is parsed once it has come."""

from __future__ import annotations

import os
import re
import select
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from lstmcli.errors import STDIN, UserError
from lstmcli.formats.document import Shape
from lstmcli.formats.files.limits import MOST_PARSED
from lstmcli.formats.files.source import HEAD, decode, drained, refuse_device
from lstmcli.formats.text.json import parse
from lstmcli.formats.text.json_line import INPUT_NAMES, inputs_of, kind_of_line
from lstmcli.formats.text.jsonl import members_of, step_array
from lstmcli.formats.text.step_writers import STEP

INDEX = re.compile(rb"\s*\d{1,9}\s*")  # a line of one number, of an embedding


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
            ends[0] = b"".join(self._begun) + ends[0]
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
            yield self._step(line)

    @property
    def line(self) -> int:
        """The number of the line that came last, from 1."""
        return self._lines.number

    def waiting(self) -> bool:
        """Return whether another step can be read without waiting; else, flush."""
        return self._lines.waiting()

    def _step(self, line: bytes) -> np.ndarray:
        where = f"{STDIN}, line {self._lines.number}"
        text = decode(line, where)
        if INDEX.fullmatch(line) and self._shape in (None, (1,)):
            text = f"[{text}]"
        value = parse(text, STDIN, self._lines.number)
        if isinstance(value, list):
            step = step_array(value, where)
        else:
            step = step_array(_inputs_in(members_of(value, where), where), where)
        if self._shape not in (None, step.shape):
            raise UserError(
                f"{where}: the shape is {step.shape}; before it was {self._shape}."
            )
        self._shape = step.shape
        return step


def _inputs_in(record: Mapping[str, Any], where: str) -> Any:
    """The inputs among the members of a line; UserError without, or for members no run uses."""
    values = inputs_of(record)
    if values is None:
        expected = " or ".join(f'"{name}"' for name in INPUT_NAMES)
        raise UserError(
            f"{where} has no member {expected}; it has {', '.join(record)}."
        )
    names = [name for name in record if name != STEP]
    if len(names) > 1:
        raise UserError(
            f"{where} has {', '.join(names)}; the inputs of a step are one list, "
            f"named {' or '.join(INPUT_NAMES)}."
        )
    return values
