"""Break places of the product, and see whether the tests notice; see the package."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

from tests.mutation.places import Mutation, Record, places, stale, write
from tests.mutation.selection import TESTS as NAMED
from tests.paths import TOP

SECONDS = 120  # for the tests of one place
MOST_SECONDS = 1800  # for the tests that noticed something, unbroken
FIRST = 10  # test functions that run before the others: to import few files takes half the time
MOST = 200  # test functions of one place: those that run the fewest lines
ENOUGH = 0.95  # of the places that must be noticed
RECORDED = "not wide and not frameworks and not browser"  # the tests that `.ci/run coverage` runs
QUICK = f"not slow and {RECORDED}"
COPIED = ("lstmcli", "tests", "samples", "docs", "README.md", "CHANGELOG.md", "LICENSE",
          "pyproject.toml", "mkdocs.yml")  # fmt: skip


class Failure(NamedTuple):
    """How tests fail, and the function that does; None if not even one could be run."""

    how: str
    function: str | None = None


class Outcome(NamedTuple):
    """The result for a place, and the tests that were to run."""

    place: Mutation
    failure: Failure | None  # no test notices
    functions: Sequence[str]
    seconds: float


def main() -> int:
    """Parse the command line.

    Status 1 says that too few places were noticed, that a node is gone, or that tests that noticed
    something fail unbroken too.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__
    )
    parser.add_argument(
        "--drawn",
        type=int,
        help="so many of the places that were noticed, drawn by the commit",
    )
    parser.add_argument(
        "--only", default="", help="places whose file or function holds this"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--record", default=".coverage", help="of `.ci/run coverage`")
    parser.add_argument(
        "--quick", action="store_true", help="by tests of the quick suite alone"
    )
    parser.add_argument(
        "--write", action="store_true", help="who noticed, into places.json"
    )
    args = parser.parse_args()
    if gone := stale(TOP):
        print(*gone, sep="\n")
        return 1
    chosen = [
        place for place in places() if args.only in f"{place.file} {place.function}"
    ]
    if args.drawn:
        known = [place for place in chosen if place.noticed_by]
        chosen = random.Random(_commit()).sample(known, args.drawn)
    record = Record(args.record, TOP)
    functions = {place: record.functions(place)[:MOST] for place in chosen}
    marks = QUICK if args.quick else RECORDED
    with tempfile.TemporaryDirectory() as scratch:
        copies = [_copy(Path(scratch, str(number))) for number in range(args.workers)]
        outcomes = list(_tried(functions, copies, marks))
        if failure := _unbroken(outcomes, copies[0], marks):
            print(f"unbroken, too: {failure.how}")
            return 1
    if args.write:
        write(
            {
                o.place: o.failure and (o.failure.function or o.functions[0])
                for o in outcomes
            }
        )
    noticed = sum(outcome.failure is not None for outcome in outcomes)
    print(f"{noticed} of {len(outcomes)} places noticed")
    return int(noticed < ENOUGH * len(outcomes))


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=TOP, capture_output=True, check=True
    )
    return done.stdout.decode()


def _tried(
    functions: Mapping[Mutation, Sequence[str]], copies: Sequence[Path], marks: str
) -> Iterator[Outcome]:
    """Break each place, as many at a time as there are copies of the checkout."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def attempt(place: Mutation) -> Outcome:
        top = free.get()
        try:
            return _broken(top, place, functions[place], marks)
        finally:
            free.put(top)

    with ThreadPoolExecutor(len(copies)) as pool:
        for outcome in pool.map(attempt, functions):
            failure, count = outcome.failure, len(outcome.functions)
            word = "noticed" if failure else "MISSED"
            how = (
                failure.how
                if failure
                else f"passes {count}"
                if count
                else "no test runs it"
            )
            print(
                f"{word:8} {outcome.seconds:4.0f} s  {outcome.place.name}: {how}",
                flush=True,
            )
            yield outcome


def _unbroken(outcomes: Sequence[Outcome], top: Path, marks: str) -> Failure | None:
    """How the tests that noticed something fail when nothing is broken: they noticed nothing."""
    noticing: set[str] = set()
    for outcome in outcomes:
        if failure := outcome.failure:
            noticing.update(
                [failure.function] if failure.function else outcome.functions
            )
    try:
        return (
            failure_of(sorted(noticing), top, MOST_SECONDS, marks) if noticing else None
        )
    except subprocess.TimeoutExpired:
        return Failure(f"they do not end in {MOST_SECONDS} s")


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


def _broken(
    top: Path, place: Mutation, functions: Sequence[str], marks: str
) -> Outcome:
    """Break a place in a copy, run tests, and mend it again."""
    start, failure = time.monotonic(), None
    with _replaced(top / place.file, place), suppress(subprocess.TimeoutExpired):
        for part in filter(None, (functions[:FIRST], functions[FIRST:])):
            if failure := failure_of(part, top, SECONDS, marks):
                break
    return Outcome(place, failure, functions, time.monotonic() - start)


@contextmanager
def _replaced(path: Path, place: Mutation) -> Iterator[None]:
    """Break a file within a ``with``; bytecode of another second is not taken for it."""
    text = path.read_text()
    try:
        _write(path, place.broken(text))
        yield
    finally:
        _write(path, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    now = (
        time.time_ns() // 1000
    )  # seconds that no file had before: bytecode goes by whole ones
    os.utime(path, (now % (1 << 31),) * 2)


def failure_of(
    functions: Sequence[str], top: Path, seconds: float, marks: str = RECORDED
) -> Failure | None:
    """How the first of some tests fails, None if all pass; TimeoutExpired if they take too long."""
    files = dict.fromkeys(name.partition("::")[0] for name in functions)
    command = [sys.executable, "-m", "pytest", "-x", "-v", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        [*command, "-m", marks, "-p", "tests.mutation.selection", *files],
        cwd=top, env={**os.environ, NAMED: json.dumps(functions)}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as tests:  # fmt: skip
        try:
            out, _ = tests.communicate(timeout=seconds)
        finally:
            _end(tests)
    if tests.returncode == pytest.ExitCode.NO_TESTS_COLLECTED and marks == RECORDED:
        raise RuntimeError(f"no test ran: {functions}")
    if tests.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        return None
    if named := re.search(r"^(?:FAILED|ERROR) (\S+?\.py::\w+).*", out, re.MULTILINE):
        return Failure(named[0][:100], named[1])
    begun = re.findall(r"^\S+?\.py::\w+", out, re.MULTILINE)
    how = (
        "a test does not end"
        if tests.returncode == -signal.SIGALRM
        else f"status {tests.returncode}"
    )
    return Failure(how, begun[-1] if begun else None)


def _end(tests: subprocess.Popen[str]) -> None:
    """End what a test has started and left."""
    try:
        os.killpg(tests.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    sys.exit(main())
