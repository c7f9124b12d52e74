"""Whatever call of the system fails: the old file is intact, the message names a file, all is tidy.

Nothing is left in the folder but what a killed process leaves too: a temporary file that cannot be
removed. A command that goes on gives what it gives without the fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.cases import cases
from tests.faults.memory import LIKELY, STEPS
from tests.processes import python

if not Path("/proc/self/fd").exists():
    pytest.skip("open files are counted in /proc", allow_module_level=True)


def output_of(*words: str) -> str:
    """The printed results of faults; none is wrong."""
    done = python("-m", "tests.faults", *words, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_survives_each_fault() -> None:
    names = "run-json", "run-stdout", "convert-json", "init-json"
    shown = output_of(*names)
    for name in names:
        assert f"{name}: 0 of " in shown
        assert f"{name}: 0 of 0 faults" not in shown


@pytest.mark.wide
@pytest.mark.parametrize("name", cases())
def test_each_command_survives_each_fault(name: str) -> None:
    shown = output_of(name)
    assert shown.startswith(f"{name}: 0 of ")
    assert (
        int(shown.split()[3]) >= 8
    )  # opening, writing, closing, renaming fail at least


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_read() -> None:
    names = "run-csv-read", "read-csv", "read-notation", "read-saved-model"
    shown = output_of(*names, "--event", "read")
    for name in names:
        assert f"{name}: 0 of " in shown
        assert f"{name}: 0 of 0 faults" not in shown


@pytest.mark.wide
@pytest.mark.parametrize("name", LIKELY)
def test_memory_that_runs_out_is_reported(name: str) -> None:
    assert f"{name}: 0 of {STEPS} faults" in output_of(name, "--event", "memory")
