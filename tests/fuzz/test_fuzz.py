"""No variant of a file does more than give a result or one clear message.

Each is read by a command in a process that is bounded in time and memory and in which nothing but
the named files may be opened; what it shows may hold no control character.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import corpus
from tests.fuzz.advisories import MARK, PICKLES
from tests.fuzz.guard import unprintable
from tests.paths import TOP

FORMATS = [*corpus.TABLE]
FEW, MANY = 40, 2000  # variants of each format
NEW_PROCESSES = {"keras-h5": 150, "keras-weights": 75, "keras-zip": 75}  # 300 variants of HDF5

FOUND = {  # what is found of a reader in `misbehaving`
    "opens_another_file": "opened or done: open '",
    "writes_a_file": "opened or done: open '",
    "lists_a_folder": "opened or done: os.listdir '/'",
    "starts_a_process": "opened or done: subprocess.Popen",
    "runs_code": "opened or done: exec",
    "asks_the_network": "opened or done: socket.getaddrinfo",
    "allocates": "more memory than a file may take",
    "allocates_and_says_something_else": "more memory than a file may take",
    "never_ends": "Overdue",
    "raises": "ValueError: for nobody",
    "warns": "RuntimeWarning: overflow",
    "writes_a_control_character": "a control character on the screen",
}

READ = """
import sys
from tests.fuzz import advisories
from tests.fuzz.corpus import Sample, Variant
from tests.fuzz.guard import Audit
from tests.fuzz.session import Session

audit, count = Audit(), 0
with Session(audit, "pickle", 0, keep=False) as session:
    for name in sys.argv[1:]:
        for file, data in advisories.files(name).items():
            sample = Sample(f"{name}/{file}", {file: data}, file, (file,))
            for number in range(4):
                count += 1
                for text in session.failures_of(Variant(sample, sample.files), number):
                    print(f"{sample.name}: {text}")
print(count, "read")
"""


def output_of(*words: str) -> str:
    """What Python prints with these words; it ends with status 0."""
    done = subprocess.run(
        [sys.executable, *words], cwd=TOP, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr.rpartition("\r")[2]
    return done.stdout


@pytest.mark.slow
def test_some_variants_of_every_format() -> None:
    shown = output_of("-m", "tests.fuzz", *FORMATS, "--count", str(FEW))
    assert shown.count(f": 0 of {FEW} failed") == len(FORMATS)


@pytest.mark.wide
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_end_in_a_result_or_a_message(format: str) -> None:
    output_of("-m", "tests.fuzz", format, "--count", str(MANY))


@pytest.mark.wide
@pytest.mark.parametrize("format", NEW_PROCESSES)
def test_damaged_hdf5_files_read_by_the_real_child(format: str) -> None:
    words = ("--new-process", "--seed", "16", "--count", str(NEW_PROCESSES[format]))
    output_of("-m", "tests.fuzz", format, *words)


@pytest.mark.slow
def test_every_misbehaviour_of_a_reader_is_found() -> None:
    lines = output_of("-m", "tests.fuzz.misbehaving").splitlines()
    found = dict(line.partition(" ")[::2] for line in lines)
    assert found.pop("is_well_behaved") == ""
    assert {name: text in found[name] for name, text in FOUND.items()} == dict.fromkeys(FOUND, True)
    assert found.keys() == FOUND.keys()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.sampled(4)
def test_variants_repeat_and_differ(format: str) -> None:
    variants = [corpus.variant(format, 1, number) for number in range(8)]
    assert variants == [corpus.variant(format, 1, number) for number in range(8)]
    changed = [one for one in variants if one.files != one.sample.files]
    assert len(changed) >= 6
    assert len({tuple(one.files.values()) for one in variants}) >= 6


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a\tb", "\r", "\x7f", "\x9b", "\u202e", "\u2028", "\u200b"]
)
def test_what_no_terminal_may_get_is_found(text: str) -> None:
    assert unprintable(f"before {text}after")


def test_letters_and_lines_are_no_control_characters() -> None:
    assert not unprintable("kernel · 1.5e-3\n\u2502 \u4e2d\u6587 \u00e9\n")


# ---- what passed scanners of models is read, or refused, and never run


@pytest.mark.parametrize(
    "names", [["memo"], pytest.param([*PICKLES], marks=pytest.mark.wide, id="all")]
)
@pytest.mark.slow
def test_nothing_that_passed_a_scanner_is_run_or_opens_a_file(names: list[str]) -> None:
    assert output_of("-c", READ, *names) == f"{40 * len(names)} read\n"


@pytest.mark.parametrize("name", [name for name, one in PICKLES.items() if one.springs])
def test_these_would_have_run_in_python(name: str, tmp_path: Path) -> None:
    unpickle = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    command, data = [sys.executable, "-c", unpickle], PICKLES[name].pickle
    subprocess.run(command, cwd=tmp_path, input=data, stderr=subprocess.DEVNULL, timeout=60)
    assert (tmp_path / MARK).exists()
