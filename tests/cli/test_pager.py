"""``lstm run --steps :`` on a terminal: through a pager, fed as steps are computed."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import on_pty
from tests.paths import TOP

PAGER = """
import os, sys
with open("started", "w") as file:
    file.write(os.environ.get("LESS", ""))
lines = []
for line in sys.stdin:
    lines.append(line)
    if {most} and len(lines) >= {most}:
        break
with open("seen", "w") as file:
    file.writelines(lines)
print("END OF PAGER")
"""


COUNTED = """
import sys
from lstmcli.cli import invoke, terminal
texts, shown = terminal._texts, 0
def counted(sheets):
    global shown
    for text in texts(sheets):
        shown += len(text)
        yield text
terminal._texts = counted
status = invoke(sys.argv[1:])
with open("shown", "w") as file:
    file.write(str(shown))
sys.exit(status)
"""


def on_terminal(
    folder: Path, *words: object, pager: str | None, code: str = "", **given: str
) -> tuple[int, str]:
    """The exit status and the output of ``lstm`` on a terminal of 80 columns."""
    env = {
        k: v
        for k, v in os.environ.items()
        if k not in ("COLUMNS", "NO_COLOR", "PAGER", "LESS")
    }
    env |= {"PYTHONPATH": str(TOP), "TERM": "xterm-256color", "COLUMNS": "80", **given}
    env |= {} if pager is None else {"PAGER": pager}
    program = ("-c", code) if code else ("-m", "lstmcli")
    return on_pty(folder, env, *program, *words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a net, inputs of 30 and of 8,000 steps, and a pager that reads all."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "net.npz", kernel=rng.normal(size=(5, 12)), bias=rng.normal(size=12)
    )
    np.save(tmp_path / "x.npy", rng.normal(size=(30, 2)))
    np.save(tmp_path / "long.npy", rng.normal(size=(8_000, 2)))
    (tmp_path / "pager.py").write_text(PAGER.format(most=0))
    (tmp_path / "quick.py").write_text(PAGER.format(most=20))
    return tmp_path


def script(folder: Path, name: str) -> str:
    return shlex.join([sys.executable, str(folder / name)])


@pytest.mark.parametrize("steps", [":", pytest.param("0:", marks=pytest.mark.slow)])
def test_all_steps_go_through_the_pager(folder: Path, steps: str) -> None:
    words = ("run", "net.npz", "x.npy", "--steps", steps)
    status, out = on_terminal(folder, *words, pager=script(folder, "pager.py"))
    assert status == 0
    assert out.replace("\r", "") == "END OF PAGER\n"
    seen = (folder / "seen").read_text()
    assert "weights" in seen
    assert "\x1b[" in seen
    assert "  29" in seen
    assert (folder / "started").read_text() == "FRX"
    status, shown = on_terminal(
        folder, *words, "--no-pager", pager=script(folder, "pager.py")
    )
    assert status == 0
    assert shown.replace("\r", "") == seen


def test_the_pager_less_is_configured_only_if_the_user_has_not(folder: Path) -> None:
    words = ("run", "net.npz", "x.npy", "--steps", ":")
    on_terminal(folder, *words, pager=script(folder, "pager.py"), LESS="-i")
    assert (folder / "started").read_text() == "-i"


@pytest.mark.slow
def test_a_pager_that_is_quit_ends_the_run_with_status_0(folder: Path) -> None:
    """After 20 of 32,000 lines: no more is made than a pipe takes, of 64 KB."""
    words = ("run", "net.npz", "long.npy", "--steps", ":")
    status, out = on_terminal(
        folder, *words, pager=script(folder, "quick.py"), code=COUNTED
    )
    assert status == 0
    assert out.replace("\r", "") == "END OF PAGER\n"  # no traceback, no message
    assert len((folder / "seen").read_text().splitlines()) == 20
    made = int((folder / "shown").read_text())
    on_terminal(folder, *words, pager=script(folder, "pager.py"), code=COUNTED)
    assert len((folder / "seen").read_text().splitlines()) > 30_000
    assert made < 0.5 * int((folder / "shown").read_text())


@pytest.mark.parametrize(
    "words",
    [
        ("--steps", "0:5"), ("--steps", "1:"), ("--steps", "::2"), (),
        ("--steps", ":", "-f", "csv"), ("--steps", ":", "-o", "out.npz"),
        ("--steps", ":", "--svg", "out.svg"), ("--steps", ":", "--save-state", "state.npz"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_nothing_else_starts_a_pager(folder: Path, words: tuple[str, ...]) -> None:
    status, _ = on_terminal(
        folder, "run", "net.npz", "x.npy", *words, pager=script(folder, "pager.py")
    )
    assert status == 0
    assert not (folder / "started").exists()


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager", "'"])
@pytest.mark.slow
def test_without_a_pager_all_is_printed(folder: Path, pager: str) -> None:
    status, out = on_terminal(
        folder, "run", "net.npz", "x.npy", "--steps", ":", pager=pager
    )
    assert status == 0
    assert "  29" in out


def test_a_mistake_is_reported_before_a_pager_starts(folder: Path) -> None:
    status, out = on_terminal(
        folder, "run", "net.npz", "x.npy", "--steps", ":", "--units", 9,
        pager=script(folder, "pager.py"),
    )  # fmt: skip
    assert status == 2
    assert "--units 9: there is no unit 9" in out
    assert not (folder / "started").exists()
