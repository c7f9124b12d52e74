"""The table of places, and the tests that run the line of each."""

from __future__ import annotations

import ast
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tests.mutation.nodes import Spot, broken, find
from tests.paths import TESTS

TABLE = Path(__file__).with_name("places.json")


class Mutation(NamedTuple):
    """A node of a function (see `nodes`), and what it becomes: an operator or an expression."""

    kind: str  # numerics, guard or limit
    file: str
    function: str  # its qualified name; empty in the module
    node: str  # the label of nodes
    nth: int  # of the nodes with that label, from 1
    becomes: str
    noticed_by: str | None = None  # the test of the last run that was written

    @property
    def name(self) -> str:
        """The place in words, for a report."""
        where = f"{self.file} {self.function}".rstrip()
        return f"{where}: {self.node} {self.nth} -> {self.becomes}"

    def spot(self, text: str) -> Spot | None:
        """The node in the text of the file, None if it is gone."""
        return find(text, self.function, self.node, self.nth)

    def broken(self, text: str) -> str:
        """The file with the node broken."""
        spot = self.spot(text)
        if spot is None:
            raise ValueError(f"{self.name}: there is no such node")
        return broken(text, spot, self.becomes)


def places() -> list[Mutation]:
    """All places of the table."""
    return [Mutation(**row) for row in json.loads(TABLE.read_text())]


def write(noticed: Mapping[Mutation, str | None]) -> None:
    """Write who noticed places into the table; the others stay as they are."""
    rows = [
        place._replace(noticed_by=noticed.get(place, place.noticed_by))._asdict()
        for place in places()
    ]
    TABLE.write_text(json.dumps(rows, indent=1) + "\n")


def is_stale(place: Mutation, top: Path) -> bool:
    """Return whether the node of a place is gone."""
    path = top / place.file
    return not path.exists() or place.spot(path.read_text()) is None


def stale(top: Path) -> list[str]:
    """The names of the places that are stale."""
    return [place.name for place in places() if is_stale(place, top)]


class Record:
    """Which test functions ran which lines of the product, by `.ci/run coverage`.

    A function is a text, ``tests/cli/test_run.py::test_one``.
    """

    def __init__(self, path: str, top: Path) -> None:
        from coverage import CoverageData

        if not os.path.exists(path):
            raise SystemExit(
                f"{path} is not there; `.ci/run coverage` records which tests run what"
            )
        self._data: Any = CoverageData(path)
        self._data.read()
        self._top = top

    def functions(self, place: Mutation) -> list[str]:
        """The tests that run the lines of a place, the one that runs the fewest lines first.

        Before them come the one that noticed it before, and those that run the two lines behind:
        the body of a guard. The line of a constant is run by none: it stands for the lines that
        name it.
        """
        spot = place.spot((self._top / place.file).read_text())
        if spot is None:
            return []
        last = spot.node.end_lineno or spot.node.lineno
        found = self._of_lines(place.file, range(spot.statement.lineno, last + 1))
        if not place.function and isinstance(spot.statement, ast.Assign):
            found |= self._of_name(ast.unparse(spot.statement.targets[0]))
        body = self._of_lines(place.file, range(last + 1, last + 3))
        if place.noticed_by:
            found.add(place.noticed_by)
        return sorted(
            found,
            key=lambda one: (
                one != place.noticed_by,
                one not in body,
                self._lines_of[one],
                one,
            ),
        )

    def _of_name(self, constant: str) -> set[str]:
        """The tests that run a line that names a constant."""
        found: set[str] = set()
        for file in self._contexts:
            lines = (self._top / file).read_text().splitlines()
            named = [n for n, line in enumerate(lines, 1) if constant in line]
            found |= self._of_lines(file, named)
        return found

    def _of_lines(self, file: str, lines: Sequence[int]) -> set[str]:
        contexts = self._contexts.get(file, {})
        return {one for line in lines for one in contexts.get(line, ())}

    @cached_property
    def _contexts(self) -> dict[str, dict[int, list[str]]]:
        """Of each file and line; a file is recorded twice if processes import another copy."""
        found: dict[str, dict[int, list[str]]] = {}
        for name in self._data.measured_files():
            lines = found.setdefault("lstmcli/" + name.rpartition("/lstmcli/")[2], {})
            for line, contexts in self._data.contexts_by_lineno(name).items():
                tests = [one for text in contexts if (one := _function(text))]
                lines.setdefault(line, []).extend(tests)
        return found

    @cached_property
    def _lines_of(self) -> Counter[str]:
        return Counter(
            one
            for lines in self._contexts.values()
            for tests in lines.values()
            for one in tests
        )


def _function(context: str) -> str | None:
    """The test of a context of coverage, ``tests.cli.test_run.test_one`` and what is inside."""
    words = context.split(".")
    for at, word in enumerate(words):
        if at and word.startswith("test_") and words[at - 1].startswith("test_"):
            file = "/".join(words[:at]) + ".py"
            return f"{file}::{word}" if (TESTS.parent / file).exists() else None
    return None
