"""No variant of a file does more than give a result or one clear message.

Each is read by a command in a process that is bounded in time and memory and in which nothing but
the named files may be opened; what it shows may hold no control character.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import corpus, guided
from tests.fuzz.advisories import MARK, PICKLES
from tests.fuzz.guard import unprintable
from tests.processes import python


def output_of(*words: str) -> str:
    """Python's output for these words; it ends with status 0."""
    done = python("-B", *words)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr.rpartition("\r")[2]
    return done.stdout


@pytest.mark.slow
def test_files_found_by_coverage_end_in_a_result_or_a_message() -> None:
    assert sorted(path.name for path in guided.CORPUS.iterdir()) == sorted(corpus.TABLE)
    assert output_of("-m", "tests.fuzz", *corpus.TABLE).endswith(" read, 0 failed\n")


@pytest.mark.slow
def test_every_misbehaviour_of_a_reader_is_found() -> None:
    assert output_of("-m", "tests.fuzz.misbehaving") == ""


@pytest.mark.parametrize(
    "text", ["\x1b[31m", "a\tb", "\r", "\x7f", "\x9b", "\u202e", "\u2028", "\u200b"]
)
def test_control_characters_in_output_are_found(text: str) -> None:
    assert unprintable(f"before {text}after")


def test_letters_and_lines_are_not_control_characters() -> None:
    assert not unprintable("kernel · 1.5e-3\n\u2502 \u4e2d\u6587 \u00e9\n")


# ---- what passed scanners of models is read, or refused, and never run


@pytest.mark.parametrize(
    "names", [["memo"], pytest.param([*PICKLES], marks=pytest.mark.wide, id="all")]
)
@pytest.mark.slow
def test_nothing_that_passed_a_scanner_is_run_or_opens_a_file(names: list[str]) -> None:
    assert (
        output_of("-m", "tests.fuzz", *names) == f"{40 * len(names)} read, 0 failed\n"
    )


@pytest.mark.parametrize("name", [name for name, one in PICKLES.items() if one.springs])
def test_these_would_have_run_in_python(name: str, tmp_path: Path) -> None:
    unpickle = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    command, data = [sys.executable, "-c", unpickle], PICKLES[name].pickle
    subprocess.run(
        command, cwd=tmp_path, input=data, stderr=subprocess.DEVNULL, timeout=60
    )
    assert (tmp_path / MARK).exists()


# ---- inputs of the fuzzer that coverage leads: what they stand for, and those that were kept


def test_an_input_chooses_a_sample_and_the_file_that_it_replaces(
    tmp_path: Path,
) -> None:
    samples = corpus.samples_of("tensorflow-v2")
    guided.seeds(samples, tmp_path)
    inputs = sorted(tmp_path.iterdir())
    assert len(inputs) == sum(len(sample.damaged) for sample in samples)
    for path in inputs:
        variant = guided.variant_of(samples, path.read_bytes())
        assert variant.files == variant.sample.files
    assert guided.variant_of(samples, b"").files != samples[0].files
