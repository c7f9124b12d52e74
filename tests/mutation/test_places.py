"""The table of places that are broken on purpose is one of today's code."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.__main__ import Failure, failure_of
from tests.mutation.draw import drawn
from tests.mutation.nodes import spots
from tests.mutation.places import Mutation, is_stale, places, stale
from tests.paths import PACKAGE, TOP

PLACES = places()


def test_each_place_is_there() -> None:
    """Where it moved, give its new function and number in places.json, or another of its kind."""
    assert stale(PACKAGE.parent) == []


TEXT = """
def f(a, b):
    def g(x):
        return x - 1 if x < b else b
    return a - b*(a - 1) - g(
        a)  # the rest stays


class C:
    def h(self, kept=not 1):
        if not self.a.b(2): raise ValueError(f"{kept - 1}")
        check(kept)
"""


@pytest.mark.parametrize(
    ("function", "label", "nth", "becomes", "was", "now"),
    [
        ("f", "-", 1, "+", "a - b*(a - 1)", "(a + b * (a - 1))"),
        ("f", "-", 2, "+", "a - 1)", "(a + 1))"),
        ("f", "-", 4, "+", "", None),
        ("f.g", "-", 1, "+", "x - 1", "(x + 1)"),
        ("f.g", "if", 1, "False", "x < b", "(False)"),
        ("f.g", "<", 1, ">=", "x < b", "(x >= b)"),
        ("f", "g()", 1, "-_", "g(\n        a)", "(-(g(a)))"),
        ("f", "*", 1, "_ * _b", "b*(a - 1)", "((b * (a - 1)) * _b)"),
        ("C.h", "if", 1, "False", "not self.a.b(2)", "(False)"),
        ("C.h", "not", 1, "not _", "not 1", "(not (not 1))"),
        ("C.h", ".b", 1, ".c", "self.a.b", "(self.a.c)"),
        ("C.h", "2", 1, "0", "2", "(0)"),
        ("C.h", "-", 1, "+", "", None),  # of a text
        ("C.h", "check()", 1, "None", "check(kept)", "(None)"),
        ("", "-", 1, "+", "", None),
    ],
)
def test_a_place_is_the_nth_node_of_a_function(
    function: str, label: str, nth: int, becomes: str, was: str, now: str | None
) -> None:
    place = Mutation("numerics", "f.py", function, label, nth, becomes)
    if now is None:
        assert place.spot(TEXT) is None
    else:
        assert place.broken(TEXT) == TEXT.replace(was, now, 1)


def test_a_change_of_style_moves_no_place() -> None:
    """Which line an operator stands on, and what stands around it, is not looked at."""
    other = ast.unparse(ast.parse(TEXT))
    for found, again in zip(spots(TEXT), spots(other), strict=True):
        assert found[:2] == again[:2]
        assert ast.dump(found.node) == ast.dump(again.node)


def test_places_of_a_kind_are_drawn_for_those_that_are_gone() -> None:
    gone = [
        Mutation(kind, "lstmcli/gone.py", "f", "+", 1, "-")
        for kind in ("numerics", "guard", "limit")
    ]
    table = drawn([*gone, PLACES[0]], seed=1)
    assert [place.kind for place in table[:3]] == ["numerics", "guard", "limit"]
    assert not any(is_stale(place, PACKAGE.parent) for place in table)
    assert table[3] == PLACES[0]


def test_there_are_200_places_of_three_kinds() -> None:
    kinds = Counter(place.kind for place in PLACES)
    assert len({place[1:6] for place in PLACES}) == kinds.total() == 200
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
        (
            ["test_passes", "test_fails"],
            Failure("FAILED test_a.py::test_fails[1]", "test_fails"),
        ),
        (
            ["test_fails", "test_ends"],
            Failure("FAILED test_a.py::test_fails[1]", "test_fails"),
        ),
        (["test_ends", "test_fails"], Failure("status 9", "test_ends")),
    ],
)
@pytest.mark.slow
def test_the_way_in_which_tests_fail_is_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    functions: list[str],
    failure: Failure | None,
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
    broken = ast.parse(place.broken(text))
    assert ast.dump(broken) != ast.dump(ast.parse(text))
