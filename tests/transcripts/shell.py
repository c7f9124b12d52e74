"""Run command lines as a shell does, with ``lstm`` in this process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from shlex import shlex, split
from tempfile import TemporaryFile
from typing import NamedTuple
from unittest.mock import patch

from lstmcli.cli import invoke
from tests.docs.schemas import validate_output
from tests.paths import TESTS, TOP

LINKS = {
    "samples": TOP / "samples",
    "golden": TESTS / "golden",
}  # in the folder of a shell
SCREEN = ("COLUMNS", "NO_COLOR", "FORCE_COLOR")  # variables that change what is shown
VARIABLE = re.compile(r"[A-Z_]+=")  # a word before a command that sets a variable


class Done(NamedTuple):
    """How a command line ended: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


class Shell:
    """A folder in which command lines run one after another, with the samples in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, target in LINKS.items():
            (folder / name).symlink_to(target)
        programs = folder / "bin"  # for commands in scripts, and for bash
        programs.mkdir()
        for name, words in {"lstm": " -m lstmcli", "python": ""}.items():
            (programs / name).write_text(
                f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n'
            )
            (programs / name).chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if name not in SCREEN}
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**kept, "PATH": path, "PYTHONPATH": str(TOP)}

    def run(self, line: str, *, one_stream: bool = False) -> Done:
        """Run a line of commands; with ``one_stream`` stderr goes where stdout goes.

        Commands may be joined by ``|``, ``;`` and ``&&``. Lines with anything else that a shell
        interprets are run by bash, where ``lstm`` is a process of its own.
        """
        with TemporaryFile() as out, TemporaryFile() as err:
            streams = (out.fileno(), out.fileno() if one_stream else err.fileno())
            status = self._list(line, streams)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return Done(
            status, *(text.replace(str(self.folder), "FOLDER") for text in texts)
        )

    def _list(self, line: str, streams: tuple[int, int]) -> int:
        if _is_for_bash(line):
            return self._process(["bash", "-c", line], {}, b"", streams)
        words = shlex(line, punctuation_chars="|;&")  # quotes stay: ";" is a word
        words.whitespace_split, words.commenters = True, ""
        pipelines: list[tuple[str, list[list[str]]]] = [(";", [[]])]
        for word in words:
            if word in (";", "&&"):
                pipelines.append((word, [[]]))
            elif word == "|":
                pipelines[-1][1].append([])
            else:
                pipelines[-1][1][-1] += split(word)
        status = 0
        for operator, commands in pipelines:
            if operator == ";" or status == 0:
                status = self._pipeline(commands, streams)
        return status

    def _pipeline(
        self, commands: Sequence[Sequence[str]], streams: tuple[int, int]
    ) -> int:
        """Run commands of which each reads what the one before wrote; the status of the last."""
        given = b""
        for command in commands[:-1]:
            with TemporaryFile() as written:
                self._command(command, given, (written.fileno(), streams[1]))
                written.seek(0)
                given = written.read()
        return self._command(commands[-1], given, streams)

    def _command(
        self, words: Sequence[str], given: bytes, streams: tuple[int, int]
    ) -> int:
        words, variables = list(words), {}
        while VARIABLE.match(words[0]):
            name, _, variables[name] = words.pop(0).partition("=")
        if words[0] != "lstm":
            return self._process(words, variables, given, streams)
        with (
            _standard_streams(given, streams),
            chdir(self.folder),
            patch.dict(os.environ, {**self._environment, **variables}, clear=True),
        ):
            start = os.lseek(streams[0], 0, os.SEEK_CUR)
            status = invoke(words[1:])
        if status in (0, 1) and streams[0] != streams[1]:
            written = os.pread(
                streams[0], os.lseek(streams[0], 0, os.SEEK_CUR) - start, start
            )
            validate_output(words[1:], written.decode())
        return status

    def _process(
        self, words: Sequence[str], variables: Mapping[str, str], given: bytes,
        streams: tuple[int, int],
    ) -> int:  # fmt: skip
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self._environment, **variables},
            input=given,
            stdout=streams[0],
            stderr=streams[1],
        )
        return done.returncode


def _is_for_bash(line: str) -> bool:
    """Find redirections, and what a shell expands in a line, within quotes too where it does."""
    unquoted = re.sub(r"'[^']*'", "", line)
    if re.search(r"[$`]", unquoted):
        return True
    unquoted = re.sub(r'"[^"]*"', "", unquoted).replace("&&", "")
    return re.search(r"[<>&*?~(){}]|\|\|", unquoted) is not None


@contextmanager
def _standard_streams(given: bytes, streams: tuple[int, int]) -> Iterator[None]:
    """Give this process another stdin, stdout and stderr: as files, and as Python's streams."""
    saved = [os.dup(number) for number in (0, 1, 2)]
    python = sys.stdin, sys.stdout, sys.stderr
    for stream in python[1:]:
        stream.flush()
    with TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        try:
            for number, target in enumerate((stdin.fileno(), *streams)):
                os.dup2(target, number)
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
        finally:
            sys.stdin, sys.stdout, sys.stderr = python
            for number, copy in enumerate(saved):
                os.dup2(copy, number)
                os.close(copy)
