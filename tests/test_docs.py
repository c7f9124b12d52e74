"""What README and the samples' walk show is what the program prints, pictures included.

    python -m tests.test_docs

writes today's output into the documents, and draws the pictures.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import TOP

DOCUMENTS = ("README.md", "samples/README.md")
CELL = "samples/forget-bias"
PICTURES = {  # of screens, drawn by the tool itself
    f"{CELL}/explain.svg": f"lstm explain {CELL}/weights.npz {CELL}/inputs.npy {CELL}/numpy.txt",
    f"{CELL}/plot.svg": f"lstm plot {CELL}/weights.npz {CELL}/inputs.npy",
}
BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<output>(?:(?!```).*\n)*)```$", re.M)


def output_of(command: str, folder: Path) -> str:
    """What a shell shows, with the ``lstm`` of this checkout."""
    lstm = folder / "lstm"
    if not lstm.exists():
        lstm.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lstmcli "$@"\n')
        lstm.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=TOP,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout
    return done.stdout.rstrip("\n") + "\n"


def drawn(command: str, folder: Path) -> str:
    """The picture of a command's screen, at 100 columns."""
    path = folder / "screen.svg"
    output_of(f"COLUMNS=100 NO_COLOR= {command} --svg {path}", folder)
    return path.read_text()


def filled(text: str, folder: Path) -> str:
    """A document with the output of each command under it."""
    return BLOCK.sub(
        lambda b: f"```console\n$ {b['command']}\n{output_of(b['command'], folder)}```", text
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_shown_outputs_are_the_program_s(document: str, tmp_path: Path) -> None:
    text = (TOP / document).read_text()
    assert len(BLOCK.findall(text)) >= 3
    assert filled(text, tmp_path) == text


@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_are_of_today_s_screens(picture: str, tmp_path: Path) -> None:
    assert drawn(PICTURES[picture], tmp_path) == (TOP / picture).read_text()
    assert f"({picture})" in (TOP / "README.md").read_text()


def test_readme_opens_with_a_sentence_and_a_picture() -> None:
    title, sentence, picture, start, *_ = (TOP / "README.md").read_text().split("\n\n")
    assert title.startswith("# ")
    assert sentence.count("\n") == 0
    assert picture.startswith("![lstm ")
    assert start == "## Quick start"


def test_quick_start_opens_with_two_commands_of_one_line() -> None:
    start = (TOP / "README.md").read_text().split("## Quick start\n")[1]
    blocks = re.findall(r"^```sh\n((?:(?!```).*\n)*)```$", start, re.M)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 for block in blocks)


if __name__ == "__main__":
    import tempfile

    for name in DOCUMENTS:
        with tempfile.TemporaryDirectory() as scratch:
            path = TOP / name
            path.write_text(filled(path.read_text(), Path(scratch)))
    for picture, command in PICTURES.items():
        with tempfile.TemporaryDirectory() as scratch:
            (TOP / picture).write_text(drawn(command, Path(scratch)))
