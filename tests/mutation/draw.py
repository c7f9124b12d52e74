"""Draw places anew for those whose node is gone: ``python -m tests.mutation.draw --seed N``.

Each place that is gone is replaced by one of its kind, drawn from all of today's code. How a kind
is broken: a guard whose body raises or returns never holds; so does one that names a constant in
capitals (a limit); an operator or a comparison of numerics is replaced by its opposite.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.mutation.nodes import Spot, spots
from tests.mutation.places import TABLE, Mutation, is_stale, places
from tests.paths import PACKAGE, TOP

OPPOSITES = {
    "+": "-", "-": "+", "*": "/", "/": "*", "<": ">=", ">": "<=", "<=": ">", ">=": "<",
    "==": "!=", "!=": "==",
}  # fmt: skip
LIMIT = re.compile(r"\b[A-Z][A-Z_]{3,}\b")


def candidates(path: Path) -> Iterator[Mutation]:
    """All places of a file."""
    file = str(path.relative_to(PACKAGE.parent))
    counts: Counter[tuple[str, str]] = Counter()
    for spot in spots(path.read_text()):
        counts[spot[:2]] += 1
        where = (file, spot.function, spot.label, counts[spot[:2]])
        if spot.label in OPPOSITES:
            yield Mutation("numerics", *where, OPPOSITES[spot.label])
        elif spot.label == "if" and _leaves(spot):
            is_limit = LIMIT.search(ast.unparse(spot.node))
            yield Mutation("limit" if is_limit else "guard", *where, "False")


def _leaves(spot: Spot) -> bool:
    """Whether the body of a condition leaves the function or the turn of a loop."""
    if not isinstance(spot.statement, ast.If) or spot.node is not spot.statement.test:
        return False
    return isinstance(spot.statement.body[0], ast.Raise | ast.Return | ast.Continue)


def drawn(table: list[Mutation], seed: int) -> list[Mutation]:
    """The table with another place in the position of each that is gone."""
    taken = {place[:6] for place in table}
    paths = sorted(PACKAGE.rglob("*.py"))
    found = [place for path in paths for place in candidates(path)]
    random.Random(seed).shuffle(found)
    chosen = []
    for place in table:
        if is_stale(place, TOP):
            place = next(
                one for one in found if one.kind == place.kind and one[:6] not in taken
            )
            taken.add(place[:6])
            print(f"{place.kind:8} {place.name}")
        chosen.append(place)
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation.draw", description=__doc__
    )
    parser.add_argument("--seed", type=int, required=True)
    rows = [place._asdict() for place in drawn(places(), parser.parse_args().seed)]
    TABLE.write_text(json.dumps(rows, indent=1) + "\n")
