"""Draw places anew for those whose text is gone: ``python -m tests.mutation.draw --seed N``.

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
from collections.abc import Iterator
from pathlib import Path

from tests.mutation.places import TABLE, Mutation, is_stale, places
from tests.paths import PACKAGE, TOP

OPPOSITES = {
    ast.Add: (" + ", " - "), ast.Sub: (" - ", " + "), ast.Mult: (" * ", " / "),
    ast.Div: (" / ", " * "), ast.Lt: (" < ", " >= "), ast.Gt: (" > ", " <= "),
    ast.LtE: (" <= ", " > "), ast.GtE: (" >= ", " < "), ast.Eq: (" == ", " != "),
    ast.NotEq: (" != ", " == "),
}  # fmt: skip
LIMIT = re.compile(r"\b[A-Z][A-Z_]{3,}\b")


def candidates(path: Path) -> Iterator[Mutation]:
    """All places of a file, on one line each, whose text occurs once."""
    text = path.read_text()
    lines, file = text.splitlines(), str(path.relative_to(PACKAGE.parent))
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.If | ast.BinOp | ast.Compare) or node.lineno != _end(node):
            continue
        source = lines[node.lineno - 1].strip()
        if text.count(source) != 1:
            continue
        if isinstance(node, ast.If):
            leaves = isinstance(node.body[0], ast.Raise | ast.Return | ast.Continue)
            if leaves and source.startswith("if ") and source.endswith(":"):
                kind = "limit" if LIMIT.search(source) else "guard"
                yield Mutation(kind, file, source, "if False:")
        else:
            operator = node.op if isinstance(node, ast.BinOp) else node.ops[0]
            sign, opposite = OPPOSITES.get(type(operator), ("", ""))
            if sign and source.count(sign) == 1 and not re.search("[\"']", source):
                yield Mutation("numerics", file, source, source.replace(sign, opposite))


def _end(node: ast.If | ast.BinOp | ast.Compare) -> int:
    """The last line of the text: of a guard, that of its condition."""
    return (node.test.end_lineno if isinstance(node, ast.If) else node.end_lineno) or 0


def drawn(table: list[Mutation], seed: int) -> list[Mutation]:
    """The table with another place in the position of each that is gone."""
    taken = {(place.file, place.source) for place in table}
    paths = sorted(PACKAGE.rglob("*.py"))
    found = [place for path in paths for place in candidates(path)]
    random.Random(seed).shuffle(found)
    chosen = []
    for place in table:
        if is_stale(place, TOP):
            place = next(
                one
                for one in found
                if one.kind == place.kind and (one.file, one.source) not in taken
            )
            taken.add((place.file, place.source))
            print(f"{place.kind:8} {place.name}")
        chosen.append(place)
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.draw", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    rows = [place._asdict() for place in drawn(places(), parser.parse_args().seed)]
    TABLE.write_text(json.dumps(rows, indent=1) + "\n")
