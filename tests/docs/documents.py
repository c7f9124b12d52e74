"""Documents filled in with the program's output and tables.

Two kinds of passages are made: the output under the command of a ``console`` block, and what
stands between ``<!-- made: NAME -->`` and ``<!-- end -->``, which is of `tests.docs.passages`.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.passages import passage
from tests.paths import TOP
from tests.transcripts.shell import Shell

CELL = "samples/forget-bias"
PAGES = {  # of the site, written by --page
    "explain": f"lstm explain {CELL}/weights.npz {CELL}/inputs.npy {CELL}/numpy.txt",
    "plot": f"lstm plot {CELL}/weights.npz {CELL}/inputs.npy",
}
BLOCK = re.compile(
    r"^```console\n\$ (?P<command>.*)\n(?P<output>(?:(?!```).*\n)*)```$", re.M
)
OTHER = re.compile(r"^```(?!console)(\w+)\n((?:(?!```).*\n)*)```$", re.M)
MADE = re.compile(
    r"^(?P<begin><!-- made: (?P<name>.+) -->)\n(?:.*\n)*?(?P<end><!-- end -->)$", re.M
)
STATUSES = (0, 1, 2)  # of commands that are shown


def documents() -> list[str]:
    """The paths of all documents, from the top of the checkout."""
    pages = sorted(str(path.relative_to(TOP)) for path in (TOP / "docs").rglob("*.md"))
    return ["README.md", "samples/README.md", *pages]


def blocks(document: str) -> dict[str, list[str]]:
    """The blocks of a document that are no screens, by language."""
    found: dict[str, list[str]] = {}
    for language, text in OTHER.findall((TOP / document).read_text()):
        found.setdefault(language, []).append(text)
    return found


def filled(text: str, folder: Path) -> str:
    """A document with today's output of each command, and today's passages.

    The commands run in ``folder``, one after another: a later one can take an earlier one's files.
    """
    shell = Shell(folder)
    text = BLOCK.sub(
        lambda b: f"```console\n$ {b['command']}\n{output_of(b['command'], shell)}```",
        text,
    )
    return MADE.sub(
        lambda m: f"{m['begin']}\n\n{passage(m['name'])}\n\n{m['end']}", text
    )


def output_of(command: str, shell: Shell) -> str:
    """The output of a command line in a shell, whatever stream it is written to."""
    done = shell.run(command, one_stream=True)
    assert done.status in STATUSES, done.out
    assert "Traceback" not in done.out, done.out
    return f"{done.out.rstrip()}\n".lstrip("\n")


def drawn(folder: Path) -> str:
    """The picture of the screen of `lstm plot`, drawn by the tool itself at 100 columns."""
    output_of(f"COLUMNS=100 NO_COLOR= {PAGES['plot']} --svg screen.svg", Shell(folder))
    return (folder / "screen.svg").read_text()


def page(name: str, folder: Path) -> str:
    """The page of a command."""
    output_of(f"{PAGES[name]} --page page.html", Shell(folder))
    return (folder / "page.html").read_text()
