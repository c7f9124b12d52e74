"""JSON lines: one JSON value a line, one line a step.

A line is the inputs of a step (a list, or an object with "inputs" or "x") or one step of a trace
(an object of several lists). Lists are (K,), or (B, K) for a batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from lstmcli.formats.documents import parse
from lstmcli.formats.files import Opened
from lstmcli.formats.limits import check_size
from lstmcli.formats.nested import SPECIAL, to_array
from lstmcli.formats.numerals import JSON_NAMES, row_texts
from lstmcli.formats.precision import float32_arrays

STEP = "step"
INPUTS = ("inputs", "x")
OPENING = re.compile(
    r'\s*(?:\[\s*[^\[\s]|\{.*"(?:step|inputs|x)")'
)  # spares parsing a long document twice


def read_text(text: str, file: Opened) -> Document:
    """Members stacked over the lines: (T, K) with layout "steps", or (T, B, K) with "time".

    Raises
    ------
    UserError
        Broken JSON, a line with other members or other shapes than the first, a step that does
        not follow the one before. All name the line.
    """
    source = file.source
    members: dict[str, list[np.ndarray]] = {}
    previous: int | None = None
    for number, line in numbered(text):
        record = parse_line(line, source, number)
        previous = _next_step(record, previous, f"{source}, line {number}")
        _append(members, record, f"{source}, line {number}")
    for name, rows in members.items():
        check_size((len(rows), *rows[0].shape), 8, f"{source}: {name}" if name else source)
    arrays = {name: np.stack(rows) for name, rows in members.items()}
    batched = any(array.ndim == 3 for array in arrays.values())
    layout = "time" if batched else "steps"
    return Document(source, "jsonl", arrays, {}, layout, dtypes=float32_arrays(arrays))


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


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


def _next_step(record: dict[str, Any], previous: int | None, where: str) -> int | None:
    """The record's step, which has to follow the previous one, or None where steps are not told."""
    if STEP not in record:
        return None
    step = record[STEP]
    if type(step) is not int:
        raise UserError(f"{where}: step is {step!r}; an integer was expected.")
    if previous is not None and step != previous + 1:
        raise UserError(
            f"{where}: step {step} follows step {previous}; a step is missing or moved."
        )
    return step


def _append(members: dict[str, list[np.ndarray]], record: dict[str, Any], where: str) -> None:
    names = [name for name in record if name != STEP]
    if not members:
        members.update({name: [] for name in names})
    if members.keys() != set(names):
        expected, found = _told(members), _told(names)
        raise UserError(f"{where} is {found}; the lines before it are {expected}.")
    for name in names:
        what = f"{where}: {name}" if name else where
        members[name].append(step_array(record[name], what, members[name]))


def _told(names: Iterable[str]) -> str:
    shown = ", ".join(names)
    return f"an object of {shown}" if shown else "a bare list"


def step_array(value: Any, where: str, earlier: Sequence[np.ndarray] = ()) -> np.ndarray:
    """One step's list as a float64 array (K,) or (B, K), of the shape of the earlier ones.

    Raises
    ------
    UserError
        No list of numbers, deeper than two, or another shape; starts with ``where``.
    """
    if not isinstance(value, list):
        raise UserError(f"{where} is {str(value)[:40]!a}; a list of numbers was expected.")
    array = to_array(value, where)
    if array.ndim > 2:
        raise UserError(f"{where} is {array.ndim} lists deep; a step is (units) or (batch, units).")
    if earlier and array.shape != earlier[0].shape:
        raise UserError(f"{where} has the shape {array.shape}; before it was {earlier[0].shape}.")
    return array


def opens(line: str) -> bool:
    """Whether this first line alone says that JSON lines follow.

    That is a list of numbers, an object with "step", or one with "inputs" or "x" that has no other
    list (with others it is a whole document of weights and inputs).
    """
    value = _tried(line) if OPENING.match(line) else None
    if isinstance(value, list):
        return bool(value) and all(_is_number(x) for x in value)
    if not isinstance(value, dict):
        return False
    nested = [name for name, member in value.items() if isinstance(member, (list, dict))]
    if STEP in value:
        return True
    return len(nested) == 1 and nested[0] in INPUTS and isinstance(value[nested[0]], list)


def is_inputs(line: str) -> bool:
    """Whether a line that `opens` JSON lines holds the inputs of a step, not a traced step."""
    value = _tried(line)
    return isinstance(value, list) or inputs_of(value) is not None


def inputs_of(record: Mapping[str, Any]) -> Any:
    """The inputs of a step among the members of a line; None if there are none."""
    return next((record[name] for name in INPUTS if name in record), None)


def is_document_too(line: str) -> bool:
    """Whether a lone line could as well be a document: {"inputs": [[...], ...]} without a step."""
    value = _tried(line)
    if not isinstance(value, dict) or STEP in value:
        return False
    inputs = inputs_of(value)
    return bool(inputs) and isinstance(inputs[0], list)


def _tried(line: str) -> Any:
    import json  # arrays need none

    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _is_number(value: Any) -> bool:
    return type(value) in (float, int) or (type(value) is str and value in SPECIAL)


class LineWriter:
    """Writes steps as JSON lines: ``{"step": 0, "h": [...], "c": [...]}``."""

    def __init__(self, stream: BinaryIO, names: Sequence[str], batched: bool) -> None:
        import json

        self._stream = stream
        self._keys = {name: json.dumps(name) for name in names}
        self._batched = batched

    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or, batched, (S, B, K)."""
        chosen = {name: arrays[name] for name in self._keys}
        texts = {key: self._texts(chosen[name]) for name, key in self._keys.items()}
        steps = min((len(array) for array in chosen.values()), default=0)
        lines = []
        for step in range(first_step, first_step + steps):
            members = "".join(f", {key}: {next(rows)}" for key, rows in texts.items())
            lines.append(f'{{"{STEP}": {step}{members}}}\n')
        self._stream.write("".join(lines).encode())

    def _texts(self, array: np.ndarray) -> Iterator[str]:
        rows = row_texts(array, JSON_NAMES)
        if not self._batched:
            return (f"[{row}]" for row in rows)
        steps, batch = array.shape[:2]
        return (
            "[" + ", ".join(f"[{next(rows)}]" for _ in range(batch)) + "]" for _ in range(steps)
        )


def open_steps(stream: BinaryIO, format: str, names: Sequence[str], batched: bool) -> LineWriter:
    """A writer of JSON lines."""
    return LineWriter(stream, names, batched)
