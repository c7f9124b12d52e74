"""JSON that is parsed piece by piece; large lists of numbers become arrays."""

from __future__ import annotations

import json
import re
import sys
from array import array
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import (
    LONGEST_NUMBER,
    MOST_LEVELS,
    MOST_LINE,
    MOST_OBJECTS,
    MOST_UNEVEN,
    check_size,
)
from lstmcli.formats.files.source import PIECE
from lstmcli.formats.text.nested_lists import NoArray, numbers_of, to_array

LONGEST_LIST = 64  # numbers that stay a list: they take 32 bytes each, an array takes 112 more
AFTER_VALUE = " \t\n\r,:]}"
BLANK = re.compile(r"[ \t\n\r]*")
OPENING = re.compile(r"(?:\[[ \t\n\r]*)+")
COMMA = re.compile(r"[ \t\n\r]*,")


def parse_incrementally(pieces: Iterator[str], source: str, decoder: json.JSONDecoder) -> Any:
    """The value of a JSON text, as `json.loads` gives it; lists of many numbers are arrays.

    A list that is ragged is a list of arrays.

    Raises
    ------
    UserError
        Broken JSON, a name that occurs twice, a large list of numbers with something else in it,
        more bytes than a tensor may take, more objects and texts than fit `MOST_OBJECTS`.
    """
    parser = _Parser(pieces, source, decoder)
    value = parser.value("the list", 0)
    if parser.peek():
        raise parser.broken("extra data")
    return value


class _Parser:
    """A parser with the part of the text that it is parsing in memory."""

    def __init__(self, pieces: Iterator[str], source: str, decoder: json.JSONDecoder) -> None:
        self._pieces, self._source, self._decoder = pieces, source, decoder
        self._text, self._at = "", 0
        self._line = 1  # where the text in memory begins
        self._objects = 0  # bytes of what is no array

    def value(self, name: str, depth: int) -> Any:
        """The value that comes next; ``name`` is what messages call a list."""
        first = self.peek()
        if len(self._text) - self._at < PIECE // 2:  # so that a short list is complete in memory
            self._more()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if first == "[":
                    return self._list(name, depth)
                if first == "{":
                    return self._object(name, depth)
                most = MOST_LINE if first == '"' else LONGEST_NUMBER
                if len(self._text) - self._at > most or not self._more():
                    raise self.broken(error.msg) from None
                continue
            ended = end < len(self._text) and self._text[end] in AFTER_VALUE
            if ended or not self._more():  # a number may go on in the next piece: 1, then .5
                self._at = end
                return self._compact(value, depth)

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            match = BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def broken(self, what: str) -> UserError:
        """The error for a text that is no JSON at this position."""
        line = self._line + self._text.count("\n", 0, self._at)
        reason = what[:1].lower() + what[1:]
        return UserError(f"{self._source}: broken JSON at line {line}: {reason}.")

    def _more(self) -> bool:
        """Take the next piece into memory, and forget what was parsed; False at the end."""
        piece = next(self._pieces, "")
        if piece:
            self._line += self._text.count("\n", 0, self._at)
            self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def _after(self, ends: str) -> bool:
        """Whether another element follows the one that was read, or the list or object ends."""
        found = self.peek()
        if found not in (",", ends):
            raise self.broken(f"expecting ',' or '{ends}'")
        self._at += 1
        return found == ","

    def _object(self, name: str, depth: int) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        if self.peek() == "}":
            self._at += 1
            return members
        while True:
            if self.peek() != '"':
                raise self.broken("expecting property name enclosed in double quotes")
            key = self.value(name, depth + 1)
            if self.peek() != ":":
                raise self.broken("expecting ':' delimiter")
            self._at += 1
            if key in members:
                raise UserError(f'{self._source} has two members of the name "{key}".')
            members[key] = self.value(key, depth + 1)
            if not self._after("}"):
                return members

    def _list(self, name: str, depth: int) -> np.ndarray | list[Any]:
        """The array of a list of numbers, or of lists of them; the list of anything else."""
        self._at += 1
        if self.peek() == "]":
            self._at += 1
            return []
        numbers, inner, count = array("d"), None, 0
        others: list[Any] | None = None  # the elements, once they do not make an array
        while True:
            if len(self._text) - self._at < PIECE // 2:
                self._more()
            if not self.peek():
                raise self.broken("expecting value")
            if others is not None:
                others.append(self.value(name, depth + 1))
            else:
                elements = self._elements(name, depth)
                where = f"{self._source}: {name}" + (f", from element [{count}]" if count else "")
                try:
                    values = _rows(elements, inner, where)
                except NoArray:
                    if inner == () or count > MOST_UNEVEN:
                        raise
                    before = numbers_of(numbers).reshape(count, *(inner or ()))
                    others = [*before, *(self._compact(one, depth + 1) for one in elements)]
                else:
                    inner, count = values.shape[1:], count + len(values)
                    check_size((count, *inner), values.itemsize, f"{self._source}: {name}")
                    numbers.frombytes(values.tobytes())
            if not self._after("]"):
                break
        return numbers_of(numbers).reshape(count, *(inner or ())) if others is None else others

    def _elements(self, name: str, depth: int) -> list[Any]:
        """The elements of a list that are complete in memory, or only the next one."""
        end = self._end_of_elements()
        if end > self._at:
            try:
                elements = self._decoder.decode(f"[{self._text[self._at : end]}]")
            except ValueError:  # the end was that of another list: one by one
                elements = None
            if elements:
                self._at = end
                return cast(list[Any], elements)
        return [self.value(name, depth + 1)]

    def _compact(self, value: Any, depth: int) -> Any:
        """A value whose lists of numbers are arrays, unless they are short.

        Raises
        ------
        UserError
            Everything that is no array takes too much memory, or is nested too deeply.
        """
        if depth > MOST_LEVELS:
            raise UserError(f"{self._source} is nested too deeply.")
        if isinstance(value, list):
            if len(value) > LONGEST_LIST or any(type(one) is list for one in value):
                try:
                    numbers = to_array(value, self._source)
                except NoArray:
                    pass
                else:
                    value = numbers if numbers.size > LONGEST_LIST else value
            if isinstance(value, list):
                value = [self._compact(one, depth + 1) for one in value]
        elif isinstance(value, dict):
            self._objects += sum(map(sys.getsizeof, value))
            value = {name: self._compact(one, depth + 1) for name, one in value.items()}
        self._objects += 112 if isinstance(value, np.ndarray) else sys.getsizeof(value)
        if self._objects > MOST_OBJECTS:
            raise UserError(
                f"{self._source}: its objects, texts and ragged lists take more than "
                f"{MOST_OBJECTS:,} bytes in memory. Save its numbers as .npy or .npz."
            )
        return value

    def _end_of_elements(self) -> int:
        """Where the last element ends that is complete in memory; -1 if that is unknown."""
        text, at = self._text, self._at
        if text[at] != "[":
            opening, closing = text.find("[", at), text.find("]", at)
            if closing >= 0 and (opening < 0 or closing < opening):
                return closing
            return text.rfind(",", at, opening if opening >= 0 else len(text))
        opened = OPENING.match(text, at)
        depth = opened[0].count("[") if opened else 1
        end = len(text)
        while (end := text.rfind("]", at, end)) >= 0:
            closed = re.search(
                r"(?:\][ \t\n\r]*)+$", text[max(at, end - 8 * MOST_LEVELS) : end + 1]
            )
            if closed and closed[0].count("]") == depth and COMMA.match(text, end + 1):
                return end + 1
        return -1


def _rows(elements: list[Any], inner: tuple[int, ...] | None, where: str) -> np.ndarray:
    """The array (n, ...) of n elements of a list, of the shape ``inner`` as those before them.

    Raises
    ------
    NoArray
        They are of another shape, ragged or not of numbers.
    """
    values = to_array(elements, where)
    if inner is not None and values.shape[1:] != inner:
        raise NoArray(
            f"{where} is ragged: an element is {values.shape[1:]}, those before it {inner}."
        )
    return values
