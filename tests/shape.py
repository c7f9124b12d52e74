"""How large the code is, and how much each statement says: ``python -m tests.shape [FOLDER]``.

Size is counted in tokens: names, operators, numbers and strings, an f-string as one on every
Python. Comments, docstrings and layout are none: a line gains nothing by being packed, and loses
nothing by being split. Idioms are counted per 10,000 tokens. `BOUNDS` has what holds of a package
that is written to be read once, and `DONE` which packages are.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

IDIOMS = {
    "ternary": "conditional expressions",
    "bool": "truth values as numbers: added, multiplied, an index of a literal, &=",
    "star": "tuples and lists with starred parts",
    "walrus": ":=",
    "for for": "comprehensions with two or more for",
    "and/or": "`and` and `or` as values that are assigned or returned",
}
LARGE = {
    "functions over 300 tokens": 300,
    "functions over 40 statements": 40,
    "functions over 14 local names": 14,
    "classes over 12 attributes": 12,
    "classes over 25 members": 25,
}
"""What is counted because it is too large, and the largest size that is not."""

EACH = {
    "tok/stmt": 12.0, "ternary": 27.0, "bool": 1.5, "star": 8.0, "walrus": 4.0, "for for": 3.0,
}  # fmt: skip
WORDY = {**EACH, "tok/stmt": 12.7}  # numerics, whose statements are formulas
BOUNDS: dict[str, dict[str, float]] = {
    "lstmcli/core/explain": {**WORDY, "star": 16.0},
    "lstmcli/core/diff": {**WORDY, "ternary": 35.0},
    "lstmcli/core/weights": WORDY,
    "lstmcli/core/model": {**EACH, "tok/stmt": 15.0},  # tables
    "lstmcli, whole": dict(zip(LARGE, (60, 0, 45, 8, 4), strict=True)),
    "tests": {"tok/stmt": 13.0, "ternary": 18.0},
}
"""By name, and `EACH` for a package that has no row; whoever is over one says where and why."""

DONE: tuple[str, ...] = (
    "lstmcli",
    "lstmcli/cli",
    "lstmcli/core/derive",
    "lstmcli/core/diff",
    "lstmcli/core/explain",
    "lstmcli/core/forward",
    "lstmcli/core/model",
    "lstmcli/core/weights",
    "lstmcli/engines",
    "lstmcli/views",
)
"""The packages that are read once: a name is added by the change that wrote the last file of it."""

COUNTED = {tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING}
FSTRING_START = getattr(tokenize, "FSTRING_START", None)  # from Python 3.12 on
FSTRING_END = getattr(tokenize, "FSTRING_END", None)
TRUTH_NAMES = ("is_", "has_", "may_", "can_")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Figures:
    """Tokens, statements, idioms and what is too large, of some files."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.tokens = self.lines = self.statements = self.functions = 0
        self.idioms: Counter[str] = Counter()
        self.large: Counter[str] = Counter()
        for path in paths:
            self._add(path.read_text(encoding="utf-8"))

    def _add(self, text: str) -> None:
        tree = ast.parse(text)
        on_line = tokens_by_line(text, _docstring_lines(tree))
        self.tokens += on_line.total()
        self.lines += len(on_line)
        for node in ast.walk(tree):
            self.idioms.update(idioms_of(node))
            if isinstance(node, ast.stmt) and not _is_text(node):
                self.statements += 1
            if isinstance(node, Function):
                self.functions += 1
                self._add_large(_function_sizes(node, on_line))
            if isinstance(node, ast.ClassDef):
                self._add_large(_class_sizes(node))

    def _add_large(self, sizes: dict[str, int]) -> None:
        self.large.update(name for name, size in sizes.items() if size > LARGE[name])

    @property
    def rates(self) -> dict[str, float]:
        """Tokens a statement, and each idiom per 10,000 tokens."""
        each = 10_000 / max(1, self.tokens)
        rates = {"tok/stmt": self.tokens / max(1, self.statements)}
        rates.update({idiom: self.idioms[idiom] * each for idiom in IDIOMS})
        return rates

    def beyond(self, bounds: dict[str, float]) -> list[str]:
        """What is over a bound, in words; both have one decimal place."""
        found = {**dict.fromkeys(LARGE, 0), **self.large, **self.rates}
        return [
            f"{name}: {found[name]:.1f}, at most {bound:g}"
            for name, bound in bounds.items()
            if round(found[name], 1) > bound
        ]


def tokens_by_line(text: str, without: set[int]) -> Counter[int]:
    """How many tokens begin on each line of code; ``without`` are lines of docstrings."""
    on_line: Counter[int] = Counter()
    depth = 0  # of f-strings
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == FSTRING_END:
            depth -= 1
        elif token.type == FSTRING_START:
            if depth == 0:
                on_line[line] += 1
            depth += 1
        elif depth == 0 and token.type in COUNTED and line not in without:
            on_line[line] += 1
    return on_line


def idioms_of(node: ast.AST) -> list[str]:
    """The idioms that a node is."""
    is_idiom = {
        "ternary": isinstance(node, ast.IfExp),
        "bool": _is_counted_truth(node),
        "star": _is_starred(node),
        "walrus": isinstance(node, ast.NamedExpr),
        "for for": len(getattr(node, "generators", ())) > 1,
        "and/or": _is_chosen(node),
    }
    return [idiom for idiom, holds in is_idiom.items() if holds]


def _is_starred(node: ast.AST) -> bool:
    """Whether a node makes a tuple or a list with starred parts."""
    if not isinstance(node, ast.Tuple | ast.List) or not isinstance(node.ctx, ast.Load):
        return False
    return any(isinstance(part, ast.Starred) for part in node.elts)


def _is_chosen(node: ast.AST) -> bool:
    """Whether `and` or `or` chooses the value that a statement assigns or returns."""
    if not isinstance(node, ast.Assign | ast.Return):
        return False
    value = node.value
    return isinstance(value, ast.BoolOp) and not all(map(_is_truth, value.values))


def _is_counted_truth(node: ast.AST) -> bool:
    """Whether a node takes a truth value for a number."""
    used: list[ast.expr | None] = []
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.Add | ast.Sub | ast.Mult
    ):
        used = [node.left, node.right]
    elif isinstance(node, ast.AugAssign):
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            used = [node.target]
    elif isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Slice):
            used = [node.slice.lower, node.slice.upper]
        elif isinstance(node.value, ast.Tuple | ast.List):  # elsewhere a mask
            used = [node.slice]
    return any(map(_is_truth, used))


def _is_truth(node: ast.expr | None) -> bool:
    """Whether an expression is a truth value, as far as its form tells."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "bool"
    if isinstance(node, ast.Name):
        return node.id.startswith(TRUTH_NAMES)
    if isinstance(node, ast.Attribute):
        return node.attr.startswith(TRUTH_NAMES)
    return isinstance(node, ast.Compare)


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is a docstring."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            lines.update(range(body[0].lineno, body[0].end_lineno + 1))
    return lines


def _function_sizes(node: Function, on_line: Counter[int]) -> dict[str, int]:
    tokens = sum(on_line[n] for n in range(node.lineno, (node.end_lineno or 0) + 1))
    inside = list(ast.walk(node))
    statements = sum(isinstance(part, ast.stmt) for part in inside) - 1  # itself
    names = {
        part.id
        for part in inside
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    return dict(zip(LARGE, (tokens, statements, len(names)), strict=False))


def _class_sizes(node: ast.ClassDef) -> dict[str, int]:
    attributes = {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
        if isinstance(part.value, ast.Name) and part.value.id == "self"
    }
    methods: set[str] = set()
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            attributes.add(part.target.id)
        if isinstance(part, Function):
            methods.add(part.name)
    sizes = (len(attributes), len(attributes | methods))
    return dict(zip(list(LARGE)[3:], sizes, strict=True))


def package_of(path: Path, root: Path) -> str:
    """The name of a file's package: ``lstmcli/cli``, and in core ``lstmcli/core/diff``."""
    folders = path.parent.relative_to(root).parts
    depth = 2 if folders[:1] == ("core",) else 1
    return "/".join((root.name, *folders[:depth]))


def groups(root: Path) -> dict[str, list[Path]]:
    """The files of each package below a folder, of the whole, and of the tests beside it."""
    paths = sorted(root.rglob("*.py"))
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(package_of(path, root), []).append(path)
    found[f"{root.name}, whole"] = paths
    for path in sorted(root.with_name("tests").rglob("*.py")):
        name = "tests/golden/record" if "record" in path.parts else "tests"
        found.setdefault(name, []).append(path)
    return found


def beyond(root: Path, done: Iterable[str]) -> list[str]:
    """What of the packages that are done is over its bound, in words."""
    files = groups(root)
    return [
        f"{name}: {words}"
        for name in done
        for words in Figures(files[name]).beyond(BOUNDS.get(name, EACH))
    ]


def main(root: Path) -> None:
    """Print the figures of a folder."""
    rates = ["tok/stmt", *IDIOMS]
    print(
        f"{'':<36}{'tokens':>9}{'lines':>8}" + "".join(f"{name:>9}" for name in rates)
    )
    found = {name: Figures(paths) for name, paths in groups(root).items()}
    for name, size in found.items():
        shown = "".join(f"{size.rates[rate]:9.1f}" for rate in rates)
        print(f"{name:<36}{size.tokens:>9,}{size.lines:>8,}{shown}")
    whole = found[f"{root.name}, whole"]
    print(f"of {whole.functions:,} functions and the classes:")
    print(*(f"  {whole.large[name]} {name}" for name in LARGE), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "lstmcli").resolve())
