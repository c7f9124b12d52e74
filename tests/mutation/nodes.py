"""Nodes of the syntax that a place can refer to, and how one of them is broken.

A node has a label: an operator its sign (`-x` and `not` if it has one operand), a call `name()`,
an attribute `.name`, a name or a constant its text, an index `[]`, a tuple `(,)`, and a condition
is `if` too. Nodes of a label are counted in the order of the text, from 1, within a function; what
a function inside it has is that one's.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
    ast.LShift: "<<", ast.RShift: ">>",
    ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
    ast.And: "and", ast.Or: "or",
    ast.Not: "not", ast.USub: "-x", ast.UAdd: "+x", ast.Invert: "~x",
}  # fmt: skip
MARKS: dict[type[ast.AST], str] = {ast.Subscript: "[]", ast.Tuple: "(,)"}
OPERATORS = {sign: operator for operator, sign in SIGNS.items()}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
UNCOUNTED = ("annotation", "returns")  # fields that are only types


class Spot(NamedTuple):
    """A node, where it is, and the statement around it."""

    function: str  # its qualified name; empty in the module
    label: str
    node: ast.expr
    statement: ast.stmt


@lru_cache(maxsize=4)  # places of a file stand beside each other
def spots(text: str) -> tuple[Spot, ...]:
    """All nodes of a file that have a label, in the order of the text."""
    return tuple(sorted(_inside(ast.parse(text), "", None), key=_position))


def find(text: str, function: str, label: str, nth: int) -> Spot | None:
    """The n-th node of a label in a function, None if it has fewer."""
    counted = [s for s in spots(text) if (s.function, s.label) == (function, label)]
    return counted[nth - 1] if nth <= len(counted) else None


def broken(text: str, spot: Spot, becomes: str) -> str:
    """The file with another operator, ``.name`` or expression in place of a node.

    In an expression ``_`` stands for the node. All other text stays as it is.
    """
    node = spot.node
    if becomes in OPERATORS:
        written = ast.unparse(_with_operator(node, OPERATORS[becomes]()))
    elif becomes.startswith(".") and isinstance(node, ast.Attribute):
        written = f"{ast.unparse(node.value)}{becomes}"
    else:
        written = re.sub(r"\b_\b", lambda _: f"({ast.unparse(node)})", becomes)
    lines = text.encode().splitlines(keepends=True)  # columns are those of bytes
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    start = starts[node.lineno - 1] + node.col_offset
    end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
    whole = b"".join(lines)
    return (whole[:start] + f"({written})".encode() + whole[end:]).decode()


def _inside(node: ast.AST, function: str, at: ast.stmt | None) -> Iterator[Spot]:
    """The nodes inside a node of a function and a statement."""
    for field, value in ast.iter_fields(node):
        if field in UNCOUNTED:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            statement = child if isinstance(child, ast.stmt) else at
            if isinstance(child, ast.expr) and statement is not None:
                if field in ("test", "ifs"):
                    yield Spot(function, "if", child, statement)
                if label := _label(child):
                    yield Spot(function, label, child, statement)
            if isinstance(child, SCOPES):
                name = f"{function}.{child.name}".lstrip(".")
                yield from _inside(child, name, statement)
            elif not isinstance(
                child, ast.JoinedStr
            ):  # of whose parts no place is sure
                yield from _inside(child, function, statement)


def _label(node: ast.expr) -> str | None:
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp):
        return SIGNS[type(node.op)]
    if isinstance(node, ast.Compare):
        return SIGNS[type(node.ops[0])]
    if isinstance(node, ast.Call):
        called = _label(node.func)
        return f"{called.removeprefix('.')}()" if called else None
    if isinstance(node, ast.Attribute):
        return f".{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant):
        return repr(node.value)
    return MARKS.get(type(node))


def _position(spot: Spot) -> tuple[int, int]:
    """Where the label stands: behind the first operand, or where a node begins."""
    node: ast.expr = spot.node
    if spot.label != "if":
        before: ast.expr | None = None
        if isinstance(node, ast.BinOp | ast.Compare):
            before = node.left
        elif isinstance(node, ast.BoolOp):
            before = node.values[0]
        elif isinstance(node, ast.Attribute):
            before = node.value
        elif isinstance(node, ast.Call):
            before = node.func
        if before is not None:
            return before.end_lineno or 0, before.end_col_offset or 0
    return node.lineno, node.col_offset


def _with_operator(node: ast.expr, operator: ast.AST) -> ast.expr:
    """A node with another operator, of a chain of comparisons the first."""
    changed: Any = copy.copy(node)
    if isinstance(node, ast.Compare):
        changed.ops = [operator, *node.ops[1:]]
    else:
        changed.op = operator
    return changed  # type: ignore[no-any-return]
