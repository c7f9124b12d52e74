"""Time and memory of reading a text: 10 s and 1 GB for 20 MB, whatever is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats import AT_ONCE
from tests.cli.conftest import TOP

SECONDS, MEMORY = 10, 1_000_000_000  # for 20 MB
STARTED = 80_000_000  # bytes that Python, NumPy and the libraries take

# a name, what begins the file, what is repeated in it, what ends it
TEXTS = [
    ("column.csv", "", "1\n", ""),
    ("quoted.csv", "", '"1"\n', ""),
    ("blank_lines.csv", "", "1\n\n", ""),
    ("two_columns.tsv", "", "0.5\t0.25\n", ""),
    ("one_row.csv", "", "-1.5,", "1"),
    ("header.csv", "", "ab,", "c\n"),
    ("ones.json", "[", "1,", "1]"),
    ("empty_lists.json", "[", "[],", "[]]"),
    ("rows_of_one.json", "[", "[1],", "[1]]"),
    ("float32.json", '{"h":[', "[0.12345678],", "[1]]}"),
    ("objects.json", "[", "{},", "{}]"),
    ("words.json", "[", '"a",', '"a"]'),
    ("lists.jsonl", "", "[1]\n", ""),
    ("objects.jsonl", "", '{"x":[1]}\n', ""),
    ("wide.jsonl", "", "[" + "0.12345678," * 99 + "1]\n", ""),
    ("column.txt", "", "1\n", ""),
    ("print.txt", "[[", " 0.", "]]"),
    ("prints.txt", "", "h = [1.]\n", ""),
    ("indices.txt", "", "a [b]\n", ""),
    ("brackets.txt", "", "[", ""),
    ("closed_brackets.txt", "", "[]", ""),
    ("prose.txt", "", "a ", ""),
]

LARGER = [text for text in TEXTS if text[0] in ("column.csv", "quoted.csv", "lists.jsonl")]


def inspect(path: Path, size: int, begin: str, repeated: str, end: str) -> tuple[float, int]:
    """Seconds of processor time and bytes of memory that ``lstm inspect`` takes for a file."""
    count = (size - len(begin) - len(end)) // len(repeated)
    path.write_text(begin + repeated * count + end)
    process = subprocess.Popen(
        [sys.executable, "-m", "lstmcli", "inspect", str(path)],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in (0, 2)
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit


@pytest.mark.parametrize("text", TEXTS, ids=[text[0] for text in TEXTS])
def test_a_megabyte_takes_little_memory(tmp_path: Path, text: tuple[str, str, str, str]) -> None:
    name, *parts = text
    _, memory = inspect(tmp_path / name, 1_000_000, *parts)
    assert memory < STARTED + MEMORY // 20


@pytest.mark.wide
@pytest.mark.parametrize("text", TEXTS, ids=[text[0] for text in TEXTS])
def test_twenty_megabytes_take_seconds_and_a_gigabyte(
    tmp_path: Path, text: tuple[str, str, str, str]
) -> None:
    name, *parts = text
    seconds, memory = inspect(tmp_path / name, AT_ONCE, *parts)
    assert seconds < SECONDS
    assert memory < MEMORY


@pytest.mark.wide
@pytest.mark.parametrize("text", LARGER, ids=[text[0] for text in LARGER])
def test_above_that_memory_is_the_arrays_and_200_mb(
    tmp_path: Path, text: tuple[str, str, str, str]
) -> None:
    name, *parts = text
    _, memory = inspect(tmp_path / name, 3 * AT_ONCE, *parts)
    arrays = 3 * AT_ONCE // len(parts[1]) * parts[1].count("1") * 8
    assert memory < arrays + 200_000_000


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_file_read_in_pieces_is_read_as_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Pieces of a few characters, which end within the lines and characters of the file."""
    path = str(tmp_path / f"a{suffix}")
    with open(path, "wb") as stream:
        writer = formats.open_steps(stream, formats.format_of(path), ["h", "\u00e9"], batched=True)
        h = np.random.default_rng(0).normal(size=(50, 3, 4))
        writer.write(3, {"h": h, "\u00e9": -h})
    monkeypatch.setattr("lstmcli.formats.files.PIECE", 7)
    for limit in (AT_ONCE, 0):
        monkeypatch.setattr("lstmcli.formats.AT_ONCE", limit)
        found = formats.read(path)
        assert found.layout == "time"
        np.testing.assert_array_equal(found.arrays["h"], h)
        np.testing.assert_array_equal(found.arrays["\u00e9"], -h)


def test_prints_that_no_console_prints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1 2 3\n" * 9)
    monkeypatch.setattr("lstmcli.formats.printed.MOST_WORDS", 26)
    with pytest.raises(UserError, match=r"27 numbers and brackets.*Save the numbers as"):
        formats.read(str(path))
    monkeypatch.setattr("lstmcli.formats.AT_ONCE", 20)
    with pytest.raises(UserError, match=r"54 bytes are more than .*Save the numbers as"):
        formats.read(str(path))
