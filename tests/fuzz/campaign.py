"""Reading the variants of a format in worker processes, which may crash or hang."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.fuzz.guard import SECONDS
from tests.paths import TOP

WORKER = [sys.executable, "-m", "tests.fuzz"]
REPOSITORY = TOP
SILENT = 6 * SECONDS  # s without a word from a worker, after which it hangs
SHOWN = 5  # failures in a message


def failures(format: str, seed: int, first: int, count: int, *options: str) -> list[str]:
    """Every variant that fails, with the command that reads it again.

    A worker that dies or hangs fails the variant that it was reading; another one goes on behind.
    """
    found: list[str] = []
    end = first + count
    while first < end and len(found) < SHOWN:
        last = first - 1
        for line in _lines(format, seed, first, end - first, options):
            last = line.get("variant", last)
            if "failed" in line:
                again = f"python -m tests.fuzz {format} --seed {seed} --variant {last}"
                found.append("\n  ".join([line["failed"], again, *options]))
        if last == first - 1:
            raise AssertionError(f"the worker of {format} read nothing: {found}")
        first = last + 1
    return found


def message(found: list[str]) -> str:
    """The first failures, and how many there are."""
    return "\n\n".join([f"{len(found)} failures or more", *found[:SHOWN]])


def _lines(
    format: str, seed: int, first: int, count: int, options: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    command = [*WORKER, format, "--report", *options]
    command += ["--seed", str(seed), "--first", str(first), "--count", str(count)]
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, cwd=REPOSITORY) as worker,
        selectors.DefaultSelector() as selector,
    ):
        assert worker.stdout is not None
        selector.register(worker.stdout, selectors.EVENT_READ)
        try:
            rest = b""
            while selector.select(SILENT) and (data := os.read(worker.stdout.fileno(), 1 << 16)):
                *lines, rest = (rest + data).split(b"\n")
                yield from map(json.loads, lines)
            if not selector.select(0):
                yield {"failed": f"the worker hangs: nothing for {SILENT} s"}
            elif worker.wait() not in (0, 1):
                words.seek(0)
                told = words.read()[-2000:].decode(errors="replace")
                yield {"failed": f"the worker ended with status {worker.returncode}: {told}"}
        finally:
            worker.kill()
