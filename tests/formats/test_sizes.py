"""Time and memory of reading a text: 10 s and 1 GB for 20 MB, whatever is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import AT_ONCE
from tests.paths import TOP

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
    ("two_orders.jsonl", "", '{"h":[1],"c":[1]}\n{"c":[1],"h":[1]}\n', ""),
    ("wide.jsonl", "", "[" + "0.12345678," * 99 + "1]\n", ""),
    ("column.txt", "", "1\n", ""),
    ("print.txt", "[[", " 0.", "]]"),
    ("prints.txt", "", "h = [1.]\n", ""),
    ("indices.txt", "", "a [b]\n", ""),
    ("brackets.txt", "", "[", ""),
    ("closed_brackets.txt", "", "[]", ""),
    ("prose.txt", "", "a ", ""),
]

BY_PIECES = ("column.csv", "quoted.csv", "lists.jsonl", "ones.json", "rows_of_one.json")
LARGER = [text for text in TEXTS if text[0] in BY_PIECES]


MEASURED = """
import resource, sys
from lstmcli.cli import invoke
status = invoke(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
most = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if sys.platform == "linux":  # where ru_maxrss counts what the process was forked from too
    lines = open("/proc/self/status").read().splitlines()
    most = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
print(status, used.ru_utime + used.ru_stime, most, file=sys.stderr)
"""


def inspect(path: Path, size: int, begin: str, repeated: str, end: str) -> tuple[float, int]:
    """Seconds of processor time and bytes of memory that ``lstm inspect`` takes for a file."""
    count = (size - len(begin) - len(end)) // len(repeated)
    path.write_text(begin + repeated * count + end)
    # Coverage, where the tests are run under it, takes memory of its own in every process.
    alone = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "inspect", str(path)],
        env=alone | {"PYTHONPATH": str(TOP)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
    )  # fmt: skip
    status, seconds, memory = done.stderr.splitlines()[-1].split()
    assert int(status) in (0, 2)
    return float(seconds), int(memory)


@pytest.mark.parametrize("text", TEXTS, ids=[text[0] for text in TEXTS])
def test_a_megabyte_takes_little_memory(tmp_path: Path, text: tuple[str, str, str, str]) -> None:
    name, *parts = text
    _, started = inspect(tmp_path / "small.txt", 50, "", "1\n", "")  # 36 MB; 43 with NumPy 1.24
    _, memory = inspect(tmp_path / name, 1_000_000, *parts)
    assert memory - started < 44_000_000 + MEMORY // 20


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
def test_a_file_read_in_pieces_is_read_as_it_is_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Pieces of a few characters, which end within the lines and characters of the file."""
    path = str(tmp_path / f"a{suffix}")
    with open(path, "wb") as stream:
        writer = formats.open_steps(stream, formats.format_of(path), ["h", "\u00e9"], batched=True)
        h = np.random.default_rng(0).normal(size=(50, 3, 4))
        writer.write(3, {"h": h, "\u00e9": -h})
    monkeypatch.setattr("lstmcli.formats.files.source.PIECE", 7)
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
    monkeypatch.setattr("lstmcli.formats.text.console_print.MOST_PRINTED", 26)
    with pytest.raises(UserError, match=r"27 numbers and brackets.*Save the numbers as"):
        formats.read(str(path))
    monkeypatch.setattr("lstmcli.formats.AT_ONCE", 20)
    with pytest.raises(UserError, match=r"54 bytes are more than .*Save the numbers as"):
        formats.read(str(path))


DOCUMENTS: list[object] = [
    [],
    [[]],
    {},
    {"h": [0.5, -1e-7, "NaN", 12345678]},
    {"h": [[[1, 2.5], [3, 4]], [[5, 6], [7, 8]]], "meta": {"a": [1]}, "rows": "xh"},
    {"a]b, [": [[1.25] * 9] * 9, "c": {"d": [[1]], "e": None, "f": True}},
    [[[[1]]], [[[2]]]],
    {"long": [0.1 * n for n in range(300)], "deep": [[[n] for n in range(20)] for _ in range(9)]},
]


@pytest.mark.parametrize("piece", [1, 7, 64, 1000])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_json_read_in_pieces_is_read_as_it_is_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    piece: int,
    indent: int | None,
    document: object,
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document, indent=indent))
    whole = formats.read(str(tmp_path / "a.json"))
    cut(monkeypatch, piece)
    found = formats.read(str(tmp_path / "a.json"))
    assert found.arrays.keys() == whole.arrays.keys()
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], values)
    assert found.attributes == whole.attributes or piece < 64  # a long "meta" is arrays


def cut(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """Read every text in pieces of so many bytes."""
    monkeypatch.setattr("lstmcli.formats.AT_ONCE", 0)
    monkeypatch.setattr("lstmcli.formats.files.source.PIECE", piece)
    monkeypatch.setattr("lstmcli.formats.text.incremental_json.PIECE", piece)


BROKEN = [
    ("[[1, 2], [3]]", "ragged"),
    ('{"a": [1, 2, 3, 4, 5, 6], "a": [1]}', 'two members of the name "a"'),
    ("[1, 2, 3, 4, 5, 6, ]", "broken JSON at line 1"),
    ("[1, 2, 3, 4, 5, 6\n7]", "broken JSON at line 2"),
    ("[1, 2, 3, 4, 5, 6", "broken JSON at line 1"),
    ('{"a": [1, 2, 3, 4, 5, 6] "b": 1}', "broken JSON at line 1"),
    ('{"a" [1, 2, 3, 4, 5, 6]}', "broken JSON at line 1"),
    ('{"abcdefghijkl', "broken JSON at line 1"),
    ("[1, 2, 3, 4, 5, 6] 7", "extra data"),
    ("[1, 2, 3, {}, 5, 6]", "an object; a number was expected"),
    ("[" * 99 + "]" * 99, "nested"),
    ("[1, 2, 3, 4, " + "5" * 5000 + "]", "thousands of digits"),
    ("[1, 2, 3, 4, truth]", "broken JSON at line 1"),
]


@pytest.mark.parametrize("piece", [7, 20])
@pytest.mark.parametrize(("text", "message"), BROKEN, ids=[text[:20] for text, _ in BROKEN])
def test_mistakes_in_json_that_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, text: str, message: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    cut(monkeypatch, piece)
    with pytest.raises(UserError, match=message):
        formats.read(str(tmp_path / "a.json"))
