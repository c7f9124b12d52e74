"""Each mistake, and pairs and triples of them: the search has to give exactly that answer.

What is expected comes from `reference`, a plain loop that shares no code with the program.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.explain.asking import ask, found, same
from tests.core.explain.matrix import PAIRS, SINGLES, Row

QUICK_SINGLES = list({tuple(row.truth): row for row in SINGLES}.values())  # one a setting
QUICK_PAIRS = [row for row in PAIRS if row.threads or "clip" in row.name]


def check(
    row: Row, folder: Path, form: str, seed: int, size: tuple[int, int, int, int] | None = None
) -> None:
    explanation = ask(row, folder, form, seed, size)
    changes = found(explanation)
    alike = [{c.setting: c.found for c in other} for other in explanation.equivalent]
    assert explanation.verdict == row.verdict, explanation
    truth = row.truth if row.verdict == "found" else {}
    assert same(changes, truth, form), (changes, alike)
    assert not alike, "these data single it out"


@pytest.mark.parametrize("row", QUICK_SINGLES, ids=lambda row: row.name)
@pytest.mark.slow
def test_a_single_mistake(row: Row, tmp_path: Path) -> None:
    check(row, tmp_path, "float32", 0)


@pytest.mark.parametrize("row", QUICK_PAIRS, ids=lambda row: row.name)
@pytest.mark.sampled(2)
def test_a_pair_that_people_had(row: Row, tmp_path: Path) -> None:
    check(row, tmp_path, "8 digits", 0)
