"""Break places of the product, and see whether the tests notice; see the package."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

from tests.mutation.places import Function, Place, Record, places, stale
from tests.mutation.selection import TESTS as NAMED
from tests.paths import TOP

SECONDS = 120  # for one place
MOST = 200  # test functions of one place: those that run the fewest lines
ENOUGH = 0.95  # of the places that must be noticed
COPIED = ("lstmcli", "tests", "samples", "docs", "README.md", "CHANGELOG.md", "LICENSE",
          "pyproject.toml", "mkdocs.yml")  # fmt: skip


class Outcome(NamedTuple):
    """What came of a place."""

    place: Place
    noticed: bool
    how: str
    seconds: float


def main() -> int:
    """Parse the command line; status 1 says that too few were noticed, or that a text is gone."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--drawn", type=int, help="so many places, drawn by the commit")
    parser.add_argument("--only", default="", help="places whose file or text holds this")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--record", default=".coverage", help="of `.ci/run coverage`")
    args = parser.parse_args()
    if gone := stale(TOP):
        print(*gone, sep="\n")
        return 1
    chosen = [place for place in places() if args.only in f"{place.file} {place.source}"]
    if args.drawn:
        chosen = random.Random(_commit()).sample(chosen, args.drawn)
    outcomes = list(_tried(chosen, Record(args.record, TOP), args.workers))
    noticed = sum(outcome.noticed for outcome in outcomes)
    print(f"{noticed} of {len(outcomes)} places noticed")
    return int(noticed < ENOUGH * len(outcomes))


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True, check=True)
    return done.stdout.decode()


def _tried(chosen: Sequence[Place], record: Record, workers: int) -> Iterator[Outcome]:
    """Break each place, in copies of the checkout; its tests must pass unbroken, as in CI."""
    functions = {place: record.functions(place)[:MOST] for place in chosen}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(workers) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            copies.put(_copy(Path(scratch, str(number))))

        def attempt(place: Place) -> Outcome:
            top = copies.get()
            try:
                return _broken(top, place, functions[place])
            finally:
                copies.put(top)

        for outcome in pool.map(attempt, chosen):
            word = "noticed" if outcome.noticed else "MISSED"
            print(f"{word:8} {outcome.seconds:4.0f} s  {outcome.place.name}: {outcome.how}",
                  flush=True)  # fmt: skip
            yield outcome


def _copy(folder: Path) -> Path:
    """A copy of what the tests need of the checkout."""
    folder.mkdir()
    for name in COPIED:
        source = TOP / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
            shutil.copytree(source, folder / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, folder)
    return folder


def _broken(top: Path, place: Place, functions: Sequence[Function]) -> Outcome:
    """Break a place in a copy, run tests, and mend it again."""
    if not functions:
        return Outcome(place, False, "no test runs it", 0)
    start = time.monotonic()
    with _replaced(top / place.file, place):
        how = _failure(top, functions)
    return Outcome(place, bool(how), how or f"passes {len(functions)}", time.monotonic() - start)


@contextmanager
def _replaced(path: Path, place: Place) -> Iterator[None]:
    """Break a file within a ``with``; bytecode of another second is not taken for it."""
    text = path.read_text()
    try:
        _write(path, text.replace(place.source, place.replacement))
        yield
    finally:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    now = time.time_ns() // 1000  # seconds that no file had before: bytecode goes by whole ones
    os.utime(path, (now % (1 << 31),) * 2)


def _failure(top: Path, functions: Sequence[Function]) -> str:
    """How tests fail; an empty text if all pass, or if they take too long for that to be known."""
    files = list(dict.fromkeys(file for file, _ in functions))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        [*command, "-p", "tests.mutation.selection", *files],
        cwd=top, env={**os.environ, NAMED: json.dumps(functions)}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as tests:  # fmt: skip
        try:
            out, _ = tests.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        finally:
            _end(tests)
    if tests.returncode == -signal.SIGALRM:
        return "a test does not end"
    if tests.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise RuntimeError(f"no test ran: {functions}")
    failed = [line for line in out.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if tests.returncode and not failed and tests.returncode != 1:
        return (
            f"status {tests.returncode}: {out.strip()[-100:]}" if tests.returncode < 3 else "ends"
        )
    return failed[0][:100] if failed else ""


def _end(tests: subprocess.Popen[str]) -> None:
    """End what a test has started and left."""
    try:
        os.killpg(tests.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    sys.exit(main())
