"""The packages: which may import which, which outside library each may use; every module alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import PACKAGE, TESTS, TOP

MODULES = sorted(PACKAGE.rglob("*.py"))
CORE_TESTS = sorted((TESTS / "core").rglob("*.py"))

BASE = {
    "_version",
    "errors",
    "escaping",
    "notebook",
    "outputs",
    "threads",
}  # these import the standard library alone
MODEL = "core/model"
CORE = [MODEL, "core/weights", "core/forward", "core/diff", "core/derive", "core/explain"]

# package: the packages and outside libraries that it may import, inside functions too, beyond
# itself, the modules of BASE and the standard library. Libraries imported by name (import_module)
# are not seen.
MAY_IMPORT = {
    MODEL: ["numpy"],
    "threads": ["numpy", "threadpoolctl"],
    "core/weights": ["numpy", MODEL],
    "core/forward": ["numpy", MODEL, "core/weights"],
    "core/diff": ["numpy", MODEL, "core/weights"],
    "core/derive": ["numpy", MODEL, "core/forward", "core/diff"],
    "core/explain": ["numpy", MODEL, "core/weights", "core/forward", "core/diff"],
    "formats": ["numpy"],
    "engines": ["numpy", MODEL, "core/weights", "core/forward", "formats"],
    "api": ["numpy", *CORE, "formats", "engines"],
    "views": ["numpy", "rich", *CORE],
    "cli": ["numpy", "click", "rich", *CORE, "formats", "engines", "api", "views"],
    "__init__": [*CORE, "api"],
    "__main__": ["cli"],
}


def package_of(name: str) -> str:
    """The package of a dotted module name: "core/model", "formats", "numpy", ..."""
    first, *rest = name.split(".")
    if first != "lstmcli":
        return first
    if rest[:1] == ["core"] and len(rest) > 1:
        return "/".join(rest[:2])
    return rest[0] if rest else "__init__"


def imports_at_run_time(path: Path) -> list[ast.AST]:
    """The nodes of a file without those that only a checker of types reads."""
    tree = ast.parse(path.read_text())
    guarded = [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    ]
    for_types = {id(inner) for node in guarded for inner in ast.walk(node)}
    return [node for node in ast.walk(tree) if id(node) not in for_types]


def imports(path: Path) -> set[str]:
    """The dotted names of the modules that a file imports, inside functions too; not for types."""
    found = set()
    for node in imports_at_run_time(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("lstmcli", "lstmcli.core"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return {name for name in found if name.split(".")[0] not in sys.stdlib_module_names}


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def test_a_package_imports_only_what_the_table_allows() -> None:
    assert len(MODULES) > 100
    for path in MODULES:
        package = package_of(dotted(path))
        allowed = {package, *BASE, *MAY_IMPORT.get(package, [])}
        for name in imports(path):
            assert package_of(name) in allowed, f"{dotted(path)} imports {name}"


def test_a_test_of_core_needs_neither_views_nor_cli() -> None:
    for path in CORE_TESTS:
        assert not {package_of(name) for name in imports(path)} & {"views", "cli"}, path


def module_imports(path: Path, names: set[str]) -> set[str]:
    """The modules of this package that a file imports, inside functions too; not for types only."""
    found = set()
    for node in imports_at_run_time(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in names else node.module)
    return (found & names) - {dotted(path)}


@pytest.mark.slow
def test_no_imports_go_in_a_circle() -> None:
    names = {dotted(path) for path in MODULES}
    graph = {dotted(path): module_imports(path, names) for path in MODULES}
    while leaves := {name for name, imported in graph.items() if not imported & graph.keys()}:
        for name in leaves:
            del graph[name]
    assert not graph


@pytest.mark.slow
def test_every_module_imports_in_a_fresh_process() -> None:
    """Each after the others are forgotten, so that none relies on an import elsewhere."""
    names = [dotted(path) for path in MODULES if path.stem != "__main__"]
    code = (
        "import sys, importlib\n"
        f"for name in {names!r}:\n"
        "    for known in [m for m in sys.modules if m.split('.')[0] == 'lstmcli']:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=TOP)


def test_the_lines_of_a_message_are_separate_arguments() -> None:
    """A newline inside of one is taken for a name's, and shown escaped."""
    calls = [
        (f"{path.name}:{node.lineno}", node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "NoInputs")
    ]
    assert len(calls) > 100
    for place, node in calls:
        texts = [n.value for a in node.args for n in ast.walk(a) if isinstance(n, ast.Constant)]
        direct = [text for text in texts if isinstance(text, str) and len(text) > 1]
        assert not [text for text in direct if "\n" in text], place
