"""Every module alone, and how each gives its messages; pyproject.toml has the layers."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.paths import PACKAGE, TOP

MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.slow
def test_every_module_imports_in_a_fresh_process() -> None:
    """Each after the others are forgotten, so that none relies on an import elsewhere."""
    paths = [path.relative_to(PACKAGE.parent) for path in MODULES if path.stem != "__main__"]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
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
