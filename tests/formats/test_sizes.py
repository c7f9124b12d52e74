"""Time and memory of reading a text: 20 MB take some 10 s and 1 GB at most, whatever is in them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lstmcli import formats
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import MOST_WHOLE
from tests.fuzz.guard import withstand
from tests.paths import TOP

LOOPS, MEMORY = (
    10,
    1_000_000_000,
)  # for 20 MB; a loop of `MEASURED` takes about a second

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

ROW = "0.12345678 -0.5 0.25"

# in the notations of other programs, and what their readers have to look far back or ahead for
NOTATIONS = [
    ("savetxt.txt", "", f"{ROW}\n", ""),
    (
        "numpy.txt",
        "h = array([[1.]",
        f",\n[{ROW.replace(' ', ', ')}]",
        "], dtype=float32)",
    ),
    (
        "tensorflow.txt",
        "",
        "<tf.Tensor: shape=(1,), dtype=float32, numpy=array([0.5])>\n",
        "",
    ),
    ("c.txt", "float h[9][3] = {", "{0.5f, 0.25f, 1.0f},\n", "};"),
    ("comments.txt", "float h[9][3] = {", "/* x */ 0.5f,", "};"),
    ("rust.txt", "let h = vec![", "vec![0.5, 0.25],\n", "];"),
    ("julia.txt", "Float32[0.5 0.25", "; 0.5 0.25", "]"),
    ("matlab.txt", "h =\n\n", f"{ROW}\n", ""),
    ("matlab_names.txt", "", "a =\n\n", ""),
    ("markdown.md", "| h |\n|---|\n", "| 0.5 |\n", ""),
    ("log.txt", "", f"h: {ROW}\n", ""),
    ("log_of_one_line.txt", "t=0 h:", " 0.5", ""),
    ("assigned.txt", "", "a = ", "[0.5]"),
    ("ggml.txt", "", "ggml_debug: h = (f32) ADD(a, b) = {2, 1}\n[ [0.5, 0.25] ]\n", ""),
    ("decimal_commas.txt", "", "0,5 0,25\n", ""),
    ("semicolons.txt", "", "0.5;", "0.5"),
    ("tidy.jsonl", "", '{"step":0,"unit":0,"h":0.5}\n', ""),
    ("text.json", '{"h":[1],"a":"', "x", '"}'),
]

CHARACTERS = (
    "0",
    "9",
    "a",
    "_",
    "-",
    ".",
    ",",
    ";",
    ":",
    "=",
    "(",
    "[",
    "]",
    "{",
    '"',
    "/",
    "|",
)
TOKENS = [
    (f"{ord(character)}{where}", begin, character, end)
    for character in CHARACTERS
    for where, begin, end in (
        (".txt", "", ""), ("in_brackets.txt", "h = [", "]"), ("of_a_row.txt", "1 2\n1 ", ""),
        ("of_a_log.txt", "t=0 h: 0.5 ", ""), ("named.txt", "", " = [0.5]"),
        (".csv", "1,2\n1,", ""), ("in_a_list.json", "[1,", "]"), ("matrix.txt", "h =\n\n1 ", ""),
    )
]  # fmt: skip
"""One token, or what a reader could take for one, in every place of a text."""


MEASURED = """
import resource, sys, time
from lstmcli.cli import invoke
status = invoke(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
most = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if sys.platform == "linux":  # where ru_maxrss counts what the process was forked from too
    lines = open("/proc/self/status").read().splitlines()
    most = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
characters, begun = 0, time.process_time()
for number in range(4_000_000):  # what this machine can do now
    characters += len(str(number))
loop = time.process_time() - begun
print(status, (used.ru_utime + used.ru_stime) / loop, most, file=sys.stderr)
"""


class Text(NamedTuple):
    """A file of any size: its name, what begins it, what is repeated in it, what ends it."""

    name: str
    begin: str
    repeated: str
    end: str

    def written(self, folder: Path, size: int) -> Path:
        """The path of the file, of this size."""
        count = (size - len(self.begin) - len(self.end)) // len(self.repeated)
        path = folder / self.name
        path.write_text(self.begin + self.repeated * count + self.end)
        return path

    def inspect(self, folder: Path, size: int) -> tuple[float, int]:
        """Processor time, in loops, and bytes of memory that ``lstm inspect`` takes for it."""
        status, loops, memory = inspected(self.written(folder, size))
        assert status in (0, 2)
        return loops, memory


def for_each(texts: Iterable[tuple[str, str, str, str]]) -> pytest.MarkDecorator:
    """Gives a test each of the texts as ``text``; two of three are wide."""
    cases = []
    for n, fields in enumerate(texts):
        text = Text(*fields)
        marks = [pytest.mark.wide] if n % 3 else []
        cases.append(pytest.param(text, id=text.name, marks=marks))
    return pytest.mark.parametrize("text", cases)


def inspected(path: Path) -> tuple[int, float, int]:
    """Status, processor time in loops and bytes of memory of ``lstm inspect`` for a file."""
    # Coverage, where the tests are run under it, takes memory of its own in every process.
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "inspect", str(path)],
        env=environment | {"PYTHONPATH": str(TOP)},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True,
    )  # fmt: skip
    status, loops, memory = done.stderr.splitlines()[-1].split()
    return int(status), float(loops), int(memory)


@for_each(TEXTS)
@pytest.mark.slow
def test_a_megabyte_takes_little_memory(tmp_path: Path, text: Text) -> None:
    small = Text("small.txt", "", "1\n", "")
    _, started = small.inspect(tmp_path, 50)  # 36 MB; 43 with NumPy 1.24
    _, memory = text.inspect(tmp_path, 1_000_000)
    assert memory - started < 44_000_000 + MEMORY // 20


@pytest.mark.wide
@for_each(TEXTS)
def test_twenty_megabytes_take_seconds_and_a_gigabyte(
    tmp_path: Path, text: Text
) -> None:
    """As many as a plain loop takes beside it: how fast a machine is, changes by the minute."""
    loops, memory = text.inspect(tmp_path, MOST_WHOLE)
    assert loops < LOOPS
    assert memory < MEMORY


@pytest.mark.wide
@for_each([*TEXTS, *NOTATIONS, *TOKENS])
def test_twice_the_text_takes_at_most_two_and_a_half_times_as_long(
    tmp_path: Path, text: Text
) -> None:
    """The least of up to five times, in units of a plain loop that runs next to each."""
    least = {1: float("inf"), 2: float("inf")}
    for _ in range(5):
        for megabytes in least:
            path = text.written(tmp_path, megabytes * 1_000_000)
            least[megabytes] = min(least[megabytes], in_loops(path))
        if least[2] <= 2.5 * max(least[1], MEASURABLE):
            return
    pytest.fail(f"{least[1]:.2f} and {least[2]:.2f} loops")


MEASURABLE = 0.05  # loops of 0.1 s: what is quicker than 5 ms is start-up and noise


def in_loops(path: Path) -> float:
    """Processor time of reading a file, in plain loops that run before it and after it."""
    before = loop()
    begun = time.process_time()
    with suppress(UserError):
        formats.read(str(path), abbreviated=True)
    taken = time.process_time() - begun
    return 2 * taken / (before + loop())


def loop() -> float:
    """Processor time of a plain loop: how fast a machine is changes from second to second."""
    begun = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number & 7
    return time.process_time() - begun


@pytest.mark.parametrize("name", ["h.txt", "h.md", "h.csv", "h.tsv"])
@pytest.mark.parametrize(
    "text", ["{}", "[0.5 {}]", "1\n{}\n", "0.5,1\n0.5,{}\n", "|h|\n|-|\n|{}|"]
)
def test_more_digits_than_any_number_has_are_refused(
    tmp_path: Path, name: str, text: str
) -> None:
    """They were looked through again from each of them: 80,000 took 10 s, these take hours."""
    path = tmp_path / name
    refusal = withstand(path, text.format("9" * 2_000_000).encode())
    assert refusal
    assert len(refusal) < len(str(path)) + 200


def test_a_name_that_occurs_twice_is_found_among_many(tmp_path: Path) -> None:
    """Counting each name alone took minutes for these 90,000 of a file of 1 MB."""
    path = tmp_path / "h.json"
    text = "{" + "".join(f'"{n}":1,' for n in range(90_000)) + '"89999":2}'
    assert 'two members of the name "89999"' in withstand(path, text.encode())


@pytest.mark.parametrize(
    "number", ["0." + "0" * 323 + "49406564584124654", "9" * 309, "1" * 400]
)
@pytest.mark.parametrize("text", ["h = [0. {}]", "{}\n", "0.5,1\n0.5,{}\n"])
def test_all_digits_that_a_number_has_are_read(
    tmp_path: Path, text: str, number: str
) -> None:
    path = tmp_path / "h.csv"
    path.write_text(text.format(number))
    (values,) = formats.read(str(path)).arrays.values()
    assert values.ravel()[-1] == float(number)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_file_read_in_pieces_is_read_as_it_is_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Pieces of a few characters, which end within the lines and characters of the file."""
    path = str(tmp_path / f"a{suffix}")
    with open(path, "wb") as stream:
        writer = formats.open_steps(
            stream, formats.format_of(path), ["h", "\u00e9"], batched=True
        )
        h = np.random.default_rng(0).normal(size=(50, 3, 4))
        writer.write(range(3, 53), {"h": h, "\u00e9": -h})
    monkeypatch.setattr("lstmcli.formats.files.source.PIECE", 7)
    for limit in (MOST_WHOLE, 0):
        monkeypatch.setattr("lstmcli.formats.MOST_WHOLE", limit)
        found = formats.read(path)
        assert found.layout == "time"
        np.testing.assert_array_equal(found.arrays["h"], h)
        np.testing.assert_array_equal(found.arrays["\u00e9"], -h)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.csv", "1," * 59 + "1"),
        ("a.tsv", "1\t" * 59 + "1"),
        ("a.jsonl", f"[{'1,' * 58}1]"),
    ],
)
def test_a_line_too_long_to_be_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, line: str
) -> None:
    """Where a text is read in pieces, a line is the part of it that is in memory."""
    path = tmp_path / name
    path.write_text(2 * f"{line}\n")
    cut(monkeypatch, 20)
    monkeypatch.setattr("lstmcli.formats.files.source.MOST_WHOLE", len(line))
    assert formats.read(str(path)).arrays
    monkeypatch.setattr("lstmcli.formats.files.source.MOST_WHOLE", 90)
    with pytest.raises(
        UserError, match=r"a line of more than 90 characters\. Save the"
    ):
        formats.read(str(path))


def test_prints_that_no_console_prints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1 2 3\n" * 9)
    monkeypatch.setattr("lstmcli.formats.text.console_print.MOST_PRINTED", 26)
    with pytest.raises(
        UserError, match=r"27 numbers and brackets.*Save the numbers as"
    ):
        formats.read(str(path))
    monkeypatch.setattr("lstmcli.formats.MOST_WHOLE", 20)
    with pytest.raises(
        UserError, match=r"54 bytes are more than .*Save the numbers as"
    ):
        formats.read(str(path))


@pytest.mark.parametrize("text", ['{"h": [[1, 2], [3, 4]]}', "[[1, 2], [3, 4]]"])
def test_json_is_parsed_at_once_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    cut(monkeypatch, 7)
    (values,) = formats.read(str(path)).arrays.values()
    assert values.tolist() == [[1, 2], [3, 4]]
    monkeypatch.setattr("lstmcli.formats.files.source.MOST_PARSED", len(text) - 1)
    with pytest.raises(
        UserError, match=r"bytes of text are more than are read .* as \.npy or"
    ):
        formats.read(str(path))


def cut(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """Read every text in pieces of so many bytes."""
    monkeypatch.setattr("lstmcli.formats.MOST_WHOLE", 0)
    monkeypatch.setattr("lstmcli.formats.files.source.PIECE", piece)
