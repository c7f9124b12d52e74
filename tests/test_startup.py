"""Starting up stays light: what a command does not need is not imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lstmcli
from tests.paths import PACKAGE
from tests.processes import python


def loaded_by(code: str) -> set[str]:
    """The modules that some code, which ends in a call of ``invoke``, brings into memory."""
    code = (
        "import sys, os\n"
        "before = set(sys.modules)\n"  # coverage, where it measures, has loaded some
        "from lstmcli.cli import invoke\n"
        f"{code}\n"
        "print('\\nLOADED', *set(sys.modules) - before)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED ")[2].split())


def test_help_imports_neither_numpy_nor_rich() -> None:
    assert not loaded_by("invoke(['--help'])") & {"numpy", "rich", "json", "zipfile"}


@pytest.mark.slow
def test_a_pipe_and_an_error_do_without_rich() -> None:
    sample = "'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'"
    assert "rich" not in loaded_by(f"invoke(['run', {sample}])")
    as_json = loaded_by(f"invoke(['run', {sample}, '-f', 'json'])")
    assert "rich" not in as_json
    assert not {name for name in as_json if "model.edits" in name}, "no edit was given"
    # 17 more than before the packages were written out: their modules are smaller. The last four
    # took no time: 1.00 of the processor time before them, in 21 pairs
    assert sum(name.startswith("lstmcli.") for name in as_json) <= 82
    assert "rich" not in loaded_by("invoke(['run', 'nowhere.npz'])")


def test_an_interrupt_while_the_command_line_starts_shows_no_traceback() -> None:
    """In each import that our modules make before `main` takes it, and there are few of them."""
    code = """
import sys
class Interrupted:
    def find_spec(name, *_):
        print(name)
        if name == sys.argv[1]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted)
import lstmcli.__main__
"""
    for name, status in (("", 0), ("signal", 130), ("enum", 130)):
        path = str(Path(lstmcli.__file__).parents[1])
        done = python("-S", "-c", code, name, PYTHONPATH=path)
        assert (done.returncode, done.stderr) == (status, "")
        if not name:
            names = done.stdout.split()
            assert not {*names[: names.index("signal")]} & {
                "enum",
                "importlib",
                "re",
                "typing",
            }
            assert "typing" not in names


def test_a_plot_does_without_what_it_is_not_asked_for() -> None:
    sample = "'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'"
    assert not loaded_by(f"invoke(['plot', {sample}])") & {"rich", "matplotlib"}


# ---- every module alone, and how each gives its messages; pyproject.toml has the layers


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.slow
def test_every_module_imports_in_a_fresh_process() -> None:
    """Each after the others are forgotten, so that none relies on an import elsewhere."""
    paths = [
        path.relative_to(PACKAGE.parent) for path in MODULES if path.stem != "__main__"
    ]
    names = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths
    ]
    code = (
        "import sys, importlib\n"
        f"for name in {names!r}:\n"
        "    for known in [m for m in sys.modules if m.split('.')[0] == 'lstmcli']:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)\n"
    )
    done = python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_lines_of_a_message_are_separate_arguments() -> None:
    """A newline inside one is interpreted as part of a name, and shown escaped."""
    calls = [
        (f"{path.name}:{node.lineno}", node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("UserError", "NoInputs")
    ]
    assert len(calls) > 100
    for place, node in calls:
        texts = [
            n.value
            for a in node.args
            for n in ast.walk(a)
            if isinstance(n, ast.Constant)
        ]
        direct = [text for text in texts if isinstance(text, str) and len(text) > 1]
        assert not [text for text in direct if "\n" in text], place
