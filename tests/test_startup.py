"""Starting up stays light: what a command does not need is not imported."""

from __future__ import annotations

import subprocess
import sys

from tests.paths import TOP


def loaded_by(code: str) -> set[str]:
    """The packages that some code, which ends in a call of ``invoke``, brings into memory."""
    code = (
        "import sys, os\n"
        "before = set(sys.modules)\n"  # coverage, where it measures, has loaded some
        "from lstmcli.cli import invoke\n"
        f"{code}\n"
        "print('\\nLOADED', *{m.split('.')[0] for m in set(sys.modules) - before})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=TOP, capture_output=True, text=True
    )
    return set(done.stdout.rpartition("LOADED ")[2].split())


def test_help_imports_neither_numpy_nor_rich() -> None:
    assert not loaded_by("invoke(['--help'])") & {"numpy", "rich", "json", "zipfile"}


def test_a_pipe_and_an_error_do_without_rich() -> None:
    sample = "'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'"
    assert "rich" not in loaded_by(f"invoke(['run', {sample}])")
    assert "rich" not in loaded_by(f"invoke(['run', {sample}, '-f', 'json'])")
    assert "rich" not in loaded_by("invoke(['run', 'nowhere.npz'])")


def test_an_interrupt_is_taken_before_much_is_imported() -> None:
    """Until `main` runs it would be a traceback: only builtins and what signal needs come first."""
    code = "import sys; import lstmcli.__main__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], check=True, cwd=TOP, capture_output=True, text=True
    )
    assert not {*done.stdout.split()} & {"typing", "re", "click", "numpy", "lstmcli.cli"}


def test_a_plot_does_without_what_it_is_not_asked_for() -> None:
    sample = "'samples/forget-bias/weights.npz', 'samples/forget-bias/inputs.npy'"
    assert not loaded_by(f"invoke(['plot', {sample}])") & {"rich", "matplotlib"}
