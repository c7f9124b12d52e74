"""Questions to `explain`: half of those on record, and others about rows of the matrix."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np

from lstmcli.formats import Document
from tests.compare.question import Question, Rng, one_of
from tests.core.explain.asking import FORMS, Asking, asking, whole
from tests.core.explain.questions import PARTS, ROWS, questions


@cache
def _recorded() -> list[str]:
    """The names on record; without large networks, which take ten times as long."""
    large = ("matrix/128 units/", "network/long ")
    return [name for name in sorted(questions()) if not name.startswith(large)]


def question(rng: Rng, folder: Path) -> Question:
    """A question of either kind."""
    if rng.random() < 0.5:
        name = one_of(rng, _recorded())
        return _of(questions()[name](folder), folder)
    T, B, I, H = (int(n) for n in rng.integers((1, 2, 1, 1), (12, 6, 7, 8)))
    part = one_of(rng, [*[whole] * 8, *PARTS.values()])
    row, form, seed = one_of(rng, ROWS), one_of(rng, FORMS), int(rng.integers(10**6))
    H = max(H, row.options.get("projection", 1))  # it has no more outputs than units
    return _of(asking(row, folder, form, seed, (T, B, I, H), part), folder)


def _of(asked: Asking, folder: Path) -> Question:
    """The question, with its files in the folder."""
    path, expected = Path(asked.weights), asked.expected
    if path.parent != folder:
        copy(path, folder)
    if isinstance(expected, Document):
        meta = json.dumps(expected.attributes.get("meta", {}))
        arrays: dict[str, Any] = {**expected.arrays, "meta": meta}
        np.savez(folder / "expected.npz", **arrays)
        expected = "expected.npz"
    elif isinstance(expected, str):
        expected = Path(expected).name
    given = {"asked": [path.name, asked.x, expected], "options": asked.given}
    return Question("explain", given)
