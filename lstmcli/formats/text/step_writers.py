"""Traces written step by step: rows of CSV and TSV, JSON lines, tidy rows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import BinaryIO

import numpy as np

from lstmcli.errors import Try, UserError, listed
from lstmcli.formats.text.number_text import JSON_NAMES, PLAIN_NAMES, row_texts

STEP, BATCH, UNIT = "step", "batch", "unit"
KEYS = (STEP, BATCH, UNIT)
UNITS = "units"  # key of the numbers of columns in a JSON line, if only some are written
DELIMITERS = {"csv": ",", "tsv": "\t", "jsonl": ", "}


@dataclass
class StepWriter(ABC):
    """Writes the named arrays of a trace as it is computed."""

    stream: BinaryIO
    format: str  # "csv", "tsv" or "jsonl"
    names: Sequence[str]
    batched: bool
    batch: Sequence[int] | None  # the numbers of the batch items in the run, if only some are here
    units: Mapping[str, Sequence[int]]  # of an array -> the numbers of its columns, likewise

    @abstractmethod
    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or, batched, (S, B, K), the first being ``first_step``."""


@dataclass
class ColumnWriter(StepWriter):
    """Writes steps as rows of a table, under one header."""

    def __post_init__(self) -> None:
        self._delimiter = DELIMITERS[self.format]
        self._is_first = True

    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or, batched, (S, B, K)."""
        chosen = {name: arrays[name] for name in self.names}
        if self._is_first:
            keys = KEYS[: 1 + self.batched]
            columns = ((k, self.units.get(k, range(a.shape[-1]))) for k, a in chosen.items())
            self._line([*keys, *(f"{name}[{n}]" for name, numbers in columns for n in numbers)])
            self._is_first = False
        rows = [row_texts(array, PLAIN_NAMES, self._delimiter) for array in chosen.values()]
        steps, *items = next(iter(chosen.values())).shape[:-1]
        axes = [self.batch or range(n) for n in items]
        for place in product(range(first_step, first_step + steps), *axes):
            self._line([*map(str, place), *(next(texts) for texts in rows)])

    def _line(self, cells: Sequence[str]) -> None:
        self.stream.write(f"{self._delimiter.join(cells)}\n".encode())


@dataclass
class LineWriter(StepWriter):
    """Writes steps as JSON lines: ``{"step": 0, "h": [...], "c": [...]}``.

    If only some batch items or units are written, ``"batch": [1, 2]`` and ``"units": [0, 3]`` have
    their numbers; ``"units.z"`` has those of a member with other columns.
    """

    def __post_init__(self) -> None:
        numbers = {} if self.batch is None or not self.batched else {BATCH: list(self.batch)}
        for name in self.names:
            columns = list(self.units.get(name, ()))
            if columns and numbers.setdefault(UNITS, columns) != columns:
                numbers[f"{UNITS}.{name}"] = columns
        self._numbers = "".join(f", {json.dumps(key)}: {list_}" for key, list_ in numbers.items())

    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or, batched, (S, B, K)."""
        texts = {json.dumps(name): self._texts(arrays[name]) for name in self.names}
        steps = min((len(arrays[name]) for name in self.names), default=0)
        lines = []
        for step in range(first_step, first_step + steps):
            members = "".join(f", {key}: {next(rows)}" for key, rows in texts.items())
            lines.append(f'{{"{STEP}": {step}{self._numbers}{members}}}\n')
        self.stream.write("".join(lines).encode())

    def _texts(self, array: np.ndarray) -> Iterator[str]:
        rows = row_texts(array, JSON_NAMES)
        if not self.batched:
            return (f"[{row}]" for row in rows)
        steps, batch = array.shape[:2]
        return (
            "[" + ", ".join(f"[{next(rows)}]" for _ in range(batch)) + "]" for _ in range(steps)
        )


@dataclass
class TidyWriter(StepWriter):
    """Writes steps of arrays that have the same units, a row for each step, batch item and unit.

    ``step,batch,unit,h,c,i,f,g,o``: the columns are the same for one sequence and for a batch, as
    CSV, TSV and JSON lines.
    """

    def __post_init__(self) -> None:
        is_json = self.format == "jsonl"
        self._delimiter = DELIMITERS[self.format]
        self._row = _json_row(self.names) if is_json else self._delimiter.join
        self._number_names = JSON_NAMES if is_json else PLAIN_NAMES
        self._header = "" if is_json else self._delimiter.join((*KEYS, *self.names)) + "\n"

    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or (S, B, K)."""
        chosen = [np.asarray(arrays[name]) for name in self.names]
        chosen = [array if array.ndim == 3 else array[:, None] for array in chosen]
        self._refuse_sizes([array.shape[-1] for array in chosen])
        stacked = np.stack(chosen, axis=-1)  # (S, B, K, N)
        steps, items, units, _ = stacked.shape
        rows = product(
            range(first_step, first_step + steps),
            self.batch or range(items),
            self.units.get(self.names[0]) or range(units),
        )
        texts = row_texts(stacked, self._number_names, self._delimiter)
        lines = (
            self._row([*map(str, row), *text.split(self._delimiter)])
            for row, text in zip(rows, texts, strict=True)
        )
        self.stream.write((self._header + "\n".join(lines) + "\n").encode())
        self._header = ""

    def _refuse_sizes(self, sizes: Sequence[int]) -> None:
        by_size: dict[int, list[str]] = {}
        for name, size in zip(self.names, sizes, strict=True):
            by_size.setdefault(size, []).append(name)
        if len(by_size) > 1:
            found = "; ".join(f"{size} in {listed(n, 3)}" for size, n in by_size.items())
            raise UserError(
                "a tidy file has a row for each unit of all arrays, which differ in their units: "
                f"{found}.",
                try_=[
                    *(Try({"only": ",".join(names[:2])}) for names in by_size.values()),
                    Try({"cell": ...}),
                ],
            )


def _json_row(names: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """A function that writes the numbers of a row as one JSON object."""
    keys = [json.dumps(name) for name in (*KEYS, *names)]

    def row(numbers: Sequence[str]) -> str:
        pairs = (f"{key}: {number}" for key, number in zip(keys, numbers, strict=True))
        return f"{{{', '.join(pairs)}}}"

    return row
