"""Documents with what the program prints and knows filled in.

Two kinds of passages are made: the output under the command of a ``console`` block, and what
stands between ``<!-- made: NAME -->`` and ``<!-- end -->``, which is of `tests.docs.passages`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.passages import passage
from tests.paths import TOP

CELL = "samples/forget-bias"
PICTURES = {  # of screens, drawn by the tool itself
    "explain": f"lstm explain {CELL}/weights.npz {CELL}/inputs.npy {CELL}/numpy.txt",
    "plot": f"lstm plot {CELL}/weights.npz {CELL}/inputs.npy",
}
BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<output>(?:(?!```).*\n)*)```$", re.M)
MADE = re.compile(
    r"^(?P<begin><!-- made: (?P<name>.+) -->)\n(?:.*\n)*?(?P<end><!-- end -->)$", re.M
)
STATUSES = (0, 1, 2)  # of commands that are shown
SCREEN = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")  # variables that change what is shown


def documents() -> list[str]:
    """The paths of all documents, from the top of the checkout."""
    pages = sorted(str(path.relative_to(TOP)) for path in (TOP / "docs").rglob("*.md"))
    return ["README.md", "samples/README.md", *pages]


def filled(text: str, folder: Path) -> str:
    """A document with today's output of each command, and today's passages.

    The commands run in ``folder``, one after another: a later one can take an earlier one's files.
    """
    text = BLOCK.sub(
        lambda b: f"```console\n$ {b['command']}\n{output_of(b['command'], folder)}```", text
    )
    return MADE.sub(lambda m: f"{m['begin']}\n\n{passage(m['name'])}\n\n{m['end']}", text)


def output_of(command: str, folder: Path) -> str:
    """What a shell shows in a folder that has ``samples``, with the ``lstm`` of this checkout."""
    programs = folder / "bin"
    if not programs.exists():
        programs.mkdir()
        for name, words in {"lstm": " -m lstmcli", "python": ""}.items():
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
            (programs / name).chmod(0o755)
        (folder / "samples").symlink_to(TOP / "samples")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name not in SCREEN}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**environment, "PATH": path, "PYTHONPATH": str(TOP)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode in STATUSES, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return f"{done.stdout.rstrip()}\n".lstrip("\n")


def drawn(name: str, folder: Path) -> str:
    """The picture of a command's screen, at 100 columns."""
    output_of(f"COLUMNS=100 NO_COLOR= {PICTURES[name]} --svg screen.svg", folder)
    return (folder / "screen.svg").read_text()
