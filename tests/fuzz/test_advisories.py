"""What passed scanners of models is read, or refused, and never run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.advisories import MARK, PICKLES
from tests.paths import TOP

READ = """
import sys
from tests.fuzz import advisories
from tests.fuzz.corpus import Sample, Variant
from tests.fuzz.guard import Audit
from tests.fuzz.session import Session

audit, count = Audit(), 0
with Session(audit, "pickle", 0, forks=False) as session:
    for name in sys.argv[1:]:
        for file, data in advisories.files(name).items():
            sample = Sample(f"{name}/{file}", {file: data}, file, (file,))
            for number in range(4):
                count += 1
                for text in session.failures_of(Variant(sample, sample.files), number):
                    print(f"{sample.name}: {text}")
print(count, "read")
"""
UNPICKLE = """
import pickle, sys
pickle.loads(sys.stdin.buffer.read())
"""


@pytest.mark.parametrize(
    "names",
    [
        ["memo"],
        pytest.param([*PICKLES], marks=pytest.mark.wide, id="all"),
    ],
)
@pytest.mark.slow
def test_nothing_that_passed_a_scanner_is_run_or_opens_a_file(names: list[str]) -> None:
    command = [sys.executable, "-c", READ, *names]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    *found, last = done.stdout.splitlines()
    assert not found, "\n".join(found[:5])
    assert last == f"{40 * len(names)} read"


@pytest.mark.parametrize("name", [name for name, one in PICKLES.items() if one.springs])
def test_these_would_have_run_in_python(name: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", UNPICKLE],
        cwd=tmp_path,
        input=PICKLES[name].pickle,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (tmp_path / MARK).exists()
