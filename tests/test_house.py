"""The house itself: imports point inwards, modules import alone, starting up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lstmcli.cli import COMMANDS, lstm

PACKAGE = Path(__file__).parent.parent / "lstmcli"
MODULES = sorted(PACKAGE.rglob("*.py"))

# ring: the rings and outside packages that it may import, beyond itself and the standard library
MAY = {
    "errors": set(),
    "outputs": {"errors"},
    "core": {"errors", "numpy", "threadpoolctl"},
    "formats": {"errors", "outputs", "numpy"},
    "views": {"errors", "core", "numpy", "rich"},
    "exporting": {"errors", "core", "formats", "numpy"},
    "engines": {"errors", "core", "formats", "exporting", "numpy"},  # frameworks in functions
    "joints": {"errors", "core", "formats", "exporting", "engines", "numpy"},  # see JOINTS
    "cli": {
        "errors", "outputs", "core", "formats", "engines", "views", "joints",
        "numpy", "click", "rich",
    },
    "__init__": {"errors", "core", "joints"},  # lazily
    "__main__": {"cli"},
}  # fmt: skip
JOINTS = {
    "loading", "jobs", "saving", "comparing", "inspecting", "deriving", "converting", "checking",
    "explaining", "plotting",
}  # fmt: skip


def ring(name: str) -> str:
    """The ring of a module ``lstmcli.a.b``, or the package of one from outside."""
    parts = name.split(".")
    if parts[0] != "lstmcli":
        return parts[0]
    inner = parts[1] if len(parts) > 1 else "__init__"
    if inner == "escaping":  # errors escape what they say
        return "errors"
    return "joints" if inner in JOINTS else inner


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "lstmcli":
                found |= {f"lstmcli.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_inwards(path: Path) -> None:
    own = ring(dotted(path))
    for name in imports(path):
        if name.split(".")[0] in sys.stdlib_module_names or name == "lstmcli.__version__":
            continue
        assert ring(name) == own or ring(name) in MAY[own], f"{dotted(path)} imports {name}"


def test_every_module_imports_alone() -> None:
    """Each after the others are forgotten, so that none leans on an import elsewhere."""
    names = [dotted(path) for path in MODULES if path.stem != "__main__"]
    code = (
        "import sys, importlib\n"
        f"for name in {names!r}:\n"
        "    for known in [m for m in sys.modules if m.split('.')[0] == 'lstmcli']:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=PACKAGE.parent)


def loaded_by(code: str) -> set[str]:
    """The packages in memory after some code, which ends in a call of ``invoke``."""
    code = (
        "import sys, os\n"
        "from lstmcli.cli import invoke\n"
        f"{code}\n"
        "print('\\nLOADED', *{m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=PACKAGE.parent, capture_output=True, text=True
    )
    return set(done.stdout.rpartition("LOADED ")[2].split())


def test_help_imports_neither_numpy_nor_rich() -> None:
    assert not loaded_by("invoke(['--help'])") & {"numpy", "rich", "json", "zipfile"}


def test_a_pipe_and_an_error_do_without_rich() -> None:
    sample = "'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'"
    assert "rich" not in loaded_by(f"invoke(['run', {sample}])")
    assert "rich" not in loaded_by(f"invoke(['run', {sample}, '-f', 'json'])")
    assert "rich" not in loaded_by("invoke(['run', 'nowhere.npz'])")


def test_a_plot_does_without_what_it_is_not_asked_for() -> None:
    sample = "'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'"
    assert not loaded_by(f"invoke(['plot', {sample}])") & {"rich", "matplotlib"}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_the_lines_of_a_message_are_arguments_of_their_own(path: Path) -> None:
    """A newline inside of one is taken for a name's, and shown escaped."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("UserError", "NoInputs"):
            texts = [n.value for a in node.args for n in ast.walk(a) if isinstance(n, ast.Constant)]
            direct = [text for text in texts if isinstance(text, str) and len(text) > 1]
            assert not [text for text in direct if "\n" in text], f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_opens_with_its_line_and_examples(name: str) -> None:
    command = lstm.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    text = command.help or ""
    assert text.splitlines()[0] == COMMANDS[name]
    lines = [line.strip() for line in text.splitlines()]
    examples = [line for line in lines if line.startswith("lstm ")]
    assert len(examples) == 2, "two examples"
    assert all(
        example.startswith(f"lstm {name} ") or example == f"lstm {name}" for example in examples
    )
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name} has no help"
