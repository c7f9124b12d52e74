"""Transcripts: what command lines show, as files that are run again and compared.

A ``.console`` file has scenes. Each begins with a line ``=== TITLE`` and has a folder of its own::

    === A file that is not there

    Sentences before the first command are comments.

    >>> np.save("x.npy", np.zeros((7, 4)))
    $ lstm run weights.npz x.npy
    2> lstm run: error: weights.npz: there is no such file.
    [status 2]

``>>>`` is Python that prepares files. Below a command stand its stdout, its stderr behind ``2>``
and its exit status, if it is not 0. A line ``...`` stands for any lines, ``...`` in a line for
any text: where a version or a processor decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import chdir
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

import lstmcli
from tests.transcripts.shell import Done, Shell

FOLDER = Path(__file__).parent
SCENE, COMMAND, CODE, STDERR = "=== ", "$ ", ">>> ", "2>"
ANY = "..."


class Step(NamedTuple):
    """A line that begins with a mark, and the lines below it up to the next mark."""

    first: str
    below: str


def steps(text: str) -> Iterator[Step]:
    """Cut a transcript at its marks; what stands before the first is a step without a mark."""
    marks = "|".join(re.escape(mark) for mark in (SCENE, COMMAND, CODE))
    for part in re.split(rf"^(?={marks})", text, flags=re.M):
        first, _, below = part.partition("\n")
        yield Step(first, below)


def replayed(text: str) -> str:
    """Run a transcript, and return it with what is shown now; what still matches is kept."""
    parts: list[str] = []
    with TemporaryDirectory() as top:
        names = {"np": np, "lstmcli": lstmcli}
        shell = None
        for number, step in enumerate(steps(text)):
            below = step.below
            if step.first.startswith(SCENE):
                (folder := Path(top, str(number)).resolve()).mkdir()
                shell = Shell(folder)
            elif step.first.startswith(CODE):
                assert shell is not None, f"a transcript begins with {SCENE}TITLE"
                with chdir(shell.folder):
                    exec(step.first.removeprefix(CODE), names)
            elif step.first.startswith(COMMAND):
                assert shell is not None, f"a transcript begins with {SCENE}TITLE"
                now = shown(shell.run(step.first.removeprefix(COMMAND)))
                if not matches(below.strip("\n"), now):
                    below = f"{now}\n\n" if now else "\n"
            parts.append(f"{step.first}\n{below}" if step.first or below else "")
    return "".join(parts).rstrip("\n") + "\n"


def shown(done: Done) -> str:
    """The lines below a command: stdout, stderr behind a mark, and a status that is not 0."""
    lines = [line.rstrip() for line in done.out.strip("\n").splitlines()]
    lines += [f"{STDERR} {line}".rstrip() for line in done.err.splitlines()]
    lines += [f"[status {done.status}]"] if done.status else []
    text = "\n".join(lines)
    assert len(list(steps(f"\n{text}"))) == 1, (
        f"a line of this output is a mark:\n{text}"
    )
    return text


def matches(expected: str, now: str) -> bool:
    """Compare what is shown with a text in which ``...`` stands for anything."""
    lines = [
        r"(?:.*\n)*"
        if line == ANY
        else ".*".join(map(re.escape, line.split(ANY))) + "\n"
        for line in expected.splitlines()
    ]
    return re.fullmatch("".join(lines), f"{now}\n" if now else "") is not None


def difference(expected: str, now: str) -> str:
    """Show what differs, and what writes it."""
    lines = unified_diff(
        expected.splitlines(), now.splitlines(), "expected", "now", lineterm=""
    )
    return "\n".join([*lines, "", "pytest --update writes what is shown now"])
