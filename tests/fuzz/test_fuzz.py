"""No variant of a file does more than give a result or one clear message.

Each is read by a command in a process that is bounded in time and memory and in which nothing but
the named files may be opened; what it shows may hold no control character.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz import corpus
from tests.fuzz.campaign import REPOSITORY, failures, message

SEED = 15
COUNT = 2000  # variants of each format
NEW_PROCESSES = {"keras-h5": 150, "keras-weights": 75, "keras-zip": 75}  # 300 variants of HDF5
FORMATS = [*corpus.TABLE]


@pytest.mark.slow
def test_some_variants_of_every_format() -> None:
    command = [sys.executable, "-m", "tests.fuzz", *FORMATS, "--count", "4"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": 0 of 4 failed") == len(FORMATS)


@pytest.mark.wide
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_end_in_a_result_or_a_message(format: str) -> None:
    found = failures(format, SEED, 0, COUNT)
    assert not found, message(found)


@pytest.mark.wide
@pytest.mark.parametrize("format", NEW_PROCESSES)
def test_damaged_hdf5_files_read_by_the_real_child(format: str) -> None:
    found = failures(format, SEED + 1, 0, NEW_PROCESSES[format], "--new-process")
    assert not found, message(found)
