"""Edits of the front: indices (T, B) and the table (V, I) of which they are rows."""

from __future__ import annotations

import numpy as np

from lstmcli.core.model.edit import fit
from lstmcli.core.model.edits.family import Family
from lstmcli.core.model.settings import COUNT, Parser
from lstmcli.core.model.surroundings import Rows

FRONT = Family("front", "Any index of the table has a row, and all rows have one size")
_PLAIN = "x = table[ids]"


@FRONT.edit(
    "index", "front", lambda v: f"indices shifted by {v}", lambda v: f"x = table[ids + {v}]",
    "vocabularies with or without a row for padding or unknown words", _PLAIN,
    read=Parser("d", "an integer, such as 1 or -1"), values=(1, -1),
)  # fmt: skip
def _other_index(rows: Rows, by: int) -> Rows:
    """The rows next to them: before the first is the last, behind the last itself."""
    others = np.minimum(rows.indices + by, len(rows.table) - 1)
    return rows._replace(indices=others)


@FRONT.edit(
    "late", "front", lambda v: f"indices {v.steps} late, index 0 first",
    lambda v: f"ids = concat(zeros({v}), ids[:-{v}])", "decoders that start with a token",
    "feed ids[t] at step t", read=COUNT, values=(1,), of_sequence=True,
)  # fmt: skip
def _late(rows: Rows, steps: int) -> Rows:
    fit(steps < len(rows.indices))
    before = np.zeros_like(rows.indices[:steps])
    return rows._replace(indices=np.concatenate([before, rows.indices[:-steps]]))


@FRONT.edit(
    "scale", "front", lambda v: f"rows of the front times {v}", lambda v: f"{_PLAIN} * {v}",
    "embeddings as of transformers, times the root of their size", _PLAIN,
    read=Parser("n", "a number, or sqrt: the root of the size", ["sqrt"]),
    values=("sqrt", 0.5, 2.0), solved=1.0,
)  # fmt: skip
def _scaled(rows: Rows, factor: float | str) -> Rows:
    size = np.sqrt(rows.table.shape[1]) if factor == "sqrt" else factor
    return rows._replace(table=rows.table * rows.table.dtype.type(size))
