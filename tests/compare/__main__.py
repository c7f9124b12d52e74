"""Ask two versions of the package the same, and list what differs; see the package."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.compare import asked, commands, files, pairs, questions, runs
from tests.compare.differences import Difference, differences
from tests.compare.question import Question, Rng

Make = Callable[[Rng, Path], Question]
KINDS: dict[str, tuple[Make, int]] = {
    "pairs": (pairs.question, 6000),
    "files": (files.question, 4000),
    "runs": (runs.question, 2000),
    "questions": (questions.question, 2000),
    "commands": (commands.question, 1000),
}
"""How a question of each kind is made, and how many there are by default."""

COUNTED = ("asked", "refused", "faults", "answers", "words", "seconds")
SHOWN = 3  # differences of one question that are printed
WIDEST = 160  # characters of each value


class Package:
    """A version of the package, in a process of its own."""

    def __init__(self, top: str) -> None:
        self.top = top
        environment = {**os.environ, "PYTHONPATH": top, "OPENBLAS_NUM_THREADS": "1"}
        environment.update(COLUMNS="100", NO_COLOR="1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", asked.__file__, top],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip

    def ask(self, question: Question, files: Mapping[str, bytes]) -> None:
        """Send a question; the answer is read later."""
        assert self._process.stdin is not None
        pickle.dump((question.call, files, question.given), self._process.stdin)
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The answer to the last question; the process that gave none has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.top} ended with status {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


def made(kind: str, seed: int, number: int) -> tuple[Question, dict[str, bytes]]:
    """The question of a kind with a number, and its files."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    with TemporaryDirectory() as name:
        question = KINDS[kind][0](rng, Path(name))
        paths = [path for path in Path(name).iterdir() if path.is_file()]
        return question, {path.name: path.read_bytes() for path in paths}


def compare(
    tops: Sequence[str], kind: str, numbers: Sequence[int], seed: int
) -> Counter[str]:
    """How many answers to questions of a kind there are and how many differ; those are printed."""
    packages = [Package(top) for top in tops]
    counted: Counter[str] = Counter()
    begun = time.monotonic()
    for number in numbers:
        question, content = made(kind, seed, number)
        for package in packages:
            package.ask(question, content)
        old, new = (package.answer() for package in packages)
        found = list(differences(old, new))
        counted.update(_facts(old, found))
        if found:
            _print(f"{kind} {number}", question, found)
    counted["seconds"] = round(time.monotonic() - begun)
    for package in packages:
        package.close()
    return counted


def _facts(answer: Mapping[str, Any], found: Sequence[Difference]) -> list[str]:
    """What is counted of an answer."""
    facts = ["asked"]
    statuses = [ended["status"] for ended in answer.get("ended", [])]
    if "refused" in answer or 2 in statuses:
        facts.append("refused")
    if "fault" in answer or any(isinstance(status, str) for status in statuses):
        facts.append("faults")
    if found and all(one.is_of_words for one in found):
        facts.append("words")
    elif found:
        facts.append("answers")
    return facts


def _print(name: str, question: Question, found: Sequence[Difference]) -> None:
    """List the differences of a question, those in answers first."""
    print(f"{name}: {question.call} {_short(dict(question.given))}")
    for one in sorted(found, key=lambda one: one.is_of_words)[:SHOWN]:
        print(f"  {'words' if one.is_of_words else 'ANSWER'} {one.place}")
        print(f"    old {_short(one.old)}\n    new {_short(one.new)}", flush=True)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}..."


def main() -> int:
    """Parse the command line; status 1 says that something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.compare")
    parser.add_argument("old", help="a folder that holds the old package")
    parser.add_argument("new", help="a folder that holds the new one")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of %(default)s")
    parser.add_argument("--count", type=int, help="questions of each kind")
    parser.add_argument("--first", type=int, default=0, help="their first number")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tops = [str(Path(top).resolve()) for top in (args.old, args.new)]
    status = 0
    for kind in args.kinds.split(","):
        numbers = range(args.first, args.first + (args.count or KINDS[kind][1]))
        counted = compare(tops, kind, numbers, args.seed)
        shown = ", ".join(f"{counted[name]:,} {name}" for name in COUNTED)
        print(f"{kind}: {shown}", flush=True)
        if counted["answers"] or counted["words"]:
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
