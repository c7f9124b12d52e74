"""``python -m tests.faults.sources [FORMAT...]``: files that change while they are read.

Before the first read of the system, before the second, ... the file that is read is cut, emptied,
lengthened, or another takes its name. The command gives what it gives of the file as it was opened,
or a message that names a file; metadata beside weights may be left out, with a remark.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmcli.formats.files import source
from tests.faults import running
from tests.faults.running import Ended
from tests.fuzz import corpus
from tests.fuzz.guard import unprintable

ENDLESS = 300  # reads, after which a command is taken not to end


def _cut(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def _emptied(path: str) -> None:
    os.truncate(path, 0)


def _lengthened(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"\x07" * 5000)


def _replaced(path: str) -> None:
    Path(f"{path}.new").write_bytes(b"another file")
    os.replace(f"{path}.new", path)


CHANGES: dict[str, Callable[[str], None]] = {
    "cut": _cut, "emptied": _emptied, "lengthened": _lengthened, "replaced": _replaced,
}  # fmt: skip


class Reads:
    """The reads of this process, counted within `changing`; before one of them the file changes."""

    def __init__(self) -> None:
        self.done = False
        self._number = 0
        self._change: Callable[[str], None] | None = None
        self._paths: dict[int, str] = {}
        preadv, dup, reach = os.preadv, os.dup, self.reach

        def read_at(descriptor: int, buffers: Any, at: int) -> int:
            reach(descriptor)
            return preadv(descriptor, buffers, at)

        def duplicate(descriptor: int) -> int:
            new = dup(descriptor)
            self._paths[new] = self._paths.get(descriptor, "")
            return new

        class Watched(io.FileIO):
            def readinto(self, buffer: Any, /) -> int | None:
                reach(self.fileno())
                return super().readinto(buffer)

            def readall(self) -> bytes:
                reach(self.fileno())
                return super().readall()

        def opened(path: str, mode: str) -> io.BufferedReader:
            raw = Watched(path, mode)
            self._paths[raw.fileno()] = os.path.abspath(path)
            return io.BufferedReader(raw)

        os.preadv, os.dup = read_at, duplicate  # type: ignore[assignment]
        source.open = opened  # type: ignore[attr-defined]

    @contextmanager
    def changing(self, number: int, change: Callable[[str], None]) -> Iterator[None]:
        """Let the file that the read of a number is about change, within a ``with``."""
        self._number, self._change, self.done = number, change, False
        try:
            yield
        finally:
            self._change = None

    def reach(self, descriptor: int) -> None:
        """Count a read."""
        path = self._paths.get(descriptor)
        if self._change and path:
            self._number -= 1
            if self._number == 0:
                self._change(path)
                self.done = True


class Sample(NamedTuple):
    """A command, and the files that it reads."""

    words: str
    files: dict[str, bytes]


def samples(format: str) -> list[Sample]:
    """Commands that read a format, as weights or as a result."""
    row = corpus.TABLE[format]
    found = []
    for sample in corpus.samples_of(format)[:2]:
        words = f"diff {sample.given} {sample.given}" if row.inputs else f"inspect {sample.given}"
        found.append(Sample(words, sample.files))
    if row.inputs:
        sample = corpus.samples_of(format)[0]
        weights = {"weights.npz": corpus.WEIGHTS.read_bytes()}
        found.append(Sample(f"run weights.npz {sample.given}", sample.files | weights))
    return found


FORMATS = [name for name, row in corpus.TABLE.items() if not row.stdin]


def main(words: Sequence[str]) -> int:
    """Parse the command line; status 1 says that something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sources", description=__doc__)
    parser.add_argument("format", nargs="*", choices=[*FORMATS, []])
    failed = 0
    reads = Reads()
    with tempfile.TemporaryDirectory() as top:
        folder = Path(os.path.realpath(top), "files")
        folder.mkdir()
        os.chdir(folder)
        os.environ |= {"COLUMNS": "100"}
        for format in parser.parse_args(words).format or FORMATS:
            findings = [text for one in samples(format) for text in _findings(reads, one, folder)]
            wrong = [text for text in findings if text]
            for text in wrong[:5]:
                print(f"{format}: {text}")
            print(f"{format}: {len(wrong)} of {len(findings)} changes")
            failed += len(wrong)
    return int(failed > 0)


def _findings(reads: Reads, sample: Sample, folder: Path) -> Iterator[str]:
    """What is wrong after each change; nothing, where all is well."""
    running.restore(folder, sample.files)
    good = running.run(sample.words, folder)
    for name, change in CHANGES.items():
        for number in range(1, ENDLESS):
            running.restore(folder, sample.files)
            ended = running.run(sample.words, folder, reads.changing(number, change))
            if not reads.done:
                break
            wrong = _wrong(good, ended, sample)
            yield f"{sample.words}, {name} before read {number}: {wrong}" if wrong else ""
        else:
            yield f"{sample.words}: more than {ENDLESS} reads"


def _wrong(good: Ended, ended: Ended, sample: Sample) -> str:
    names = {os.path.basename(name) for name in sample.files}
    remarked = ended.status == good.status and "was not used" in ended.err
    if ended[:3] == good[:3]:
        return ""
    if ended.status != 2 and not remarked:
        return f"no message, and another result: {ended.err}{ended.out!r}"
    if not any(name in ended.err for name in names) or unprintable(ended.err):
        return f"the message names no file: {ended.err}"
    return ""


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main(sys.argv[1:]))
