"""Tidy data: one row for each step, batch item and unit, and one column for each array.

    step,batch,unit,h,c,i,f,g,o

The columns are the same for one sequence (T, K) and for a batch (T, B, K), as CSV, TSV and JSON
lines. Reading one is that of a table: see `lstmcli.formats.text.csv` and `jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import BinaryIO

import numpy as np

from lstmcli.errors import UserError
from lstmcli.formats.text.number_text import JSON_NAMES, PLAIN_NAMES, row_texts

STEP, BATCH, UNIT = "step", "batch", "unit"
KEYS = (STEP, BATCH, UNIT)
DELIMITERS = {"csv": ",", "tsv": "\t", "jsonl": ", "}


class TidyWriter:
    """Writes steps of arrays that have the same units, a row a number of each."""

    def __init__(
        self,
        stream: BinaryIO,
        format: str,
        names: Sequence[str],
        batch: Sequence[int] | None = None,
        units: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._stream, self._names = stream, names
        self._batch, self._units = batch, units or {}
        self._delimiter = DELIMITERS[format]
        self._row = _json_row(names) if format == "jsonl" else self._delimiter.join
        self._number_names = JSON_NAMES if format == "jsonl" else PLAIN_NAMES
        self._header = "" if format == "jsonl" else self._delimiter.join((*KEYS, *names)) + "\n"

    def write(self, first_step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write S steps of arrays (S, K) or (S, B, K).

        Raises
        ------
        UserError
            for arrays of several sizes: a row is one unit of each.
        """
        chosen = [np.asarray(arrays[name]) for name in self._names]
        chosen = [array if array.ndim == 3 else array[:, None] for array in chosen]
        self._refuse_sizes([array.shape[-1] for array in chosen])
        stacked = np.stack(chosen, axis=-1)  # (S, B, K, N)
        steps, items, units, _ = stacked.shape
        rows = product(
            range(first_step, first_step + steps),
            self._batch or range(items),
            self._units.get(self._names[0]) or range(units),
        )
        texts = row_texts(stacked, self._number_names, self._delimiter)
        lines = (
            self._row([*map(str, row), *text.split(self._delimiter)])
            for row, text in zip(rows, texts, strict=True)
        )
        self._stream.write((self._header + "\n".join(lines) + "\n").encode())
        self._header = ""

    def _refuse_sizes(self, sizes: Sequence[int]) -> None:
        if len({*sizes}) > 1:
            listed = ", ".join(f"{n} {size}" for n, size in zip(self._names, sizes, strict=True))
            raise UserError(
                f"--tidy: a row is one unit of every array, and the arrays have: {listed}.",
                "  --cell NAME or --only NAME,... choose arrays with as many units.",
            )


def _json_row(names: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """A function that makes one JSON object of the numbers of a row."""
    keys = [json.dumps(name) for name in (*KEYS, *names)]

    def row(numbers: Sequence[str]) -> str:
        pairs = (f"{key}: {number}" for key, number in zip(keys, numbers, strict=True))
        return f"{{{', '.join(pairs)}}}"

    return row
