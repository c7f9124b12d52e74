"""Traces written step by step: rows of CSV and TSV, JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import BinaryIO, NamedTuple

import numpy as np

from lstmcli.core.model.part import Part
from lstmcli.errors import SettingsToTry, UserError, listed
from lstmcli.formats.text.numbers import JSON_NAMES, row_texts

STEP, BATCH, UNIT = "step", "batch", "unit"
KEYS = (STEP, BATCH, UNIT)
UNITS = "units"  # key of the columns' indices in a JSON line, of some
DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass
class StepWriter:
    """Writes the named arrays of a trace as it is computed."""

    stream: BinaryIO
    format: str  # "csv", "tsv" or "jsonl"
    names: Sequence[str]
    batched: bool
    part: Part  # of the run that the arrays are

    def write(self, steps: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Write these S steps of arrays (S, K) or, batched, (S, B, K)."""
        raise NotImplementedError

    def write_end(self, name: str, array: np.ndarray) -> None:
        """Write an array (K,) or, batched, (B, K) of the end of the run, behind all steps."""
        raise NotImplementedError


class Rows(NamedTuple):
    """Numbers (..., C) under their columns, the first axes numbered by keys."""

    keys: Sequence[str]
    axes: Sequence[Sequence[int]]  # an index for each entry of a key's axis
    columns: Sequence[str]
    values: np.ndarray


@dataclass
class TableWriter(StepWriter):
    """Writes rows of a table: a step, or a step's batch item; if it is ``tidy``, one unit of these.

    ``step,batch,unit,h,c,i,f,g,o``, tidy, are the columns of one sequence too,
    in CSV, TSV and JSON lines; the arrays then have the same units.
    """

    tidy: bool = False

    def __post_init__(self) -> None:
        self._is_first = True

    def write(self, steps: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Write these S steps of arrays (S, K) or, batched, (S, B, K)."""
        chosen = [np.asarray(arrays[name]) for name in self.names]
        rows = self._units(steps, chosen) if self.tidy else self._steps(steps, chosen)
        if self.format == "jsonl":
            lines = _json_lines(rows)
        else:
            delimiter = DELIMITERS[self.format]
            lines = _delimited(rows, delimiter)
            if self._is_first:
                header = delimiter.join([*rows.keys, *rows.columns])
                lines = chain([header], lines)
        self._is_first = False
        self.stream.write("".join(f"{line}\n" for line in lines).encode())

    def _steps(self, steps: Sequence[int], arrays: list[np.ndarray]) -> Rows:
        """A row for each step and batch item, a column for each unit."""
        columns = []
        for name, array in zip(self.names, arrays, strict=True):
            units = self.part.some_columns.get(name, range(array.shape[-1]))
            columns += [f"{name}[{n}]" for n in units]
        values = np.concatenate(arrays, axis=-1)
        if not self.batched:
            return Rows((STEP,), (steps,), columns, values)
        items = self.part.some_batch or range(values.shape[1])
        return Rows((STEP, BATCH), (steps, items), columns, values)

    def _units(self, steps: Sequence[int], arrays: list[np.ndarray]) -> Rows:
        """A row for each step, batch item and unit, a column for each array."""
        self._refuse_sizes([array.shape[-1] for array in arrays])
        if not self.batched:
            arrays = [array[:, np.newaxis] for array in arrays]
        values = np.stack(arrays, axis=-1)  # (S, B, K, N)
        items = self.part.some_batch or range(values.shape[1])
        some_units = self.part.some_columns.get(self.names[0])
        units = some_units or range(values.shape[2])
        return Rows(KEYS, (steps, items, units), self.names, values)

    def _refuse_sizes(self, sizes: Sequence[int]) -> None:
        if len({*sizes}) > 1:
            found = listed(
                [f"{n} {k}" for n, k in zip(sizes, self.names, strict=True)], 4
            )
            text = "a tidy file has a row for each unit of all arrays, which differ in their units:"
            raise UserError(
                f"{text} {found}.",
                try_=[
                    SettingsToTry({"only": self.names[0]}),
                    SettingsToTry({"cell": ...}),
                ],
            )


def _delimited(rows: Rows, delimiter: str) -> Iterator[str]:
    """Lines of CSV or TSV, whose readers accept nan, inf and -inf."""
    texts = row_texts(rows.values, {}, delimiter)
    for place, text in zip(product(*rows.axes), texts, strict=True):
        yield delimiter.join([*map(str, place), text])


def _json_lines(rows: Rows) -> Iterator[str]:
    """A JSON object for each row."""
    labels = [f"{json.dumps(name)}: " for name in rows.columns]
    keys = ", ".join(f"{json.dumps(key)}: %d" for key in rows.keys)
    texts = row_texts(rows.values, JSON_NAMES, labels=labels)
    for place, text in zip(product(*rows.axes), texts, strict=True):
        yield f"{{{keys % place}, {text}}}"


@dataclass
class LineWriter(StepWriter):
    """Writes steps as JSON lines: ``{"step": 0, "h": [...], "c": [...]}``.

    Some batch items or units have their indices in ``"batch": [1, 2]`` and
    ``"units": [0, 3]``, those of a member with other columns in ``"units.z"``.
    """

    def __post_init__(self) -> None:
        indices: dict[str, list[int]] = {}
        items = self.part.some_batch
        if self.batched and items is not None:
            indices[BATCH] = list(items)
        for name in self.names:
            columns = list(self.part.some_columns.get(name, ()))
            if columns and indices.setdefault(UNITS, columns) != columns:
                indices[f"{UNITS}.{name}"] = columns
        self._indices = "".join(
            f", {json.dumps(key)}: {list_}" for key, list_ in indices.items()
        )

    def write(self, steps: Sequence[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Write these S steps of arrays (S, K) or, batched, (S, B, K)."""
        texts = {json.dumps(name): self._texts(arrays[name]) for name in self.names}
        lines = []
        for step in steps:
            members = "".join(f", {key}: {next(rows)}" for key, rows in texts.items())
            lines.append(f'{{"{STEP}": {step}{self._indices}{members}}}\n')
        self.stream.write("".join(lines).encode())

    def write_end(self, name: str, array: np.ndarray) -> None:
        """Write a line of an array (K,) or, batched, (B, K), behind all steps."""
        (text,) = self._texts(array[np.newaxis])
        self.stream.write(f"{{{json.dumps(name)}: {text}}}\n".encode())

    def _texts(self, array: np.ndarray) -> Iterator[str]:
        """The list of each step, of numbers or, batched, of lists of numbers."""
        rows = row_texts(array, JSON_NAMES)
        if not self.batched:
            return (f"[{row}]" for row in rows)
        steps, batch = array.shape[:2]
        return (
            "[" + ", ".join(f"[{next(rows)}]" for _ in range(batch)) + "]"
            for _ in range(steps)
        )
