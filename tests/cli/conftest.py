"""A shell for tests: commands in this process, and separate processes where that matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lstmcli.cli import invoke
from tests.docs.schemas import validate_output
from tests.paths import TOP
from tests.processes import HANGING

SAMPLE = TOP / "samples" / "forget-bias"


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Lstm = Callable[..., Done]


@pytest.fixture
def lstm(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Lstm:
    """Run a command line in this process, in a folder of its own.

    What it prints with ``-f json`` has to be as ``docs/schemas`` says.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: Any, stdin: bytes = b"") -> Done:
        given = tmp_path.parent / "stdin"
        given.write_bytes(stdin)
        with given.open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            status = invoke([str(word) for word in words])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        if status in (0, 1):
            validate_output([str(word) for word in words], out)
        return Done(status, out, err)

    return run


ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Return once the condition holds, however long a process takes to bring it about."""
    end = time.monotonic() + HANGING
    while not condition():
        assert process.poll() is None, "the process ended before"
        assert time.monotonic() < end, "the process hangs"
        time.sleep(0.002)


def heed_signals() -> None:
    """Let signals end this process, whatever the tests were started with (nohup, "&")."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)


def ignore_signals() -> None:
    """Ignore the signals that end a process, as nohup does with SIGHUP."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def start(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
    """Start ``lstm`` as a process, to send it signals.

    Coverage does not measure it: a signal that ends coverage's code in the middle leaves its lock.
    """
    options.setdefault("preexec_fn", heed_signals)
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")}
    return subprocess.Popen(
        [sys.executable, "-m", "lstmcli", *map(str, words)],
        env={**env, "PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": ""},
        stderr=subprocess.PIPE,
        **options,
    )


def on_pty(folder: Path, env: Mapping[str, str], *words: object) -> tuple[int, str]:
    """The exit status of Python with these words, and what it writes to its terminal."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        signal.alarm(HANGING)  # the program keeps it
        os.execve(sys.executable, [sys.executable, *map(str, words)], env)
    output = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            output += piece
    except OSError:  # the end of a terminal
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode()


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A net with its inputs: 4 inputs, 3 units, 5 rows of 7 steps, in a file of its own."""
    rng = np.random.default_rng(1)
    np.savez(
        tmp_path / "net.npz",
        kernel=rng.normal(size=(7, 12)),
        bias=rng.normal(size=12),
        inputs=rng.normal(size=(5, 7, 4)),
    )
    return tmp_path / "net.npz"
