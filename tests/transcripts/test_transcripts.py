"""Commands show what the transcripts contain; ``pytest --update`` writes today's output."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts.shell import Done, Shell
from tests.transcripts.transcript import FOLDER, difference, matches, replayed, shown

FILES = sorted(FOLDER.glob("*.console"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_commands_show_what_the_transcript_says(
    path: Path, request: pytest.FixtureRequest
) -> None:
    text = path.read_text()
    now = replayed(text)
    if request.config.getoption("--update"):
        path.write_text(now)
    elif now != text:
        pytest.fail(difference(text, now), pytrace=False)


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("lstm --version | head -n 1 | cut -c 1-4; lstm diff -q x", (2, "lstm\n")),
        (
            "lstm diff -q samples/forget-bias/numpy.txt samples/forget-bias/tensorflow.txt",
            (1, ""),
        ),
        ("lstm help no-such && echo not reached", (2, "")),
        ("lstm --help >/dev/null && echo reached", (0, "reached\n")),
        (
            "COLUMNS=60 python -c 'import os; print(os.environ[\"COLUMNS\"])'",
            (0, "60\n"),
        ),
    ],
)
def test_a_line_is_run_as_a_shell_runs_it(
    line: str, done: tuple[int, str], tmp_path: Path
) -> None:
    found = Shell(tmp_path).run(line)
    assert (found.status, found.out) == done
    assert bool(found.err) == (found.status == 2)


def test_any_text_matches_dots_and_nothing_else_does() -> None:
    assert matches("a ... c\n...\nd", "a b c\n1\n2\nd")
    assert matches("...", "")
    assert not matches("a ... c", "a b d")
    assert not matches("a", "a\nb")
    assert not matches("", "a")


def test_a_transcript_is_written_as_it_is_read() -> None:
    assert shown(Done(1, "a  \n\nb\n", "c\n")) == "a\n\nb\n2> c\n[status 1]"
    text = "=== Nothing is there\n\n$ lstm diff -q a b\n2> wrong\n[status 2]\n"
    now = replayed(text)
    assert now.startswith("=== Nothing is there\n\n$ lstm diff -q a b\n2> lstm diff: ")
    assert now.endswith("\n[status 2]\n")
    assert replayed(now) == now
