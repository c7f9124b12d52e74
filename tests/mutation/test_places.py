"""The table of places that are broken on purpose is one of today's code."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.__main__ import Failure, failure_of
from tests.mutation.places import Mutation, places, stale
from tests.paths import PACKAGE, TOP

PLACES = places()


def test_each_text_occurs_once() -> None:
    """Where it moved or changed, give its new text in places.json, or another place of its kind."""
    assert stale(PACKAGE.parent) == []


def test_there_are_200_places_of_three_kinds() -> None:
    kinds = Counter(place.kind for place in PLACES)
    assert len(set(PLACES)) == kinds.total() == 200
    assert min(kinds[kind] for kind in ("numerics", "guard", "limit")) >= 30


def test_the_tests_that_noticed_are_named() -> None:
    """`python -m tests.mutation --write` writes them; a test that was renamed has its new name."""
    for name in filter(None, (place.noticed_by for place in PLACES)):
        file, _, function = name.partition("::")
        assert f"def {function}(" in (TOP / file).read_text(), name


@pytest.mark.parametrize(
    ("functions", "failure"),
    [
        (["test_passes"], None),
        (["test_passes", "test_fails"], Failure("FAILED test_a.py::test_fails[1]", "test_fails")),
        (["test_fails", "test_ends"], Failure("FAILED test_a.py::test_fails[1]", "test_fails")),
        (["test_ends", "test_fails"], Failure("status 9", "test_ends")),
    ],
)
@pytest.mark.slow
def test_the_way_in_which_tests_fail_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, functions: list[str], failure: Failure | None
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -ra\n")
    (tmp_path / "test_a.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_fails(n): assert n == 2\n"
        "def test_passes(): pass\n"
        "def test_ends(): os._exit(9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    found = failure_of([f"test_a.py::{name}" for name in functions], tmp_path, 60)
    assert (found and found.how.partition(" - ")[0], found and found.function) == (
        failure and failure.how,
        failure and failure.function and f"test_a.py::{failure.function}",
    )


@pytest.mark.wide
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_each_mutation_is_valid_python(place: Mutation) -> None:
    text = (PACKAGE.parent / place.file).read_text()
    ast.parse(text.replace(place.source, place.replacement))
    assert place.source != place.replacement
